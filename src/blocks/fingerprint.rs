//! What a block says, as a digest: state that outlives a reload is found by it.
//!
//! Two blocks have the same fingerprint if they mean the same: values count, not how they are
//! written, wherever they are known at start; files count by their content, references by the
//! block they lead to.

use super::context::Context;
use super::definitions::Definitions;
use crate::hcl::{Attribute, Block, Body};
use crate::runtime::kept::Identity;
use aws_lc_rs::digest;
use std::path::PathBuf;

/// References between backends go no deeper: circles are refused elsewhere.
const MAX_DEPTH: usize = 16;

/// A digest in the making.
#[derive(Clone)]
pub struct Fingerprint(digest::Context);

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint")
    }
}

impl Fingerprint {
    /// A digest of a kind of state.
    pub fn of(kind: &str) -> Self {
        Self(digest::Context::new(&digest::SHA256)).text(kind)
    }

    /// Adds a text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.bytes(text.as_bytes());
        self
    }

    /// Adds a block with all that it refers to.
    #[must_use]
    pub fn block(mut self, block: &Block, definitions: &Definitions<'_>) -> Self {
        self.add_block(block, definitions, 0);
        self
    }

    /// Adds what is in a block, but for its label.
    #[must_use]
    pub fn body(mut self, body: &Body, definitions: &Definitions<'_>) -> Self {
        self.add_body(body, definitions, 0);
        self
    }

    /// Adds some attributes of a block.
    #[must_use]
    pub fn attributes(mut self, block: &Block, names: &[&str], cx: &Context<'_>) -> Self {
        for name in names {
            match block.body.attribute(name) {
                Some(attribute) => self.add_attribute(attribute, cx),
                None => self.bytes(b""),
            }
        }
        self
    }

    /// The digest.
    pub fn finish(self) -> Identity {
        let mut identity = Identity::default();
        identity.copy_from_slice(self.0.finish().as_ref());
        identity
    }

    /// With its length, so that nothing else gives the same bytes.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&bytes.len().to_le_bytes());
        self.0.update(bytes);
    }

    fn add_block(&mut self, block: &Block, definitions: &Definitions<'_>, depth: usize) {
        self.bytes(block.kind.text.as_bytes());
        for label in &block.labels {
            self.bytes(label.text.as_bytes());
        }
        if block.kind.text == "backend"
            && let Some(label) = block.labels.first()
        {
            self.add_reference(&label.text, definitions, depth);
        }
        self.add_body(&block.body, definitions, depth);
    }

    fn add_body(&mut self, body: &Body, definitions: &Definitions<'_>, depth: usize) {
        let mut attributes: Vec<&Attribute> = body.attributes.iter().collect();
        attributes.sort_by(|a, b| a.name.text.cmp(&b.name.text));
        for attribute in attributes {
            self.add_attribute(attribute, definitions.cx);
            let name = attribute.name.text.as_str();
            if name == "backend" || name.ends_with("_backend") {
                let label = definitions.cx.start_value_quietly(attribute);
                if let Some(label) = label.as_ref().and_then(|label| label.as_str()) {
                    self.add_reference(label, definitions, depth);
                }
            }
        }
        for block in &body.blocks {
            self.bytes(b"{");
            self.add_block(block, definitions, depth);
            self.bytes(b"}");
        }
    }

    fn add_reference(&mut self, label: &str, definitions: &Definitions<'_>, depth: usize) {
        if depth < MAX_DEPTH
            && let Some(block) = definitions.backend_block(label)
        {
            self.add_body(&block.body, definitions, depth + 1);
        }
    }

    fn add_attribute(&mut self, attribute: &Attribute, cx: &Context<'_>) {
        self.bytes(attribute.name.text.as_bytes());
        let Some(value) = cx.start_value_quietly(attribute) else {
            let text = cx.sources.slice(attribute.value_span);
            self.bytes(text.as_bytes());
            if text.contains("env") {
                for (name, value) in cx.env {
                    self.bytes(name.as_bytes());
                    self.bytes(value.as_bytes());
                }
            }
            return;
        };
        self.bytes(&value.to_json());
        if let Some(path) = value.as_str().and_then(|text| file(attribute, text, cx)) {
            // A file that cannot be read is a finding of the block that names it.
            self.bytes(&cx.content(&path).unwrap_or_default());
        }
    }
}

/// The file that an attribute names.
fn file(attribute: &Attribute, text: &str, cx: &Context<'_>) -> Option<PathBuf> {
    let name = attribute.name.text.as_str();
    let path = match name {
        "file" => text,
        "jwks_url" => match text.split_once(':') {
            Some((scheme, _)) if scheme.to_ascii_lowercase().starts_with("http") => return None,
            Some(("file", rest)) => rest.strip_prefix("//").unwrap_or(rest),
            _ => text,
        },
        name if name.ends_with("_file") => text,
        _ => return None,
    };
    Some(cx.resolve(path, attribute.value_span))
}
