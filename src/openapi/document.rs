//! The text of a document with all files that it refers to, as one JSON value.
//!
//! Referenced files are put into the main one under a name of their own, and references to them
//! are rewritten, so that all of them are local.

use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Where referenced files are put.
const FILES: &str = "x-gateway-files";
/// More files than this are a mistake.
const MAX_FILES: usize = 200;
/// References that lead to references: more in a row are a circle.
const MAX_HOPS: usize = 32;

/// Why a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct Fault {
    /// A file, or a place in the document as a JSON pointer.
    pub place: String,
    /// What is wrong there.
    pub why: String,
}

impl Fault {
    /// A fault at a JSON pointer.
    pub(super) fn at(pointer: &str, why: impl Into<String>) -> Self {
        Self {
            place: format!("#{pointer}"),
            why: why.into(),
        }
    }
}

/// The version of the specification, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 3.0, with schemas of its own.
    V30,
    /// 3.1, with JSON Schema.
    V31,
}

/// A document with all its files.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) root: Value,
    pub(super) version: Version,
}

impl Document {
    /// JSON pointers of the schemas that have names.
    pub(super) fn schemas(&self) -> Vec<String> {
        let place = "/components/schemas";
        let named = self.root.pointer(place).and_then(Value::as_object);
        let names = named.into_iter().flat_map(Map::keys);
        names
            .map(|name| format!("{place}/{}", token(name)))
            .collect()
    }
}

/// Reads a document and all files that it refers to.
pub(super) fn load(
    path: &Path,
    read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
) -> Result<Document, Fault> {
    let mut files = Files {
        known: vec![path.to_owned()],
        waiting: VecDeque::from([0]),
    };
    let mut root = Value::Null;
    let mut others = Map::new();
    while let Some(index) = files.waiting.pop_front() {
        let path = files.known[index].clone();
        let mut value = parse(&path, read)?;
        files.rewrite(&mut value, index, false)?;
        if index == 0 {
            root = value;
        } else {
            others.insert(index.to_string(), value);
        }
    }
    let version = version(&root, path)?;
    if let Value::Object(members) = &mut root
        && !others.is_empty()
    {
        members.insert(FILES.to_owned(), Value::Object(others));
    }
    Ok(Document { root, version })
}

fn parse(
    path: &Path,
    read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
) -> Result<Value, Fault> {
    let fault = |why: String| Fault {
        place: path.display().to_string(),
        why,
    };
    let bytes = read(path).map_err(fault)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| fault(error.to_string()))?;
    if text.trim_start().starts_with('{') {
        // YAML in braces is no JSON, but begins like it.
        if let Ok(value) = serde_json::from_str(text) {
            return Ok(value);
        }
    }
    // The scalars of YAML 1.2: `no` is a word, not false.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or("malformed");
        fault(first.trim_start_matches("error: ").to_owned())
    })
}

fn version(root: &Value, path: &Path) -> Result<Version, Fault> {
    let text = root.get("openapi").and_then(Value::as_str);
    match text.map(|text| text.get(..3).unwrap_or("")) {
        Some("3.0") => Ok(Version::V30),
        Some("3.1" | "3.2") => Ok(Version::V31),
        found => Err(Fault {
            place: path.display().to_string(),
            why: match found {
                None => "it has no `openapi: 3.…`, so it is no OpenAPI document".to_owned(),
                Some(_) => format!(
                    "version {} is not 3.0 or 3.1",
                    text.unwrap_or("without number")
                ),
            },
        }),
    }
}

/// Files, by their number.
struct Files {
    known: Vec<PathBuf>,
    waiting: VecDeque<usize>,
}

impl Files {
    /// Makes the references of a file local. `named` tells that the members have free names.
    fn rewrite(&mut self, value: &mut Value, index: usize, named: bool) -> Result<(), Fault> {
        match value {
            Value::Array(items) => items
                .iter_mut()
                .try_for_each(|item| self.rewrite(item, index, false)),
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), &mut *member) {
                        ("$ref", Value::String(reference)) if !named => {
                            *reference = self.local(reference, index)?;
                        }
                        // Values, not parts of the document.
                        ("example" | "examples" | "default" | "const" | "enum", _) if !named => {}
                        (name, _) => {
                            let names = !named && matches!(name, "properties" | "schemas");
                            self.rewrite(member, index, names)?;
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn local(&mut self, reference: &str, index: usize) -> Result<String, Fault> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let target = if file.is_empty() {
            index
        } else {
            self.number(file, index).map_err(|why| Fault {
                place: self.known[index].display().to_string(),
                why,
            })?
        };
        Ok(match target {
            0 => format!("#{fragment}"),
            number => format!("#/{FILES}/{number}{fragment}"),
        })
    }

    fn number(&mut self, file: &str, from: usize) -> Result<usize, String> {
        if file.contains("://") {
            return Err(format!(
                "`$ref` to `{file}`: references lead to files only, not into the network"
            ));
        }
        let decoded = crate::blocks::form::decode(file.as_bytes(), false);
        let relative = String::from_utf8_lossy(&decoded).into_owned();
        let folder = self.known[from].parent().unwrap_or(Path::new("."));
        let path = normal(&folder.join(relative));
        if let Some(known) = self.known.iter().position(|known| *known == path) {
            return Ok(known);
        }
        if self.known.len() >= MAX_FILES {
            return Err(format!("it refers to more than {MAX_FILES} files"));
        }
        self.known.push(path);
        self.waiting.push_back(self.known.len() - 1);
        Ok(self.known.len() - 1)
    }
}

/// Without `.` and `x/..`, so that a file has one name.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(normal.components().next_back(), Some(Component::Normal(_))) =>
            {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// A member's name as part of a JSON pointer (RFC 6901 §3).
pub(super) fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A node with its JSON pointer.
#[derive(Clone, Debug)]
pub(super) struct Node<'d> {
    pub(super) value: &'d Value,
    pub(super) pointer: String,
}

impl<'d> Node<'d> {
    /// A member, wherever references lead.
    pub(super) fn get(&self, document: &'d Value, name: &str) -> Result<Option<Self>, Fault> {
        let Some(value) = self.value.get(name) else {
            return Ok(None);
        };
        let pointer = format!("{}/{}", self.pointer, token(name));
        follow(document, Self { value, pointer }).map(Some)
    }

    /// All members, wherever references lead.
    pub(super) fn members(&self, document: &'d Value) -> Result<Vec<(&'d str, Self)>, Fault> {
        let Value::Object(members) = self.value else {
            return Ok(Vec::new());
        };
        let mut list = Vec::new();
        for (name, value) in members {
            let pointer = format!("{}/{}", self.pointer, token(name));
            list.push((name.as_str(), follow(document, Self { value, pointer })?));
        }
        Ok(list)
    }

    /// All items, wherever references lead.
    pub(super) fn items(&self, document: &'d Value) -> Result<Vec<Self>, Fault> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items
            .map(|(at, value)| {
                let pointer = format!("{}/{at}", self.pointer);
                follow(document, Self { value, pointer })
            })
            .collect()
    }

    pub(super) fn text(&self, name: &str) -> Option<&'d str> {
        self.value.get(name).and_then(Value::as_str)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.value.get(name).and_then(Value::as_bool)
    }
}

/// The node that a chain of references leads to.
pub(super) fn follow<'d>(document: &'d Value, mut node: Node<'d>) -> Result<Node<'d>, Fault> {
    for _ in 0..MAX_HOPS {
        let Some(reference) = node.text("$ref") else {
            return Ok(node);
        };
        let lost = || {
            Fault::at(
                &node.pointer,
                format!("`$ref` to `{reference}` leads nowhere"),
            )
        };
        let pointer = pointer_of(reference).ok_or_else(lost)?;
        let value = document.pointer(&pointer).ok_or_else(lost)?;
        node = Node { value, pointer };
    }
    Err(Fault::at(&node.pointer, "references in a circle"))
}

/// The JSON pointer of a local reference.
pub(super) fn pointer_of(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#')?;
    let decoded = crate::blocks::form::decode(fragment.as_bytes(), false);
    let pointer = String::from_utf8(decoded).ok()?;
    (pointer.is_empty() || pointer.starts_with('/')).then_some(pointer)
}
