//! A connection after its change of protocol: bytes go both ways until both sides have ended.
//!
//! It runs in the task of the client's connection, so that it counts among the connections of the
//! worker and takes part in its graceful end: then, and when one of its limits is reached, both
//! sides are told by a close frame (RFC 6455 §7.4.1, 1001), as soon as a frame has ended.
//!
//! Deviation: Couper ends both directions with the first, which loses the other side's last words.

use super::backend_log::BackendEntry;
use super::connection::{State, Wish};
use super::pipeline::Finish;
use super::websocket::{self, Frames};
use crate::blocks::websockets::Lifetime;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What is held of either direction.
const BUFFER: usize = 16 << 10;
/// How long an answer to a close frame is waited for.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// How long the origin's connection may take to be handed over once it has agreed.
const HAND_OVER: Duration = Duration::from_secs(10);

/// A change of protocol that the origin has agreed to. Its end, or its drop, writes the entries of
/// the backend and of the client's request.
#[derive(Debug)]
pub struct Tunnel {
    origin: OnUpgrade,
    lifetime: Lifetime,
    entry: Option<Box<BackendEntry>>,
    finish: Option<Box<Finish>>,
    bytes: u64,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // The entry of the backend comes before that of the client's request.
        self.entry = None;
        if let Some(finish) = self.finish.take() {
            finish.complete(self.bytes);
        }
    }
}

impl Tunnel {
    /// A tunnel to the other end of `origin`, without limits.
    pub fn new(origin: OnUpgrade) -> Self {
        Self {
            origin,
            lifetime: Lifetime {
                total: Duration::ZERO,
                idle: Duration::ZERO,
            },
            entry: None,
            finish: None,
            bytes: 0,
        }
    }

    /// Limits it.
    pub fn limit(&mut self, lifetime: Lifetime) {
        self.lifetime = lifetime;
    }

    /// Leaves the entry of the backend to the end of the tunnel.
    pub fn log(&mut self, entry: Box<BackendEntry>) {
        self.entry = Some(entry);
    }

    /// Leaves the end of the exchange to the end of the tunnel.
    pub fn finish_with(&mut self, finish: Box<Finish>) {
        self.finish = Some(finish);
    }

    /// Passes bytes on until both sides have ended, one fails, or time is over. `early` are bytes
    /// that the client sent along with its handshake.
    pub(super) async fn run<C>(mut self: Box<Self>, mut client: C, early: Bytes, state: &State)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let handed_over = tokio::time::timeout(HAND_OVER, &mut self.origin).await;
        let Ok(Ok(origin)) = handed_over else { return };
        let mut origin = TokioIo::new(origin);
        let mut up = Direction::new(true, &early);
        let mut down = Direction::new(false, &[]);
        let mut clock = Clock::new(self.lifetime);
        let mut closing = false;
        std::future::poll_fn(|cx| {
            match state.wish(cx) {
                Wish::Close => return Poll::Ready(()),
                Wish::Finish if !closing => {
                    closing = true;
                    up.close();
                    down.close();
                }
                Wish::Finish | Wish::None => {}
            }
            loop {
                let before = up.bytes + down.bytes;
                let polled = (
                    up.poll(cx, &mut client, &mut origin),
                    down.poll(cx, &mut origin, &mut client),
                );
                if up.bytes + down.bytes > before {
                    clock.moved();
                }
                match polled {
                    (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
                    (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
                    _ => {}
                }
                // Both have said good-bye, and one has left: the other has nothing to wait for.
                let parted = up.frames.has_closed() && down.frames.has_closed();
                if parted && (up.told || down.told) {
                    return Poll::Ready(());
                }
                if down.has_sent_close() {
                    if up.frames.has_closed() {
                        return Poll::Ready(());
                    }
                    clock.await_close();
                }
                ready!(clock.poll(cx));
                // A limit is reached. In the middle of a frame nothing can be said about it.
                if closing || !down.can_close() {
                    return Poll::Ready(());
                }
                closing = true;
                up.close();
                down.close();
            }
        })
        .await;
        self.bytes = down.bytes;
        if let Some(entry) = &mut self.entry {
            entry.count(usize::try_from(down.bytes).unwrap_or(usize::MAX));
            entry.request_bytes(up.bytes);
        }
    }
}

/// When a tunnel has to end.
#[derive(Debug)]
struct Clock {
    end: Option<Instant>,
    idle: Duration,
    last: Instant,
    close_by: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

/// So far off that it never comes.
const NEVER: Duration = Duration::from_hours(24 * 365);

impl Clock {
    fn new(lifetime: Lifetime) -> Self {
        let now = Instant::now();
        let mut clock = Self {
            end: (!lifetime.total.is_zero()).then(|| now + lifetime.total),
            idle: lifetime.idle,
            last: now,
            close_by: None,
            sleep: Box::pin(tokio::time::sleep_until(now)),
        };
        let next = clock.next();
        clock.sleep.as_mut().reset(next);
        clock
    }

    fn moved(&mut self) {
        self.last = Instant::now();
    }

    /// From now on the peers have little time.
    fn await_close(&mut self) {
        if self.close_by.is_none() {
            let by = Instant::now() + CLOSE_GRACE;
            self.close_by = Some(by);
            self.sleep.as_mut().reset(by);
        }
    }

    fn next(&self) -> Instant {
        let idle = (!self.idle.is_zero()).then(|| self.last + self.idle);
        let all = [self.close_by, self.end, idle];
        let first = all.into_iter().flatten().min();
        first.unwrap_or_else(|| self.last + NEVER)
    }

    /// Ready when a limit is reached.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let next = self.next();
            if next <= Instant::now() {
                if self.close_by.is_none() {
                    // What remains is the end by a close frame.
                    self.end = None;
                    self.idle = Duration::ZERO;
                }
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(next);
        }
    }
}

/// Whether a close frame is to be sent, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    No,
    Wanted,
    Sent,
}

/// Bytes on their way from one side to the other.
#[derive(Debug)]
struct Direction {
    /// Whether to the origin, as whose client the gateway masks what it says itself.
    to_origin: bool,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether the source has finished.
    ended: bool,
    /// Whether the sink knows.
    told: bool,
    close: Close,
    frames: Frames,
    bytes: u64,
}

impl Direction {
    fn new(to_origin: bool, early: &[u8]) -> Self {
        let mut buffer = vec![0; BUFFER.max(early.len())].into_boxed_slice();
        buffer[..early.len()].copy_from_slice(early);
        let mut frames = Frames::default();
        frames.advance(early);
        Self {
            to_origin,
            buffer,
            start: 0,
            end: early.len(),
            ended: false,
            told: false,
            close: Close::No,
            frames,
            bytes: 0,
        }
    }

    /// Asks for a close frame as soon as one can be sent.
    fn close(&mut self) {
        if self.close == Close::No {
            self.close = Close::Wanted;
        }
    }

    fn can_close(&self) -> bool {
        self.start == self.end && self.frames.at_boundary() && !self.ended
    }

    fn has_sent_close(&self) -> bool {
        self.close == Close::Sent && self.start == self.end
    }

    /// Ready when the source has finished and the sink knows.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if self.start < self.end {
                let waiting = &self.buffer[self.start..self.end];
                let count = ready!(Pin::new(&mut *to).poll_write(cx, waiting))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += count;
                self.bytes += count as u64;
                continue;
            }
            if self.ended {
                if !self.told {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.told = true;
                }
                return Poll::Ready(Ok(()));
            }
            if self.close == Close::Wanted && self.can_close() {
                self.close = Close::Sent;
                let frame = websocket::close_frame(self.to_origin);
                self.buffer[..frame.len()].copy_from_slice(&frame);
                (self.start, self.end) = (0, frame.len());
                continue;
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *from).poll_read(cx, &mut buffer)? {
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
                Poll::Ready(()) => {
                    let filled = buffer.filled();
                    self.ended = filled.is_empty();
                    self.frames.advance(filled);
                    // Nothing may follow a close frame (RFC 6455 §5.5.1).
                    let passed_on = self.close != Close::Sent;
                    (self.start, self.end) = (0, if passed_on { filled.len() } else { 0 });
                }
            }
        }
    }
}
