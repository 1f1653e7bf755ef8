//! Password hashes in the forms that `htpasswd` files hold: MD5-crypt, bcrypt, Argon2.
//!
//! A hash is parsed and checked once. Verifying one is slow on purpose: it belongs on
//! [`super::offload`], never on a worker.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use md5::{Digest as _, Md5};

use super::constant_time;

/// Most memory that one Argon2 check may take, in KiB.
const MAX_MEMORY_KIB: u32 = 1 << 20;
/// Bytes of an MD5-crypt salt that count.
const MD5_SALT_BYTES: usize = 8;
/// Repetitions of MD5-crypt.
const MD5_ROUNDS: u32 = 1000;
/// The alphabet of MD5-crypt, lowest value first.
const MD5_ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Why a text is no hash that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// A hash by another algorithm, or no hash at all.
    #[error(
        "unknown hash algorithm; known are `$apr1$`, `$1$`, `$2a$`, `$2b$`, `$2x$`, `$2y$`, `$argon2i$` and `$argon2id$`"
    )]
    Algorithm,
    /// The text after the algorithm is wrong.
    #[error("malformed hash")]
    Malformed,
    /// Checking it would take too much memory.
    #[error("the hash asks for more than 1 GiB of memory")]
    Memory,
}

/// A parsed hash.
pub struct PasswordHash(Inner);

enum Inner {
    Md5 {
        magic: &'static str,
        salt: Box<[u8]>,
        hash: [u8; 22],
    },
    Bcrypt(Box<str>),
    Argon2 {
        hasher: Box<Argon2<'static>>,
        salt: Box<[u8]>,
        hash: Box<[u8]>,
    },
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let algorithm = match &self.0 {
            Inner::Md5 { magic, .. } => *magic,
            Inner::Bcrypt(_) => "bcrypt",
            Inner::Argon2 { .. } => "argon2",
        };
        f.debug_tuple("PasswordHash").field(&algorithm).finish()
    }
}

impl PasswordHash {
    /// Reads a hash.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let algorithm = text.strip_prefix('$').and_then(|rest| rest.split_once('$'));
        let inner = match algorithm {
            Some(("apr1", rest)) => md5_crypt("$apr1$", rest),
            Some(("1", rest)) => md5_crypt("$1$", rest),
            Some(("2a" | "2b" | "2x" | "2y", _)) => bcrypt_hash(text),
            Some(("argon2i", rest)) => argon2_hash(Algorithm::Argon2i, rest),
            Some(("argon2id", rest)) => argon2_hash(Algorithm::Argon2id, rest),
            Some(_) | None => Err(HashError::Algorithm),
        };
        inner.map(Self)
    }

    /// Whether it is the password's. Slow.
    pub fn verifies(&self, password: &[u8]) -> bool {
        match &self.0 {
            Inner::Md5 { magic, salt, hash } => {
                constant_time::equal(&md5_digest(magic, salt, password), hash)
            }
            Inner::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Inner::Argon2 { hasher, salt, hash } => {
                let mut found = zeroize::Zeroizing::new(vec![0; hash.len()]);
                hasher
                    .hash_password_into(password, salt, &mut found)
                    .is_ok()
                    && constant_time::equal(&found, hash)
            }
        }
    }
}

fn md5_crypt(magic: &'static str, rest: &str) -> Result<Inner, HashError> {
    let (salt, hash) = rest.split_once('$').ok_or(HashError::Malformed)?;
    let salt = salt.as_bytes();
    let hash: [u8; 22] = hash
        .as_bytes()
        .try_into()
        .map_err(|_| HashError::Malformed)?;
    if !hash.iter().all(|byte| MD5_ALPHABET.contains(byte)) {
        return Err(HashError::Malformed);
    }
    Ok(Inner::Md5 {
        magic,
        salt: salt[..salt.len().min(MD5_SALT_BYTES)].into(),
        hash,
    })
}

/// MD5-crypt as FreeBSD made it; Apache's variant differs in `magic` alone.
fn md5_digest(magic: &str, salt: &[u8], password: &[u8]) -> [u8; 22] {
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut outer = Md5::new()
        .chain_update(password)
        .chain_update(magic)
        .chain_update(salt);
    for part in password.chunks(inner.len()) {
        outer.update(&inner[..part.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        let byte = if bits & 1 == 1 { 0 } else { password[0] };
        outer.update([byte]);
        bits >>= 1;
    }
    let mut state = outer.finalize();
    for round in 0..MD5_ROUNDS {
        let mut next = Md5::new();
        let odd = round % 2 == 1;
        next.update(if odd { password } else { &state });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &state[..] } else { password });
        state = next.finalize();
    }
    let mut text = [0; 22];
    for (group, places) in text.chunks_mut(4).enumerate() {
        // Five groups of three bytes in their odd order, then the one that is left.
        let value = match group {
            0..4 => [group, group + 6, group + 12],
            4 => [4, 10, 5],
            _ => [16, 16, 11],
        }
        .iter()
        .fold(0_u32, |value, &at| {
            value << 8 | u32::from(state.get(at).copied().unwrap_or(0))
        });
        for (digit, place) in places.iter_mut().enumerate() {
            *place = MD5_ALPHABET[(value >> (6 * digit)) as usize & 63];
        }
    }
    text
}

fn bcrypt_hash(text: &str) -> Result<Inner, HashError> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| HashError::Malformed)?;
    if !(4..=31).contains(&parts.get_cost()) {
        return Err(HashError::Malformed);
    }
    Ok(Inner::Bcrypt(text.into()))
}

fn argon2_hash(algorithm: Algorithm, rest: &str) -> Result<Inner, HashError> {
    let parts: Vec<&str> = rest.split('$').collect();
    let ["v=19", costs, salt, hash] = parts[..] else {
        return Err(HashError::Malformed);
    };
    let (mut memory, mut times, mut lanes) = (None, None, None);
    for cost in costs.split(',') {
        let (name, number) = cost.split_once('=').ok_or(HashError::Malformed)?;
        let place = match name {
            "m" => &mut memory,
            "t" => &mut times,
            "p" => &mut lanes,
            _ => return Err(HashError::Malformed),
        };
        let number: u32 = number.parse().map_err(|_| HashError::Malformed)?;
        if place.replace(number).is_some() {
            return Err(HashError::Malformed);
        }
    }
    let (Some(memory), Some(times), Some(lanes)) = (memory, times, lanes) else {
        return Err(HashError::Malformed);
    };
    if memory > MAX_MEMORY_KIB {
        return Err(HashError::Memory);
    }
    let decode = |part: &str| {
        STANDARD_NO_PAD
            .decode(part)
            .map_err(|_| HashError::Malformed)
    };
    let (salt, hash) = (decode(salt)?, decode(hash)?);
    if salt.len() < argon2::MIN_SALT_LEN {
        return Err(HashError::Malformed);
    }
    let params =
        Params::new(memory, times, lanes, Some(hash.len())).map_err(|_| HashError::Malformed)?;
    Ok(Inner::Argon2 {
        hasher: Box::new(Argon2::new(algorithm, Version::V0x13, params)),
        salt: salt.into(),
        hash: hash.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifies(hash: &str, password: &str) -> bool {
        PasswordHash::parse(hash)
            .unwrap()
            .verifies(password.as_bytes())
    }

    #[test]
    fn known_hashes() {
        let cases = [
            ("$apr1$abcdefgh$kzLw5c2Q2CytV5e5vCy3v1", "apr-pass"),
            ("$1$abcdefgh$QDzVj6N8.axjJ3VSCVMwD0", "md5-pass"),
            (
                "$2y$04$abcdefghijklmnopqrstuuYt/YNsTeF5dYMfRZW5tH6Sq7vhYABtq",
                "bcrypt-pass",
            ),
            (
                "$2b$04$Hk9SmeGixm46sSMKMtNls./Ruq20jW4GkYnVm6LLzxwIhBSBiylh.",
                "bcrypt-pass",
            ),
            (
                "$argon2id$v=19$m=64,t=1,p=1$OI6b/LhZxydrB7p2QrF/rQ$9YcxZGJ4PtwpI0drH62uR/5CC5AucOi7p3YgnYBSvLM",
                "id-pass",
            ),
            (
                "$argon2i$v=19$p=1,m=64,t=1$5ab7Z07q75hJ0cIddd6xyw$0smhobcSIM3/PqTV7+mKyi5AiPf1fv5N9+LdzMeeiRA",
                "i-pass",
            ),
        ];
        for (hash, password) in cases {
            assert!(verifies(hash, password), "{hash}");
            for wrong in ["", "x", &password[1..], &format!("{password} ")] {
                assert!(!verifies(hash, wrong), "{hash} {wrong}");
            }
        }
    }

    #[test]
    fn long_and_short_passwords_in_md5_crypt() {
        // Made with `openssl passwd -apr1 -salt s` and `-1 -salt 12345678`.
        assert!(verifies(
            "$apr1$s$1aAXFs.2wVxH..sD4bK8C0",
            "a password of forty characters, or more"
        ));
        assert!(verifies("$1$12345678$f8QoJuo0DpBRfQSD0vglc1", "12345678"));
    }

    #[test]
    fn what_is_no_hash() {
        use HashError::{Algorithm, Malformed, Memory};
        let cases = [
            ("", Algorithm),
            ("secret", Algorithm),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", Algorithm),
            ("$5$salt$hash", Algorithm),
            (
                "$argon2d$v=19$m=64,t=1,p=1$OI6b/LhZxydrB7p2QrF/rQ$9Ycx",
                Algorithm,
            ),
            ("$apr1$abcdefgh", Malformed),
            ("$apr1$abcdefgh$short", Malformed),
            ("$apr1$abcdefgh$kzLw5c2Q2CytV5e5vCy3v!", Malformed),
            ("$2y$04$abcdef", Malformed),
            (
                "$2y$03$abcdefghijklmnopqrstuuYt/YNsTeF5dYMfRZW5tH6Sq7vhYABtq",
                Malformed,
            ),
            (
                "$argon2id$v=16$m=64,t=1,p=1$OI6b/LhZxydrB7p2QrF/rQ$9YcxZGJ4",
                Malformed,
            ),
            (
                "$argon2id$v=19$m=64,t=1$OI6b/LhZxydrB7p2QrF/rQ$9YcxZGJ4",
                Malformed,
            ),
            (
                "$argon2id$v=19$m=64,t=1,p=1,p=1$OI6b/LhZxydrB7p2QrF/rQ$9YcxZGJ4",
                Malformed,
            ),
            (
                "$argon2id$v=19$m=64,t=1,p=0$OI6b/LhZxydrB7p2QrF/rQ$9YcxZGJ4",
                Malformed,
            ),
            (
                "$argon2id$v=19$m=64,t=1,p=1$OI6b/LhZxydrB7p2QrF/rQ==$9YcxZGJ4",
                Malformed,
            ),
            ("$argon2id$v=19$m=64,t=1,p=1$AAAA$9YcxZGJ4", Malformed),
            (
                "$argon2id$v=19$m=4000000000,t=1,p=1$OI6b/LhZxydrB7p2QrF/rQ$9YcxZGJ4",
                Memory,
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(PasswordHash::parse(text).unwrap_err(), wanted, "{text}");
        }
    }
}
