//! The forms of a page, as a browser would send them.

use std::collections::BTreeSet;

use super::value::Table;

/// One form.
#[derive(Debug, Default)]
pub struct Form {
    /// Where it goes.
    pub action: String,
    /// Its method in capitals.
    pub method: String,
    /// The fields that are sent without a button pressed.
    pub fields: Table,
    /// The names of all its fields and buttons.
    pub names: BTreeSet<String>,
}

/// The forms of a page in their order.
pub fn forms(page: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let name_end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        let name = name.to_ascii_lowercase();
        if name.is_empty() {
            continue;
        }
        let (attributes, after) = attributes(after);
        rest = after;
        let of = |wanted: &str| {
            attributes
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        match name.as_str() {
            "form" => forms.push(Form {
                action: of("action").unwrap_or_default().to_owned(),
                method: of("method").unwrap_or("get").to_ascii_uppercase(),
                ..Form::default()
            }),
            "input" | "button" | "select" | "textarea" => {
                let Some(form) = forms.last_mut() else {
                    continue;
                };
                let Some(field) = of("name").filter(|field| !field.is_empty()) else {
                    continue;
                };
                form.names.insert(field.to_owned());
                let default = if name == "input" { "text" } else { "submit" };
                let kind = of("type").unwrap_or(default).to_ascii_lowercase();
                let checked = of("checked").is_some();
                let pressed = matches!(
                    kind.as_str(),
                    "submit" | "button" | "image" | "checkbox" | "radio"
                );
                if name == "input" && !pressed || checked {
                    let value = of("value").unwrap_or(if checked { "on" } else { "" });
                    form.fields.set(field, value);
                }
            }
            "script" | "style" => {
                let end = format!("</{name}");
                rest = rest.find(&end).map_or("", |at| &rest[at..]);
            }
            _ => {}
        }
    }
    forms
}

/// The attributes of a tag up to its `>`, and what follows it.
fn attributes(tag: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = tag;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (found, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (found, after);
        }
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .map_or(rest.len(), |(at, _)| at);
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let (text, more) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    after[1..].split_once(quote).unwrap_or((&after[1..], ""))
                }
                _ => after.split_at(
                    after
                        .find(|c: char| c.is_ascii_whitespace() || c == '>')
                        .unwrap_or(after.len()),
                ),
            };
            value = unescaped(text);
            rest = more;
        }
        if !found.iter().any(|(known, _)| *known == name) {
            found.push((name, value));
        }
    }
}

/// A text with its character references resolved.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest
            .find(';')
            .filter(|end| *end < 12)
            .map(|end| &rest[1..end]);
        if let Some((name, c)) = reference.and_then(|name| Some((name, character(name)?))) {
            out.push(c);
            rest = &rest[name.len() + 2..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out + rest
}

fn character(reference: &str) -> Option<char> {
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
