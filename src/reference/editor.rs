//! The language as JSON, for editors.

use super::blocks::{about, slug};
use super::expressions::described_functions;
use crate::blocks::all;
use crate::blocks::schema::{BlockSchema, Labels, Occurs, When};
use crate::expr::variable::DESCRIBED;
use serde_json::{Map, Value, json};

/// The language as JSON: block types by name, functions and variables. `file` is the top of a
/// file; blocks name the block types inside them by these names.
pub fn editor_schema() -> Value {
    let blocks: Map<String, Value> = all().into_iter().map(|s| (slug(s), block(s))).collect();
    let functions: Vec<Value> = described_functions()
        .into_iter()
        .map(|(signature, docs)| {
            let name = signature.split('(').next().unwrap_or_default();
            json!({ "name": name, "signature": signature, "docs": docs })
        })
        .collect();
    let variables: Vec<Value> = DESCRIBED
        .iter()
        .map(|v| json!({ "path": v.path, "type": v.kind, "docs": v.docs }))
        .collect();
    json!({
        "version": crate::VERSION,
        "blocks": blocks,
        "functions": functions,
        "variables": variables,
    })
}

fn block(schema: &'static BlockSchema) -> Value {
    let labels = match schema.labels {
        Labels::None => json!({ "min": 0, "max": 0 }),
        Labels::Optional => json!({ "min": 0, "max": 1 }),
        Labels::Required => json!({ "min": 1, "max": 1 }),
        Labels::Any => json!({ "min": 0 }),
    };
    let attributes: Map<String, Value> = schema
        .attributes()
        .map(|attribute| {
            let value = json!({
                "type": attribute.kind.as_str(),
                "required": attribute.required,
                "default": (!attribute.default.is_empty()).then_some(attribute.default),
                "values": attribute.one_of,
                "evaluated": match attribute.when {
                    When::Start => "start",
                    When::Request => "request",
                },
                "refers_to": attribute.refers_to,
                "available": !attribute.unavailable,
                "docs": about(attribute),
            });
            (attribute.name.to_owned(), value)
        })
        .collect();
    let blocks: Map<String, Value> = schema
        .blocks
        .iter()
        .map(|child| {
            let value = json!({
                "block": slug(child.schema()),
                "many": child.occurs() == Occurs::Many,
                "available": !child.is_unavailable(),
            });
            (child.name().to_owned(), value)
        })
        .collect();
    json!({
        "name": schema.name,
        "labels": labels,
        "attributes": attributes,
        "blocks": blocks,
        "docs": schema.docs,
        "example": schema.example,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn inner_blocks_are_in_the_schema() {
        let schema = super::editor_schema();
        let blocks = schema["blocks"].as_object().unwrap();
        for block in blocks.values() {
            for inner in block["blocks"].as_object().unwrap().values() {
                if let Some(name) = inner["block"].as_str() {
                    assert!(blocks.contains_key(name), "{name}");
                }
            }
        }
        assert_eq!(schema["blocks"]["backend-tls"]["name"], "tls");
        assert_eq!(
            schema["blocks"]["backend"]["attributes"]["timeout"]["default"],
            "300s"
        );
    }
}
