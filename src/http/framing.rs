//! Where messages of a client begin and end on an HTTP/1.1 connection, seen beside hyper.
//!
//! hyper takes a request with both `Content-Length` and `Transfer-Encoding`, goes by the latter and
//! forgets the former, so that nothing behind it can tell. Such a request is the start of request
//! smuggling (RFC 9112 §6.1): here its head is spoiled on its way to hyper, which then refuses it and
//! ends the connection. The same bookkeeping tells whether a body is still on its way, and
//! what a refused request began with.
//!
//! Deviation: Couper serves such a request.

use smallvec::SmallVec;

/// What is kept of a line: enough for the fields that count.
const KEPT: usize = 64;
/// What is kept of a request line, for the log.
const KEPT_OF_REQUEST: usize = 1024;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A line of a head; before the request line empty ones are passed over.
    Head { began: bool },
    /// So many bytes of a body.
    Body(u64),
    /// The line before a chunk.
    ChunkSize,
    /// So many bytes of a chunk, with the line end after it.
    Chunk(u64),
    /// A line after the last chunk.
    Trailer,
    /// Nothing known any more: hyper refuses such a message.
    Lost,
}

/// The bookkeeping of a connection.
#[derive(Debug)]
pub(super) struct Framing {
    part: Part,
    line: SmallVec<[u8; KEPT]>,
    request_line: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
}

impl Default for Framing {
    fn default() -> Self {
        Self {
            part: Part::Head { began: false },
            line: SmallVec::new(),
            request_line: Vec::new(),
            length: None,
            chunked: false,
        }
    }
}

impl Framing {
    /// Whether a body has begun and not ended.
    pub(super) fn in_body(&self) -> bool {
        !matches!(self.part, Part::Head { .. } | Part::Lost)
    }

    /// The first line of the current head, or the last one.
    pub(super) fn request_line(&self) -> &[u8] {
        &self.request_line
    }

    /// Follows the next bytes, and spoils the head of a message with two lengths.
    pub(super) fn follow(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self.part {
                Part::Lost => return,
                Part::Body(left) => at += self.pass(left, bytes.len() - at, Part::Body),
                Part::Chunk(left) => at += self.pass(left, bytes.len() - at, Part::Chunk),
                Part::Head { .. } | Part::ChunkSize | Part::Trailer => {
                    let rest = &bytes[at..];
                    let end = memchr::memchr(b'\n', rest);
                    let text = &rest[..end.unwrap_or(rest.len())];
                    self.keep(text);
                    at += text.len();
                    if end.is_some() {
                        if self.end_line() {
                            bytes[at] = 0;
                            self.part = Part::Lost;
                        }
                        at += 1;
                    }
                }
            }
        }
    }

    fn pass(&mut self, left: u64, here: usize, part: fn(u64) -> Part) -> usize {
        let passed = usize::try_from(left).map_or(here, |left| left.min(here));
        let left = left - passed as u64;
        self.part = match (left, self.part) {
            (0, Part::Chunk(_)) => Part::ChunkSize,
            (0, _) => Part::Head { began: false },
            (left, _) => part(left),
        };
        passed
    }

    fn keep(&mut self, text: &[u8]) {
        let first = self.line.is_empty();
        let room = KEPT - self.line.len();
        self.line.extend_from_slice(&text[..text.len().min(room)]);
        if self.part == (Part::Head { began: false }) {
            if first {
                self.request_line.clear();
            }
            let room = KEPT_OF_REQUEST - self.request_line.len();
            self.request_line
                .extend_from_slice(&text[..text.len().min(room)]);
        }
    }

    /// Goes on after a line; whether the head has two lengths.
    fn end_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match self.part {
            Part::Head { began: false } => {
                if !line.is_empty() {
                    self.part = Part::Head { began: true };
                    (self.length, self.chunked) = (None, false);
                }
            }
            Part::Head { began: true } if line.is_empty() => {
                self.part = match (self.chunked, self.length) {
                    (true, _) => Part::ChunkSize,
                    (false, Some(length)) if length > 0 => Part::Body(length),
                    (false, _) => Part::Head { began: false },
                };
            }
            Part::Head { began: true } => return self.field(line),
            Part::ChunkSize => {
                let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
                let size = std::str::from_utf8(&line[..digits]).ok();
                let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                self.part = match size {
                    None => Part::Lost,
                    Some(0) => Part::Trailer,
                    Some(size) => Part::Chunk(size.saturating_add(2)),
                };
            }
            Part::Trailer if line.is_empty() => self.part = Part::Head { began: false },
            Part::Trailer | Part::Body(_) | Part::Chunk(_) | Part::Lost => {}
        }
        false
    }

    fn field(&mut self, line: &[u8]) -> bool {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let number = std::str::from_utf8(value).ok();
            match number.and_then(|number| number.parse().ok()) {
                Some(length) => self.length = Some(length),
                None => self.part = Part::Lost,
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
        self.chunked && self.length.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out, cut into pieces of this size.
    fn through(text: &str, piece: usize) -> (String, Framing) {
        let mut framing = Framing::default();
        let mut bytes = text.as_bytes().to_vec();
        bytes
            .chunks_mut(piece)
            .for_each(|piece| framing.follow(piece));
        (String::from_utf8(bytes).unwrap(), framing)
    }

    const CHUNKED: &str = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    const LENGTH: &str = "POST /b HTTP/1.1\r\nContent-Length: 41\r\n\r\n";

    #[test]
    fn sound_messages_pass_untouched() {
        let chunks = "5;x=y\r\nab\r\nc\r\n1b\r\nContent-Length: 3\r\nTransfer\r\n0\r\nContent-Length: 1\r\n\r\n";
        let body = "Content-Length: 1\r\nTransfer-Encoding: x\r\n";
        let text = format!(
            "\r\n{CHUNKED}{chunks}GET / HTTP/1.1\r\n\r\n{LENGTH}{body}{CHUNKED}0\r\n\r\n{LENGTH}"
        );
        for piece in [1, 2, 3, 7, 50, text.len()] {
            let (out, framing) = through(&text, piece);
            assert_eq!(out, text, "{piece}");
            assert!(framing.in_body());
            assert_eq!(framing.request_line(), b"POST /b HTTP/1.1\r", "{piece}");
        }
    }

    #[test]
    fn two_lengths_are_spoiled_wherever_they_stand() {
        let both = [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\ncontent-LENGTH:3\nX: y\nTRANSFER-encoding:chunked\n\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        ];
        for bad in both {
            for before in [
                "",
                "GET / HTTP/1.1\r\n\r\n",
                &format!("{CHUNKED}1\r\na\r\n0\r\n\r\n"),
            ] {
                let text = format!("{before}{bad}");
                for piece in [1, 5, text.len()] {
                    let (out, _) = through(&text, piece);
                    assert!(
                        out.starts_with(before) && out.contains('\0'),
                        "{bad:?} {piece}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_malformed_is_left_to_hyper() {
        for text in [
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            &format!("{CHUNKED}zz\r\n"),
            "\0\0\0",
        ] {
            let (out, framing) = through(text, 3);
            assert_eq!(out, text);
            assert!(!framing.in_body());
        }
    }
}
