//! The containers that keys come in: PEM text and the few DER structures inside.
//!
//! Only the outside of a structure is looked at here. What aws-lc-rs can parse itself, it parses.

use pkcs1::RsaPublicKey;
use pkcs8::PrivateKeyInfo;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

use super::algorithm::{Curve, Family};

/// One PEM section that may hold a key.
pub(super) struct Section {
    pub(super) label: Label,
    pub(super) der: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    PublicKey,
    RsaPublicKey,
    Certificate,
    Pkcs8PrivateKey,
    RsaPrivateKey,
    EcPrivateKey,
    EncryptedPrivateKey,
}

/// The first section of `text` that may hold a key; others (`EC PARAMETERS`) are passed over.
pub(super) fn first_key_section(text: &[u8]) -> Option<Section> {
    let text = std::str::from_utf8(text).ok()?;
    // An empty line ends the headers of an encrypted key; elsewhere it means nothing.
    let dense = if text.contains("Proc-Type:") {
        Zeroizing::new(text.to_owned())
    } else {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Zeroizing::new(lines.collect::<Vec<_>>().join("\n"))
    };
    let sections = pem::parse_many(dense.as_bytes()).ok()?;
    sections.into_iter().find_map(section)
}

fn section(pem: pem::Pem) -> Option<Section> {
    let label = match pem.tag() {
        _ if pem.headers().get("Proc-Type").is_some() => Label::EncryptedPrivateKey,
        "PUBLIC KEY" => Label::PublicKey,
        "RSA PUBLIC KEY" => Label::RsaPublicKey,
        "CERTIFICATE" => Label::Certificate,
        "PRIVATE KEY" => Label::Pkcs8PrivateKey,
        "RSA PRIVATE KEY" => Label::RsaPrivateKey,
        "EC PRIVATE KEY" => Label::EcPrivateKey,
        "ENCRYPTED PRIVATE KEY" => Label::EncryptedPrivateKey,
        _ => return None,
    };
    Some(Section {
        label,
        der: Zeroizing::new(pem.into_contents()),
    })
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// A public key as found inside `SubjectPublicKeyInfo`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicParts<'a> {
    Rsa { n: &'a [u8], e: &'a [u8] },
    Ec { curve: Curve, point: &'a [u8] },
    Ed25519(&'a [u8]),
}

/// `RSAPublicKey` of RFC 8017 A.1.1.
pub(super) fn rsa_public_key(der: &[u8]) -> Option<PublicParts<'_>> {
    let key = RsaPublicKey::from_der(der).ok()?;
    Some(PublicParts::Rsa {
        n: key.modulus.as_bytes(),
        e: key.public_exponent.as_bytes(),
    })
}

/// `SubjectPublicKeyInfo` of RFC 5280 4.1.
pub(super) fn subject_public_key_info(der: &[u8]) -> Option<PublicParts<'_>> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let key = info.subject_public_key.as_bytes()?;
    match family(&info.algorithm)? {
        Family::Rsa => rsa_public_key(key),
        Family::Ec(curve) => Some(PublicParts::Ec { curve, point: key }),
        Family::Ed25519 => Some(PublicParts::Ed25519(key)),
        Family::Hmac => None,
    }
}

fn family(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Family> {
    match algorithm.oid {
        RSA => Some(Family::Rsa),
        ED25519 => Some(Family::Ed25519),
        EC => match algorithm.parameters_oid().ok()? {
            P256 => Some(Family::Ec(Curve::P256)),
            P384 => Some(Family::Ec(Curve::P384)),
            P521 => Some(Family::Ec(Curve::P521)),
            _ => None,
        },
        _ => None,
    }
}

/// The `SubjectPublicKeyInfo` of an X.509 certificate. Nothing else of it counts: configuration
/// vouches for it, so neither its dates nor its issuer are looked at.
pub(super) fn key_info_of_certificate(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(der).ok()?;
    let info = certificate.tbs_certificate.subject_public_key_info;
    info.to_der().ok()
}

/// What kind of key a PKCS#8 document says it holds.
pub(super) fn pkcs8_family(der: &[u8]) -> Option<Family> {
    family(&PrivateKeyInfo::from_der(der).ok()?.algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::PublicKeyData as _;

    #[test]
    fn pem_noise_is_passed_over() {
        let text = "junk\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
                    -----BEGIN EC PRIVATE KEY-----\r\nAA\r\nEC\r\n-----END EC PRIVATE KEY-----\n";
        let section = first_key_section(text.as_bytes()).unwrap();
        assert_eq!(section.label, Label::EcPrivateKey);
        assert_eq!(&**section.der, &[0, 1, 2]);
        let indented = b"-----BEGIN PUBLIC KEY-----\n\n  AA\n\n  EC\n\n  -----END PUBLIC KEY-----";
        assert_eq!(&**first_key_section(indented).unwrap().der, &[0, 1, 2]);
        let one_line = b"-----BEGIN PUBLIC KEY----- AA EC -----END PUBLIC KEY-----";
        assert_eq!(&**first_key_section(one_line).unwrap().der, &[0, 1, 2]);
        let encrypted = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAEC\n-----END RSA PRIVATE KEY-----";
        let section = first_key_section(encrypted).unwrap();
        assert_eq!(section.label, Label::EncryptedPrivateKey);
        assert!(first_key_section(b"-----BEGIN PRIVATE KEY-----\nAAEC").is_none());
        assert!(first_key_section(b"secret").is_none());
    }

    #[test]
    fn structures_are_strict() {
        let key = rcgen::KeyPair::generate().unwrap();
        let info = key.subject_public_key_info();
        let info = info.as_slice();
        assert!(matches!(
            subject_public_key_info(info),
            Some(PublicParts::Ec {
                curve: Curve::P256,
                point: [4, ..]
            })
        ));
        let mut longer = info.to_vec();
        longer.push(0);
        assert_eq!(subject_public_key_info(&longer), None);
        assert_eq!(subject_public_key_info(&info[..info.len() - 1]), None);
        assert_eq!(subject_public_key_info(&[]), None);
        assert_eq!(key_info_of_certificate(info), None);
        assert_eq!(pkcs8_family(info), None);
    }
}
