//! Checks of an ID token (`OpenID` Connect Core 1.0 §3.1.3.7).

use crate::crypto::{Algorithm, Jwks, jws};
use crate::expr::{Fractions, Value};
use serde_json::Map;

/// Tolerance for times, in seconds.
const LEEWAY: f64 = 1.0;

/// What a token must say.
#[derive(Debug)]
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) client_id: &'e str,
    /// The claim `nonce`, where the login was tied by it.
    pub(super) nonce: Option<&'e str>,
    /// Unix time in seconds.
    pub(super) now: f64,
}

/// A token that passed.
#[derive(Debug)]
pub(super) struct IdToken {
    pub(super) subject: String,
    pub(super) claims: Value<'static>,
}

/// Why a token is refused.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// The set lacks the key that the token names; a newer one may have it.
    UnknownKey,
    /// It is no good.
    Invalid(String),
}

impl From<jws::Error> for Fault {
    fn from(error: jws::Error) -> Self {
        Self::Invalid(format!("ID token: {error}"))
    }
}

/// Checks signature and claims.
pub(super) fn verify(token: &str, keys: &Jwks, expected: &Expected<'_>) -> Result<IdToken, Fault> {
    let parsed = jws::parse(token)?;
    match keys.verify(&parsed, &Algorithm::OF_KEY_SETS) {
        Err(jws::Error::UnknownKey) if parsed.header.kid().is_some() => {
            return Err(Fault::UnknownKey);
        }
        verified => verified?,
    }
    let subject = check(&parsed.claims, expected).map_err(Fault::Invalid)?;
    let claims = Value::from_json(&parsed.payload, Fractions::Exact)
        .map_err(|_| jws::Error::Payload)?
        .into_owned();
    Ok(IdToken { subject, claims })
}

/// Checks the claims; gives `sub`.
fn check(
    claims: &Map<String, serde_json::Value>,
    expected: &Expected<'_>,
) -> Result<String, String> {
    let text = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("ID token: claim `{name}` is no string")),
    };
    let number = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!("ID token: claim `{name}` is no number")),
        },
    };
    let missing = |name: &str| format!("ID token: claim `{name}` is missing");

    if text("iss")?.ok_or_else(|| missing("iss"))? != expected.issuer {
        return Err("ID token: claim `iss` is not the provider's issuer".to_owned());
    }
    let subject = text("sub")?.filter(|subject| !subject.is_empty());
    let subject = subject.ok_or_else(|| missing("sub"))?;
    let audiences = audiences(claims.get("aud"))?;
    if !audiences.contains(&expected.client_id) {
        return Err("ID token: claim `aud` does not have `client_id`".to_owned());
    }
    let authorized = text("azp")?;
    if audiences.len() > 1 && authorized.is_none() {
        return Err("ID token: several audiences and no claim `azp`".to_owned());
    }
    if authorized.is_some_and(|party| party != expected.client_id) {
        return Err("ID token: claim `azp` is not `client_id`".to_owned());
    }
    let end = number("exp")?.ok_or_else(|| missing("exp"))?;
    if expected.now >= end + LEEWAY {
        return Err("ID token: it is expired".to_owned());
    }
    number("iat")?.ok_or_else(|| missing("iat"))?;
    if number("nbf")?.is_some_and(|begin| expected.now < begin - LEEWAY) {
        return Err("ID token: it is not valid yet".to_owned());
    }
    if let Some(nonce) = expected.nonce {
        let found = text("nonce")?.ok_or_else(|| missing("nonce"))?;
        if !crate::crypto::constant_time::secrets_equal(found.as_bytes(), nonce.as_bytes()) {
            return Err("ID token: nonce mismatch".to_owned());
        }
    }
    Ok(subject.to_owned())
}

/// `aud`: a string, or a list of strings.
fn audiences(claim: Option<&serde_json::Value>) -> Result<Vec<&str>, String> {
    let found = match claim {
        None => return Err("ID token: claim `aud` is missing".to_owned()),
        Some(serde_json::Value::String(audience)) => Some(vec![audience.as_str()]),
        Some(serde_json::Value::Array(list)) => {
            list.iter().map(serde_json::Value::as_str).collect()
        }
        Some(_) => None,
    };
    found.ok_or_else(|| "ID token: claim `aud` has other than strings".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_with(changes: &serde_json::Value) -> Result<String, String> {
        let mut claims = json!({
            "iss": "https://op", "aud": "rp", "sub": "jane", "exp": 1000, "iat": 900, "nonce": "n",
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        let expected = Expected {
            issuer: "https://op",
            client_id: "rp",
            nonce: Some("n"),
            now: 1000.5,
        };
        check(members, &expected)
    }

    #[test]
    fn every_claim_counts() {
        for good in [
            json!({}),
            json!({"aud": ["rp"]}),
            json!({"aud": ["x", "rp"], "azp": "rp"}),
            json!({"nbf": 1001, "azp": "rp"}),
        ] {
            assert_eq!(check_with(&good).as_deref(), Ok("jane"), "{good}");
        }
        for (bad, part) in [
            (json!({"iss": "https://op/"}), "`iss` is not"),
            (json!({"iss": null}), "`iss` is missing"),
            (json!({"iss": 1}), "`iss` is no string"),
            (json!({"sub": ""}), "`sub` is missing"),
            (json!({"aud": null}), "`aud` is missing"),
            (json!({"aud": "rp2"}), "`aud` does not have"),
            (json!({"aud": []}), "`aud` does not have"),
            (json!({"aud": ["rp", 1]}), "`aud` has other"),
            (json!({"aud": ["rp", "x"]}), "no claim `azp`"),
            (json!({"azp": "x"}), "`azp` is not"),
            (json!({"exp": null}), "`exp` is missing"),
            (json!({"exp": "2000"}), "`exp` is no number"),
            (json!({"exp": 999}), "expired"),
            (json!({"iat": null}), "`iat` is missing"),
            (json!({"iat": true}), "`iat` is no number"),
            (json!({"nbf": 1002}), "not valid yet"),
            (json!({"nonce": null}), "`nonce` is missing"),
            (json!({"nonce": "N"}), "nonce mismatch"),
        ] {
            let found = check_with(&bad).unwrap_err();
            assert!(found.contains(part), "{bad}: {found}");
        }
    }
}
