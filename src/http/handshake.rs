//! What the TLS handshake of a client's connection settled.

use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConnection};

/// The facts of a handshake that access controls may ask about.
#[derive(Debug)]
pub struct Handshake {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// The cipher suite by its registered name.
    pub cipher_suite: String,
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// The certificate that the client showed.
    pub client_certificate: Option<CertificateDer<'static>>,
}

impl Handshake {
    /// Those of a connection whose handshake is over.
    pub(super) fn of(connection: &ServerConnection) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS 1.3",
        };
        let suite = connection.negotiated_cipher_suite();
        let suite = suite.and_then(|suite| suite.suite().as_str());
        Self {
            version,
            // rustls names those of TLS 1.3 in its own way.
            cipher_suite: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
            server_name: connection.server_name().map(str::to_owned),
            client_certificate: connection
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|first| first.clone().into_owned()),
        }
    }
}
