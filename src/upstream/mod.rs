//! The only way out of the gateway: requests to origins over pooled connections.
//!
//! Each worker thread has one [`Upstream`] with connections of its own; nothing in it is shared
//! but the [`Limit`] of a backend. HTTP/1.1 connections are reused most recently used first and go
//! back only after a response was read to its end. HTTP/2 connections are shared by requests.
//!
//! A request is sent twice in one case only: its connection was an idle one that the origin had
//! closed, and either no byte of the request was written, or its method is idempotent and its body
//! can be sent again.

mod body;
mod connect;
mod error;
mod permitted;
mod pool;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, PROXY_AUTHORIZATION};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use body::{RequestBody, UpstreamBody};
pub use error::{BoxError, UpstreamError};
pub use target::{ForwardProxy, InvalidTarget, Limit, Target, TargetSettings, Tls};
pub use tls::{TlsSettings, client_config};
pub use watch::{OpenedFor, TargetSeries};

use body::Written;
use permitted::Permitted;
use pool::{Connection, Lease, Pool};
use watch::Open;

/// How often aged connections are looked for. Also how long a request may wait for a place that an
/// idle connection of another worker holds.
const SWEEP: Duration = Duration::from_millis(500);

/// The head of a response, and what is read of a body at once, has this size at most. What a slow
/// client has not taken yet is a multiple of it.
const MAX_BUFFER: usize = 64 << 10;

/// A TLS handshake takes no longer, whatever the connect timeout.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

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
            let connection = if let Some(connection) = idle {
                connection
            } else {
                // Boxed: large, and not on the usual way.
                let opened_for = request.extensions_mut().remove::<OpenedFor>();
                let open = self.open(target, &pool, limits, &mut timings, upgrade, opened_for);
                let open = Box::pin(open);
                within(deadline, open).await?
            };
            let begin = Instant::now();
            match exchange(
                connection,
                target,
                &pool,
                request,
                limits,
                deadline,
                timings.reused,
            )
            .await
            {
                Ok(response) => {
                    timings.ttfb = begin.elapsed();
                    return Ok(Sent { response, timings });
                }
                Err(Failure {
                    again: Some(again), ..
                }) if timings.reused => {
                    request = *again;
                    // Written for HTTP/2, where the authority stands for the Host field.
                    if request.version() == Version::HTTP_2
                        && let Some(host) = request.uri().authority()
                        && let Ok(host) = HeaderValue::from_str(host.as_str())
                    {
                        request.headers_mut().insert(HOST, host);
                    }
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

    async fn open(
        &self,
        target: &Target,
        pool: &Pool,
        limits: &Limits,
        timings: &mut Timings,
        upgrade: bool,
        opened_for: Option<OpenedFor>,
    ) -> Result<Connection, UpstreamError> {
        let settings = &target.settings;
        let permit = settings.limit.acquire().await?;
        let dial = async {
            let start = Instant::now();
            let (host, port) = target.next_hop();
            let addresses = self.inner.resolver.resolve(host).await.map_err(|source| {
                UpstreamError::Resolve {
                    host: host.into(),
                    source,
                }
            })?;
            let resolved = Instant::now();
            let mut stream =
                connect::dial(&addresses, port)
                    .await
                    .map_err(|source| UpstreamError::Connect {
                        host: format!("{host}:{port}").into(),
                        source,
                    })?;
            if let (Some(proxy), Some(_)) = (&settings.proxy, &settings.tls) {
                let authorization = proxy.authorization.as_ref();
                connect::tunnel(&mut stream, &settings.host, settings.port, authorization)
                    .await
                    .map_err(UpstreamError::Proxy)?;
            }
            timings.dns = Some(resolved - start);
            timings.tcp = Some(resolved.elapsed());
            Ok(stream)
        };
        let limit = limits.connect_timeout;
        let stream = if limit.is_zero() {
            dial.await?
        } else {
            match tokio::time::timeout(limit, dial).await {
                Ok(stream) => stream?,
                Err(_) => return Err(UpstreamError::ConnectTimeout(limit)),
            }
        };
        let held = Open::new(target, permit, &stream, opened_for);
        let Some(tls) = &settings.tls else {
            let http2 = settings.http2_prior_knowledge && settings.proxy.is_none() && !upgrade;
            return handshake(stream, http2, pool, held, target).await;
        };
        let start = Instant::now();
        let mut config = Arc::clone(&tls.config);
        if upgrade && !config.alpn_protocols.is_empty() {
            // HTTP/2 is not on offer.
            Arc::make_mut(&mut config).alpn_protocols.clear();
        }
        let connector = tokio_rustls::TlsConnector::from(config);
        let hello = connector.connect(tls.server_name.clone(), stream);
        let stream = match tokio::time::timeout(TLS_TIMEOUT, hello).await {
            Ok(stream) => stream.map_err(UpstreamError::Tls)?,
            Err(_) => return Err(UpstreamError::ConnectTimeout(TLS_TIMEOUT)),
        };
        timings.tls = Some(start.elapsed());
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        handshake(stream, http2, pool, held, target).await
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

/// Tasks of a worker stay on its thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// Speaks HTTP on a fresh connection, which is `held` open until it is closed.
async fn handshake<S>(
    stream: S,
    http2: bool,
    pool: &Pool,
    held: Open,
    target: &Target,
) -> Result<Connection, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // It goes where the connection goes, also after a change of protocol.
    let io = TokioIo::new(Permitted::new(stream, held));
    if http2 {
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_header_list_size(64 * 1024)
            .handshake(io)
            .await
            .map_err(UpstreamError::Dropped)?;
        tokio::task::spawn_local(async move {
            // What ended it reaches the requests on it.
            let _ = connection.await;
        });
        if !target.settings.disable_connection_reuse {
            pool.share(sender.clone());
        }
        Ok(Connection::H2(sender))
    } else {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(io)
            .await
            .map_err(UpstreamError::Dropped)?;
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        sender.ready().await.map_err(UpstreamError::Dropped)?;
        Ok(Connection::H1(sender, Instant::now()))
    }
}

struct Failure {
    error: UpstreamError,
    /// The request, when it may be sent once more. Boxed because it is rare.
    again: Option<Box<Request<RequestBody>>>,
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self { error, again: None }
    }
}

async fn exchange(
    connection: Connection,
    target: &Target,
    pool: &Rc<Pool>,
    mut request: Request<RequestBody>,
    limits: &Limits,
    deadline: Option<(Instant, Duration)>,
    reused: bool,
) -> Result<Response<UpstreamBody>, Failure> {
    let written = request.body_mut().track();
    // Only a connection that has waited can turn out to be closed, so others need no copy.
    let copy = if reused { replay(&request) } else { None };
    let settle = |mut error: TrySendError<Request<RequestBody>>| {
        if let Some(request) = error.take_message() {
            let error = UpstreamError::before_response(error.into_error());
            return Failure {
                error,
                again: Some(Box::new(request)),
            };
        }
        let error = UpstreamError::before_response(error.into_error());
        let again = copy.filter(|_| matches!(error, UpstreamError::Dropped(_)));
        Failure { error, again }
    };
    match connection {
        Connection::H1(mut connection, born) => {
            to_http1(&mut request, target)?;
            let response = connection.try_send_request(request);
            let response = head(response, limits, deadline, written.as_ref())
                .await?
                .map_err(settle)?;
            // After a switch of protocols the connection is the caller's.
            let keep = response.status() != StatusCode::SWITCHING_PROTOCOLS
                && !target.settings.disable_connection_reuse;
            let pool = Rc::clone(pool);
            let lease = keep.then(|| Lease {
                pool,
                connection,
                born,
                written,
            });
            Ok(response.map(|body| UpstreamBody::new(body, lease, deadline)))
        }
        Connection::H2(mut connection) => {
            to_http2(&mut request, target)?;
            let response = connection.try_send_request(request);
            let response = head(response, limits, deadline, written.as_ref())
                .await?
                .map_err(settle)?;
            Ok(response.map(|body| UpstreamBody::new(body, None, deadline)))
        }
    }
}

/// A second copy of a request that may reach the origin twice.
fn replay(request: &Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
    if !request.method().is_idempotent() {
        return None;
    }
    let mut copy = Request::new(request.body().try_clone()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(Box::new(copy))
}

type Head = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Waits for the response's head within the limits, with one timer at most.
async fn head(
    response: impl Future<Output = Head>,
    limits: &Limits,
    deadline: Option<(Instant, Duration)>,
    written: Option<&Written>,
) -> Result<Head, UpstreamError> {
    let mut response = pin!(response);
    let ttfb = limits.ttfb_timeout;
    if ttfb.is_zero() && deadline.is_none() {
        return Ok(response.await);
    }
    let start = Instant::now();
    // While the request is under way, the limit of the first byte has not begun.
    let first_byte = |now: Instant| {
        (!ttfb.is_zero()).then(|| written.map_or(start, |w| w.get().unwrap_or(now)) + ttfb)
    };
    let next = |now: Instant| match (first_byte(now), deadline) {
        (Some(a), Some((b, _))) => a.min(b),
        (Some(a), None) => a,
        (None, Some((b, _))) => b,
        (None, None) => now + ttfb,
    };
    let mut timer = pin!(tokio::time::sleep_until(next(start)));
    loop {
        tokio::select! {
            biased;
            result = &mut response => return Ok(result),
            () = &mut timer => {
                let now = Instant::now();
                if let Some((at, limit)) = deadline && now >= at {
                    return Err(UpstreamError::Timeout(limit));
                }
                if first_byte(now).is_some_and(|at| now >= at) {
                    return Err(UpstreamError::FirstByteTimeout(ttfb));
                }
                timer.as_mut().reset(next(now));
            }
        }
    }
}

fn to_http1(request: &mut Request<RequestBody>, target: &Target) -> Result<(), UpstreamError> {
    *request.version_mut() = Version::HTTP_11;
    if request.method() != Method::CONNECT
        && (request.uri().authority().is_some() || request.uri().path_and_query().is_none())
    {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    if !request.headers().contains_key(HOST) {
        request
            .headers_mut()
            .insert(HOST, target.host_header.clone());
    }
    let upgrade = request.extensions().get::<ChangeOfProtocol>().is_some();
    if target.settings.disable_connection_reuse && !upgrade {
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let (Some(proxy), None) = (&target.settings.proxy, &target.settings.tls) {
        *request.uri_mut() = absolute(request, target, target.authority.clone())?;
        if let Some(value) = &proxy.authorization {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, value.clone());
        }
    }
    Ok(())
}

/// The request's path at `authority`.
fn absolute(
    request: &Request<RequestBody>,
    target: &Target,
    authority: Authority,
) -> Result<Uri, UpstreamError> {
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(target.scheme());
    parts.authority = Some(authority);
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|error| UpstreamError::Unsendable(error.into()))
}

fn to_http2(request: &mut Request<RequestBody>, target: &Target) -> Result<(), UpstreamError> {
    *request.version_mut() = Version::HTTP_2;
    let authority = match request.headers_mut().remove(HOST) {
        Some(host) => Authority::try_from(host.as_bytes())
            .map_err(|error| UpstreamError::Unsendable(error.into()))?,
        None => target.authority.clone(),
    };
    *request.uri_mut() = absolute(request, target, authority)?;
    request.headers_mut().remove(CONNECTION);
    Ok(())
}
