//! `tls`: whom a backend trusts, and as whom it speaks.
//!
//! ```hcl
//! tls {
//!   server_ca_certificate_file = "ca.crt"
//! }
//! ```

use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels, Rule};

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
            "Certificate shown when the origin asks for one, PEM or base64 DER.",
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
        Rule::Needs(
            "client_certificate",
            &["client_private_key", "client_private_key_file"],
        ),
        Rule::Needs(
            "client_certificate_file",
            &["client_private_key", "client_private_key_file"],
        ),
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
