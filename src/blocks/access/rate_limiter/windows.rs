//! What a rate limiter has admitted, by key.
//!
//! Keys come from clients, so their number is bounded: they live in two generations. A key in use
//! moves to the current one; when that is full or old enough the previous one is forgotten. So a key
//! is forgotten only after three periods without a request, or when very many others came since.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// SHA-256 of a key.
pub(super) type KeyDigest = [u8; 32];

/// Parts with a lock of their own.
const SHARDS: usize = 16;
/// Keys of a generation in each of them: two million bytes or so for both generations of all.
const KEYS: usize = 2048;
/// Times of admitted requests that a generation of a shard holds, whatever its keys are.
const TIMES: usize = 1 << 17;
/// Periods without a request after which a key is forgotten.
const IDLE_PERIODS: u32 = 3;

/// The point in time of a request: monotonic, and nanoseconds of wall time for aligned windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) unix_nanos: u128,
}

/// Which requests count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those of the last period, at any time.
    Sliding,
    /// Those since the last multiple of the period.
    Fixed,
}

/// The counters of a rate limiter.
#[derive(Debug)]
pub(super) struct Windows {
    period: Duration,
    per_period: usize,
    kind: Kind,
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug, Default)]
struct Shard {
    since: Option<Instant>,
    current: HashMap<KeyDigest, Window>,
    previous: HashMap<KeyDigest, Window>,
    /// Times in `current`.
    times: usize,
}

/// One key's requests.
#[derive(Debug)]
enum Window {
    /// When those of the last period were admitted.
    Sliding(VecDeque<Instant>),
    /// Number of the window, and how many it had.
    Fixed(u128, usize),
}

impl Windows {
    pub(super) fn new(period: Duration, per_period: usize, kind: Kind) -> Self {
        Self {
            period,
            per_period,
            kind,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts a request, or tells how long its key has to wait.
    pub(super) fn admit(&self, key: &KeyDigest, now: Now) -> Result<(), Duration> {
        let Some(shard) = self.shards.get(usize::from(key[0]) % SHARDS) else {
            return Ok(());
        };
        let mut forgotten = HashMap::new();
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over(&shard, now.instant) {
            forgotten = shard.turn(now.instant);
        }
        let verdict = self.count(&mut shard, key, now);
        drop(shard);
        // Freeing many keys takes its time, which nobody else should wait for.
        drop(forgotten);
        verdict
    }

    /// Keys that are remembered.
    pub(super) fn keys(&self) -> usize {
        let shards = self.shards.iter();
        let keys = shards.map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.current.len() + shard.previous.len()
        });
        keys.sum()
    }

    fn is_over(&self, shard: &Shard, now: Instant) -> bool {
        let Some(since) = shard.since else {
            return true;
        };
        let age = now.saturating_duration_since(since);
        // One key alone may need more times than the limit.
        let times = TIMES.max(self.per_period.saturating_mul(4));
        age >= self.period.saturating_mul(IDLE_PERIODS)
            || shard.current.len() >= KEYS
            || shard.times >= times
    }

    fn count(&self, shard: &mut Shard, key: &KeyDigest, now: Now) -> Result<(), Duration> {
        let Shard {
            current,
            previous,
            times,
            ..
        } = shard;
        let window = current.entry(*key).or_insert_with(|| {
            let window = previous.remove(key).unwrap_or_else(|| self.empty());
            *times += window.times();
            window
        });
        let before = window.times();
        let verdict = window.admit(self.period, self.per_period, now);
        *times = (*times + window.times()).saturating_sub(before);
        verdict
    }

    fn empty(&self) -> Window {
        match self.kind {
            Kind::Sliding => Window::Sliding(VecDeque::new()),
            Kind::Fixed => Window::Fixed(0, 0),
        }
    }
}

impl Shard {
    /// Begins a generation; what is forgotten by that.
    fn turn(&mut self, now: Instant) -> HashMap<KeyDigest, Window> {
        self.since = Some(now);
        self.times = 0;
        let current = std::mem::take(&mut self.current);
        std::mem::replace(&mut self.previous, current)
    }
}

impl Window {
    fn times(&self) -> usize {
        match self {
            Self::Sliding(times) => times.len(),
            Self::Fixed(..) => 1,
        }
    }

    fn admit(&mut self, period: Duration, per_period: usize, now: Now) -> Result<(), Duration> {
        match self {
            Self::Sliding(times) => {
                let age = |time: &Instant| now.instant.saturating_duration_since(*time);
                while times.front().is_some_and(|time| age(time) >= period) {
                    times.pop_front();
                }
                match times.front() {
                    Some(first) if times.len() >= per_period => {
                        Err(period.saturating_sub(age(first)))
                    }
                    _ => {
                        times.push_back(now.instant);
                        Ok(())
                    }
                }
            }
            Self::Fixed(number, count) => {
                let nanos = period.as_nanos().max(1);
                let present = now.unix_nanos / nanos;
                if *number != present {
                    (*number, *count) = (present, 0);
                }
                if *count < per_period {
                    *count += 1;
                    return Ok(());
                }
                let rest = nanos - now.unix_nanos % nanos;
                Err(Duration::from_nanos(
                    u64::try_from(rest).unwrap_or(u64::MAX),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Start(Instant);

    impl Start {
        fn at(&self, seconds: u64) -> Now {
            Now {
                instant: self.0 + Duration::from_secs(seconds),
                unix_nanos: u128::from(1_000_000_005 + seconds) * 1_000_000_000,
            }
        }
    }

    fn seconds(verdict: Result<(), Duration>) -> Result<(), u64> {
        verdict.map_err(|wait| wait.as_secs())
    }

    const KEY: KeyDigest = [1; 32];
    const PERIOD: Duration = Duration::from_secs(10);

    #[test]
    fn sliding_windows_are_exact() {
        let (windows, start) = (
            Windows::new(PERIOD, 2, Kind::Sliding),
            Start(Instant::now()),
        );
        let admit = |at| seconds(windows.admit(&KEY, start.at(at)));
        assert_eq!(admit(0), Ok(()));
        assert_eq!(admit(9), Ok(()));
        assert_eq!(admit(9), Err(1));
        // Refused ones do not count.
        assert_eq!(admit(10), Ok(()));
        assert_eq!(admit(11), Err(8));
        assert_eq!(seconds(windows.admit(&[2; 32], start.at(11))), Ok(()));
        assert_eq!(admit(40), Ok(()));
        assert_eq!(admit(41), Ok(()));
        assert_eq!(admit(42), Err(8));
    }

    #[test]
    fn fixed_windows_follow_the_clock() {
        let (windows, start) = (Windows::new(PERIOD, 2, Kind::Fixed), Start(Instant::now()));
        let admit = |at| seconds(windows.admit(&KEY, start.at(at)));
        // The clock stands at 5 s of a window.
        assert_eq!(admit(0), Ok(()));
        assert_eq!(admit(4), Ok(()));
        assert_eq!(admit(4), Err(1));
        assert_eq!(admit(5), Ok(()));
        assert_eq!(admit(6), Ok(()));
        assert_eq!(admit(7), Err(8));
    }

    #[test]
    fn keys_are_bounded_and_those_in_use_are_kept() {
        let (windows, start) = (
            Windows::new(PERIOD, 1, Kind::Sliding),
            Start(Instant::now()),
        );
        assert!(windows.admit(&KEY, start.at(0)).is_ok());
        for number in 0..100_000_u32 {
            let mut key = [1; 32];
            key[1..5].copy_from_slice(&number.to_le_bytes());
            windows.admit(&key, start.at(0)).ok();
            if number % 1000 == 0 {
                assert!(windows.admit(&KEY, start.at(0)).is_err(), "{number}");
            }
        }
        let shard = windows.shards[1].lock().unwrap();
        assert!(shard.current.len() + shard.previous.len() <= 2 * KEYS);
    }

    #[test]
    fn idle_keys_are_forgotten() {
        let (windows, start) = (
            Windows::new(PERIOD, 1, Kind::Sliding),
            Start(Instant::now()),
        );
        for at in [0, 30, 60] {
            let mut key = KEY;
            key[1] = u8::try_from(at).unwrap();
            windows.admit(&key, start.at(at)).unwrap();
        }
        let shard = windows.shards[1].lock().unwrap();
        assert_eq!((shard.current.len(), shard.previous.len()), (1, 1));
    }

    #[test]
    fn a_limit_above_the_bound_of_times_is_kept() {
        let limit = 2 * TIMES;
        let windows = Windows::new(PERIOD, limit, Kind::Sliding);
        let start = Start(Instant::now());
        for _ in 0..limit {
            assert!(windows.admit(&KEY, start.at(0)).is_ok());
        }
        assert_eq!(seconds(windows.admit(&KEY, start.at(1))), Err(9));
    }
}
