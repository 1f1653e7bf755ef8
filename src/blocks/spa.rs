//! `spa`: a single-page application, one file for many paths.
//!
//! ```hcl
//! server {
//!   spa {
//!     bootstrap_file = "./htdocs/index.html"
//!     paths          = ["/app/**"]
//!     bootstrap_data = { api = env.API_URL }
//!   }
//! }
//! ```
//!
//! Without `bootstrap_data` the file is read for each request. With it the file is read once, and
//! the first placeholder in it replaced by JSON that is safe inside a script.

use super::cors;
use super::definitions::Definitions;
use super::endpoint::Surroundings;
use super::reader::{Reader, Spanned};
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use super::site::Site;
use crate::diagnostic::{Diagnostic, code};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

const PLACEHOLDER: &str = "__BOOTSTRAP_DATA__";

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "spa",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start(
            "bootstrap_file",
            Kind::Path,
            "The file that answers all paths.",
        )
        .required(),
        AttributeSchema::start(
            "paths",
            Kind::Strings,
            "Path patterns below the base path; `**` stands at the end only.",
        )
        .required(),
        AttributeSchema::start("base_path", Kind::String, "Path in front of all paths."),
        AttributeSchema::start(
            "bootstrap_data",
            Kind::Object,
            "Data that is put into the file as JSON.",
        ),
        AttributeSchema::start(
            "bootstrap_data_placeholder",
            Kind::String,
            "The text that the data replaces.",
        )
        .default("__BOOTSTRAP_DATA__"),
    ],
    groups: &[
        schema::ACCESS_CONTROL,
        schema::RESPONSE_HEADERS,
        schema::LOG_FIELDS,
    ],
    blocks: &[Child::optional(&cors::SCHEMA)],
    rules: &[],
    docs: "A single-page application: one file for many paths.",
    example: r#"server {
  spa {
    bootstrap_file = "app.html"
    paths          = ["/app/**"]
  }
}
"#,
};

/// A single-page application, ready to be served.
#[derive(Debug)]
pub struct Spa {
    /// Base path, access control and the like.
    pub site: Arc<Site>,
    /// Patterns, base paths included.
    pub patterns: Vec<Spanned<String>>,
    /// The file.
    pub bootstrap_file: PathBuf,
    /// The file's content with data in it, where there is data.
    pub page: Option<BootstrapPage>,
}

/// A bootstrap file with data in it.
#[derive(Clone, Debug)]
pub struct BootstrapPage {
    /// The text.
    pub text: Bytes,
    /// When it was made: the data may be younger than the file.
    pub made: SystemTime,
}

impl Spa {
    /// Reads the block; `None` when its file cannot be used (which has been reported then).
    pub fn read(
        reader: Reader<'_>,
        around: &Surroundings,
        definitions: &Definitions<'_>,
    ) -> Option<Self> {
        let site = Arc::new(Site::read(reader, around, definitions));
        let patterns = patterns(reader, &site.base_path);
        let file = reader.path("bootstrap_file");
        let data = bootstrap_data(reader);
        let file = file?;
        let page = match data {
            Some(data) => Some(BootstrapPage {
                text: page(reader, &file, &data)?,
                made: SystemTime::now(),
            }),
            None => {
                check_file(reader, &file)?;
                None
            }
        };
        Some(Self {
            site,
            patterns,
            bootstrap_file: file.value,
            page,
        })
    }
}

fn patterns(reader: Reader<'_>, base_path: &str) -> Vec<Spanned<String>> {
    let Some(paths) = reader.strings("paths") else {
        return Vec::new();
    };
    let sound = |path: &str| {
        let inner = path.strip_suffix("/**").unwrap_or(path);
        path.starts_with('/') && !super::path::has_dot_segment(path) && !inner.contains("**")
    };
    let mut patterns = Vec::new();
    for path in paths.value {
        if sound(&path.value) {
            patterns.push(Spanned {
                value: super::path::join(base_path, &path.value),
                span: path.span,
            });
        } else {
            let message = format!(
                "`paths`: `{}` is no path pattern: it starts with `/`, has no `.` or `..` segment, and `**` stands at its end only",
                path.value
            );
            reader.bad_value(path.span, message);
        }
    }
    patterns
}

fn check_file(reader: Reader<'_>, file: &Spanned<PathBuf>) -> Option<()> {
    let shown = file.value.display();
    let why = match std::fs::metadata(&file.value) {
        Ok(metadata) if metadata.is_file() => return Some(()),
        Ok(_) => "it is no file".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("`bootstrap_file`: cannot use `{shown}`: {why}");
    reader
        .cx
        .report(Diagnostic::error(code::FILE, file.span, message));
    None
}

/// The data as JSON; null counts as none.
fn bootstrap_data(reader: Reader<'_>) -> Option<Vec<u8>> {
    let data = reader.value("bootstrap_data")?;
    if data.value.is_null() {
        return None;
    }
    if data.value.as_fields().is_none() {
        let message = format!(
            "found {} for `bootstrap_data`, which takes an object",
            data.value.type_name()
        );
        reader
            .cx
            .report(Diagnostic::error(code::WRONG_TYPE, data.span, message));
        return None;
    }
    Some(safe_in_script(&data.value.to_json()))
}

fn page(reader: Reader<'_>, file: &Spanned<PathBuf>, data: &[u8]) -> Option<Bytes> {
    let text = reader.cx.read_file("bootstrap_file", file)?;
    let placeholder = reader.filled("bootstrap_data_placeholder");
    let placeholder = placeholder.as_ref().map_or(PLACEHOLDER, |p| &p.value);
    let Some(at) = memchr::memmem::find(&text, placeholder.as_bytes()) else {
        let message = format!(
            "`bootstrap_data` has no effect: there is no `{placeholder}` in `{}`",
            file.value.display()
        );
        reader
            .cx
            .report(Diagnostic::warning(code::NO_EFFECT, file.span, message));
        return Some(text.into());
    };
    let (before, after) = (&text[..at], &text[at + placeholder.len()..]);
    Some([before, data, after].concat().into())
}

/// Escapes what could end a script element or a line in one.
fn safe_in_script(json: &[u8]) -> Vec<u8> {
    let mut safe = Vec::with_capacity(json.len() + 16);
    let mut rest = json;
    while let Some(&byte) = rest.first() {
        let (escape, length): (&[u8], _) = match byte {
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            0xe2 if rest.starts_with("\u{2028}".as_bytes()) => (b"\\u2028", 3),
            0xe2 if rest.starts_with("\u{2029}".as_bytes()) => (b"\\u2029", 3),
            _ => (&rest[..1], 1),
        };
        safe.extend_from_slice(escape);
        rest = &rest[length..];
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_leave_its_script() {
        let json = "{\"a\":\"</script>&\u{2028}\u{2029}\u{20ac}\"}";
        assert_eq!(
            String::from_utf8(safe_in_script(json.as_bytes())).unwrap(),
            "{\"a\":\"\\u003c/script\\u003e\\u0026\\u2028\\u2029\u{20ac}\"}"
        );
    }
}
