//! Text that cannot break out of its line, whatever a client sends.

use super::VALUE_LIMIT;

const ELLIPSIS: &str = "…";

/// Names in the common layout stand without quotes, so what would end them becomes `_`.
pub(super) fn common_key(out: &mut impl Extend<u8>, key: &[u8]) {
    out.extend(key.iter().take(VALUE_LIMIT / 8).map(|&b| match b {
        b'!'..=b'~' if !matches!(b, b'=' | b'"' | b'\\') => b,
        _ => b'_',
    }));
}

pub(super) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether all bytes stand in a JSON string as they are: printable ASCII but `"` and `\`. Eight
/// bytes are looked at together, as this is asked of every byte that is logged.
pub(super) fn is_plain(value: &[u8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of a byte of the result is set, if not for the byte itself then for one below it,
    // where the byte is less than `n` (at most 128).
    let less = |x: u64, n: u8| x.wrapping_sub(ONES * u64::from(n)) & !x;
    let equal = |x: u64, n: u8| less(x ^ (ONES * u64::from(n)), 1);
    let special = |x: u64| less(x, 0x20) | equal(x, b'"') | equal(x, b'\\') | equal(x, 0x7f) | x;
    let word = |bytes: &[u8]| bytes.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let Some(last) = value.last_chunk::<8>() else {
        return value
            .iter()
            .all(|b| matches!(b, 0x20..0x7f) && !matches!(b, b'"' | b'\\'));
    };
    // The last word overlaps the one before it, so that there is no remainder.
    let found = value
        .chunks_exact(8)
        .fold(special(u64::from_le_bytes(*last)), |found, chunk| {
            found | special(word(chunk))
        });
    found & HIGH == 0
}

/// Bytes that may stand in a word without quotes.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)]
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_' | b'/' | b'@' | b'^' | b'+');
        byte += 1;
    }
    table
};

pub(super) fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

/// Appends `value` as the inside of a JSON string, at most `limit` bytes of it. Returns whether it
/// had to be cut.
pub(super) fn escape(out: &mut Vec<u8>, value: &[u8], limit: usize) -> bool {
    if value.len() <= limit && is_plain(value) {
        out.extend_from_slice(value);
        return false;
    }
    let start = out.len();
    // The last place at which an ellipsis still fits.
    let mut fit = start;
    let room = limit.saturating_sub(ELLIPSIS.len());
    // A character takes at least as many bytes as it is read from, so more is never needed.
    let value = &value[..value.len().min(limit + 4)];
    for chunk in value.utf8_chunks() {
        let replacement = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for c in chunk.valid().chars().chain(replacement) {
            escape_char(out, c);
            let length = out.len() - start;
            if length > limit {
                out.truncate(fit);
                if limit >= ELLIPSIS.len() {
                    out.extend_from_slice(ELLIPSIS.as_bytes());
                }
                return true;
            }
            if length <= room {
                fit = out.len();
            }
        }
    }
    false
}

fn escape_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // Besides C0, DEL and C1 (which terminals obey) also what some readers take for a line end.
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let code = u32::from(c);
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                out.push(HEX[((code >> shift) & 0xf) as usize]);
            }
        }
        _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
