//! Tokens of `token-exchange`, one for each subject: nobody gets a token for somebody else.

use super::grant::Subject;
use crate::clock::Clock;
use crate::oauth::client::token_cache::{Settings, TokenEntry};
use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use secrecy::ExposeSecret as _;
use std::sync::Arc;

/// Subjects whose tokens are kept for one block.
const CAPACITY: usize = 4096;

/// The tokens of one block. A subject is known by the digest of its token (and its actor's).
#[derive(Debug)]
pub struct SubjectTokens {
    entries: Cache<[u8; 32], Arc<TokenEntry>>,
    settings: Settings,
}

impl SubjectTokens {
    /// None yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            entries: Cache::new(CAPACITY),
            settings,
        }
    }

    /// Where the token of a subject is kept.
    pub(super) fn entry(&self, subject: &Subject) -> Arc<TokenEntry> {
        let make = || {
            let entry = TokenEntry::new(self.settings.clone(), Clock::System);
            Ok::<_, std::convert::Infallible>(Arc::new(entry))
        };
        match self.entries.get_or_insert_with(&key(subject), make) {
            Ok(entry) => entry,
            Err(never) => match never {},
        }
    }
}

fn key(subject: &Subject) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    if let Subject::Token { subject, actor } = subject {
        let subject = subject.expose_secret().as_bytes();
        context.update(&(subject.len() as u64).to_be_bytes());
        context.update(subject);
        if let Some(actor) = actor {
            context.update(actor.expose_secret().as_bytes());
        }
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}
