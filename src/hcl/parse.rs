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
            let (span, message) = describe(text, at, error.message());
            let span = Span::new(source, span);
            diagnostics.push(Diagnostic::error(code::SYNTAX, span, message));
            None
        }
    }
}

/// Words the parser's message as one line and, for an attribute given twice, names the attribute.
fn describe(text: &str, at: usize, message: &str) -> (std::ops::Range<usize>, String) {
    let rest = text.get(at..).unwrap_or("");
    let word: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || "_-".contains(*c))
        .collect();
    if message.contains("redefined attribute") {
        return (
            at..at + word.len(),
            format!("attribute `{word}` is set twice in this block"),
        );
    }
    let message = message.replace("; ", ": ").replace('\n', ", ");
    let end = at + rest.chars().next().map_or(0, char::len_utf8);
    (at..end, format!("syntax error: {message}"))
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
    fn labels_are_plain_text() {
        assert_eq!(parsed("a \"x${y}\" {\n}\n").1.len(), 1);
        assert_eq!(parsed("a \"x$${y}\" {\n}\n").1.len(), 0);
    }
}
