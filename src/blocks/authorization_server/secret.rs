//! Secrets in attributes: from a file beside them, and a word where one stands in plain text.

use crate::blocks::reader::{Reader, Spanned};
use crate::diagnostic::{Diagnostic, Span, code};
use crate::hcl::Attribute;
use hcl_edit::expr::{Expression, ObjectKey};
use secrecy::SecretString;

/// The value of a `name`/`name_file` pair of attributes.
pub(super) fn read(reader: Reader<'_>, name: &str, file: &str) -> Option<Spanned<SecretString>> {
    warn_if_literal(reader, name, None);
    let bytes = reader.inline_or_file(name, file)?;
    let from_file = !reader.has(name);
    let text = String::from_utf8(bytes.value);
    let Ok(mut text) = text else {
        reader.bad_value(bytes.span, format!("`{name}` is no text"));
        return None;
    };
    if from_file && text.ends_with('\n') {
        // Editors end a file with a line feed, which is no part of the secret.
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    if text.is_empty() {
        reader.bad_value(bytes.span, format!("`{name}` is empty"));
        return None;
    }
    Some(Spanned {
        value: text.into(),
        span: bytes.span,
    })
}

/// Warns about a secret that stands in the file itself. The text of the warning shows no line of
/// the file, for that holds the secret.
pub(super) fn warn_if_literal(reader: Reader<'_>, name: &str, member: Option<&str>) {
    let Some(attribute) = reader.attribute(name) else {
        return;
    };
    if !is_literal(attribute, member) {
        return;
    }
    let place = reader.cx.sources.place(attribute.name.span);
    let block = match reader.label() {
        Some(label) => format!("`{}` `{}`", reader.schema().name, label.text),
        None => format!("`{}`", reader.schema().name),
    };
    let message = format!("{place}: `{name}` of {block} stands in the file in plain text");
    reader.cx.report(
        Diagnostic::warning(code::SUSPICIOUS, None::<Span>, message)
            .hint("take it from the environment (`env.NAME`) or from a file"),
    );
}

fn is_literal(attribute: &Attribute, member: Option<&str>) -> bool {
    holds_text(&attribute.value, member)
}

/// Whether an expression is or holds literal text; in objects only under `member`.
fn holds_text(expression: &Expression, member: Option<&str>) -> bool {
    match expression {
        Expression::String(text) => !text.as_str().is_empty(),
        Expression::HeredocTemplate(_) => true,
        Expression::Array(items) => items.iter().any(|item| holds_text(item, member)),
        Expression::Object(fields) => fields.iter().any(|(key, value)| {
            let named = match key {
                ObjectKey::Ident(name) => Some(name.as_str()) == member,
                ObjectKey::Expression(Expression::String(name)) => Some(name.as_str()) == member,
                ObjectKey::Expression(_) => false,
            };
            named && holds_text(value.expr(), member)
        }),
        _ => false,
    }
}
