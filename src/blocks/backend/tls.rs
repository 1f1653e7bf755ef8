//! `tls`: whom a backend trusts, and as whom it speaks.
//!
//! ```hcl
//! tls {
//!   server_ca_certificate_file = "ca.crt"
//! }
//! ```
//!
//! The authorities are trusted besides the system's and those of the setting `ca_file`.

use crate::blocks::certificates::{private_key, sound_certificates};
use crate::blocks::reader::{Reader, Spanned};
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels, Rule};
use crate::diagnostic::{Diagnostic, code};
use crate::upstream::ClientCertificate;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "tls",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "server_ca_certificate",
            Kind::String,
            "Certificates of authorities trusted for this backend, PEM or base64 DER.",
        ),
        AttributeSchema::start(
            "server_ca_certificate_file",
            Kind::Path,
            "File with the same.",
        ),
        AttributeSchema::start(
            "client_certificate",
            Kind::String,
            "Certificate shown when the origin asks for one, PEM or base64 DER; PEM may hold its key, too.",
        ),
        AttributeSchema::start("client_certificate_file", Kind::Path, "File with the same."),
        AttributeSchema::start(
            "client_private_key",
            Kind::String,
            "Its key, PEM or base64 DER.",
        ),
        AttributeSchema::start("client_private_key_file", Kind::Path, "File with the same."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[
        Rule::OneOf(&["server_ca_certificate", "server_ca_certificate_file"]),
        Rule::OneOf(&["client_certificate", "client_certificate_file"]),
        Rule::OneOf(&["client_private_key", "client_private_key_file"]),
    ],
    docs: "Whom a backend trusts, and as whom it speaks.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "https://localhost:8081"
    tls {
      server_ca_certificate_file = "ca.crt"
    }
  }
}
"#,
};

/// What the block says.
#[derive(Debug, Default)]
pub(super) struct TlsBlock {
    /// Authorities trusted for this backend.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// What is shown to an origin that asks.
    pub(super) client_certificate: Option<ClientCertificate>,
}

impl TlsBlock {
    /// Reads the block of a backend; faults are findings.
    pub(super) fn read(backend: Reader<'_>, disabled_validation: bool) -> Self {
        let Some(block) = backend.inner(SCHEMA.name) else {
            return Self::default();
        };
        let reader = Reader::new(backend.cx, block, &SCHEMA);
        let authority = ["server_ca_certificate", "server_ca_certificate_file"]
            .into_iter()
            .find_map(|name| reader.attribute(name));
        if let Some(authority) = authority
            && disabled_validation
            && let Some(disabled) = backend.attribute("disable_certificate_validation")
        {
            let message = format!(
                "`disable_certificate_validation` cannot stand beside `{}`",
                authority.name.text
            );
            reader.cx.report(
                Diagnostic::error(code::CONFLICT, disabled.name.span, message)
                    .related(authority.name.span, "the authority"),
            );
        }
        let (inline, file) = ("server_ca_certificate", "server_ca_certificate_file");
        let authorities = reader.inline_or_file(inline, file);
        Self {
            authorities: authorities
                .and_then(|given| certificates(reader, &given, inline, file))
                .unwrap_or_default(),
            client_certificate: client_certificate(reader),
        }
    }
}

fn certificates(
    reader: Reader<'_>,
    given: &Spanned<Vec<u8>>,
    inline: &str,
    file: &str,
) -> Option<Vec<CertificateDer<'static>>> {
    match sound_certificates(&given.value) {
        Ok(list) => Some(list),
        Err(why) => {
            let name = if reader.has(inline) { inline } else { file };
            reader.bad_value(given.span, format!("`{name}`: {why}"));
            None
        }
    }
}

fn client_certificate(reader: Reader<'_>) -> Option<ClientCertificate> {
    let (inline, file) = ("client_certificate", "client_certificate_file");
    let (key_inline, key_file) = ("client_private_key", "client_private_key_file");
    let has_key = reader.has(key_inline) || reader.has(key_file);
    if !reader.has(inline) && !reader.has(file) {
        if has_key {
            missing(reader, "missing client certificate for the private key");
        }
        return None;
    }
    let given = reader.inline_or_file(inline, file);
    let key = if has_key {
        reader.inline_or_file(key_inline, key_file)
    } else {
        given.clone()
    };
    let (given, key) = (given?, key?);
    let chain = certificates(reader, &given, inline, file)?;
    let Some(private) = private_key(&key.value) else {
        if has_key {
            let message = "the client private key is neither PEM nor DER";
            reader.bad_value(key.span, message);
        } else {
            missing(reader, "missing client private key");
        }
        return None;
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider) {
        Ok(_) => Some(ClientCertificate {
            chain,
            key: private,
        }),
        Err(error) => {
            let message = match error {
                rustls::Error::InconsistentKeys(_) => {
                    "client certificate and private key do not belong together".to_owned()
                }
                error => format!("the client certificate cannot be used: {error}"),
            };
            reader.bad_value(given.span, message);
            None
        }
    }
}

fn missing(reader: Reader<'_>, message: &str) {
    reader
        .cx
        .report(Diagnostic::error(code::MISSING, reader.span(), message));
}
