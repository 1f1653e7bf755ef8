//! `api`: endpoints that share a base path, access control and JSON errors.
//!
//! ```hcl
//! api {
//!   base_path = "/v1"
//!   endpoint "/status" {
//!     response { json_body = { ok = true } }
//!   }
//! }
//! ```

use super::Definitions;
use super::access::Control;
use super::cors::{self, Cors};
use super::endpoint::{self, Endpoint, Methods};
use super::error_file;
use super::error_handler::{self, Handlers, Place};
use super::modifiers::HeaderModifiers;
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::error::page::Page;
use crate::expr::Program;
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "api",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start("base_path", Kind::String, "Path in front of all endpoints."),
        AttributeSchema::start(
            "allowed_methods",
            Kind::Strings,
            "Default for its endpoints.",
        )
        .default("[\"*\"]"),
        AttributeSchema::start("error_file", Kind::Path, "Template of error pages."),
        AttributeSchema::start(
            "authorization_server",
            Kind::StringOrStrings,
            "Labels of authorization servers that are served beside it.",
        ),
        AttributeSchema::request(
            "required_permission",
            Kind::Any,
            "Default for its endpoints.",
        ),
    ],
    groups: &[
        schema::ACCESS_CONTROL,
        schema::RESPONSE_HEADERS,
        schema::LOG_FIELDS,
    ],
    blocks: &[
        Child::many(&endpoint::SCHEMA),
        Child::many(&error_handler::SCHEMA),
        Child::optional(&cors::SCHEMA),
    ],
    rules: &[],
    docs: "Endpoints that share a base path, access control and JSON errors.",
    example: r#"server {
  api {
    base_path = "/v1"
    endpoint "/status" {
      response { json_body = { ok = true } }
    }
  }
}
"#,
};

/// What is left of an api at run time besides its endpoints: the answer to unknown paths.
#[derive(Debug)]
pub struct Api {
    /// Its label.
    pub label: Option<Arc<str>>,
    /// All base paths joined.
    pub base_path: String,
    /// Access controls of server and api: they guard unknown paths, too.
    pub access: Vec<Arc<Control>>,
    /// Page of errors.
    pub page: Page,
    /// The `cors` in force.
    pub cors: Option<Arc<Cors>>,
    /// `custom_log_fields`, outermost first.
    pub log_fields: Vec<Arc<Program>>,
    /// Its endpoints.
    pub endpoints: Vec<Arc<Endpoint>>,
}

impl Api {
    /// Reads the block with its endpoints.
    pub fn read(
        reader: Reader<'_>,
        server: &endpoint::Surroundings,
        definitions: &Definitions<'_>,
    ) -> Self {
        let base = reader.string("base_path");
        super::server::check_base_path(reader, base.as_ref());
        let mut response_headers = vec![Arc::new(HeaderModifiers::response(reader))];
        response_headers.extend(server.response_headers.iter().cloned());
        let access = server.access.inside(reader, definitions);
        let log_fields = access.log_fields(reader, &server.access, &server.log_fields);
        let handlers = Handlers::read(reader, definitions, Place::Api, &[], &log_fields);
        let around = endpoint::Surroundings {
            api: reader.label().map(|label| label.text.as_str().into()),
            in_api: true,
            base_path: super::path::join(
                &server.base_path,
                base.as_ref().map_or("", |base| &base.value),
            ),
            access,
            allowed_methods: Methods::read(reader),
            required_permission: reader.program("required_permission").map(Arc::new),
            page: error_file::read(reader).unwrap_or(Page::Json),
            cors: Cors::inside(reader, server.cors.as_ref()),
            handlers: Some(Arc::new(handlers)),
            response_headers,
            log_fields,
            ..server.clone()
        };
        check_permissions(reader);
        let endpoints = reader
            .blocks("endpoint")
            .filter_map(|block| {
                let inner = Reader::new(reader.cx, block, &endpoint::SCHEMA);
                Endpoint::read(inner, &around, definitions).map(Arc::new)
            })
            .collect();
        Self {
            label: around.api.clone(),
            access: around.access.active(),
            page: around.page.clone(),
            cors: around.cors.clone(),
            log_fields: around.log_fields.clone(),
            base_path: around.base_path,
            endpoints,
        }
    }
}

/// Of several endpoints either none or all have a permission, or switch access control off: a
/// forgotten one would be open.
fn check_permissions(reader: Reader<'_>) {
    let endpoints: Vec<_> = reader.blocks("endpoint").collect();
    if reader.has("required_permission") || endpoints.len() < 2 {
        return;
    }
    let some = endpoints
        .iter()
        .any(|e| e.body.attribute("required_permission").is_some());
    let bare = endpoints.iter().find(|e| {
        e.body.attribute("required_permission").is_none()
            && e.body.attribute("disable_access_control").is_none()
    });
    if let Some(bare) = bare.filter(|_| some) {
        let label = reader.label().map_or("", |label| &label.text);
        let message = format!(
            "api `{label}`: some endpoints have a `required_permission`, endpoint `{}` has none",
            bare.label()
        );
        reader.cx.report(
            Diagnostic::error(code::CONFLICT, bare.header(), message)
                .hint("give all a `required_permission` (`\"\"` for none) or set it in the api"),
        );
    }
}
