//! Requests and responses as expressions see them.

use super::multipart;
use crate::blocks::form;
use crate::expr::{Fractions, Text, Value};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use std::cell::OnceCell;

/// A request as it was sent to an origin.
#[derive(Debug)]
pub struct SentRequest {
    /// Method.
    pub method: Method,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port of the connection.
    pub host: String,
    /// Port of the connection.
    pub port: u16,
    /// Path and query as sent.
    pub target: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body, if it was in memory.
    pub body: Option<Bytes>,
    /// Parsed on first use.
    pub json: OnceCell<Value<'static>>,
}

/// A response as it was received.
#[derive(Debug, Default)]
pub struct ReceivedResponse {
    /// Status code, 0 without a response.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body, if an expression reads it.
    pub body: Option<Bytes>,
    /// Parsed on first use.
    pub json: OnceCell<Value<'static>>,
}

/// The value of a field: the first of several.
pub fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Value<'h> {
    match headers.get(name) {
        Some(value) => Value::string(value.as_bytes()),
        None => Value::Absent,
    }
}

/// All fields as a map, the first of several.
pub fn header_map(headers: &HeaderMap) -> Value<'_> {
    let names = headers.keys();
    Value::map(
        names
            .map(|name| (name.as_str().into(), header(headers, name)))
            .collect(),
    )
}

/// The cookies of `Cookie` fields; of equal names the last counts.
pub fn request_cookies(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let fields = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    fields
        .flat_map(|field| field.split(';'))
        .filter_map(cookie)
        .collect()
}

/// The cookies of `Set-Cookie` fields.
pub fn response_cookies(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let fields = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    fields
        .filter_map(|field| field.split(';').next().and_then(cookie))
        .collect()
}

fn cookie(pair: &str) -> Option<(&str, &str)> {
    let (name, value) = pair.trim().split_once('=')?;
    let value = value
        .strip_prefix('"')
        .and_then(|v| v.strip_suffix('"'))
        .unwrap_or(value);
    (!name.is_empty()).then_some((name, value))
}

/// Cookies as a map.
pub fn cookie_map<'h>(cookies: Vec<(&'h str, &'h str)>) -> Value<'h> {
    Value::map(
        cookies
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    )
}

/// One cookie.
pub fn cookie_value<'h>(cookies: &[(&'h str, &'h str)], name: &str) -> Value<'h> {
    let found = cookies.iter().rev().find(|(known, _)| *known == name);
    found.map_or(Value::Absent, |(_, value)| Value::from(*value))
}

/// Names with lists of values: a query or form.
pub fn param_object(text: &[u8]) -> Value<'static> {
    object_of(form::pairs(text, true))
}

/// The text fields of a `multipart/form-data` body.
pub fn multipart(headers: &HeaderMap, body: &[u8]) -> Value<'static> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let fields = content_type.and_then(|value| multipart::fields(value.as_bytes(), body));
    object_of(fields.unwrap_or_default().into_iter())
}

fn object_of(pairs: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Value<'static> {
    let mut entries: Vec<(Vec<u8>, Vec<Value<'static>>)> = Vec::new();
    for (name, value) in pairs {
        let value = Value::string(value);
        match entries.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => entries.push((name, vec![value])),
        }
    }
    let list = |(name, values): (Vec<u8>, _)| (Text::from(name), Value::list(values));
    Value::object(entries.into_iter().map(list).collect())
}

/// Whether a body is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.as_bytes().split(|byte| *byte == b';').next());
    kind.is_some_and(|kind| {
        kind.trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}

/// The media type without parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let bare = value.unwrap_or("").split(';').next().unwrap_or("");
    bare.trim().to_ascii_lowercase()
}

/// `application/json` and `application/*+json`.
pub fn is_json(headers: &HeaderMap) -> bool {
    let media_type = media_type(headers);
    let subtype = media_type.strip_prefix("application/").unwrap_or("");
    subtype == "json" || subtype.ends_with("+json")
}

/// The parsed body; `{}` for what is no JSON.
pub fn json_body(headers: &HeaderMap, body: Option<&Bytes>) -> Value<'static> {
    let parsed = body.filter(|_| is_json(headers)).and_then(|body| {
        Value::from_json(body, Fractions::Double)
            .ok()
            .map(Value::into_owned)
    });
    parsed.unwrap_or_else(|| Value::object(Vec::new()))
}

/// The body as text; null without one.
pub fn body_text(body: Option<&Bytes>) -> Value<'_> {
    match body {
        Some(body) if !body.is_empty() => Value::string(&body[..]),
        _ => Value::Null,
    }
}

impl SentRequest {
    /// `scheme://host[:port]`
    pub fn origin(&self) -> String {
        let usual = if self.scheme == "https" { 443 } else { 80 };
        if self.port == usual {
            format!("{}://{}", self.scheme, self.host)
        } else {
            format!("{}://{}:{}", self.scheme, self.host, self.port)
        }
    }

    /// Path and query apart.
    pub fn split_target(&self) -> (&str, &str) {
        self.target.split_once('?').unwrap_or((&self.target, ""))
    }
}
