//! `proxy`: sends the client's request on to a backend.
//!
//! ```hcl
//! proxy {
//!   backend { origin = "http://localhost:8081" }
//! }
//! ```

use super::Definitions;
use super::backend::{self, Backend};
use super::modifiers::{HeaderModifiers, RequestModifiers};
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use super::websockets::{self, Websockets};
use crate::expr::Program;
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "proxy",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend.")
            .refers_to("backend"),
        AttributeSchema::start("websockets", Kind::Bool, "Pass websockets on."),
        AttributeSchema::start(
            "name",
            Kind::String,
            "The name of the request, in `definitions`.",
        ),
        AttributeSchema::request(
            "url",
            Kind::String,
            "Absolute URL, or a path at the backend.",
        ),
        AttributeSchema::request(
            "expected_status",
            Kind::Numbers,
            "Any other status is an `unexpected_status` error.",
        ),
    ],
    groups: &[
        schema::REQUEST_HEADERS,
        schema::RESPONSE_HEADERS,
        schema::QUERY_PARAMS,
        schema::FORM_PARAMS,
    ],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::optional(&websockets::SCHEMA),
    ],
    rules: &[],
    docs: "Sends the client's request on to a backend.",
    example: r#"server {
  endpoint "/**" {
    proxy {
      backend { origin = "http://localhost:8081" }
    }
  }
}
"#,
};

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Where to.
    pub backend: Arc<Backend>,
    /// `url`
    pub url: Option<Program>,
    /// `expected_status`
    pub expected_status: Option<Program>,
    /// Request modifiers.
    pub request_modifiers: RequestModifiers,
    /// Response modifiers.
    pub response_headers: HeaderModifiers,
    /// Whether and how clients may change to the WebSocket protocol.
    pub websockets: Option<Websockets>,
}

impl Proxy {
    /// Reads the block.
    pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let backend = Backend::of(reader, definitions);
        let url = reader.program("url");
        backend::warn_about_url(reader, url.as_ref(), backend.as_deref());
        Some(Self {
            url,
            expected_status: reader.program("expected_status"),
            request_modifiers: RequestModifiers::read(reader),
            response_headers: HeaderModifiers::response(reader),
            websockets: Websockets::of(reader),
            backend: backend?,
        })
    }

    /// The expressions of the block itself.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.url
            .iter()
            .chain(&self.expected_status)
            .chain(self.request_modifiers.programs())
            .chain(self.response_headers.programs())
            .chain(self.websockets.iter().flat_map(Websockets::programs))
    }
}
