//! `beta_external_authz`: a service of its own decides about requests.
//!
//! ```hcl
//! beta_external_authz "service" {
//!   url                  = "http://localhost:8082/decide"
//!   permissions_property = "permissions"
//! }
//! ```

use crate::blocks::backend;
use crate::blocks::error_handler;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_external_authz",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start(
            "url",
            Kind::String,
            "Absolute URL, or a path at the backend.",
        ),
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend.")
            .refers_to("backend"),
        AttributeSchema::start(
            "include_tls",
            Kind::Bool,
            "Tell the service about the TLS connection, too.",
        )
        .default("false"),
        AttributeSchema::start(
            "permissions_property",
            Kind::String,
            "Property of the answer that grants permissions.",
        ),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[
        Rule::AnyOf(&["url", "backend", "backend {}"]),
        Rule::OneOf(&["backend", "backend {}"]),
    ],
    docs: "A service of its own decides about requests.",
    example: r#"server {
  access_control = ["service"]
  endpoint "/" {
    response {}
  }
}

definitions {
  beta_external_authz "service" {
    url                  = "http://localhost:8082/decide"
    permissions_property = "permissions"
  }
}
"#,
};
