//! Time, in one place, so that tests decide what time it is.
//!
//! Two kinds of time must never be mixed. Wall time ([`UnixTime`]) says what a token's `exp` means
//! and may jump either way when an operator or NTP sets the clock; it is signed, so a machine that
//! believes it is before 1970 works like any other. Monotonic time ([`Instant`]) measures how long
//! something has been kept. It follows tokio's clock, which a test runtime can pause and advance.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A point of wall time as nanoseconds since 1970-01-01T00:00:00Z; negative before it.
///
/// The range ends in the years 1677 and 2262; arithmetic saturates there instead of failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// A whole number of seconds.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Whole seconds, rounded down (so -0.5 is in second -1), as JWT claims are written.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// A number of milliseconds, as stores keep times.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(NANOS_PER_SECOND / 1000))
    }

    /// Milliseconds, rounded down.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND / 1000)
    }

    /// Seconds with their fraction. A double holds today's time to about a quarter microsecond.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the loss is far below the resolution that claims have"
    )]
    pub fn seconds_f64(self) -> f64 {
        let whole = self.seconds();
        let rest = self.0.rem_euclid(NANOS_PER_SECOND);
        whole as f64 + rest as f64 / NANOS_PER_SECOND as f64
    }

    /// Later by `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }

    /// Earlier by `duration`.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(duration)))
    }
}

impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(saturating_nanos(since)),
            Err(before) => Self(-saturating_nanos(before.duration())),
        }
    }
}

fn saturating_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Where time comes from. Cheap to clone; clones of a manual clock share their time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    System,
    /// A clock that a test sets.
    Manual(Arc<ManualClock>),
}

impl Clock {
    /// A manual clock that begins at `start`, and the handle that moves it.
    pub fn manual(start: UnixTime) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock {
            unix_nanos: AtomicI64::new(start.0),
            skipped_nanos: AtomicU64::new(0),
        });
        (Self::Manual(Arc::clone(&clock)), clock)
    }

    /// Wall time.
    pub fn unix(&self) -> UnixTime {
        match self {
            Self::System => SystemTime::now().into(),
            Self::Manual(clock) => UnixTime(clock.unix_nanos.load(Ordering::Relaxed)),
        }
    }

    /// Monotonic time.
    pub fn now(&self) -> Instant {
        let now = tokio::time::Instant::now().into_std();
        match self {
            Self::System => now,
            Self::Manual(clock) => {
                now + Duration::from_nanos(clock.skipped_nanos.load(Ordering::Relaxed))
            }
        }
    }
}

/// The hand of a [`Clock::Manual`]. Wall time stands still until moved; monotonic time is that of
/// tokio (which stands still in a paused runtime) plus what was skipped here.
#[derive(Debug)]
pub struct ManualClock {
    unix_nanos: AtomicI64,
    skipped_nanos: AtomicU64,
}

impl ManualClock {
    /// Lets `duration` pass on both clocks.
    pub fn advance(&self, duration: Duration) {
        let nanos = saturating_nanos(duration);
        self.unix_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.skipped_nanos
            .fetch_add(nanos.unsigned_abs(), Ordering::Relaxed);
    }

    /// Sets wall time alone, as an operator or NTP does.
    pub fn set_unix(&self, time: UnixTime) {
        self.unix_nanos.store(time.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_round_down_and_do_not_panic() {
        let before = UnixTime::from(UNIX_EPOCH - Duration::from_millis(1500));
        assert_eq!(before.seconds(), -2);
        assert!((before.seconds_f64() + 1.5).abs() < 1e-9);
        assert_eq!(
            UnixTime::EPOCH.minus(Duration::MAX).plus(Duration::MAX).0,
            -1 + 1
        );
    }

    #[test]
    fn a_jump_of_wall_time_leaves_monotonic_time_alone() {
        let (clock, hand) = Clock::manual(UnixTime::from_seconds(1_000));
        let start = clock.now();
        hand.set_unix(UnixTime::from_seconds(-5_000));
        assert_eq!(clock.unix().seconds(), -5_000);
        assert!(clock.now() >= start);
        hand.advance(Duration::from_secs(7));
        assert_eq!(clock.unix().seconds(), -4_993);
        assert!(clock.now() >= start + Duration::from_secs(7));
    }
}
