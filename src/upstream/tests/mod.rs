//! Exchanges over real sockets with origins that follow a script.

mod faults;
mod limits;
mod protocols;
mod proxies;
mod reuse;

use std::future::Future;
use std::net::Ipv4Addr;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use super::open::LocalExecutor;
use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Long enough for anything that is to happen, short enough to notice what is not.
const PATIENCE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(40);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new()
        .block_on(&runtime, async {
            tokio::time::timeout(PATIENCE, test).await
        })
        .expect("the test is stuck");
}

/// Accepts connections and runs `script` on each with its number. Returns the port and the number
/// of connections so far.
async fn origin<S, F>(script: S) -> (u16, Rc<Cell<usize>>)
where
    S: Fn(usize, TcpStream) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = counter.get();
            counter.set(number + 1);
            spawn_local(script(number, stream));
        }
    });
    (port, count)
}

/// Reads up to and with `end`; `None` when the connection ends first.
async fn read_to<R: AsyncRead + Unpin>(stream: &mut R, end: &[u8]) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        seen.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(seen).unwrap())
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &[u8]) {
    while read_to(&mut stream, b"\r\n\r\n").await.is_some() {
        stream.write_all(answer).await.unwrap();
    }
}

fn settings(port: u16) -> TargetSettings {
    TargetSettings {
        series: None,
        host: "127.0.0.1".into(),
        port,
        tls: None,
        http2_prior_knowledge: false,
        proxy: None,
        disable_connection_reuse: false,
        limit: Limit::new(Limit::DEFAULT, Limit::DEFAULT),
    }
}

fn target(port: u16) -> Arc<Target> {
    Target::new(settings(port)).unwrap()
}

fn request(method: Method, body: &'static str) -> Request<RequestBody> {
    let body = RequestBody::full(body.as_bytes());
    Request::builder()
        .method(method)
        .uri("/path?q")
        .body(body)
        .unwrap()
}

fn get() -> Request<RequestBody> {
    request(Method::GET, "")
}

async fn text(sent: Sent) -> Result<String, UpstreamError> {
    let bytes = sent.response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn targets_are_checked() {
    let mut settings = settings(80);
    assert_eq!(
        Target::new(settings.clone()).unwrap().authority(),
        "127.0.0.1"
    );
    settings.host = "[::1]".into();
    settings.port = 81;
    assert_eq!(
        Target::new(settings.clone()).unwrap().authority(),
        "[::1]:81"
    );
    for host in ["", "a b", "user@host", "a/b"] {
        settings.host = host.into();
        assert!(Target::new(settings.clone()).is_err(), "{host}");
    }
}
