//! Parameters of a request: form, JSON or query, each name once, within limits (RFC 6749 §3.2).

use super::fault::{Condition, Fault};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// Most parameters of a request.
const MAX_COUNT: usize = 100;
/// Longest value.
const MAX_VALUE: usize = 16 << 10;
/// Largest body.
pub const MAX_BODY: usize = 64 << 10;

type Pair<'r> = (Cow<'r, str>, Cow<'r, str>);

/// The parameters of a request. Empty values count as absent.
#[derive(Debug, Default)]
pub struct Parameters<'r> {
    pairs: SmallVec<[Pair<'r>; 8]>,
}

/// How the body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/json`
    Json,
    /// `multipart/form-data`
    Multipart,
    /// Anything else, or none named.
    Other,
}

impl Encoding {
    /// The encoding that a `Content-Type` names.
    pub fn of(content_type: Option<&str>) -> Self {
        let Some(given) = content_type else {
            return Self::Other;
        };
        let (kind, rest) = given.split_once(';').unwrap_or((given, ""));
        let utf8 = rest.split(';').all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            !name.trim().eq_ignore_ascii_case("charset")
                || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
        match kind.trim() {
            _ if !utf8 => Self::Other,
            kind if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Self::Form,
            kind if kind.eq_ignore_ascii_case("application/json") => Self::Json,
            kind if kind.eq_ignore_ascii_case("multipart/form-data") => Self::Multipart,
            _ => Self::Other,
        }
    }
}

/// Names that may come several times.
fn repeats(name: &str) -> bool {
    matches!(name, "resource" | "audience")
}

impl<'r> Parameters<'r> {
    /// From a form body or a query.
    pub fn form(text: &'r [u8]) -> Result<Self, Fault> {
        let mut parameters = Self::default();
        for pair in text.split(|byte| *byte == b'&').filter(|p| !p.is_empty()) {
            let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let name = decode(&pair[..at])?;
            let value = decode(pair.get(at + 1..).unwrap_or_default())?;
            parameters.add(name, value)?;
        }
        Ok(parameters.without_empty())
    }

    /// From a JSON object of strings, numbers and booleans.
    pub fn json(text: &'r [u8]) -> Result<Self, Fault> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let members = reader
            .deserialize_map(Members)
            .map_err(|_| Fault::new(Condition::Malformed))?;
        reader.end().map_err(|_| Fault::new(Condition::Malformed))?;
        let mut parameters = Self::default();
        for (name, value) in members {
            if name == "scope" && !matches!(value, serde_json::Value::String(_)) {
                return Err(Fault::new(Condition::ScopeType));
            }
            parameters.add_json(name, value)?;
        }
        Ok(parameters.without_empty())
    }

    /// From pairs that are decoded already.
    pub fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Fault> {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            parameters.add(Cow::Owned(name), Cow::Owned(value))?;
        }
        Ok(parameters.without_empty())
    }

    fn add_json(&mut self, name: String, value: serde_json::Value) -> Result<(), Fault> {
        let wrong =
            |name: &str| Fault::about(Condition::Parameter, &format!("{name} is malformed"));
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(flag) => flag.to_string(),
            serde_json::Value::Null => return Ok(()),
            serde_json::Value::Array(items) if repeats(&name) => {
                for item in items {
                    let serde_json::Value::String(text) = item else {
                        return Err(wrong(&name));
                    };
                    self.add(Cow::Owned(name.clone()), Cow::Owned(text))?;
                }
                return Ok(());
            }
            value @ serde_json::Value::Array(_) if name == "authorization_details" => {
                value.to_string()
            }
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                return Err(wrong(&name));
            }
        };
        self.add(Cow::Owned(name), Cow::Owned(text))
    }

    fn add(&mut self, name: Cow<'r, str>, value: Cow<'r, str>) -> Result<(), Fault> {
        if self.pairs.len() >= MAX_COUNT {
            return Err(Fault::about(Condition::Parameter, "too many parameters"));
        }
        if value.len() > MAX_VALUE {
            let message = format!("{name} is too long");
            return Err(Fault::about(Condition::Parameter, &message));
        }
        if !repeats(&name) && self.pairs.iter().any(|(known, _)| *known == name) {
            return Err(Fault::about(Condition::ParameterTwice, &name));
        }
        self.pairs.push((name, value));
        Ok(())
    }

    fn without_empty(mut self) -> Self {
        self.pairs.retain(|(_, value)| !value.is_empty());
        self
    }

    /// Adds those of a query whose names are not there yet.
    #[must_use]
    pub fn or(mut self, query: Self) -> Self {
        let own = self.pairs.len();
        for pair in query.pairs {
            if !self.pairs[..own].iter().any(|(known, _)| *known == pair.0) {
                self.pairs.push(pair);
            }
        }
        self
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// All values of a parameter.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.pairs
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| &**value)
    }

    /// A value that must be there.
    pub fn need(&self, name: &str) -> Result<&str, Fault> {
        self.get(name)
            .ok_or_else(|| Fault::about(Condition::ParameterMissing, name))
    }

    /// Every pair.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The same, keeping nothing of the request.
    pub fn into_owned(self) -> Parameters<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Parameters {
            pairs: self
                .pairs
                .into_iter()
                .map(|(name, value)| (own(name), own(value)))
                .collect(),
        }
    }
}

/// A member named twice is refused, so they are read one by one.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, serde_json::Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            members.push(entry);
        }
        Ok(members)
    }
}

/// Undoes form encoding; a broken escape or text that is no UTF-8 is refused.
pub fn decode(text: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let broken = || Fault::new(Condition::Malformed);
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return std::str::from_utf8(text)
            .map(Cow::Borrowed)
            .map_err(|_| broken());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |at: usize| {
                    let digit = char::from(*text.get(at)?).to_digit(16)?;
                    u8::try_from(digit).ok()
                };
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    return Err(broken());
                };
                out.push(high << 4 | low);
                at += 2;
            }
            other => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(result: Result<Parameters<'_>, Fault>) -> Condition {
        result.unwrap_err().condition
    }

    #[test]
    fn a_form() {
        let found = Parameters::form(b"a=1&b=x+y%26&c=&resource=1&resource=2&d").unwrap();
        assert_eq!(found.get("a"), Some("1"));
        assert_eq!(found.get("b"), Some("x y&"));
        assert_eq!(found.get("c"), None);
        assert_eq!(found.get("d"), None);
        assert_eq!(found.all("resource").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(condition(Parameters::form(b"a=%z")), Condition::Malformed);
        assert_eq!(condition(Parameters::form(b"a=%ff")), Condition::Malformed);
        assert_eq!(
            condition(Parameters::form(b"a=1&a=1")),
            Condition::ParameterTwice
        );
        for text in ["[]", "{", "{} x", "\"a\"", ""] {
            assert_eq!(
                condition(Parameters::json(text.as_bytes())),
                Condition::Malformed,
                "{text}"
            );
        }
        assert_eq!(
            condition(Parameters::json(br#"{"scope":["a"]}"#)),
            Condition::ScopeType
        );
        assert_eq!(
            condition(Parameters::json(br#"{"a":"1","a":"2"}"#)),
            Condition::ParameterTwice
        );
    }

    #[test]
    fn charsets_other_than_utf_8_are_no_form() {
        let form = "application/x-www-form-urlencoded";
        assert_eq!(Encoding::of(Some(form)), Encoding::Form);
        let utf8 = format!("{form}; charset=UTF-8");
        assert_eq!(Encoding::of(Some(&utf8)), Encoding::Form);
        let latin = format!("{form}; charset=latin1");
        assert_eq!(Encoding::of(Some(&latin)), Encoding::Other);
    }
}
