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

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest value of one field, in bytes as written, the ellipsis included.
pub const VALUE_LIMIT: usize = 1024;

/// Longest line in bytes, the line feed included.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Kept free at the end of a line for the `truncated` field and the closing braces of
/// [`DEPTH_LIMIT`] levels (the pretty layout indents each).
const RESERVE: usize = 768;

/// Deepest nesting of objects and lists; what lies deeper is left out.
const DEPTH_LIMIT: usize = 16;

const ELLIPSIS: &str = "…";

/// How grave an entry is. The names are those of Couper's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The process is in a state that must not occur.
    Panic,
    /// The process ends.
    Fatal,
    /// Something failed.
    Error,
    /// Something deserves attention.
    Warning,
    /// Ordinary events.
    Info,
    /// For whoever looks into a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The name as it stands in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    const fn color(self) -> &'static str {
        match self {
            Self::Panic | Self::Fatal | Self::Error => "\x1b[31m",
            Self::Warning => "\x1b[33m",
            Self::Info => "\x1b[36m",
            Self::Debug | Self::Trace => "\x1b[37m",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        const NAMES: [(&str, Level); 8] = [
            ("panic", Level::Panic),
            ("fatal", Level::Fatal),
            ("error", Level::Error),
            ("warn", Level::Warning),
            ("warning", Level::Warning),
            ("info", Level::Info),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ];
        NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|&(_, level)| level)
            .ok_or(UnknownLevel)
    }
}

/// The outer form of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object a line.
    Json,
    /// Indented JSON, for people.
    PrettyJson,
    /// `time="…" level=info msg="…" key=value`, nested names joined by dots.
    Common,
}

/// What all entries of the process have in common.
#[derive(Clone, Debug)]
pub struct Format {
    /// The outer form.
    pub layout: Layout,
    /// Whether keys and levels are coloured; only where the output is a terminal.
    pub color: bool,
    /// In JSON, the object that holds all fields but time, level and message.
    pub parent_field: Option<Box<str>>,
    /// The `build` field.
    pub build: Box<str>,
    /// The `version` field.
    pub version: Box<str>,
}

impl Format {
    /// A format without colours and parent field, with the build facts of this binary.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            color: false,
            parent_field: None,
            build: option_env!("GATEWAY_BUILD").unwrap_or("dev").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Begins an entry of the type `kind` at the end of `out`.
    pub fn begin<'a>(
        &'a self,
        out: &'a mut Vec<u8>,
        kind: &str,
        level: Level,
        time: SystemTime,
        message: &[u8],
    ) -> Entry<'a> {
        let mut entry = Entry {
            start: out.len(),
            out,
            format: self,
            level,
            depth: 0,
            skipped: 0,
            comma: false,
            truncated: false,
            lists: 0,
            prefix: smallvec::SmallVec::new(),
            marks: smallvec::SmallVec::new(),
        };
        match self.layout {
            Layout::Json | Layout::PrettyJson => {
                entry.out.push(b'{');
                entry.depth = 1;
                with_time(time, |text| entry.string("timestamp", text));
                entry.string("level", level.as_str().as_bytes());
                entry.string("message", message);
                if let Some(parent) = &self.parent_field {
                    entry.begin_object(parent);
                }
            }
            Layout::Common => {
                with_time(time, |text| entry.string("time", text));
                entry.string("level", level.as_str().as_bytes());
                entry.string("msg", message);
            }
        }
        entry.string("type", kind.as_bytes());
        entry.string("build", self.build.as_bytes());
        entry.string("version", self.version.as_bytes());
        entry
    }
}

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

/// Names in the common layout stand without quotes, so what would end them becomes `_`.
fn common_key(out: &mut impl Extend<u8>, key: &[u8]) {
    out.extend(key.iter().take(VALUE_LIMIT / 8).map(|&b| match b {
        b'!'..=b'~' if !matches!(b, b'=' | b'"' | b'\\') => b,
        _ => b'_',
    }));
}

fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether all bytes stand in a JSON string as they are: printable ASCII but `"` and `\`. Eight
/// bytes are looked at together, as this is asked of every byte that is logged.
fn is_plain(value: &[u8]) -> bool {
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

fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

/// Appends `value` as the inside of a JSON string, at most `limit` bytes of it. Returns whether it
/// had to be cut.
fn escape(out: &mut Vec<u8>, value: &[u8], limit: usize) -> bool {
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

thread_local! {
    static TIME: Cell<(u64, [u8; 20])> = const { Cell::new((0, *b"1970-01-01T00:00:00Z")) };
}

/// Calls `f` with the RFC 3339 text of `time` in UTC, made anew only when the second changes.
fn with_time<T>(time: SystemTime, f: impl FnOnce(&[u8]) -> T) -> T {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(format: &Format, fields: impl FnOnce(&mut Entry<'_>)) -> String {
        let mut out = Vec::new();
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut entry = format.begin(&mut out, "couper_test", Level::Info, time, b"hello \"you\"");
        fields(&mut entry);
        entry.finish();
        String::from_utf8(out).unwrap()
    }

    fn format(layout: Layout) -> Format {
        Format {
            build: "b1".into(),
            version: "1.2".into(),
            ..Format::new(layout)
        }
    }

    fn sample(entry: &mut Entry<'_>) {
        entry.begin_object("request");
        entry.string("method", b"GET");
        entry.joined("accept", [&b"a"[..], b"b\n"].into_iter());
        entry.begin_object("headers");
        entry.end();
        entry.end();
        entry.begin_list("list");
        entry.number("", 1);
        entry.string("", b"two");
        entry.end();
        entry.milliseconds("total", Duration::from_micros(1_050));
        entry.float("share", 0.25);
        entry.bool("tls", false);
        entry.raw_json("custom", b"{\"a\":\n[1]}");
    }

    #[test]
    fn plain_is_printable_ascii_but_quote_and_backslash() {
        for byte in 0..=255_u8 {
            let plain = (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
            for at in [0, 3, 7, 8, 12] {
                let mut text = [b'x'; 13];
                text[at] = byte;
                assert_eq!(is_plain(&text), plain, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn json_layout() {
        assert_eq!(
            line(&format(Layout::Json), sample),
            concat!(
                r#"{"timestamp":"2023-11-14T22:13:20Z","level":"info","message":"hello \"you\"","#,
                r#""type":"couper_test","build":"b1","version":"1.2","#,
                r#""request":{"method":"GET","accept":"a|b\n","headers":{}},"list":[1,"two"],"#,
                r#""total":1.050,"share":0.250,"tls":false,"custom":{"a": [1]}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn common_layout() {
        assert_eq!(
            line(&format(Layout::Common), sample),
            concat!(
                r#"time="2023-11-14T22:13:20Z" level=info msg="hello \"you\"" type=couper_test "#,
                r#"build=b1 version=1.2 request.method=GET request.accept="a|b\n" list.item=1 "#,
                r#"list.item=two total=1.050 share=0.250 tls=false custom="{\"a\":\n[1]}""#,
                "\n"
            )
        );
    }

    #[test]
    fn pretty_layout_holds_the_same_value() {
        let pretty = line(&format(Layout::PrettyJson), sample);
        assert!(
            pretty.contains("\n  \"request\": {\n    \"method\": \"GET\""),
            "{pretty}"
        );
        let plain = line(&format(Layout::Json), sample);
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&pretty), parse(&plain));
    }

    #[test]
    fn parent_field_holds_everything_but_time_level_and_message() {
        let format = Format {
            parent_field: Some("couper".into()),
            ..format(Layout::Json)
        };
        let value: serde_json::Value = serde_json::from_str(&line(&format, sample)).unwrap();
        assert_eq!(value["level"], "info");
        assert_eq!(value["couper"]["type"], "couper_test");
        assert_eq!(value["couper"]["request"]["method"], "GET");
        assert_eq!(value.as_object().unwrap().len(), 4);
    }

    #[test]
    fn long_values_are_cut_and_long_lines_lose_fields() {
        let text = line(&format(Layout::Json), |entry| {
            entry.begin_object("o");
            for _ in 0..100 {
                entry.string("k", &[b'x'; 5000]);
            }
        });
        assert!(text.len() <= LINE_LIMIT);
        assert!(text.contains("x…\""));
        assert!(text.ends_with(",\"truncated\":true}\n"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn levels_have_names() {
        assert_eq!("WARN".parse(), Ok(Level::Warning));
        assert_eq!("warning".parse(), Ok(Level::Warning));
        assert_eq!("verbose".parse::<Level>(), Err(UnknownLevel));
        assert!(Level::Error < Level::Info);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Text(String, Vec<u8>),
        Raw(String, Vec<u8>),
        Joined(Vec<Vec<u8>>),
        Object(String),
        List(String),
        End,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..1500);
        prop::collection::vec(
            prop_oneof![
                4 => (".*", bytes()).prop_map(|(k, v)| Step::Text(k, v)),
                1 => ("[a-z]*", bytes()).prop_map(|(k, v)| Step::Raw(k, v)),
                1 => prop::collection::vec(bytes(), 0..4).prop_map(Step::Joined),
                2 => ".*".prop_map(Step::Object),
                1 => ".*".prop_map(Step::List),
                2 => Just(Step::End),
            ],
            0..40,
        )
    }

    proptest! {
        #[test]
        fn any_input_makes_one_sound_line(steps in steps(), parent in any::<bool>()) {
            for layout in [Layout::Json, Layout::Common, Layout::PrettyJson] {
                let parent_field = parent.then(|| "parent".into());
                let format = Format { parent_field, ..format(layout) };
                let text = line(&format, |entry| {
                    for step in &steps {
                        match step {
                            Step::Text(key, value) => entry.string(key, value),
                            Step::Raw(key, value) => entry.raw_json(key, value),
                            Step::Joined(values) => {
                                entry.joined("j", values.iter().map(Vec::as_slice));
                            }
                            Step::Object(key) => entry.begin_object(key),
                            Step::List(key) => entry.begin_list(key),
                            Step::End => entry.end(),
                        }
                    }
                });
                prop_assert!(text.len() <= LINE_LIMIT);
                let body = text.strip_suffix('\n').unwrap();
                if layout != Layout::PrettyJson {
                    prop_assert!(!body.chars().any(char::is_control));
                }
                if layout != Layout::Common {
                    let value = serde_json::from_str::<serde_json::Value>(&text);
                    prop_assert!(value.is_ok(), "{text}");
                }
            }
        }
    }
}
