//! Time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::expr::function::Args;
use crate::expr::value::Value;

/// `unixtime()`: whole seconds since 1970.
#[allow(clippy::unnecessary_wraps)] // the type all functions have
pub(crate) fn unixtime(_: Args<'_>) -> Result<Value<'_>, String> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(Value::number(elapsed.map_or(0, |since| since.as_secs())))
}
