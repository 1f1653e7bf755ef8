//! JSON Web Keys (RFC 7517, RFC 7518 §6): reading public keys, writing our own, thumbprints.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Curve};
use super::encoding::{self, PublicParts};
use super::key::{KeyError, SigningKey, VerifyingKey};

/// Key material of a JWK, owned.
#[derive(Debug)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    /// `SubjectPublicKeyInfo` of the first certificate.
    Certified(Vec<u8>),
}

impl Material {
    fn parts(&self) -> Option<PublicParts<'_>> {
        match self {
            Self::Rsa { n, e } => Some(PublicParts::Rsa { n, e }),
            Self::Ec { curve, point } => Some(PublicParts::Ec {
                curve: *curve,
                point,
            }),
            Self::Ed25519(key) => Some(PublicParts::Ed25519(key)),
            Self::Certified(info) => encoding::subject_public_key_info(info),
        }
    }
}

/// All keys that `jwk` gives: one for its `alg`, else one for each algorithm that its type fits.
///
/// RSA keys without `alg` serve RS*, not PS*. Key types other than RSA, EC and OKP with Ed25519 give
/// none.
pub(super) fn verifying_keys(jwk: &Map<String, Value>) -> Result<Vec<VerifyingKey>, KeyError> {
    let material = material(jwk).ok_or(KeyError::Rejected)?;
    let parts = material.parts().ok_or(KeyError::Rejected)?;
    let algorithms: &[Algorithm] = match (jwk.get("alg"), &parts) {
        (Some(Value::String(name)), _) => {
            let algorithm = name.parse().map_err(|_| KeyError::Rejected)?;
            return Ok(vec![VerifyingKey::from_parts(algorithm, &parts)?]);
        }
        (Some(_), _) => return Err(KeyError::Rejected),
        (None, PublicParts::Rsa { .. }) => &[Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512],
        (None, PublicParts::Ec { curve, .. }) => &[curve.algorithm()],
        (None, PublicParts::Ed25519(_)) => &[Algorithm::EdDsa],
    };
    let mut keys = Vec::with_capacity(algorithms.len());
    let mut refusal = KeyError::Rejected;
    for algorithm in algorithms {
        match VerifyingKey::from_parts(*algorithm, &parts) {
            Ok(key) => keys.push(key),
            Err(error) => refusal = error,
        }
    }
    if keys.is_empty() {
        Err(refusal)
    } else {
        Ok(keys)
    }
}

fn member<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member(jwk, name)?).ok()
}

fn material(jwk: &Map<String, Value>) -> Option<Material> {
    let first_certificate = || {
        let text = jwk.get("x5c")?.as_array()?.first()?.as_str()?;
        let der = STANDARD.decode(text).ok()?;
        encoding::key_info_of_certificate(&der).map(Material::Certified)
    };
    let named = match member(jwk, "kty")? {
        "RSA" => match (bytes(jwk, "n"), bytes(jwk, "e")) {
            (Some(n), Some(e)) => Some(Material::Rsa { n, e }),
            _ => None,
        },
        "EC" => ec_point(jwk).map(|(curve, point)| Material::Ec { curve, point }),
        "OKP" if member(jwk, "crv") == Some("Ed25519") => bytes(jwk, "x").map(Material::Ed25519),
        _ => return None,
    };
    let found = named.or_else(first_certificate)?;
    // A certificate for another type of key than `kty` says is somebody's mistake.
    match (member(jwk, "kty")?, found.parts()?) {
        ("RSA", PublicParts::Rsa { .. })
        | ("EC", PublicParts::Ec { .. })
        | ("OKP", PublicParts::Ed25519(_)) => Some(found),
        _ => None,
    }
}

fn ec_point(jwk: &Map<String, Value>) -> Option<(Curve, Vec<u8>)> {
    let curve = Curve::from_name(member(jwk, "crv")?)?;
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    // RFC 7518 §6.2.1.2: always the full length, leading zeros included.
    if x.len() != curve.coordinate_bytes() || y.len() != x.len() {
        return None;
    }
    let mut point = Vec::with_capacity(1 + 2 * x.len());
    point.push(4);
    point.extend_from_slice(&x);
    point.extend_from_slice(&y);
    Some((curve, point))
}

/// A verifying key for `algorithm` from one JWK (as in the header of a `DPoP` proof).
///
/// Private members are refused: whoever shows them has lost the key.
pub fn verifying_key(
    algorithm: Algorithm,
    jwk: &Map<String, Value>,
) -> Result<VerifyingKey, KeyError> {
    if ["d", "p", "q", "dp", "dq", "qi", "k"]
        .iter()
        .any(|name| jwk.contains_key(*name))
    {
        return Err(KeyError::PublicExpected);
    }
    let material = material(jwk).ok_or(KeyError::Rejected)?;
    VerifyingKey::from_parts(algorithm, &material.parts().ok_or(KeyError::Rejected)?)
}

/// The public half of `key` as a JWK with the members `kty`, those of its type and `alg`; none for a
/// shared secret.
pub fn public_jwk(key: &SigningKey) -> Option<Map<String, Value>> {
    let text = |bytes: &[u8]| Value::String(URL_SAFE_NO_PAD.encode(bytes));
    let mut jwk = key.with_public_parts(|parts| {
        let mut jwk = Map::new();
        match parts {
            PublicParts::Rsa { n, e } => {
                let significant = |number: &[u8]| {
                    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
                    text(&number[zeros..])
                };
                jwk.insert("kty".into(), "RSA".into());
                jwk.insert("n".into(), significant(n));
                jwk.insert("e".into(), significant(e));
            }
            PublicParts::Ec { curve, point } => {
                let (x, y) = point[1..].split_at(curve.coordinate_bytes());
                jwk.insert("kty".into(), "EC".into());
                jwk.insert("crv".into(), curve.name().into());
                jwk.insert("x".into(), text(x));
                jwk.insert("y".into(), text(y));
            }
            PublicParts::Ed25519(key) => {
                jwk.insert("kty".into(), "OKP".into());
                jwk.insert("crv".into(), "Ed25519".into());
                jwk.insert("x".into(), text(key));
            }
        }
        jwk
    })?;
    jwk.insert("alg".into(), key.algorithm().name().into());
    Some(jwk)
}

/// The SHA-256 thumbprint of RFC 7638, as base64url; none without the members it is made of.
pub fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let names: &[&str] = match member(jwk, "kty")? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut text = String::from("{");
    for name in names {
        if text.len() > 1 {
            text.push(',');
        }
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        text.push_str(&serde_json::to_string(member(jwk, name)?).ok()?);
    }
    text.push('}');
    Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn thumbprint_of_rfc_7638_3_1() {
        let jwk = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29",
        });
        assert_eq!(
            thumbprint(jwk.as_object().unwrap()).as_deref(),
            Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        );
    }
}
