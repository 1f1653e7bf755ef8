//! A page for each block type, and their index.

use super::{head, row};
use crate::blocks::all;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Child, Labels, Occurs, Rule, When};
use std::fmt::Write as _;

/// The blocks that hold this one, with how they do.
fn parents(schema: &'static BlockSchema) -> Vec<(&'static BlockSchema, &'static Child)> {
    let mut found = Vec::new();
    for parent in all() {
        for child in parent.blocks {
            if std::ptr::eq(child.schema(), schema) {
                found.push((parent, child));
            }
        }
    }
    found
}

/// The name of a block's page: that of the block, with its parent's where two blocks share one.
pub(super) fn slug(schema: &'static BlockSchema) -> String {
    if schema.name.is_empty() {
        return "file".into();
    }
    let namesakes = all().into_iter().filter(|other| other.name == schema.name);
    match parents(schema).first() {
        Some((parent, _)) if namesakes.count() > 1 => format!("{}-{}", parent.name, schema.name),
        _ => schema.name.into(),
    }
}

/// The words for a block's heading and links.
fn title(schema: &'static BlockSchema) -> String {
    if schema.name.is_empty() {
        return "a file".into();
    }
    let slug = slug(schema);
    match slug.split_once('-') {
        Some((parent, name)) => format!("`{name}` in `{parent}`"),
        None => format!("`{slug}`"),
    }
}

fn link(schema: &'static BlockSchema) -> String {
    format!("[{}]({}.md)", title(schema), slug(schema))
}

/// All pages about blocks.
pub(super) fn pages() -> Vec<(String, String)> {
    let mut pages = vec![("blocks/README.md".to_owned(), index())];
    for schema in all() {
        pages.push((format!("blocks/{}.md", slug(schema)), page(schema)));
    }
    pages
}

fn index() -> String {
    let mut page = String::from("# Blocks\n\n");
    head(&mut page, &["block", "in", ""]);
    let mut schemas = all();
    schemas.sort_by_key(|schema| slug(schema));
    for schema in schemas {
        let mut homes: Vec<String> = parents(schema).iter().map(|(p, _)| title(p)).collect();
        homes.dedup();
        row(&mut page, &[&link(schema), &homes.join(", "), schema.docs]);
    }
    page
}

fn page(schema: &'static BlockSchema) -> String {
    let heading = title(schema);
    let heading = if schema.name.is_empty() {
        "Top of a file"
    } else {
        &heading
    };
    let mut page = format!("# {heading}\n\n{}\n\n", schema.docs);
    place(&mut page, schema);
    let _ = write!(page, "## Example\n\n```hcl\n{}```\n", schema.example);
    attributes(&mut page, schema);
    blocks(&mut page, schema);
    rules(&mut page, schema);
    page
}

fn place(page: &mut String, schema: &'static BlockSchema) {
    let homes = parents(schema);
    if homes.is_empty() {
        return;
    }
    head(page, &["in", "how often", "in this version"]);
    for (parent, child) in &homes {
        let lacking = if child.is_unavailable() {
            "not available"
        } else {
            "available"
        };
        row(page, &[&link(parent), often(child), lacking]);
    }
    let labels = match schema.labels {
        Labels::None => "none",
        Labels::Optional => "one or none; one in `definitions`",
        Labels::Required => "one",
        Labels::Any => "any number",
    };
    let _ = write!(page, "\nLabels: {labels}.\n\n");
}

fn often(child: &Child) -> &'static str {
    match child.occurs() {
        Occurs::Optional => "at most once",
        Occurs::Many => "any number of times",
    }
}

fn attributes(page: &mut String, schema: &'static BlockSchema) {
    if schema.attributes().next().is_none() {
        return;
    }
    page.push_str("\n## Attributes\n\n");
    head(page, &["name", "type", "default", "evaluated", ""]);
    for attribute in schema.attributes() {
        let default = match (attribute.required, attribute.default) {
            (true, _) => "**required**".to_owned(),
            (false, "") => String::new(),
            (false, text) => format!("`{text}`"),
        };
        let when = match attribute.when {
            When::Start => "at start",
            When::Request => "per request",
        };
        let name = format!("`{}`", attribute.name);
        row(
            page,
            &[
                &name,
                attribute.kind.as_str(),
                &default,
                when,
                &about(attribute),
            ],
        );
    }
}

/// What is to be said about an attribute.
pub(super) fn about(attribute: &AttributeSchema) -> String {
    let mut text = attribute.docs.to_owned();
    if !attribute.one_of.is_empty() {
        let values: Vec<String> = attribute.one_of.iter().map(|v| format!("`{v}`")).collect();
        let _ = write!(text, " One of {}.", values.join(", "));
    }
    if attribute.positive {
        text.push_str(" Greater than zero.");
    }
    if attribute.unavailable {
        text.push_str(" Not available in this version.");
    }
    text
}

fn blocks(page: &mut String, schema: &'static BlockSchema) {
    if schema.blocks.is_empty() {
        return;
    }
    page.push_str("\n## Blocks\n\n");
    head(page, &["block", "how often", ""]);
    for child in schema.blocks {
        let name = link(child.schema());
        let docs = child.schema().docs;
        let lacking = if child.is_unavailable() {
            " Not available in this version."
        } else {
            ""
        };
        row(
            page,
            &[&name, often(child), format!("{docs}{lacking}").trim()],
        );
    }
}

fn rules(page: &mut String, schema: &'static BlockSchema) {
    if schema.rules.is_empty() {
        return;
    }
    page.push_str("\n## Rules\n\n");
    let list = |parts: &[&str]| {
        let quoted: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
        quoted.join(", ")
    };
    for rule in schema.rules {
        let _ = match rule {
            Rule::OneOf(parts) => writeln!(page, "* These exclude one another: {}.", list(parts)),
            Rule::AnyOf(parts) => writeln!(page, "* At least one of {} is needed.", list(parts)),
            Rule::Needs(first, others) => {
                writeln!(page, "* `{first}` needs one of {}.", list(others))
            }
        };
    }
}
