//! The reference pages and the editor schema, made from the tables of the language.
//!
//! The pages are checked in under `docs/reference`; a test compares them and writes them anew when
//! `UPDATE_DOCS` is set.

mod blocks;
mod command;
mod editor;
mod errors;
mod expressions;
mod metrics;

pub use editor::editor_schema;

use std::fmt::Write as _;

/// What stands at the top of every page.
const NOTE: &str = "<!-- Generated from the tables in the sources; see src/reference. -->\n\n";

/// All pages: path below `docs/reference`, and text.
pub fn pages() -> Vec<(String, String)> {
    let mut pages = blocks::pages();
    pages.push(("functions.md".into(), expressions::functions()));
    pages.push(("variables.md".into(), expressions::variables()));
    pages.push(("errors.md".into(), errors::page()));
    pages.push(("metrics.md".into(), metrics::page()));
    pages.push(("cli.md".into(), command::page()));
    for (_, text) in &mut pages {
        text.insert_str(0, NOTE);
    }
    pages
}

/// Adds a row of a table; `|` in a cell is escaped.
fn row(page: &mut String, cells: &[&str]) {
    for cell in cells {
        let _ = write!(page, "| {} ", cell.replace('|', "\\|"));
    }
    page.push_str("|\n");
}

/// Adds the head of a table.
fn head(page: &mut String, cells: &[&str]) {
    row(page, cells);
    row(page, &vec!["---"; cells.len()]);
}

#[cfg(test)]
mod tests {
    use crate::blocks::schema::{BlockSchema, Child, Kind, When};
    use crate::config::{self, Options};
    use crate::diagnostic::{Diagnostics, Severity, SourceId, Span, code};
    use crate::hcl::{Body, Input};
    use std::path::Path;

    #[test]
    fn the_pages_are_checked_in_as_they_are_made() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
        let update = std::env::var_os("UPDATE_DOCS").is_some();
        let mut differ = Vec::new();
        for (path, text) in super::pages() {
            let file = folder.join(&path);
            if update {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, &text).unwrap();
            } else if std::fs::read_to_string(&file).ok().as_deref() != Some(text.as_str()) {
                differ.push(path);
            }
        }
        assert!(
            differ.is_empty(),
            "these pages differ; run the test with UPDATE_DOCS=1: {differ:?}"
        );
        let known: Vec<String> = super::pages().into_iter().map(|(path, _)| path).collect();
        for entry in std::fs::read_dir(folder.join("blocks")).unwrap() {
            let name = format!("blocks/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(known.contains(&name), "{name} has no block any more");
        }
    }

    /// A folder with the files that examples name.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = key.cert.pem();
        for name in ["server.crt", "ca.crt", "clients.crt"] {
            std::fs::write(folder.path().join(name), &certificate).unwrap();
        }
        std::fs::create_dir(folder.path().join("htdocs")).unwrap();
        std::fs::write(folder.path().join("app.html"), "<html></html>").unwrap();
        let key = key.signing_key.serialize_pem();
        std::fs::write(folder.path().join("server.key"), key).unwrap();
        std::fs::write(folder.path().join("api.yaml"), "openapi: 3.1.0\n").unwrap();
        folder
    }

    fn load(folder: &Path, text: &str) -> config::Loaded {
        let file = folder.join("couper.hcl");
        std::fs::write(&file, text).unwrap();
        config::load(&Options {
            inputs: vec![Input::File(file)],
            ..Options::default()
        })
    }

    /// Examples may use what this version lacks; nothing else may be wrong with them.
    #[test]
    fn every_example_loads() {
        let folder = folder();
        for schema in crate::blocks::all() {
            assert!(
                !schema.example.is_empty(),
                "`{}` has no example",
                schema.name
            );
            let loaded = load(folder.path(), schema.example);
            let faults: Vec<_> = loaded
                .diagnostics
                .sorted()
                .into_iter()
                .filter(|finding| finding.code != code::NOT_AVAILABLE)
                .collect();
            assert!(faults.is_empty(), "`{}`: {faults:#?}", schema.name);
            let text = crate::hcl::format::format(schema.example).unwrap();
            assert_eq!(text, schema.example, "example of `{}`", schema.name);
        }
    }

    /// The places of names, and of values that a list of lists is wrong for.
    fn places(
        schema: &'static BlockSchema,
        body: &Body,
        names: &mut Vec<Span>,
        values: &mut Vec<Span>,
    ) {
        for attribute in &body.attributes {
            names.push(attribute.name.span);
            let known = schema.attribute(&attribute.name.text).unwrap();
            if known.when == When::Start && known.kind != Kind::Any {
                values.push(attribute.value_span);
            }
        }
        for block in &body.blocks {
            names.push(block.kind.span);
            let inner = schema.block(&block.kind.text).map(Child::schema);
            places(inner.unwrap(), &block.body, names, values);
        }
    }

    /// Misspells each name and gives each start attribute a value of a wrong type: an error points
    /// at that line every time.
    #[test]
    fn every_slip_is_found_where_it_is() {
        let folder = folder();
        let mut count = 0;
        for schema in crate::blocks::all() {
            let text = schema.example;
            let body = crate::hcl::parse(SourceId(0), text, &mut Diagnostics::default()).unwrap();
            let (mut names, mut values) = (Vec::new(), Vec::new());
            places(&crate::blocks::ROOT, &body, &mut names, &mut values);
            let slips = names
                .iter()
                .map(|span| (span, format!("{}q", &text[span.range()])));
            let slips = slips.chain(values.iter().map(|span| (span, "[[1]]".to_owned())));
            for (span, new) in slips {
                let mut wrong = text.to_owned();
                wrong.replace_range(span.range(), &new);
                let loaded = load(folder.path(), &wrong);
                let start = span.range().start;
                let found = loaded.diagnostics.sorted().iter().any(|finding| {
                    finding.severity == Severity::Error
                        && finding.code != code::NOT_AVAILABLE
                        && finding.primary.is_some_and(|at| {
                            text[..start].lines().count()
                                == wrong[..at.range().start].lines().count()
                        })
                });
                assert!(found, "{wrong}: {:#?}", loaded.diagnostics);
                count += 1;
            }
            for (at, _) in text.match_indices('}') {
                let mut wrong = text.to_owned();
                wrong.remove(at);
                assert!(
                    load(folder.path(), &wrong).diagnostics.has_errors(),
                    "{wrong}"
                );
                count += 1;
            }
        }
        assert!(count > 100, "{count}");
    }
}
