//! `job`: requests sent again and again, without a client.
//!
//! ```hcl
//! job "ping" {
//!   interval = "1m"
//!   request {
//!     url = "http://localhost:8081/ping"
//!   }
//! }
//! ```

use super::request;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "job",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("interval", Kind::Duration, "Time from one run to the next.")
            .required()
            .positive(),
        AttributeSchema::start(
            "startup_delay",
            Kind::Duration,
            "Time before the first run.",
        )
        .default("0s"),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[Child::many(&request::SCHEMA)],
    rules: &[Rule::AnyOf(&["request {}"])],
    docs: "Requests sent again and again, without a client.",
    example: r#"server {
  endpoint "/" {
    response {}
  }
}

definitions {
  job "ping" {
    interval = "1m"
    request {
      url = "http://localhost:8081/ping"
    }
  }
}
"#,
};
