//! Values that only a key opens: AES-256-GCM with a random nonce, bound to the place they belong to.

use super::constant_time;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::fmt;
use zeroize::Zeroizing;

/// The only form there is so far; the first byte of what is sealed.
const FORM: u8 = 1;
const NONCE: usize = 12;
const KEY: usize = 32;

/// Why a text is no encryption key, or a value cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is no base64 of 32 bytes.
    #[error("an encryption key is 32 bytes in base64, as `openssl rand -base64 32` makes it")]
    BadKey,
    /// The list of keys is empty.
    #[error("there is no encryption key")]
    NoKey,
    /// No key opens it: another key sealed it, it is of another place, or it was changed.
    #[error("no encryption key opens the value")]
    Closed,
    /// The library failed.
    #[error("the value cannot be sealed")]
    Failed,
}

/// A key for one thing, such as the database or one handle.
pub struct SealingKey(RandomizedNonceKey);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

struct KeyLength;

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY
    }
}

/// A key from another secret (HKDF-SHA-256, RFC 5869). `purpose` keeps keys for different things
/// apart.
fn derive(secret: &[u8], purpose: &str) -> Result<Zeroizing<[u8; KEY]>, SealError> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gateway");
    let mut key = Zeroizing::new([0; KEY]);
    salt.extract(secret)
        .expand(&[purpose.as_bytes()], KeyLength)
        .and_then(|output| output.fill(&mut *key))
        .map_err(|_| SealError::Failed)?;
    Ok(key)
}

impl SealingKey {
    fn new(key: &[u8; KEY]) -> Result<Self, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .map(Self)
            .map_err(|_| SealError::Failed)
    }

    /// A key that only whoever presents `value` has: what is sealed with it stays closed to one who
    /// has the database alone. `value` needs the entropy of a key.
    pub fn derived(value: &str, purpose: &str) -> Result<Self, SealError> {
        Self::new(&*derive(value.as_bytes(), purpose)?)
    }

    /// Seals. What is not given the same `place` again does not open.
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut text = Zeroizing::new(plain.to_vec());
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(place), &mut *text)
            .map_err(|_| SealError::Failed)?;
        let mut sealed = Vec::with_capacity(1 + NONCE + text.len());
        sealed.push(FORM);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let Some((&FORM, rest)) = sealed.split_first() else {
            return Err(SealError::Closed);
        };
        let (nonce, text) = rest.split_at_checked(NONCE).ok_or(SealError::Closed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Closed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(place), &mut text)
            .map_err(|_| SealError::Closed)?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

/// The keys of a store: the first one seals, all open, so that a key can be replaced by putting the
/// new one before it. A keyed hash for generated secrets comes from each of them, too.
pub struct StorageKeys {
    keys: Vec<(SealingKey, hmac::Key)>,
}

impl fmt::Debug for StorageKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageKeys({})", self.keys.len())
    }
}

impl StorageKeys {
    /// Reads keys: 32 bytes each, in base64 of either alphabet, padded or not.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, SealError> {
        let keys: Vec<_> = texts.into_iter().map(read_key).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(SealError::NoKey);
        }
        Ok(Self { keys })
    }

    /// The keys from their bytes; `None` if there are none.
    pub fn from_bytes<'a>(
        keys: impl IntoIterator<Item = &'a [u8; KEY]>,
    ) -> Result<Option<Self>, SealError> {
        let keys: Vec<_> = keys.into_iter().map(make_key).collect::<Result<_, _>>()?;
        Ok((!keys.is_empty()).then_some(Self { keys }))
    }

    /// Seals with the first key.
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let (key, _) = self.keys.first().ok_or(SealError::NoKey)?;
        key.seal(place, plain)
    }

    /// Opens with whichever key fits.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut opened = self.keys.iter().map(|(key, _)| key.open(place, sealed));
        opened.find_map(Result::ok).ok_or(SealError::Closed)
    }

    /// The same value under the first key; `None` if it is so already.
    pub fn reseal(&self, place: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let (first, _) = self.keys.first().ok_or(SealError::NoKey)?;
        if first.open(place, sealed).is_ok() {
            return Ok(None);
        }
        let plain = self.open(place, sealed)?;
        first.seal(place, &plain).map(Some)
    }

    /// HMAC-SHA-256 of a value under the first key.
    pub fn digest(&self, value: &[u8]) -> Result<[u8; 32], SealError> {
        let (_, pepper) = self.keys.first().ok_or(SealError::NoKey)?;
        Ok(tag(pepper, value))
    }

    /// Whether `digest` is that of the value under any of the keys.
    pub fn digest_fits(&self, value: &[u8], digest: &[u8; 32]) -> bool {
        self.keys.iter().fold(false, |fits, (_, pepper)| {
            fits | constant_time::equal(&tag(pepper, value), digest)
        })
    }
}

fn tag(key: &hmac::Key, value: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(key, value).as_ref());
    bytes
}

fn read_key(text: &str) -> Result<(SealingKey, hmac::Key), SealError> {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    let decoded = GeneralPurpose::new(alphabet, ANY).decode(text.trim());
    let bytes = Zeroizing::new(decoded.map_err(|_| SealError::BadKey)?);
    let secret: &[u8; KEY] = bytes.as_slice().try_into().map_err(|_| SealError::BadKey)?;
    make_key(secret)
}

fn make_key(secret: &[u8; KEY]) -> Result<(SealingKey, hmac::Key), SealError> {
    // One key for each thing, so that no use of the one tells about the other.
    let sealing = SealingKey::new(&*derive(secret, "seal")?)?;
    let pepper = hmac::Key::new(hmac::HMAC_SHA256, &*derive(secret, "pepper")?);
    Ok((sealing, pepper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    fn keys(bytes: &[u8]) -> StorageKeys {
        let texts: Vec<_> = bytes
            .iter()
            .map(|byte| STANDARD.encode([*byte; 32]))
            .collect();
        StorageKeys::parse(texts.iter().map(String::as_str)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let keys = keys(&[1]);
        let sealed = keys.seal(b"token/1", b"secret").unwrap();
        assert_eq!(&**keys.open(b"token/1", &sealed).unwrap(), b"secret");
        assert_ne!(sealed, keys.seal(b"token/1", b"secret").unwrap());
        assert_eq!(keys.open(b"token/2", &sealed), Err(SealError::Closed));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(b"token/1", &changed), Err(SealError::Closed));
            assert_eq!(keys.open(b"token/1", &sealed[..at]), Err(SealError::Closed));
        }
    }

    #[test]
    fn keys_are_replaced_one_by_one() {
        let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
        let sealed = old.seal(b"p", b"secret").unwrap();
        assert_eq!(new.open(b"p", &sealed), Err(SealError::Closed));
        let resealed = both.reseal(b"p", &sealed).unwrap().unwrap();
        assert_eq!(both.reseal(b"p", &resealed), Ok(None));
        assert_eq!(&**new.open(b"p", &resealed).unwrap(), b"secret");

        let digest = old.digest(b"secret").unwrap();
        assert!(both.digest_fits(b"secret", &digest));
        assert!(!both.digest_fits(b"Secret", &digest));
        assert!(!new.digest_fits(b"secret", &digest));
    }

    #[test]
    fn a_derived_key_is_that_of_its_value_and_purpose() {
        let sealed = SealingKey::derived("value", "session")
            .unwrap()
            .seal(b"", b"x")
            .unwrap();
        let open = |value, purpose| {
            SealingKey::derived(value, purpose)
                .unwrap()
                .open(b"", &sealed)
        };
        assert_eq!(&**open("value", "session").unwrap(), b"x");
        assert!(open("value", "refresh").is_err());
        assert!(open("other", "session").is_err());
    }

    #[test]
    fn keys_are_32_bytes_in_base64() {
        let parse = |text: &str| StorageKeys::parse([text]).map(|_| ());
        assert_eq!(parse(&STANDARD.encode([255; 32])), Ok(()));
        assert_eq!(parse(&URL_SAFE_NO_PAD.encode([255; 32])), Ok(()));
        for wrong in [
            "",
            "secret",
            &STANDARD.encode([1; 31]),
            &STANDARD.encode([1; 33]),
        ] {
            assert_eq!(parse(wrong), Err(SealError::BadKey));
        }
        assert!(StorageKeys::parse([]).is_err());
    }
}
