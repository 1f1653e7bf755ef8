//! A document at a URL, such as a key set, shared by all workers.
//!
//! A background task fetches it; requests read it without a lock. The time that a document may be
//! used is counted from its fetch: its `ttl`, then its `max_stale` while it cannot be renewed. An
//! answer that is no such document is a failed attempt and changes nothing.

use super::jwt::{Digest, digest_bytes};
use crate::blocks::backend::Backend;
use crate::telemetry::metrics::{families, registry};
use arc_swap::ArcSwapOption;
use futures_util::future::LocalBoxFuture;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// The default of `ttl` and of `max_stale`.
pub const HOUR: Duration = Duration::from_secs(3600);
/// Attempts of the first round, which requests wait for.
const FIRST_ROUND: u32 = 3;
/// Longest pause between failed attempts.
const MAX_PAUSE: Duration = Duration::from_secs(64);
/// Between fetches for what the document lacks.
const EARLY_EVERY: Duration = Duration::from_secs(10);
/// The longest that a request waits for the first round.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest that a request waits for an early fetch: a little over what the task can take.
const MAX_WAIT: Duration = Duration::from_secs(12);

/// A type of document.
pub trait Document: std::fmt::Debug + Send + Sync + Sized + 'static {
    /// What it is called in messages.
    const WHAT: &'static str;
    /// The word for its faults in the log.
    const ERROR_TYPE: &'static str;
    /// The media types to ask for.
    const ACCEPT: &'static str;
    /// Longest document.
    const MAX_BYTES: u64;

    /// Reads it. The error says what is wrong with it.
    fn parse(bytes: &[u8]) -> Result<Self, String>;

    /// What its reader should know of it beside.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Where a document is.
#[derive(Debug)]
pub enum Location {
    /// The configuration says it.
    Fixed(String),
    /// Another document says it.
    In(Arc<dyn Locate>),
}

/// A document that says where another one is.
pub trait Locate: std::fmt::Debug + Send + Sync {
    /// The URL, once it is known.
    fn url(&self) -> Option<String>;

    /// Notified when the document that says it has changed.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Settings of a document.
#[derive(Debug)]
pub struct Settings {
    /// Label of the block.
    pub label: Arc<str>,
    /// Name of its fetches in the log.
    pub name: Arc<str>,
    /// Where it is.
    pub location: Location,
    /// The backend of the URL.
    pub backend: Arc<Backend>,
    /// How long it is used.
    pub ttl: Duration,
    /// How much longer, while it cannot be renewed.
    pub max_stale: Duration,
}

/// A fetched document.
#[derive(Debug)]
pub struct Generation<T> {
    /// Changes whenever the document does.
    pub number: u64,
    /// Its content.
    pub content: Arc<T>,
    digest: Digest,
    fetched: Instant,
}

/// The document, as requests and the background task see it.
#[derive(Debug)]
pub struct Remote<T> {
    settings: Settings,
    current: ArcSwapOption<Generation<T>>,
    claimed: AtomicBool,
    wanted: Arc<Notify>,
    /// Whether the first round is over.
    settled: watch::Sender<bool>,
    /// The number of the current generation.
    changes: watch::Sender<u64>,
    /// Counts early fetches that have ended.
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

/// What an attempt to fetch a document came to.
#[derive(Debug)]
pub struct Outcome {
    /// When the next one is due.
    pub wait: Duration,
    /// What was wrong with the document.
    pub fault: Option<String>,
    /// What there is to say of a new one.
    pub remark: Option<String>,
}

/// A document of any type, for the task that keeps it fresh.
pub trait Renew: std::fmt::Debug + Send + Sync {
    /// Whether the caller is the first, who is to run the task.
    fn claim(&self) -> bool;
    /// Its settings.
    fn settings(&self) -> &Settings;
    /// What it is called in messages.
    fn what(&self) -> &'static str;
    /// The word for its faults in the log.
    fn error_type(&self) -> &'static str;
    /// The media types to ask for.
    fn accept(&self) -> &'static str;
    /// Longest document.
    fn max_bytes(&self) -> u64;
    /// Notified when a fetch is wanted at once.
    fn wanted(&self) -> Arc<Notify>;
    /// Whether the first round is over.
    fn is_settled(&self) -> bool;
    /// Waits for the first round, but not for ever.
    fn settle(&self) -> LocalBoxFuture<'_, ()>;
    /// Takes what an attempt gave, nothing if it failed.
    fn finish(&self, fetched: Option<&[u8]>, early: bool, now: Instant) -> Outcome;
}

impl<T: Document> Remote<T> {
    /// A document that is still to be fetched.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            current: ArcSwapOption::empty(),
            claimed: AtomicBool::new(false),
            wanted: Arc::default(),
            settled: watch::Sender::new(false),
            changes: watch::Sender::new(0),
            early_rounds: watch::Sender::new(0),
            schedule: Mutex::default(),
        }
    }

    /// The document in force.
    pub fn current(&self, now: Instant) -> Option<Arc<Generation<T>>> {
        let lifetime = self.settings.ttl.saturating_add(self.settings.max_stale);
        self.current
            .load_full()
            .filter(|current| now.saturating_duration_since(current.fetched) < lifetime)
    }

    /// The document fetched last, however long ago.
    pub fn latest(&self) -> Option<Arc<Generation<T>>> {
        self.current.load_full()
    }

    /// Has the document fetched for something it lacks and waits for that; `false` if there was
    /// such a fetch lately.
    pub async fn fetch_early(&self, now: Instant) -> bool {
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

    /// The time until the next attempt.
    pub fn next_attempt(&self, now: Instant) -> Duration {
        let next = self.lock().next;
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// Keeps a fetched document; gives what there is to say of a new one.
    fn store(&self, document: &[u8], now: Instant) -> Result<Option<String>, String> {
        let digest = digest_bytes(document);
        let current = self.current.load_full();
        let (number, content, remark) = match current {
            // The same again: what was found out with it stays so.
            Some(current) if current.digest == digest => {
                (current.number, Arc::clone(&current.content), None)
            }
            current => {
                let content = T::parse(document)?;
                let remark = content.remark();
                let number = current.map_or(1, |current| current.number + 1);
                (number, Arc::new(content), remark)
            }
        };
        self.current.store(Some(Arc::new(Generation {
            number,
            content,
            digest,
            fetched: now,
        })));
        self.changes.send_if_modified(|known| {
            let changed = *known != number;
            *known = number;
            changed
        });
        Ok(remark)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notified when the document has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl<T: Document> Renew for Remote<T> {
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn what(&self) -> &'static str {
        T::WHAT
    }

    fn error_type(&self) -> &'static str {
        T::ERROR_TYPE
    }

    fn accept(&self) -> &'static str {
        T::ACCEPT
    }

    fn max_bytes(&self) -> u64 {
        T::MAX_BYTES
    }

    fn wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    fn is_settled(&self) -> bool {
        *self.settled.borrow()
    }

    fn settle(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(async {
            let mut settled = self.settled.subscribe();
            let waiting = settled.wait_for(|settled| *settled);
            tokio::time::timeout(FIRST_WAIT, waiting).await.ok();
        })
    }

    fn finish(&self, fetched: Option<&[u8]>, early: bool, now: Instant) -> Outcome {
        let (remark, fault) = match fetched.map(|document| self.store(document, now)) {
            None => (None, None),
            Some(Ok(remark)) => (remark, None),
            Some(Err(fault)) => (None, Some(fault)),
        };
        let succeeded = fetched.is_some() && fault.is_none();
        let (next, failures) = {
            let mut schedule = self.lock();
            let due = schedule.next.unwrap_or(now);
            if succeeded {
                schedule.failures = 0;
                // The least pause keeps a ttl of `0s` from becoming a flood.
                schedule.next = Some(now + self.settings.ttl.max(Duration::from_secs(1)));
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
        let result = if succeeded { "success" } else { "failure" };
        let values = [T::ERROR_TYPE, &self.settings.label, result];
        registry().count(&families::DOCUMENT_FETCHES, &values);
        if succeeded || failures >= FIRST_ROUND {
            self.settled.send_replace(true);
        }
        if early {
            self.early_rounds.send_modify(|rounds| *rounds += 1);
        }
        Outcome {
            wait: next.saturating_duration_since(now),
            fault,
            remark,
        }
    }
}

impl<T> Drop for Remote<T> {
    fn drop(&mut self) {
        // The task looks up and finds that nobody has the document any more.
        self.wanted.notify_one();
    }
}

impl Location {
    /// The URL, once it is known.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Fixed(url) => Some(url.clone()),
            Self::In(document) => document.url(),
        }
    }
}
