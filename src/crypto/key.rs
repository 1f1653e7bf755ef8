//! Keys bound to one algorithm, parsed once.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RsaKeyPair,
    RsaPublicKeyComponents,
};

use super::algorithm::{Algorithm, Curve, Family};
use super::encoding::{self, Label, PublicParts};
use zeroize::Zeroizing;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM section that holds a key, or one that is damaged.
    #[error("no readable PEM key")]
    NotPem,
    /// The section is encrypted.
    #[error("the private key is encrypted; give it without a passphrase")]
    Encrypted,
    /// A public key where a private one is needed.
    #[error("a public key was given where a private key is needed")]
    PrivateExpected,
    /// A private key where a public one is needed.
    #[error("a private key was given where a public key or certificate is needed")]
    PublicExpected,
    /// The key's type or curve is not the algorithm's.
    #[error("{algorithm} needs {needed}, but the key is {found}")]
    Mismatch {
        /// The algorithm.
        algorithm: Algorithm,
        /// What it works with.
        needed: Family,
        /// What was given.
        found: Family,
    },
    /// The algorithm takes a secret and no PEM key.
    #[error("{0} takes a shared secret, not a PEM key")]
    TakesSecret(Algorithm),
    /// The algorithm takes a PEM key and no secret.
    #[error("{0} takes a PEM key, not a shared secret")]
    TakesKey(Algorithm),
    /// The secret is empty.
    #[error("the secret is empty")]
    EmptySecret,
    /// The RSA modulus is too short or too long to work with.
    #[error("an RSA key of {0} bits cannot be used with this algorithm")]
    RsaSize(usize),
    /// The numbers in the key make no key.
    #[error("the key is damaged or of an unknown type")]
    Rejected,
}

/// What is worth a warning about a key that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// An RSA modulus under 2048 bits.
    #[error("the RSA key has {bits} bits only, 2048 are the least that is safe")]
    ShortRsa {
        /// Its length.
        bits: usize,
    },
    /// An HMAC secret shorter than the hash (RFC 7518 §3.2).
    #[error("the secret has {bytes} bytes only, the algorithm asks for {wanted} at least")]
    ShortSecret {
        /// Its length.
        bytes: usize,
        /// The least length that the algorithm asks for.
        wanted: usize,
    },
}

/// A key that signs with one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    inner: Signer,
    weakness: Option<Weakness>,
}

enum Signer {
    Hmac(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn secret_weakness(algorithm: Algorithm, secret: &[u8]) -> Option<Weakness> {
    let wanted = algorithm.hash_bytes();
    (secret.len() < wanted).then_some(Weakness::ShortSecret {
        bytes: secret.len(),
        wanted,
    })
}

fn hmac_key(algorithm: Algorithm, secret: &[u8]) -> Result<Box<hmac::Key>, KeyError> {
    let hash = algorithm.hmac().ok_or(KeyError::TakesKey(algorithm))?;
    if secret.is_empty() {
        return Err(KeyError::EmptySecret);
    }
    Ok(Box::new(hmac::Key::new(hash, secret)))
}

fn check_family(algorithm: Algorithm, found: Family) -> Result<(), KeyError> {
    let needed = algorithm.family();
    if needed == found {
        return Ok(());
    }
    Err(match needed {
        Family::Hmac => KeyError::TakesSecret(algorithm),
        Family::Rsa | Family::Ec(_) | Family::Ed25519 => KeyError::Mismatch {
            algorithm,
            needed,
            found,
        },
    })
}

impl SigningKey {
    /// A shared secret for an HS* algorithm.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            algorithm,
            inner: Signer::Hmac(hmac_key(algorithm, secret)?),
            weakness: secret_weakness(algorithm, secret),
        })
    }

    /// A private key as PEM: PKCS#1, PKCS#8 or SEC1.
    ///
    /// RSA keys below 2048 bits are refused: aws-lc-rs does not sign with them.
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        if algorithm.family() == Family::Hmac {
            return Err(KeyError::TakesSecret(algorithm));
        }
        let section = encoding::first_key_section(pem).ok_or(KeyError::NotPem)?;
        let der = &section.der;
        let inner = match section.label {
            Label::PublicKey | Label::RsaPublicKey | Label::Certificate => {
                return Err(KeyError::PrivateExpected);
            }
            Label::EncryptedPrivateKey => return Err(KeyError::Encrypted),
            Label::RsaPrivateKey => {
                check_family(algorithm, Family::Rsa)?;
                Signer::Rsa(Box::new(
                    RsaKeyPair::from_der(der).map_err(|_| KeyError::Rejected)?,
                ))
            }
            Label::EcPrivateKey => match algorithm.family() {
                Family::Ec(curve) => Signer::Ec(Box::new(sec1(algorithm, curve, der)?)),
                Family::Rsa | Family::Hmac | Family::Ed25519 => {
                    return Err(KeyError::Mismatch {
                        algorithm,
                        needed: algorithm.family(),
                        found: sec1_family(der).ok_or(KeyError::Rejected)?,
                    });
                }
            },
            Label::Pkcs8PrivateKey => {
                check_family(
                    algorithm,
                    encoding::pkcs8_family(der).ok_or(KeyError::Rejected)?,
                )?;
                return Self::from_pkcs8(algorithm, der);
            }
        };
        Ok(Self {
            algorithm,
            inner,
            weakness: None,
        })
    }

    /// A private key as PKCS#8 DER.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let inner = match algorithm.family() {
            Family::Hmac => return Err(KeyError::TakesSecret(algorithm)),
            Family::Rsa => RsaKeyPair::from_pkcs8(der).map(|key| Signer::Rsa(Box::new(key))),
            Family::Ec(curve) => {
                EcdsaKeyPair::from_pkcs8(curve.signing(), der).map(|key| Signer::Ec(Box::new(key)))
            }
            Family::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(|key| Signer::Ed25519(Box::new(key))),
        }
        .map_err(|_| KeyError::Rejected)?;
        Ok(Self {
            algorithm,
            inner,
            weakness: None,
        })
    }

    /// A new private key as PKCS#8 DER; RSA keys have 2048 bits and take long to make.
    pub fn generate(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let pkcs8 = match algorithm.family() {
            Family::Hmac => return Err(KeyError::TakesSecret(algorithm)),
            Family::Rsa => RsaKeyPair::generate(KeySize::Rsa2048)
                .and_then(|key| key.as_der())
                .map(|der: Pkcs8V1Der<'_>| Zeroizing::new(der.as_ref().to_vec())),
            Family::Ec(curve) => EcdsaKeyPair::generate(curve.signing())
                .and_then(|key| key.to_pkcs8v1())
                .map(|document| Zeroizing::new(document.as_ref().to_vec())),
            Family::Ed25519 => Ed25519KeyPair::generate()
                .and_then(|key| key.to_pkcs8v1())
                .map(|document| Zeroizing::new(document.as_ref().to_vec())),
        };
        pkcs8.map_err(|_| KeyError::Rejected)
    }

    /// The algorithm that the key is bound to.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What to warn about.
    pub fn weakness(&self) -> Option<Weakness> {
        self.weakness
    }

    /// The signature of `message` in the form that JWS wants (ECDSA: R and S, fixed length).
    pub fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.inner {
            Signer::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Signer::Rsa(key) => {
                let encoding = self.algorithm.rsa_signing().ok_or(SignError)?;
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| SignError)?;
                Ok(signature)
            }
            Signer::Ec(key) => key
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignError),
            Signer::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }

    /// The key that verifies what this one signs; HMAC keys are their own.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        let inner = match &self.inner {
            Signer::Hmac(key) => {
                return Ok(VerifyingKey {
                    algorithm: self.algorithm,
                    inner: Verifier::Hmac(key.clone()),
                    weakness: self.weakness,
                });
            }
            Signer::Rsa(key) => encoding::rsa_public_key(key.public_key().as_ref()),
            Signer::Ec(key) => match self.algorithm.family() {
                Family::Ec(curve) => Some(PublicParts::Ec {
                    curve,
                    point: key.public_key().as_ref(),
                }),
                Family::Hmac | Family::Rsa | Family::Ed25519 => None,
            },
            Signer::Ed25519(key) => Some(PublicParts::Ed25519(key.public_key().as_ref())),
        };
        VerifyingKey::from_parts(self.algorithm, &inner.ok_or(KeyError::Rejected)?)
    }

    /// The public half in parts, for export as a JWK.
    pub(super) fn with_public_parts<T>(
        &self,
        use_parts: impl FnOnce(PublicParts<'_>) -> T,
    ) -> Option<T> {
        match (&self.inner, self.algorithm.family()) {
            (Signer::Rsa(key), _) => {
                encoding::rsa_public_key(key.public_key().as_ref()).map(use_parts)
            }
            (Signer::Ec(key), Family::Ec(curve)) => Some(use_parts(PublicParts::Ec {
                curve,
                point: key.public_key().as_ref(),
            })),
            (Signer::Ed25519(key), _) => {
                Some(use_parts(PublicParts::Ed25519(key.public_key().as_ref())))
            }
            (Signer::Hmac(_) | Signer::Ec(_), _) => None,
        }
    }
}

fn sec1(algorithm: Algorithm, curve: Curve, der: &[u8]) -> Result<EcdsaKeyPair, KeyError> {
    EcdsaKeyPair::from_private_key_der(curve.signing(), der).map_err(|_| match sec1_family(der) {
        Some(found) if found != Family::Ec(curve) => KeyError::Mismatch {
            algorithm,
            needed: Family::Ec(curve),
            found,
        },
        Some(_) | None => KeyError::Rejected,
    })
}

/// The curve is optional inside SEC1, so it is found by trying.
fn sec1_family(der: &[u8]) -> Option<Family> {
    [Curve::P256, Curve::P384, Curve::P521]
        .into_iter()
        .find(|curve| EcdsaKeyPair::from_private_key_der(curve.signing(), der).is_ok())
        .map(Family::Ec)
}

/// Signing failed inside the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signing failed")]
pub struct SignError;

/// A key that verifies signatures of one algorithm.
pub struct VerifyingKey {
    algorithm: Algorithm,
    inner: Verifier,
    weakness: Option<Weakness>,
}

enum Verifier {
    Hmac(Box<hmac::Key>),
    Public(Box<ParsedPublicKey>),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// A shared secret for an HS* algorithm.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            algorithm,
            inner: Verifier::Hmac(hmac_key(algorithm, secret)?),
            weakness: secret_weakness(algorithm, secret),
        })
    }

    /// A public key as PEM: SPKI, PKCS#1 or an X.509 certificate.
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        if algorithm.family() == Family::Hmac {
            return Err(KeyError::TakesSecret(algorithm));
        }
        let section = encoding::first_key_section(pem).ok_or(KeyError::NotPem)?;
        let certified;
        let parts = match section.label {
            Label::PublicKey => encoding::subject_public_key_info(&section.der),
            Label::RsaPublicKey => encoding::rsa_public_key(&section.der),
            Label::Certificate => {
                certified = encoding::key_info_of_certificate(&section.der);
                certified
                    .as_deref()
                    .and_then(encoding::subject_public_key_info)
            }
            Label::Pkcs8PrivateKey
            | Label::RsaPrivateKey
            | Label::EcPrivateKey
            | Label::EncryptedPrivateKey => return Err(KeyError::PublicExpected),
        };
        Self::from_parts(algorithm, &parts.ok_or(KeyError::Rejected)?)
    }

    pub(super) fn from_parts(
        algorithm: Algorithm,
        parts: &PublicParts<'_>,
    ) -> Result<Self, KeyError> {
        let mut weakness = None;
        let key = match *parts {
            PublicParts::Rsa { n, e } => {
                check_family(algorithm, Family::Rsa)?;
                // DER integers may begin with a zero byte, and so do the `n` of some key sets.
                let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
                // An even exponent or 1 makes signatures that anyone can forge.
                if n.is_empty() || e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
                    return Err(KeyError::Rejected);
                }
                let bits =
                    n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
                if !(1024..=8192).contains(&bits) {
                    return Err(KeyError::RsaSize(bits));
                }
                let weak = bits < 2048;
                if weak {
                    weakness = Some(Weakness::ShortRsa { bits });
                }
                let parameters = algorithm
                    .rsa_verification(weak)
                    .ok_or(KeyError::RsaSize(bits))?;
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters)
            }
            PublicParts::Ec { curve, point } => {
                check_family(algorithm, Family::Ec(curve))?;
                if point.first() != Some(&4) || point.len() != 1 + 2 * curve.coordinate_bytes() {
                    return Err(KeyError::Rejected);
                }
                ParsedPublicKey::new(curve.verification(), point)
            }
            PublicParts::Ed25519(key) => {
                check_family(algorithm, Family::Ed25519)?;
                if key.len() != 32 {
                    return Err(KeyError::Rejected);
                }
                ParsedPublicKey::new(&ED25519, key)
            }
        };
        Ok(Self {
            algorithm,
            inner: Verifier::Public(Box::new(key.map_err(|_| KeyError::Rejected)?)),
            weakness,
        })
    }

    /// The algorithm that the key is bound to.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What to warn about.
    pub fn weakness(&self) -> Option<Weakness> {
        self.weakness
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.inner {
            Verifier::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
