//! Client certificates as credentials (RFC 8705 §2).

use super::client::{CertificateRule, Client, sha256};
use crate::crypto::constant_time;
use rustls_pki_types::{CertificateDer, ServerName};

/// Whether a certificate, which the listener has verified, is the client's.
pub(super) fn fits(client: &Client, der: &[u8]) -> bool {
    if let Some(rule) = &client.certificate {
        return follows(rule, der);
    }
    let shown = sha256(der);
    client
        .certificates
        .iter()
        .any(|known| constant_time::equal(known, &shown))
}

fn follows(rule: &CertificateRule, der: &[u8]) -> bool {
    let der = CertificateDer::from(der);
    let Ok(certificate) = webpki::EndEntityCert::try_from(&der) else {
        return false;
    };
    let is_for = |name: &str| {
        ServerName::try_from(name)
            .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    };
    match rule {
        CertificateRule::Dns(name) => is_for(name),
        CertificateRule::Ip(address) => is_for(&address.to_string()),
        CertificateRule::Uri(wanted) => certificate.valid_uri_names().any(|name| name == wanted),
        CertificateRule::SubjectDn(_) | CertificateRule::Email(_) => false,
    }
}
