//! JSON to values and back.
//!
//! The reader is our own: numbers keep their digits where the language promises it, strings keep
//! bytes that are no UTF-8, texts without escapes are borrowed, and a name given twice is judged
//! by the types of its values. None of the usual packages does all of these.

use crate::expr::number::Number;
use crate::expr::text::Text;
use crate::expr::value::{Entry, Fields, Items, Value};

/// Deepest nesting that is read; a body could otherwise overflow the stack.
const MAX_DEPTH: usize = 128;

/// How fractions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fractions {
    /// All digits count: the function `json_decode`.
    Exact,
    /// As `f64`, like most JSON software: bodies. Whole numbers stay exact.
    Double,
}

/// A text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct JsonError {
    reason: &'static str,
    at: usize,
}

impl<'a> Value<'a> {
    /// Reads one JSON value, white space around it allowed.
    pub fn from_json(text: &'a [u8], fractions: Fractions) -> Result<Self, JsonError> {
        let mut reader = Reader {
            text,
            at: 0,
            fractions,
        };
        let value = reader.value(0)?;
        reader.blanks();
        if reader.at < text.len() {
            return Err(reader.error("text after the value"));
        }
        Ok(value)
    }

    /// Appends the value as compact JSON with sorted names.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent | Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(n) => match n.as_i64() {
                Some(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
                None => out.extend_from_slice(n.to_string().as_bytes()),
            },
            Self::String(text) => write_string(text, out),
            Self::List(items) | Self::Tuple(items) => {
                out.push(b'[');
                for (i, item) in items.as_slice().iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write_json(out);
                }
                out.push(b']');
            }
            Self::Map(fields) | Self::Object(fields) => {
                out.push(b'{');
                for (i, (name, value)) in fields.as_slice().iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_string(name, out);
                    out.push(b':');
                    value.write_json(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The value as compact JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.write_json(&mut out);
        out
    }
}

fn write_string(text: &Text<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.as_bytes().utf8_chunks() {
        write_escaped(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// `text` is UTF-8; the only longer characters to escape, U+2028 and U+2029, start with 0xE2.
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let mut hex = *b"\\u0000";
        let (escape, length): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            0..0x20 => {
                hex[4] = b'0' + (byte >> 4);
                hex[5] = b"0123456789abcdef"[usize::from(byte & 15)];
                (&hex, 1)
            }
            0xE2 => match text.get(at + 1..at + 3) {
                Some([0x80, 0xA8]) => (b"\\u2028", 3),
                Some([0x80, 0xA9]) => (b"\\u2029", 3),
                _ => continue,
            },
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(escape);
        from = at + length;
    }
    out.extend_from_slice(&text[from..]);
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    fractions: Fractions,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: &'static str) -> JsonError {
        JsonError {
            reason,
            at: self.at,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.error("unknown word"))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.blanks();
        match self.peek() {
            None => Err(self.error("end of text where a value should be")),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'"') => self.string().map(Value::String),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.error("unexpected character")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Tuple(Items::Owned(items)));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Tuple(Items::Owned(items)));
                }
                _ => return Err(self.error("`,` or `]` expected")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.at += 1;
        let mut entries: Vec<Entry<'a>> = Vec::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Fields::Owned(entries)));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.error("name in quotes expected"));
            }
            let name = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.error("`:` expected"));
            }
            self.at += 1;
            entries.push((name, self.value(depth + 1)?));
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                _ => return Err(self.error("`,` or `}` expected")),
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let clash =
            |pair: &[Entry<'_>]| pair[0].0 == pair[1].0 && !same_type(&pair[0].1, &pair[1].1);
        if entries.windows(2).any(clash) {
            return Err(self.error("name given twice with values of different types"));
        }
        Ok(Value::Object(Fields::from_unsorted(entries)))
    }

    fn number(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
        ) {
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        let malformed = JsonError {
            reason: "malformed number",
            at: start,
        };
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        if matches!(unsigned, [b'0', b'0'..=b'9', ..]) {
            return Err(malformed);
        }
        let text = std::str::from_utf8(digits).map_err(|_| malformed)?;
        let whole = !text.contains(['.', 'e', 'E']);
        if whole || self.fractions == Fractions::Exact {
            return Number::parse(text)
                .map(Value::Number)
                .map_err(|_| malformed);
        }
        // The language's grammar is that of JSON, while `f64` would take `1.` and `.5`.
        if Number::is_number(text) {
            let number = text.parse().ok().and_then(Number::from_f64);
            return number.map(Value::Number).ok_or(malformed);
        }
        Err(malformed)
    }

    fn string(&mut self) -> Result<Text<'a>, JsonError> {
        self.at += 1;
        let start = self.at;
        let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
        let mut owned: Vec<u8> = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.iter().position(special) else {
                return Err(self.error("string without end"));
            };
            self.at += length;
            match rest[length] {
                b'"' => {
                    let plain = &self.text[start..self.at];
                    self.at += 1;
                    if owned.is_empty() && !plain.contains(&b'\\') {
                        return Ok(Text::Borrowed(plain));
                    }
                    owned.extend_from_slice(&rest[..length]);
                    return Ok(Text::Owned(owned));
                }
                b'\\' => {
                    owned.extend_from_slice(&rest[..length]);
                    self.at += 1;
                    self.escape(&mut owned)?;
                }
                _ => return Err(self.error("control character in a string")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let byte = self
            .peek()
            .ok_or_else(|| self.error("string without end"))?;
        self.at += 1;
        out.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = self.hex()?;
                let low_follows = self.text[self.at..].starts_with(b"\\u");
                if (0xD800..0xDC00).contains(&code) && low_follows {
                    let after_high = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xDC00..0xE000).contains(&low) {
                        code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    } else {
                        self.at = after_high;
                    }
                }
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("unknown escape")),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4);
        let mut code = 0;
        for &digit in digits.ok_or_else(|| self.error("four hex digits expected"))? {
            let value = char::from(digit).to_digit(16);
            code = code * 16 + value.ok_or_else(|| self.error("four hex digits expected"))?;
        }
        self.at += 4;
        Ok(code)
    }
}

fn same_type(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Null, Value::Null)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => true,
        (Value::Tuple(a), Value::Tuple(b)) => {
            let (a, b) = (a.as_slice(), b.as_slice());
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_type(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let (a, b) = (a.as_slice(), b.as_slice());
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.0 == b.0 && same_type(&a.1, &b.1))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &[u8], fractions: Fractions) -> Result<String, JsonError> {
        let value = Value::from_json(text, fractions)?;
        Ok(String::from_utf8(value.to_json()).unwrap())
    }

    #[test]
    fn round_trips() {
        for (given, wanted) in [
            (
                r#" {"b":[1,null,true,false],"a":"x"} "#,
                r#"{"a":"x","b":[1,null,true,false]}"#,
            ),
            (
                r#""a\/\"\\\b\f\n\r\t\u00e9\ud83d\ude00""#,
                "\"a/\\\"\\\\\\u0008\\u000c\\n\\r\\té😀\"",
            ),
            (
                r#""\ud800x\u2028\u2029<>&""#,
                "\"\u{fffd}x\\u2028\\u2029<>&\"",
            ),
            ("12345678901234567890123.50", "12345678901234567890123.5"),
            ("1e21", "1000000000000000000000"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("\"\u{7f}\"", "\"\u{7f}\""),
        ] {
            assert_eq!(
                round(given.as_bytes(), Fractions::Exact).as_deref(),
                Ok(wanted)
            );
        }
    }

    #[test]
    fn bodies_have_doubles_and_exact_integers() {
        let text = b"[0.1, 9007199254740993, 1.0, 12345678901234567890123, 0.12345678901234567890]";
        let wanted = "[0.1,9007199254740993,1,12345678901234567890123,0.12345678901234568]";
        assert_eq!(round(text, Fractions::Double).as_deref(), Ok(wanted));
        assert!(round(b"1e400", Fractions::Double).is_err());
    }

    #[test]
    fn invalid_utf8_is_carried_and_replaced() {
        let value = Value::from_json(b"\"a\xffb\"", Fractions::Double).unwrap();
        assert_eq!(value.as_bytes(), Some(&b"a\xffb"[..]));
        assert_eq!(value.to_json(), "\"a\u{fffd}b\"".as_bytes());
    }

    #[test]
    fn refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "1 2",
            "{\"a\":1,\"a\":\"x\"}",
            "{a:1}",
            "1.e5",
            &deep,
        ] {
            assert!(
                round(text.as_bytes(), Fractions::Exact).is_err(),
                "{text:.20}"
            );
            assert!(
                round(text.as_bytes(), Fractions::Double).is_err(),
                "{text:.20}"
            );
        }
    }
}
