//! `openapi`: checks requests and responses against an OpenAPI document.
//!
//! ```hcl
//! openapi {
//!   file                       = "api.yaml"
//!   ignore_response_violations = true
//! }
//! ```

use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::openapi::OpenApi;

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

/// A backend's document, and what a violation of it leads to.
#[derive(Debug)]
pub struct Checks {
    /// The document.
    pub document: OpenApi,
    /// Requests that violate it are sent.
    pub ignore_request_violations: bool,
    /// Responses that violate it are handed on.
    pub ignore_response_violations: bool,
}

impl Checks {
    /// Reads the block of a `backend`.
    pub(super) fn of(backend: Reader<'_>) -> Option<Self> {
        let reader = Reader::new(backend.cx, backend.inner("openapi")?, &SCHEMA);
        let path = reader.path("file")?;
        let span = path.span;
        let main = path.value.clone();
        let mut unreadable = false;
        let read = OpenApi::load(&main, &mut |file| {
            if *file == main {
                let bytes = reader.cx.read_file("file", &path);
                unreadable |= bytes.is_none();
                return bytes.ok_or_else(String::new);
            }
            reader.cx.watch(file);
            std::fs::read(file).map_err(|error| error.to_string())
        });
        let document = match read {
            Ok(document) => document,
            Err(fault) => {
                if !unreadable {
                    let shown = main.display();
                    let what = if fault.place == shown.to_string() {
                        fault.why
                    } else {
                        fault.to_string()
                    };
                    let message = format!("`file`: OpenAPI document `{shown}`: {what}");
                    let finding = Diagnostic::error(code::FILE, span, message);
                    reader.cx.report(finding);
                }
                return None;
            }
        };
        Some(Self {
            document,
            ignore_request_violations: reader.boolean("ignore_request_violations").unwrap_or(false),
            ignore_response_violations: reader
                .boolean("ignore_response_violations")
                .unwrap_or(false),
        })
    }
}
