//! What is kept of a secret so that it can be recognised.
//!
//! A value that was drawn at random needs no slow hash: nobody finds it by trying. One that a person
//! chose does. So there are fast forms (`sha256:`, `hmac-sha256:`) and slow ones: Argon2id, which new
//! secrets get, and PBKDF2 and bcrypt, which come with imports.

use super::constant_time;
use super::seal::{SealError, StorageKeys};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use aws_lc_rs::{digest, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fmt;
use std::num::NonZeroU32;

/// Most memory that checking one hash may take, in KiB.
const MOST_MEMORY: u32 = 1 << 20;
/// Most iterations of PBKDF2: some ten seconds.
const MOST_ITERATIONS: u32 = 20_000_000;
/// Most that bcrypt may cost: the time doubles with each step.
const MOST_COST: u32 = 16;
/// A secret this long and this hard to guess is as good as a drawn one (AS-SEC-2).
const STRONG_LENGTH: usize = 32;
const STRONG_BITS: f64 = 128.0;

/// Why a text is no hash of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretHashError {
    /// No known form.
    #[error(
        "expected `sha256:<hex>`, `$argon2id$…`, `$pbkdf2-sha1$…`, `$pbkdf2-sha256$…`, `$pbkdf2-sha512$…`, `$2a$…`, `$2b$…` or `$2y$…`"
    )]
    Unknown,
    /// The rest of it is wrong.
    #[error("malformed hash")]
    Malformed,
    /// Checking it takes too long or too much memory.
    #[error("the hash costs too much to check")]
    TooCostly,
}

/// A hash of a secret, parsed once. Its text (`Display`) is what a store keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Sha256([u8; 32]),
    Hmac([u8; 32]),
    Argon2(Box<str>),
    Bcrypt(Box<str>),
    Pbkdf2(Box<Pbkdf2>),
}

#[derive(Clone, PartialEq, Eq)]
struct Pbkdf2 {
    name: &'static str,
    algorithm: pbkdf2::Algorithm,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match &self.0 {
            Form::Sha256(_) => "sha256",
            Form::Hmac(_) => "hmac-sha256",
            Form::Argon2(_) => "argon2id",
            Form::Bcrypt(_) => "bcrypt",
            Form::Pbkdf2(pbkdf2) => pbkdf2.name,
        };
        write!(f, "SecretHash({form})")
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match &self.0 {
            Form::Sha256(bytes) => f.write_str("sha256:").and_then(|()| hex(f, bytes)),
            Form::Hmac(bytes) => f.write_str("hmac-sha256:").and_then(|()| hex(f, bytes)),
            Form::Argon2(text) | Form::Bcrypt(text) => f.write_str(text),
            Form::Pbkdf2(parts) => {
                let (salt, hash) = (
                    STANDARD_NO_PAD.encode(&parts.salt),
                    STANDARD_NO_PAD.encode(&parts.hash),
                );
                let (name, iterations, length) = (parts.name, parts.iterations, parts.hash.len());
                write!(f, "${name}$i={iterations},l={length}${salt}${hash}")
            }
        }
    }
}

fn sha256(value: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, value.as_bytes()).as_ref());
    bytes
}

impl SecretHash {
    /// For a value of the configuration file, or any value that a hash in memory is enough for.
    pub fn fast(secret: &str) -> Self {
        Self(Form::Sha256(sha256(secret)))
    }

    /// For a drawn value: keyed, if there is a key.
    pub fn generated(secret: &str, keys: Option<&StorageKeys>) -> Result<Self, SealError> {
        match keys {
            None => Ok(Self::fast(secret)),
            Some(keys) => Ok(Self(Form::Hmac(keys.digest(secret.as_bytes())?))),
        }
    }

    /// For a chosen value: Argon2id. Slow.
    pub fn slow(secret: &str) -> Result<Self, SealError> {
        let salt = super::random::bytes::<16>().map_err(|_| SealError::Failed)?;
        let hash: PasswordHash = Argon2::default()
            .hash_password_with_salt(secret.as_bytes(), &salt)
            .map_err(|_| SealError::Failed)?;
        Ok(Self(Form::Argon2(hash.to_string().into())))
    }

    /// Whether a value that somebody chose is as hard to guess as a drawn one.
    pub fn is_strong(secret: &str) -> bool {
        secret.len() >= STRONG_LENGTH && entropy(secret) >= STRONG_BITS
    }

    /// Reads a hash.
    pub fn parse(text: &str) -> Result<Self, SecretHashError> {
        if let Some((name, hex)) = text.split_once(':') {
            let bytes = parse_hex(hex).ok_or(SecretHashError::Malformed);
            return match name {
                "sha256" => Ok(Self(Form::Sha256(bytes?))),
                "hmac-sha256" => Ok(Self(Form::Hmac(bytes?))),
                _ => Err(SecretHashError::Unknown),
            };
        }
        let name = text
            .strip_prefix('$')
            .and_then(|rest| rest.split('$').next());
        let form = match name {
            Some("argon2id" | "argon2i") => argon2(text)?,
            Some("2a" | "2b" | "2x" | "2y") => bcrypt(text)?,
            Some(name) => pbkdf2(name, text)?,
            None => return Err(SecretHashError::Unknown),
        };
        Ok(Self(form))
    }

    /// Whether checking it takes so long that it belongs on a thread of its own.
    pub fn is_slow(&self) -> bool {
        !matches!(self.0, Form::Sha256(_) | Form::Hmac(_))
    }

    /// Whether a better hash of the same secret should replace it: it came with an import.
    pub fn is_foreign(&self) -> bool {
        matches!(self.0, Form::Bcrypt(_) | Form::Pbkdf2(_))
    }

    /// Whether it is the secret's. Takes long if [`is_slow`](Self::is_slow).
    pub fn fits(&self, secret: &str, keys: Option<&StorageKeys>) -> bool {
        let bytes = secret.as_bytes();
        match &self.0 {
            Form::Sha256(hash) => constant_time::equal(&sha256(secret), hash),
            Form::Hmac(hash) => keys.is_some_and(|keys| keys.digest_fits(bytes, hash)),
            Form::Argon2(hash) => PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(bytes, &hash).is_ok()),
            Form::Bcrypt(hash) => ::bcrypt::verify(bytes, hash).unwrap_or(false),
            Form::Pbkdf2(parts) => pbkdf2::verify(
                parts.algorithm,
                parts.iterations,
                &parts.salt,
                bytes,
                &parts.hash,
            )
            .is_ok(),
        }
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn argon2(text: &str) -> Result<Form, SecretHashError> {
    let hash = PasswordHash::new(text).map_err(|_| SecretHashError::Malformed)?;
    let params = argon2::Params::try_from(&hash).map_err(|_| SecretHashError::Malformed)?;
    if params.m_cost() > MOST_MEMORY || params.t_cost() > 100 {
        return Err(SecretHashError::TooCostly);
    }
    if hash.hash.is_none() || hash.salt.is_none() {
        return Err(SecretHashError::Malformed);
    }
    Ok(Form::Argon2(text.into()))
}

fn bcrypt(text: &str) -> Result<Form, SecretHashError> {
    let parts: ::bcrypt::HashParts = text.parse().map_err(|_| SecretHashError::Malformed)?;
    match parts.get_cost() {
        4..=MOST_COST => Ok(Form::Bcrypt(text.into())),
        0..4 => Err(SecretHashError::Malformed),
        _ => Err(SecretHashError::TooCostly),
    }
}

/// `$pbkdf2-sha512$i=10000,l=32$salt$hash`, as Kong writes it and the PHC format has it.
fn pbkdf2(name: &str, text: &str) -> Result<Form, SecretHashError> {
    let (name, algorithm) = match name {
        "pbkdf2-sha1" => ("pbkdf2-sha1", pbkdf2::PBKDF2_HMAC_SHA1),
        "pbkdf2-sha256" => ("pbkdf2-sha256", pbkdf2::PBKDF2_HMAC_SHA256),
        "pbkdf2-sha512" => ("pbkdf2-sha512", pbkdf2::PBKDF2_HMAC_SHA512),
        _ => return Err(SecretHashError::Unknown),
    };
    let parts: Vec<&str> = text.split('$').collect();
    let ["", _, costs, salt, hash] = parts[..] else {
        return Err(SecretHashError::Malformed);
    };
    let iterations = costs
        .split(',')
        .find_map(|cost| cost.strip_prefix("i="))
        .and_then(|number| number.parse().ok())
        .and_then(NonZeroU32::new)
        .ok_or(SecretHashError::Malformed)?;
    if iterations.get() > MOST_ITERATIONS {
        return Err(SecretHashError::TooCostly);
    }
    let decode = |part: &str| {
        let part = part.trim_end_matches('=');
        STANDARD_NO_PAD
            .decode(part)
            .map_err(|_| SecretHashError::Malformed)
    };
    let (salt, hash) = (decode(salt)?, decode(hash)?);
    if hash.len() < 16 {
        return Err(SecretHashError::Malformed);
    }
    Ok(Form::Pbkdf2(Box::new(Pbkdf2 {
        name,
        algorithm,
        iterations,
        salt,
        hash,
    })))
}

/// An estimate of how many bits a text holds, from how often each of its characters occurs.
#[expect(clippy::cast_precision_loss, reason = "secrets are short")]
fn entropy(text: &str) -> f64 {
    let length = text.len() as f64;
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let bits = counts.iter().filter(|count| **count > 0).map(|count| {
        let share = f64::from(*count) / length;
        -share * share.log2()
    });
    bits.sum::<f64>() * length
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const KONG: &str = "$pbkdf2-sha512$i=10000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$jn22u/CRf2YEnB9GQnIB6u8bYXn1LhHaiAxs8Siq5BU";
    const HYDRA: &str = "$2b$08$B0jRvJ9sjiwITpR1bZdOLuMj6eduItdqovX4FkRnI5U.P4nDe1Jy2";
    const ARGON: &str = "$argon2id$v=19$m=19456,t=2,p=1$iKjdHfPS7Nquk4h5swAAbA$sLVK6JVlCOUdfJCavlAdwCRBsmynzFF1907R0qUaDPY";

    #[test]
    fn hashes_of_every_kind() {
        let digest = SecretHash::fast("generated").to_string();
        let cases = [
            (KONG, "migrated-kong-secret", true),
            (HYDRA, "migrated-hydra-secret", true),
            (ARGON, "chosen-by-a-person", false),
            (&digest, "generated", false),
        ];
        for (text, secret, foreign) in cases {
            let hash = SecretHash::parse(text).unwrap();
            assert!(hash.fits(secret, None), "{text}");
            assert!(!hash.fits(&secret[1..], None), "{text}");
            assert!(!hash.fits("", None), "{text}");
            assert!(!hash.fits(text, None), "{text}");
            assert_eq!(hash.is_foreign(), foreign, "{text}");
            assert_eq!(hash.to_string(), text);
            assert!(!format!("{hash:?}").contains(secret));
        }
    }

    #[test]
    fn new_hashes() {
        let slow = SecretHash::slow("chosen").unwrap();
        assert!(
            slow.to_string()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
        );
        assert!(slow.is_slow() && slow.fits("chosen", None) && !slow.fits("Chosen", None));
        assert_eq!(SecretHash::parse(&slow.to_string()).unwrap(), slow);

        let key = STANDARD.encode([7; 32]);
        let keys = StorageKeys::parse([key.as_str()]).unwrap();
        let keyed = SecretHash::generated("drawn", Some(&keys)).unwrap();
        assert!(!keyed.is_slow() && keyed.fits("drawn", Some(&keys)));
        assert!(!keyed.fits("drawn", None));
        assert_eq!(SecretHash::parse(&keyed.to_string()).unwrap(), keyed);
    }

    #[test]
    fn what_is_no_hash_or_too_costly() {
        use SecretHashError::{Malformed, TooCostly, Unknown};
        let cases = [
            ("", Unknown),
            ("secret", Unknown),
            ("md5:00", Unknown),
            ("$5$salt$hash", Unknown),
            ("sha256:00", Malformed),
            ("$2b$08$short", Malformed),
            (
                "$2b$31$B0jRvJ9sjiwITpR1bZdOLuMj6eduItdqovX4FkRnI5U.P4nDe1Jy2",
                TooCostly,
            ),
            (
                "$argon2id$v=19$m=19456,t=2,p=1$iKjdHfPS7Nquk4h5swAAbA",
                Malformed,
            ),
            (
                "$argon2id$v=19$m=4000000000,t=2,p=1$iKjdHfPS7Nquk4h5swAAbA$sLVK6JVlCOUdfJCavlAdwCRBsmynzFF1907R0qUaDPY",
                TooCostly,
            ),
            (
                "$pbkdf2-sha512$i=0,l=32$MDEyMzQ1Njc4OWFiY2RlZg$jn22u/CRf2YEnB9GQnIB6u8bYXn1LhHaiAxs8Siq5BU",
                Malformed,
            ),
            (
                "$pbkdf2-sha512$i=4000000000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$jn22u/CRf2YEnB9GQnIB6u8bYXn1LhHaiAxs8Siq5BU",
                TooCostly,
            ),
            (
                "$pbkdf2-sha512$i=10,l=1$MDEyMzQ1Njc4OWFiY2RlZg$jg",
                Malformed,
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(SecretHash::parse(text), Err(wanted), "{text}");
        }
    }

    #[test]
    fn strength_is_length_and_variety() {
        assert!(SecretHash::is_strong("zoRdC3erP6p9fci6FgzStDiRlMHkupw6"));
        assert!(!SecretHash::is_strong("zoRdC3erP6p9fci6FgzStDiRlMHkupw"));
        assert!(!SecretHash::is_strong(&"a".repeat(100)));
        assert!(!SecretHash::is_strong("SOME-CLIENT-SECRET"));
    }
}
