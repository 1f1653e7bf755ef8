//! JSON as text.

use crate::expr::function::Args;
use crate::expr::json::Fractions;
use crate::expr::lib::{take, text};
use crate::expr::text::Text;
use crate::expr::value::Value;

/// `json_decode(s)`: the value of a JSON text, numbers with all their digits.
pub(crate) fn json_decode(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let decoded = match text(&mut args, 0)? {
        Text::Borrowed(bytes) => Value::from_json(bytes, Fractions::Exact),
        Text::Owned(bytes) => Value::from_json(&bytes, Fractions::Exact).map(Value::into_owned),
    };
    decoded.map_err(|error| format!("malformed JSON: {error}"))
}

/// `json_encode(v)`: any value as compact JSON.
#[allow(clippy::unnecessary_wraps)] // the type all functions have
pub(crate) fn json_encode(mut args: Args<'_>) -> Result<Value<'_>, String> {
    Ok(Value::string(take(&mut args, 0).to_json()))
}
