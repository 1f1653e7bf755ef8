//! `environment "name" { … }`: parts of a configuration for some environments only.

use super::{Block, Body};
use crate::diagnostic::{Diagnostic, Diagnostics, code};

/// Puts the content of matching `environment` blocks in their place, at any depth: their blocks
/// where they stood, their attributes over those beside them. Others are dropped unread.
pub fn apply(body: &mut Body, chosen: &str, diagnostics: &mut Diagnostics) {
    let blocks = std::mem::take(&mut body.blocks);
    let mut overlays = Vec::new();
    for block in blocks {
        if block.kind.text == "environment" {
            unfold(block, chosen, &mut body.blocks, &mut overlays, diagnostics);
        } else {
            body.blocks.push(block);
        }
    }
    body.overlay(overlays);
    for block in &mut body.blocks {
        apply(&mut block.body, chosen, diagnostics);
    }
}

fn unfold(
    block: Block,
    chosen: &str,
    blocks: &mut Vec<Block>,
    overlays: &mut Vec<super::Attribute>,
    diagnostics: &mut Diagnostics,
) {
    if !labels_are_sound(&block, diagnostics) {
        return;
    }
    if chosen.is_empty() {
        let message = "`environment` blocks are there, but no environment is chosen";
        diagnostics.push(
            Diagnostic::error(code::MISSING, block.header(), message)
                .hint("choose one with `-e NAME`, COUPER_ENVIRONMENT or `settings.environment`"),
        );
        return;
    }
    if !block.labels.iter().any(|label| label.text == chosen) {
        return;
    }
    overlays.extend(block.body.attributes);
    for inner in block.body.blocks {
        if inner.kind.text == "environment" {
            unfold(inner, chosen, blocks, overlays, diagnostics);
        } else {
            blocks.push(inner);
        }
    }
}

fn labels_are_sound(block: &Block, diagnostics: &mut Diagnostics) -> bool {
    if block.labels.is_empty() {
        let message = "`environment` needs at least one label";
        diagnostics.push(Diagnostic::error(code::LABELS, block.header(), message));
        return false;
    }
    let mut sound = true;
    for label in &block.labels {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if label.text.is_empty() || !label.text.chars().all(good) {
            let message = format!(
                "environment `{}` may hold letters, digits and `_` only",
                label.text
            );
            diagnostics.push(Diagnostic::error(code::LABELS, label.span, message));
            sound = false;
        }
    }
    sound
}
