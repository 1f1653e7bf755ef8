//! Lists and maps.

use std::cmp::Ordering;

use crate::expr::function::Args;
use crate::expr::lib::{mismatch, take, text};
use crate::expr::text::Text;
use crate::expr::unify::{Common, common};
use crate::expr::value::{Entry, Fields, Value};

/// `default(a…)`, `coalesce(a…)`: the first argument that is set, in the type common to all.
pub(crate) fn default(args: Args<'_>) -> Result<Value<'_>, String> {
    let wanted = common(&args).ok_or("the arguments have no common type")?;
    let unset = |value: &Value<'_>| {
        value.is_null() || wanted == Common::String && value.as_bytes() == Some(b"")
    };
    let last = args.len().saturating_sub(1);
    let chosen = args.iter().position(|value| !unset(value)).unwrap_or(last);
    let value = args.into_iter().nth(chosen).unwrap_or_default();
    Ok(wanted.convert(value.or_null()))
}

/// `contains(list, v)`, compared as `==` does.
pub(crate) fn contains(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let list = take(&mut args, 0);
    let wanted = take(&mut args, 1);
    let items = list.as_items().ok_or_else(|| mismatch(0, "list", &list))?;
    if wanted.is_null() {
        return Err(mismatch(1, "a value", &wanted));
    }
    Ok(Value::Bool(items.contains(&wanted)))
}

/// `keys(m)`, sorted.
pub(crate) fn keys(mut args: Args<'_>) -> Result<Value<'_>, String> {
    match take(&mut args, 0) {
        Value::Map(fields) | Value::Object(fields) => {
            let names = fields
                .into_vec()
                .into_iter()
                .map(|(name, _)| Value::String(name));
            Ok(Value::list(names.collect()))
        }
        other => Err(mismatch(0, "map or object", &other)),
    }
}

/// `length(c)`
pub(crate) fn length(mut args: Args<'_>) -> Result<Value<'_>, String> {
    match take(&mut args, 0) {
        Value::List(items) | Value::Tuple(items) => Ok(Value::number(items.as_slice().len())),
        Value::Map(fields) => Ok(Value::number(fields.as_slice().len())),
        other => Err(mismatch(0, "list or map", &other)),
    }
}

/// `lookup(m, key, d)`
pub(crate) fn lookup(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let container = take(&mut args, 0);
    let key = text(&mut args, 1)?;
    let fallback = take(&mut args, 2);
    if fallback.is_null() {
        return Err(mismatch(2, "a value", &fallback));
    }
    let (fields, fallback) = match container {
        Value::Object(fields) => (fields, fallback),
        Value::Map(fields) => {
            let found = fallback.type_name();
            let text = fallback.to_text();
            let text = text.ok_or_else(|| format!("argument 3 is {found}, expected string"))?;
            (fields, Value::String(text))
        }
        other => return Err(mismatch(0, "map or object", &other)),
    };
    Ok(fields.take(key.as_bytes()).unwrap_or(fallback))
}

/// `merge(v…)`: objects deeply, tuples one after the other.
pub(crate) fn merge(args: Args<'_>) -> Result<Value<'_>, String> {
    let mut merged = Value::Null;
    for (index, value) in args.into_iter().enumerate() {
        if value.is_null() {
            continue;
        }
        merged = match (merged, value) {
            (Value::Null, Value::Map(fields) | Value::Object(fields)) => Value::Object(fields),
            (Value::Null, Value::List(items) | Value::Tuple(items)) => Value::Tuple(items),
            (Value::Object(a), Value::Map(b) | Value::Object(b)) => merge_fields(a, b),
            (Value::Tuple(a), Value::List(b) | Value::Tuple(b)) => {
                let mut items = a.into_vec();
                items.extend(b.into_vec());
                Value::tuple(items)
            }
            (Value::Object(_), other) => return Err(mismatch(index, "object", &other)),
            (Value::Tuple(_), other) => return Err(mismatch(index, "list", &other)),
            (_, other) => return Err(mismatch(index, "object or list", &other)),
        };
    }
    Ok(merged)
}

fn merge_fields<'s>(a: Fields<'s>, b: Fields<'s>) -> Value<'s> {
    let (mut left, mut right) = (a.into_vec().into_iter(), b.into_vec().into_iter());
    let mut out: Vec<Entry<'s>> = Vec::with_capacity(left.len() + right.len());
    let (mut next_left, mut next_right) = (left.next(), right.next());
    loop {
        match (next_left.take(), next_right.take()) {
            (Some(l), Some(r)) => match l.0.cmp(&r.0) {
                Ordering::Less => {
                    out.push(l);
                    next_left = left.next();
                    next_right = Some(r);
                }
                Ordering::Greater => {
                    out.push(r);
                    next_left = Some(l);
                    next_right = right.next();
                }
                Ordering::Equal => {
                    out.push((r.0, merge_values(l.1, r.1)));
                    next_left = left.next();
                    next_right = right.next();
                }
            },
            (Some(l), None) => {
                out.push(l);
                next_left = left.next();
            }
            (None, Some(r)) => {
                out.push(r);
                next_right = right.next();
            }
            (None, None) => return Value::Object(Fields::Owned(out)),
        }
    }
}

/// Deep merge of two values: objects by their names, tuples one after the other; else the later.
pub(crate) fn merge_values<'s>(a: Value<'s>, b: Value<'s>) -> Value<'s> {
    match (a, b) {
        (Value::Map(a) | Value::Object(a), Value::Map(b) | Value::Object(b)) => merge_fields(a, b),
        (Value::Tuple(a), Value::Tuple(b)) => {
            let mut items = a.into_vec();
            items.extend(b.into_vec());
            Value::tuple(items)
        }
        (_, b) => b,
    }
}

/// `set_intersection(l…)`: what all lists have, sorted and without duplicates.
pub(crate) fn set_intersection(args: Args<'_>) -> Result<Value<'_>, String> {
    for (index, list) in args.iter().enumerate() {
        list.as_items()
            .ok_or_else(|| mismatch(index, "list", list))?;
    }
    let all = args.iter().filter_map(Value::as_items).flatten();
    let wanted = common(all).ok_or("the elements have no common type")?;
    let mut lists = args.into_iter().map(|list| match list {
        Value::List(items) | Value::Tuple(items) => {
            let convert = |item: Value<'_>| wanted.convert(item.or_null()).into_owned();
            items.into_vec().into_iter().map(convert).collect()
        }
        _ => Vec::new(),
    });
    let mut kept: Vec<Value<'static>> = lists.next().unwrap_or_default();
    kept.sort_by(order);
    kept.dedup();
    for mut list in lists {
        list.sort_by(order);
        kept.retain(|item| list.binary_search_by(|other| order(other, item)).is_ok());
    }
    Ok(Value::list(kept))
}

/// An order for elements of one type; containers have none of their own, so their text decides.
fn order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => Text::cmp(a, b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => a.to_json().cmp(&b.to_json()),
    }
}
