//! Values of the language.
//!
//! A value borrows from what it was looked up in, so that reading a header copies nothing. All
//! types here are covariant in their life time (which rules out `Cow` of a slice of values): a
//! value stored for ever can stand where a shorter one is wanted.
//!
//! Lists differ from tuples, and maps from objects, in a few functions only; equality, indexes and
//! output treat them alike.

use crate::expr::number::Number;
use crate::expr::text::Text;

/// A value.
#[derive(Clone, Debug, Default)]
pub enum Value<'a> {
    /// Nothing is there: no such header, key or response. Like null, but strict places refuse it.
    #[default]
    Absent,
    /// The literal `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Text<'a>),
    /// Values of one type, from the request: query and form values.
    List(Items<'a>),
    /// `[…]`, values of any types.
    Tuple(Items<'a>),
    /// Names and values of one type, from the request: headers, cookies, environment.
    Map(Fields<'a>),
    /// `{…}`, names and values of any types.
    Object(Fields<'a>),
}

/// The elements of a list or tuple.
#[derive(Clone, Debug)]
pub enum Items<'a> {
    /// A view of elements stored elsewhere.
    Borrowed(&'a [Value<'a>]),
    /// Elements of its own.
    Owned(Vec<Value<'a>>),
}

/// Name and value.
pub type Entry<'a> = (Text<'a>, Value<'a>);

/// The entries of a map or object, sorted by name, each name once.
#[derive(Clone, Debug)]
pub enum Fields<'a> {
    /// A view of entries stored elsewhere.
    Borrowed(&'a [Entry<'a>]),
    /// Entries of its own.
    Owned(Vec<Entry<'a>>),
}

impl<'a> Items<'a> {
    /// The elements.
    pub fn as_slice(&self) -> &[Value<'a>] {
        match self {
            Self::Borrowed(items) => items,
            Self::Owned(items) => items,
        }
    }

    /// The elements as values of their own; those of a view are views.
    pub fn into_vec(self) -> Vec<Value<'a>> {
        match self {
            Self::Borrowed(items) => items.iter().map(Value::borrowed).collect(),
            Self::Owned(items) => items,
        }
    }

    /// One element, moved out or viewed.
    pub fn take(self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Borrowed(items) => items.get(index).map(Value::borrowed),
            Self::Owned(mut items) => (index < items.len()).then(|| items.swap_remove(index)),
        }
    }
}

impl<'a> Fields<'a> {
    /// Sorts the entries; of equal names the last one stays.
    pub fn from_unsorted(mut entries: Vec<Entry<'a>>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        // `dedup_by` drops the later of two neighbours, so the value is handed to the earlier.
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(&mut later.1, &mut earlier.1);
            }
            same
        });
        Self::Owned(entries)
    }

    /// The entries in order of their names.
    pub fn as_slice(&self) -> &[Entry<'a>] {
        match self {
            Self::Borrowed(entries) => entries,
            Self::Owned(entries) => entries,
        }
    }

    /// The entries as values of their own; those of a view are views.
    pub fn into_vec(self) -> Vec<Entry<'a>> {
        match self {
            Self::Borrowed(entries) => entries
                .iter()
                .map(|(name, value)| (name.borrowed(), value.borrowed()))
                .collect(),
            Self::Owned(entries) => entries,
        }
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.as_slice()
            .binary_search_by(|entry| entry.0.as_bytes().cmp(name))
            .ok()
    }

    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&Value<'a>> {
        self.position(name).map(|at| &self.as_slice()[at].1)
    }

    /// The value of a name, moved out or viewed.
    pub fn take(self, name: &[u8]) -> Option<Value<'a>> {
        let at = self.position(name)?;
        match self {
            Self::Borrowed(entries) => entries.get(at).map(|entry| entry.1.borrowed()),
            Self::Owned(mut entries) => Some(entries.swap_remove(at).1),
        }
    }
}

impl<'a> Value<'a> {
    /// A string.
    pub fn string(text: impl Into<Text<'a>>) -> Self {
        Self::String(text.into())
    }

    /// A number.
    pub fn number(number: impl Into<Number>) -> Self {
        Self::Number(number.into())
    }

    /// A tuple of `items`.
    pub fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(Items::Owned(items))
    }

    /// A list of `items`, which have one type.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Items::Owned(items))
    }

    /// An object of `entries` in any order; of equal names the last one counts.
    pub fn object(entries: Vec<Entry<'a>>) -> Self {
        Self::Object(Fields::from_unsorted(entries))
    }

    /// A map of `entries` in any order; of equal names the last one counts.
    pub fn map(entries: Vec<Entry<'a>>) -> Self {
        Self::Map(Fields::from_unsorted(entries))
    }

    /// A view that costs nothing.
    #[must_use]
    pub fn borrowed(&'a self) -> Self {
        match self {
            Self::Absent => Self::Absent,
            Self::Null => Self::Null,
            Self::Bool(b) => Self::Bool(*b),
            Self::Number(n) => Self::Number(n.clone()),
            Self::String(text) => Self::String(text.borrowed()),
            Self::List(items) => Self::List(Items::Borrowed(items.as_slice())),
            Self::Tuple(items) => Self::Tuple(Items::Borrowed(items.as_slice())),
            Self::Map(fields) => Self::Map(Fields::Borrowed(fields.as_slice())),
            Self::Object(fields) => Self::Object(Fields::Borrowed(fields.as_slice())),
        }
    }

    /// The same value, free of life times.
    pub fn into_owned(self) -> Value<'static> {
        let items = |items: Items<'a>| {
            Items::Owned(
                items
                    .into_vec()
                    .into_iter()
                    .map(Value::into_owned)
                    .collect(),
            )
        };
        let fields = |fields: Fields<'a>| {
            let own = |(name, value): Entry<'a>| (name.into_owned(), value.into_owned());
            Fields::Owned(fields.into_vec().into_iter().map(own).collect())
        };
        match self {
            Self::Absent => Value::Absent,
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Number(n) => Value::Number(n),
            Self::String(text) => Value::String(text.into_owned()),
            Self::List(list) => Value::List(items(list)),
            Self::Tuple(tuple) => Value::Tuple(items(tuple)),
            Self::Map(map) => Value::Map(fields(map)),
            Self::Object(object) => Value::Object(fields(object)),
        }
    }

    /// Whether the value is null or missing.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    /// A missing value becomes null; others stay.
    #[must_use]
    pub fn or_null(self) -> Self {
        if matches!(self, Self::Absent) {
            Self::Null
        } else {
            self
        }
    }

    /// What the value is, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Absent | Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Map(_) => "map",
            Self::Object(_) => "object",
        }
    }

    /// The bytes of a string; nothing is converted.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::String(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text of a string that is UTF-8; nothing is converted.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => text.as_str(),
            _ => None,
        }
    }

    /// The entries of a map or object.
    pub fn as_fields(&self) -> Option<&Fields<'a>> {
        match self {
            Self::Map(fields) | Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The elements of a list or tuple.
    pub fn as_items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items.as_slice()),
            _ => None,
        }
    }

    /// As a string: strings, numbers and bools are; `None` for null and containers.
    pub fn to_text(self) -> Option<Text<'a>> {
        match self {
            Self::String(text) => Some(text),
            Self::Number(n) => Some(n.to_string().into()),
            Self::Bool(b) => Some(if b { "true".into() } else { "false".into() }),
            Self::Absent
            | Self::Null
            | Self::List(_)
            | Self::Tuple(_)
            | Self::Map(_)
            | Self::Object(_) => None,
        }
    }

    /// As a number: numbers and strings of decimal digits are.
    pub fn to_number(&self) -> Option<Number> {
        match self {
            Self::Number(n) => Some(n.clone()),
            Self::String(text) => Number::parse(text.as_str()?).ok(),
            _ => None,
        }
    }

    /// As a bool: bools and the strings `true`, `false`, `1`, `0` are.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            Self::String(text) => match text.as_bytes() {
                b"true" | b"1" => Some(true),
                b"false" | b"0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }
}

impl PartialEq for Value<'_> {
    /// Same type and value; null and missing are equal, lists equal tuples by content.
    fn eq(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.as_items(), other.as_items()) {
            return a == b;
        }
        if let (Some(a), Some(b)) = (self.as_fields(), other.as_fields()) {
            return a.as_slice() == b.as_slice();
        }
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            _ => self.is_null() && other.is_null(),
        }
    }
}

impl Eq for Value<'_> {}

impl From<bool> for Value<'_> {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<Number> for Value<'_> {
    fn from(n: Number) -> Self {
        Self::Number(n)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl<'a> From<Text<'a>> for Value<'a> {
    fn from(text: Text<'a>) -> Self {
        Self::String(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorten<'a>(value: &'a Value<'static>) -> &'a Value<'a> {
        value
    }

    #[test]
    fn values_are_covariant_and_can_be_shared() {
        fn shared<T: Send + Sync>(_: &T) {}
        let value: Value<'static> = Value::tuple(vec![Value::from("a")]);
        shared(&value);
        assert_eq!(shorten(&value).borrowed(), value);
    }

    #[test]
    fn last_of_equal_names_counts() {
        let value = Value::object(vec![
            ("b".into(), Value::Bool(true)),
            ("a".into(), Value::number(1_i64)),
            ("a".into(), Value::number(2_i64)),
            ("a".into(), Value::number(3_i64)),
        ]);
        let fields = value.as_fields().unwrap();
        assert_eq!(fields.as_slice().len(), 2);
        assert_eq!(fields.get(b"a"), Some(&Value::number(3_i64)));
    }

    #[test]
    fn equality_does_not_convert() {
        assert_ne!(Value::from("1"), Value::number(1_i64));
        assert_ne!(Value::from("true"), Value::Bool(true));
        assert_eq!(Value::Absent, Value::Null);
        assert_ne!(Value::Null, Value::Bool(false));
        assert_eq!(
            Value::list(vec![Value::from("a")]),
            Value::tuple(vec![Value::from("a")])
        );
    }
}
