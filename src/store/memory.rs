//! What a gateway without `storage` keeps, in memory and for itself alone: revocations of JWTs and
//! values that may be seen once. Both are lost with the process.

use super::{Answer, Digest, Millis, Replay, Revocation, RevocationSet, Revocations, StoreError};
use foldhash::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The most values that are remembered; beyond it, new ones are refused rather than let through
/// unseen.
const MOST: usize = 1_000_000;

/// Revocations and replays without a file.
#[derive(Debug, Default)]
pub struct Memory {
    revoked: Arc<RevocationSet>,
    log: Mutex<Vec<Revocation>>,
    seq: AtomicI64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    values: HashMap<Digest, Millis>,
    swept_at: usize,
}

impl Seen {
    fn first_use(
        &mut self,
        digest: Digest,
        now: Millis,
        expires_at: Millis,
    ) -> Result<bool, StoreError> {
        // Sweeping when the map has doubled makes the cost of a sweep that of the inserts before it.
        if self.values.len() >= self.swept_at.saturating_mul(2).clamp(1024, MOST) {
            self.values.retain(|_, end| *end > now);
            self.swept_at = self.values.len();
            if self.values.len() >= MOST {
                return Err(StoreError::Busy);
            }
        }
        match self.values.get(&digest) {
            Some(end) if *end > now => Ok(false),
            _ => {
                self.values.insert(digest, expires_at);
                Ok(true)
            }
        }
    }
}

impl Replay for Memory {
    fn first_use(&self, digest: Digest, now: Millis, expires_at: Millis) -> Answer<bool> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Answer::ready(seen.first_use(digest, now, expires_at))
    }
}

impl Revocations for Memory {
    fn revoked(&self) -> &Arc<RevocationSet> {
        &self.revoked
    }

    fn revoke(&self, mut revocation: Revocation) -> Answer<Revocation> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        revocation.seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        self.revoked.add([&revocation]);
        log.retain(|entry| entry.expires_at > revocation.created_at);
        log.push(revocation.clone());
        self.revoked.expire(revocation.created_at);
        Answer::ready(Ok(revocation))
    }

    fn revocations(&self, after: i64, limit: u32) -> Answer<Vec<Revocation>> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = log.iter().filter(|entry| entry.seq > after);
        Answer::ready(Ok(entries.take(limit as usize).cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_new_once_until_its_end() {
        let memory = Memory::default();
        let value = Digest::of("jti");
        let first = |now| {
            memory
                .first_use(value, Millis(now), Millis(now + 10))
                .wait()
        };
        assert_eq!(first(0), Ok(true));
        assert_eq!(first(9), Ok(false));
        assert_eq!(first(10), Ok(true));
    }
}
