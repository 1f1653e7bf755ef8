//! One log entry, written straight into bytes.
//!
//! An [`Entry`] borrows the buffer of its thread and appends field after field; there is no map
//! and no value tree in between. The three layouts share one builder, so that a field cannot exist
//! in one of them only.
//!
//! Rules kept for every input: one entry is one line (pretty JSON excepted), controls are escaped,
//! bytes that are no UTF-8 become U+FFFD, a value has at most [`VALUE_LIMIT`] bytes and a line at
//! most [`LINE_LIMIT`]. A field that does not fit any more is left out whole and the entry carries
//! `truncated=true`, so JSON stays valid however much a client sends.

mod escape;
mod format;
mod level;
#[cfg(test)]
mod tests;
mod time;

pub use format::{Format, Layout};
pub use level::{Level, UnknownLevel};

use escape::{common_key, cut, escape, is_word};
use std::fmt;
use std::time::Duration;

/// Longest value of one field, in bytes as written, the ellipsis included.
pub const VALUE_LIMIT: usize = 1024;

/// Longest line in bytes, the line feed included.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Kept free at the end of a line for the `truncated` field and the closing braces of
/// [`DEPTH_LIMIT`] levels (the pretty layout indents each).
const RESERVE: usize = 768;

/// Deepest nesting of objects and lists; what lies deeper is left out.
const DEPTH_LIMIT: usize = 16;

/// An entry under construction. Call [`finish`](Self::finish), or the line stays open.
#[must_use = "an entry that is not finished leaves half a line in the buffer"]
pub struct Entry<'a> {
    out: &'a mut Vec<u8>,
    format: &'a Format,
    level: Level,
    start: usize,
    depth: usize,
    /// Open objects that were left out for want of space.
    skipped: usize,
    comma: bool,
    truncated: bool,
    /// One bit a level, set where the level is a list.
    lists: u32,
    /// Common layout: `request.headers.`, and where each part of it begins.
    prefix: smallvec::SmallVec<[u8; 64]>,
    marks: smallvec::SmallVec<[u16; DEPTH_LIMIT]>,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("depth", &self.depth)
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}

impl Entry<'_> {
    /// Adds a text.
    pub fn string(&mut self, key: &str, value: &[u8]) {
        if self.format.layout == Layout::Common
            && !value.is_empty()
            && value.len() <= VALUE_LIMIT
            && value.iter().fold(true, |word, &b| word & is_word(b))
        {
            self.field(key, |entry| entry.out.extend_from_slice(value));
        } else {
            self.field(key, |entry| entry.text(std::iter::once(value)));
        }
    }

    /// Adds several texts joined by `|`, as for a header field that occurs more than once.
    pub fn joined<'v>(&mut self, key: &str, values: impl Iterator<Item = &'v [u8]>) {
        self.field(key, |entry| entry.text(values));
    }

    /// Adds a whole number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.field(key, |entry| {
            entry
                .out
                .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        });
    }

    /// Adds a whole number that may be negative.
    pub fn integer(&mut self, key: &str, value: i64) {
        self.field(key, |entry| {
            entry
                .out
                .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        });
    }

    /// Adds a number with three decimals; `null` when it is not finite.
    pub fn float(&mut self, key: &str, value: f64) {
        self.field(key, |entry| {
            if value.is_finite() {
                use std::io::Write as _;
                // Writing into memory cannot fail.
                let _ = write!(entry.out, "{value:.3}");
            } else {
                entry.out.extend_from_slice(b"null");
            }
        });
    }

    /// Adds a duration in milliseconds with three decimals.
    pub fn milliseconds(&mut self, key: &str, value: Duration) {
        self.field(key, |entry| {
            let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
            let mut digits = itoa::Buffer::new();
            entry
                .out
                .extend_from_slice(digits.format(micros / 1000).as_bytes());
            let decimals = digits.format(micros % 1000 + 1000).as_bytes();
            entry.out.push(b'.');
            entry.out.extend_from_slice(&decimals[1..]);
        });
    }

    /// Adds a truth value.
    pub fn bool(&mut self, key: &str, value: bool) {
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.field(key, |entry| entry.out.extend_from_slice(text));
    }

    /// Adds a null.
    pub fn null(&mut self, key: &str) {
        self.field(key, |entry| entry.out.extend_from_slice(b"null"));
    }

    /// Adds JSON that the caller has made. What is no valid JSON, or longer than a value may be,
    /// is added as text, so that the line stays sound.
    pub fn raw_json(&mut self, key: &str, json: &[u8]) {
        let sound = json.len() <= VALUE_LIMIT
            && self.format.layout != Layout::Common
            && serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok();
        if sound {
            // Control bytes in valid JSON are white space between tokens.
            self.field(key, |entry| {
                entry
                    .out
                    .extend(json.iter().map(|&b| if b < 0x20 { b' ' } else { b }));
            });
        } else {
            self.string(key, json);
        }
    }

    /// Opens an object; its fields follow until [`end`](Self::end).
    pub fn begin_object(&mut self, key: &str) {
        self.open(key, b'{', false);
    }

    /// Opens a list; its items follow until [`end`](Self::end), their keys are ignored.
    pub fn begin_list(&mut self, key: &str) {
        self.open(key, b'[', true);
    }

    /// Closes the innermost open object or list. Without one, does nothing.
    pub fn end(&mut self) {
        if self.skipped > 0 {
            self.skipped -= 1;
        } else if self.depth > self.base_depth() {
            self.close();
        }
    }

    /// Ends the line.
    pub fn finish(mut self) {
        self.skipped = 0;
        while self.depth > self.base_depth() {
            self.close();
        }
        if self.truncated {
            self.truncated = false;
            self.write_field("truncated", |entry| entry.out.extend_from_slice(b"true"));
        }
        while self.depth > 0 {
            self.close();
        }
        self.out.push(b'\n');
    }

    /// How many levels [`Format::begin`] opened.
    fn base_depth(&self) -> usize {
        match self.format.layout {
            Layout::Common => 0,
            Layout::Json | Layout::PrettyJson => {
                1 + usize::from(self.format.parent_field.is_some())
            }
        }
    }

    fn in_list(&self) -> bool {
        self.lists & (1 << self.depth) != 0
    }

    fn field(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        if self.skipped > 0 {
            return;
        }
        let (mark, comma) = (self.out.len(), self.comma);
        self.write_field(key, value);
        if self.out.len() - self.start > LINE_LIMIT - RESERVE {
            self.out.truncate(mark);
            self.comma = comma;
            self.truncated = true;
        }
    }

    fn write_field(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        self.key(key);
        value(self);
        self.comma = true;
    }

    fn open(&mut self, key: &str, bracket: u8, list: bool) {
        if self.skipped > 0 || self.depth >= DEPTH_LIMIT {
            self.skipped += 1;
            self.truncated = true;
            return;
        }
        if self.format.layout == Layout::Common {
            // The key is cut so that a hostile name cannot fill each line of its object.
            let key = cut(key, VALUE_LIMIT / 8);
            self.marks
                .push(u16::try_from(self.prefix.len()).unwrap_or(u16::MAX));
            common_key(&mut self.prefix, key.as_bytes());
            self.prefix.push(b'.');
        } else {
            let (mark, comma) = (self.out.len(), self.comma);
            self.key(key);
            self.out.push(bracket);
            if self.out.len() - self.start > LINE_LIMIT - RESERVE {
                self.out.truncate(mark);
                self.comma = comma;
                self.skipped += 1;
                self.truncated = true;
                return;
            }
            self.comma = false;
        }
        self.depth += 1;
        if list {
            self.lists |= 1 << self.depth;
        } else {
            self.lists &= !(1 << self.depth);
        }
    }

    fn close(&mut self) {
        let list = self.in_list();
        self.depth -= 1;
        match self.format.layout {
            Layout::Common => {
                let before = self.marks.pop().map_or(0, usize::from);
                self.prefix.truncate(before);
            }
            Layout::Json => self.out.push(if list { b']' } else { b'}' }),
            Layout::PrettyJson => {
                if self.comma {
                    self.indent();
                }
                self.out.push(if list { b']' } else { b'}' });
            }
        }
        self.comma = true;
    }

    fn indent(&mut self) {
        self.out.push(b'\n');
        self.out.resize(self.out.len() + 2 * self.depth, b' ');
    }

    fn key(&mut self, key: &str) {
        match self.format.layout {
            Layout::Json => {
                if self.comma {
                    self.out.push(b',');
                }
                if !self.in_list() {
                    self.out.push(b'"');
                    escape(self.out, key.as_bytes(), VALUE_LIMIT);
                    self.out.extend_from_slice(b"\":");
                }
            }
            Layout::PrettyJson => {
                if self.comma {
                    self.out.push(b',');
                }
                self.indent();
                if !self.in_list() {
                    let color = self.format.color;
                    if color {
                        self.out.extend_from_slice(self.level.color().as_bytes());
                    }
                    self.out.push(b'"');
                    escape(self.out, key.as_bytes(), VALUE_LIMIT);
                    self.out.push(b'"');
                    if color {
                        self.out.extend_from_slice(b"\x1b[0m");
                    }
                    self.out.extend_from_slice(b": ");
                }
            }
            Layout::Common => {
                if self.comma {
                    self.out.push(b' ');
                }
                let color = self.format.color;
                if color {
                    self.out.extend_from_slice(self.level.color().as_bytes());
                }
                self.out.extend_from_slice(&self.prefix);
                if self.in_list() {
                    self.out.extend_from_slice(b"item");
                } else if key.bytes().fold(true, |word, b| word & is_word(b)) {
                    self.out.extend_from_slice(key.as_bytes());
                } else {
                    common_key(self.out, key.as_bytes());
                }
                if color {
                    self.out.extend_from_slice(b"\x1b[0m");
                }
                self.out.push(b'=');
            }
        }
    }

    fn text<'v>(&mut self, values: impl Iterator<Item = &'v [u8]>) {
        let start = self.out.len();
        self.out.push(b'"');
        let mut left = VALUE_LIMIT;
        for (index, value) in values.enumerate() {
            if index > 0 {
                if left == 0 {
                    break;
                }
                self.out.push(b'|');
                left -= 1;
            }
            let before = self.out.len();
            if escape(self.out, value, left) {
                break;
            }
            left = left.saturating_sub(self.out.len() - before);
        }
        if self.format.layout == Layout::Common
            && self.out.len() > start + 1
            && self.out[start + 1..]
                .iter()
                .fold(true, |word, &b| word & is_word(b))
        {
            // Plain words stand without quotes.
            self.out.remove(start);
        } else {
            self.out.push(b'"');
        }
    }
}
