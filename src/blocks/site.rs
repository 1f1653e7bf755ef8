//! What `files` and `spa` have in common: where they are and what surrounds their answers.

use super::access::Control;
use super::cors::Cors;
use super::definitions::Definitions;
use super::endpoint::Surroundings;
use super::modifiers::HeaderModifiers;
use super::reader::Reader;
use crate::diagnostic::Span;
use crate::error::page::Page;
use crate::expr::Program;
use std::sync::Arc;

/// The surroundings of a `files` or `spa` block.
#[derive(Debug)]
pub struct Site {
    /// All base paths joined.
    pub base_path: String,
    /// Access controls in order.
    pub access: Vec<Arc<Control>>,
    /// The `cors` in force.
    pub cors: Option<Arc<Cors>>,
    /// Page of errors.
    pub page: Page,
    /// Response header modifiers, innermost first.
    pub response_headers: Vec<Arc<HeaderModifiers>>,
    /// `custom_log_fields`, outermost first.
    pub log_fields: Vec<Arc<Program>>,
    /// Its place in the configuration.
    pub span: Span,
}

impl Site {
    /// Reads what both block types have.
    pub fn read(reader: Reader<'_>, around: &Surroundings, definitions: &Definitions<'_>) -> Self {
        let base = reader.string("base_path");
        super::server::check_base_path(reader, base.as_ref());
        let mut response_headers = vec![Arc::new(HeaderModifiers::response(reader))];
        response_headers.extend(around.response_headers.iter().cloned());
        let access = around.access.inside(reader, definitions);
        let own_page = (reader.schema().attribute("error_file").is_some())
            .then(|| super::error_file::read(reader))
            .flatten();
        Self {
            base_path: super::path::join(
                &around.base_path,
                base.as_ref().map_or("", |base| &base.value),
            ),
            log_fields: access.log_fields(reader, &around.access, &around.log_fields),
            access: access.active(),
            cors: Cors::inside(reader, around.cors.as_ref()),
            page: own_page.unwrap_or_else(|| around.page.clone()),
            response_headers,
            span: reader.span(),
        }
    }

    /// The pattern of everything below the base path.
    pub fn everything(&self) -> String {
        format!("{}/**", self.base_path.trim_end_matches('/'))
    }
}
