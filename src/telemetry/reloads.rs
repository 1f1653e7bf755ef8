//! How reloads of the configuration went, for metrics and the admin API.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Counts reloads since the start. Written by the thread that reloads, read by anyone.
#[derive(Debug)]
pub struct Reloads {
    sound: AtomicBool,
    succeeded: AtomicU64,
    failed: AtomicU64,
    since: AtomicI64,
}

impl Reloads {
    /// After a start, which is sound or there is no process; `now` in seconds since 1970.
    pub fn new(now: i64) -> Self {
        Self {
            sound: AtomicBool::new(true),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            since: AtomicI64::new(now),
        }
    }

    /// The configuration in force was replaced.
    pub fn succeed(&self, now: i64) {
        self.since.store(now, Ordering::Relaxed);
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.sound.store(true, Ordering::Relaxed);
    }

    /// The new configuration could not be used; the old one stays.
    pub fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.sound.store(false, Ordering::Relaxed);
    }

    /// Whether the start or the last reload succeeded: `gateway_config_reload_success`.
    pub fn is_sound(&self) -> bool {
        self.sound.load(Ordering::Relaxed)
    }

    /// Reloads that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Reloads that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Since when the configuration in force is in force, in seconds since 1970.
    pub fn since(&self) -> i64 {
        self.since.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reload_decides() {
        let reloads = Reloads::new(10);
        assert!(reloads.is_sound());
        reloads.fail();
        assert!(!reloads.is_sound());
        assert_eq!(reloads.since(), 10);
        reloads.succeed(20);
        assert!(reloads.is_sound());
        let counts = (reloads.succeeded(), reloads.failed(), reloads.since());
        assert_eq!(counts, (1, 1, 20));
    }
}
