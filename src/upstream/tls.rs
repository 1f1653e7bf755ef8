//! TLS settings towards origins: TLS 1.2 and 1.3 with AEAD suites, which is all that rustls has.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// A certificate of the gateway's own for an origin that asks for one.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The chain, own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for ClientCertificate {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// What a backend's TLS is made of.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Authorities trusted besides the system's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Shown when an origin asks.
    pub client_certificate: Option<ClientCertificate>,
    /// Takes any certificate.
    pub disable_certificate_validation: bool,
    /// Offers `h2` before `http/1.1`.
    pub http2: bool,
}

/// Builds the configuration. Reads the system's store of authorities, so this is for load time.
pub fn client_config(settings: TlsSettings) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous();
    let builder = if settings.disable_certificate_validation {
        let algorithms = provider.signature_verification_algorithms;
        builder.with_custom_certificate_verifier(Arc::new(AcceptAny(algorithms)))
    } else {
        builder.with_custom_certificate_verifier(verifier(settings.extra_roots, provider)?)
    };
    let mut config = match settings.client_certificate {
        Some(ClientCertificate { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = if settings.http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(Arc::new(config))
}

fn verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let system = rustls_platform_verifier::Verifier::new_with_extra_roots(
        extra.iter().cloned(),
        Arc::clone(&provider),
    );
    match system {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) => {
            // Containers often have no store at all.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the system has no usable certificate store, using the built-in one"
            );
            let mut roots = RootCertStore::empty();
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            for certificate in extra {
                roots.add(certificate)?;
            }
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
                .map_err(|error| Error::General(error.to_string()))
        }
    }
}

/// Asks for possession of the key only, not whose it is.
struct AcceptAny(WebPkiSupportedAlgorithms);

impl fmt::Debug for AcceptAny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcceptAny")
    }
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
