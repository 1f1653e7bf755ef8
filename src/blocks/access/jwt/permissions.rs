//! Permissions that a token grants, directly or through roles.

use crate::blocks::reader::Reader;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::expr::{Fractions, Value};
use std::collections::BTreeMap;

type Map = BTreeMap<String, Vec<String>>;

/// How permissions follow from claims.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    permissions_claim: Option<String>,
    roles_claim: Option<String>,
    roles: Map,
    permissions: Map,
}

impl Permissions {
    pub(super) fn read(reader: Reader<'_>) -> Self {
        let claim = |name: &str| reader.filled(name).map(|text| text.value);
        let permissions = Self {
            permissions_claim: claim("permissions_claim"),
            roles_claim: claim("roles_claim"),
            roles: map(reader, "roles_map", "roles_map_file"),
            permissions: map(reader, "permissions_map", "permissions_map_file"),
        };
        let has_map = reader.has("roles_map") || reader.has("roles_map_file");
        if permissions.roles_claim.is_some() && !has_map {
            let message = "`roles_claim` needs `roles_map` or `roles_map_file`";
            let span = reader
                .attribute("roles_claim")
                .map_or(reader.span(), |a| a.name.span);
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, span, message));
        }
        permissions
    }

    /// Whether tokens can grant anything at all.
    pub(super) fn grants(&self) -> bool {
        self.permissions_claim.is_some() || self.roles_claim.is_some()
    }

    /// The permissions of a token, in the order granted, each once.
    pub(super) fn of(&self, claims: &Value<'_>) -> Vec<String> {
        let mut granted = Vec::new();
        if let Some(words) = self
            .permissions_claim
            .as_deref()
            .and_then(|name| words(claims, name, "permissions"))
        {
            add(&mut granted, &words);
        }
        if let Some(name) = &self.roles_claim {
            for role in words(claims, name, "roles").unwrap_or_default() {
                add(
                    &mut granted,
                    self.roles.get(&role).map_or(&[], Vec::as_slice),
                );
            }
            if has(claims, name) {
                add(&mut granted, self.roles.get("*").map_or(&[], Vec::as_slice));
            }
        }
        let mut at = 0;
        while let Some(permission) = granted.get(at) {
            let more = self
                .permissions
                .get(permission)
                .cloned()
                .unwrap_or_default();
            add(&mut granted, &more);
            at += 1;
        }
        granted
    }
}

fn add(granted: &mut Vec<String>, more: &[String]) {
    for permission in more {
        let permission = permission.trim();
        if !permission.is_empty() && !granted.iter().any(|known| known == permission) {
            granted.push(permission.to_owned());
        }
    }
}

fn has(claims: &Value<'_>, name: &str) -> bool {
    claims
        .as_fields()
        .is_some_and(|claims| claims.get(name.as_bytes()).is_some())
}

/// A claim that is a string of words or a list of strings; others are ignored with a warning.
fn words(claims: &Value<'_>, name: &str, what: &str) -> Option<Vec<String>> {
    let claim = claims.as_fields()?.get(name.as_bytes())?;
    let list = match (claim.as_str(), claim.as_items()) {
        (Some(text), _) => Some(text.split(' ').map(str::to_owned).collect()),
        (None, Some(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>(),
        (None, None) => None,
    };
    if list.is_none() {
        tracing::warn!(
            claim = name,
            "the {what} claim is ignored: it is neither a string nor a list of strings"
        );
    }
    list
}

/// A map of lists from an attribute or a JSON file; both are refused.
fn map(reader: Reader<'_>, inline: &str, file: &str) -> Map {
    if let (Some(first), Some(second)) = (reader.attribute(inline), reader.attribute(file)) {
        let message = format!("`{inline}` and `{file}` exclude one another");
        reader.cx.report(
            Diagnostic::error(code::CONFLICT, second.name.span, message)
                .related(first.name.span, "the other one"),
        );
        return Map::new();
    }
    if let Some(value) = reader.value(inline) {
        return lists(reader, inline, &value.value, value.span);
    }
    let Some(bytes) = reader.file(file) else {
        return Map::new();
    };
    match Value::from_json(&bytes.value, Fractions::Exact) {
        Ok(value) => lists(reader, file, &value, bytes.span),
        Err(error) => {
            reader.bad_value(
                bytes.span,
                format!("`{file}`: the file is no JSON: {error}"),
            );
            Map::new()
        }
    }
}

fn lists(reader: Reader<'_>, name: &str, value: &Value<'_>, span: Span) -> Map {
    let entry = |(key, list): &(crate::expr::Text<'_>, Value<'_>)| {
        let items = list
            .as_items()?
            .iter()
            .map(|item| item.as_str().map(str::to_owned));
        Some((
            key.to_str_lossy().into_owned(),
            items.collect::<Option<Vec<_>>>()?,
        ))
    };
    let map = value
        .as_fields()
        .and_then(|fields| fields.as_slice().iter().map(entry).collect());
    map.unwrap_or_else(|| {
        reader.bad_value(
            span,
            format!("`{name}` must hold an object of lists of strings"),
        );
        Map::new()
    })
}
