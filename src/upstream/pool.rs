//! Connections of one worker to one target.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::Options;
use super::body::{RequestBody, Written};
use super::target::Limit;

pub(super) type H1 = http1::SendRequest<RequestBody>;
pub(super) type H2 = http2::SendRequest<RequestBody>;

/// What a pool may send a second time: so many at once, so many a second, and so large a part of all
/// requests. An origin that closes all connections gets no flood on top.
const RETRIES_AT_ONCE: f64 = 100.0;
const RETRIES_A_SECOND: f64 = 10.0;
const RETRIES_A_REQUEST: f64 = 0.2;

/// Turns that the task of a connection gets to become ready.
const YIELDS: usize = 3;

/// A connection that can take a request.
pub(super) enum Connection {
    H1(H1, Instant),
    H2(H2),
}

struct Idle {
    connection: H1,
    born: Instant,
    since: Instant,
}

pub(super) struct Pool {
    /// The most recently used one last, so that surplus connections age at the front.
    idle: RefCell<Vec<Idle>>,
    /// The newest HTTP/2 connection; older ones end with their last response.
    shared: RefCell<Option<(H2, Instant)>>,
    used: Cell<Instant>,
    /// Whether the limit counts this pool among those with idle connections.
    counted: Cell<bool>,
    retries: Retries,
    limit: Arc<Limit>,
    options: Options,
}

/// How many requests may be sent a second time.
struct Retries {
    left: Cell<f64>,
    filled: Cell<Instant>,
    requests: Cell<u32>,
}

impl Pool {
    pub(super) fn new(limit: Arc<Limit>, options: Options) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            shared: RefCell::default(),
            used: Cell::new(Instant::now()),
            counted: Cell::new(false),
            retries: Retries {
                left: Cell::new(RETRIES_AT_ONCE),
                filled: Cell::new(Instant::now()),
                requests: Cell::new(0),
            },
            limit,
            options,
        })
    }

    /// Whether another worker keeps connections to the same backend. A request that opens one of its
    /// own then does so only because of the worker it came to.
    pub(super) fn kept_elsewhere(&self) -> bool {
        let own = usize::from(self.counted.get());
        self.limit.keeping().load(Ordering::Relaxed) > own
    }

    /// Takes a retry out of what is left of them.
    pub(super) fn may_retry(&self, now: Instant) -> bool {
        let Retries {
            left,
            filled,
            requests,
        } = &self.retries;
        let earned = now.duration_since(filled.replace(now)).as_secs_f64() * RETRIES_A_SECOND
            + f64::from(requests.replace(0)) * RETRIES_A_REQUEST;
        let available = (left.get() + earned).min(RETRIES_AT_ONCE);
        let may = available >= 1.0;
        left.set(if may { available - 1.0 } else { available });
        may
    }

    fn count(&self, keeps: bool) {
        if self.counted.replace(keeps) == keeps {
            return;
        }
        if keeps {
            self.limit.keeping().fetch_add(1, Ordering::Relaxed);
        } else {
            self.limit.keeping().fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A connection that is open as far as is known.
    pub(super) async fn checkout(&self, now: Instant) -> Option<Connection> {
        self.used.set(now);
        let requests = &self.retries.requests;
        requests.set(requests.get().saturating_add(1));
        if let Some((shared, born)) = &*self.shared.borrow()
            && !shared.is_closed()
            && now.duration_since(*born) < self.options.max_age
        {
            return Some(Connection::H2(shared.clone()));
        }
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            if now.duration_since(idle.since) >= self.options.idle_timeout {
                continue;
            }
            let connection = idle.connection;
            // Just given back, its task may not have run since. One that stays busy still sends
            // a request that the origin did not wait for.
            for _ in 0..YIELDS {
                if connection.is_ready() {
                    return Some(Connection::H1(connection, idle.born));
                }
                if connection.is_closed() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    pub(super) fn share(&self, connection: H2) {
        *self.shared.borrow_mut() = Some((connection, Instant::now()));
    }

    fn put(&self, connection: H1, born: Instant) {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        // Closing frees a place for a request that waits, perhaps on another worker.
        if connection.is_closed()
            || self.limit.waiting() > 0
            || now.duration_since(born) >= self.options.max_age
            || idle.len() >= self.options.max_idle
        {
            return;
        }
        idle.push(Idle {
            connection,
            born,
            since: now,
        });
        drop(idle);
        self.count(true);
    }

    /// Closes what has aged. Returns whether nothing is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle.borrow_mut();
        if self.limit.waiting() > 0 {
            idle.clear();
        } else {
            idle.retain(|idle| {
                !idle.connection.is_closed()
                    && now.duration_since(idle.since) < self.options.idle_timeout
                    && now.duration_since(idle.born) < self.options.max_age
            });
        }
        let unused = now.duration_since(self.used.get());
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|(connection, born)| {
            connection.is_closed()
                || unused >= self.options.idle_timeout
                || now.duration_since(*born) >= self.options.max_age
        }) {
            *shared = None;
        }
        let empty = idle.is_empty();
        if empty {
            self.count(false);
        }
        empty && shared.is_none() && unused >= Duration::from_secs(1)
    }

    pub(super) fn idle_count(&self) -> usize {
        self.idle.borrow().len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.count(false);
    }
}

/// A busy HTTP/1.1 connection. Dropped, it closes the connection.
pub(super) struct Lease {
    pub(super) pool: Rc<Pool>,
    pub(super) connection: H1,
    pub(super) born: Instant,
    pub(super) written: Option<Written>,
}

impl Lease {
    pub(super) fn give_back(self) {
        // An origin may answer before it has the whole request; the rest is still on its way then.
        if self.written.is_some_and(|written| written.get().is_none()) {
            return;
        }
        self.pool.put(self.connection, self.born);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
