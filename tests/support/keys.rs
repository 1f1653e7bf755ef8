//! Fresh keys, in the forms in which configurations and tokens need them.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{hmac, rsa};

use super::Mismatch;
use super::encoding::{base64, base64url, from_base64url, sha256};
use super::value::{Table, Value};

/// A key pair.
#[derive(Debug)]
pub enum Key {
    /// RSA.
    Rsa(rsa::KeyPair),
    /// An elliptic curve, with its name in JWKs.
    Ec(EcdsaKeyPair, &'static str),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// A fresh key of a kind such as `rsa2048` or `p256`.
    pub fn generate(kind: &str) -> Result<Self, Mismatch> {
        let rsa = |size| rsa::KeyPair::generate(size).map(Self::Rsa);
        let ec =
            |algorithm, curve| EcdsaKeyPair::generate(algorithm).map(|pair| Self::Ec(pair, curve));
        Ok(match kind {
            "rsa" | "rsa2048" => rsa(rsa::KeySize::Rsa2048)?,
            "rsa3072" => rsa(rsa::KeySize::Rsa3072)?,
            "rsa4096" => rsa(rsa::KeySize::Rsa4096)?,
            "p256" => ec(&sig::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")?,
            "p384" => ec(&sig::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")?,
            "p521" => ec(&sig::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521")?,
            "ed25519" => Self::Ed25519(Ed25519KeyPair::generate()?),
            other => return Err(Mismatch::new(format!("unknown kind of key {other:?}"))),
        })
    }

    /// The private key in PKCS#8.
    fn pkcs8(&self) -> Result<Vec<u8>, Mismatch> {
        Ok(match self {
            Self::Rsa(pair) => pair.as_der()?.as_ref().to_vec(),
            Self::Ec(pair, _) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
        })
    }

    /// The public key as X.509 names it.
    fn spki(&self) -> Result<Vec<u8>, Mismatch> {
        Ok(match self {
            Self::Rsa(pair) => pair.public_key().as_der()?.as_ref().to_vec(),
            Self::Ec(pair, _) => pair.public_key().as_der()?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_der()?.as_ref().to_vec(),
        })
    }

    /// The members of the public JWK that make the key, without `kid` and `use`.
    pub fn public_members(&self) -> Table {
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let number = |bytes: &[u8]| base64url(bytes);
                [
                    ("kty", "RSA".to_owned()),
                    (
                        "n",
                        number(public.modulus().big_endian_without_leading_zero()),
                    ),
                    (
                        "e",
                        number(public.exponent().big_endian_without_leading_zero()),
                    ),
                ]
                .into_iter()
                .collect()
            }
            Self::Ec(pair, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                [
                    ("kty", "EC".to_owned()),
                    ("crv", (*curve).to_owned()),
                    ("x", base64url(x)),
                    ("y", base64url(y)),
                ]
                .into_iter()
                .collect()
            }
            Self::Ed25519(pair) => [
                ("kty", "OKP".to_owned()),
                ("crv", "Ed25519".to_owned()),
                ("x", base64url(pair.public_key())),
            ]
            .into_iter()
            .collect(),
        }
    }

    /// The private number of an elliptic curve's key.
    pub fn private_number(&self) -> Result<String, Mismatch> {
        match self {
            Self::Ec(pair, _) => Ok(base64url(pair.private_key().as_be_bytes()?.as_ref())),
            Self::Rsa(_) | Self::Ed25519(_) => Err(Mismatch::new(
                "only the private key of an elliptic curve can be shown",
            )),
        }
    }

    /// The public JWK.
    pub fn jwk(&self, kid: &str) -> Table {
        let members = self.public_members();
        let mut jwk = Table::default();
        for (name, value) in members.iter() {
            jwk.set(name, value.clone());
            if name == "kty" {
                jwk.set("kid", kid);
            }
        }
        jwk.set("use", "sig");
        jwk
    }

    /// The JWK thumbprint of RFC 7638.
    pub fn thumbprint(&self) -> String {
        let members = self.public_members();
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by_key(|(name, _)| *name);
        let sorted: Table = sorted.into_iter().map(|(n, v)| (n, v.clone())).collect();
        base64url(sha256(Value::Table(sorted).to_json()))
    }

    /// The signature of a JWS.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, Mismatch> {
        let random = SystemRandom::new();
        match (self, algorithm) {
            (Self::Rsa(pair), _) => {
                let encoding: &'static dyn sig::RsaEncoding = match algorithm {
                    "RS256" => &sig::RSA_PKCS1_SHA256,
                    "RS384" => &sig::RSA_PKCS1_SHA384,
                    "RS512" => &sig::RSA_PKCS1_SHA512,
                    "PS256" => &sig::RSA_PSS_SHA256,
                    "PS384" => &sig::RSA_PSS_SHA384,
                    "PS512" => &sig::RSA_PSS_SHA512,
                    _ => return Err(unsuited("an RSA key", algorithm)),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)?;
                Ok(signature)
            }
            (Self::Ec(pair, "P-256"), "ES256")
            | (Self::Ec(pair, "P-384"), "ES384")
            | (Self::Ec(pair, "P-521"), "ES512") => {
                Ok(pair.sign(&random, message)?.as_ref().to_vec())
            }
            (Self::Ec(_, curve), _) => Err(unsuited(curve, algorithm)),
            (Self::Ed25519(pair), "EdDSA" | "Ed25519") => Ok(pair.sign(message).as_ref().to_vec()),
            (Self::Ed25519(_), _) => Err(unsuited("Ed25519", algorithm)),
        }
    }
}

fn unsuited(key: &str, algorithm: &str) -> Mismatch {
    Mismatch::new(format!("{key} does not sign {algorithm}"))
}

/// The authentication code of a JWS with a shared secret.
pub fn authenticate(algorithm: &str, secret: &[u8], message: &[u8]) -> Result<Vec<u8>, Mismatch> {
    let algorithm = match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        other => return Err(unsuited("a secret", other)),
    };
    Ok(hmac::sign(&hmac::Key::new(algorithm, secret), message)
        .as_ref()
        .to_vec())
}

/// Verifies the signature of a JWS with a public JWK.
pub fn verify(
    jwk: &Table,
    algorithm: &str,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Mismatch> {
    let member = |name: &str| {
        let text = jwk.get(name).and_then(Value::text);
        from_base64url(text.ok_or_else(|| Mismatch::new(format!("the key has no {name}")))?)
    };
    let point = || Ok::<_, Mismatch>([vec![4], member("x")?, member("y")?].concat());
    let plain = |algorithm: &'static dyn sig::VerificationAlgorithm, key: Vec<u8>| {
        sig::UnparsedPublicKey::new(algorithm, key).verify(message, signature)
    };
    let rsa = |parameters: &'static sig::RsaParameters| {
        let key = sig::RsaPublicKeyComponents {
            n: member("n")?,
            e: member("e")?,
        };
        Ok::<_, Mismatch>(key.verify(parameters, message, signature))
    };
    let verdict = match algorithm {
        "EdDSA" | "Ed25519" => plain(&sig::ED25519, member("x")?),
        "ES256" => plain(&sig::ECDSA_P256_SHA256_FIXED, point()?),
        "ES384" => plain(&sig::ECDSA_P384_SHA384_FIXED, point()?),
        "ES512" => plain(&sig::ECDSA_P521_SHA512_FIXED, point()?),
        "RS256" => rsa(&sig::RSA_PKCS1_2048_8192_SHA256)?,
        "RS384" => rsa(&sig::RSA_PKCS1_2048_8192_SHA384)?,
        "RS512" => rsa(&sig::RSA_PKCS1_2048_8192_SHA512)?,
        "PS256" => rsa(&sig::RSA_PSS_2048_8192_SHA256)?,
        "PS384" => rsa(&sig::RSA_PSS_2048_8192_SHA384)?,
        "PS512" => rsa(&sig::RSA_PSS_2048_8192_SHA512)?,
        other => return Err(Mismatch::new(format!("no way to verify {other}"))),
    };
    verdict.map_err(|_| Mismatch::new("the key does not verify the token's signature"))
}

/// Makes the keys and writes NAME.pem, NAME.pub.pem, NAME.jwk and NAME.jwks.json of each.
pub fn write(
    kinds: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<BTreeMap<String, Key>, Mismatch> {
    let mut keys = BTreeMap::new();
    for (name, kind) in kinds {
        let key = Key::generate(kind)?;
        let put = |ending: &str, text: String| {
            std::fs::write(folder.join(format!("{name}.{ending}")), text)
        };
        put("pem", pem("PRIVATE KEY", &key.pkcs8()?))?;
        put("pub.pem", pem("PUBLIC KEY", &key.spki()?))?;
        let jwk = Value::Table(key.jwk(name));
        put("jwk", jwk.to_string())?;
        put(
            "jwks.json",
            Value::Table([("keys", vec![jwk])].into_iter().collect()).to_string(),
        )?;
        keys.insert(name.clone(), key);
    }
    Ok(keys)
}

/// PEM of DER.
fn pem(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    let text = base64(der);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out + &format!("-----END {label}-----\n")
}
