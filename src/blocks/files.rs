//! `files`: a folder of files.
//!
//! ```hcl
//! server {
//!   files {
//!     base_path     = "/assets"
//!     document_root = "./htdocs"
//!   }
//! }
//! ```
//!
//! A path below the base path names a file below the root; a directory is answered with its
//! `index.html`, never with a listing. Files are looked up for each request, so changes show at
//! once. Symbolic links are followed, names in a path never lead out of the root.

use super::cors;
use super::definitions::Definitions;
use super::endpoint::Surroundings;
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use super::site::Site;
use crate::diagnostic::{Diagnostic, code};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "files",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start("document_root", Kind::Path, "Folder that holds the files.")
            .required(),
        AttributeSchema::start("base_path", Kind::String, "Path in front of all files."),
        AttributeSchema::start("error_file", Kind::Path, "Template of error pages."),
    ],
    groups: &[
        schema::ACCESS_CONTROL,
        schema::RESPONSE_HEADERS,
        schema::LOG_FIELDS,
    ],
    blocks: &[Child::optional(&cors::SCHEMA)],
    rules: &[],
    docs: "A folder of files.",
    example: r#"server {
  files {
    base_path     = "/assets"
    document_root = "htdocs"
  }
}
"#,
};

/// A folder of files, ready to be served.
#[derive(Debug)]
pub struct Files {
    /// Base path, access control and the like.
    pub site: Arc<Site>,
    document_root: PathBuf,
}

impl Files {
    /// Reads the block; `None` when it has no usable root (which has been reported then).
    pub fn read(
        reader: Reader<'_>,
        around: &Surroundings,
        definitions: &Definitions<'_>,
    ) -> Option<Self> {
        let site = Arc::new(Site::read(reader, around, definitions));
        let root = reader.path("document_root")?;
        let shown = root.value.display();
        let why = match std::fs::metadata(&root.value) {
            Ok(metadata) if metadata.is_dir() => {
                return Some(Self {
                    site,
                    document_root: root.value,
                });
            }
            Ok(_) => "it is not a directory".to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("`document_root`: cannot use `{shown}`: {why}");
        reader
            .cx
            .report(Diagnostic::error(code::FILE, root.span, message));
        None
    }

    /// The file that a decoded path names, given what of it stands after the base path. `None` for
    /// names that no file below the root can have.
    pub fn resolve(&self, rest: &str) -> Option<PathBuf> {
        resolve(&self.document_root, rest)
    }
}

/// Goes down from `root` one name at a time, so that nothing leads upwards or to another root.
fn resolve(root: &Path, rest: &str) -> Option<PathBuf> {
    let mut path = root.to_owned();
    let inner = rest.strip_prefix('/').unwrap_or(rest);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        return (rest.len() < 2).then_some(path);
    }
    for name in inner.split('/') {
        if matches!(name, "" | "." | "..") || name.contains('\0') {
            return None;
        }
        path.push(name);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let root = Path::new("/srv/www");
        for (rest, expected) in [
            ("", "/srv/www"),
            ("/", "/srv/www"),
            ("/a.txt", "/srv/www/a.txt"),
            ("/a/b/", "/srv/www/a/b"),
            ("/a\\..\\b", "/srv/www/a\\..\\b"),
        ] {
            assert_eq!(resolve(root, rest).as_deref(), Some(Path::new(expected)));
        }
        for rest in [
            "//",
            "//etc/passwd",
            "/a//b",
            "/..",
            "/a/../../b",
            "/./a",
            "/a\0b",
            "/a/..",
        ] {
            assert_eq!(resolve(root, rest), None, "{rest:?}");
        }
    }
}
