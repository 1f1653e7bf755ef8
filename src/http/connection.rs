//! Connections from clients: TLS, HTTP/1.1 and HTTP/2, time limits and graceful end.
//!
//! No timer runs for a connection. Each notes when it began to wait for a request's head or for
//! the next request, and the worker looks at all of them twice a second.

use super::framing::Framing;
use super::handshake::Handshake;
use super::pipeline;
use super::tunnel::Tunnel;
use super::worker::Worker;
use crate::runtime::ClientSeries;
use crate::telemetry::metrics::Gauge;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const SWEEP: Duration = Duration::from_millis(500);
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(2);
/// In so much time that was spent waiting for a client's body …
const BODY_WINDOW: Duration = Duration::from_secs(30);
/// … at least so many bytes of it have to come.
const BODY_WINDOW_BYTES: usize = 30 * 240;
/// Bytes read at once.
const READ: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long requests may be on their way when a connection is about to end.
const GRACE: Duration = Duration::from_millis(250);
const H2_STREAMS: u32 = 100;
const H2_STREAM_WINDOW: u32 = 64 << 10;
const H2_CONNECTION_WINDOW: u32 = 1 << 20;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Waits for the first byte since it was opened.
    New(Instant),
    /// Waits for the first byte of the next request.
    Idle(Instant),
    /// Reads a head, of which the first byte came then.
    Head(Instant),
    /// Serves requests.
    Busy,
}

/// A connection as its worker sees it.
#[derive(Debug)]
pub struct State {
    port: u16,
    doing: Cell<Doing>,
    requests: Cell<usize>,
    /// The last request came with a body, which may not have been read to its end.
    uploading: Cell<bool>,
    /// Since when the client takes nothing.
    stuck: Cell<Option<Instant>>,
    /// How fast a body comes.
    upload: Cell<Upload>,
    /// The last request asked for another protocol.
    upgrading: Cell<bool>,
    /// What takes the connection over after its last answer.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    wish: Cell<Wish>,
    /// The next request is the last.
    leaving: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// How fast a body comes. Time in which nobody asks for more of it does not count.
#[derive(Clone, Copy, Debug, Default)]
struct Upload {
    waiting: bool,
    waited: Duration,
    bytes: usize,
}

/// What a connection's worker wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing: it may go on.
    None,
    /// No further request; those running end in peace.
    Finish,
    /// At once.
    Close,
}

impl State {
    fn new(port: u16) -> Self {
        Self {
            port,
            doing: Cell::new(Doing::New(Instant::now())),
            requests: Cell::new(0),
            uploading: Cell::new(false),
            stuck: Cell::new(None),
            upload: Cell::new(Upload::default()),
            upgrading: Cell::new(false),
            tunnel: RefCell::new(None),
            wish: Cell::new(Wish::None),
            leaving: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    fn ask(&self, wish: Wish) {
        if self.wish.get() != wish {
            self.wish.set(wish);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }

    /// Asks for its end after the requests that run or are on their way.
    fn leave(&self) {
        if self.requests.get() > 0 {
            self.ask(Wish::Finish);
        } else {
            self.leaving.set(true);
        }
    }

    /// Asks for its end after the requests that run.
    fn finish(&self) {
        match self.doing.get() {
            Doing::New(_) => self.ask(Wish::Close),
            Doing::Idle(_) | Doing::Head(_) | Doing::Busy => self.ask(Wish::Finish),
        }
    }

    /// Notes whether a write went through.
    fn wrote<T>(&self, result: &Poll<T>) {
        if result.is_ready() {
            self.stuck.set(None);
        } else if self.stuck.get().is_none() {
            self.stuck.set(Some(Instant::now()));
        }
    }

    /// Notes a read: `bytes` that came, or none yet. `in_body` tells whether a body is under way.
    fn read(&self, bytes: Option<usize>, in_body: bool) {
        let mut upload = self.upload.get();
        if in_body {
            upload.waiting = bytes.is_none();
            upload.bytes += bytes.unwrap_or(0);
        } else {
            upload = Upload::default();
        }
        self.upload.set(upload);
    }

    /// Notes that time has passed; whether a body comes too slowly.
    fn is_upload_slow(&self, passed: Duration) -> bool {
        let mut upload = self.upload.get();
        if !upload.waiting {
            return false;
        }
        upload.waited += passed;
        let mut slow = false;
        if upload.waited >= BODY_WINDOW {
            slow = upload.bytes < BODY_WINDOW_BYTES;
            upload.waited = Duration::ZERO;
            upload.bytes = 0;
        }
        self.upload.set(upload);
        slow
    }

    fn is_stuck(&self) -> bool {
        let since = self.stuck.get();
        since.is_some_and(|since| since.elapsed() >= WRITE_TIMEOUT)
    }

    fn bytes_came(&self) {
        match self.doing.get() {
            // From the start of a connection the head is awaited.
            Doing::New(since) => self.doing.set(Doing::Head(since)),
            Doing::Idle(_) => self.doing.set(Doing::Head(Instant::now())),
            Doing::Head(_) | Doing::Busy => {}
        }
    }

    fn request_began(&self) {
        self.requests.set(self.requests.get() + 1);
        self.doing.set(Doing::Busy);
        if self.leaving.get() {
            self.ask(Wish::Finish);
        }
    }

    fn request_ended(&self) {
        let left = self.requests.get().saturating_sub(1);
        self.requests.set(left);
        if left == 0 {
            self.doing.set(Doing::Idle(Instant::now()));
        }
    }
}

/// Counts a request as running until it is dropped.
#[derive(Debug)]
pub struct Running(Rc<State>);

impl Running {
    fn new(state: &Rc<State>) -> Self {
        state.request_began();
        Self(Rc::clone(state))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// All connections of a worker.
#[derive(Debug, Default)]
pub struct Connections {
    all: RefCell<HashMap<u64, Rc<State>>>,
    next: Cell<u64>,
    gone: Notify,
}

impl Connections {
    fn add(&self, port: u16) -> (u64, Rc<State>) {
        let number = self.next.get();
        self.next.set(number + 1);
        let state = Rc::new(State::new(port));
        self.all.borrow_mut().insert(number, Rc::clone(&state));
        (number, state)
    }

    fn remove(&self, number: u64) {
        self.all.borrow_mut().remove(&number);
        self.gone.notify_waiters();
    }

    /// Does something to each.
    fn each(&self, act: impl Fn(&State)) {
        self.all.borrow().values().for_each(|state| act(state));
    }

    /// Ends the connections to some ports in peace: requests that run or are on their way may end
    /// within the timeout. Returns how many requests had to be cut.
    pub async fn drain(&self, ports: impl Fn(u16) -> bool, timeout: Duration) -> usize {
        let each = |act: fn(&State)| {
            self.each(|state| {
                if ports(state.port) {
                    act(state);
                }
            });
        };
        let deadline = tokio::time::Instant::now() + timeout;
        each(State::leave);
        let grace = GRACE.min(timeout);
        if tokio::time::timeout(grace, self.gone(&ports)).await.is_ok() {
            return 0;
        }
        each(State::finish);
        if tokio::time::timeout_at(deadline, self.gone(&ports))
            .await
            .is_ok()
        {
            return 0;
        }
        each(|state| state.ask(Wish::Close));
        let all = self.all.borrow();
        let cut = all.values().filter(|state| ports(state.port));
        cut.map(|state| state.requests.get()).sum()
    }

    /// Waits until there is no connection to these ports.
    async fn gone(&self, ports: impl Fn(u16) -> bool) {
        loop {
            let gone = self.gone.notified();
            if !self.all.borrow().values().any(|state| ports(state.port)) {
                return;
            }
            gone.await;
        }
    }
}

/// Ends connections that wait too long.
pub async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let settings = &worker.tree().settings;
        let (head, idle) = (settings.read_header_timeout, settings.idle_timeout);
        worker.connections.each(|state| match state.doing.get() {
            _ if state.is_stuck() || state.is_upload_slow(SWEEP) => state.ask(Wish::Close),
            Doing::New(since) | Doing::Head(since)
                if !head.is_zero() && since.elapsed() >= head =>
            {
                state.ask(Wish::Close);
            }
            Doing::Idle(since) if !idle.is_zero() && since.elapsed() >= idle => {
                state.ask(Wish::Finish);
            }
            Doing::New(_) | Doing::Head(_) | Doing::Idle(_) | Doing::Busy => {}
        });
    }
}

/// The facts of a connection that its requests share.
#[derive(Debug)]
pub struct Peer {
    /// The worker.
    pub worker: Rc<Worker>,
    /// The client's address.
    pub remote_ip: IpAddr,
    /// The same as text, for the log.
    pub remote_text: Rc<str>,
    /// The port it came in by.
    pub local_port: u16,
    /// Whether by TLS.
    pub tls: bool,
    /// The TLS handshake, once it is over.
    pub handshake: OnceCell<Rc<Handshake>>,
    /// The client's port.
    pub remote_port: u16,
    /// The port of `https_dev_proxy` that it came in by.
    pub dev_port: Option<u16>,
    state: Rc<State>,
}

impl Peer {
    /// Counts a request as running.
    pub fn running(&self, body: &Incoming) -> Running {
        let empty = http_body::Body::is_end_stream(body);
        self.state.uploading.set(!empty);
        Running::new(&self.state)
    }

    /// Notes that a request asks for another protocol, and so may be the last.
    pub fn upgrading(&self) {
        self.state.upgrading.set(true);
    }

    /// Hands the connection over to a tunnel once its answer has been written.
    pub fn hand_over(&self, tunnel: Box<Tunnel>) {
        self.state.tunnel.replace(Some(tunnel));
    }
}

/// Serves a connection in a task of its own.
pub fn spawn(stream: TcpStream, peer: SocketAddr, local_port: u16, worker: &Rc<Worker>) {
    let _ = stream.set_nodelay(true);
    let tree = worker.tree_of(local_port);
    let dev_proxy = tree.dev_proxy(local_port);
    let (served_port, tls) = match dev_proxy {
        Some(proxy) => (proxy.target, Some(Arc::clone(&proxy.tls))),
        None => {
            let listener = tree.listener(local_port);
            (local_port, listener.and_then(|l| l.tls.clone()))
        }
    };
    let dev_port = dev_proxy.map(|_| local_port);
    let (number, state) = worker.connections.add(local_port);
    let counted = tree.series.as_ref().map(Counted::new);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let remote_ip = peer.ip().to_canonical();
        let peer = Rc::new(Peer {
            remote_ip,
            remote_text: remote_ip.to_string().into(),
            remote_port: peer.port(),
            local_port: served_port,
            tls: tls.is_some() && dev_port.is_none(),
            dev_port,
            handshake: OnceCell::new(),
            worker: Rc::clone(&worker),
            state,
        });
        match tls {
            None => serve_http1(stream, peer).await,
            Some(config) => serve_tls(stream, config, peer).await,
        }
        worker.connections.remove(number);
        drop(counted);
    });
}

/// Counts a connection as open until it is dropped.
struct Counted(Arc<Gauge>);

impl Counted {
    fn new(series: &ClientSeries) -> Self {
        series.connections.add(1);
        series.open.add(1);
        Self(Arc::clone(&series.open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

async fn serve_tls(stream: TcpStream, config: Arc<ServerConfig>, peer: Rc<Peer>) {
    let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
    let Ok(Ok(stream)) = tokio::time::timeout(TLS_TIMEOUT, handshake).await else {
        return;
    };
    let connection = stream.get_ref().1;
    let h2 = connection.alpn_protocol() == Some(b"h2");
    // Set here alone, once for each connection.
    let _ = peer.handshake.set(Rc::new(Handshake::of(connection)));
    if h2 {
        serve_http2(stream, peer).await;
    } else {
        serve_http1(stream, peer).await;
    }
}

impl State {
    /// What the worker wants; `cx` is woken when that changes.
    pub(super) fn wish(&self, cx: &Context<'_>) -> Wish {
        self.watch(cx);
        self.wish.get()
    }

    /// Remembers whom to wake when a wish comes.
    fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// Polls a connection, turning wishes of the worker into its graceful or sudden end.
macro_rules! drive {
    ($connection:expr, $state:expr) => {{
        let mut connection = Pin::new($connection);
        let state = $state;
        let mut done = Wish::None;
        std::future::poll_fn(move |cx| {
            let wish = state.wish(cx);
            if wish == Wish::Close {
                return Poll::Ready((Wish::Close, None));
            }
            if wish == Wish::Finish && done == Wish::None {
                // What has come in meanwhile may be a request.
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready((Wish::Finish, result.err()));
                }
                done = Wish::Finish;
                connection.as_mut().graceful_shutdown();
            }
            connection
                .as_mut()
                .poll(cx)
                .map(|result| (done, result.err()))
        })
        .await
    }};
}

async fn serve_http1<S>(stream: S, peer: Rc<Peer>)
where
    S: Socket + 'static,
{
    let state = Rc::clone(&peer.state);
    let of_requests = Rc::clone(&peer);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let peer = Rc::clone(&of_requests);
        async move { Ok::<_, Infallible>(pipeline::handle(request, peer).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(2 * MAX_HEAD_BYTES);
    let io = Watched::new(stream, &state, Some(Framing::default()));
    let mut connection = builder.serve_connection(io, service);
    let (wish, error) = drive!(&mut connection, &state);
    if let Some(error) = error.filter(hyper::Error::is_parse) {
        let io = connection.into_parts().io;
        let line = io.framing.as_ref().map_or(&b""[..], Framing::request_line);
        pipeline::refused(&peer, line, &error);
        return;
    }
    if wish == Wish::Close || !state.upgrading.get() {
        return;
    }
    // Asked for another protocol, hyper leaves the end of the connection to its user.
    let parts = connection.into_parts();
    let mut io = TokioIo::new(parts.io.without_framing());
    match state.tunnel.take() {
        Some(tunnel) => tunnel.run(io, parts.read_buf, &state).await,
        None => {
            let _ = io.shutdown().await;
        }
    }
}

async fn serve_http2<S>(stream: S, peer: Rc<Peer>)
where
    S: Socket + 'static,
{
    let state = Rc::clone(&peer.state);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let peer = Rc::clone(&peer);
        async move { Ok::<_, Infallible>(pipeline::handle(request, peer).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_header_list_size(64 << 10);
    let io = Watched::new(stream, &state, None);
    let mut connection = builder.serve_connection(io, service);
    drive!(&mut connection, &state);
}

/// Spawns onto the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A connection, plain or with TLS.
trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// What it runs over.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Notes when bytes come in, and ends a connection so that its last answer arrives.
struct Watched<S: Socket> {
    inner: TokioIo<S>,
    /// For HTTP/1.1.
    framing: Option<Framing>,
    state: Rc<State>,
    lingering: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S: Socket> Watched<S> {
    fn new(stream: S, state: &Rc<State>, framing: Option<Framing>) -> Self {
        Self {
            inner: TokioIo::new(stream),
            framing,
            state: Rc::clone(state),
            lingering: None,
        }
    }

    /// The same for another protocol.
    fn without_framing(mut self) -> Self {
        self.framing = None;
        self.state.upload.set(Upload::default());
        self
    }

    /// Takes what the client still sends, up to its end or a limit. Closed before, the system
    /// answers it with a reset, which can destroy the answer on its way (RFC 9112 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .lingering
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 8 << 10];
        // Few reads at a time, so that one client cannot keep the worker.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(self.inner.inner_mut()).poll_read(cx, &mut buffer);
            match ready!(read) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Socket> Drop for Watched<S> {
    fn drop(&mut self) {
        if self.state.is_stuck() {
            // What the client has not taken is thrown away: the system would hold it for long.
            let socket = socket2::SockRef::from(self.inner.inner().tcp());
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl<S: Socket> Read for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(framing) = &mut this.framing else {
            let result = Pin::new(&mut this.inner).poll_read(cx, buffer);
            if result.is_ready() {
                this.state.bytes_came();
            }
            return result;
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let room = buffer.remaining().min(scratch.len());
            let mut read = ReadBuf::new(&mut scratch[..room]);
            let result = Pin::new(this.inner.inner_mut()).poll_read(cx, &mut read);
            if result.is_pending() {
                this.state.read(None, framing.in_body());
                return Poll::Pending;
            }
            let bytes = read.filled_mut();
            framing.follow(bytes);
            buffer.put_slice(bytes);
            this.state.read(Some(bytes.len()), framing.in_body());
            this.state.bytes_came();
            result
        })
    }
}

thread_local! {
    /// Where this worker's connections read to, before hyper gets it.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

impl<S: Socket> Write for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.state.wrote(&result);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        }
        if self.state.uploading.get() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.state.wrote(&result);
        result
    }
}
