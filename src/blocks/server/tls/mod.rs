//! `tls` in a server, with `server_certificate` and `client_certificate` in it. Without a
//! certificate one is made for this machine's own names.
//!
//! ```hcl
//! tls {
//!   server_certificate {
//!     public_key_file  = "server.crt"
//!     private_key_file = "server.key"
//!   }
//! }
//! ```

use crate::blocks::certificates::{certificates, private_key};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::blocks::{Definitions, Fingerprint};
use crate::diagnostic::{Diagnostic, code};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ResolvesServerCertUsingSni};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod client;
pub(crate) mod dev;

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "tls",
    labels: Labels::None,
    attributes: &[],
    groups: &[],
    blocks: &[
        Child::many(&CERTIFICATE_SCHEMA),
        Child::many(&client::SCHEMA),
    ],
    rules: &[],
    docs: "TLS on all ports of the server.",
    example: r#"server {
  hosts = ["localhost:8443"]
  tls {
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

/// The table of `server_certificate`.
pub(super) static CERTIFICATE_SCHEMA: BlockSchema = BlockSchema {
    name: "server_certificate",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start(
            "public_key",
            Kind::String,
            "Certificate, PEM or base64 DER.",
        ),
        AttributeSchema::start("public_key_file", Kind::Path, "File with the certificate."),
        AttributeSchema::start("private_key", Kind::String, "Its key, PEM or base64 DER."),
        AttributeSchema::start("private_key_file", Kind::Path, "File with its key."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "A certificate with its key; of several the one for the requested name is shown.",
    example: r#"server {
  hosts = ["localhost:8443"]
  tls {
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

/// TLS of a server's ports.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Ready for connections.
    pub config: Arc<ServerConfig>,
    /// Whether clients need a certificate.
    pub verifies_clients: bool,
}

/// Shows the certificate for the requested name, else the first.
#[derive(Debug)]
struct Certificates {
    by_name: ResolvesServerCertUsingSni,
    first: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.by_name
            .resolve(hello)
            .or_else(|| Some(Arc::clone(&self.first)))
    }
}

impl ServerTls {
    /// Reads the block; faults are findings. Where an authorization server is mounted, a client may
    /// come without a certificate, and is refused by whatever else it asks for.
    pub fn read(
        reader: Reader<'_>,
        definitions: &Definitions<'_>,
        asks_only: bool,
    ) -> Option<Self> {
        let mut by_name = ResolvesServerCertUsingSni::new();
        let mut first = None;
        for block in reader.blocks("server_certificate") {
            let inner = Reader::new(reader.cx, block, &CERTIFICATE_SCHEMA);
            let Some((key, names)) = certificate(inner) else {
                continue;
            };
            for name in names {
                // A name that is no DNS name cannot be asked for.
                let _ = by_name.add(&name, key.clone());
            }
            first.get_or_insert_with(|| Arc::new(key));
        }
        if reader.inner("server_certificate").is_none() {
            first = own_certificate(reader).map(Arc::new);
        }
        let verifier = client::verifier(reader, !asks_only);
        let certificates = Certificates {
            by_name,
            first: first?,
        };
        let builder = ServerConfig::builder();
        let builder = match verifier? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let identity = Fingerprint::of("tls")
            .text(if asks_only { "asks" } else { "demands" })
            .block(reader.block, definitions);
        // Kept, it resumes the sessions that it began, and shows the same self-signed certificate.
        let config = reader.cx.keep(identity, || config);
        Some(Self {
            config,
            verifies_clients: reader.inner("client_certificate").is_some(),
        })
    }
}

/// A certificate for this machine's own names.
fn own_certificate(reader: Reader<'_>) -> Option<CertifiedKey> {
    const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
    match self_signed(NAMES.map(str::to_owned).to_vec()) {
        Ok(certificate) => Some(certificate),
        Err(error) => {
            let message = format!("`tls`: no self-signed certificate could be made: {error}");
            reader
                .cx
                .report(Diagnostic::error(code::FILE, reader.span(), message));
            None
        }
    }
}

/// A certificate of no authority, for trying things out.
fn self_signed(names: Vec<String>) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    const VALID: Duration = Duration::from_secs(12 * 60 * 60);
    /// For clients whose clock is a little behind.
    const LEEWAY: Duration = Duration::from_secs(60);
    let key = rcgen::KeyPair::generate()?;
    let name = names.first().cloned().unwrap_or_default();
    let mut params = rcgen::CertificateParams::new(names)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(LEEWAY);
    params.not_after = epoch + now + VALID;
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_supported_type(&key)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

fn certificate(reader: Reader<'_>) -> Option<(CertifiedKey, Vec<String>)> {
    let public = pair(reader, "public_key", "public_key_file");
    let private = pair(reader, "private_key", "private_key_file");
    let (public, private) = (public?, private?);
    let chain = certificates(&public);
    if chain.is_empty() {
        return refuse(reader, "the public key holds no certificate");
    }
    let Some(key) = private_key(&private) else {
        return refuse(reader, "the private key is neither PEM nor DER");
    };
    let Ok(key) = any_supported_type(&key) else {
        return refuse(reader, "the private key is of a kind that TLS cannot use");
    };
    let certified = CertifiedKey::new(chain, key);
    if certified.keys_match().is_err() {
        return refuse(reader, "certificate and private key do not belong together");
    }
    let names = certified.cert.first().map(dns_names).unwrap_or_default();
    Some((certified, names))
}

fn refuse<T>(reader: Reader<'_>, why: &str) -> Option<T> {
    let message = format!("`{}`: {why}", reader.schema().name);
    reader
        .cx
        .report(Diagnostic::error(code::BAD_VALUE, reader.span(), message));
    None
}

/// Exactly one of a `name`/`name_file` pair.
fn pair(reader: Reader<'_>, inline: &str, file: &str) -> Option<Vec<u8>> {
    if !reader.has(inline) && !reader.has(file) {
        return refuse(reader, &format!("it needs `{inline}` or `{file}`"));
    }
    reader.inline_or_file(inline, file).map(|bytes| bytes.value)
}

/// The names a certificate is for, as far as they can be asked for by SNI.
fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    webpki::EndEntityCert::try_from(certificate)
        .map(|cert| cert.valid_dns_names().map(str::to_owned).collect())
        .unwrap_or_default()
}
