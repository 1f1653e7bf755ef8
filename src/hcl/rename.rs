//! Deprecated names: still read, counted as the new ones in every check, each with a warning.

use super::{Block, Body};
use crate::diagnostic::{Diagnostic, Diagnostics, Span, code};

/// Renames what has a newer name.
pub(super) fn rename(body: &mut Body, diagnostics: &mut Diagnostics) {
    for block in &mut body.blocks {
        if block.kind.text == "definitions" {
            for inner in &mut block.body.blocks {
                rename_kind(inner, "beta_job", "job", diagnostics);
            }
        }
        visit(block, diagnostics);
    }
}

fn visit(block: &mut Block, diagnostics: &mut Diagnostics) {
    rename_kind(block, "beta_rate_limit", "throttle", diagnostics);
    if block.kind.text == "error_handler" {
        for label in &mut block.labels {
            let (old, new) = (
                "beta_backend_rate_limit_exceeded",
                "backend_throttle_exceeded",
            );
            if label.text.split_whitespace().any(|kind| kind == old) {
                label.text = label.text.replace(old, new);
                warn("error type", old, new, label.span, diagnostics);
            }
        }
    }
    for inner in &mut block.body.blocks {
        visit(inner, diagnostics);
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
