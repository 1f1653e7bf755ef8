//! Key sets (RFC 7517 §5): reading a document and choosing the keys a token may have been signed
//! with.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::jwk;
use super::jws::{self, Parsed};
use super::key::VerifyingKey;

/// Largest document.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Most keys of one document; the rest is refused rather than cut, for a cut set would fail some
/// tokens without a trace.
pub const MAX_KEYS: usize = 100;

/// Why a document is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Over [`MAX_DOCUMENT_BYTES`].
    #[error("the key set is larger than 1 MiB")]
    TooLarge,
    /// Over [`MAX_KEYS`].
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// Not an object with a list `keys`.
    #[error("no JSON object with a list `keys`")]
    NotAKeySet,
    /// No key that can verify a signature.
    #[error("the key set holds no usable key")]
    NoUsableKey,
}

/// A parsed key set.
#[derive(Debug)]
pub struct Jwks {
    keys: Vec<Entry>,
    skipped: usize,
}

#[derive(Debug)]
struct Entry {
    kid: Option<String>,
    key: VerifyingKey,
}

impl Jwks {
    /// Reads a document. Keys for encryption, of other types or damaged are skipped.
    pub fn parse(document: &[u8]) -> Result<Self, JwksError> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(JwksError::TooLarge);
        }
        let root: Value = serde_json::from_slice(document).map_err(|_| JwksError::NotAKeySet)?;
        let list = root
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(JwksError::NotAKeySet)?;
        if list.len() > MAX_KEYS {
            return Err(JwksError::TooManyKeys);
        }
        let mut keys = Vec::with_capacity(list.len());
        let mut skipped = 0;
        for value in list {
            match value.as_object().and_then(entries) {
                Some(found) => keys.extend(found),
                None => skipped += 1,
            }
        }
        if keys.is_empty() {
            return Err(JwksError::NoUsableKey);
        }
        Ok(Self { keys, skipped })
    }

    /// How many keys of the document cannot be used.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Whether any key has this `kid`, whatever its algorithm.
    pub fn has_kid(&self, kid: &str) -> bool {
        self.keys
            .iter()
            .any(|entry| entry.kid.as_deref() == Some(kid))
    }

    /// The keys that a token with this `kid` and `alg` may be verified with.
    ///
    /// Deviation: a token without `kid` is tried against all keys that fit; in Couper only against
    /// those without `kid`.
    pub fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &VerifyingKey> {
        self.keys
            .iter()
            .filter(move |entry| {
                entry.key.algorithm() == algorithm
                    && kid.is_none_or(|kid| entry.kid.as_deref() == Some(kid))
            })
            .map(|entry| &entry.key)
    }

    /// Checks the signature of `token` with the keys that fit, if `allowed` has its algorithm.
    ///
    /// [`jws::Error::UnknownKey`] is the sign that a newer set may help.
    pub fn verify(&self, token: &Parsed<'_>, allowed: &[Algorithm]) -> Result<(), jws::Error> {
        let algorithm = token.header.algorithm_among(allowed)?;
        let mut tried = false;
        for key in self.candidates(token.header.kid(), algorithm) {
            if token.verify(key).is_ok() {
                return Ok(());
            }
            tried = true;
        }
        Err(if tried {
            jws::Error::Signature
        } else {
            jws::Error::UnknownKey
        })
    }
}

fn entries(jwk: &Map<String, Value>) -> Option<Vec<Entry>> {
    // Deviation: `use` may be absent (RFC 7517 §4.2).
    match jwk.get("use") {
        None => {}
        Some(Value::String(purpose)) if purpose == "sig" => {}
        Some(_) => return None,
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|name| name == "verify") => {}
        Some(_) => return None,
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return None,
    };
    let keys = jwk::verifying_keys(jwk).ok()?;
    Some(
        keys.into_iter()
            .map(|key| Entry {
                kid: kid.clone(),
                key,
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::key::SigningKey;
    use aws_lc_rs::signature::EcdsaKeyPair;
    use serde_json::json;

    fn ec_key(algorithm: Algorithm) -> SigningKey {
        let crate::crypto::Family::Ec(curve) = algorithm.family() else {
            panic!("an EC algorithm")
        };
        let pair = EcdsaKeyPair::generate(curve.signing()).unwrap();
        SigningKey::from_pkcs8(algorithm, pair.to_pkcs8v1().unwrap().as_ref()).unwrap()
    }

    fn with(key: &SigningKey, more: &Value) -> Value {
        let mut jwk = jwk::public_jwk(key).unwrap();
        jwk.remove("alg");
        jwk.extend(more.as_object().unwrap().clone());
        jwk.into()
    }

    fn set(keys: &[Value]) -> Result<Jwks, JwksError> {
        Jwks::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn choice_of_a_key() {
        let (a, b) = (ec_key(Algorithm::Es256), ec_key(Algorithm::Es256));
        let set = set(&[
            json!({"kty": "oct", "k": "AAAA"}),
            json!("strange"),
            with(&a, &json!({"kid": "a"})),
            with(&b, &json!({"use": "sig", "alg": "ES256"})),
            with(&b, &json!({"kid": "enc", "use": "enc"})),
            with(&b, &json!({"kid": "ops", "key_ops": ["sign"]})),
            with(&b, &json!({"kid": "curve", "alg": "ES384"})),
        ])
        .unwrap();
        assert_eq!(set.skipped(), 5);
        let check = |key: &SigningKey, header: &str| {
            let token = jws::sign(key, header.as_bytes(), b"{}").unwrap();
            set.verify(&jws::parse(&token).unwrap(), &Algorithm::OF_KEY_SETS)
        };
        assert_eq!(check(&a, r#"{"alg":"ES256","kid":"a"}"#), Ok(()));
        assert_eq!(check(&a, r#"{"alg":"ES256"}"#), Ok(()));
        assert_eq!(check(&b, r#"{"alg":"ES256"}"#), Ok(()));
        assert_eq!(
            check(&b, r#"{"alg":"ES256","kid":"a"}"#),
            Err(jws::Error::Signature)
        );
        assert_eq!(
            check(&b, r#"{"alg":"ES256","kid":"enc"}"#),
            Err(jws::Error::UnknownKey)
        );
        assert_eq!(
            check(&a, r#"{"alg":"HS256","kid":"a"}"#),
            Err(jws::Error::Algorithm)
        );
    }

    #[test]
    fn what_is_no_key_set() {
        let key = with(&ec_key(Algorithm::Es512), &json!({}));
        assert!(set(&vec![key.clone(); MAX_KEYS]).is_ok());
        assert_eq!(
            set(&vec![key; MAX_KEYS + 1]).unwrap_err(),
            JwksError::TooManyKeys
        );
        assert_eq!(set(&[]).unwrap_err(), JwksError::NoUsableKey);
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert_eq!(
                Jwks::parse(text.as_bytes()).unwrap_err(),
                JwksError::NotAKeySet
            );
        }
        let large = vec![b' '; MAX_DOCUMENT_BYTES + 1];
        assert_eq!(Jwks::parse(&large).unwrap_err(), JwksError::TooLarge);
    }
}
