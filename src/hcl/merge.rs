//! Several files into one document.
//!
//! With one file nothing is merged: equal labels stay separate. With several, each kind of block
//! has its rule: `server`, `api`, `files` and `spa` merge by label, `endpoint`s and the blocks of
//! `definitions` are replaced whole, `error_handler`s of an api by their set of types.

use super::{Attribute, Block, Body};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceId, code};
use std::collections::BTreeSet;

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// `server` blocks.
    pub servers: Vec<Block>,
    /// The content of all `definitions`.
    pub definitions: Body,
    /// The content of all `settings`.
    pub settings: Body,
    /// The content of all `defaults`, a body for each block.
    pub defaults: Vec<Body>,
    /// `storage` and `admin`, each once; those of a later file take the place of earlier ones.
    pub singles: Vec<Block>,
    /// Blocks of a type that does not belong at the top, and stray attributes.
    pub strays: Body,
}

/// Merges the files in their order.
pub fn merge(files: Vec<(SourceId, Body)>, diagnostics: &mut Diagnostics) -> Document {
    let several = files.len() > 1;
    let mut document = Document::default();
    for (_, body) in files {
        if several {
            unique_labels(&body.blocks, diagnostics);
        }
        document.strays.attributes.extend(body.attributes);
        for block in body.blocks {
            match block.kind.text.as_str() {
                "server" if several => merge_labelled(&mut document.servers, block, merge_server),
                "server" => document.servers.push(block),
                "definitions" => merge_definitions(&mut document.definitions, block.body, several),
                "settings" => {
                    stray_labels(&block, diagnostics);
                    document.settings.overlay(block.body.attributes);
                    document.settings.blocks.extend(block.body.blocks);
                }
                "defaults" => document.defaults.push(block.body),
                "storage" | "admin" if several => {
                    replace_or_push(&mut document.singles, block, |_| true);
                }
                "storage" | "admin" => document.singles.push(block),
                _ => document.strays.blocks.push(block),
            }
        }
    }
    if several {
        document.servers.sort_by(|a, b| a.label().cmp(b.label()));
    }
    document
}

fn stray_labels(block: &Block, diagnostics: &mut Diagnostics) {
    if let Some(label) = block.labels.first() {
        let message = "`settings` has no label; it is ignored";
        diagnostics.push(Diagnostic::warning(code::NO_EFFECT, label.span, message));
    }
}

/// With several files a label occurs once in each, or it would be unclear what merges with what.
fn unique_labels(blocks: &[Block], diagnostics: &mut Diagnostics) {
    check_unique(
        blocks.iter().filter(|b| b.kind.text == "server"),
        diagnostics,
    );
    for server in blocks.iter().filter(|b| b.kind.text == "server") {
        for kind in ["api", "files", "spa"] {
            check_unique(server.body.blocks_of(kind), diagnostics);
        }
    }
}

fn check_unique<'a>(blocks: impl Iterator<Item = &'a Block>, diagnostics: &mut Diagnostics) {
    let mut seen: Vec<&Block> = Vec::new();
    for block in blocks {
        let Some(first) = seen.iter().find(|b| b.label() == block.label()) else {
            seen.push(block);
            continue;
        };
        let message = format!(
            "all `{}` blocks of a file must have unique labels when there are several files",
            block.kind.text
        );
        diagnostics.push(
            Diagnostic::error(code::DUPLICATE, block.header(), message)
                .related(first.header(), "first one"),
        );
    }
}

fn merge_labelled(into: &mut Vec<Block>, block: Block, merge: fn(&mut Block, Block)) {
    match into
        .iter_mut()
        .find(|b| b.kind.text == block.kind.text && b.label() == block.label())
    {
        Some(place) => merge(place, block),
        None => into.push(block),
    }
}

fn replace_or_push(into: &mut Vec<Block>, block: Block, same: impl Fn(&Block) -> bool) {
    match into
        .iter_mut()
        .find(|b| b.kind.text == block.kind.text && same(b))
    {
        Some(place) => *place = block,
        None => into.push(block),
    }
}

/// The rule for `server`; the same for `api`, `files` and `spa` inside it.
fn merge_server(into: &mut Block, from: Block) {
    into.body.overlay(from.body.attributes);
    for block in from.body.blocks {
        let blocks = &mut into.body.blocks;
        match block.kind.text.as_str() {
            "api" | "files" | "spa" => merge_labelled(blocks, block, merge_server),
            "endpoint" => {
                let pattern = block.label().to_owned();
                replace_or_push(blocks, block, |b| b.label() == pattern);
            }
            "error_handler" => {
                let types = error_types(&block);
                replace_or_push(blocks, block, |b| error_types(b) == types);
            }
            "tls" => match blocks.iter_mut().find(|b| b.kind.text == "tls") {
                Some(place) => merge_tls(place, block),
                None => blocks.push(block),
            },
            _ => replace_or_push(blocks, block, |_| true),
        }
    }
}

/// The types a handler is for; without a label it is for all of them, as with `*`.
fn error_types(block: &Block) -> BTreeSet<String> {
    let words = block
        .labels
        .iter()
        .flat_map(|label| label.text.split_whitespace());
    let all = block.labels.is_empty().then_some("*");
    words.chain(all).map(str::to_owned).collect()
}

/// Labelled certificates merge by label; unlabelled ones of a later file replace all earlier ones.
fn merge_tls(into: &mut Block, from: Block) {
    into.body.overlay(from.body.attributes);
    let unlabelled: BTreeSet<String> = from
        .body
        .blocks
        .iter()
        .filter(|b| b.labels.is_empty())
        .map(|b| b.kind.text.clone())
        .collect();
    into.body
        .blocks
        .retain(|b| !b.labels.is_empty() || !unlabelled.contains(&b.kind.text));
    for block in from.body.blocks {
        if block.labels.is_empty() {
            into.body.blocks.push(block);
        } else {
            let label = block.label().to_owned();
            replace_or_push(&mut into.body.blocks, block, |b| b.label() == label);
        }
    }
}

fn merge_definitions(into: &mut Body, from: Body, several: bool) {
    let attributes: Vec<Attribute> = from.attributes;
    into.attributes.extend(attributes);
    for block in from.blocks {
        let source = block.kind.span.source;
        let label = block.label().to_owned();
        // Within one file a label given twice is a fault to be reported, not a replacement.
        replace_or_push(&mut into.blocks, block, |b| {
            several && b.label() == label && b.kind.span.source != source
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> (Document, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let files = texts
            .iter()
            .enumerate()
            .filter_map(|(at, text)| {
                let id = SourceId(u16::try_from(at).unwrap());
                Some((id, crate::hcl::parse(id, text, &mut diagnostics)?))
            })
            .collect();
        let document = merge(files, &mut diagnostics);
        let messages = diagnostics
            .sorted()
            .iter()
            .map(|d| d.message.clone())
            .collect();
        (document, messages)
    }

    #[test]
    fn one_file_is_not_merged() {
        let (document, messages) = merged(&["server {\n}\nserver {\n}\n"]);
        assert_eq!(document.servers.len(), 2);
        assert!(messages.is_empty());
    }

    #[test]
    fn servers_merge_by_label_and_endpoints_are_replaced() {
        let (document, messages) = merged(&[
            "server \"s\" {\n  a = 1\n  b = 1\n  endpoint \"/x\" {\n    one = 1\n  }\n}\n",
            "server \"s\" {\n  b = 2\n  endpoint \"/x\" {\n    two = 2\n  }\n  endpoint \"/y\" {\n  }\n}\n",
        ]);
        assert!(messages.is_empty());
        let body = &document.servers[0].body;
        assert_eq!(document.servers.len(), 1);
        assert_eq!(body.attributes.len(), 2);
        assert_eq!(body.blocks.len(), 2);
        assert!(body.blocks[0].body.attribute("two").is_some());
        assert!(body.blocks[0].body.attribute("one").is_none());
    }

    #[test]
    fn a_label_twice_in_one_of_several_files_is_refused() {
        let (_, messages) = merged(&[
            "server \"s\" {\n}\nserver \"s\" {\n}\n",
            "definitions {\n}\n",
        ]);
        assert_eq!(messages.len(), 1);
    }

    #[test]
    fn handlers_of_an_api_are_replaced_by_their_types() {
        let (document, _) = merged(&[
            "server {\n  api {\n    error_handler \"a\" \"b\" {\n      x = 1\n    }\n  }\n}\n",
            "server {\n  api {\n    error_handler \"b a\" {\n      x = 2\n    }\n  }\n}\n",
        ]);
        assert_eq!(document.servers[0].body.blocks[0].body.blocks.len(), 1);
    }
}
