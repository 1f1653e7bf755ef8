//! `beta_dpop`: tokens that are bound to a key of the client (RFC 9449).
//!
//! The client shows with every request a proof: a token of its own, signed with that key, for this
//! method, this URL and this access token. A proof is good once: what identifies it is remembered
//! for as long as it could be shown again.

use super::cache::{self, Digest};
use super::unavailable;
use super::verify::Verified;
use crate::blocks::backend::Origin;
use crate::crypto::{Algorithm, constant_time, jwk, jws};
use crate::error::{Error, Kind};
use crate::http::exchange::Exchange;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far `iat` of a proof may be from the clock, either way.
const WINDOW: Duration = Duration::from_secs(10);
/// How long a proof can be shown.
const REMEMBERED: Duration = Duration::from_secs(20);
/// Proofs remembered of each such time.
const CAPACITY: usize = 1 << 18;

/// The proofs that were shown lately. Written by every request with a good proof.
#[derive(Default)]
pub(super) struct Proofs {
    seen: Mutex<Seen>,
}

/// What came since `since`, and what came before.
#[derive(Default)]
struct Seen {
    since: Option<Instant>,
    current: HashSet<Digest>,
    previous: HashSet<Digest>,
}

impl std::fmt::Debug for Proofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proofs").finish_non_exhaustive()
    }
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(Kind::JwtTokenInvalid, why)
}

impl Proofs {
    /// Checks the proof of a request with this token.
    pub(super) fn check(
        &self,
        exchange: &Exchange,
        token: &Digest,
        verified: &Verified,
        leeway: Duration,
    ) -> Result<(), Error> {
        let proof = jws::parse(header(exchange.headers())?)
            .map_err(|error| invalid(format!("proof: {error}")))?;
        let key = thumbprint_of(&proof)?;
        let text = |name: &str| {
            proof
                .claims
                .get(name)
                .and_then(serde_json::Value::as_str)
                .ok_or_else(|| invalid(format!("proof: claim `{name}` is missing or no string")))
        };
        if text("htm")? != exchange.method.as_str() {
            return Err(invalid("proof: `htm` is not the method of the request"));
        }
        let url = format!("{}{}", exchange.url().origin(), exchange.raw_path());
        let (proven, asked) = (target(text("htu")?), target(&url));
        if proven.is_none() || proven != asked {
            return Err(invalid("proof: `htu` is not the URL of the request"));
        }
        if text("ath")? != URL_SAFE_NO_PAD.encode(token) {
            return Err(invalid("proof: `ath` is not the hash of the token"));
        }
        let clock = crate::clock::Clock::System;
        check_times(&proof, clock.unix().seconds_f64(), leeway)?;
        if !constant_time::equal(bound_to(verified)?.as_bytes(), key.as_bytes()) {
            return Err(invalid(
                "the token is bound to another key than the proof's",
            ));
        }
        let jti = text("jti")?;
        if jti.is_empty() {
            return Err(invalid("proof: claim `jti` is empty"));
        }
        // A thumbprint has a fixed length, so that nothing else gives the same text.
        let proof = cache::digest(&format!("{key}{jti}"));
        self.remember(proof, clock.now())
    }

    fn remember(&self, proof: Digest, now: Instant) -> Result<(), Error> {
        let mut guard = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut *guard;
        let age = seen
            .since
            .map_or(Duration::MAX, |since| now.saturating_duration_since(since));
        if age >= REMEMBERED {
            seen.previous = std::mem::take(&mut seen.current);
            if age >= 2 * REMEMBERED {
                seen.previous.clear();
            }
            seen.since = Some(now);
        }
        if seen.previous.contains(&proof) || seen.current.contains(&proof) {
            return Err(invalid("proof: its `jti` was used before"));
        }
        if seen.current.len() >= CAPACITY {
            let message = "more proofs than can be remembered".to_owned();
            return Err(unavailable(message, REMEMBERED));
        }
        seen.current.insert(proof);
        Ok(())
    }
}

/// The one proof of a request.
fn header(headers: &HeaderMap) -> Result<&str, Error> {
    let mut values = headers.get_all("dpop").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(invalid("exactly one DPoP field is needed"));
    };
    match value.to_str().map(str::trim) {
        Ok(proof) if !proof.is_empty() => Ok(proof),
        _ => Err(invalid("the DPoP field is empty or not ASCII")),
    }
}

/// Checks type and signature of a proof; the thumbprint of the key it was signed with.
fn thumbprint_of(proof: &jws::Parsed<'_>) -> Result<String, Error> {
    let is_proof = |typ: &str| typ.eq_ignore_ascii_case("dpop+jwt");
    if !proof.header.typ().is_some_and(is_proof) {
        return Err(invalid("proof: `typ` is not `dpop+jwt`"));
    }
    let fault = |error: &dyn std::fmt::Display| invalid(format!("proof: {error}"));
    let algorithm = proof
        .header
        .algorithm_among(&Algorithm::OF_PROOFS)
        .map_err(|error| fault(&error))?;
    let jwk = proof
        .header
        .members()
        .get("jwk")
        .and_then(serde_json::Value::as_object)
        .ok_or_else(|| invalid("proof: `jwk` is missing or no object"))?;
    // The thumbprint is over the plain members, so the key must come from them, too.
    if jwk.keys().any(|name| name.starts_with("x5")) {
        return Err(invalid("proof: `jwk` holds a certificate"));
    }
    let key = jwk::verifying_key(algorithm, jwk).map_err(|error| fault(&error))?;
    proof.verify(&key).map_err(|error| fault(&error))?;
    jwk::thumbprint(jwk).ok_or_else(|| invalid("proof: `jwk` has no thumbprint"))
}

/// `cnf.jkt` of the token.
fn bound_to(verified: &Verified) -> Result<&str, Error> {
    let confirmation = verified
        .claims
        .as_fields()
        .and_then(|claims| claims.get(b"cnf"))
        .and_then(|cnf| cnf.as_fields());
    confirmation
        .and_then(|cnf| cnf.get(b"jkt"))
        .and_then(|jkt| jkt.as_str())
        .ok_or_else(|| invalid("the token is not bound to a key: it has no `cnf.jkt`"))
}

fn check_times(proof: &jws::Parsed<'_>, now: f64, leeway: Duration) -> Result<(), Error> {
    let time = |name: &str| match proof.claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| invalid(format!("proof: claim `{name}` is no number"))),
    };
    let issued = time("iat")?.ok_or_else(|| invalid("proof: claim `iat` is missing"))?;
    let leeway = leeway.as_secs_f64();
    if (now - issued).abs() > WINDOW.as_secs_f64() {
        return Err(invalid("proof: it was not made just now"));
    }
    if time("exp")?.is_some_and(|exp| now >= exp + leeway)
        || time("nbf")?.is_some_and(|nbf| now < nbf - leeway)
    {
        return Err(invalid("proof: it is expired or not valid yet"));
    }
    Ok(())
}

/// Origin and path of a URL, in one form for all that mean the same (RFC 3986 §6.2.2, §6.2.3);
/// without query and fragment.
fn target(url: &str) -> Option<(Origin, String)> {
    let (origin, rest) = Origin::split(url)?;
    let path = rest.split(['?', '#']).next().unwrap_or("");
    Some((origin, without_dots(path)))
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_mean_the_same() {
        let same = |a: &str, b: &str| target(a).is_some() && target(a) == target(b);
        assert!(same("http://h/a?b#c", "HTTP://H:80/a"));
        assert!(same("http://h", "http://h/"));
        assert!(same("http://h/a/./b/../c", "http://h/a/c"));
        assert!(same("http://h/a/..", "http://h/"));
        assert!(!same("http://h/a", "http://h/a/"));
        assert!(!same("http://h/a", "https://h/a"));
        assert!(!same("http://h/a", "http://h:81/a"));
        assert!(!same("/a", "/a"));
    }

    #[test]
    fn a_proof_is_good_once() {
        let proofs = Proofs::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let proof = |number: u8| [number; 32];
        assert!(proofs.remember(proof(1), at(0)).is_ok());
        assert!(proofs.remember(proof(1), at(0)).is_err());
        assert!(proofs.remember(proof(2), at(15)).is_ok());
        assert!(proofs.remember(proof(3), at(20)).is_ok());
        assert!(proofs.remember(proof(2), at(34)).is_err());
        assert!(proofs.remember(proof(1), at(41)).is_ok());
        assert!(proofs.remember(proof(1), at(90)).is_ok());
    }
}
