//! Answering with a file: preconditions, ranges and the body (RFC 9110 §13 and §14).
//!
//! Everything that touches the disk runs on the blocking pool, never on the worker. A small file
//! is read by the very call that opens it; a larger one in chunks, one ahead of what is being sent.

use super::body::Content;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::SizeHint;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

/// A file up to this size is read at once.
const SMALL: u64 = 64 << 10;
const CHUNK: u64 = 128 << 10;
/// More ranges than this are not worth a multipart answer.
const MAX_RANGES: usize = 16;
/// What is looked at to find the media type of a file without a telling name.
const SNIFFED: usize = 512;
/// The first second of the year 10000, which HTTP dates cannot show.
const END_OF_DATES: u64 = 253_402_300_800;

/// What a path was found to be.
#[derive(Debug)]
pub enum Located {
    /// A file.
    File(OpenFile),
    /// A directory with an index, named without its final slash.
    Directory,
}

/// A file that has been opened.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    length: u64,
    modified: Option<u64>,
    media_type: HeaderValue,
    coding: Option<Coding>,
    content: Option<Bytes>,
}

/// A coding in which files may lie beside the plain ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `.br`
    Brotli,
    /// `.zst`
    Zstd,
    /// `.gz`
    Gzip,
}

/// Codings that a client takes, those it prefers first.
pub type Codings = SmallVec<[Coding; 3]>;

impl Coding {
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    /// What the client of a request takes. Parts of a file are those of the plain one.
    pub fn accepted(headers: &HeaderMap) -> Codings {
        if headers.contains_key(header::RANGE) {
            return Codings::new();
        }
        let weight = |coding: Self| super::headers::weight_of_coding(headers, coding.name());
        let mut list: SmallVec<[(Self, f32); 3]> = Self::ALL
            .into_iter()
            .map(|coding| (coding, weight(coding)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        list.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        list.into_iter().map(|(coding, _)| coding).collect()
    }
}

/// Looks a path up. `slash` tells whether its name ended in one; `prefer` is the file of a spa that
/// wants to answer for its own file and for the directory that holds it. Blocks.
pub fn locate(
    path: &Path,
    slash: bool,
    prefer: Option<&Path>,
    codings: &[Coding],
) -> Option<Located> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_dir() {
        let index = path.join("index.html");
        let inner = std::fs::metadata(&index).ok().filter(Metadata::is_file)?;
        if is_same(&metadata, prefer.and_then(Path::parent)) {
            return None;
        }
        return if slash {
            OpenFile::open(&index, &inner, codings)
                .ok()
                .map(Located::File)
        } else {
            Some(Located::Directory)
        };
    }
    // Other kinds, such as pipes, are not opened: that alone could block for ever.
    if !metadata.is_file() || slash || is_same(&metadata, prefer) {
        return None;
    }
    OpenFile::open(path, &metadata, codings)
        .ok()
        .map(Located::File)
}

/// Opens a file by its name. Blocks.
pub fn open(path: &Path, codings: &[Coding]) -> Option<OpenFile> {
    let metadata = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    OpenFile::open(path, &metadata, codings).ok()
}

/// The file that lies beside a plain one in a coding, unless it is older.
fn packed(path: &Path, plain: &Metadata, coding: Coding) -> Option<(PathBuf, Metadata)> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(coding.extension());
    let path = PathBuf::from(name);
    let metadata = std::fs::metadata(&path).ok().filter(Metadata::is_file)?;
    (metadata.modified().ok()? >= plain.modified().ok()?).then_some((path, metadata))
}

fn is_same(metadata: &Metadata, other: Option<&Path>) -> bool {
    other
        .and_then(|path| std::fs::metadata(path).ok())
        .is_some_and(|other| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino()))
}

impl OpenFile {
    fn open(path: &Path, metadata: &Metadata, codings: &[Coding]) -> io::Result<Self> {
        for coding in codings {
            if let Some((beside, metadata)) = packed(path, metadata, *coding)
                && let Ok(file) = Self::read(&beside, &metadata, path, Some(*coding))
            {
                return Ok(file);
            }
        }
        Self::read(path, metadata, path, None)
    }

    /// Opens a file whose media type the name `named` tells.
    fn read(
        path: &Path,
        metadata: &Metadata,
        named: &Path,
        coding: Option<Coding>,
    ) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut length = metadata.len();
        let content = if length <= SMALL {
            let content = read_small(&file)?;
            length = content.as_ref().map_or(length, |bytes| bytes.len() as u64);
            content
        } else {
            None
        };
        let media_type = match media_type(named) {
            Some(known) => known,
            // What is packed tells nothing about its content.
            None if coding.is_some() => HeaderValue::from_static("application/octet-stream"),
            None => match &content {
                Some(bytes) => sniff(&bytes[..bytes.len().min(SNIFFED)]),
                None => {
                    let mut head = [0; SNIFFED];
                    let count = file.read_at(&mut head, 0)?;
                    sniff(&head[..count])
                }
            },
        };
        Ok(Self {
            file,
            length,
            modified: metadata.modified().ok().and_then(seconds),
            media_type,
            coding,
            content,
        })
    }
}

/// The whole file, unless it has grown meanwhile.
fn read_small(file: &File) -> io::Result<Option<Bytes>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    file.take(SMALL + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= SMALL).then(|| bytes.into()))
}

/// A time that an HTTP date can show, in whole seconds since 1970.
fn seconds(time: SystemTime) -> Option<u64> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    (1..END_OF_DATES).contains(&seconds).then_some(seconds)
}

fn http_date(seconds: u64) -> Option<HeaderValue> {
    HeaderValue::try_from(httpdate::fmt_http_date(
        UNIX_EPOCH + Duration::from_secs(seconds),
    ))
    .ok()
}

/// The media type that a file's name tells.
fn media_type(path: &Path) -> Option<HeaderValue> {
    let guess = mime_guess::from_path(path).first_raw()?;
    if guess.starts_with("text/") {
        HeaderValue::try_from(format!("{guess}; charset=utf-8")).ok()
    } else {
        Some(HeaderValue::from_static(guess))
    }
}

/// The media type that the first bytes tell: a few unmistakable kinds, else text or bytes.
fn sniff(head: &[u8]) -> HeaderValue {
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"%PDF-", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"\x1f\x8b\x08", "application/gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"\0asm", "application/wasm"),
    ];
    const HTML: &[&[u8]] = &[b"<!doctype html", b"<html", b"<head", b"<body", b"<!--"];
    let kind = SIGNATURES.iter().find(|(mark, _)| head.starts_with(mark));
    if let Some((_, kind)) = kind {
        return HeaderValue::from_static(kind);
    }
    let text = head.trim_ascii_start();
    let begins = |mark: &&[u8]| {
        text.get(..mark.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(mark))
    };
    let is_control = |b: &u8| matches!(b, 0..=8 | 11 | 14..=26 | 28..=31);
    HeaderValue::from_static(if HTML.iter().any(begins) {
        "text/html; charset=utf-8"
    } else if text.starts_with(b"<?xml") {
        "text/xml; charset=utf-8"
    } else if head.iter().any(is_control) {
        "application/octet-stream"
    } else {
        "text/plain; charset=utf-8"
    })
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Send,
    NotModified,
    Failed,
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    Some(
        time.duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}

/// RFC 9110 §13.2.2. Files have no entity tags, so only `*` matches.
fn preconditions(headers: &HeaderMap, modified: Option<u64>) -> Outcome {
    let is_any = |value: &HeaderValue| value.as_bytes().trim_ascii() == b"*";
    if let Some(wanted) = headers.get(header::IF_MATCH) {
        if !is_any(wanted) {
            return Outcome::Failed;
        }
    } else if let (Some(since), Some(modified)) =
        (date(headers, header::IF_UNMODIFIED_SINCE), modified)
        && modified > since
    {
        return Outcome::Failed;
    }
    if let Some(known) = headers.get(header::IF_NONE_MATCH) {
        if is_any(known) {
            return Outcome::NotModified;
        }
    } else if let (Some(since), Some(modified)) =
        (date(headers, header::IF_MODIFIED_SINCE), modified)
        && modified <= since
    {
        return Outcome::NotModified;
    }
    Outcome::Send
}

/// Ranges of a file: first byte and length of each.
type RangeList = SmallVec<[(u64, u64); 2]>;

#[derive(Debug, PartialEq, Eq)]
enum Ranges {
    /// None are asked for, or none that mean anything.
    Whole,
    /// All begin after the end.
    Unsatisfiable,
    Some(RangeList),
}

/// `Range`, unless `If-Range` says that the client has parts of something else.
fn ranges(method: &Method, headers: &HeaderMap, modified: Option<u64>, length: u64) -> Ranges {
    let Some(range) = headers
        .get(header::RANGE)
        .filter(|_| *method == Method::GET)
    else {
        return Ranges::Whole;
    };
    let same = !headers.contains_key(header::IF_RANGE)
        || (modified.is_some() && date(headers, header::IF_RANGE) == modified);
    match range.to_str() {
        Ok(text) if same && length > 0 => parse_ranges(text, length).unwrap_or(Ranges::Whole),
        _ => Ranges::Whole,
    }
}

/// `None` for anything malformed, which is ignored.
fn parse_ranges(text: &str, length: u64) -> Option<Ranges> {
    let (unit, list) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let mut found = RangeList::new();
    let mut count = 0;
    for range in list.split(',').map(str::trim).filter(|r| !r.is_empty()) {
        count += 1;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.trim(), last.trim());
        let (start, end) = match (first, last) {
            ("", suffix) => (length.saturating_sub(number(suffix)?), length),
            (first, "") => (number(first)?, length),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, last.saturating_add(1).min(length))
            }
        };
        if start < end {
            found.push((start, end - start));
        }
    }
    let total: u64 = found.iter().map(|(_, length)| length).sum();
    match (count, found.is_empty()) {
        (0, _) => None,
        (_, true) => Some(Ranges::Unsatisfiable),
        // Ranges that overlap so much are an attack or a mistake.
        _ if found.len() > MAX_RANGES || total > length => None,
        _ => Some(Ranges::Some(found)),
    }
}

/// The answer to GET or HEAD for a file.
pub fn respond(method: &Method, headers: &HeaderMap, file: OpenFile) -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    let (modified, length) = (file.modified, file.length);
    let fields = response.headers_mut();
    if let Some(date) = modified.and_then(http_date) {
        fields.insert(header::LAST_MODIFIED, date);
    }
    if file.coding.is_some() {
        fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    let status = match preconditions(headers, modified) {
        Outcome::NotModified => StatusCode::NOT_MODIFIED,
        Outcome::Failed => StatusCode::PRECONDITION_FAILED,
        Outcome::Send => {
            fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            match ranges(method, headers, modified, length) {
                Ranges::Unsatisfiable => {
                    fields.insert(
                        header::CONTENT_RANGE,
                        text_value(format!("bytes */{length}")),
                    );
                    StatusCode::RANGE_NOT_SATISFIABLE
                }
                Ranges::Whole => {
                    if let Some(coding) = file.coding {
                        let name = HeaderValue::from_static(coding.name());
                        fields.insert(header::CONTENT_ENCODING, name);
                    }
                    fields.insert(header::CONTENT_TYPE, file.media_type.clone());
                    *response.body_mut() = whole(method, response.headers_mut(), file);
                    StatusCode::OK
                }
                Ranges::Some(list) => {
                    *response.body_mut() = parts(response.headers_mut(), file, &list);
                    StatusCode::PARTIAL_CONTENT
                }
            }
        }
    };
    *response.status_mut() = status;
    response
}

/// The answer to GET or HEAD for bytes made at some time.
pub fn respond_made(
    method: &Method,
    headers: &HeaderMap,
    text: &Bytes,
    made: SystemTime,
) -> Response<Content> {
    let modified = seconds(made);
    let mut response = Response::new(Content::Empty);
    let fields = response.headers_mut();
    if let Some(date) = modified.and_then(http_date) {
        fields.insert(header::LAST_MODIFIED, date);
    }
    let status = match preconditions(headers, modified) {
        Outcome::NotModified => StatusCode::NOT_MODIFIED,
        Outcome::Failed => StatusCode::PRECONDITION_FAILED,
        Outcome::Send => {
            fields.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            );
            if *method == Method::HEAD {
                fields.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
            } else {
                *response.body_mut() = Content::of(text.clone());
            }
            StatusCode::OK
        }
    };
    *response.status_mut() = status;
    response
}

/// A value of plain ASCII.
fn text_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn whole(method: &Method, fields: &mut HeaderMap, file: OpenFile) -> Content {
    if *method == Method::HEAD {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(file.length));
        return Content::Empty;
    }
    if let Some(bytes) = file.content {
        return Content::of(bytes);
    }
    let all = Part::File(0, file.length);
    Content::File(Box::new(FileBody::new(file.file, [all].into())))
}

fn parts(fields: &mut HeaderMap, file: OpenFile, list: &[(u64, u64)]) -> Content {
    let content_range =
        |start: u64, count: u64| format!("bytes {start}-{}/{}", start + count - 1, file.length);
    if let [(start, count)] = *list {
        fields.insert(
            header::CONTENT_RANGE,
            text_value(content_range(start, count)),
        );
        fields.insert(header::CONTENT_TYPE, file.media_type);
        let part = Part::File(start, count);
        return Content::File(Box::new(FileBody::new(file.file, [part].into())));
    }
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let mut parts = VecDeque::new();
    let media_type = file.media_type.to_str().unwrap_or("");
    for (at, &(start, count)) in list.iter().enumerate() {
        let before = if at == 0 { "" } else { "\r\n" };
        let range = content_range(start, count);
        let head = format!(
            "{before}--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n"
        );
        parts.push_back(Part::Bytes(head.into()));
        parts.push_back(Part::File(start, count));
    }
    parts.push_back(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
    fields.insert(
        header::CONTENT_TYPE,
        text_value(format!("multipart/byteranges; boundary={boundary}")),
    );
    Content::File(Box::new(FileBody::new(file.file, parts)))
}

/// Something to send: bytes, or a part of the file by its first byte and length.
#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    File(u64, u64),
}

/// Parts of a file as a body.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    parts: VecDeque<Part>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    left: u64,
}

impl FileBody {
    fn new(file: File, parts: VecDeque<Part>) -> Self {
        let length = |part: &Part| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File(_, length) => *length,
        };
        Self {
            file: Arc::new(file),
            left: parts.iter().map(length).sum(),
            parts,
            reading: None,
        }
    }

    /// Begins to read the next chunk, if the next thing to send is one.
    fn read_on(&mut self) {
        let Some(Part::File(start, left)) = self.parts.front_mut() else {
            return;
        };
        let (from, count) = (*start, (*left).min(CHUNK));
        *start += count;
        *left -= count;
        if *left == 0 {
            self.parts.pop_front();
        }
        let file = Arc::clone(&self.file);
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; usize::try_from(count).unwrap_or_default()];
            file.read_exact_at(&mut chunk, from)?;
            Ok(chunk.into())
        }));
    }

    /// The next bytes.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.reading.is_none() {
            match self
                .parts
                .pop_front_if(|part| matches!(part, Part::Bytes(_)))
            {
                Some(Part::Bytes(bytes)) => {
                    self.left -= bytes.len() as u64;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                _ => self.read_on(),
            }
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        match &read {
            Ok(bytes) => {
                self.left -= bytes.len() as u64;
                self.read_on();
            }
            Err(_) => self.parts.clear(),
        }
        Poll::Ready(Some(read))
    }

    /// Whether all has been sent.
    pub fn is_end(&self) -> bool {
        self.left == 0
    }

    /// What is left.
    pub fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.insert(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn ranges_are_read_or_ignored() {
        let some = |list: &[(u64, u64)]| Some(Ranges::Some(list.iter().copied().collect()));
        for (text, expected) in [
            ("bytes=0-0", some(&[(0, 1)])),
            ("bytes=2-4", some(&[(2, 3)])),
            ("bytes=8-99", some(&[(8, 2)])),
            ("bytes=7-", some(&[(7, 3)])),
            ("bytes=-3", some(&[(7, 3)])),
            ("bytes=-99", some(&[(0, 10)])),
            ("Bytes=0-1 , 4-5,99-", some(&[(0, 2), (4, 2)])),
            ("bytes=10-", Some(Ranges::Unsatisfiable)),
            ("bytes=99999999999999999999-", Some(Ranges::Unsatisfiable)),
            ("bytes=-0", Some(Ranges::Unsatisfiable)),
            ("bytes=", None),
            ("bytes=a-b", None),
            ("bytes=3-2", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("lines=1-2", None),
            ("bytes=0-9,0-9", None),
        ] {
            assert_eq!(parse_ranges(text, 10), expected, "{text}");
        }
    }

    #[test]
    fn preconditions_have_their_order() {
        const AT: &str = "Thu, 01 Jan 2004 00:00:00 GMT";
        let at = Some(1_072_915_200);
        for (list, modified, expected) in [
            (&[("if-modified-since", AT)][..], at, Outcome::NotModified),
            (
                &[("if-modified-since", AT)],
                at.map(|a| a + 1),
                Outcome::Send,
            ),
            (&[("if-modified-since", "nonsense")], at, Outcome::Send),
            (&[("if-unmodified-since", AT)], at, Outcome::Send),
            (
                &[("if-unmodified-since", AT)],
                at.map(|a| a + 1),
                Outcome::Failed,
            ),
            (&[("if-match", "\"x\"")], at, Outcome::Failed),
            (&[("if-match", "*")], at, Outcome::Send),
            (&[("if-none-match", "*")], at, Outcome::NotModified),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", AT)],
                at,
                Outcome::Send,
            ),
            (&[("if-modified-since", AT)], None, Outcome::Send),
        ] {
            assert_eq!(
                preconditions(&headers(list), modified),
                expected,
                "{list:?}"
            );
        }
    }

    #[test]
    fn media_types_by_name_or_content() {
        let named =
            |name: &str| media_type(Path::new(name)).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(named("a.css").as_deref(), Some("text/css; charset=utf-8"));
        assert_eq!(named("a.json").as_deref(), Some("application/json"));
        assert_eq!(named("LICENSE"), None);
        assert_eq!(sniff(b"\n <HTML>"), "text/html; charset=utf-8");
        assert_eq!(sniff(b"hello"), "text/plain; charset=utf-8");
        assert_eq!(sniff(b"a\0b"), "application/octet-stream");
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n...."), "image/png");
    }

    async fn body_of(response: Response<Content>) -> Bytes {
        super::super::body::read(response.into_body(), u64::MAX)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn large_files_come_whole_and_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.bin");
        let data: Vec<u8> = (0..400_000_u32)
            .map(|n| (n % 251).to_le_bytes()[0])
            .collect();
        std::fs::write(&path, &data).unwrap();
        let file = || open(&path, &[]).unwrap();
        let whole = respond(&Method::GET, &HeaderMap::new(), file());
        assert_eq!(body_of(whole).await, data);
        let range = headers(&[("range", "bytes=100000-399999")]);
        let part = respond(&Method::GET, &range, file());
        assert_eq!(
            part.headers()["content-range"],
            "bytes 100000-399999/400000"
        );
        assert_eq!(body_of(part).await, data[100_000..]);
        let range = headers(&[("range", "bytes=0-9, 20-29")]);
        let several = respond(&Method::GET, &range, file());
        assert_eq!(several.status(), StatusCode::PARTIAL_CONTENT);
        let size = http_body::Body::size_hint(several.body()).exact();
        let kind = several.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let boundary = kind
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap()
            .to_owned();
        let body = body_of(several).await;
        assert_eq!(size, Some(body.len() as u64));
        let closing = format!("\r\n--{boundary}--\r\n");
        assert!(body.starts_with(format!("--{boundary}\r\n").as_bytes()));
        assert!(body.ends_with(closing.as_bytes()));
        let old = headers(&[
            ("range", "bytes=0-9"),
            ("if-range", "Thu, 01 Jan 2004 00:00:00 GMT"),
        ]);
        assert_eq!(respond(&Method::GET, &old, file()).status(), StatusCode::OK);
        let head = respond(&Method::HEAD, &HeaderMap::new(), file());
        assert_eq!(head.headers()["content-length"], "400000");
    }

    #[test]
    fn packed_files_lie_beside_plain_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.css");
        let beside = |coding: &str| folder.path().join(format!("a.css.{coding}"));
        std::fs::write(&path, "plain").unwrap();
        let asked = |value| Coding::accepted(&headers(&[("accept-encoding", value)]));
        let sent = |value| {
            let file = open(&path, &asked(value)).unwrap();
            let response = respond(&Method::GET, &HeaderMap::new(), file);
            let kind = &response.headers()["content-type"];
            assert_eq!(kind, "text/css; charset=utf-8");
            let coding = response.headers().get("content-encoding").cloned();
            coding.map_or_else(String::new, |c| c.to_str().unwrap().to_owned())
        };
        assert_eq!(sent("br, gzip"), "");
        std::fs::write(beside("gz"), "packed").unwrap();
        std::fs::write(beside("br"), "packed").unwrap();
        assert_eq!(sent("br, gzip"), "br");
        assert_eq!(sent("br;q=0.5, gzip"), "gzip");
        assert_eq!(sent("br;q=0, *"), "gzip");
        assert_eq!(sent("identity"), "");
        let old = std::fs::File::options().write(true).open(beside("br"));
        old.unwrap().set_modified(UNIX_EPOCH).unwrap();
        assert_eq!(sent("br, gzip"), "gzip");
        let range = [("accept-encoding", "gzip"), ("range", "bytes=0-1")];
        assert!(Coding::accepted(&headers(&range)).is_empty());
    }

    #[test]
    fn a_spa_gets_its_own_file_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (index, other) = (
            folder.path().join("index.html"),
            folder.path().join("a.txt"),
        );
        std::fs::write(&index, "x").unwrap();
        std::fs::write(&other, "y").unwrap();
        let is_file = |path, slash, prefer| {
            matches!(locate(path, slash, prefer, &[]), Some(Located::File(_)))
        };
        assert!(is_file(&index, false, None));
        assert!(!is_file(&index, false, Some(&*index)));
        assert!(is_file(folder.path(), true, None));
        assert!(!is_file(folder.path(), true, Some(&*index)));
        assert!(is_file(&other, false, Some(&*index)));
        assert!(!is_file(&other, true, None));
        assert!(matches!(
            locate(folder.path(), false, None, &[]),
            Some(Located::Directory)
        ));
    }
}
