//! `openapi`: checks requests and responses against an OpenAPI document.
//!
//! ```hcl
//! openapi {
//!   file                       = "api.yaml"
//!   ignore_response_violations = true
//! }
//! ```

use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "openapi",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("file", Kind::Path, "The document.").required(),
        AttributeSchema::start(
            "ignore_request_violations",
            Kind::Bool,
            "Log faults of requests and go on.",
        )
        .default("false"),
        AttributeSchema::start(
            "ignore_response_violations",
            Kind::Bool,
            "Log faults of responses and go on.",
        )
        .default("false"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Checks requests and responses against an OpenAPI document.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
    openapi {
      file                       = "api.yaml"
      ignore_response_violations = true
    }
  }
}
"#,
};
