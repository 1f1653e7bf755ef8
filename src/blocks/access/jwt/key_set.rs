//! A key set at a URL, shared by all workers.
//!
//! A background task fetches it; requests read it without a lock. The time that a set may be used
//! is counted from its fetch: `jwks_ttl`, then `jwks_max_stale` while it cannot be renewed. An
//! answer that is no key set is a failed attempt and changes nothing.

use super::cache;
use crate::blocks::backend::Backend;
use crate::crypto::Jwks;
use crate::error::{Error, Kind};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderValue, header};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Attempts of the first round, which requests wait for.
const FIRST_ROUND: u32 = 3;
/// Longest pause between failed attempts.
const MAX_PAUSE: Duration = Duration::from_secs(64);
/// Between fetches for unknown keys.
const EARLY_EVERY: Duration = Duration::from_secs(10);
/// The longest that a request waits for the first round.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest that a request waits for a key: a little over what the task can take.
const MAX_WAIT: Duration = Duration::from_secs(12);

/// A fetched set.
#[derive(Debug)]
pub(super) struct Generation {
    /// Changes whenever the document does.
    pub(super) number: u64,
    pub(super) keys: Arc<Jwks>,
    document: cache::Digest,
    fetched: Instant,
}

/// The set, as requests and the background task see it.
#[derive(Debug)]
pub struct KeySet {
    /// Label of the block.
    pub label: Arc<str>,
    /// `jwks_url`
    pub url: String,
    /// The backend of the URL.
    pub backend: Arc<Backend>,
    ttl: Duration,
    max_stale: Duration,
    current: ArcSwapOption<Generation>,
    claimed: AtomicBool,
    wanted: Arc<Notify>,
    /// Whether the first round is over.
    settled: watch::Sender<bool>,
    /// Counts fetches for unknown keys that have ended.
    early_rounds: watch::Sender<u64>,
    /// Written by the task after each attempt, by requests for an early fetch.
    schedule: Mutex<Schedule>,
}

#[derive(Debug, Default)]
struct Schedule {
    failures: u32,
    next: Option<Instant>,
    early: Option<Instant>,
    early_running: bool,
}

impl KeySet {
    pub(super) fn new(
        label: Arc<str>,
        url: String,
        backend: Arc<Backend>,
        ttl: Duration,
        max_stale: Duration,
    ) -> Self {
        Self {
            label,
            url,
            backend,
            ttl,
            max_stale,
            current: ArcSwapOption::empty(),
            claimed: AtomicBool::new(false),
            wanted: Arc::default(),
            settled: watch::Sender::new(false),
            early_rounds: watch::Sender::new(0),
            schedule: Mutex::default(),
        }
    }

    /// Whether the caller is the first, who is to run the task.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }

    /// Notified when a fetch is wanted at once.
    pub fn wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    /// Whether the first round is over.
    pub fn is_settled(&self) -> bool {
        *self.settled.borrow()
    }

    /// Takes the outcome of an attempt and says when the next one is due.
    pub fn finish(&self, fetched: Option<(Jwks, Bytes)>, early: bool, now: Instant) -> Duration {
        let succeeded = fetched.is_some();
        if let Some((keys, document)) = fetched {
            self.store(keys, &document, now);
        }
        let (next, failures) = {
            let mut schedule = self.lock();
            let due = schedule.next.unwrap_or(now);
            if succeeded {
                schedule.failures = 0;
                // The least pause keeps `jwks_ttl = "0s"` from becoming a flood.
                schedule.next = Some(now + self.ttl.max(Duration::from_secs(1)));
            } else if !early || due <= now {
                schedule.failures = schedule.failures.saturating_add(1);
                let doublings = (schedule.failures - 1).min(6);
                schedule.next = Some(now + Duration::from_secs(1 << doublings).min(MAX_PAUSE));
            }
            if early {
                schedule.early_running = false;
            }
            (schedule.next.unwrap_or(now), schedule.failures)
        };
        if succeeded || failures >= FIRST_ROUND {
            self.settled.send_replace(true);
        }
        if early {
            self.early_rounds.send_modify(|rounds| *rounds += 1);
        }
        next.saturating_duration_since(now)
    }

    fn store(&self, keys: Jwks, document: &[u8], now: Instant) {
        let document = cache::digest_bytes(document);
        let generation = match self.current.load_full() {
            // The same keys again: what was verified with them stays so.
            Some(current) if current.document == document => Generation {
                number: current.number,
                keys: Arc::clone(&current.keys),
                document,
                fetched: now,
            },
            current => {
                if keys.skipped() > 0 {
                    tracing::debug!(
                        keys = keys.skipped(),
                        "{}: keys of the set that cannot be used",
                        self.label
                    );
                }
                Generation {
                    number: current.map_or(1, |current| current.number + 1),
                    keys: Arc::new(keys),
                    document,
                    fetched: now,
                }
            }
        };
        self.current.store(Some(Arc::new(generation)));
    }

    /// The set in force.
    pub(super) fn current(&self, now: Instant) -> Option<Arc<Generation>> {
        let lifetime = self.ttl.saturating_add(self.max_stale);
        self.current
            .load_full()
            .filter(|set| now.saturating_duration_since(set.fetched) < lifetime)
    }

    /// Waits for the first round, but not for ever.
    pub(super) async fn settle(&self) {
        let mut settled = self.settled.subscribe();
        let waiting = settled.wait_for(|settled| *settled);
        tokio::time::timeout(FIRST_WAIT, waiting).await.ok();
    }

    /// Has the set fetched for a key it lacks and waits for that; `false` if there was such a fetch
    /// lately.
    pub(super) async fn fetch_early(&self, now: Instant) -> bool {
        let mut rounds = self.early_rounds.subscribe();
        {
            let mut schedule = self.lock();
            if !schedule.early_running {
                let lately = |last| now.saturating_duration_since(last) < EARLY_EVERY;
                if schedule.early.is_some_and(lately) {
                    return false;
                }
                schedule.early = Some(now);
                schedule.early_running = true;
                self.wanted.notify_one();
            }
            // Under the lock: the end of the fetch cannot have been counted before this.
            rounds.mark_unchanged();
        }
        tokio::time::timeout(MAX_WAIT, rounds.changed()).await.ok();
        true
    }

    /// The error of a request that finds no set: the fault is not the token's.
    pub(super) fn unavailable(&self, now: Instant) -> Error {
        let next = self.lock().next;
        let wait = next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        let message = format!("no usable key set from {}", self.url);
        unavailable(message, wait)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `jwt_unavailable` with the time after which another attempt makes sense.
pub fn unavailable(message: String, wait: Duration) -> Error {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Error::new(Kind::JwtUnavailable, message)
        .with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}
