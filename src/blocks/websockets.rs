//! `websockets`: lets clients of a proxy change to the WebSocket protocol (RFC 6455).
//!
//! ```hcl
//! websockets {
//!   timeout = "1h"
//! }
//! ```
//!
//! `websockets = true` in the `proxy` does the same without any settings.

use super::backend::Timeout;
use super::modifiers::HeaderModifiers;
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::expr::{Program, Scope};
use std::time::Duration;

/// A connection without a byte in either direction ends after this time.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "websockets",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::request(
            "timeout",
            Kind::Duration,
            "Limit of the whole connection; none if not set.",
        ),
        AttributeSchema::request(
            "idle_timeout",
            Kind::Duration,
            "Limit of a pause in which nothing is sent in either direction; `0s` for none.",
        )
        .default("1h"),
    ],
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

/// What holds for the websockets of a proxy.
#[derive(Debug)]
pub struct Websockets {
    /// Modifiers of the handshake's request, after those of the proxy.
    pub request_headers: HeaderModifiers,
    /// Modifiers of the handshake's response, after those of the proxy.
    pub response_headers: HeaderModifiers,
    timeout: Timeout,
    idle_timeout: Timeout,
}

/// How long a websocket may last. Zero means without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// All in all.
    pub total: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Websockets {
    /// Reads attribute or block of a `proxy`.
    pub fn of(proxy: Reader<'_>) -> Option<Self> {
        let switched_on = proxy.boolean("websockets").unwrap_or(false);
        let Some(block) = proxy.inner("websockets") else {
            return switched_on.then(Self::plain);
        };
        if let Some(attribute) = proxy.attribute("websockets") {
            let message = "attribute and block `websockets` exclude one another";
            proxy.cx.report(
                Diagnostic::error(code::CONFLICT, attribute.name.span, message)
                    .related(block.header(), "the block"),
            );
        }
        let reader = Reader::new(proxy.cx, block, &SCHEMA);
        Some(Self {
            request_headers: HeaderModifiers::request(reader),
            response_headers: HeaderModifiers::response(reader),
            timeout: Timeout::read(reader, "timeout", Duration::ZERO),
            idle_timeout: Timeout::read(reader, "idle_timeout", IDLE_TIMEOUT),
        })
    }

    fn plain() -> Self {
        Self {
            request_headers: HeaderModifiers::default(),
            response_headers: HeaderModifiers::default(),
            timeout: Timeout::Fixed(Duration::ZERO),
            idle_timeout: Timeout::Fixed(IDLE_TIMEOUT),
        }
    }

    /// The expressions.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.request_headers
            .programs()
            .chain(self.response_headers.programs())
            .chain(self.timeout.program())
            .chain(self.idle_timeout.program())
    }

    /// The limits of a connection.
    pub fn lifetime(&self, scope: &dyn Scope) -> Lifetime {
        Lifetime {
            total: self.timeout.get(scope, "websockets"),
            idle: self.idle_timeout.get(scope, "websockets"),
        }
    }
}
