//! How what came is compared with what a case wants.

use super::value::{Table, Value};
use super::{Mismatch, pattern};

/// Compares: tables are subsets, lists go element by element, `~x` is a regular expression, `=x` the
/// literal `x`; of a member, `false` says that it is absent (or false) and `true` that it is present
/// (and not false). `place` begins the message of a mismatch.
pub fn compare(want: &Value, got: &Value, place: &str) -> Result<(), Mismatch> {
    let differs = || {
        Err(Mismatch::new(format!(
            "{place}: want {want}, got {}",
            short(got)
        )))
    };
    match want {
        Value::Table(members) => match got {
            Value::Table(got) => compare_tables(members, got, place),
            _ => Err(Mismatch::new(format!(
                "{place}: want a table, got {}",
                short(got)
            ))),
        },
        Value::List(wants) => match got {
            Value::List(got) if got.len() == wants.len() => wants
                .iter()
                .zip(got)
                .enumerate()
                .try_for_each(|(i, (want, got))| compare(want, got, &format!("{place}[{i}]"))),
            _ => differs(),
        },
        Value::Text(text) => {
            if let Some(regex) = text.strip_prefix('~') {
                if pattern::found(regex, pattern::DOT_ALL, &got.plain())? {
                    return Ok(());
                }
                return Err(Mismatch::new(format!(
                    "{place}: want /{regex}/, got {}",
                    short(got)
                )));
            }
            let literal = text.strip_prefix('=').unwrap_or(text);
            if got.text() == Some(literal) {
                Ok(())
            } else {
                differs()
            }
        }
        plain if plain == got => Ok(()),
        _ => differs(),
    }
}

/// Compares the members of `want` with those of `got`.
pub fn compare_tables(want: &Table, got: &Table, place: &str) -> Result<(), Mismatch> {
    for (name, want) in want.iter() {
        match (want, got.get(name)) {
            (Value::Bool(false), None | Some(Value::Bool(false))) => {}
            (Value::Bool(false), Some(found)) => {
                let found = short(found);
                return Err(Mismatch::new(format!(
                    "{place}.{name}: should be absent, got {found}"
                )));
            }
            (_, None) => {
                let all = short(&Value::Table(got.clone()));
                return Err(Mismatch::new(format!("{place}.{name}: missing in {all}")));
            }
            (Value::Bool(true), Some(Value::Bool(false))) => {
                return Err(Mismatch::new(format!(
                    "{place}.{name}: want true, got false"
                )));
            }
            (Value::Bool(true), Some(_)) => {}
            (want, Some(found)) => compare(want, found, &format!("{place}.{name}"))?,
        }
    }
    Ok(())
}

/// The beginning of a value, for a message.
fn short(value: &Value) -> String {
    shortened(&value.to_string(), 600)
}

/// The first `most` characters of a text.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
