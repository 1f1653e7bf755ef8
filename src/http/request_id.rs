//! Request ids: made here or taken from a client's header.

use crate::blocks::settings::RequestIdFormat;
use crate::telemetry::trace::TraceContext;
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest id that a client may give.
const MAX: usize = 64;

/// An id, stored in place, with the request's place in its trace.
#[derive(Clone, Copy)]
pub struct RequestId {
    bytes: [u8; MAX],
    len: u8,
    trace: Option<TraceContext>,
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

thread_local! {
    /// Distinguishes ids of one second: a random start, then counted up.
    static SEQUENCE: Cell<Option<([u8; 5], u32)>> = const { Cell::new(None) };
}

impl RequestId {
    /// A new id.
    pub fn new(format: RequestIdFormat) -> Self {
        match format {
            RequestIdFormat::Common => Self::sortable(SystemTime::now()),
            RequestIdFormat::Uuid4 => {
                let mut id = Self {
                    bytes: [0; MAX],
                    len: 36,
                    trace: None,
                };
                uuid::Uuid::new_v4()
                    .hyphenated()
                    .encode_lower(&mut id.bytes[..36]);
                id
            }
        }
    }

    /// Twelve bytes in twenty characters of base32hex: seconds, then what tells processes and
    /// threads apart, then a counter.
    fn sortable(now: SystemTime) -> Self {
        let (place, count) = SEQUENCE.get().unwrap_or_else(|| {
            let random = crate::crypto::random::bytes::<8>().unwrap_or_default();
            let (place, count) = (&random[..5], &random[5..]);
            let count = count
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            (place.try_into().unwrap_or_default(), count)
        });
        SEQUENCE.set(Some((place, count.wrapping_add(1))));
        let seconds = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let mut raw = [0_u8; 12];
        raw[..4].copy_from_slice(&seconds.to_be_bytes()[4..]);
        raw[4..9].copy_from_slice(&place);
        raw[9..].copy_from_slice(&count.to_be_bytes()[1..]);
        let mut id = Self {
            bytes: [0; MAX],
            len: 20,
            trace: None,
        };
        let alphabet = b"0123456789abcdefghijklmnopqrstuv";
        for (at, byte) in id.bytes[..20].iter_mut().enumerate() {
            let bit = at * 5;
            let pair =
                u16::from_be_bytes([raw[bit / 8], raw.get(bit / 8 + 1).copied().unwrap_or(0)]);
            *byte = alphabet[usize::from(pair << (bit % 8) >> 11)];
        }
        id
    }

    /// An id that a client gave: 12 to 64 of `a-zA-Z0-9@=/+-`.
    pub fn accept(text: &[u8]) -> Option<Self> {
        let sound = |b: &u8| b.is_ascii_alphanumeric() || b"@=/+-".contains(b);
        if !(12..=MAX).contains(&text.len()) || !text.iter().all(sound) {
            return None;
        }
        let mut id = Self {
            bytes: [0; MAX],
            len: u8::try_from(text.len()).ok()?,
            trace: None,
        };
        id.bytes[..text.len()].copy_from_slice(text);
        Some(id)
    }

    /// The same in a trace.
    #[must_use]
    pub fn traced(mut self, context: TraceContext) -> Self {
        self.trace = Some(context);
        self
    }

    /// The place of the request's span, if it is traced.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let at = |seconds| RequestId::sortable(UNIX_EPOCH + Duration::from_secs(seconds));
        let (a, b, later) = (at(1_700_000_000), at(1_700_000_000), at(1_700_000_001));
        assert_eq!(a.as_str().len(), 20);
        assert!(
            a.as_str()
                .bytes()
                .all(|c| c.is_ascii_digit() || (b'a'..=b'v').contains(&c))
        );
        assert_ne!(a.as_str(), b.as_str());
        assert!(a.as_str() < later.as_str() && b.as_str() < later.as_str());
    }

    #[test]
    fn clients_may_give_some_ids() {
        assert!(RequestId::accept(b"abcDEF012@=/+-").is_some());
        assert!(RequestId::accept(b"short").is_none());
        assert!(RequestId::accept(b"with a blank!").is_none());
        assert!(RequestId::accept(&[b'a'; 65]).is_none());
    }
}
