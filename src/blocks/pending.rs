//! Checks of blocks and attributes whose run-time part this version lacks.
//!
//! They are refused as a whole; their faults are reported beside that, as far as the tables tell
//! them, so that one run names everything that is to be mended.

use super::context::Context;
use super::schema::{AttributeSchema, BlockSchema, Kind, Rule, When};
use super::{Reader, Spanned};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::expr::Value;
use crate::hcl::{Attribute, Block, Body};

/// Checks a block with all that is in it.
pub(super) fn check(cx: &Context<'_>, block: &Block, schema: &'static BlockSchema) {
    Reader::new(cx, block, schema);
    for attribute in &block.body.attributes {
        if let Some(known) = schema.attribute(&attribute.name.text) {
            check_attribute(cx, attribute, known);
        }
    }
    for rule in schema.rules {
        check_rule(cx, block, *rule);
    }
    for inner in &block.body.blocks {
        let child = schema.block(&inner.kind.text);
        let Some(schema) = child.map(super::schema::Child::schema) else {
            continue;
        };
        if schema.name == "backend" {
            match inner.labels.first() {
                Some(label) => check_reference(cx, "backend", &label.text, label.span),
                None => check_anonymous(cx, &inner.body),
            }
        }
        // What is unavailable in its own right has been checked with its parent's body.
        if child.is_some_and(|child| !child.is_unavailable()) {
            check(cx, inner, schema);
        }
    }
}

/// Checks what an anonymous backend must not have.
pub(super) fn check_anonymous(cx: &Context<'_>, body: &Body) {
    for block in body.blocks_of("throttle") {
        let message = "`throttle` needs a backend with a label in `definitions`";
        cx.report(Diagnostic::error(code::CONFLICT, block.header(), message));
    }
}

/// Checks what holds between the unavailable blocks of a backend.
pub(super) fn check_backend(cx: &Context<'_>, body: &Body) {
    let mut periods = Vec::new();
    for attribute in body
        .blocks_of("throttle")
        .filter_map(|b| b.body.attribute("period"))
    {
        let text = cx.start_value_quietly(attribute);
        let text = text.as_ref().and_then(Value::as_str).map(str::to_owned);
        let Some(Ok(period)) = text.map(|text| super::duration::parse(&text)) else {
            continue;
        };
        if let Some((_, first)) = periods.iter().find(|(known, _)| *known == period) {
            let message = "duplicate period: two `throttle` blocks have the same `period`";
            cx.report(
                Diagnostic::error(code::DUPLICATE, attribute.value_span, message)
                    .related(*first, "first one"),
            );
        } else {
            periods.push((period, attribute.value_span));
        }
    }
}

/// Checks the value of an attribute by its kind.
pub(super) fn check_attribute(
    cx: &Context<'_>,
    attribute: &Attribute,
    known: &'static AttributeSchema,
) {
    let name = known.name;
    if known.when == When::Request {
        cx.program(attribute);
        return;
    }
    let Some(value) = cx.start_value(attribute) else {
        return;
    };
    let span = attribute.value_span;
    if !fits(known.kind, &value) {
        let message = format!(
            "found {} for `{name}`, which takes a {}",
            value.type_name(),
            known.kind.as_str()
        );
        cx.report(Diagnostic::error(code::WRONG_TYPE, span, message));
        return;
    }
    let text = value.borrowed().to_text();
    let text = text.map(|text| text.to_str_lossy().into_owned());
    let text = text.unwrap_or_default();
    if known.kind == Kind::Duration && !text.is_empty() {
        match super::duration::parse(&text) {
            Err(why) => {
                let message = format!("`{name}`: `{text}` is no duration: {why}");
                cx.report(
                    Diagnostic::error(code::BAD_VALUE, span, message)
                        .hint("durations look like `300ms`, `1.5s`, `1h30m`"),
                );
            }
            Ok(duration) if known.positive && duration.is_zero() => not_positive(cx, name, span),
            Ok(_) => {}
        }
    }
    if known.kind == Kind::Number && known.positive && text.parse::<f64>().is_ok_and(|n| n <= 0.0) {
        not_positive(cx, name, span);
    }
    if !known.one_of.is_empty() && !text.is_empty() && !known.one_of.contains(&text.as_str()) {
        report_choice(cx, known, &text, span);
    }
    if known.kind == Kind::Path {
        let value = cx.resolve(&text, span);
        cx.read_file(name, &Spanned { value, span });
    }
    if let Some(kind) = known.refers_to {
        check_reference(cx, kind, &text, span);
    }
}

/// Reports a value that is none of those an attribute may have.
pub(super) fn report_choice(
    cx: &Context<'_>,
    known: &'static AttributeSchema,
    text: &str,
    span: Span,
) {
    let list: Vec<String> = known.one_of.iter().map(|v| format!("`{v}`")).collect();
    let message = format!(
        "`{}` is `{text}`, expected {}",
        known.name,
        list.join(" or ")
    );
    cx.report(
        Diagnostic::error(code::BAD_VALUE, span, message)
            .maybe_hint(did_you_mean(text, known.one_of.iter().copied())),
    );
}

fn not_positive(cx: &Context<'_>, name: &str, span: Span) {
    let message = format!("`{name}` must be greater than zero");
    cx.report(Diagnostic::error(code::BAD_VALUE, span, message));
}

fn check_reference(cx: &Context<'_>, kind: &str, label: &str, span: Span) {
    let labels = cx.labels(kind);
    if !labels.iter().any(|known| known == label) {
        let message = format!("referenced {kind} `{label}` is not defined");
        cx.report(
            Diagnostic::error(code::UNDEFINED, span, message)
                .maybe_hint(did_you_mean(label, labels.iter().map(String::as_str))),
        );
    }
}

fn fits(kind: Kind, value: &Value<'_>) -> bool {
    let text = || value.borrowed().to_text().is_some();
    let items = |each: &dyn Fn(&Value<'_>) -> bool| {
        value.is_null() || value.as_items().is_some_and(|items| items.iter().all(each))
    };
    match kind {
        Kind::String | Kind::Duration | Kind::Size | Kind::Path => text(),
        Kind::Bool => value.to_bool().is_some(),
        Kind::Number => value.to_number().is_some(),
        Kind::Strings => items(&|item| item.borrowed().to_text().is_some()),
        Kind::Numbers => items(&|item| item.to_number().is_some()),
        Kind::StringOrStrings => text() || items(&|item| item.borrowed().to_text().is_some()),
        Kind::Object => value.is_null() || (!text() && value.as_items().is_none()),
        Kind::Any => true,
    }
}

/// The place of a part of a block, if it is there.
fn place(block: &Block, part: &str) -> Option<Span> {
    match part.strip_suffix(" {}") {
        Some(kind) => block.body.blocks_of(kind).next().map(Block::header),
        None => block.body.attribute(part).map(|a| a.name.span),
    }
}

/// Checks one rule.
pub(super) fn check_rule(cx: &Context<'_>, block: &Block, rule: Rule) {
    let list = |parts: &[&str]| {
        let quoted: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
        quoted.join(" or ")
    };
    match rule {
        Rule::OneOf(parts) => {
            let mut given = parts
                .iter()
                .filter_map(|part| Some((part, place(block, part)?)));
            if let (Some((first, at)), Some((second, span))) = (given.next(), given.next()) {
                let message = format!("`{first}` and `{second}` exclude one another");
                cx.report(
                    Diagnostic::error(code::CONFLICT, span, message).related(at, "the other one"),
                );
            }
        }
        Rule::AnyOf(parts) => {
            if parts.iter().all(|part| place(block, part).is_none()) {
                let message = format!("`{}` needs {}", block.kind.text, list(parts));
                cx.report(Diagnostic::error(code::MISSING, block.header(), message));
            }
        }
        Rule::Needs(first, others) => {
            if let Some(at) = place(block, first)
                && others.iter().all(|part| place(block, part).is_none())
            {
                let message = format!("`{first}` needs {}", list(others));
                cx.report(Diagnostic::error(code::MISSING, at, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{self, Options};
    use crate::hcl::Input;

    /// The messages of a load of a server with these definitions, without "not available".
    fn messages(definitions: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("couper.hcl");
        let server = "server {\n  endpoint \"/\" {\n    response {}\n  }\n}\n";
        std::fs::write(
            &file,
            format!("{server}definitions {{\n{definitions}\n}}\n"),
        )
        .unwrap();
        let options = Options {
            inputs: vec![Input::File(file)],
            ..Options::default()
        };
        let loaded = config::load(&options);
        assert!(loaded.tree.is_none());
        let all = loaded.diagnostics.sorted();
        let code = crate::diagnostic::code::NOT_AVAILABLE;
        all.iter()
            .filter(|d| d.code != code)
            .map(|d| d.message.clone())
            .collect()
    }

    #[test]
    fn what_is_unavailable_is_checked_all_the_same() {
        let cases = [(
            "job \"j\" {\n interval = \"x\"\n nonsense = 1\n}",
            vec![
                "job `j` needs a `request` block",
                "job `j`: `interval`: `x` is no duration: ",
                "unknown attribute `nonsense` in `job`",
            ],
        )];
        check(&cases);
    }

    #[test]
    fn throttles_are_checked_together() {
        check(&[
            (
                "backend \"b\" {\n throttle {\n period = \"60s\"\n per_period = 1\n }\n throttle {\n period = \"1m\"\n per_period = 2\n }\n}",
                vec!["duplicate period"],
            ),
            (
                "proxy \"p\" {\n backend {\n origin = \"http://localhost\"\n throttle {\n period = \"1s\"\n per_period = 1\n }\n }\n}",
                vec!["`throttle` needs a backend with a label"],
            ),
        ]);
    }

    fn check(cases: &[(&str, Vec<&str>)]) {
        for (text, wanted) in cases {
            let found = messages(text);
            assert_eq!(found.len(), wanted.len(), "{found:#?}");
            for part in wanted {
                assert!(found.iter().any(|m| m.contains(part)), "{part}: {found:#?}");
            }
        }
    }
}
