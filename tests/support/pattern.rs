//! Regular expressions as cases write them: with look-around, `$` before a last line break, `\Z`, and
//! braces that are no repetition meaning themselves.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use fancy_regex::{Regex, RegexBuilder};

use super::Mismatch;

/// How a pattern is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// `.` matches a line break too.
    pub dot_all: bool,
    /// Letters match in either case.
    pub any_case: bool,
}

/// `.` matches a line break too, case matters.
pub const DOT_ALL: Flags = Flags {
    dot_all: true,
    any_case: false,
};

/// Whether the pattern is found anywhere in the text.
pub fn found(pattern: &str, flags: Flags, text: &str) -> Result<bool, Mismatch> {
    compiled(pattern, flags)?
        .is_match(text)
        .map_err(|error| Mismatch::new(format!("/{pattern}/: {error}")))
}

/// What the pattern's first group caught.
pub fn caught(pattern: &str, flags: Flags, text: &str) -> Result<String, Mismatch> {
    let captures = compiled(pattern, flags)?
        .captures(text)
        .map_err(|error| Mismatch::new(format!("/{pattern}/: {error}")))?;
    captures
        .and_then(|captures| captures.get(1).map(|group| group.as_str().to_owned()))
        .ok_or_else(|| Mismatch::new(format!("/{pattern}/ catches nothing in {text:?}")))
}

fn compiled(pattern: &str, flags: Flags) -> Result<Regex, Mismatch> {
    static KNOWN: LazyLock<Mutex<HashMap<(String, Flags), Regex>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = known.get(&(pattern.to_owned(), flags)) {
        return Ok(regex.clone());
    }
    let inline = match (flags.dot_all, flags.any_case) {
        (true, true) => "(?si)",
        (true, false) => "(?s)",
        (false, true) => "(?i)",
        (false, false) => "",
    };
    let regex = RegexBuilder::new(&format!("{inline}{}", translated(pattern)))
        .delegate_size_limit(1 << 26)
        .build()
        .map_err(|error| Mismatch::new(format!("/{pattern}/ is no regular expression: {error}")))?;
    known.insert((pattern.to_owned(), flags), regex.clone());
    Ok(regex)
}

/// The pattern in this engine's words.
fn translated(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let mut taken = c.len_utf8();
        match c {
            '\\' => {
                let escaped = after.chars().next();
                taken += escaped.map_or(0, char::len_utf8);
                match escaped {
                    Some('Z') => out.push_str(r"\z"),
                    Some(plain @ ('<' | '>')) => out.push(plain),
                    Some(plain) if !plain.is_ascii() => out.push(plain),
                    Some(other) => out.extend(['\\', other]),
                    None => out.push('\\'),
                }
            }
            '[' if class => out.push_str(r"\["),
            '[' => {
                class = true;
                out.push('[');
                let negated = after.starts_with('^');
                if negated {
                    out.push('^');
                    taken += 1;
                }
                if after[usize::from(negated)..].starts_with(']') {
                    out.push_str(r"\]"); // the first of a class is a member
                    taken += 1;
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => out.extend(['\\', c]),
            '$' if !class => out.push_str(r"(?=\n?\z)"),
            '{' if !class && !repetition(rest) => out.push_str(r"\{"),
            other => out.push(other),
        }
        rest = &rest[taken..];
    }
    out
}

/// Whether the text begins with `{2}`, `{2,}`, `{,2}` or `{2,3}`.
fn repetition(text: &str) -> bool {
    text[1..].split_once('}').is_some_and(|(inside, _)| {
        inside.bytes().any(|b| b.is_ascii_digit())
            && inside.bytes().all(|b| b.is_ascii_digit() || b == b',')
            && inside.bytes().filter(|b| *b == b',').count() <= 1
    })
}
