//! Strings. Characters are grapheme clusters; a byte that is no UTF-8 is a character of its own.

use memchr::memmem;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::expr::function::Args;
use crate::expr::lib::{mismatch, number, take, text};
use crate::expr::text::Text;
use crate::expr::value::Value;

/// `to_lower(s)`: character by character.
pub(crate) fn to_lower(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let text = text(&mut args, 0)?;
    // The one character with a longer lower case is a dotted capital I; its base letter does.
    Ok(map_chars(text, |c| c.to_lowercase().next().unwrap_or(c)))
}

/// `to_upper(s)`: character by character, so that `ß` stays.
pub(crate) fn to_upper(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let text = text(&mut args, 0)?;
    Ok(map_chars(text, |c| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(single), None) => single,
            _ => c,
        }
    }))
}

fn map_chars(text: Text<'_>, map: impl Fn(char) -> char) -> Value<'_> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            out.extend_from_slice(map(c).encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
    if out == bytes {
        Value::String(text)
    } else {
        Value::string(out)
    }
}

/// `trim(s)`: Unicode white space off both ends.
pub(crate) fn trim(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let text = text(&mut args, 0)?;
    Ok(Value::String(text.slice(|bytes| {
        let (from_start, trimmed) = if let Ok(valid) = std::str::from_utf8(bytes) {
            (valid.trim_start().len(), valid.trim().len())
        } else {
            (bytes.trim_ascii_start().len(), bytes.trim_ascii().len())
        };
        let start = bytes.len() - from_start;
        start..start + trimmed
    })))
}

/// `to_number(v)`: null stays null.
pub(crate) fn to_number(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let value = take(&mut args, 0);
    if value.is_null() {
        return Ok(Value::Null);
    }
    let number = value.to_number();
    number.map(Value::Number).ok_or_else(|| match value {
        Value::String(_) => "argument 1 is no decimal number".to_owned(),
        value => mismatch(0, "number", &value),
    })
}

/// `join(sep, list…)`
pub(crate) fn join(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let separator = text(&mut args, 0)?;
    let mut out = Vec::new();
    let mut first = true;
    for index in 1..args.len() {
        let list = take(&mut args, index);
        let items = list
            .as_items()
            .ok_or_else(|| mismatch(index, "list", &list))?;
        for item in items {
            if !std::mem::take(&mut first) {
                out.extend_from_slice(separator.as_bytes());
            }
            let part = item.borrowed().to_text();
            let part = part.ok_or_else(|| {
                format!(
                    "argument {} has an element that is {}",
                    index + 1,
                    item.type_name()
                )
            })?;
            out.extend_from_slice(part.as_bytes());
        }
    }
    Ok(Value::string(out))
}

/// `split(sep, s)`; an empty separator splits into characters.
pub(crate) fn split(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let separator = text(&mut args, 0)?;
    let parts = match text(&mut args, 1)? {
        Text::Borrowed(bytes) => ranges(separator.as_bytes(), bytes)
            .map(|part| Value::string(&bytes[part]))
            .collect(),
        Text::Owned(bytes) => ranges(separator.as_bytes(), &bytes)
            .map(|part| Value::string(bytes[part].to_vec()))
            .collect(),
    };
    Ok(Value::list(parts))
}

type Range = std::ops::Range<usize>;

fn ranges<'t>(separator: &'t [u8], text: &'t [u8]) -> Box<dyn Iterator<Item = Range> + 't> {
    if separator.is_empty() {
        return Box::new(characters(text));
    }
    let ends = memmem::find_iter(text, separator).chain([text.len()]);
    Box::new(ends.scan(0, |start, end| {
        let part = *start..end;
        *start = end + separator.len();
        Some(part)
    }))
}

fn characters(text: &[u8]) -> impl Iterator<Item = Range> {
    let mut at = 0;
    text.utf8_chunks()
        .flat_map(|chunk| {
            let valid = chunk.valid().graphemes(true).map(str::len);
            valid.chain(chunk.invalid().iter().map(|_| 1))
        })
        .map(move |length| {
            at += length;
            at - length..at
        })
}

/// `substr(s, offset, length)`, in characters; negative offsets count from the end.
pub(crate) fn substr(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let text = text(&mut args, 0)?;
    let whole = |args: &mut Args<'_>, index| {
        let n = number(args, index)?;
        n.as_i64()
            .ok_or_else(|| format!("argument {} is no whole number", index + 1))
    };
    let offset = whole(&mut args, 1)?;
    let length = whole(&mut args, 2)?;
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Ok(Value::String(text.slice(|bytes| {
        let skip = if offset < 0 {
            characters(bytes)
                .count()
                .saturating_sub(size(offset.unsigned_abs()))
        } else {
            size(offset.unsigned_abs())
        };
        let count = if length < 0 {
            usize::MAX
        } else {
            size(length.unsigned_abs())
        };
        let mut part = characters(bytes).skip(skip).take(count);
        match part.next() {
            None => 0..0,
            Some(first) => first.start..part.last().map_or(first.end, |last| last.end),
        }
    })))
}
