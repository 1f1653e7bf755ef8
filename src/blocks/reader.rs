//! Reading a block by its schema: checks what is there, then hands out typed values.

use super::context::Context;
use super::pending;
use super::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels, Occurs};
use crate::diagnostic::former;
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::expr::{Program, Value};
use crate::hcl::{Attribute, Block, Body, Name};
use std::path::PathBuf;
use std::time::Duration;

/// A value with the place it was written at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

/// A block together with its schema, checked once.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// What is known while loading.
    pub cx: &'a Context<'a>,
    /// The block as written.
    pub block: &'a Block,
    schema: &'static BlockSchema,
}

impl<'a> Reader<'a> {
    /// Reads a block, reporting what its schema does not allow. Inner blocks are checked when they
    /// are read themselves.
    pub fn new(cx: &'a Context<'a>, block: &'a Block, schema: &'static BlockSchema) -> Self {
        let reader = Self { cx, block, schema };
        reader.check_labels();
        check_body(cx, &block.body, schema, block.header());
        reader
    }

    /// A block whose parts have been checked at their own places, such as a merged one.
    pub fn quiet(cx: &'a Context<'a>, block: &'a Block, schema: &'static BlockSchema) -> Self {
        Self { cx, block, schema }
    }

    /// The schema.
    pub fn schema(&self) -> &'static BlockSchema {
        self.schema
    }

    /// The place to point at for findings about the block as a whole.
    pub fn span(&self) -> Span {
        self.block.header()
    }

    /// The first label.
    pub fn label(&self) -> Option<&'a Name> {
        self.block.labels.first()
    }

    fn check_labels(&self) {
        let (labels, kind) = (&self.block.labels, self.schema.name);
        let allowed = match self.schema.labels {
            Labels::None => 0,
            Labels::Optional | Labels::Required => 1,
            Labels::Any => usize::MAX,
        };
        if self.schema.labels == Labels::Required && labels.is_empty() {
            let message = format!("`{kind}` needs a label");
            self.cx
                .report(Diagnostic::error(code::LABELS, self.span(), message));
        }
        if let Some(extra) = labels.get(allowed) {
            let message = match allowed {
                0 => format!("`{kind}` has no label, found `{}`", extra.text),
                _ => format!(
                    "`{kind}` has one label only, found another one: `{}`",
                    extra.text
                ),
            };
            self.cx
                .report(Diagnostic::error(code::LABELS, extra.span, message));
        }
    }

    /// The attribute as written; `name` must be in the schema.
    pub fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        debug_assert!(
            self.schema.attribute(name).is_some(),
            "{name} is not in the schema"
        );
        self.block.body.attribute(name)
    }

    /// Whether the attribute is given.
    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// The blocks of a type; `name` must be in the schema.
    pub fn blocks(&self, name: &'static str) -> impl Iterator<Item = &'a Block> + use<'a> {
        debug_assert!(
            self.schema.block(name).is_some(),
            "{name} is not in the schema"
        );
        self.block
            .body
            .blocks
            .iter()
            .filter(move |block| block.kind.text == name)
    }

    /// The first block of a type.
    pub fn inner(&self, name: &'static str) -> Option<&'a Block> {
        self.blocks(name).next()
    }

    /// The value of a start attribute. A failing expression is a finding and gives `None`.
    pub fn value(&self, name: &str) -> Option<Spanned<Value<'static>>> {
        let attribute = self.attribute(name)?;
        let value = self.cx.start_value(attribute)?;
        Some(Spanned {
            value,
            span: attribute.value_span,
        })
    }

    /// Compiles a request attribute.
    pub fn program(&self, name: &str) -> Option<Program> {
        self.cx.program(self.attribute(name)?)
    }

    fn wrong_type(&self, name: &str, span: Span, value: &Value<'_>, wanted: &str) {
        let found = value.type_name();
        let message = format!("found {found} for `{name}`, which takes a {wanted}");
        self.cx
            .report(Diagnostic::error(code::WRONG_TYPE, span, message));
    }

    fn typed<T>(
        &self,
        name: &str,
        convert: impl Fn(&Value<'_>) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let kind = self.schema.attribute(name).map_or(Kind::Any, |a| a.kind);
        let Spanned { value, span } = self.value(name)?;
        match convert(&value) {
            Some(value) => Some(Spanned { value, span }),
            None => {
                self.wrong_type(name, span, &value, kind.as_str());
                None
            }
        }
    }

    /// A string of a start attribute; numbers and bools are converted.
    pub fn string(&self, name: &str) -> Option<Spanned<String>> {
        self.typed(name, text_of)
    }

    /// A string, empty ones counting as not given.
    pub fn filled(&self, name: &str) -> Option<Spanned<String>> {
        self.string(name).filter(|s| !s.value.is_empty())
    }

    /// A string of a required attribute; an empty one is a finding.
    pub fn required(&self, name: &str) -> Option<String> {
        let text = self.string(name)?;
        if text.value.is_empty() {
            let message = format!("`{}`: `{name}` must not be empty", self.schema.name);
            self.cx
                .report(Diagnostic::error(code::MISSING, text.span, message));
            return None;
        }
        Some(text.value)
    }

    /// A string that is one of those the schema names; another one is a finding.
    pub fn choice(&self, name: &str) -> Option<&'static str> {
        let schema = self.schema.attribute(name)?;
        let text = self.string(name)?;
        if text.value.is_empty() && !schema.required {
            return None;
        }
        let known = schema.one_of.iter().find(|value| **value == text.value);
        if known.is_none() {
            pending::report_choice(self.cx, schema, &text.value, text.span);
        }
        known.copied()
    }

    /// Checks what the schema says holds between the parts.
    pub fn check_rules(&self) {
        for rule in self.schema.rules {
            pending::check_rule(self.cx, self.block, *rule);
        }
    }

    /// A bool of a start attribute; `"true"` and `"false"` are converted.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.typed(name, bool_of).map(|b| b.value)
    }

    /// A whole number of a start attribute, not negative.
    pub fn number(&self, name: &str) -> Option<Spanned<u64>> {
        self.typed(name, |value| {
            u64::try_from(value.to_number()?.as_i64()?).ok()
        })
    }

    /// A list of strings of a start attribute; null counts as not given.
    pub fn strings(&self, name: &str) -> Option<Spanned<Vec<Spanned<String>>>> {
        let Spanned { value, span } = self.value(name)?;
        if value.is_null() {
            return None;
        }
        let kind = self
            .schema
            .attribute(name)
            .map_or(Kind::Strings, |a| a.kind);
        if kind == Kind::StringOrStrings
            && let Some(text) = text_of(&value)
        {
            return Some(Spanned {
                value: vec![Spanned { value: text, span }],
                span,
            });
        }
        let items = value
            .as_items()
            .map(|items| items.iter().map(text_of).collect::<Option<Vec<_>>>());
        let Some(Some(items)) = items else {
            self.wrong_type(name, span, &value, kind.as_str());
            return None;
        };
        let spans = self
            .attribute(name)
            .map(Context::element_spans)
            .unwrap_or_default();
        let items = items
            .into_iter()
            .enumerate()
            .map(|(at, value)| Spanned {
                value,
                span: spans.get(at).copied().unwrap_or(span),
            })
            .collect();
        Some(Spanned { value: items, span })
    }

    /// A duration of a start attribute; the empty string counts as not given.
    pub fn duration(&self, name: &str) -> Option<Spanned<Duration>> {
        let Spanned { value, span } = self.string(name)?;
        if value.is_empty() {
            return None;
        }
        match super::duration::parse(&value) {
            Ok(value) => Some(Spanned { value, span }),
            Err(why) => {
                let message = format!("`{name}`: `{value}` is no duration: {why}");
                self.cx.report(
                    Diagnostic::error(code::BAD_VALUE, span, message)
                        .hint("durations look like `300ms`, `1.5s`, `1h30m`"),
                );
                None
            }
        }
    }

    /// A duration that may also be written in days.
    pub fn long_duration(&self, name: &str) -> Option<Spanned<Duration>> {
        let Spanned { value, span } = self.string(name)?;
        match super::duration::parse_with_days(&value) {
            Ok(value) => Some(Spanned { value, span }),
            Err(why) => {
                let message = format!("`{name}`: `{value}` is no duration: {why}");
                self.cx.report(
                    Diagnostic::error(code::BAD_VALUE, span, message)
                        .hint("durations look like `90s`, `1h30m`, `30d`"),
                );
                None
            }
        }
    }

    /// The same as [`Self::choice`], with its place.
    pub fn one_of(&self, name: &str) -> Option<Spanned<String>> {
        let given = self.filled(name)?;
        self.choice(name).is_some().then_some(given)
    }

    /// A path of a start attribute, resolved against the folder of the file it stands in.
    pub fn path(&self, name: &str) -> Option<Spanned<PathBuf>> {
        let Spanned { value, span } = self.string(name)?;
        if value.is_empty() {
            let message = format!("`{name}` is an empty path");
            self.cx.report(Diagnostic::error(code::FILE, span, message));
            return None;
        }
        Some(Spanned {
            value: self.cx.resolve(&value, span),
            span,
        })
    }

    /// The bytes of the file a path attribute names: it must be readable and not empty.
    pub fn file(&self, name: &str) -> Option<Spanned<Vec<u8>>> {
        let path = self.path(name)?;
        let value = self.cx.read_file(name, &path)?;
        Some(Spanned {
            value,
            span: path.span,
        })
    }

    /// The content of a `name`/`name_file` pair; both given is a finding.
    pub fn inline_or_file(&self, inline: &str, file: &str) -> Option<Spanned<Vec<u8>>> {
        if let (Some(first), Some(second)) = (self.attribute(inline), self.attribute(file)) {
            let message = format!("`{inline}` and `{file}` exclude one another");
            self.cx.report(
                Diagnostic::error(code::CONFLICT, second.name.span, message)
                    .related(first.name.span, "the other one"),
            );
            return None;
        }
        match self.string(inline) {
            Some(text) => Some(Spanned {
                value: text.value.into_bytes(),
                span: text.span,
            }),
            None => self.file(file),
        }
    }

    /// Reports a fault of an attribute's value.
    pub fn bad_value(&self, span: Span, message: impl Into<String>) {
        self.cx
            .report(Diagnostic::error(code::BAD_VALUE, span, message));
    }
}

fn bool_of(value: &Value<'_>) -> Option<bool> {
    value.to_bool()
}

/// A string, number or bool as text.
fn text_of(value: &Value<'_>) -> Option<String> {
    value
        .borrowed()
        .to_text()
        .map(|text| text.to_str_lossy().into_owned())
}

/// Reports attributes and blocks that the schema lacks, missing ones, and blocks given too often.
pub(crate) fn check_body(
    cx: &Context<'_>,
    body: &Body,
    schema: &'static BlockSchema,
    header: Span,
) {
    for attribute in &body.attributes {
        match schema.attribute(&attribute.name.text) {
            None => unknown_attribute(cx, attribute, schema),
            Some(known) if known.unavailable => {
                not_available(cx, "attribute", &attribute.name);
                pending::check_attribute(cx, attribute, known);
            }
            Some(_) => {}
        }
    }
    for known in schema.attributes().filter(|known| known.required) {
        if body.attribute(known.name).is_none() {
            let message = format!("`{}` needs the attribute `{}`", schema.name, known.name);
            cx.report(Diagnostic::error(code::MISSING, header, message).maybe_hint(example(known)));
        }
    }
    if schema.name == "backend" {
        pending::check_backend(cx, body);
    }
    for block in &body.blocks {
        let name = block.kind.text.as_str();
        match schema.block(name) {
            None => unknown_block(cx, block, schema),
            Some(child) => {
                if let Child::Later(inner, _) = child {
                    not_available(cx, "block", &block.kind);
                    pending::check(cx, block, inner);
                }
                if child.occurs() == Occurs::Many {
                    continue;
                }
                let first = body.blocks_of(name).next();
                if let Some(first) = first.filter(|first| !std::ptr::eq(*first, block)) {
                    let message = format!("`{}` holds one `{name}` block only", schema.name);
                    cx.report(
                        Diagnostic::error(code::TOO_MANY, block.header(), message)
                            .related(first.header(), "first one"),
                    );
                }
            }
        }
    }
}

fn example(known: &AttributeSchema) -> Option<String> {
    let value = match known.kind {
        Kind::String | Kind::Path | Kind::StringOrStrings => "\"…\"",
        Kind::Duration => "\"10s\"",
        Kind::Strings => "[\"…\"]",
        Kind::Object => "{ … }",
        Kind::Bool | Kind::Number | Kind::Size | Kind::Numbers | Kind::Any => return None,
    };
    Some(format!("add `{} = {value}`", known.name))
}

fn unknown_attribute(cx: &Context<'_>, attribute: &Attribute, schema: &'static BlockSchema) {
    let name = attribute.name.text.as_str();
    let hint = if schema.block(name).is_some() {
        Some(format!("`{name}` is a block: write `{name} {{ … }}`"))
    } else {
        former::attribute_today(schema.name, name)
            .or_else(|| did_you_mean(name, schema.attributes().map(|a| a.name)))
            .or_else(|| super::home_of(name))
    };
    let message = format!("unknown attribute `{name}` in `{}`", schema.name);
    cx.report(
        Diagnostic::error(code::UNKNOWN_ATTRIBUTE, attribute.name.span, message).maybe_hint(hint),
    );
}

fn unknown_block(cx: &Context<'_>, block: &Block, schema: &'static BlockSchema) {
    let name = block.kind.text.as_str();
    let hint = if schema.attribute(name).is_some() {
        Some(format!("`{name}` is an attribute: write `{name} = …`"))
    } else {
        former::block_today(schema.name, name)
            .or_else(|| did_you_mean(name, schema.blocks.iter().map(Child::name)))
            .or_else(|| super::home_of(name))
    };
    let place = if schema.name.is_empty() {
        "at the top of a file".to_owned()
    } else {
        format!("in `{}`", schema.name)
    };
    let message = format!("unknown block `{name}` {place}");
    cx.report(Diagnostic::error(code::UNKNOWN_BLOCK, block.kind.span, message).maybe_hint(hint));
}

fn not_available(cx: &Context<'_>, what: &str, name: &Name) {
    let message = format!("{what} `{}` is not available in this version", name.text);
    cx.report(Diagnostic::error(code::NOT_AVAILABLE, name.span, message));
}
