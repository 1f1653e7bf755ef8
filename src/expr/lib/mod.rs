//! The functions that stand alone, a file for each family. [`crate::expr::function`] lists them.

pub(crate) mod collections;
pub(crate) mod encoding;
pub(crate) mod json;
pub(crate) mod strings;
pub(crate) mod time;
pub(crate) mod url;

use crate::expr::function::Args;
use crate::expr::number::Number;
use crate::expr::text::Text;
use crate::expr::value::Value;

/// Takes an argument out; the evaluator has checked how many there are.
fn take<'s>(args: &mut Args<'s>, index: usize) -> Value<'s> {
    args.get_mut(index).map(std::mem::take).unwrap_or_default()
}

fn mismatch(index: usize, wanted: &str, found: &Value<'_>) -> String {
    format!(
        "argument {} is {}, expected {wanted}",
        index + 1,
        found.type_name()
    )
}

/// An argument that must be a string, or a number or bool as its text.
fn text<'s>(args: &mut Args<'s>, index: usize) -> Result<Text<'s>, String> {
    let value = take(args, index);
    let found = value.type_name();
    value
        .to_text()
        .ok_or_else(|| format!("argument {} is {found}, expected string", index + 1))
}

/// An argument that must be a number or the text of one.
fn number(args: &mut Args<'_>, index: usize) -> Result<Number, String> {
    let value = take(args, index);
    value
        .to_number()
        .ok_or_else(|| mismatch(index, "number", &value))
}
