//! Bodies on their way to and from an origin. Both stream frame by frame.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::error::{BoxError, UpstreamError};
use super::pool::Lease;

/// When the last byte of a request was handed to the connection.
pub(super) type Written = Rc<Cell<Option<Instant>>>;

/// The body of a request. The usual kinds need no box.
pub struct RequestBody {
    kind: Kind,
    written: Option<Written>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>),
}

impl RequestBody {
    /// No body.
    pub const fn empty() -> Self {
        Self {
            kind: Kind::Empty,
            written: None,
        }
    }

    /// A body that is in memory, and so can be sent twice.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let kind = if bytes.is_empty() {
            Kind::Empty
        } else {
            Kind::Full(bytes)
        };
        Self {
            kind,
            written: None,
        }
    }

    /// Any other body.
    pub fn boxed<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error = BoxError> + 'static,
    {
        Self {
            kind: Kind::Boxed(Box::pin(body)),
            written: None,
        }
    }

    /// A second copy, if the body can be sent twice.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.kind {
            Kind::Empty => Some(Self::empty()),
            Kind::Full(bytes) => Some(Self {
                kind: Kind::Full(bytes.clone()),
                written: None,
            }),
            Kind::Incoming(_) | Kind::Boxed(_) => None,
        }
    }

    /// For bodies that take time: tells when the whole body was taken.
    pub(super) fn track(&mut self) -> Option<Written> {
        match self.kind {
            Kind::Empty | Kind::Full(_) => None,
            Kind::Incoming(_) | Kind::Boxed(_) => {
                let written = Written::default();
                self.written = Some(Rc::clone(&written));
                Some(written)
            }
        }
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        let kind = if body.is_end_stream() {
            Kind::Empty
        } else {
            Kind::Incoming(body)
        };
        Self {
            kind,
            written: None,
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // The connection lets go of a body as soon as it has taken the last frame.
        if let Some(written) = &self.written {
            written.set(Some(Instant::now()));
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Incoming(_) => "incoming",
            Kind::Boxed(_) => "boxed",
        };
        f.debug_tuple("RequestBody").field(&kind).finish()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Incoming(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

/// The body of a response. Read to its end it gives the connection back; dropped before, it ends
/// the connection. A time limit of the whole exchange holds on.
#[derive(Debug)]
pub struct UpstreamBody {
    inner: Incoming,
    lease: Option<Lease>,
    deadline: Option<(Instant, Duration)>,
    /// Made when the body first has to wait; most bodies never do.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl UpstreamBody {
    pub(super) fn new(
        inner: Incoming,
        lease: Option<Lease>,
        deadline: Option<(Instant, Duration)>,
    ) -> Self {
        let mut body = Self {
            inner,
            lease,
            deadline,
            sleep: None,
        };
        if body.inner.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        self.sleep = None;
        self.deadline = None;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if self.inner.is_end_stream() {
                    self.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(UpstreamError::ResponseBody(error))))
            }
            Poll::Ready(None) => {
                self.release();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some((deadline, limit)) = self.deadline else {
                    return Poll::Pending;
                };
                let sleep = self
                    .sleep
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                ready!(sleep.as_mut().poll(cx));
                self.lease = None;
                self.deadline = None;
                Poll::Ready(Some(Err(UpstreamError::Timeout(limit))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
