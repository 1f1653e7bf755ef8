//! `error_file`: the attribute that gives a place error pages of its own.

use super::reader::Reader;
use crate::diagnostic::{Diagnostic, code};
use crate::error::page::Page;
use crate::error::template::{Media, Template};
use std::sync::Arc;

/// Reads the attribute; an unreadable or malformed template is a finding.
pub fn read(reader: Reader<'_>) -> Option<Page> {
    let path = reader.path("error_file")?;
    let bytes = reader.cx.read_file("error_file", &path)?;
    let shown = path.value.display();
    let refuse = |why: String| {
        let message = format!("`error_file`: template `{shown}`: {why}");
        reader
            .cx
            .report(Diagnostic::error(code::FILE, path.span, message));
    };
    let is_json = path
        .value
        .extension()
        .is_some_and(|ending| ending == "json");
    let media = if is_json { Media::Json } else { Media::Html };
    let Ok(text) = String::from_utf8(bytes) else {
        refuse("it is no UTF-8 text".to_owned());
        return None;
    };
    match Template::parse(&text, media) {
        Ok(template) => Some(Page::Template(Arc::new(template))),
        Err(fault) => {
            refuse(fault.to_string());
            None
        }
    }
}
