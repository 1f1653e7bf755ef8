//! The containers that keys come in: PEM text and the few DER structures inside.
//!
//! Only the outside of a structure is walked here, strictly (definite, minimal lengths; nothing
//! after the end). What aws-lc-rs can parse itself, it parses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
    let mut rest = std::str::from_utf8(text).ok()?;
    loop {
        let begin = rest.find("-----BEGIN ")? + "-----BEGIN ".len();
        let label_end = begin + rest[begin..].find("-----")?;
        let name = &rest[begin..label_end];
        let body_start = label_end + "-----".len();
        let end_line = format!("-----END {name}-----");
        let body_end = body_start + rest[body_start..].find(&end_line)?;
        let body = &rest[body_start..body_end];
        rest = &rest[body_end + end_line.len()..];

        let label = match name {
            "PUBLIC KEY" => Label::PublicKey,
            "RSA PUBLIC KEY" => Label::RsaPublicKey,
            "CERTIFICATE" => Label::Certificate,
            "PRIVATE KEY" => Label::Pkcs8PrivateKey,
            "RSA PRIVATE KEY" => Label::RsaPrivateKey,
            "EC PRIVATE KEY" => Label::EcPrivateKey,
            "ENCRYPTED PRIVATE KEY" => Label::EncryptedPrivateKey,
            _ => continue,
        };
        if label == Label::EncryptedPrivateKey || body.contains("Proc-Type:") {
            return Some(Section {
                label: Label::EncryptedPrivateKey,
                der: Zeroizing::default(),
            });
        }
        let compact: Zeroizing<Vec<u8>> = Zeroizing::new(
            body.bytes()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect(),
        );
        let der = STANDARD.decode(&*compact).ok()?;
        return Some(Section {
            label,
            der: Zeroizing::new(der),
        });
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (length >= 0x80).then_some((usize::from(length), rest))?
            }
            0x82 => {
                let (bytes, rest) = rest.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_be_bytes(*bytes));
                (length > 0xff).then_some((length, rest))?
            }
            // No key or certificate that is worth its name reaches 64 KiB.
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// A public key as found inside `SubjectPublicKeyInfo`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicParts<'a> {
    Rsa { n: &'a [u8], e: &'a [u8] },
    Ec { curve: Curve, point: &'a [u8] },
    Ed25519(&'a [u8]),
}

/// `RSAPublicKey` of RFC 8017 A.1.1.
pub(super) fn rsa_public_key(der: &[u8]) -> Option<PublicParts<'_>> {
    let mut outer = Der(der);
    let mut fields = Der(outer.expect(SEQUENCE)?);
    outer.end()?;
    let n = fields.expect(INTEGER)?;
    let e = fields.expect(INTEGER)?;
    fields.end()?;
    Some(PublicParts::Rsa { n, e })
}

/// `SubjectPublicKeyInfo` of RFC 5280 4.1.
pub(super) fn subject_public_key_info(der: &[u8]) -> Option<PublicParts<'_>> {
    let mut outer = Der(der);
    let content = outer.expect(SEQUENCE)?;
    outer.end()?;
    spki_content(content)
}

fn spki_content(content: &[u8]) -> Option<PublicParts<'_>> {
    let mut fields = Der(content);
    let family = algorithm_identifier(fields.expect(SEQUENCE)?)?;
    let (&unused_bits, key) = fields.expect(BIT_STRING)?.split_first()?;
    fields.end()?;
    if unused_bits != 0 {
        return None;
    }
    match family {
        Family::Rsa => rsa_public_key(key),
        Family::Ec(curve) => Some(PublicParts::Ec { curve, point: key }),
        Family::Ed25519 => Some(PublicParts::Ed25519(key)),
        Family::Hmac => None,
    }
}

fn algorithm_identifier(content: &[u8]) -> Option<Family> {
    let mut fields = Der(content);
    match fields.expect(OBJECT_ID)? {
        OID_RSA => Some(Family::Rsa),
        OID_ED25519 => Some(Family::Ed25519),
        OID_EC => match fields.expect(OBJECT_ID)? {
            OID_P256 => Some(Family::Ec(Curve::P256)),
            OID_P384 => Some(Family::Ec(Curve::P384)),
            OID_P521 => Some(Family::Ec(Curve::P521)),
            _ => None,
        },
        _ => None,
    }
}

/// The public key of an X.509 certificate. Nothing else of it counts: configuration vouches for it,
/// so neither its dates nor its issuer are looked at.
pub(super) fn certificate(der: &[u8]) -> Option<PublicParts<'_>> {
    let mut outer = Der(der);
    let mut signed = Der(outer.expect(SEQUENCE)?);
    outer.end()?;
    let mut fields = Der(signed.expect(SEQUENCE)?);
    if fields.peek() == Some(CONTEXT_0) {
        fields.any()?;
    }
    fields.expect(INTEGER)?;
    for _signature_issuer_validity_subject in 0..4 {
        fields.expect(SEQUENCE)?;
    }
    spki_content(fields.expect(SEQUENCE)?)
}

/// What kind of key a PKCS#8 document says it holds.
pub(super) fn pkcs8_family(der: &[u8]) -> Option<Family> {
    let mut outer = Der(der);
    let mut fields = Der(outer.expect(SEQUENCE)?);
    fields.expect(INTEGER)?;
    algorithm_identifier(fields.expect(SEQUENCE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_and_complete() {
        assert!(Der(&[0x30, 0x81, 0x05, 1, 2, 3, 4, 5]).any().is_none());
        assert!(Der(&[0x30, 0x80, 0, 0]).any().is_none());
        assert!(Der(&[0x30, 0x05, 1]).any().is_none());
        assert!(Der(&[0x30]).any().is_none());
        assert!(Der(&[]).any().is_none());
    }

    #[test]
    fn pem_noise_is_passed_over() {
        let text = "junk\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
                    -----BEGIN EC PRIVATE KEY-----\r\nAA\r\nEC\r\n-----END EC PRIVATE KEY-----\n";
        let section = first_key_section(text.as_bytes()).unwrap();
        assert_eq!(section.label, Label::EcPrivateKey);
        assert_eq!(&**section.der, &[0, 1, 2]);
        assert!(first_key_section(b"-----BEGIN PRIVATE KEY-----\nAAEC").is_none());
        assert!(first_key_section(b"secret").is_none());
    }
}
