//! Text to syntax with places, through `hcl-edit`.

use super::{Attribute, Block, Body, Name};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceId, Span, code};
use hcl_edit::Span as _;
use hcl_edit::structure::{BlockLabel, Structure};

/// Parses a file. A syntax error is a finding (the parser stops at the first).
pub fn parse(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Option<Body> {
    match hcl_edit::parser::parse_body(text) {
        Ok(body) => {
            let mut lowering = Lowering {
                source,
                text,
                diagnostics,
            };
            Some(lowering.body(&body))
        }
        Err(error) => {
            let at = error.location().offset().min(text.len());
            let (span, message, hint) = describe(text, at, error.message());
            let span = Span::new(source, span);
            let finding = Diagnostic::error(code::SYNTAX, span, message);
            diagnostics.push(finding.maybe_hint(hint.map(str::to_owned)));
            None
        }
    }
}

type Described = (std::ops::Range<usize>, String, Option<&'static str>);

/// Words the parser's message as one line, and says in the language's terms what users run into most.
fn describe(text: &str, at: usize, message: &str) -> Described {
    let rest = text.get(at..).unwrap_or("");
    let word: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || "_-".contains(*c))
        .collect();
    if message.contains("redefined attribute") {
        return (
            at..at + word.len(),
            format!("attribute `{word}` is set twice in this block"),
            None,
        );
    }
    let end = at + rest.chars().next().map_or(0, char::len_utf8);
    if message.starts_with("invalid attribute") && opens_block_in_line(text, at)
        || message.starts_with("invalid block body") && has_open_brace_in_line(text, at)
    {
        return (
            at..end,
            "syntax error: a block on one line holds at most one attribute and no block".into(),
            Some("begin a new line after `{`, and one for each attribute and block within"),
        );
    }
    let message = message.replace("; ", ": ").replace('\n', ", ");
    (at..end, format!("syntax error: {message}"), None)
}

/// Whether a block begins (its labels stand at `at`) within a block that began in the same line.
fn opens_block_in_line(text: &str, at: usize) -> bool {
    let rest = text.get(at..).and_then(|rest| rest.lines().next());
    let before_brace = rest.and_then(|rest| rest.split_once('{')).map(|(b, _)| b);
    before_brace.is_some_and(|labels| !labels.contains(['=', '}', '#']))
        && has_open_brace_in_line(text, at)
}

fn has_open_brace_in_line(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or("");
    let line = before.rsplit('\n').next().unwrap_or("");
    line.matches('{').count() > line.matches('}').count()
}

struct Lowering<'a> {
    source: SourceId,
    text: &'a str,
    diagnostics: &'a mut Diagnostics,
}

impl Lowering<'_> {
    fn span(&self, range: Option<std::ops::Range<usize>>) -> Span {
        Span::new(self.source, range.unwrap_or(0..0))
    }

    fn body(&mut self, body: &hcl_edit::structure::Body) -> Body {
        let mut result = Body::default();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let name = Name {
                        text: attribute.key.as_str().to_owned(),
                        span: self.span(attribute.key.span()),
                    };
                    result.attributes.push(Attribute {
                        name,
                        value: attribute.value.clone(),
                        value_span: self.span(attribute.value.span()),
                    });
                }
                Structure::Block(block) => result.blocks.push(self.block(block)),
            }
        }
        result
    }

    fn block(&mut self, block: &hcl_edit::structure::Block) -> Block {
        let kind = Name {
            text: block.ident.as_str().to_owned(),
            span: self.span(block.ident.span()),
        };
        let labels = block
            .labels
            .iter()
            .map(|label| self.label(label, &kind))
            .collect();
        Block {
            kind,
            labels,
            body: self.body(&block.body),
        }
    }

    fn label(&mut self, label: &BlockLabel, kind: &Name) -> Name {
        let range = match label {
            BlockLabel::Ident(ident) => ident.span(),
            BlockLabel::String(string) => string.span(),
        };
        let span = range.map_or(kind.span, |range| Span::new(self.source, range));
        let raw = self.text.get(span.range()).unwrap_or("");
        if matches!(label, BlockLabel::String(_)) && (has_template(raw) || raw.contains('\n')) {
            self.diagnostics.push(
                Diagnostic::error(
                    code::SYNTAX,
                    span,
                    "a label cannot hold a template or line break",
                )
                .hint("labels are plain text; write `$${` for a literal `${`"),
            );
        }
        Name {
            text: label.as_str().to_owned(),
            span,
        }
    }
}

fn has_template(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    (0..bytes.len().saturating_sub(1)).any(|at| {
        matches!(bytes[at], b'$' | b'%')
            && bytes[at + 1] == b'{'
            && (at == 0 || bytes[at - 1] != bytes[at])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<Body>, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let body = parse(SourceId(0), text, &mut diagnostics);
        let messages = diagnostics
            .sorted()
            .iter()
            .map(|d| d.message.clone())
            .collect();
        (body, messages)
    }

    #[test]
    fn names_and_labels_keep_their_places() {
        let text = "server \"s\" {\n  hosts = [\"a\"]\n  endpoint foo {\n  }\n}\n";
        let (body, messages) = parsed(text);
        assert!(messages.is_empty(), "{messages:?}");
        let body = body.unwrap();
        let server = &body.blocks[0];
        assert_eq!(server.label(), "s");
        assert_eq!(&text[server.header().range()], "server \"s\"");
        assert_eq!(
            &text[server.body.attributes[0].value_span.range()],
            "[\"a\"]"
        );
        assert_eq!(&text[server.body.blocks[0].labels[0].span.range()], "foo");
    }

    #[test]
    fn an_attribute_given_twice_is_named() {
        let (body, messages) = parsed("a {\n  x = 1\n  x = 2\n}\n");
        assert!(body.is_none());
        assert_eq!(messages, ["attribute `x` is set twice in this block"]);
    }

    #[test]
    fn blocks_on_one_line_hold_one_attribute_and_no_block() {
        assert!(parsed("a { x = 1 }\nb {}\n").0.is_some());
        assert!(parsed("a { b {} }\n").0.is_none());
        assert!(parsed("a { x = 1, y = 2 }\n").0.is_none());
    }

    #[test]
    fn what_does_not_fit_on_one_line_is_told() {
        for text in [
            "a { b {} }\n",
            "a {\n  b { c \"/\" {} }\n}\n",
            "a { x = 1 y = 2 }\n",
            "a { x = 1, y = 2 }\n",
            "a { x = 1 b {} }\n",
        ] {
            let found = parsed(text).1;
            assert!(found[0].contains("on one line"), "{text}: {found:?}");
        }
        for text in [
            "a {\n  b\n}\n",
            "a {\n  x = 1 y = 2\n}\n",
            "a {\n  b \"c\"\n}\n",
        ] {
            let found = parsed(text).1;
            assert!(!found[0].contains("on one line"), "{text}: {found:?}");
        }
    }

    #[test]
    fn labels_are_plain_text() {
        assert_eq!(parsed("a \"x${y}\" {\n}\n").1.len(), 1);
        assert_eq!(parsed("a \"x$${y}\" {\n}\n").1.len(), 0);
    }
}
