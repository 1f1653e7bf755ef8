//! Certificates and keys as configurations give them: PEM, DER, or DER in base64.

use base64::Engine as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a text or file; empty if there is none. What is not PEM counts as one of DER.
pub(super) fn certificates(bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    if is_pem(bytes) {
        return CertificateDer::pem_slice_iter(bytes)
            .filter_map(Result::ok)
            .collect();
    }
    vec![CertificateDer::from(der(bytes))]
}

/// The first private key: PKCS#8, PKCS#1 or SEC1.
pub(super) fn private_key(bytes: &[u8]) -> Option<PrivateKeyDer<'static>> {
    if is_pem(bytes) {
        return PrivateKeyDer::from_pem_slice(bytes).ok();
    }
    PrivateKeyDer::try_from(der(bytes)).ok()
}

/// The same, each checked to be a certificate.
pub(super) fn sound_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list = certificates(bytes);
    if list.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    for certificate in &list {
        webpki::EndEntityCert::try_from(certificate)
            .map_err(|error| format!("it holds no usable certificate: {error}"))?;
    }
    Ok(list)
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn der(bytes: &[u8]) -> Vec<u8> {
    let compact: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    base64::engine::general_purpose::STANDARD
        .decode(compact)
        .unwrap_or_else(|_| bytes.to_vec())
}
