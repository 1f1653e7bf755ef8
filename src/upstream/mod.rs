//! The only way out of the gateway: requests to origins over pooled connections.
//!
//! Each worker thread has one [`Upstream`] with connections of its own; nothing in it is shared
//! but the [`Limit`] of a backend. HTTP/1.1 connections are reused most recently used first and go
//! back only after a response was read to its end. HTTP/2 connections are shared by requests.
//!
//! A request is sent twice in one case only: its connection was an idle one that the origin had
//! closed, and either no byte of the request was written, or its method is idempotent and its body
//! can be sent again. A request on a new connection counts as one on an idle connection where
//! another worker had one: which worker a client comes to is chance.

mod body;
mod connect;
mod error;
mod exchange;
mod open;
mod permitted;
mod pool;
mod proxy;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;

pub use body::{RequestBody, UpstreamBody};
pub use error::{BoxError, UpstreamError};
pub use proxy::{ForwardProxy, Protocol};
pub use target::{InvalidTarget, Limit, Target, TargetSettings, Tls};
pub use tls::{ClientCertificate, TlsSettings, client_config};
pub use watch::{OpenedFor, TargetSeries};

use exchange::{Failure, Terms};
use open::Purpose;
use pool::Pool;

/// How often aged connections are looked for. Also how long a request may wait for a place that an
/// idle connection of another worker holds.
const SWEEP: Duration = Duration::from_millis(500);

/// How long connections are kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Closed after so long without a request.
    pub idle_timeout: Duration,
    /// Not used for new requests after so long, so that changes of DNS take effect.
    pub max_age: Duration,
    /// Idle connections kept per target and worker.
    pub max_idle: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_mins(1),
            max_age: Duration::from_mins(5),
            max_idle: 256,
        }
    }
}

/// Time limits of one exchange. Zero means none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Name resolution and TCP.
    pub connect_timeout: Duration,
    /// From the request written to the response's head.
    pub ttfb_timeout: Duration,
    /// Everything, the wait for a connection and the response body included.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            ttfb_timeout: Duration::from_mins(1),
            timeout: Duration::from_mins(5),
        }
    }
}

/// How long the parts of an exchange took. The first three only for a new connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Name resolution.
    pub dns: Option<Duration>,
    /// TCP connection.
    pub tcp: Option<Duration>,
    /// TLS handshake.
    pub tls: Option<Duration>,
    /// From handing over the request to the response's head.
    pub ttfb: Duration,
    /// Whether the connection had served before.
    pub reused: bool,
    /// Whether the request was sent a second time.
    pub retried: bool,
}

/// Marks, among the extensions of a request, that it asks to change to another protocol: it gets an
/// HTTP/1.1 connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct ChangeOfProtocol;

/// A response whose head has arrived.
#[derive(Debug)]
pub struct Sent {
    /// The response; a 101 carries `hyper::upgrade::OnUpgrade` in its extensions.
    pub response: Response<UpstreamBody>,
    /// How long it took.
    pub timings: Timings,
}

/// The connections of one worker. Cloning shares them. Must be used inside a `LocalSet`.
#[derive(Clone)]
pub struct Upstream {
    inner: Rc<Inner>,
}

struct Inner {
    pools: RefCell<HashMap<Arc<Target>, Rc<Pool>, foldhash::fast::RandomState>>,
    resolver: connect::Resolver,
    options: Options,
    sweeping: Cell<bool>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("targets", &self.inner.pools.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Upstream {
    /// No connections yet.
    pub fn new(options: Options) -> Self {
        Self {
            inner: Rc::new(Inner {
                pools: RefCell::default(),
                resolver: connect::Resolver::default(),
                options,
                sweeping: Cell::new(false),
            }),
        }
    }

    /// Idle HTTP/1.1 connections of this worker to `target`.
    pub fn idle(&self, target: &Target) -> usize {
        self.inner
            .pools
            .borrow()
            .get(target)
            .map_or(0, |pool| pool.idle_count())
    }

    /// Sends `request` to `target` and waits for the head of the response.
    ///
    /// A missing `Host` is taken from the target; the form of the URI and the version are set as
    /// the connection needs them. Hop-by-hop fields are the caller's business.
    pub async fn send(
        &self,
        target: &Arc<Target>,
        mut request: Request<RequestBody>,
        limits: &Limits,
    ) -> Result<Sent, UpstreamError> {
        let start = Instant::now();
        let deadline =
            (!limits.timeout.is_zero()).then(|| (start + limits.timeout, limits.timeout));
        let pool = self.pool(target);
        let mut timings = Timings::default();
        let upgrade = request.extensions().get::<ChangeOfProtocol>().is_some();
        let reusable = !target.settings.disable_connection_reuse && !upgrade;
        loop {
            let idle = if reusable && !timings.retried {
                pool.checkout(start).await
            } else {
                None
            };
            timings.reused = idle.is_some();
            let terms = Terms {
                limits,
                deadline,
                replayable: reusable
                    && !timings.retried
                    && (timings.reused || pool.kept_elsewhere()),
            };
            let connection = if let Some(connection) = idle {
                connection
            } else {
                let resolver = &self.inner.resolver;
                let opened_for = request.extensions_mut().remove::<OpenedFor>();
                let purpose = Purpose {
                    upgrade,
                    opened_for,
                };
                // Boxed: large, and not on the usual way.
                let opening = open::open(resolver, target, &pool, limits, &mut timings, purpose);
                within(deadline, Box::pin(opening)).await?
            };
            let begin = Instant::now();
            match exchange::exchange(connection, target, &pool, request, terms).await {
                Ok(response) => {
                    timings.ttfb = begin.elapsed();
                    return Ok(Sent { response, timings });
                }
                Err(Failure {
                    again: Some(again), ..
                }) if terms.replayable && pool.may_retry(Instant::now()) => {
                    request = exchange::again(*again);
                    timings.retried = true;
                }
                Err(Failure { error, .. }) => return Err(error),
            }
        }
    }

    fn pool(&self, target: &Arc<Target>) -> Rc<Pool> {
        let mut pools = self.inner.pools.borrow_mut();
        if let Some(pool) = pools.get(&**target) {
            return Rc::clone(pool);
        }
        let pool = Pool::new(Arc::clone(&target.settings.limit), self.inner.options);
        pools.insert(Arc::clone(target), Rc::clone(&pool));
        drop(pools);
        if !self.inner.sweeping.replace(true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(&self.inner)));
        }
        pool
    }
}

async fn sweep(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(inner) = inner.upgrade() else { return };
        let now = Instant::now();
        inner
            .pools
            .borrow_mut()
            .retain(|_, pool| !pool.sweep(now) || Rc::strong_count(pool) > 1);
    }
}

/// Runs `task` up to the end of the exchange's time.
async fn within<T>(
    deadline: Option<(Instant, Duration)>,
    task: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    match deadline {
        None => task.await,
        Some((at, limit)) => match tokio::time::timeout_at(at, task).await {
            Ok(result) => result,
            Err(_) => Err(UpstreamError::Timeout(limit)),
        },
    }
}
