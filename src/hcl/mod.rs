//! From configuration text to syntax: finds and reads files, keeps the place of everything, applies
//! `environment` blocks and merges files into one document.
//!
//! Syntax errors end the load, one for each file; everything later is collected.

pub mod body;
pub mod environment;
pub mod format;
mod merge;
mod parse;
mod rename;
mod source;

pub use body::{Attribute, Block, Body, Name};
pub use merge::{Document, merge};
pub use parse::parse;
pub use source::{Input, paths, read};

use crate::diagnostic::{Diagnostics, SourceId, SourceMap};

/// The files of a configuration, parsed one by one and not merged yet.
#[derive(Debug, Default)]
pub struct Files {
    /// Their texts.
    pub sources: SourceMap,
    /// Their contents, in the order given.
    pub bodies: Vec<(SourceId, Body)>,
}

/// Reads and parses all files and brings deprecated names up to date.
///
/// What cannot be read or parsed is a finding; the files that can be are in the result.
pub fn load(inputs: &[Input], diagnostics: &mut Diagnostics) -> Files {
    let mut files = Files::default();
    for (name, folder, text) in read(inputs, diagnostics) {
        let id = files.sources.add(name, &folder, &text);
        if let Some(mut body) = parse(id, files.sources.text(id), diagnostics) {
            rename::rename(&mut body, diagnostics);
            files.bodies.push((id, body));
        }
    }
    files
}
