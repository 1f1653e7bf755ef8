//! Where access tokens of a request are looked for (RFC 6750 §2), and how they are taken out.

use crate::blocks::backend::text_of;
use crate::blocks::form;
use crate::blocks::modifiers::evaluate;
use crate::blocks::reader::Reader;
use crate::error::Error;
use crate::expr::Program;
use crate::http::exchange::Exchange;
use crate::http::message::is_form;
use crate::oauth::server::Dialect;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, header};
use std::borrow::Cow;

static PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
/// A token as one of the subprotocols, as Kubernetes has it.
const ENCODED: &str = "base64url.bearer.authorization.k8s.io.";

/// A source.
#[derive(Debug)]
pub(super) enum Source {
    Authorization(&'static [&'static str]),
    Header(HeaderName),
    Cookie(String),
    Query(String),
    Form(String),
    Value(Program),
    Protocol,
}

/// What was found in a source.
pub(super) enum Found<'r> {
    Nothing,
    Token(Cow<'r, str>, Scheme),
    /// Several, or none that can be read.
    Malformed(&'static str),
}

/// The word before a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

impl Source {
    /// Reads the attributes, in the order in which they are tried.
    pub(super) fn read(reader: Reader<'_>, dialect: &'static Dialect) -> Vec<Self> {
        let mut sources = Vec::new();
        let text = |name: &str| reader.filled(name);
        let named = ["header", "cookie", "query", "form", "token_value"]
            .iter()
            .any(|name| reader.has(name));
        let bearer = reader.boolean("bearer");
        if bearer.unwrap_or(!named || reader.has("query") || reader.has("form")) {
            sources.push(Self::Authorization(dialect.schemes));
        }
        if let Some(name) = text("header") {
            match name.value.parse::<HeaderName>() {
                Ok(name) if name == header::AUTHORIZATION => {}
                Ok(name) => sources.push(Self::Header(name)),
                Err(_) => {
                    let message = format!("`header`: `{}` is no header name", name.value);
                    reader.bad_value(name.span, message);
                }
            }
        }
        if let Some(name) = text("cookie") {
            sources.push(Self::Cookie(name.value));
        }
        let standard = |name: &str| {
            let on = dialect.form_tokens && !reader.has(name);
            on.then(|| "access_token".to_owned())
        };
        let given = |name: &str| text(name).map(|name| name.value).or_else(|| standard(name));
        sources.extend(given("query").map(Self::Query));
        sources.extend(given("form").map(Self::Form));
        sources.extend(reader.program("token_value").map(Self::Value));
        if reader.boolean("websocket_protocol").unwrap_or(false) {
            sources.push(Self::Protocol);
        }
        sources
    }

    pub(super) fn program(&self) -> Option<&Program> {
        match self {
            Self::Value(program) => Some(program),
            _ => None,
        }
    }

    /// Looks into a request.
    pub(super) fn find<'r>(&'r self, exchange: &'r Exchange) -> Result<Found<'r>, Error> {
        Ok(match self {
            Self::Authorization(schemes) => authorization(exchange, schemes),
            Self::Header(name) => header(exchange, name),
            Self::Cookie(name) => match exchange.cookie(name) {
                Some(token) => plain(token),
                None => Found::Nothing,
            },
            Self::Query(name) => parameter(exchange.uri.query().unwrap_or(""), name),
            Self::Form(name) => match &exchange.body {
                Some(body) if is_form(exchange.headers()) => {
                    let body = std::str::from_utf8(body).unwrap_or("");
                    parameter(body, name)
                }
                _ => Found::Nothing,
            },
            Self::Value(program) => {
                let token = text_of(evaluate(program, exchange)?);
                if token.trim().is_empty() {
                    Found::Nothing
                } else {
                    plain(Cow::Owned(token))
                }
            }
            Self::Protocol => protocol(exchange).map_or(Found::Nothing, |found| found.0),
        })
    }

    /// Takes the token out of what is sent on.
    pub(super) fn hide(&self, exchange: &mut Exchange) {
        match self {
            Self::Authorization(_) => {
                exchange.headers_mut().remove(header::AUTHORIZATION);
            }
            Self::Header(name) => {
                exchange.headers_mut().remove(name);
            }
            Self::Cookie(name) => hide_cookie(exchange, name),
            Self::Query(name) => hide_parameter(exchange, name),
            Self::Form(name) => {
                if let Some(body) = exchange.body.take() {
                    let body = without(&body, name);
                    exchange.set_body(Bytes::from(body));
                }
            }
            Self::Value(_) => {}
            Self::Protocol => hide_protocol(exchange),
        }
    }
}

fn plain(token: Cow<'_, str>) -> Found<'_> {
    if token.is_empty() {
        return Found::Nothing;
    }
    if token.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Found::Malformed("the token holds a blank");
    }
    Found::Token(token, Scheme::Bearer)
}

fn authorization<'r>(exchange: &'r Exchange, schemes: &[&str]) -> Found<'r> {
    let mut values = exchange.headers().get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Found::Nothing;
    };
    if values.next().is_some() {
        return Found::Malformed("more than one Authorization field");
    }
    let Ok(value) = value.to_str() else {
        return Found::Malformed("malformed authorization header");
    };
    let (word, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    let scheme = if word.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else if schemes.iter().any(|known| known.eq_ignore_ascii_case(word)) {
        Scheme::Bearer
    } else {
        return Found::Nothing;
    };
    let token = rest.trim_start();
    if token.is_empty() || token.contains(' ') {
        return Found::Malformed("malformed authorization header");
    }
    Found::Token(Cow::Borrowed(token), scheme)
}

fn header<'r>(exchange: &'r Exchange, name: &HeaderName) -> Found<'r> {
    let mut values = exchange.headers().get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (None, _) => Found::Nothing,
        (Some(Ok(token)), None) => plain(Cow::Borrowed(token.trim())),
        _ => Found::Malformed("the token field is malformed or repeated"),
    }
}

fn parameter<'r>(text: &'r str, name: &str) -> Found<'r> {
    let mut found = None;
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if form::decode(key.as_bytes(), true) == name.as_bytes() {
            if found.is_some() {
                return Found::Malformed("the token parameter is repeated");
            }
            found = Some(value);
        }
    }
    match found {
        None => Found::Nothing,
        Some(value) if !value.contains(['%', '+']) => plain(Cow::Borrowed(value)),
        Some(value) => match String::from_utf8(form::decode(value.as_bytes(), true)) {
            Ok(token) => plain(Cow::Owned(token)),
            Err(_) => Found::Malformed("the token parameter is no text"),
        },
    }
}

fn without(text: &[u8], name: &str) -> Vec<u8> {
    let kept = text.split(|byte| *byte == b'&').filter(|pair| {
        let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        form::decode(key, true) != name.as_bytes()
    });
    kept.collect::<Vec<_>>().join(&b'&')
}

pub(in super::super) fn hide_parameter(exchange: &mut Exchange, name: &str) {
    let query = exchange.uri.query().unwrap_or("");
    let rest = without(query.as_bytes(), name);
    let rest = String::from_utf8(rest).unwrap_or_default();
    let path = exchange.uri.path();
    let target = if rest.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{rest}")
    };
    let mut parts = exchange.uri.clone().into_parts();
    if let Ok(target) = target.parse() {
        parts.path_and_query = Some(target);
    }
    if let Ok(uri) = Uri::from_parts(parts) {
        exchange.set_uri(uri);
    }
}

pub(in super::super) fn hide_cookie(exchange: &mut Exchange, name: &str) {
    let mut lines = Vec::new();
    for value in exchange.headers().get_all(header::COOKIE) {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let kept = text.split(';').map(str::trim).filter(|pair| {
            let key = pair.split('=').next().unwrap_or("");
            !pair.is_empty() && key.trim() != name
        });
        let kept: Vec<&str> = kept.collect();
        if !kept.is_empty()
            && let Ok(value) = HeaderValue::from_str(&kept.join("; "))
        {
            lines.push(value);
        }
    }
    let headers = exchange.headers_mut();
    headers.remove(header::COOKIE);
    for line in lines {
        headers.append(header::COOKIE, line);
    }
}

/// The token among the subprotocols, and the others.
fn protocol(exchange: &Exchange) -> Option<(Found<'_>, Vec<&str>)> {
    let mut offered = Vec::new();
    for value in exchange.headers().get_all(&PROTOCOL) {
        offered.extend(value.to_str().ok()?.split(',').map(str::trim));
    }
    if let Some(at) = offered
        .iter()
        .position(|name| name.eq_ignore_ascii_case("bearer"))
        && let Some(token) = offered.get(at + 1)
    {
        let found = plain(Cow::Borrowed(*token));
        offered.drain(at..=at + 1);
        return Some((found, offered));
    }
    let at = offered.iter().position(|name| name.starts_with(ENCODED))?;
    let text = URL_SAFE_NO_PAD.decode(offered.get(at)?.get(ENCODED.len()..)?);
    let token = text.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    offered.remove(at);
    let found = token.map_or(
        Found::Malformed("the token protocol is malformed"),
        |token| plain(Cow::Owned(token)),
    );
    Some((found, offered))
}

/// The token never goes on as a subprotocol; where it was the only one, `bearer` is agreed on.
fn hide_protocol(exchange: &mut Exchange) {
    let Some((_, rest)) = protocol(exchange) else {
        return;
    };
    let rest = rest.join(", ");
    let headers = exchange.headers_mut();
    headers.remove(&PROTOCOL);
    if rest.is_empty() {
        exchange.agrees_on_bearer = true;
    } else if let Ok(value) = HeaderValue::from_str(&rest) {
        exchange.headers_mut().insert(&PROTOCOL, value);
    }
}
