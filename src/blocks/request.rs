//! `request`: a request of the gateway's own; nothing of the client's goes along.
//!
//! ```hcl
//! request "user" {
//!   url       = "http://localhost:8081/users/1"
//!   json_body = { name = "x" }
//! }
//! ```

use super::Definitions;
use super::backend::{self, Backend};
use super::modifiers::{HeaderModifiers, ParamModifiers};
use super::reader::Reader;
use super::response::Content;
use super::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::expr::Program;
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "request",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend.")
            .refers_to("backend"),
        AttributeSchema::request(
            "url",
            Kind::String,
            "Absolute URL, or a path at the backend.",
        ),
        AttributeSchema::request("method", Kind::String, "The method.").default("GET"),
        AttributeSchema::request("headers", Kind::Object, "Header fields."),
        AttributeSchema::request("query_params", Kind::Object, "Query parameters."),
        AttributeSchema::request("body", Kind::String, "The body as `text/plain`."),
        AttributeSchema::request("form_body", Kind::Object, "The body as form."),
        AttributeSchema::request("json_body", Kind::Any, "The body as JSON."),
        AttributeSchema::request(
            "expected_status",
            Kind::Numbers,
            "Any other status is an `unexpected_status` error.",
        ),
    ],
    groups: &[],
    blocks: &[Child::optional(&backend::SCHEMA)],
    rules: &[],
    docs: "A request of the gateway's own.",
    example: r#"server {
  endpoint "/" {
    request {
      url       = "http://localhost:8081/users/1"
      json_body = { name = "x" }
    }
  }
}
"#,
};

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Where to.
    pub backend: Arc<Backend>,
    /// `url`
    pub url: Option<Program>,
    /// `method`
    pub method: Option<Program>,
    /// `headers`
    pub headers: HeaderModifiers,
    /// `query_params`
    pub query: ParamModifiers,
    /// `body`, `form_body` or `json_body`
    pub body: Content,
    /// `expected_status`
    pub expected_status: Option<Program>,
}

impl Request {
    /// Reads the block.
    pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let backend = Backend::of(reader, definitions);
        let url = reader.program("url");
        backend::warn_about_url(reader, url.as_ref(), backend.as_deref());
        Some(Self {
            url,
            method: reader.program("method"),
            headers: HeaderModifiers::set_only(reader, "headers"),
            query: ParamModifiers::set_only(reader, "query_params"),
            body: Content::read(reader, &["body", "form_body", "json_body"]),
            expected_status: reader.program("expected_status"),
            backend: backend?,
        })
    }

    /// The expressions of the block itself.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.url
            .iter()
            .chain(&self.method)
            .chain(self.headers.programs())
            .chain(self.query.programs())
            .chain(self.body.program())
            .chain(&self.expected_status)
    }
}
