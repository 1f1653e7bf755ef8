//! What an X.509 certificate says about whom it was issued to (RFC 5280).

use aws_lc_rs::digest;
use std::fmt::Write as _;
use std::net::IpAddr;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The parts of a certificate that are told to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Subject, as RFC 4514 writes names.
    pub subject: String,
    /// Issuer, alike.
    pub issuer: String,
    /// Serial number in hexadecimal digits.
    pub serial_number: String,
    /// SHA-256 of the certificate in hexadecimal digits.
    pub fingerprint_sha256: String,
    /// Begin of validity (RFC 3339).
    pub not_before: String,
    /// End of validity (RFC 3339).
    pub not_after: String,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
    /// Mail addresses.
    pub email_addresses: Vec<String>,
    /// IP addresses.
    pub ip_addresses: Vec<String>,
}

impl CertificateFacts {
    /// Those of a certificate in DER; none if it cannot be read.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let signed = &certificate.tbs_certificate;
        let serial = hex(signed.serial_number.as_bytes());
        let mut facts = Self {
            subject: signed.subject.to_string(),
            issuer: signed.issuer.to_string(),
            serial_number: match serial.trim_start_matches('0') {
                "" => "0".to_owned(),
                digits => digits.to_owned(),
            },
            fingerprint_sha256: hex(digest::digest(&digest::SHA256, der).as_ref()),
            not_before: signed.validity.not_before.to_date_time().to_string(),
            not_after: signed.validity.not_after.to_date_time().to_string(),
            ..Self::default()
        };
        if let Ok(Some((_, SubjectAltName(names)))) = signed.get::<SubjectAltName>() {
            for name in names {
                facts.add(name);
            }
        }
        Some(facts)
    }

    fn add(&mut self, name: GeneralName) {
        match name {
            GeneralName::DnsName(text) => self.dns_names.push(text.to_string()),
            GeneralName::UniformResourceIdentifier(text) => self.uris.push(text.to_string()),
            GeneralName::Rfc822Name(text) => self.email_addresses.push(text.to_string()),
            GeneralName::IpAddress(bytes) => {
                let bytes = bytes.as_bytes();
                let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
                self.ip_addresses
                    .extend(address.ok().map(|address| address.to_string()));
            }
            _ => {}
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber};

    #[test]
    fn facts_of_a_certificate() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(0x0abc_def0_u64));
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2040, 12, 31);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example, Ltd");
        params.distinguished_name.push(DnType::CommonName, "client");
        params.subject_alt_names.extend([
            SanType::URI("spiffe://example/a".try_into().unwrap()),
            SanType::Rfc822Name("a@example.com".try_into().unwrap()),
            SanType::IpAddress("127.0.0.1".parse().unwrap()),
            SanType::IpAddress("::1".parse().unwrap()),
        ]);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let facts = CertificateFacts::of(certificate.der()).unwrap();
        assert_eq!(facts.subject, "CN=client,O=Example\\, Ltd");
        assert_eq!(facts.issuer, facts.subject);
        assert_eq!(facts.serial_number, "abcdef0");
        assert_eq!(facts.fingerprint_sha256.len(), 64);
        assert_eq!(facts.not_before, "2026-01-02T00:00:00Z");
        assert_eq!(facts.not_after, "2040-12-31T00:00:00Z");
        assert_eq!(facts.dns_names, ["a.example"]);
        assert_eq!(facts.uris, ["spiffe://example/a"]);
        assert_eq!(facts.email_addresses, ["a@example.com"]);
        assert_eq!(facts.ip_addresses, ["127.0.0.1", "::1"]);
        assert_eq!(CertificateFacts::of(b"nonsense"), None);
    }
}
