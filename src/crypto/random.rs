//! Random numbers for everything that must not be guessed, from aws-lc's generator.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The generator gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes to be had")]
pub struct RandomError;

/// Fills `buffer`.
pub fn fill(buffer: &mut [u8]) -> Result<(), RandomError> {
    aws_lc_rs::rand::fill(buffer).map_err(|_| RandomError)
}

/// `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut buffer = [0; N];
    fill(&mut buffer)?;
    Ok(buffer)
}

/// `entropy_bytes` random bytes as unpadded base64url text, for codes, states, nonces and tokens.
pub fn token(entropy_bytes: usize) -> Result<String, RandomError> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; entropy_bytes]);
    fill(&mut buffer)?;
    Ok(URL_SAFE_NO_PAD.encode(&*buffer))
}

/// A `jti`: 128 random bits, 22 characters.
pub fn jti() -> Result<String, RandomError> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<16>()?))
}

/// A number in `0.0 ..= 1.0` for spreading retries; the middle if the generator fails, for no
/// retry should fail for want of jitter.
pub fn fraction() -> f64 {
    bytes::<4>().map_or(0.5, |bytes| {
        f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_length_and_differ() {
        assert_eq!(token(32).unwrap().len(), 43);
        assert_eq!(jti().unwrap().len(), 22);
        assert_ne!(jti().unwrap(), jti().unwrap());
        assert!((0.0..=1.0).contains(&fraction()));
    }
}
