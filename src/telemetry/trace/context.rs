//! W3C Trace Context: what a request's `traceparent` says.

use http::HeaderValue;

use crate::crypto::random;

/// The place of a span: which trace it belongs to, and its own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Of the trace.
    pub trace_id: [u8; 16],
    /// Of the span.
    pub span_id: SpanId,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// Id of a span within its trace.
pub type SpanId = [u8; 8];

/// `VERSION-TRACE-SPAN-FLAGS`: 2, 32, 16 and 2 hex digits.
const LENGTH: usize = 55;

impl TraceContext {
    /// The context of a new trace; `None` if there is no randomness to be had.
    pub fn root() -> Option<Self> {
        let random = random::bytes::<24>().ok()?;
        let (trace, span) = random.split_at(16);
        Some(Self {
            trace_id: trace.try_into().ok()?,
            span_id: span.try_into().ok()?,
            sampled: true,
        })
    }

    /// The context of a span below this one.
    pub fn child(&self) -> Option<Self> {
        let span_id = random::bytes().ok()?;
        Some(Self { span_id, ..*self })
    }

    /// What a `traceparent` says; `None` for anything that is none.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_ascii();
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let lower = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = head.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = [version, trace, span, flags].map(str::len);
        let sound = parts.next().is_none()
            && lengths == [2, 32, 16, 2]
            && [version, trace, span, flags].into_iter().all(lower)
            && version != "ff"
            // What follows belongs to versions to come.
            && (rest.is_empty() || (version != "00" && rest.starts_with('-')));
        if !sound {
            return None;
        }
        let context = Self {
            trace_id: from_hex(trace)?,
            span_id: from_hex(span)?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
    }

    /// The `traceparent` for those who are called.
    pub fn header(&self) -> Option<HeaderValue> {
        let mut text = [b'-'; LENGTH];
        text[..2].copy_from_slice(b"00");
        to_hex(&self.trace_id, &mut text[3..35]);
        to_hex(&self.span_id, &mut text[36..52]);
        to_hex(&[u8::from(self.sampled)], &mut text[53..]);
        HeaderValue::from_bytes(&text).ok()
    }

    /// The trace's id in hex, for the log.
    pub fn trace_id_text(&self) -> [u8; 32] {
        let mut text = [0; 32];
        to_hex(&self.trace_id, &mut text);
        text
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn to_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_sound_header_comes_back() {
        let context = TraceContext::parse(SOUND.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.header().unwrap(), SOUND);
        assert_eq!(
            &context.trace_id_text(),
            b"4bf92f3577b34da6a3ce929d0e0e4736"
        );
        let unsampled = SOUND.replace("-01", "-00");
        assert!(!TraceContext::parse(unsampled.as_bytes()).unwrap().sampled);
        // Of a version to come what is known is taken.
        let later = SOUND.replacen("00-", "01-", 1) + "-more";
        assert!(TraceContext::parse(later.as_bytes()).is_some());
    }

    #[test]
    fn anything_else_is_none() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn children_stay_in_the_trace() {
        let root = TraceContext::root().unwrap();
        let child = root.child().unwrap();
        assert_eq!(child.trace_id, root.trace_id);
        assert_ne!(child.span_id, root.span_id);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = TraceContext::parse(&bytes);
        }
    }
}
