//! `websockets`: lets clients of a proxy change to the WebSocket protocol (RFC 6455).
//!
//! ```hcl
//! websockets {
//!   timeout = "1h"
//! }
//! ```

use super::schema::{self, AttributeSchema, BlockSchema, Kind, Labels};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "websockets",
    labels: Labels::None,
    attributes: &[AttributeSchema::request(
        "timeout",
        Kind::Duration,
        "Limit of the whole connection.",
    )],
    groups: &[schema::REQUEST_HEADERS, schema::RESPONSE_HEADERS],
    blocks: &[],
    rules: &[],
    docs: "Lets clients of a proxy change to the WebSocket protocol (RFC 6455).",
    example: r#"server {
  endpoint "/ws" {
    proxy {
      backend {
        origin = "http://localhost:8081"
      }
      websockets {
        timeout = "1h"
      }
    }
  }
}
"#,
};
