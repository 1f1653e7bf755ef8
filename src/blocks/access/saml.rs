//! `saml`: the assertion consumer service of SAML 2.0 single sign-on.
//!
//! ```hcl
//! saml "sso" {
//!   idp_metadata_url = "https://idp.example/metadata"
//!   sp_entity_id     = "my-gateway"
//!   sp_acs_url       = "/acs"
//!   array_attributes = ["groups"]
//! }
//! ```

use crate::blocks::backend;
use crate::blocks::error_handler;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "saml",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start(
            "idp_metadata_file",
            Kind::Path,
            "File with the metadata of the identity provider.",
        ),
        AttributeSchema::start("idp_metadata_url", Kind::String, "URL of these metadata."),
        AttributeSchema::start(
            "metadata_ttl",
            Kind::Duration,
            "Lifetime of metadata from a URL.",
        )
        .default("1h"),
        AttributeSchema::start(
            "metadata_max_stale",
            Kind::Duration,
            "Further lifetime while they cannot be renewed.",
        )
        .default("1h"),
        AttributeSchema::start(
            "sp_entity_id",
            Kind::String,
            "The name of this service provider.",
        )
        .required(),
        AttributeSchema::start(
            "sp_acs_url",
            Kind::String,
            "URL of the assertion consumer service, or its path.",
        )
        .required(),
        AttributeSchema::start(
            "array_attributes",
            Kind::Strings,
            "Attributes that are always lists.",
        ),
        AttributeSchema::start(
            "backend",
            Kind::String,
            "Label of a defined backend, for `idp_metadata_url`.",
        )
        .refers_to("backend"),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[
        Rule::OneOf(&["idp_metadata_file", "idp_metadata_url"]),
        Rule::AnyOf(&["idp_metadata_file", "idp_metadata_url"]),
        Rule::OneOf(&["idp_metadata_file", "metadata_ttl"]),
        Rule::OneOf(&["idp_metadata_file", "metadata_max_stale"]),
        Rule::OneOf(&["idp_metadata_file", "backend"]),
        Rule::OneOf(&["backend", "backend {}"]),
    ],
    docs: "The assertion consumer service of SAML 2.0 single sign-on. The link to log in is made by `saml_sso_url()`.",
    example: r#"server {
  access_control = ["sso"]
  endpoint "/" {
    response {}
  }
}

definitions {
  saml "sso" {
    idp_metadata_url = "https://idp.example/metadata"
    sp_entity_id     = "my-gateway"
    sp_acs_url       = "/acs"
    array_attributes = ["groups"]
  }
}
"#,
};
