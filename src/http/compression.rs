//! Compression of answers for clients that take gzip.
//!
//! A body is compressed as it comes: when its source has nothing more for now, what was written so
//! far is flushed, so that nothing is held back. Left alone are bodies of fewer than 60 bytes,
//! those with any coding, parts of ranges, event streams and what `no-transform` protects.
//!
//! Deviation: Couper compresses parts of ranges, other codings and `no-transform`, too.

use super::body::Content;
use super::headers;
use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use std::cell::RefCell;

/// Shorter bodies are sent plain.
const MIN_BYTES: u64 = 60;
/// Between speed and size; the higher levels win little for answers of usual size.
const LEVEL: u32 = 4;
/// Input taken in one go, so that one answer does not keep the worker from others.
const SLICE: usize = 32 << 10;
/// Output worth a frame of its own.
const FRAME: usize = 16 << 10;
/// Compressors kept by each worker for the next answer.
const KEPT: usize = 8;
/// RFC 1952: no name, no time, unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Decides on compression and sets the fields that go with it. `accepted` tells whether the client
/// takes gzip.
pub fn begin(
    method: &Method,
    accepted: bool,
    response: &mut Response<Content>,
) -> Option<Box<Gzip>> {
    let size = response.body().size_hint();
    let long = size.exact().is_none_or(|bytes| bytes >= MIN_BYTES);
    if !long || *method == Method::HEAD || !has_whole_body(response.status()) {
        return None;
    }
    let fields = response.headers_mut();
    if fields.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    if !headers::has_token(fields, &header::VARY, "accept-encoding") {
        fields.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if !accepted || !may_transform(fields) {
        return None;
    }
    fields.remove(header::CONTENT_LENGTH);
    // Ranges are parts of the plain body; whoever has this one must not ask for them.
    fields.remove(header::ACCEPT_RANGES);
    fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    weaken_etag(fields);
    Some(Box::default())
}

fn has_whole_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
        )
}

fn may_transform(fields: &HeaderMap) -> bool {
    let is_events = fields.get(header::CONTENT_TYPE).is_some_and(|value| {
        let kind = value.as_bytes().split(|b| *b == b';').next();
        kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
    });
    // A call of gRPC compresses its messages itself.
    !is_events
        && super::grpc::media_type(fields).is_none()
        && !fields.contains_key(header::CONTENT_RANGE)
        && !headers::has_token(fields, &header::CACHE_CONTROL, "no-transform")
}

/// The bytes differ from those of the plain body, the meaning does not (RFC 9110 §8.8.1).
///
/// Deviation: Couper leaves a strong tag on what it compresses.
fn weaken_etag(fields: &mut HeaderMap) {
    const NAME: HeaderName = header::ETAG;
    let Some(tag) = fields
        .get(NAME)
        .filter(|t| !t.as_bytes().starts_with(b"W/"))
    else {
        return;
    };
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        fields.insert(NAME, weak);
    }
}

thread_local! {
    /// Idle compressors of this worker: each has large tables, costly to make anew.
    static IDLE: RefCell<Vec<Compress>> = const { RefCell::new(Vec::new()) };
}

/// A body's compressor.
#[derive(Debug)]
pub struct Gzip {
    /// Given back on drop.
    compress: Option<Compress>,
    crc: Crc,
    output: Vec<u8>,
    /// Input that was not yet taken.
    waiting: Bytes,
    /// Whether input has gone in since the last flush.
    unflushed: bool,
    ended: bool,
}

impl Default for Gzip {
    fn default() -> Self {
        let idle = IDLE.with_borrow_mut(Vec::pop);
        Self {
            compress: Some(idle.unwrap_or_else(|| Compress::new(Compression::new(LEVEL), false))),
            crc: Crc::new(),
            output: HEAD.to_vec(),
            waiting: Bytes::new(),
            unflushed: false,
            ended: false,
        }
    }
}

impl Drop for Gzip {
    fn drop(&mut self) {
        let Some(mut compress) = self.compress.take() else {
            return;
        };
        // At the end of the thread the store may be gone.
        let _ = IDLE.try_with(|idle| {
            if let Ok(mut idle) = idle.try_borrow_mut()
                && idle.len() < KEPT
            {
                compress.reset();
                idle.push(compress);
            }
        });
    }
}

impl Gzip {
    /// Whether input is still to be compressed.
    pub fn has_input(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the last byte has been made.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes the next bytes of the source.
    pub fn add(&mut self, bytes: Bytes) {
        debug_assert!(self.waiting.is_empty(), "earlier input is still waiting");
        self.waiting = bytes;
    }

    /// Compresses a slice of the input; gives output once there is enough of it.
    pub fn step(&mut self) -> Option<Bytes> {
        let slice = self.waiting.split_to(self.waiting.len().min(SLICE));
        self.crc.update(&slice);
        self.unflushed = true;
        self.write(&slice, FlushCompress::None);
        (self.output.len() >= FRAME).then(|| self.take())
    }

    /// What the client can already have, when the source pauses.
    pub fn flush(&mut self) -> Option<Bytes> {
        if !std::mem::take(&mut self.unflushed) {
            return None;
        }
        self.write(&[], FlushCompress::Sync);
        Some(self.take())
    }

    /// The last bytes.
    pub fn finish(&mut self) -> Bytes {
        self.write(&[], FlushCompress::Finish);
        self.output.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.output
            .extend_from_slice(&self.crc.amount().to_le_bytes());
        self.ended = true;
        self.take()
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.output).into()
    }

    fn write(&mut self, input: &[u8], flush: FlushCompress) {
        let Some(compress) = &mut self.compress else {
            return;
        };
        let begin = compress.total_in();
        loop {
            let taken = usize::try_from(compress.total_in() - begin).unwrap_or(input.len());
            let rest = &input[taken.min(input.len())..];
            self.output.reserve(rest.len() / 2 + 256);
            let status = compress.compress_vec(rest, &mut self.output, flush);
            let full = self.output.len() == self.output.capacity();
            let all = compress.total_in() - begin == input.len() as u64;
            let done = match status {
                Ok(Status::StreamEnd) | Err(_) => true,
                Ok(Status::Ok | Status::BufError) => {
                    all && !full && !matches!(flush, FlushCompress::Finish)
                }
            };
            if done {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::gunzip;

    fn answer(size: usize, fields: &[(&'static str, &'static str)]) -> Response<Content> {
        let mut response = Response::new(Content::of(vec![b'x'; size].into()));
        for (name, value) in fields {
            response
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        response
    }

    fn is_compressed(size: usize, fields: &[(&'static str, &'static str)]) -> bool {
        begin(&Method::GET, true, &mut answer(size, fields)).is_some()
    }

    #[test]
    fn some_bodies_are_left_alone() {
        assert!(is_compressed(60, &[]));
        assert!(!is_compressed(59, &[]));
        for field in [
            ("content-encoding", "gzip"),
            ("content-encoding", "br"),
            ("content-range", "bytes 0-99/100"),
            ("cache-control", "max-age=1, No-Transform"),
            ("content-type", "text/event-stream; charset=utf-8"),
        ] {
            assert!(!is_compressed(100, &[field]), "{field:?}");
        }
        assert!(begin(&Method::HEAD, true, &mut answer(100, &[])).is_none());
        for status in [204, 206, 304] {
            let mut response = answer(100, &[]);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert!(begin(&Method::GET, true, &mut response).is_none());
        }
    }

    #[test]
    fn fields_follow_the_body() {
        let fields = [
            ("etag", "\"a\""),
            ("vary", "Origin"),
            ("content-length", "100"),
        ];
        let mut response = answer(100, &fields);
        assert!(begin(&Method::GET, true, &mut response).is_some());
        assert_eq!(response.headers()["etag"], "W/\"a\"");
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(response.headers().get_all("vary").iter().count(), 2);
        let mut plain = answer(100, &[("vary", "accept-encoding")]);
        assert!(begin(&Method::GET, false, &mut plain).is_none());
        assert_eq!(plain.headers().len(), 1);
    }

    #[test]
    fn output_unpacks_to_the_input_and_flushes_are_readable() {
        for round in 0..3_u32 {
            let mut gzip = Gzip::default();
            let data: Vec<u8> = (0..200_000_u32)
                .map(|n| (n.wrapping_mul(2_654_435_761 + round) >> 13).to_le_bytes()[0])
                .collect();
            let mut packed = Vec::new();
            gzip.add(data.clone().into());
            while gzip.has_input() {
                packed.extend(gzip.step().unwrap_or_default());
            }
            packed.extend(gzip.flush().unwrap());
            assert_eq!(gzip.flush(), None);
            let mut seen = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&*packed);
            let _ = std::io::Read::read_to_end(&mut decoder, &mut seen);
            assert_eq!(seen.len(), data.len());
            packed.extend(gzip.finish());
            assert_eq!(gunzip(&packed, 1 << 20).unwrap(), data);
        }
    }

    #[test]
    fn nothing_is_a_valid_body() {
        assert_eq!(gunzip(&Gzip::default().finish(), 10).unwrap(), "");
    }
}
