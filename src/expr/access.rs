//! Taking values apart: attributes, indexes, keys.

use crate::diagnostic::Span;
use crate::expr::eval::{EvalError, fail};
use crate::expr::text::Text;
use crate::expr::value::{Entry, Value};
use crate::expr::variable::Step;

pub(super) fn key_text(span: Span, value: Value<'_>) -> Result<Text<'_>, EvalError> {
    let found = value.type_name();
    match value.to_text() {
        Some(text) => Ok(text),
        None => fail(span, format!("key is {found}, expected string")),
    }
}

/// Collects the values of equal names; `entries` is sorted.
pub(super) fn group<'s>(entries: Vec<Entry<'s>>) -> Vec<Entry<'s>> {
    let mut groups: Vec<(Text<'s>, Vec<Value<'s>>)> = Vec::new();
    for (name, value) in entries {
        match groups.last_mut() {
            Some((last, values)) if *last == name => values.push(value),
            _ => groups.push((name, vec![value])),
        }
    }
    groups
        .into_iter()
        .map(|(name, values)| (name, Value::tuple(values)))
        .collect()
}

pub(super) fn step_into<'v, 's>(value: &'v Value<'s>, step: &Step) -> Option<&'v Value<'s>> {
    match (value, step) {
        (Value::Map(fields) | Value::Object(fields), Step::Attribute(name) | Step::Key(name)) => {
            fields.get(name.as_bytes())
        }
        (Value::Map(fields) | Value::Object(fields), Step::Index(index)) => {
            fields.get(index.to_string().as_bytes())
        }
        (Value::List(items) | Value::Tuple(items), Step::Index(index)) => {
            items.as_slice().get(*index)
        }
        (Value::List(items) | Value::Tuple(items), Step::Key(name)) => {
            items.as_slice().get(name.parse::<usize>().ok()?)
        }
        _ => None,
    }
}

pub(super) fn take_step<'s>(value: Value<'s>, step: &Step) -> Option<Value<'s>> {
    match (value, step) {
        (Value::Map(fields) | Value::Object(fields), Step::Attribute(name) | Step::Key(name)) => {
            fields.take(name.as_bytes())
        }
        (Value::Map(fields) | Value::Object(fields), Step::Index(index)) => {
            fields.take(index.to_string().as_bytes())
        }
        (Value::List(items) | Value::Tuple(items), Step::Index(index)) => items.take(*index),
        (Value::List(items) | Value::Tuple(items), Step::Key(name)) => {
            items.take(name.parse().ok()?)
        }
        _ => None,
    }
}

pub(super) fn strict_step<'s>(
    span: Span,
    value: Value<'s>,
    step: &Step,
) -> Result<Value<'s>, EvalError> {
    if step_into(&value, step).is_none() {
        return Err(no_step(span, &value, step));
    }
    Ok(take_step(value, step).unwrap_or_default())
}

pub(super) fn no_step(span: Span, value: &Value<'_>, step: &Step) -> EvalError {
    let message = match (step, value) {
        (Step::Attribute(name) | Step::Key(name), Value::Map(_) | Value::Object(_)) => {
            format!("there is no `{name}` in the {}", value.type_name())
        }
        (Step::Index(index), Value::List(_) | Value::Tuple(_)) => {
            format!("index {index} is out of range")
        }
        (Step::Attribute(name) | Step::Key(name), _) => {
            format!("{} has no `{name}`", value.type_name())
        }
        (Step::Index(index), _) => format!("{} has no element {index}", value.type_name()),
    };
    EvalError { span, message }
}

pub(super) fn take_index<'s>(source: Value<'s>, key: Value<'s>) -> Result<Value<'s>, String> {
    if key.is_null() {
        return Err("index is null".into());
    }
    match source {
        Value::List(items) | Value::Tuple(items) => {
            let number = key.to_number();
            let number =
                number.ok_or_else(|| format!("index is {}, expected number", key.type_name()))?;
            let index = number.as_i64().and_then(|n| usize::try_from(n).ok());
            let index = index.ok_or("index is no whole number from 0 up")?;
            items
                .take(index)
                .ok_or_else(|| format!("index {index} is out of range"))
        }
        Value::Map(fields) | Value::Object(fields) => {
            let found = key.type_name();
            let name = key
                .to_text()
                .ok_or_else(|| format!("index is {found}, expected string"))?;
            fields
                .take(name.as_bytes())
                .ok_or_else(|| "there is no such key".into())
        }
        other => Err(format!("{} cannot be indexed", other.type_name())),
    }
}
