//! JSON as tokens must have it: one object, each member once, bounded in depth and size.
//!
//! `serde_json` keeps the last of two members with one name, other parsers the first; a token that
//! two parties read differently is an attack, so it is refused here.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting; the outermost object is level 1.
const MAX_DEPTH: u32 = 32;
/// Most members, counted over all objects of one document.
const MAX_MEMBERS: u32 = 1000;

/// The bytes are no JSON object that these rules allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotStrict;

/// Parses one JSON object.
///
/// Integers from -2^63 to 2^64 - 1 are exact; other numbers are doubles, and one that overflows a
/// double is refused.
pub(super) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, NotStrict> {
    // Also refuses a byte order mark and bad UTF-8 outside of strings.
    let text = std::str::from_utf8(bytes).map_err(|_| NotStrict)?;
    let members = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict {
        depth: 0,
        members: &members,
    }
    .deserialize(&mut deserializer)
    .map_err(|_| NotStrict)?;
    deserializer.end().map_err(|_| NotStrict)?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(NotStrict)
        }
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: u32,
    members: &'a Cell<u32>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let members = self.members.get() + 1;
            if members > MAX_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            self.members.set(members);
            let value = entries.next_value_seed(inner)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn integers_stay_exact() {
        let object =
            parse_object(br#"{"u":18446744073709551615,"i":-9223372036854775808,"f":1.5}"#)
                .unwrap();
        assert_eq!(object["u"].as_u64(), Some(u64::MAX));
        assert_eq!(object["i"].as_i64(), Some(i64::MIN));
        assert_eq!(object["f"].as_f64(), Some(1.5));
    }

    #[test]
    fn what_is_refused() {
        let members = |count: usize| {
            let list: Vec<_> = (0..count).map(|n| format!("\"m{n}\":{n}")).collect();
            format!("{{{}}}", list.join(","))
        };
        assert!(parse_object(nested(32).as_bytes()).is_ok());
        assert!(parse_object(members(1000).as_bytes()).is_ok());
        let deep = nested(33);
        let wide = members(1001);
        let cases: &[&[u8]] = &[
            b"",
            b"null",
            b"[]",
            b"\"a\"",
            b"1",
            b"{",
            b"{} {}",
            b"{}x",
            b"{}\0",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\n\"}",
            br#"{"a":1,"a":1}"#,
            br#"{"a":1,"\u0061":1}"#,
            br#"{"o":{"a":1,"a":2}}"#,
            br#"{"l":[{"a":1,"a":2}]}"#,
            br#"{"a":NaN}"#,
            br#"{"a":1e400}"#,
            br#"{"a":01}"#,
            b"{a:1}",
            br#"{"a":1,}"#,
            deep.as_bytes(),
            wide.as_bytes(),
        ];
        for case in cases {
            assert_eq!(
                parse_object(case),
                Err(NotStrict),
                "{}",
                String::from_utf8_lossy(case)
            );
        }
    }
}
