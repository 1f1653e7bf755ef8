//! `beta_rate_limiter`: how many requests are let in for each key.
//!
//! ```hcl
//! beta_rate_limiter "limit" {
//!   period     = "1m"
//!   per_period = 60
//!   key        = request.remote_ip
//! }
//! ```

use crate::blocks::error_handler;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_rate_limiter",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("period", Kind::Duration, "The period.")
            .required()
            .positive(),
        AttributeSchema::start(
            "per_period",
            Kind::Number,
            "Requests for each key in each period.",
        )
        .required()
        .positive(),
        AttributeSchema::start(
            "period_window",
            Kind::String,
            "Whether any period counts or one after the other by the clock.",
        )
        .one_of(&["sliding", "fixed"])
        .default("sliding"),
        AttributeSchema::request("key", Kind::String, "What is counted by.").required(),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[Child::many(&error_handler::SCHEMA)],
    rules: &[],
    docs: "How many requests are let in for each key.",
    example: r#"server {
  access_control = ["limit"]
  endpoint "/" {
    response {}
  }
}

definitions {
  beta_rate_limiter "limit" {
    period     = "1m"
    per_period = 60
    key        = request.remote_ip
  }
}
"#,
};
