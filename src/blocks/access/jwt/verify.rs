//! Checks of a token: form and signature, then times, then claims.

use super::Obstacle;
use super::keys::InForce;
use crate::blocks::modifiers::evaluate;
use crate::blocks::reader::Reader;
use crate::crypto::jws;
use crate::error::{Error, Kind};
use crate::expr::{Fractions, Program, Scope, Value};
use std::sync::Arc;
use std::time::Duration;

/// A token whose signature is right.
#[derive(Debug)]
pub(super) struct Verified {
    /// The payload.
    pub(super) claims: Arc<Value<'static>>,
    /// What it grants.
    pub(super) permissions: Vec<String>,
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
    /// The first of the required claims that it lacks.
    pub(super) lacks: Option<String>,
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(Kind::JwtTokenInvalid, why)
}

/// Everything that stays true of a token for ever.
pub(super) fn verify(
    token: &str,
    keys: &InForce<'_>,
    required: &[String],
) -> Result<Verified, Obstacle> {
    let parsed = jws::parse(token).map_err(|error| invalid(error.to_string()))?;
    match (keys.verify(&parsed), keys) {
        (Ok(()), _) => {}
        (Err(error @ jws::Error::UnknownKey), InForce::Url(set))
            if parsed
                .header
                .kid()
                .is_some_and(|kid| !set.content.has_kid(kid)) =>
        {
            return Err(Obstacle::UnknownKey(invalid(error.to_string())));
        }
        (Err(error), _) => return Err(invalid(error.to_string()).into()),
    }
    let claims = Value::from_json(&parsed.payload, Fractions::Exact)
        .map_err(|_| invalid("token payload is not a strict JSON object"))?
        .into_owned();
    let time = |name: &str| match parsed.claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| invalid(format!("claim `{name}` is no number"))),
    };
    time("iat")?;
    let verified = Verified {
        exp: time("exp")?,
        nbf: time("nbf")?,
        permissions: Vec::new(),
        claims: Arc::new(claims),
        lacks: required
            .iter()
            .find(|name| !parsed.claims.contains_key(*name))
            .cloned(),
    };
    Ok(verified)
}

impl Verified {
    /// `exp` and `nbf` against the clock, both with leeway.
    pub(super) fn check_times(&self, now: f64, leeway: Duration) -> Result<(), Error> {
        let leeway = leeway.as_secs_f64();
        if self.exp.is_some_and(|exp| now >= exp + leeway) {
            return Err(Error::new(Kind::JwtTokenExpired, "token is expired"));
        }
        if self.nbf.is_some_and(|nbf| now < nbf - leeway) {
            return Err(invalid("token is not valid yet"));
        }
        Ok(())
    }
}

/// The configured claims: `iss` equal, `aud` among the token's, then what is required, then all
/// others deeply equal.
pub(super) fn check_claims(
    program: Option<&Program>,
    scope: &dyn Scope,
    token: &Verified,
) -> Result<(), Error> {
    let wanted = match program {
        Some(program) => Some((evaluate(program, scope)?, program)),
        None => None,
    };
    let wanted = match &wanted {
        Some((Value::Absent, _)) => {
            return Err(invalid("`claims` has no value for this request"));
        }
        Some((wanted, program)) if !wanted.is_null() => {
            let Some(fields) = wanted.as_fields() else {
                let message = format!("`claims` must be an object, found {}", wanted.type_name());
                return Err(misfit(message, program));
            };
            Some((fields.as_slice(), *program))
        }
        Some(_) | None => None,
    };
    let (wanted, program) = wanted.map_or((&[][..], None), |(fields, p)| (fields, Some(p)));
    let found = |name: &[u8]| token.claims.as_fields()?.get(name);
    for (name, value) in wanted {
        match name.as_bytes() {
            b"iss" => check_issuer(value, found(b"iss"), program)?,
            b"aud" => check_audience(value, found(b"aud"), program)?,
            _ => {}
        }
    }
    if let Some(name) = &token.lacks {
        return Err(invalid(format!("required claim is missing: {name}")));
    }
    let registered = |name: &[u8]| matches!(name, b"iss" | b"aud");
    for (name, value) in wanted
        .iter()
        .filter(|(name, _)| !registered(name.as_bytes()))
    {
        match found(name.as_bytes()) {
            Some(found) if found == value => {}
            Some(_) => {
                let name = name.to_str_lossy();
                return Err(invalid(format!("unexpected value for claim {name}")));
            }
            None => {
                let name = name.to_str_lossy();
                return Err(invalid(format!("required claim is missing: {name}")));
            }
        }
    }
    Ok(())
}

/// What the configuration expects can be in no token.
fn misfit(message: String, program: &Program) -> Error {
    Error::new(Kind::Configuration, message).at(program.span())
}

fn check_issuer(
    wanted: &Value<'_>,
    found: Option<&Value<'_>>,
    program: Option<&Program>,
) -> Result<(), Error> {
    if wanted.is_null() {
        return Err(invalid("no issuer is expected for this request"));
    }
    if let (None, Some(program)) = (wanted.as_bytes(), program) {
        let what = wanted.type_name();
        return Err(misfit(
            format!("`iss` must be a string, found {what}"),
            program,
        ));
    }
    match found {
        Some(found) if found == wanted && found.as_bytes().is_some() => Ok(()),
        _ => Err(invalid(format!(
            "wrong issuer: expected {}, found {}",
            show(wanted),
            show_claim(found)
        ))),
    }
}

fn check_audience(
    wanted: &Value<'_>,
    found: Option<&Value<'_>>,
    program: Option<&Program>,
) -> Result<(), Error> {
    let wanted_list = match wanted.as_items() {
        Some(items) => items.iter().collect(),
        None => vec![wanted],
    };
    if wanted_list.iter().all(|value| value.is_null()) {
        return Err(invalid("no audience is expected for this request"));
    }
    let odd = wanted_list
        .iter()
        .find(|value| !value.is_null() && value.as_bytes().is_none());
    if let (Some(odd), Some(program)) = (odd, program) {
        let what = odd.type_name();
        let message = format!("`aud` must be a string or a list of strings, found {what}");
        return Err(misfit(message, program));
    }
    let found_list = match found.and_then(Value::as_items) {
        Some(items) => items.iter().collect(),
        None => found.into_iter().collect::<Vec<_>>(),
    };
    let strings = found_list.iter().all(|value| value.as_bytes().is_some());
    if strings && wanted_list.iter().any(|wanted| found_list.contains(wanted)) {
        return Ok(());
    }
    Err(invalid(format!(
        "wrong audience: expected {}, found {}",
        show(wanted),
        show_claim(found)
    )))
}

fn show(value: &Value<'_>) -> String {
    let text = String::from_utf8_lossy(&value.to_json()).into_owned();
    text.chars().take(200).collect()
}

fn show_claim(value: Option<&Value<'_>>) -> String {
    value.map_or_else(|| "none".to_owned(), show)
}

/// Refuses literals of a type that no token can have.
pub(super) fn check_literal_claims(reader: Reader<'_>, program: &Program) {
    let Some(fields) = program.constant().and_then(Value::as_fields) else {
        return;
    };
    let text = |value: &Value<'_>| value.is_null() || value.as_bytes().is_some();
    for (name, value) in fields.as_slice() {
        let sound = match name.as_bytes() {
            b"iss" => text(value),
            b"aud" => text(value) || value.as_items().is_some_and(|items| items.iter().all(text)),
            _ => true,
        };
        if !sound {
            let name = name.to_str_lossy();
            let message = format!(
                "`claims`: `{name}` must be a string, found {}",
                value.type_name()
            );
            reader.bad_value(program.span(), message);
        }
    }
}
