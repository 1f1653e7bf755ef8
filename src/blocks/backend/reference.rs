//! How a block names its backend: by label, by label with refinements, anonymous, or not at all.

use super::{Backend, Instance, SCHEMA, SHARED_ATTRIBUTES, anonymous_label};
use crate::blocks::definitions::Definitions;
use crate::blocks::pending;
use crate::blocks::reader::{Reader, Spanned};
use crate::diagnostic::{Diagnostic, code};
use crate::hcl::Block;
use std::sync::Arc;

/// The backend of the block under `reader`.
pub(super) fn resolve(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Arc<Backend>> {
    let block = reader.inner("backend");
    if let (Some(attribute), Some(block)) = (reader.attribute("backend"), block) {
        let message = "multiple definitions of backend: there is an attribute and a block";
        reader.cx.report(
            Diagnostic::error(code::CONFLICT, block.header(), message)
                .related(attribute.name.span, "the attribute"),
        );
        return None;
    }
    if reader.has("backend") {
        return definitions.backend(&reader.string("backend")?);
    }
    match block {
        None => {
            let label = anonymous_label(reader, "_url");
            let instance = Arc::new(Instance::plain(reader, &label, definitions));
            let empty = Block {
                kind: reader.block.kind.clone(),
                labels: Vec::new(),
                body: crate::hcl::Body::default(),
            };
            let inner = Reader::new(reader.cx, &empty, &SCHEMA);
            Some(Arc::new(Backend::read(inner, label, false, instance)))
        }
        Some(block) if block.labels.is_empty() => {
            let inner = Reader::new(reader.cx, block, &SCHEMA);
            pending::check_anonymous(reader.cx, &block.body);
            Backend::anonymous(inner, definitions).map(Arc::new)
        }
        Some(block) => refine(reader, block, definitions).map(Arc::new),
    }
}

/// `backend "x" { … }`: the definition's block with these attributes over its own.
fn refine(reader: Reader<'_>, block: &Block, definitions: &Definitions<'_>) -> Option<Backend> {
    let label = block.labels.first()?;
    let defined = definitions.backend(&Spanned {
        value: label.text.clone(),
        span: label.span,
    })?;
    let definition = definitions.backend_block(&label.text)?;
    // Reading it alone finds unknown names at their own place.
    Reader::new(reader.cx, block, &SCHEMA);
    for inner in &block.body.blocks {
        let message = format!(
            "a reference to backend `{}` cannot hold blocks, found `{}`",
            label.text, inner.kind.text
        );
        reader
            .cx
            .report(Diagnostic::error(code::CONFLICT, inner.header(), message));
    }
    for attribute in &block.body.attributes {
        let name = attribute.name.text.as_str();
        let refused = if SHARED_ATTRIBUTES.contains(&name) {
            Some(format!(
                "`{name}` belongs to the connections of backend `{}` and cannot be set at a reference",
                label.text
            ))
        } else if name == "origin" {
            let own = definition.body.attribute("origin");
            let same = own.is_none_or(|own| {
                let (own, here) = (
                    reader.cx.start_value_quietly(own),
                    reader.cx.start_value_quietly(attribute),
                );
                own.is_some() && own == here
            });
            (!same).then(|| format!("`origin` differs from that of backend `{}`", label.text))
        } else {
            None
        };
        if let Some(message) = refused {
            reader.cx.report(Diagnostic::error(
                code::CONFLICT,
                attribute.name.span,
                message,
            ));
        }
    }
    let mut merged = Block {
        body: crate::hcl::Body::default(),
        ..definition.clone()
    };
    merged
        .body
        .attributes
        .clone_from(&definition.body.attributes);
    merged.body.overlay(
        block
            .body
            .attributes
            .iter()
            .filter(|a| SCHEMA.attribute(&a.name.text).is_some())
            .cloned(),
    );
    let inner = Reader::quiet(reader.cx, &merged, &SCHEMA);
    Some(Backend::read(
        inner,
        Arc::clone(&defined.label),
        true,
        Arc::clone(&defined.instance),
    ))
}
