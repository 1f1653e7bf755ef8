//! The listener of the admin API: a thread of its own, so that no operator's request stands in the way
//! of a client's.

use super::body::{self, ReadError};
use super::worker::Shared;
use crate::admin::{Body as AdminBody, Call, MAX_BODY, Reply};
use crate::blocks::authorization_server::admin::Address;
use crate::telemetry::{Level, redact, sink};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

/// Bodies of an import at most.
const MAX_IMPORT: u64 = 64 << 20;
/// How long a request may take to come and to be answered.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Connections at a time.
const CONNECTIONS: usize = 256;
/// Pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener of the admin API.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("the admin API cannot listen on {address}: {source}")]
pub struct BindError {
    /// Where.
    pub address: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Binds all addresses.
pub fn bind(addresses: &[Address]) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::new();
    for address in addresses {
        let (text, listeners) = match address {
            Address::Tcp(text) => (text.clone(), bind_tcp(text)),
            Address::Unix(path) => (
                path.display().to_string(),
                bind_unix(path).map(|one| vec![one]),
            ),
        };
        bound.extend(listeners.map_err(|source| BindError {
            address: text.clone(),
            source,
        })?);
        tracing::info!("admin API: {text}");
    }
    Ok(bound)
}

/// Every address of a name; of `localhost` those there are.
fn bind_tcp(text: &str) -> io::Result<Vec<Bound>> {
    let mut bound = Vec::new();
    let mut failed = None;
    for address in text.to_socket_addrs()? {
        match TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                bound.push(Bound::Tcp(listener));
            }
            // A machine without IPv6 has the name all the same.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    match failed {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// A socket for its owner alone. One that an earlier process left is replaced.
fn bind_unix(path: &std::path::Path) -> io::Result<Bound> {
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(Bound::Unix(listener))
}

/// Serves on a thread until the process ends.
pub fn start(shared: Arc<Shared>, bound: Vec<Bound>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .on_thread_park(sink::flush)
        .build()?;
    let serve = move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let slots = Arc::new(Semaphore::new(CONNECTIONS));
            let mut accepting = tokio::task::JoinSet::new();
            for listener in bound {
                accepting.spawn_local(accept(listener, Arc::clone(&shared), Arc::clone(&slots)));
            }
            accepting.join_all().await;
        });
    };
    let thread = std::thread::Builder::new().name("admin".into());
    thread.spawn(serve).map(|_| ())
}

async fn accept(bound: Bound, shared: Arc<Shared>, slots: Arc<Semaphore>) {
    let listening = match bound {
        Bound::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Listening::Tcp),
        Bound::Unix(listener) => tokio::net::UnixListener::from_std(listener).map(Listening::Unix),
    };
    let listening = match listening {
        Ok(listening) => listening,
        Err(error) => {
            tracing::error!("the admin API cannot accept connections: {error}");
            return;
        }
    };
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let shared = Arc::clone(&shared);
        match listening.accept().await {
            Ok(Accepted::Tcp(stream, address)) => {
                tokio::task::spawn_local(async move {
                    serve(stream, Some(address), shared).await;
                    drop(slot);
                });
            }
            Ok(Accepted::Unix(stream)) => {
                tokio::task::spawn_local(async move {
                    serve(stream, None, shared).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!("the admin API cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

enum Listening {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

enum Accepted {
    Tcp(tokio::net::TcpStream, IpAddr),
    Unix(tokio::net::UnixStream),
}

impl Listening {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, address.ip()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Unix(stream))
            }
        }
    }
}

async fn serve<S>(stream: S, address: Option<IpAddr>, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let shared = Rc::new(shared);
    let service = service_fn(move |request| {
        let shared = Rc::clone(&shared);
        async move { Ok::<_, Infallible>(handle(request, address, &shared).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // How a client ends its connection is its own affair.
    let _ = served.await;
}

async fn handle(
    request: Request<Incoming>,
    address: Option<IpAddr>,
    shared: &Shared,
) -> Response<Body> {
    let started = SystemTime::now();
    let (parts, incoming) = request.into_parts();
    let tree = shared.tree();
    let api = tree.admin.as_ref().and_then(|admin| admin.api.get());
    let answering = async {
        let Some(api) = api else {
            // The configuration in force has no admin API any more.
            return Reply::without_api();
        };
        let limit = match parts.uri.path().trim_matches('/') {
            "import" => MAX_IMPORT,
            _ => MAX_BODY as u64,
        };
        let body = match body::read(incoming, limit).await {
            Ok(body) => Some(body),
            Err(ReadError::TooLarge) => None,
            Err(ReadError::Broken(_)) => Some(Bytes::new()),
        };
        api.answer(&Call {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or(""),
            headers: &parts.headers,
            body: body.as_deref(),
            by_socket: address.is_none(),
        })
        .await
    };
    let reply = tokio::time::timeout(TIMEOUT, Box::pin(answering)).await;
    let reply = reply.unwrap_or_else(|_| Reply::too_late());
    log(&parts, address, &reply, started);
    let head = parts.method == http::Method::HEAD;
    let body = match reply.body {
        AdminBody::Whole(bytes) => Body::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
        AdminBody::Parts(parts) => Body::Parts(parts),
    };
    let body = if head { Body::Whole(None) } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    *response.version_mut() = Version::HTTP_11;
    if reply.status == StatusCode::PAYLOAD_TOO_LARGE {
        let close = http::HeaderValue::from_static("close");
        response
            .headers_mut()
            .insert(http::header::CONNECTION, close);
    }
    response
}

/// One line of type `admin_access`.
fn log(parts: &http::request::Parts, address: Option<IpAddr>, reply: &Reply, started: SystemTime) {
    let level = if reply.status.is_server_error() {
        Level::Error
    } else {
        Level::Info
    };
    if !sink::enabled(level) {
        return;
    }
    let path = redact(parts.uri.path().as_bytes());
    sink::write("admin_access", level, started, b"", |entry| {
        entry.string("method", parts.method.as_str().as_bytes());
        entry.string("path", path.as_ref());
        entry.number("status", u64::from(reply.status.as_u16()));
        match address {
            Some(address) => entry.string("client_ip", address.to_string().as_bytes()),
            None => entry.string("client_ip", b"unix"),
        }
        if let Some(actor) = &reply.actor {
            entry.string("actor", actor.as_bytes());
        }
    });
}

/// The body of an answer.
enum Body {
    Whole(Option<Bytes>),
    Parts(tokio::sync::mpsc::Receiver<Bytes>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Parts(parts) => parts.poll_recv(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => {
                http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Parts(_) => http_body::SizeHint::default(),
        }
    }
}
