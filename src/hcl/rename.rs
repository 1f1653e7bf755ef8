//! Other names of blocks, attributes and error types, which count as the usual ones in every check.
//!
//! Deprecated ones get a warning. Names without their `beta_` are just shorter.

use super::{Block, Body};
use crate::diagnostic::{Diagnostic, Diagnostics, Span, code};

/// Blocks that may leave out `beta_`: where they stand, the short name, the usual one.
const SHORT_BLOCKS: &[(&str, &str, &str)] = &[
    ("definitions", "external_authz", "beta_external_authz"),
    ("definitions", "oauth2", "beta_oauth2"),
    ("definitions", "rate_limiter", "beta_rate_limiter"),
    ("backend", "health", "beta_health"),
    ("backend", "rate_limit", "throttle"),
    ("backend", "token_request", "beta_token_request"),
    ("jwt", "introspection", "beta_introspection"),
];

/// Attributes alike.
const SHORT_ATTRIBUTES: &[(&str, &str, &str)] = &[("jwt", "dpop", "beta_dpop")];

/// Error types alike.
const SHORT_TYPES: &[(&str, &str)] = &[
    ("backend_token_request", "beta_backend_token_request"),
    ("rate_limiter", "beta_rate_limiter"),
    ("rate_limiter_key", "beta_rate_limiter_key"),
];

/// Renames what has another name.
pub(super) fn rename(body: &mut Body, diagnostics: &mut Diagnostics) {
    visit("", body, diagnostics);
}

/// `parent` is the block that the body belongs to; `environment` blocks belong to what is around them.
fn visit(parent: &str, body: &mut Body, diagnostics: &mut Diagnostics) {
    for attribute in &mut body.attributes {
        let short = |(home, short, _): &&(&str, &str, &str)| {
            *home == parent && *short == attribute.name.text
        };
        if let Some((_, _, usual)) = SHORT_ATTRIBUTES.iter().find(short) {
            (*usual).clone_into(&mut attribute.name.text);
        }
    }
    for block in &mut body.blocks {
        if parent == "definitions" {
            rename_kind(block, "beta_job", "job", diagnostics);
        }
        rename_kind(block, "beta_rate_limit", "throttle", diagnostics);
        let short =
            |(home, short, _): &&(&str, &str, &str)| *home == parent && *short == block.kind.text;
        if let Some((_, _, usual)) = SHORT_BLOCKS.iter().find(short) {
            (*usual).clone_into(&mut block.kind.text);
        }
        if block.kind.text == "error_handler" {
            rename_types(block, diagnostics);
        }
        let kind = block.kind.text.clone();
        let parent = if kind == "environment" { parent } else { &kind };
        visit(parent, &mut block.body, diagnostics);
    }
}

fn rename_types(handler: &mut Block, diagnostics: &mut Diagnostics) {
    for label in &mut handler.labels {
        let (old, new) = (
            "beta_backend_rate_limit_exceeded",
            "backend_throttle_exceeded",
        );
        if label.text.split_whitespace().any(|kind| kind == old) {
            label.text = label.text.replace(old, new);
            warn("error type", old, new, label.span, diagnostics);
        }
        let short = |word: &str| SHORT_TYPES.iter().find(|(short, _)| *short == word);
        if label.text.split(' ').any(|word| short(word).is_some()) {
            let words = label.text.split(' ');
            let words = words.map(|word| short(word).map_or(word, |(_, usual)| usual));
            label.text = words.collect::<Vec<_>>().join(" ");
        }
    }
}

fn rename_kind(block: &mut Block, old: &str, new: &str, diagnostics: &mut Diagnostics) {
    if block.kind.text == old {
        new.clone_into(&mut block.kind.text);
        warn("block", old, new, block.kind.span, diagnostics);
    }
}

fn warn(what: &str, old: &str, new: &str, span: Span, diagnostics: &mut Diagnostics) {
    let message = format!("{what} `{old}` is deprecated, please use `{new}`");
    diagnostics.push(Diagnostic::warning(code::DEPRECATED, span, message));
}
