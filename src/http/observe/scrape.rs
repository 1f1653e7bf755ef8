//! The port at which Prometheus asks for metrics.
//!
//! It has a thread and a runtime of its own, so that it answers however busy the workers are, and up
//! to the very end of the process.

use crate::http::listener::{self, BindError};
use crate::telemetry::metrics::{self, Format, ServiceLabels};
use crate::telemetry::{Level, sink};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Scrapers are few; more connections than this wait.
const CONNECTIONS: usize = 32;
/// For a request's head, between requests as well.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// For a connection as a whole. Scrapers open another one then.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(60);
/// Pause after a failed accept, such as with no file descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The port cannot be had.
    #[error("metrics: {0}")]
    Bind(#[from] BindError),
    /// The thread cannot be had.
    #[error("metrics: cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// Serves the process's metrics at `port` on all addresses until the process ends.
pub(super) fn start(port: u16, service: ServiceLabels) -> Result<(), ScrapeError> {
    let sockets = listener::exclusive(port)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .on_thread_park(sink::flush)
        .build()?;
    std::thread::Builder::new()
        .name("metrics".into())
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            let service = Rc::new(service);
            for socket in sockets {
                local.spawn_local(accept(socket, Rc::clone(&service)));
            }
            runtime.block_on(local);
        })?;
    Ok(())
}

async fn accept(socket: TcpListener, service: Rc<ServiceLabels>) {
    let address = socket.local_addr().ok();
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("cannot serve metrics: {error}");
            return;
        }
    };
    if let Some(address) = address {
        super::tell(Level::Info, &format!("metrics are served: {address}"));
    }
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let service = Rc::clone(&service);
                tokio::task::spawn_local(async move {
                    serve(stream, peer, service).await;
                    drop(place);
                });
            }
            Err(error) => {
                super::tell(Level::Error, &format!("metrics: cannot accept: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, service: Rc<ServiceLabels>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &service);
        log(&request, &response, peer);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    // Whoever sends no HTTP, or goes away, is not worth a word.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

fn answer(request: &Request<Incoming>, service: &ServiceLabels) -> Response<Full<Bytes>> {
    let plain = |status: StatusCode, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        let value = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, value);
        response
    };
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "metrics are read with GET\n",
        );
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
        return response;
    }
    let accept = request.headers().get_all(header::ACCEPT).iter();
    let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    match metrics::render(metrics::registry().collect(), service, format) {
        Ok(text) => {
            let mut response = Response::new(Full::new(Bytes::from(text)));
            let headers = response.headers_mut();
            let kind = HeaderValue::from_static(format.content_type());
            headers.insert(header::CONTENT_TYPE, kind);
            let fresh = HeaderValue::from_static("no-store");
            headers.insert(header::CACHE_CONTROL, fresh);
            response
        }
        Err(_) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written\n",
        ),
    }
}

fn log(request: &Request<Incoming>, response: &Response<Full<Bytes>>, peer: SocketAddr) {
    let now = SystemTime::now();
    sink::write(
        super::ENTRY,
        Level::Debug,
        now,
        b"metrics access",
        |entry| {
            entry.string("method", request.method().as_str().as_bytes());
            let path = crate::telemetry::redact(request.uri().path().as_bytes());
            entry.string("path", &path);
            entry.number("status", u64::from(response.status().as_u16()));
            entry.string("client_ip", peer.ip().to_canonical().to_string().as_bytes());
        },
    );
}
