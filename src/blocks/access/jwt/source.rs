//! Where the token of a request is looked for.

use crate::blocks::backend::text_of;
use crate::blocks::modifiers::evaluate;
use crate::blocks::reader::Reader;
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind};
use crate::expr::Program;
use crate::http::exchange::Exchange;
use http::{HeaderMap, HeaderName, header};
use std::borrow::Cow;

/// A source of tokens.
#[derive(Debug)]
pub(super) enum Source {
    Bearer,
    Dpop,
    Header(HeaderName),
    Cookie(String),
    Value(Program),
}

impl Source {
    /// Reads the attributes; none of them means bearer, more than one is refused.
    pub(super) fn read(reader: Reader<'_>) -> Option<Self> {
        let names = ["bearer", "beta_dpop", "header", "cookie", "token_value"];
        let given: Vec<_> = names
            .into_iter()
            .filter(|name| match *name {
                "bearer" | "beta_dpop" => reader.boolean(name).unwrap_or(false),
                "token_value" => reader.has(name),
                _ => reader.filled(name).is_some(),
            })
            .collect();
        if let [first, second, ..] = given.as_slice() {
            let place = |name| {
                reader
                    .attribute(name)
                    .map_or(reader.span(), |a| a.name.span)
            };
            let message = format!("a token comes from one place: `{first}` or `{second}`");
            reader.cx.report(
                Diagnostic::error(code::CONFLICT, place(second), message)
                    .related(place(first), "the other one"),
            );
            return None;
        }
        match given.first().copied() {
            Some("header") => {
                let name = reader.filled("header")?;
                if name.value.eq_ignore_ascii_case("authorization") {
                    let message = format!(
                        "`header = \"{}\"` is deprecated, please use `bearer = true`",
                        name.value
                    );
                    reader
                        .cx
                        .report(Diagnostic::warning(code::DEPRECATED, name.span, message));
                    return Some(Self::Bearer);
                }
                match name.value.parse() {
                    Ok(name) => Some(Self::Header(name)),
                    Err(_) => {
                        let message = format!("`header`: `{}` is no header name", name.value);
                        reader.bad_value(name.span, message);
                        None
                    }
                }
            }
            Some("beta_dpop") => Some(Self::Dpop),
            Some("cookie") => reader.filled("cookie").map(|name| Self::Cookie(name.value)),
            Some("token_value") => reader.program("token_value").map(Self::Value),
            _ => Some(Self::Bearer),
        }
    }

    /// Whether tokens are bound to a key.
    pub(super) fn is_dpop(&self) -> bool {
        matches!(self, Self::Dpop)
    }

    /// Whether tokens are for the bearer.
    pub(super) fn is_bearer(&self) -> bool {
        matches!(self, Self::Bearer)
    }

    pub(super) fn program(&self) -> Option<&Program> {
        match self {
            Self::Value(program) => Some(program),
            Self::Bearer | Self::Dpop | Self::Header(_) | Self::Cookie(_) => None,
        }
    }

    /// The token of a request.
    pub(super) fn token<'e>(&'e self, exchange: &'e Exchange) -> Result<Cow<'e, str>, Error> {
        let token = match self {
            Self::Bearer => credentials(exchange.headers(), "bearer ")?.map(Cow::Borrowed),
            Self::Dpop => credentials(exchange.headers(), "dpop ")?.map(Cow::Borrowed),
            Self::Header(name) => single(exchange.headers(), name)?.map(Cow::Borrowed),
            Self::Cookie(name) => exchange.cookie(name),
            Self::Value(program) => Some(Cow::Owned(text_of(evaluate(program, exchange)?))),
        };
        let token = token.map(trimmed).filter(|token| !token.is_empty());
        token.ok_or_else(|| Error::new(Kind::JwtTokenMissing, "token required"))
    }
}

fn trimmed(token: Cow<'_, str>) -> Cow<'_, str> {
    match token {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The value of a field that may stand in one line only: two of them could be read differently.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Error::new(
            Kind::JwtTokenInvalid,
            format!("several {name} fields"),
        ));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::new(Kind::JwtTokenInvalid, "the token is not ASCII")),
    }
}

/// What follows the scheme in `Authorization`; `scheme` is in lower case with a space.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Result<Option<&'h str>, Error> {
    let Some(value) = single(headers, &header::AUTHORIZATION)? else {
        return Ok(None);
    };
    let value = value.trim_start();
    match value.split_at_checked(scheme.len()) {
        Some((given, token)) if given.eq_ignore_ascii_case(scheme) => Ok(Some(token)),
        _ => Ok(None),
    }
}
