//! `defaults`: default values, for now of environment variables.
//!
//! ```hcl
//! defaults {
//!   environment_variables = { ORIGIN = "http://localhost:8081" }
//! }
//! ```

use super::context::Context;
use super::reader::{Reader, check_body};
use super::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::hcl::Body;
use hcl_edit::expr::{Expression, ObjectKey};
use std::collections::BTreeMap;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "defaults",
    labels: Labels::None,
    attributes: &[AttributeSchema::start(
        "environment_variables",
        Kind::Object,
        "Values of environment variables that are not set.",
    )],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Default values of environment variables.",
    example: r#"server {
  endpoint "/**" {
    proxy {
      backend { origin = env.ORIGIN }
    }
  }
}

defaults {
  environment_variables = { ORIGIN = "http://localhost:8081" }
}
"#,
};

/// The variables of all `defaults` blocks; of a name given twice the later counts. `cx` knows the
/// real environment alone, so that one default cannot build on another.
pub fn environment_variables(cx: &Context<'_>, bodies: &[Body]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for body in bodies {
        let block = crate::hcl::Block {
            kind: crate::hcl::Name {
                text: SCHEMA.name.into(),
                span: first_span(body),
            },
            labels: Vec::new(),
            body: body.clone(),
        };
        check_body(cx, body, &SCHEMA, block.header());
        if let Some(attribute) = body.attribute("environment_variables") {
            if !keys_are_plain(&attribute.value) {
                let message =
                    "`environment_variables` takes an object with plain names: `{ NAME = … }`";
                cx.report(Diagnostic::error(
                    code::WRONG_TYPE,
                    attribute.value_span,
                    message,
                ));
                continue;
            }
            let reader = Reader::new(cx, &block, &SCHEMA);
            let Some(value) = reader.value("environment_variables") else {
                continue;
            };
            for (name, value) in value
                .value
                .as_fields()
                .into_iter()
                .flat_map(crate::expr::Fields::as_slice)
            {
                let name = name.to_str_lossy().into_owned();
                match value.borrowed().to_text() {
                    Some(text) => {
                        variables.insert(name, text.to_str_lossy().into_owned());
                    }
                    None => {
                        let message = format!(
                            "environment variable `{name}` needs a string, found {}",
                            value.type_name()
                        );
                        let span = attribute.value_span;
                        cx.report(Diagnostic::error(code::WRONG_TYPE, span, message));
                    }
                }
            }
        }
    }
    variables
}

fn first_span(body: &Body) -> crate::diagnostic::Span {
    let first = body.attributes.first().map(|attribute| attribute.name.span);
    let block = || body.blocks.first().map(crate::hcl::Block::header);
    first.or_else(block).unwrap_or(crate::diagnostic::Span::new(
        crate::diagnostic::SourceId(0),
        0..0,
    ))
}

fn keys_are_plain(expression: &Expression) -> bool {
    let Expression::Object(object) = expression else {
        return false;
    };
    object.iter().all(|(key, _)| {
        matches!(
            key,
            ObjectKey::Ident(_) | ObjectKey::Expression(Expression::String(_))
        )
    })
}
