//! `beta_health`: asks an origin again and again whether it is well.
//!
//! ```hcl
//! beta_health {
//!   path              = "/health"
//!   interval          = "5s"
//!   failure_threshold = 3
//! }
//! ```

use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_health",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("interval", Kind::Duration, "Pause between probes.")
            .default("1s")
            .positive(),
        AttributeSchema::start(
            "timeout",
            Kind::Duration,
            "Limit of a probe, never over `interval`.",
        )
        .default("interval")
        .positive(),
        AttributeSchema::start(
            "failure_threshold",
            Kind::Number,
            "Failures in a row that make the backend unhealthy.",
        )
        .default("2"),
        AttributeSchema::start("path", Kind::String, "Path and query of the probe."),
        AttributeSchema::start(
            "expected_status",
            Kind::Numbers,
            "Statuses of a healthy origin.",
        )
        .default("[200, 204, 301]"),
        AttributeSchema::start(
            "expected_text",
            Kind::String,
            "Text that the body must hold.",
        ),
        AttributeSchema::start("headers", Kind::Object, "Header fields of the probe."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Asks an origin again and again whether it is well. Requests to an unhealthy one fail with `backend_unhealthy`.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
    beta_health {
      path              = "/health"
      interval          = "5s"
      failure_threshold = 3
    }
  }
}
"#,
};
