//! `gateway fmt`: one layout for configuration files.
//!
//! Two blanks for each level, aligned `=` of attributes on consecutive lines, one blank in block
//! headers, no blanks at line ends, one empty line at most. Only white space outside of strings,
//! heredocs and comments changes; the result is parsed and compared before it is given out.

use hcl_edit::Span as _;
use hcl_edit::expr::{ObjectKey, ObjectValue, ObjectValueAssignment};
use hcl_edit::structure::{Attribute, Block, BlockLabel};
use hcl_edit::visit::{Visit, visit_attr, visit_block, visit_object_item};
use std::ops::Range;

/// Why a text is not formatted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is not HCL.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// The result would mean something else; a fault of the formatter.
    #[error("the formatted text would differ in more than white space")]
    Meaning,
}

/// The text in the layout.
pub fn format(text: &str) -> Result<String, FormatError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body = parse(text)?;
    let mut places = Places::new(text);
    places.visit_body(&body);
    let spaced = places.apply();
    let formatted = indent(&spaced);
    parse(&formatted)?;
    if essence(text) == essence(&formatted) {
        Ok(formatted)
    } else {
        Err(FormatError::Meaning)
    }
}

fn parse(text: &str) -> Result<hcl_edit::structure::Body, FormatError> {
    hcl_edit::parser::parse_body(text).map_err(|error| FormatError::Syntax {
        line: error.location().line(),
        message: error.message().to_owned(),
    })
}

/// `key = value` as it stands.
struct Assignment {
    key: Range<usize>,
    value: Range<usize>,
    depth: usize,
}

/// Where white space may change within lines.
struct Places<'a> {
    text: &'a str,
    assignments: Vec<Assignment>,
    edits: Vec<(Range<usize>, String)>,
    depth: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            assignments: Vec::new(),
            edits: Vec::new(),
            depth: 0,
        }
    }

    fn assignment(&mut self, key: Option<Range<usize>>, value: Option<Range<usize>>) {
        let (Some(key), Some(value)) = (key, value) else {
            return;
        };
        let gap = self.text.get(key.end..value.start);
        if gap.is_some_and(|gap| gap.trim() == "=" && !gap.contains('\n')) {
            let depth = self.depth;
            self.assignments.push(Assignment { key, value, depth });
        }
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn is_first(&self, assignment: &Assignment) -> bool {
        let start = self.line_start(assignment.key.start);
        self.text[start..assignment.key.start].trim().is_empty()
    }

    /// Whether the assignment and all of its value are on one line.
    fn is_line(&self, assignment: &Assignment) -> bool {
        !self.text[assignment.key.start..assignment.value.end].contains('\n')
    }

    /// Whether `second` stands on the line after that of `first`.
    fn follows(&self, first: &Assignment, second: &Assignment) -> bool {
        first.depth == second.depth
            && first.value.end <= second.key.start
            && self.text[first.value.end..second.key.start]
                .matches('\n')
                .count()
                == 1
    }

    fn width(&self, assignment: &Assignment) -> usize {
        self.text[assignment.key.clone()].chars().count()
    }

    /// The text with all changes within lines made.
    fn apply(mut self) -> String {
        let mut assignments = std::mem::take(&mut self.assignments);
        assignments.sort_by_key(|assignment| assignment.key.start);
        let (lines, others): (Vec<_>, Vec<_>) = assignments
            .into_iter()
            .partition(|assignment| self.is_first(assignment) && self.is_line(assignment));
        for assignment in &others {
            let gap = assignment.key.end..assignment.value.start;
            self.edits.push((gap, " = ".into()));
        }
        let mut rest = lines.as_slice();
        while !rest.is_empty() {
            let mut count = 1;
            while rest
                .get(count)
                .is_some_and(|next| self.follows(&rest[count - 1], next))
            {
                count += 1;
            }
            let (group, others) = rest.split_at(count);
            let widest = group.iter().map(|a| self.width(a)).max().unwrap_or(0);
            for assignment in group {
                let blanks = " ".repeat(widest - self.width(assignment) + 1);
                let gap = assignment.key.end..assignment.value.start;
                self.edits.push((gap, format!("{blanks}= ")));
            }
            rest = others;
        }
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut result = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, new) in &self.edits {
            result.push_str(&self.text[at..range.start]);
            result.push_str(new);
            at = range.end;
        }
        result.push_str(&self.text[at..]);
        result
    }

    /// Blanks between two parts of a block's header become one.
    fn header_gap(&mut self, gap: Range<usize>) {
        let blank = |text: &str| text.bytes().all(|b| matches!(b, b' ' | b'\t'));
        if self.text.get(gap.clone()).is_some_and(blank) {
            self.edits.push((gap, " ".into()));
        }
    }
}

impl Visit for Places<'_> {
    fn visit_attr(&mut self, node: &Attribute) {
        self.assignment(node.key.span(), node.value.span());
        self.depth += 1;
        visit_attr(self, node);
        self.depth -= 1;
    }

    fn visit_block(&mut self, node: &Block) {
        if let Some(ident) = node.ident.span() {
            let mut end = ident.end;
            for label in &node.labels {
                let range = match label {
                    BlockLabel::Ident(ident) => ident.span(),
                    BlockLabel::String(string) => string.span(),
                };
                if let Some(range) = range {
                    self.header_gap(end..range.start);
                    end = range.end;
                }
            }
            let rest = &self.text[end..];
            let brace = end + rest.len() - rest.trim_start_matches([' ', '\t']).len();
            if self.text[brace..].starts_with('{') {
                self.header_gap(end..brace);
            }
        }
        self.depth += 1;
        visit_block(self, node);
        self.depth -= 1;
    }

    fn visit_object_item(&mut self, key: &ObjectKey, value: &ObjectValue) {
        if value.assignment() == ObjectValueAssignment::Equals {
            let range = match key {
                ObjectKey::Ident(ident) => ident.span(),
                ObjectKey::Expression(expression) => expression.span(),
            };
            self.assignment(range, value.expr().span());
        }
        self.depth += 1;
        visit_object_item(self, key, value);
        self.depth -= 1;
    }
}

/// What a byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Names, operators, brackets, white space.
    Code,
    /// A comment.
    Comment,
    /// A string or heredoc, its marks included.
    Text,
}

/// The class of each byte.
fn classify(text: &str) -> Vec<Class> {
    /// What is open.
    #[derive(PartialEq)]
    enum Open {
        Quote,
        Interpolation,
        Brace,
    }
    let bytes = text.as_bytes();
    let mut classes = vec![Class::Code; bytes.len()];
    let mut open: Vec<Open> = Vec::new();
    let mut heredoc: Option<&str> = None;
    let mut at = 0;
    let starts = |at: usize, mark: &str| bytes[at..].starts_with(mark.as_bytes());
    let line_end = |at: usize| {
        text[at..]
            .find('\n')
            .map_or(bytes.len(), |length| at + length)
    };
    while at < bytes.len() {
        let mut end = at + 1;
        let mut class = Class::Code;
        if open.last() == Some(&Open::Quote) {
            class = Class::Text;
            if starts(at, "\\") || starts(at, "$${") || starts(at, "%%{") {
                end = at + if starts(at, "\\") { 2 } else { 3 };
            } else if starts(at, "${") || starts(at, "%{") {
                open.push(Open::Interpolation);
                end = at + 2;
            } else if bytes[at] == b'"' {
                open.pop();
            }
        } else if starts(at, "#") || starts(at, "//") {
            class = Class::Comment;
            end = line_end(at);
        } else if starts(at, "/*") {
            class = Class::Comment;
            let close = text.get(at + 2..).and_then(|rest| rest.find("*/"));
            end = close.map_or(bytes.len(), |length| at + 2 + length + 2);
        } else if starts(at, "<<") && heredoc.is_none() {
            class = Class::Text;
            end = line_end(at);
            heredoc = Some(text[at + 2..end].trim_start_matches('-').trim());
        } else {
            match bytes[at] {
                b'"' => {
                    open.push(Open::Quote);
                    class = Class::Text;
                }
                b'{' => open.push(Open::Brace),
                b'}' => {
                    open.pop();
                }
                b'\n' => {
                    if let Some(tag) = heredoc.take() {
                        while end < bytes.len() {
                            let stop = line_end(end);
                            let last = text[end..stop].trim() == tag;
                            end = if last {
                                stop
                            } else {
                                (stop + 1).min(bytes.len())
                            };
                            if last {
                                break;
                            }
                        }
                        classes[at] = Class::Text;
                        class = Class::Text;
                    }
                }
                _ => {}
            }
        }
        let in_text = open.iter().any(|open| *open != Open::Brace);
        for place in &mut classes[at..end.min(bytes.len())] {
            *place = if in_text { Class::Text } else { class };
        }
        at = end;
    }
    classes
}

/// Brings the start of each line to its level, takes blanks off line ends and joins empty lines.
fn indent(text: &str) -> String {
    let classes = classify(text);
    let mut result = String::with_capacity(text.len());
    // For each open bracket whether it moves lines to the right.
    let mut open: Vec<bool> = Vec::new();
    let mut start = 0;
    let mut empty = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let content = line.strip_suffix('\n').unwrap_or(line);
        // The newline before this line tells whether the line starts within something.
        let within = start > 0 && classes[start - 1] != Class::Code;
        let mut code = content
            .bytes()
            .enumerate()
            .filter(|(_, byte)| !byte.is_ascii_whitespace())
            .map(|(offset, byte)| (classes[start + offset] == Class::Code, byte))
            .peekable();
        while code
            .next_if(|part| matches!(part, (true, b'}' | b')' | b']')))
            .is_some()
        {
            open.pop();
        }
        let level = open.iter().filter(|moves| **moves).count();
        // What is above the lowest point was opened by this line; of these the last one counts.
        let mut lowest = open.len();
        for part in code {
            match part {
                (true, b'{' | b'(' | b'[') => open.push(false),
                (true, b'}' | b')' | b']') => {
                    open.pop();
                    lowest = lowest.min(open.len());
                }
                _ => {}
            }
        }
        if open.len() > lowest
            && let Some(last) = open.last_mut()
        {
            *last = true;
        }
        let ends_within = end > start && classes[end - 1] == Class::Text;
        let shown = if ends_within {
            content
        } else {
            content.trim_end()
        };
        if within {
            result.push_str(shown);
            result.push('\n');
            empty = 0;
        } else if shown.trim().is_empty() {
            empty += 1;
        } else {
            if empty > 0 && !result.is_empty() {
                result.push('\n');
            }
            empty = 0;
            result.push_str(&"  ".repeat(level));
            result.push_str(shown.trim_start());
            result.push('\n');
        }
        start = end;
    }
    result
}

/// The text without the white space that the layout may change.
fn essence(text: &str) -> String {
    let classes = classify(text);
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut result = String::with_capacity(text.len());
    let mut pending: Option<char> = None;
    for (at, c) in text.char_indices() {
        let kept = classes[at] == Class::Text;
        if !kept && c.is_whitespace() {
            if c == '\n' {
                pending = Some('\n');
            } else {
                pending.get_or_insert(' ');
            }
            continue;
        }
        match pending.take() {
            Some('\n') if !result.is_empty() => result.push('\n'),
            Some(' ') if word(c) && result.chars().next_back().is_some_and(word) => {
                result.push(' ');
            }
            _ => {}
        }
        result.push(c);
    }
    result.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layout() {
        let text = r#"
# top


server   "s"{
hosts = ["a:1",
"b:2"]
      base_path="/x"   # why
  error_file    =   "f"
    endpoint "/" {
 response{
    json_body = { a=1, b   = 2 }
  headers = {
  x = "1"
      long-name = "${ request.id }  {"
  }
  body = <<-EOT
   kept   as
     it { is
   EOT
        status=200
 }
 }
  access_control = concat([{
  a = 1
  }, {
  b = (
  2
  )
  }])
  /* a
     comment */
}


"#;
        let wanted = r#"# top

server "s" {
  hosts = ["a:1",
  "b:2"]
  base_path  = "/x"   # why
  error_file = "f"
  endpoint "/" {
    response {
      json_body = { a = 1, b = 2 }
      headers = {
        x         = "1"
        long-name = "${ request.id }  {"
      }
      body = <<-EOT
   kept   as
     it { is
   EOT
      status = 200
    }
  }
  access_control = concat([{
    a = 1
  }, {
    b = (
      2
    )
  }])
  /* a
     comment */
}
"#;
        let wanted = wanted.replace("  \"b:2\"]", "    \"b:2\"]");
        let formatted = format(text).unwrap();
        assert_eq!(formatted, wanted);
        assert_eq!(format(&formatted).unwrap(), formatted);
    }

    #[test]
    fn faults_are_told_with_their_line() {
        let error = format("a {\n  b = \n}\n").unwrap_err();
        assert!(
            matches!(error, FormatError::Syntax { line: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn nothing_but_white_space_is_left_out_of_the_comparison() {
        assert_eq!(essence("a  =  1\n\n\nb=2\n"), essence("a=1\n  b = 2"));
        assert_ne!(essence("a = \"x  y\"\n"), essence("a = \"x y\"\n"));
        assert_ne!(essence("a = b c\n"), essence("a = bc\n"));
    }
}
