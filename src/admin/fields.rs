//! Bodies of requests: JSON, forms, and their members by type.

use super::problem::Problem;
use http::StatusCode;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a request does to a member.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change<T> {
    /// It does not name it.
    Keep,
    /// It is null, or an empty field of a form.
    Clear,
    /// It gives a value.
    Set(T),
}

impl<T> Change<T> {
    /// The value there is afterwards: a member that a full replacement does not name goes back to its
    /// default.
    pub(super) fn apply(self, target: &mut T, replace: bool)
    where
        T: Default,
    {
        match self {
            Self::Set(value) => *target = value,
            Self::Clear => *target = T::default(),
            Self::Keep if replace => *target = T::default(),
            Self::Keep => {}
        }
    }

    /// The same for a member that may be absent.
    pub(super) fn apply_to(self, target: &mut Option<T>, replace: bool) {
        match self {
            Self::Set(value) => *target = Some(value),
            Self::Clear => *target = None,
            Self::Keep if replace => *target = None,
            Self::Keep => {}
        }
    }

    /// The value, if one is given.
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Clear | Self::Keep => None,
        }
    }
}

/// The members of a body, and what was found wrong with them so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    members: Map<String, Value>,
    /// Everything in a form is text.
    is_form: bool,
    known: Vec<&'static str>,
    errors: BTreeMap<String, Value>,
}

impl Fields {
    /// Reads a body by its content type.
    pub(super) fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let kind = content_type.unwrap_or("");
        let media = kind
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase();
        let (members, is_form) = match media.as_str() {
            "application/json" => (json_object(body)?, false),
            "application/x-www-form-urlencoded" => (nested(form_pairs(body)), true),
            "multipart/form-data" => (nested(multipart_pairs(kind, body)?), true),
            _ => {
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Err(Problem::Plain(status, "Unsupported Media Type".into()));
            }
        };
        Ok(Self {
            members,
            is_form,
            ..Self::default()
        })
    }

    /// Notes what is wrong with a member.
    pub(super) fn wrong(&mut self, name: &str, what: impl Into<Value>) {
        self.errors.insert(name.to_owned(), what.into());
    }

    /// Notes that a member is missing.
    pub(super) fn missing(&mut self, name: &str) {
        self.wrong(name, "required field missing");
    }

    /// Whether the body names a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, name: &'static str) -> Change<Value> {
        self.known.push(name);
        match self.members.get(name) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(Value::String(text)) if self.is_form && text.is_empty() => Change::Clear,
            Some(value) => Change::Set(value.clone()),
        }
    }

    fn typed<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(Value, bool) -> Option<T>,
    ) -> Change<T> {
        let value = match self.take(name) {
            Change::Set(value) => value,
            Change::Clear => return Change::Clear,
            Change::Keep => return Change::Keep,
        };
        if let Some(value) = read(value, self.is_form) {
            return Change::Set(value);
        }
        self.wrong(name, expected);
        Change::Keep
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Change<String> {
        self.typed(name, "expected a string", |value, _| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A text out of a few.
    pub(super) fn choice(&mut self, name: &'static str, of: &[&str]) -> Change<String> {
        let expected = format!("expected one of: {}", of.join(", "));
        self.typed(name, &expected, |value, _| match value {
            Value::String(text) if of.contains(&text.as_str()) => Some(text),
            _ => None,
        })
    }

    /// A whole number.
    pub(super) fn integer(&mut self, name: &'static str) -> Change<i64> {
        self.typed(name, "expected an integer", |value, is_form| match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if is_form => text.parse().ok(),
            _ => None,
        })
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, name: &'static str) -> Change<bool> {
        self.typed(name, "expected a boolean", |value, is_form| match value {
            Value::Bool(yes) => Some(yes),
            Value::String(text) if is_form => text.parse().ok(),
            _ => None,
        })
    }

    /// A list of texts; a single one is a list of one.
    pub(super) fn texts(&mut self, name: &'static str) -> Change<Vec<String>> {
        self.typed(
            name,
            "expected an array of strings",
            |value, _| match value {
                Value::String(text) => Some(vec![text]),
                Value::Array(items) => items
                    .into_iter()
                    .map(|item| match item {
                        Value::String(text) => Some(text),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            },
        )
    }

    /// An object.
    pub(super) fn object(&mut self, name: &'static str) -> Change<Map<String, Value>> {
        self.typed(name, "expected a record", |value, is_form| match value {
            Value::Object(members) => Some(members),
            Value::String(text) if is_form => serde_json::from_str(&text).ok(),
            _ => None,
        })
    }

    /// Anything.
    pub(super) fn any(&mut self, name: &'static str) -> Change<Value> {
        self.take(name)
    }

    /// A reference: `name.KEY`, or `name` itself as text.
    pub(super) fn reference(
        &mut self,
        name: &'static str,
        keys: &[&'static str],
    ) -> Change<(&'static str, String)> {
        let keys = keys.to_vec();
        self.typed(name, "expected a record", move |value, _| match value {
            Value::String(text) => Some((*keys.first()?, text)),
            Value::Object(members) => keys.into_iter().find_map(|key| {
                let text = members.get(key)?.as_str()?;
                Some((key, text.to_owned()))
            }),
            _ => None,
        })
    }

    /// A point of time: RFC 3339, Unix seconds, or `now`. In milliseconds.
    pub(super) fn time(&mut self, name: &'static str, now: i64) -> Change<i64> {
        self.typed(name, "expected a time", |value, is_form| match value {
            Value::Number(number) => number.as_i64().map(|seconds| seconds.saturating_mul(1000)),
            Value::String(text) if text == "now" => Some(now),
            Value::String(text) => {
                let time: Result<jiff::Timestamp, _> = text.parse();
                let seconds = || text.parse::<i64>().ok().filter(|_| is_form);
                match time {
                    Ok(time) => Some(time.as_millisecond()),
                    Err(_) => seconds().map(|seconds| seconds.saturating_mul(1000)),
                }
            }
            _ => None,
        })
    }

    /// Ends the reading: members that nobody asked for are unknown.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for name in self.members.keys() {
            if !self.known.contains(&name.as_str()) {
                self.errors.insert(name.clone(), "unknown field".into());
            }
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::Schema(self.errors))
        }
    }
}

fn json_object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) | Err(_) => Err(Problem::Plain(
            StatusCode::BAD_REQUEST,
            "Cannot parse JSON body".into(),
        )),
    }
}

/// Name and value of each field of a form or query.
pub(super) fn form_pairs(text: &[u8]) -> Vec<(String, String)> {
    let decode = |part: &[u8]| {
        let mut bytes = Vec::with_capacity(part.len());
        let mut at = 0;
        while let Some(&byte) = part.get(at) {
            let escaped = part
                .get(at + 1..at + 3)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match (byte, escaped) {
                (b'%', Some(escaped)) => {
                    bytes.push(escaped);
                    at += 2;
                }
                (b'+', _) => bytes.push(b' '),
                (byte, _) => bytes.push(byte),
            }
            at += 1;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = text
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let value = pair.get(end + 1..).unwrap_or_default();
            (decode(&pair[..end]), decode(value))
        })
        .collect()
}

/// The text parts of a multipart body (RFC 7578).
fn multipart_pairs(content_type: &str, body: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    let broken = || Problem::Plain(StatusCode::BAD_REQUEST, "Cannot parse form body".into());
    let parameter = |text: &str, name: &str| {
        text.split(';').find_map(|part| {
            let (key, value) = part.trim().split_once('=')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim_matches('"').to_owned())
        })
    };
    let boundary = parameter(content_type, "boundary").ok_or_else(broken)?;
    let body = std::str::from_utf8(body).map_err(|_| broken())?;
    let delimiter = format!("--{boundary}");
    let mut pairs = Vec::new();
    for part in body.split(delimiter.as_str()).skip(1) {
        if part.starts_with("--") {
            return Ok(pairs);
        }
        let (head, value) = part.split_once("\r\n\r\n").ok_or_else(broken)?;
        let disposition = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
            .ok_or_else(broken)?;
        let name = parameter(disposition.1, "name").ok_or_else(broken)?;
        pairs.push((name, value.trim_end_matches("\r\n").to_owned()));
    }
    Err(broken())
}

/// Fields as members: `a.b` nests, repeated names, `a[]` and `a[1]` make lists.
fn nested(pairs: Vec<(String, String)>) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, value) in pairs {
        let (name, is_list) = match name.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
            Some((name, index)) if index.parse::<usize>().is_ok() || index.is_empty() => {
                (name.to_owned(), true)
            }
            _ => (name, false),
        };
        insert(&mut members, &name, value.into(), is_list);
    }
    members
}

fn insert(members: &mut Map<String, Value>, name: &str, value: Value, is_list: bool) {
    if let Some((outer, inner)) = name.split_once('.') {
        let place = members
            .entry(outer.to_owned())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(place) = place {
            insert(place, inner, value, is_list);
        }
        return;
    }
    match members.get_mut(name) {
        Some(Value::Array(items)) => items.push(value),
        Some(first) => {
            let first = first.take();
            members.insert(name.to_owned(), Value::Array(vec![first, value]));
        }
        None if is_list => {
            members.insert(name.to_owned(), Value::Array(vec![value]));
        }
        None => {
            members.insert(name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    #[test]
    fn forms_nest_and_make_lists() {
        let body = b"credential.id=1&a=x&a=y&b[]=1&c[1]=p&c[2]=q&name=Test%20App+2&d=";
        let fields = Fields::parse(FORM, body).unwrap();
        let expected = json!({
            "credential": {"id": "1"}, "a": ["x", "y"], "b": ["1"], "c": ["p", "q"],
            "name": "Test App 2", "d": "",
        });
        assert_eq!(Value::Object(fields.members), expected);
    }

    #[test]
    fn members_have_types() {
        let mut fields = Fields::parse(FORM, b"n=5&t=5&yes=true&one=x&none=&bad=x").unwrap();
        assert_eq!(fields.integer("n"), Change::Set(5));
        assert_eq!(fields.text("t"), Change::Set("5".into()));
        assert_eq!(fields.boolean("yes"), Change::Set(true));
        assert_eq!(fields.texts("one"), Change::Set(vec!["x".into()]));
        assert_eq!(fields.text("none"), Change::Clear);
        assert_eq!(fields.text("absent"), Change::Keep);
        assert_eq!(fields.integer("bad"), Change::Keep);
        let expected = Problem::field("bad", "expected an integer");
        assert_eq!(fields.finish(), Err(expected));

        let json = Some("application/json; charset=utf-8");
        let mut fields = Fields::parse(json, br#"{"n":"5","t":5,"x":1}"#).unwrap();
        fields.integer("n");
        fields.text("t");
        let Err(Problem::Schema(errors)) = fields.finish() else {
            panic!("accepted");
        };
        assert_eq!(errors["n"], "expected an integer");
        assert_eq!(errors["t"], "expected a string");
        assert_eq!(errors["x"], "unknown field");
    }

    #[test]
    fn multipart_bodies() {
        let kind = Some("multipart/form-data; boundary=\"x y\"");
        let body = b"--x y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x y--\r\n";
        let mut fields = Fields::parse(kind, body).unwrap();
        assert_eq!(fields.text("a"), Change::Set("1".into()));
        assert!(Fields::parse(kind, b"--x y\r\nbroken").is_err());
    }

    #[test]
    fn other_bodies_are_refused() {
        let refused = |kind, body: &[u8]| Fields::parse(Some(kind), body).unwrap_err();
        let status = |problem| match problem {
            Problem::Plain(status, _) => status.as_u16(),
            _ => 0,
        };
        assert_eq!(status(refused("text/plain", b"a=b")), 415);
        assert_eq!(status(refused("application/json", b"{")), 400);
        assert_eq!(status(refused("application/json", b"[]")), 400);
        assert!(Fields::parse(None, b"").is_ok());
    }
}
