//! The type that several values have in common, for the places where one is needed.

use crate::expr::value::Value;

/// A type that all of some values can be brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Common {
    /// Nothing but nulls.
    Any,
    Bool,
    Number,
    String,
    /// Lists and tuples, of any shape.
    Sequence,
    /// Maps and objects, of any shape.
    Mapping,
}

/// The common type of `values`, nulls apart; `None` if there is none.
pub(crate) fn common<'v, 'a: 'v>(
    values: impl IntoIterator<Item = &'v Value<'a>>,
) -> Option<Common> {
    let mut found = Common::Any;
    let mut mixed = false;
    for value in values {
        let next = match value {
            Value::Absent | Value::Null => continue,
            Value::Bool(_) => Common::Bool,
            Value::Number(_) => Common::Number,
            Value::String(_) => Common::String,
            Value::List(_) | Value::Tuple(_) => Common::Sequence,
            Value::Map(_) | Value::Object(_) => Common::Mapping,
        };
        found = match (found, next) {
            (Common::Any, next) => next,
            (found, next) if found == next => next,
            (Common::Bool | Common::Number, Common::String)
            | (Common::String, Common::Bool | Common::Number) => Common::String,
            (Common::Bool, Common::Number) | (Common::Number, Common::Bool) => {
                // Only a string among the values can still reconcile the two.
                mixed = true;
                next
            }
            _ => return None,
        };
    }
    (!mixed || found == Common::String).then_some(found)
}

impl Common {
    /// Brings a value to this type, which it must be one of.
    pub(crate) fn convert(self, value: Value<'_>) -> Value<'_> {
        match (self, value) {
            (Self::String, value @ (Value::Bool(_) | Value::Number(_))) => {
                value.to_text().map_or(Value::Null, Value::String)
            }
            (_, value) => value,
        }
    }
}
