//! Tokens that cases send, and those that come back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use super::Mismatch;
use super::case::{Tampering, Token};
use super::encoding::{base64url, from_base64url, sha256};
use super::keys::{self, Key};
use super::matching::shortened;
use super::value::{Table, Value};

/// The compact form of a token.
pub fn make(spec: &Token, keys: &BTreeMap<String, Key>, folder: &Path) -> Result<String, Mismatch> {
    let algorithm = spec.alg.as_deref().unwrap_or("HS256");
    let key = keys.get(&spec.key);
    let mut claims = Table::default();
    for (name, value) in spec.claims.iter() {
        claims.set(
            name,
            relative_time(value)?.map_or_else(|| value.clone(), Value::Integer),
        );
    }
    for (name, text) in &spec.hash {
        claims.set(name, base64url(sha256(text)));
    }
    let header = header(spec, algorithm, key)?;
    let part = |table: &Table| base64url(Value::Table(table.clone()).to_json());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let message = signed.as_bytes();
    let mut signature = match (algorithm, key) {
        ("none", _) => Vec::new(),
        // a public key's text as shared secret is given as file:NAME
        (_, Some(key)) => key.sign(algorithm, message)?,
        (_, None) => match spec.key.strip_prefix("file:") {
            Some(file) => {
                keys::authenticate(algorithm, &std::fs::read(folder.join(file))?, message)?
            }
            None => keys::authenticate(algorithm, spec.key.as_bytes(), message)?,
        },
    };
    if matches!(spec.tamper, Some(Tampering::Asn1)) {
        signature = in_asn1(&signature);
    }
    let token = format!("{signed}.{}", base64url(&signature));
    Ok(match spec.tamper {
        None | Some(Tampering::Asn1) => token,
        Some(Tampering::Signature) => {
            let end = if token.ends_with("AAAAAA") {
                "BBBBBB"
            } else {
                "AAAAAA"
            };
            format!("{}{end}", &token[..token.len().saturating_sub(6)])
        }
        Some(Tampering::Payload) => {
            claims.set("sub", "someone-else");
            format!(
                "{}.{}.{}",
                part(&header),
                part(&claims),
                base64url(&signature)
            )
        }
    })
}

fn header(spec: &Token, algorithm: &str, key: Option<&Key>) -> Result<Table, Mismatch> {
    let mut header: Table = [("alg", algorithm), ("typ", "JWT")].into_iter().collect();
    for (name, value) in spec.header.iter() {
        header.set(name, value.clone());
    }
    if let Some(how) = spec
        .embed_jwk
        .as_ref()
        .filter(|how| **how != Value::Bool(false))
    {
        let key = key.ok_or_else(|| Mismatch::new(format!("no key {:?} to embed", spec.key)))?;
        let mut jwk = key.public_members();
        match how {
            Value::Bool(true) => {}
            Value::Text(text) if text == "private" => jwk.set("d", key.private_number()?),
            other => return Err(Mismatch::new(format!("embed_jwk: unknown value {other}"))),
        }
        header.set("jwk", jwk);
    }
    header.retain(|_, value| value.text() != Some(""));
    Ok(header)
}

/// The time that `"+60"` or `"-5"` means, in seconds since 1970.
fn relative_time(value: &Value) -> Result<Option<i128>, Mismatch> {
    let Some(text) = value.text() else {
        return Ok(None);
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let offset: i128 = text
        .parse()
        .map_err(|_| Mismatch::new(format!("{text}: too far away")))?;
    Ok(Some(i128::from(now()) + offset))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |passed| passed.as_secs())
}

/// The two numbers of an elliptic curve's signature as an ASN.1 sequence.
fn in_asn1(signature: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = [
        &signature[..signature.len() / 2],
        &signature[signature.len() / 2..],
    ]
    .into_iter()
    .flat_map(|number| {
        let start = number.iter().position(|b| *b != 0).unwrap_or(number.len());
        let mut number = number[start..].to_vec();
        if number.first().is_none_or(|first| *first >= 0x80) {
            number.insert(0, 0);
        }
        element(2, number)
    })
    .collect();
    element(0x30, numbers)
}

/// One element of ASN.1's distinguished encoding, shorter than 256 bytes.
fn element(tag: u8, content: Vec<u8>) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    let mut out = vec![tag];
    if length >= 0x80 {
        out.push(0x81);
    }
    out.push(length);
    out.extend(content);
    out
}

/// Header and claims of a token, unverified.
pub fn open(token: &str) -> Result<(Table, Table), Mismatch> {
    let fault = || Mismatch::new(format!("not a JWT: {:?}", shortened(token, 80)));
    let part = |text: &str| match Value::from_json(&String::from_utf8_lossy(&from_base64url(text)?))
    {
        Some(Value::Table(table)) => Ok(table),
        _ => Err(fault()),
    };
    let parts: Vec<&str> = token.split('.').collect();
    match parts[..] {
        [header, claims, _] => Ok((part(header)?, part(claims)?)),
        _ => Err(fault()),
    }
}

/// Verifies a token with the one key of the set that has its `kid`.
pub fn verify(token: &str, key_set: &str) -> Result<(), Mismatch> {
    let (header, _) = open(token)?;
    let kid = header.get("kid");
    let set = Value::from_json(key_set).ok_or_else(|| Mismatch::new("the key set is not JSON"))?;
    let Some(Value::List(keys)) = set.at("keys") else {
        return Err(Mismatch::new("the key set has no keys"));
    };
    let found: Vec<&Table> = keys
        .iter()
        .filter_map(Value::table)
        .filter(|key| key.get("kid") == kid)
        .collect();
    let [key] = found[..] else {
        let kid = kid.map(ToString::to_string).unwrap_or_default();
        return Err(Mismatch::new(format!(
            "{} keys of the set have the token's kid {kid}",
            found.len()
        )));
    };
    let algorithm = header.get("alg").and_then(Value::text).unwrap_or_default();
    let (message, signature) = token.rsplit_once('.').unwrap_or_default();
    keys::verify(
        key,
        algorithm,
        message.as_bytes(),
        &from_base64url(signature)?,
    )
}
