//! What may be used once, within this process: ids of assertions and proofs.

use super::client::Digest;
use crate::clock::UnixTime;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Most values remembered.
const CAPACITY: usize = 1 << 18;

/// Values that were used, until they could not be used any more.
#[derive(Debug, Default)]
pub struct Replay {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    until: HashMap<Digest, UnixTime>,
    /// When to look for what has ended.
    sweep_at: usize,
}

/// Why a value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was used before.
    Used,
    /// There are too many to remember.
    Full,
}

impl Replay {
    /// Uses a value up, until a time after which it is no good anyway.
    pub fn claim(&self, value: Digest, until: UnixTime, now: UnixTime) -> Result<(), Refused> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.until.len() >= seen.sweep_at.max(1024) {
            seen.until.retain(|_, until| *until > now);
            seen.sweep_at = seen.until.len() * 2;
        }
        if seen.until.get(&value).is_some_and(|until| *until > now) {
            return Err(Refused::Used);
        }
        if seen.until.len() >= CAPACITY {
            return Err(Refused::Full);
        }
        seen.until.insert(value, until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn once_until_its_end() {
        let replay = Replay::default();
        let start = UnixTime::from_seconds(1_700_000_000);
        let end = start.plus(Duration::from_secs(60));
        assert_eq!(replay.claim([1; 32], end, start), Ok(()));
        assert_eq!(replay.claim([1; 32], end, start), Err(Refused::Used));
        assert_eq!(replay.claim([2; 32], end, start), Ok(()));
        assert_eq!(replay.claim([1; 32], end, end), Ok(()));
    }
}
