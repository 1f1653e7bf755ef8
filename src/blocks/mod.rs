//! The block types of the language, one file or folder each, named as in HCL.
//!
//! Such a file holds, top to bottom: what the block is for, its schema table, the typed form with
//! its checks, and the part that works at run time. To add a block write its file and name its
//! schema in the table of its parent; to add an access control name its
//! module in the registry of [`access`].

pub mod access;
pub mod api;
pub mod authorization_server;
pub mod backend;
mod certificates;
pub mod client_authentication;
pub mod context;
pub mod cors;
pub mod defaults;
pub mod definitions;
pub mod duration;
pub mod endpoint;
pub mod error_file;
pub mod error_handler;
pub mod files;
pub mod fingerprint;
pub mod form;
pub mod job;
pub mod jwt_signing_profile;
pub mod modifiers;
pub mod oauth2;
pub mod path;
mod pending;
pub mod proxy;
pub mod reader;
pub mod request;
pub mod response;
pub mod schema;
pub mod server;
pub mod settings;
pub mod site;
pub mod spa;
pub mod websockets;

pub use context::Context;
pub use definitions::Definitions;
pub use fingerprint::Fingerprint;
pub use reader::{Reader, Spanned};

use schema::{BlockSchema, Child, Labels};

/// The top of a file.
pub static ROOT: BlockSchema = BlockSchema {
    name: "",
    labels: Labels::None,
    attributes: &[],
    groups: &[],
    blocks: &[
        Child::many(&server::SCHEMA),
        Child::many(&definitions::SCHEMA),
        Child::many(&defaults::SCHEMA),
        Child::many(&settings::SCHEMA),
        Child::optional(&authorization_server::storage::SCHEMA),
        Child::optional(&authorization_server::admin::SCHEMA),
    ],
    rules: &[],
    docs: "A configuration file.",
    example: r#"server {
  endpoint "/" {
    response { body = "hello" }
  }
}
"#,
};

/// Every block type of the language, each once, by walking the tables from the top.
pub fn all() -> Vec<&'static BlockSchema> {
    let mut found: Vec<&'static BlockSchema> = vec![&ROOT];
    let mut at = 0;
    while let Some(schema) = found.get(at).copied() {
        for child in schema.blocks {
            let inner = child.schema();
            if !found.iter().any(|known| std::ptr::eq(*known, inner)) {
                found.push(inner);
            }
        }
        at += 1;
    }
    found
}

/// For a name that is unknown where it stands: the blocks that do take it.
fn home_of(name: &str) -> Option<String> {
    let mut homes: Vec<&str> = all()
        .into_iter()
        .filter(|schema| schema.attribute(name).is_some() || schema.block(name).is_some())
        .map(|schema| {
            if schema.name.is_empty() {
                "the top of a file"
            } else {
                schema.name
            }
        })
        .collect();
    homes.dedup();
    let list: Vec<String> = homes
        .iter()
        .map(|home| {
            if home.contains(' ') {
                (*home).to_owned()
            } else {
                format!("`{home}`")
            }
        })
        .collect();
    match list.as_slice() {
        [] => None,
        [home] => Some(format!("it belongs in {home}")),
        [first @ .., last] => Some(format!("it belongs in {} or {last}", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_table_are_unique_and_documented() {
        for schema in all() {
            let mut names: Vec<&str> = schema.attributes().map(|a| a.name).collect();
            assert!(
                schema.attributes().all(|a| a.docs.ends_with('.')),
                "{}",
                schema.name
            );
            assert!(!schema.docs.is_empty(), "{}", schema.name);
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", schema.name);
        }
    }

    #[test]
    fn a_misplaced_name_is_sent_home() {
        assert_eq!(
            home_of("idp_metadata_url").as_deref(),
            Some("it belongs in `saml`")
        );
        assert_eq!(home_of("nonsense"), None);
    }
}
