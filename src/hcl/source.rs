//! Which files make up a configuration, and their texts.

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use std::path::{Path, PathBuf};

/// One `-f` or `-d` of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file; a folder is taken like [`Input::Folder`].
    File(PathBuf),
    /// All `*.hcl` files directly in a folder, in byte order of their names.
    Folder(PathBuf),
}

/// A configuration file may have this size at most; larger ones are surely not meant.
const MAX_BYTES: u64 = 64 << 20;

/// The files in order, each as (name to show, folder of its relative paths, text).
pub fn read(inputs: &[Input], diagnostics: &mut Diagnostics) -> Vec<(String, PathBuf, String)> {
    let mut texts = Vec::new();
    for path in list(inputs, diagnostics) {
        match text_of(&path) {
            Ok(text) => {
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
                let folder = folder.unwrap_or_else(|| Path::new(".")).to_owned();
                let text = text
                    .strip_prefix('\u{feff}')
                    .map(str::to_owned)
                    .unwrap_or(text);
                texts.push((path.display().to_string(), folder, text));
            }
            Err(why) => diagnostics.push(Diagnostic::error(
                code::UNREADABLE_SOURCE,
                None,
                format!("cannot read configuration file `{}`: {why}", path.display()),
            )),
        }
    }
    if texts.is_empty() && !diagnostics.has_errors() {
        diagnostics.push(Diagnostic::error(
            code::NO_SOURCE,
            None,
            "missing configuration files",
        ));
    }
    texts
}

/// The files that are read, after the folders that are looked through for them.
pub fn paths(inputs: &[Input]) -> Vec<PathBuf> {
    let folders = inputs.iter().filter_map(|input| match input {
        Input::File(path) => path.is_dir().then(|| path.clone()),
        Input::Folder(path) => Some(path.clone()),
    });
    // What cannot be read is told by the load.
    let files = list(inputs, &mut Diagnostics::default());
    folders.chain(files).collect()
}

fn text_of(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > MAX_BYTES {
        return Err(format!("it has {length} bytes, more than {MAX_BYTES}"));
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    String::from_utf8(bytes)
        .map_err(|e| format!("byte {} is not UTF-8", e.utf8_error().valid_up_to() + 1))
}

fn list(inputs: &[Input], diagnostics: &mut Diagnostics) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for input in inputs {
        let (path, folder) = match input {
            Input::File(path) => (path, path.is_dir()),
            Input::Folder(path) => (path, true),
        };
        if !folder {
            files.push(path.clone());
            continue;
        }
        match std::fs::read_dir(path) {
            Ok(entries) => {
                let mut found: Vec<PathBuf> = entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.path())
                    .filter(|p| p.is_file() && p.extension().is_some_and(|e| e == "hcl"))
                    .collect();
                found.sort();
                files.extend(found);
            }
            Err(why) => diagnostics.push(Diagnostic::error(
                code::UNREADABLE_SOURCE,
                None,
                format!(
                    "cannot read configuration folder `{}`: {why}",
                    path.display()
                ),
            )),
        }
    }
    files
}
