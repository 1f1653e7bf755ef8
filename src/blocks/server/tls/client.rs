//! `client_certificate` in `tls`: clients must show a certificate (mTLS).
//!
//! ```hcl
//! tls {
//!   client_certificate {
//!     ca_certificate_file   = "clients-ca.crt"
//!     leaf_certificate_file = "one-client.crt"
//!   }
//! }
//! ```
//!
//! A block with an authority lets in whatever certificate it issued for client authentication; with
//! a leaf beside it only that leaf. A leaf alone is let in as it is. Of several blocks any may match.

use crate::blocks::certificates::certificates;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use std::sync::Arc;

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "client_certificate",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start(
            "ca_certificate",
            Kind::String,
            "Authority of clients, PEM or base64 DER.",
        ),
        AttributeSchema::start(
            "ca_certificate_file",
            Kind::Path,
            "File with the authority of clients.",
        ),
        AttributeSchema::start(
            "leaf_certificate",
            Kind::String,
            "The one certificate that is let in, PEM or base64 DER.",
        ),
        AttributeSchema::start(
            "leaf_certificate_file",
            Kind::Path,
            "File with the one certificate that is let in.",
        ),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Clients must show a certificate: of this authority, or this very one.",
    example: r#"server {
  hosts = ["localhost:8443"]
  tls {
    client_certificate {
      ca_certificate_file = "clients.crt"
    }
    server_certificate {
      public_key_file  = "server.crt"
      private_key_file = "server.key"
    }
  }
  endpoint "/" {
    response {}
  }
}
"#,
};

/// What one block lets in.
#[derive(Debug)]
struct Admission {
    /// Checks the chain, where there is an authority.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    leaf: Option<CertificateDer<'static>>,
}

/// Lets in what any of the blocks does.
#[derive(Debug)]
struct AnyOf {
    admissions: Vec<Admission>,
    /// Whether a client without a certificate is sent away.
    mandatory: bool,
    schemes: rustls::crypto::WebPkiSupportedAlgorithms,
}

/// The verifier of all blocks: inner `None` without any, outer `None` when one is faulty.
#[expect(clippy::option_option, reason = "a fault is not the same as nothing")]
pub(super) fn verifier(
    reader: Reader<'_>,
    mandatory: bool,
) -> Option<Option<Arc<dyn ClientCertVerifier>>> {
    let mut admissions = Vec::new();
    let mut sound = true;
    for block in reader.blocks("client_certificate") {
        match admission(Reader::new(reader.cx, block, &SCHEMA)) {
            Some(admission) => admissions.push(admission),
            None => sound = false,
        }
    }
    if !sound {
        return None;
    }
    if admissions.is_empty() {
        return Some(None);
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Some(Some(Arc::new(AnyOf {
        admissions,
        mandatory,
        schemes: provider.signature_verification_algorithms,
    })))
}

fn admission(reader: Reader<'_>) -> Option<Admission> {
    let read = |inline: &str, file: &str| {
        let given = reader.has(inline) || reader.has(file);
        if !given {
            return Some(Vec::new());
        }
        let list = certificates(&reader.inline_or_file(inline, file)?.value);
        if list.is_empty() {
            return super::refuse(reader, &format!("`{inline}` holds no certificate"));
        }
        Some(list)
    };
    let authorities = read("ca_certificate", "ca_certificate_file");
    let leaf = read("leaf_certificate", "leaf_certificate_file");
    let (authorities, leaf) = (authorities?, leaf?);
    if authorities.is_empty() && leaf.is_empty() {
        return super::refuse(
            reader,
            "it needs `ca_certificate`, `leaf_certificate`, or a file of either",
        );
    }
    let chain = if authorities.is_empty() {
        None
    } else {
        Some(chain_verifier(reader, authorities)?)
    };
    let leaf = leaf.into_iter().next();
    if let Some(Err(error)) = leaf.as_ref().map(webpki::EndEntityCert::try_from) {
        return super::refuse(reader, &format!("`leaf_certificate`: {error}"));
    }
    Some(Admission { chain, leaf })
}

fn chain_verifier(
    reader: Reader<'_>,
    authorities: Vec<CertificateDer<'static>>,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        if let Err(error) = roots.add(authority) {
            return super::refuse(reader, &format!("`ca_certificate`: {error}"));
        }
    }
    match WebPkiClientVerifier::builder(Arc::new(roots)).build() {
        Ok(verifier) => Some(verifier),
        Err(error) => super::refuse(reader, &format!("`ca_certificate`: {error}")),
    }
}

impl Admission {
    fn check(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.leaf.as_ref().is_some_and(|leaf| leaf != shown) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        match &self.chain {
            Some(chain) => chain
                .verify_client_cert(shown, intermediates, now)
                .map(|_| ()),
            None => Ok(()),
        }
    }
}

impl ClientCertVerifier for AnyOf {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// No hints: a leaf may be let in without any authority.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let mut failure = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for admission in &self.admissions {
            match admission.check(shown, intermediates, now) {
                Ok(()) => return Ok(ClientCertVerified::assertion()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };

    fn authority() -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        (certificate, Issuer::new(params, key))
    }

    fn leaf(
        issuer: &Issuer<'static, KeyPair>,
        usage: ExtendedKeyUsagePurpose,
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, issuer).unwrap().der().clone()
    }

    fn chain(authority: CertificateDer<'static>) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap()
    }

    #[test]
    fn authority_and_leaf_both_count() {
        let (certificate, issuer) = authority();
        let (_, stranger) = authority();
        let one = leaf(&issuer, ExtendedKeyUsagePurpose::ClientAuth);
        let two = leaf(&issuer, ExtendedKeyUsagePurpose::ClientAuth);
        let server = leaf(&issuer, ExtendedKeyUsagePurpose::ServerAuth);
        let foreign = leaf(&stranger, ExtendedKeyUsagePurpose::ClientAuth);
        let lets_in = |admission: &Admission, shown: &CertificateDer<'_>| {
            admission.check(shown, &[], UnixTime::now()).is_ok()
        };
        let any = Admission {
            chain: Some(chain(certificate.clone())),
            leaf: None,
        };
        assert!(lets_in(&any, &one) && lets_in(&any, &two));
        assert!(!lets_in(&any, &server) && !lets_in(&any, &foreign));
        let only_one = Admission {
            chain: Some(chain(certificate)),
            leaf: Some(one.clone()),
        };
        assert!(lets_in(&only_one, &one) && !lets_in(&only_one, &two));
        let pinned = Admission {
            chain: None,
            leaf: Some(foreign.clone()),
        };
        assert!(lets_in(&pinned, &foreign) && !lets_in(&pinned, &one));
    }
}
