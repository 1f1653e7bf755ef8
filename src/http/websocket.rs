//! The WebSocket protocol as far as a gateway needs it: the handshake (RFC 6455 §4) and where one
//! frame ends and the next begins (§5.2), so that a close frame can be put between two.

use super::exchange::Exchange;
use super::headers;
use crate::crypto::digest::sha1_base64;
use crate::crypto::random;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

static PROTOCOL: HeaderValue = HeaderValue::from_static("websocket");
static CONNECTION: HeaderValue = HeaderValue::from_static("Upgrade");

/// RFC 6455 §1.3.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CLOSE: u8 = 8;
/// Final frame, no extension.
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// The endpoint is going away (§7.4.1).
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();
/// The longest head of a frame: two bytes, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;

/// Whether a client asks to change to the WebSocket protocol: a GET whose `Connection` lists
/// `upgrade` and whose `Upgrade` names it.
///
/// Deviation: Couper takes `Connection: Upgrade` only, not a list such as Firefox sends.
pub fn is_handshake(exchange: &Exchange, headers: &HeaderMap) -> bool {
    exchange.method == Method::GET
        && exchange.version == Version::HTTP_11
        && exchange.body_length == Some(0)
        && asks(headers)
}

fn asks(headers: &HeaderMap) -> bool {
    headers::has_token(headers, &header::CONNECTION, "upgrade")
        && headers::has_token(headers, &header::UPGRADE, "websocket")
}

/// Sets the fields that ask for, or confirm, the change of protocol.
pub fn set_fields(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, CONNECTION.clone());
    headers.insert(header::UPGRADE, PROTOCOL.clone());
}

/// The `Sec-WebSocket-Accept` that answers the handshake with these fields. Without a key the
/// handshake has no proof, and none is asked for.
pub fn expected_accept(request: &HeaderMap) -> Option<HeaderValue> {
    let key = request.get(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    HeaderValue::try_from(sha1_base64(&[key.trim_ascii(), ACCEPT_SUFFIX])).ok()
}

/// Whether the fields of a 101 take up the WebSocket protocol with the right proof.
pub fn is_accepted(response: &HeaderMap, expected: Option<&HeaderValue>) -> bool {
    const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;
    asks(response) && expected.is_none_or(|proof| response.get(ACCEPT) == Some(proof))
}

/// A close frame that says the sender is going away; clients must mask what they send.
pub fn close_frame(masked: bool) -> Vec<u8> {
    let mask = if masked {
        random::bytes::<4>().unwrap_or_default()
    } else {
        [0; 4]
    };
    let [high, low] = GOING_AWAY;
    let mut frame = vec![FINAL | CLOSE, 2];
    if masked {
        frame[1] |= MASKED;
        frame.extend(mask);
    }
    frame.extend([high ^ mask[0], low ^ mask[1]]);
    frame
}

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; LONGEST_HEAD],
    known: usize,
    /// Bytes of the current payload that are still to come.
    left: u64,
    closing: bool,
    closed: bool,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub fn at_boundary(&self) -> bool {
        self.known == 0 && self.left == 0
    }

    /// Whether a whole close frame has passed.
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// Takes the next bytes.
    pub fn advance(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let here = usize::try_from(self.left).map_or(bytes.len(), |n| n.min(bytes.len()));
                self.left -= here as u64;
                bytes = &bytes[here..];
                self.note_end();
                continue;
            }
            self.head[self.known] = *first;
            self.known += 1;
            bytes = rest;
            if self.known >= 2 && self.known == self.head_length() {
                self.left = self.payload();
                self.closing = self.head[0] & 0x0f == CLOSE;
                self.known = 0;
                self.note_end();
            }
        }
    }

    fn note_end(&mut self) {
        self.closed |= self.closing && self.left == 0;
    }

    fn length_bytes(&self) -> usize {
        match self.head[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn head_length(&self) -> usize {
        let mask = if self.head[1] & MASKED == 0 { 0 } else { 4 };
        2 + self.length_bytes() + mask
    }

    fn payload(&self) -> u64 {
        match self.length_bytes() {
            0 => u64::from(self.head[1] & !MASKED),
            count => self.head[2..2 + count]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(list: &[(HeaderName, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn an_answer_needs_protocol_and_proof() {
        let request = map(&[(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")]);
        let expected = expected_accept(&request);
        // The example of RFC 6455 §1.3.
        assert_eq!(expected.as_ref().unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let good = [
            (header::CONNECTION, "upgrade"),
            (header::UPGRADE, "WebSocket"),
            (header::SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        assert!(is_accepted(&map(&good), expected.as_ref()));
        assert!(!is_accepted(&map(&good[..2]), expected.as_ref()));
        assert!(is_accepted(&map(&good[..2]), None));
        let mut other = map(&good);
        other.insert(header::UPGRADE, HeaderValue::from_static("h2c"));
        assert!(!is_accepted(&other, expected.as_ref()));
    }

    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut bytes = vec![FINAL | opcode];
        match u8::try_from(length) {
            Ok(short @ 0..126) => bytes.push(mask + short),
            _ if length < 1 << 16 => {
                bytes.push(mask + 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(mask + 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.resize(bytes.len() + length + if masked { 4 } else { 0 }, 7);
        bytes
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let mut all = Vec::new();
        let mut ends = Vec::new();
        for (length, masked) in [
            (0, false),
            (1, true),
            (125, false),
            (126, true),
            (70_000, true),
        ] {
            all.extend(frame(2, length, masked));
            ends.push(all.len());
        }
        for piece in [1, 3, 1000, all.len()] {
            let mut frames = Frames::default();
            for (at, bytes) in all.chunks(piece).enumerate() {
                frames.advance(bytes);
                let seen = at * piece + bytes.len();
                assert_eq!(frames.at_boundary(), ends.contains(&seen), "{piece} {seen}");
            }
            assert!(!frames.has_closed());
        }
    }

    #[test]
    fn close_frames_are_seen_at_their_end() {
        for masked in [true, false] {
            let close = close_frame(masked);
            let mut frames = Frames::default();
            frames.advance(&close[..close.len() - 1]);
            assert!(!frames.has_closed());
            frames.advance(&close[close.len() - 1..]);
            assert!(frames.has_closed() && frames.at_boundary());
        }
        assert_eq!(close_frame(false), [0x88, 2, 3, 0xe9]);
        let mut empty = Frames::default();
        empty.advance(&frame(CLOSE, 0, false));
        assert!(empty.has_closed());
    }
}
