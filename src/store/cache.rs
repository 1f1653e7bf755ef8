//! Opaque tokens that were looked up lately, and values that are known not to be tokens.

use super::{AccessToken, Digest};
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Entries at most.
const MOST: usize = 50_000;
/// How long a token is taken from here. Revocations are asked for each time, whatever is cached.
const KNOWN: Duration = Duration::from_secs(60);
/// How long a value is taken for unknown.
const UNKNOWN: Duration = Duration::from_secs(2);

/// What is known of a value.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// It is this token.
    Token(Arc<AccessToken>),
    /// It is no token.
    Nothing,
}

/// The cache. Whoever changes tokens says so by [`changed`](Self::changed), so that what was read
/// before is not written afterwards.
#[derive(Debug)]
pub(super) struct TokenCache {
    entries: Cache<Digest, (Known, Instant)>,
    changes: AtomicU64,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self {
            entries: Cache::new(MOST),
            changes: AtomicU64::new(0),
        }
    }
}

impl TokenCache {
    /// What is known of a token.
    pub(super) fn get(&self, hash: &Digest) -> Option<Known> {
        let (known, until) = self.entries.get(hash)?;
        (Instant::now() < until).then_some(known)
    }

    /// How many changes there have been, to be given to [`put`](Self::put).
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Keeps what was read, unless something has changed since `changes`.
    pub(super) fn put(&self, hash: Digest, token: Option<&Arc<AccessToken>>, changes: u64) {
        if self.changes() == changes {
            let (known, kept) = match token {
                Some(token) => (Known::Token(Arc::clone(token)), KNOWN),
                None => (Known::Nothing, UNKNOWN),
            };
            self.entries.insert(hash, (known, Instant::now() + kept));
        }
    }

    /// Forgets a token that was made or changed.
    pub(super) fn changed(&self, hash: &Digest) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.entries.remove(hash);
    }
}
