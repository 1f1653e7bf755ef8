//! The time of an entry as text.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    static TIME: Cell<(u64, [u8; 20])> = const { Cell::new((0, *b"1970-01-01T00:00:00Z")) };
}

/// Calls `f` with the RFC 3339 text of `time` in UTC, made anew only when the second changes.
pub(super) fn with_time<T>(time: SystemTime, f: impl FnOnce(&[u8]) -> T) -> T {
    let second = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (cached, mut text) = TIME.get();
    if cached != second {
        text = rfc3339(second).unwrap_or(*b"1970-01-01T00:00:00Z");
        TIME.set((second, text));
    }
    f(&text)
}

fn rfc3339(second: u64) -> Option<[u8; 20]> {
    let time = jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
    time.to_string().as_bytes().try_into().ok()
}
