//! Bodies of answers, and reading bodies into memory.

use super::backend_log::BackendEntry;
use super::compression::Gzip;
use super::file::FileBody;
use super::pipeline::Finish;
use super::tunnel::Tunnel;
use crate::upstream::{BoxError, UpstreamBody, UpstreamError};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub use crate::upstream::RequestBody;

/// Why the body of an answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The origin's response did.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The file cannot be read, or is shorter than it was.
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
}

/// What an answer consists of.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Full(Bytes),
    /// The response of an origin as it comes, with the log entry it completes.
    Upstream(UpstreamBody, Option<Box<BackendEntry>>),
    /// Parts of a file.
    File(Box<FileBody>),
    /// Nothing, since the connection changes its protocol.
    Tunnel(Box<Tunnel>),
}

impl Content {
    /// Bytes in memory, or nothing.
    pub fn of(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Upstream(body, entry) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                if let Some(entry) = entry {
                    match &frame {
                        Some(Ok(frame)) => {
                            entry.count(frame.data_ref().map_or(0, Bytes::len));
                        }
                        Some(Err(error)) => entry.fail(error),
                        None => {}
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
            Self::File(file) => {
                let bytes = ready!(file.poll_bytes(cx));
                Poll::Ready(bytes.map(|read| read.map(Frame::data).map_err(BodyError::File)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Tunnel(_) => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Upstream(body, _) => body.is_end_stream(),
            Self::File(file) => file.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Tunnel(_) => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body, _) => body.size_hint(),
            Self::File(file) => file.size_hint(),
        }
    }
}

/// Steps of compression in one poll, each of 32 KiB at most.
const PACK_STEPS: usize = 8;

/// The body of an answer on its way to the client. Its end, or its drop, ends the exchange and
/// writes the access entry. Bytes are counted before compression.
#[derive(Debug)]
pub struct AnswerBody {
    content: Content,
    gzip: Option<Box<Gzip>>,
    /// Trailer fields that wait for the last compressed bytes.
    trailers: Option<Frame<Bytes>>,
    bytes: u64,
    finish: Option<Box<Finish>>,
}

impl AnswerBody {
    /// A body that ends `finish`.
    pub fn new(content: Content, gzip: Option<Box<Gzip>>, finish: Box<Finish>) -> Self {
        Self {
            content,
            gzip,
            trailers: None,
            bytes: 0,
            finish: Some(finish),
        }
    }

    /// A body of no exchange.
    pub fn bare(content: Content) -> Self {
        Self {
            content,
            gzip: None,
            trailers: None,
            bytes: 0,
            finish: None,
        }
    }

    fn poll_plain(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.content).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(error)) => {
                if let Some(finish) = &mut self.finish {
                    finish.broke_off(error);
                }
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn poll_packed(
        &mut self,
        mut gzip: Box<Gzip>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.pack(&mut gzip, cx);
        self.gzip = Some(gzip);
        polled
    }

    fn pack(
        &mut self,
        gzip: &mut Gzip,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        if gzip.has_ended() {
            return Poll::Ready(None);
        }
        for _ in 0..PACK_STEPS {
            if gzip.has_input() {
                if let Some(packed) = gzip.step() {
                    return Poll::Ready(Some(Ok(Frame::data(packed))));
                }
                continue;
            }
            let frame = match self.poll_plain(cx) {
                Poll::Ready(frame) => frame,
                // Nothing of what has come may wait for what has not.
                Poll::Pending => {
                    return match gzip.flush() {
                        Some(packed) => Poll::Ready(Some(Ok(Frame::data(packed)))),
                        None => Poll::Pending,
                    };
                }
            };
            match frame {
                None => return Poll::Ready(Some(Ok(Frame::data(gzip.finish())))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => gzip.add(bytes),
                    Err(trailers) => {
                        self.trailers = Some(trailers);
                        return Poll::Ready(Some(Ok(Frame::data(gzip.finish()))));
                    }
                },
            }
        }
        // Let others run before going on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.gzip.take() {
            None => self.poll_plain(cx),
            Some(gzip) => self.poll_packed(gzip, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.gzip {
            None => self.content.is_end_stream(),
            Some(gzip) => gzip.has_ended() && self.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.gzip {
            None => self.content.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // The entry of the backend comes before that of the client's request.
        self.content = Content::Empty;
        if let Some(finish) = self.finish.take() {
            finish.complete(self.bytes);
        }
    }
}

/// Why a body could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// It is longer than allowed.
    TooLarge,
    /// It broke off.
    Broken(BoxError),
}

/// Reads a body into memory, at most `limit` bytes.
pub async fn read<B>(body: B, limit: u64) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut body = body;
    if body.size_hint().lower() > limit {
        return Err(ReadError::TooLarge);
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length: u64 = 0;
    while let Some(frame) = next_frame(&mut body).await {
        let Ok(data) = frame
            .map_err(|error| ReadError::Broken(error.into()))?
            .into_data()
        else {
            continue;
        };
        length += data.len() as u64;
        if length > limit {
            return Err(ReadError::TooLarge);
        }
        match &first {
            None => first = Some(data),
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    // Most bodies are one frame, which needs no copy.
    match first {
        None => Ok(Bytes::new()),
        Some(first) if rest.is_empty() => Ok(first),
        Some(first) => {
            let mut whole = BytesMut::with_capacity(first.len() + rest.len());
            whole.extend_from_slice(&first);
            whole.extend_from_slice(&rest);
            Ok(whole.freeze())
        }
    }
}

async fn next_frame<B: Body + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// Unpacks gzip into at most `limit` bytes.
pub fn gunzip(packed: &[u8], limit: u64) -> Option<Bytes> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    let decoder = flate2::read::MultiGzDecoder::new(packed);
    decoder
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)
        .ok()?;
    (plain.len() as u64 <= limit).then(|| plain.into())
}
