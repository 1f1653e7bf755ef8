//! Templates: quoted and heredoc, taken apart at compile time.
//!
//! The literals come from the text of the file, not from the parser: it does not know the
//! back-slash escapes inside of directives, and takes indentation away by other rules than HCL.
//! A template is first made flat, as strip markers and indentation work on neighbours whatever
//! their nesting, and then a tree again.

use std::iter::Peekable;
use std::vec::IntoIter;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::template::{Directive, Element, HeredocTemplate, StringTemplate, Strip, Template};

use crate::diagnostic::Span;
use crate::expr::compile::Compiler;
use crate::expr::program::{Kind, Node, Part};

enum Token<'e> {
    Literal(String),
    Value(&'e Expression),
    If(&'e Expression),
    Else,
    EndIf,
    For {
        names: [Option<String>; 2],
        source: &'e Expression,
    },
    EndFor,
}

struct Flat<'e> {
    token: Token<'e>,
    strip: Strip,
}

type Tokens<'e> = Peekable<IntoIter<Flat<'e>>>;

impl Compiler<'_> {
    pub(super) fn quoted(&mut self, template: &StringTemplate) -> Kind {
        let mut flat = Vec::new();
        self.flatten(template, true, &mut flat);
        // One interpolation alone is the value itself.
        if let [
            Flat {
                token: Token::Value(expr),
                ..
            },
        ] = flat[..]
        {
            return self.expression(expr).kind;
        }
        strip(&mut flat);
        self.tree(flat)
    }

    pub(super) fn heredoc(&mut self, heredoc: &HeredocTemplate) -> Kind {
        let mut flat = Vec::new();
        self.flatten(&heredoc.template, false, &mut flat);
        strip(&mut flat);
        let source = self.source(heredoc.span()).unwrap_or_default();
        if heredoc.indent().is_some() || source.starts_with("<<-") {
            take_indentation(&mut flat);
        }
        self.tree(flat)
    }

    fn tree(&mut self, flat: Vec<Flat<'_>>) -> Kind {
        Kind::Template(self.parts(&mut flat.into_iter().peekable()))
    }

    fn flatten<'e>(&mut self, template: &'e Template, quoted: bool, out: &mut Vec<Flat<'e>>) {
        for element in template {
            match element {
                Element::Literal(literal) => {
                    let text = match self.source(literal.span()) {
                        Some(raw) => self.unescape(raw, quoted, self.span(literal.span())),
                        None => literal.to_string(),
                    };
                    if quoted {
                        out.push(Flat {
                            token: Token::Literal(text),
                            strip: Strip::None,
                        });
                    } else {
                        for line in text.split_inclusive('\n') {
                            out.push(Flat {
                                token: Token::Literal(line.to_owned()),
                                strip: Strip::None,
                            });
                        }
                    }
                }
                Element::Interpolation(value) => {
                    out.push(Flat {
                        token: Token::Value(&value.expr),
                        strip: value.strip,
                    });
                }
                Element::Directive(directive) => {
                    self.flatten_directive(directive, quoted, out);
                }
            }
        }
    }

    fn flatten_directive<'e>(
        &mut self,
        directive: &'e Directive,
        quoted: bool,
        out: &mut Vec<Flat<'e>>,
    ) {
        match directive {
            Directive::If(directive) => {
                let (then, otherwise) = (&directive.if_expr, &directive.else_expr);
                out.push(Flat {
                    token: Token::If(&then.cond_expr),
                    strip: then.strip,
                });
                self.flatten(&then.template, quoted, out);
                if let Some(otherwise) = otherwise {
                    out.push(Flat {
                        token: Token::Else,
                        strip: otherwise.strip,
                    });
                    self.flatten(&otherwise.template, quoted, out);
                }
                out.push(Flat {
                    token: Token::EndIf,
                    strip: directive.endif_expr.strip,
                });
            }
            Directive::For(directive) => {
                let intro = &directive.for_expr;
                let names = [
                    intro.key_var.as_ref().map(ToString::to_string),
                    Some(intro.value_var.to_string()),
                ];
                let token = Token::For {
                    names,
                    source: &intro.collection_expr,
                };
                out.push(Flat {
                    token,
                    strip: intro.strip,
                });
                self.flatten(&intro.template, quoted, out);
                out.push(Flat {
                    token: Token::EndFor,
                    strip: directive.endfor_expr.strip,
                });
            }
        }
    }

    fn unescape(&mut self, raw: &str, quoted: bool, span: Span) -> String {
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(c) = rest.chars().next() {
            if rest.starts_with("$${") || rest.starts_with("%%{") {
                out.push_str(&rest[1..3]);
                rest = &rest[3..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '\n' if quoted => self.refuse(span, "line break inside a quoted string"),
                '"' if quoted => self.refuse(span, "quote inside a quoted string; write `\\\"`"),
                '\\' if quoted => match escape(rest) {
                    Some((c, length)) => {
                        out.push(c);
                        rest = &rest[length..];
                        continue;
                    }
                    None => self.refuse(span, "unknown escape sequence in a quoted string"),
                },
                _ => {}
            }
            out.push(c);
        }
        out
    }

    fn parts(&mut self, tokens: &mut Tokens<'_>) -> Box<[Part]> {
        let mut parts = Vec::new();
        loop {
            let closing =
                |flat: &Flat<'_>| !matches!(flat.token, Token::Else | Token::EndIf | Token::EndFor);
            let Some(flat) = tokens.next_if(closing) else {
                return parts.into();
            };
            match flat.token {
                Token::Literal(text) if text.is_empty() => {}
                Token::Literal(text) => match parts.last_mut() {
                    Some(Part::Literal(before)) => {
                        *before = [&**before, text.as_bytes()].concat().into();
                    }
                    _ => parts.push(Part::Literal(text.into_bytes().into())),
                },
                Token::Value(expr) => parts.push(Part::Value(self.expression(expr))),
                Token::If(condition) => {
                    let condition: Node = self.expression(condition);
                    let then = self.parts(tokens);
                    let is_else = |flat: &Flat<'_>| matches!(flat.token, Token::Else);
                    let otherwise = match tokens.next_if(is_else) {
                        Some(_) => self.parts(tokens),
                        None => Box::default(),
                    };
                    tokens.next();
                    parts.push(Part::If {
                        condition,
                        then,
                        otherwise,
                    });
                }
                Token::For { names, source } => {
                    let source = self.expression(source);
                    self.loops();
                    let body = self.body(names, |this| this.parts(tokens));
                    tokens.next();
                    parts.push(Part::For { source, body });
                }
                Token::Else | Token::EndIf | Token::EndFor => {}
            }
        }
    }
}

fn escape(rest: &str) -> Option<(char, usize)> {
    let hex = |digits: usize| {
        let text = rest.get(1..=digits)?;
        let code = u32::from_str_radix(text, 16).ok()?;
        Some((char::from_u32(code)?, 1 + digits))
    };
    match rest.chars().next()? {
        'n' => Some(('\n', 1)),
        'r' => Some(('\r', 1)),
        't' => Some(('\t', 1)),
        '"' => Some(('"', 1)),
        '\\' => Some(('\\', 1)),
        'u' => hex(4),
        'U' => hex(8),
        _ => None,
    }
}

/// Takes white space off the literals beside `~`.
fn strip(flat: &mut [Flat<'_>]) {
    for at in 0..flat.len() {
        let strip = flat[at].strip;
        if strip.strip_start()
            && let Some(before) = at.checked_sub(1)
            && let Token::Literal(text) = &mut flat[before].token
        {
            text.truncate(text.trim_end().len());
        }
        if strip.strip_end()
            && let Some(Flat {
                token: Token::Literal(text),
                ..
            }) = flat.get_mut(at + 1)
        {
            text.drain(..text.len() - text.trim_start().len());
        }
    }
}

/// Takes the smallest indentation of all lines that are not blank away.
fn take_indentation(flat: &mut [Flat<'_>]) {
    let mut line_start = true;
    let mut starts = Vec::new();
    let mut smallest = usize::MAX;
    for (at, Flat { token, .. }) in flat.iter().enumerate() {
        let Token::Literal(text) = token else {
            if std::mem::take(&mut line_start) {
                smallest = 0;
            }
            continue;
        };
        let indentation = text.len() - text.trim_start().len();
        let blank = indentation == text.len() && text.ends_with('\n');
        if line_start && !blank {
            smallest = smallest.min(text[..indentation].chars().count());
            starts.push(at);
        }
        line_start = text.ends_with('\n');
    }
    for at in starts {
        if let Token::Literal(text) = &mut flat[at].token {
            let cut = text
                .char_indices()
                .nth(smallest)
                .map_or(text.len(), |(at, _)| at);
            text.drain(..cut);
        }
    }
}
