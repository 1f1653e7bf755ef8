//! `claims`: what is added to access tokens.

use crate::blocks::reader::Reader;
use crate::diagnostic::Span;
use crate::expr::{Program, Value};
use crate::oauth::server::issue::RESERVED;
use hcl_edit::expr::{Expression, ObjectKey};

/// Compiles `claims` and refuses names that are not the configuration's to set (RFC 9068 §2.2).
pub(super) fn read(reader: Reader<'_>) -> Option<Program> {
    let attribute = reader.attribute("claims")?;
    let span = attribute.value_span;
    if let Expression::Object(fields) = &attribute.value {
        for (key, _) in fields {
            let name = match key {
                ObjectKey::Ident(name) => name.as_str(),
                ObjectKey::Expression(Expression::String(name)) => name.as_str(),
                ObjectKey::Expression(_) => continue,
            };
            refuse_reserved(reader, name, span);
        }
    }
    let program = reader.program("claims")?;
    if let Some(value) = program.constant()
        && value.as_fields().is_none()
        && !value.is_null()
    {
        let message = format!(
            "`claims` must be an object, found {}",
            Value::type_name(value)
        );
        reader.bad_value(span, message);
        return None;
    }
    Some(program)
}

fn refuse_reserved(reader: Reader<'_>, name: &str, span: Span) {
    if RESERVED.contains(&name) {
        reader.bad_value(
            span,
            format!("`claims` cannot set `{name}`: the server does"),
        );
    }
}
