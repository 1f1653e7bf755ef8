//! Connections, plain or with TLS, and their TLS settings.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme, StreamOwned,
};

use super::Mismatch;
use super::case::TlsOptions;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS, this side the client.
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// With TLS, this side the server.
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Client(tls) => &tls.sock,
            Self::Server(tls) => &tls.sock,
        }
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// The longest time to wait for a byte.
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.socket().set_read_timeout(patience)
    }

    /// Sends nothing more; what the peer sends can still be read.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => {}
            Self::Client(tls) => {
                tls.conn.send_close_notify();
                tls.flush()?;
            }
            Self::Server(tls) => {
                tls.conn.send_close_notify();
                tls.flush()?;
            }
        }
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(socket) => socket.read(into),
            Self::Client(tls) => tls.read(into),
            Self::Server(tls) => tls.read(into),
        };
        match read {
            // a peer that leaves without TLS's word of parting: the message's own length decides
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Client(tls) => tls.write(bytes),
            Self::Server(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Client(tls) => tls.flush(),
            Self::Server(tls) => tls.flush(),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(folder: &Path, name: &str) -> Result<Identity, Mismatch> {
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")))
        .map_err(|error| Mismatch::new(format!("{name}.key: {error}")))?;
    Ok((vec![certificate(folder, name)?], key))
}

/// The certificate in NAME.crt.
pub fn certificate(folder: &Path, name: &str) -> Result<CertificateDer<'static>, Mismatch> {
    CertificateDer::from_pem_file(folder.join(format!("{name}.crt")))
        .map_err(|error| Mismatch::new(format!("{name}.crt: {error}")))
}

fn roots(folder: &Path, name: &str) -> Result<Arc<RootCertStore>, Mismatch> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(folder, name)?)?;
    Ok(Arc::new(roots))
}

/// TLS of an origin which shows `cert` and, with `client_ca`, asks for the caller's certificate.
pub fn server_config(
    folder: &Path,
    cert: &str,
    client_ca: Option<&str>,
) -> Result<Arc<ServerConfig>, Mismatch> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots(folder, ca)?, provider())
                .build()
                .map_err(|error| Mismatch::new(error.to_string()))?,
        ),
    };
    let (chain, key) = identity(folder, cert)?;
    Ok(Arc::new(builder.with_single_cert(chain, key)?))
}

/// Begins TLS with the gateway.
pub fn connect_tls(
    socket: TcpStream,
    folder: &Path,
    options: &TlsOptions,
) -> Result<Stream, Mismatch> {
    let authority = match &options.ca {
        None => None,
        Some(ca) => Some(
            WebPkiServerVerifier::builder_with_provider(roots(folder, ca)?, provider())
                .build()
                .map_err(|error| Mismatch::new(error.to_string()))?,
        ),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName {
            authority,
            provider: provider(),
        }));
    let config = match &options.cert {
        None => builder.with_no_client_auth(),
        Some(cert) => {
            let (chain, key) = identity(folder, cert)?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    let connection = ClientConnection::new(Arc::new(config), name)?;
    Ok(Stream::Client(Box::new(StreamOwned::new(
        connection, socket,
    ))))
}

/// Takes a certificate whatever name it has: of the authority, where one is given.
#[derive(Debug)]
struct AnyName {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        match authority.verify_server_cert(end_entity, intermediates, name, stapled, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
