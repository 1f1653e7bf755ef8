//! Form and query encoding: `application/x-www-form-urlencoded` and its query flavour.

use super::modifiers::Params;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn push_encoded(out: &mut Vec<u8>, text: &[u8], blank: &[u8]) {
    for &byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b' ' => out.extend_from_slice(blank),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'%', HEX[high], HEX[low]]);
            }
        }
    }
}

/// Form encoding with a blank as `+`.
pub fn encode_into(out: &mut Vec<u8>, text: &[u8]) {
    push_encoded(out, text, b"+");
}

/// Percent-decodes; `plus` makes `+` a blank. Broken escapes stay as they are.
pub fn decode(text: &[u8], plus: bool) -> Vec<u8> {
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' if at + 2 < text.len() => match (hex(text[at + 1]), hex(text[at + 2])) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    out
}

/// Names and values in order; a name without value has the empty one.
pub fn pairs(text: &[u8], plus: bool) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    text.split(|b| *b == b'&')
        .filter(|part| !part.is_empty())
        .map(move |part| {
            let at = memchr::memchr(b'=', part).unwrap_or(part.len());
            let value = part.get(at + 1..).unwrap_or_default();
            (decode(&part[..at], plus), decode(value, plus))
        })
}

/// Names with their values. A `+` in a query that is sent on stays a plus, hence `plus = false`.
pub fn params(text: &[u8], plus: bool) -> Params {
    let mut params = Params::new();
    for (name, value) in pairs(text, plus) {
        params.entry(name).or_default().push(value);
    }
    params
}

/// The query: sorted by name, values in order, a blank as `%20`.
pub fn query(params: &Params) -> Vec<u8> {
    write(params, b"%20")
}

/// The form body: sorted by name, values in order, a blank as `+`.
pub fn body(params: &Params) -> Vec<u8> {
    write(params, b"+")
}

fn write(params: &Params, blank: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, values) in params {
        for value in values {
            if !out.is_empty() {
                out.push(b'&');
            }
            push_encoded(&mut out, name, blank);
            out.push(b'=');
            push_encoded(&mut out, value, blank);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_query_is_sorted_and_keeps_a_plus() {
        let params = params(b"b=2&a&b=1+1&c=x%20y", false);
        assert_eq!(query(&params), b"a=&b=2&b=1%2B1&c=x%20y");
        assert_eq!(body(&params), b"a=&b=2&b=1%2B1&c=x+y");
    }

    #[test]
    fn broken_escapes_stay() {
        for text in ["%", "%4", "%zz", "a%"] {
            assert_eq!(decode(text.as_bytes(), true), text.as_bytes());
        }
        assert_eq!(decode(b"%41+%2b", true), b"A +");
    }
}
