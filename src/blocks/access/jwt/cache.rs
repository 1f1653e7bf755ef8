//! A bounded cache of verified tokens, shared by all workers.
//!
//! The key is the token's SHA-256, so that no token is kept in memory. Only successes are kept;
//! times and expected claims are checked anew on every use. The other part of the key is the
//! generation of the key set: a token verified with keys that have gone is verified again.

use super::verify;
use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Tokens kept for one block.
const CAPACITY: usize = 8192;

/// SHA-256 of a token or document.
pub type Digest = [u8; 32];

/// Generation of the keys and digest of the token.
pub(super) type Key = (u64, Digest);

pub(super) fn digest(token: &str) -> Digest {
    digest_bytes(token.as_bytes())
}

/// SHA-256 of `bytes`.
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    let mut key = Digest::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    key
}

pub(super) struct Verified {
    cache: Cache<Key, Arc<verify::Verified>>,
}

impl Default for Verified {
    fn default() -> Self {
        Self {
            cache: Cache::new(CAPACITY),
        }
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified")
            .field("tokens", &self.cache.len())
            .finish()
    }
}

impl Verified {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<verify::Verified>> {
        self.cache.get(key)
    }

    pub(super) fn insert(&self, key: Key, verified: Arc<verify::Verified>) {
        self.cache.insert(key, verified);
    }
}
