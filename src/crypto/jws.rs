//! Compact JWS (RFC 7515 §7.1): strict parsing, signing, verification.
//!
//! What two parsers could read differently is refused: padding, other alphabets, stray bits,
//! duplicate members, trailing bytes. Nothing that a token says leads to a key except its `kid`,
//! and that only into a configured set. Errors never quote the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use super::key::{SignError, SigningKey, VerifyingKey};

/// Longest compact form.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Over [`MAX_TOKEN_BYTES`].
    #[error("token longer than 16 KiB")]
    TooLarge,
    /// Not three parts of strict base64url.
    #[error("token is not three base64url parts")]
    Form,
    /// The header is no strict JSON object.
    #[error("token header is not a strict JSON object")]
    Header,
    /// The payload is no strict JSON object.
    #[error("token payload is not a strict JSON object")]
    Payload,
    /// `crit`, `b64` or `zip` in the header.
    #[error("token header asks for an extension that is not supported")]
    Extension,
    /// `kid` is no string.
    #[error("token `kid` is not a string")]
    Kid,
    /// `alg` is missing, no string or not one that is allowed.
    #[error("token `alg` is not the expected one")]
    Algorithm,
    /// No key fits `kid` and `alg`.
    #[error("no key for the token's `kid` and `alg`")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("token signature is wrong")]
    Signature,
}

/// The header of a parsed token. `alg` is a string and `kid`, if present, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Header(Map<String, Value>);

impl Header {
    /// The `alg` member, as written.
    pub fn alg(&self) -> &str {
        self.text("alg").unwrap_or_default()
    }

    /// The `kid` member.
    pub fn kid(&self) -> Option<&str> {
        self.text("kid")
    }

    /// The `typ` member, if it is a string.
    pub fn typ(&self) -> Option<&str> {
        self.text("typ")
    }

    /// All members.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The one of `allowed` that `alg` names.
    pub fn algorithm_among(&self, allowed: &[Algorithm]) -> Result<Algorithm, Error> {
        allowed
            .iter()
            .copied()
            .find(|algorithm| algorithm.name() == self.alg())
            .ok_or(Error::Algorithm)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

/// A token of good form. Nothing in it is true before [`Parsed::verify`] says so.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    /// The header.
    pub header: Header,
    /// The payload's members.
    pub claims: Map<String, Value>,
    /// The payload as it was signed.
    pub payload: Vec<u8>,
    /// What the signature is over.
    pub signing_input: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
}

impl Parsed<'_> {
    /// Checks `alg` and signature against the key.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), Error> {
        if self.header.alg() != key.algorithm().name() {
            return Err(Error::Algorithm);
        }
        if key.verifies(self.signing_input, &self.signature) {
            Ok(())
        } else {
            Err(Error::Signature)
        }
    }
}

/// Parses a compact JWS whose payload is a JSON object.
pub fn parse(token: &str) -> Result<Parsed<'_>, Error> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::TooLarge);
    }
    let (signing_input, signature) = token.rsplit_once('.').ok_or(Error::Form)?;
    let (header, payload) = signing_input.split_once('.').ok_or(Error::Form)?;
    // A second dot in the payload is outside the alphabet and fails here, and so do stray bits.
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Form);
    let header = decode(header)?;
    let payload = decode(payload)?;
    let signature = decode(signature)?;

    let header = json::parse_object(&header).map_err(|_| Error::Header)?;
    if ["crit", "b64", "zip"]
        .iter()
        .any(|name| header.contains_key(*name))
    {
        return Err(Error::Extension);
    }
    if header.get("kid").is_some_and(|kid| !kid.is_string()) {
        return Err(Error::Kid);
    }
    if !header.get("alg").is_some_and(Value::is_string) {
        return Err(Error::Algorithm);
    }
    let claims = json::parse_object(&payload).map_err(|_| Error::Payload)?;
    Ok(Parsed {
        header: Header(header),
        claims,
        payload,
        signing_input: signing_input.as_bytes(),
        signature,
    })
}

/// The claims of something that may be a JWT, without any check: only to learn how long an opaque
/// credential of our own lives, never to decide about access.
pub fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    parse(token).ok().map(|parsed| parsed.claims)
}

/// The compact JWS of `header_json` and `payload_json`, which are taken as they are.
pub fn sign(
    key: &SigningKey,
    header_json: &[u8],
    payload_json: &[u8],
) -> Result<String, SignError> {
    sign_encoded(key, &URL_SAFE_NO_PAD.encode(header_json), payload_json)
}

/// The same with a header that is in base64url already.
pub fn sign_encoded(
    key: &SigningKey,
    header: &str,
    payload_json: &[u8],
) -> Result<String, SignError> {
    let capacity = header.len() + (payload_json.len() + 512) * 4 / 3 + 8;
    let mut token = String::with_capacity(capacity);
    token.push_str(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload_json, &mut token);
    let signature = key.signature(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
    Ok(token)
}

impl SigningKey {
    /// See [`sign`].
    pub fn sign(&self, header_json: &[u8], payload_json: &[u8]) -> Result<String, SignError> {
        sign(self, header_json, payload_json)
    }

    /// A header for this key: `members`, `typ` = `JWT` unless set, and the key's `alg`.
    pub fn header(&self, members: &Map<String, Value>) -> Vec<u8> {
        let mut header = members.clone();
        header
            .entry("typ")
            .or_insert_with(|| Value::String("JWT".to_owned()));
        header.insert("alg".to_owned(), self.algorithm().name().into());
        Value::Object(header).to_string().into_bytes()
    }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
