//! Templates of error pages: the part of Go's `text/template` that error pages need.
//!
//! There are the four values `{{.http_status}}`, `{{.message}}`, `{{.path}}` and
//! `{{.request_id}}`, branches `{{if}} … {{else if}} … {{else}} … {{end}}` on a value or on `eq`
//! and `ne`, comments `{{/* … */}}`, and the trim marks `{{-` and `-}}`. Templates are compiled at
//! start; what is not understood is refused there, so that rendering cannot fail.
//!
//! Deviation: values are escaped for JSON or HTML, as the template's format needs it; Couper
//! inserts the path as it is.

use super::page::{Facts, escape};
use std::fmt;

/// How deep branches may be nested.
const MAX_DEPTH: usize = 64;

/// The format of a page: its media type, and how values are escaped in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    Json,
    /// `text/html`
    Html,
}

impl Media {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html",
        }
    }

    fn escape(self, text: &str) -> String {
        match self {
            Self::Html => escape(text),
            Self::Json => {
                let quoted = serde_json::Value::from(text).to_string();
                let inner = quoted.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
                inner.unwrap_or_default().to_owned()
            }
        }
    }
}

/// A compiled template.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<Node>,
    media: Media,
}

#[derive(Debug)]
enum Node {
    Text(Box<str>),
    Value(Field),
    Branch(Vec<Arm>),
}

/// A branch's part; without a condition it is the `else`.
#[derive(Debug)]
struct Arm {
    condition: Option<Condition>,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    HttpStatus,
    Message,
    Path,
    RequestId,
}

#[derive(Debug)]
enum Condition {
    /// The value is neither 0 nor empty.
    Filled(Operand),
    /// The first value equals one of the others.
    Equal(Operand, Vec<Operand>),
    /// They differ.
    Different(Operand, Operand),
}

#[derive(Debug)]
enum Operand {
    Field(Field),
    Number(i64),
    Text(String),
}

#[derive(PartialEq, Eq)]
enum Value<'v> {
    Number(i64),
    Text(&'v str),
}

/// Why a template is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.message
        )
    }
}

impl Template {
    /// Compiles a template.
    pub fn parse(text: &str, media: Media) -> Result<Self, Fault> {
        let nodes = Parser::new(text).parse().map_err(|(at, message)| {
            let before = &text[..at];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            Fault {
                line,
                column,
                message,
            }
        })?;
        Ok(Self { nodes, media })
    }

    /// The format.
    pub fn media(&self) -> Media {
        self.media
    }

    /// The page.
    pub fn render(&self, facts: Facts<'_>) -> String {
        let mut out = String::new();
        self.write(&self.nodes, facts, &mut out);
        out
    }

    fn write(&self, nodes: &[Node], facts: Facts<'_>, out: &mut String) {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Value(field) => match field.of(facts) {
                    Value::Number(number) => out.push_str(&number.to_string()),
                    Value::Text(text) => out.push_str(&self.media.escape(text)),
                },
                Node::Branch(arms) => {
                    let holds = |arm: &&Arm| arm.condition.as_ref().is_none_or(|c| c.holds(facts));
                    if let Some(arm) = arms.iter().find(holds) {
                        self.write(&arm.nodes, facts, out);
                    }
                }
            }
        }
    }
}

impl Field {
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "http_status" => Some(Self::HttpStatus),
            "message" => Some(Self::Message),
            "path" => Some(Self::Path),
            "request_id" => Some(Self::RequestId),
            _ => None,
        }
    }

    fn of(self, facts: Facts<'_>) -> Value<'_> {
        match self {
            Self::HttpStatus => Value::Number(facts.status.into()),
            Self::Message => Value::Text(facts.message),
            Self::Path => Value::Text(facts.path),
            Self::RequestId => Value::Text(facts.request_id),
        }
    }
}

impl Operand {
    fn value<'v>(&'v self, facts: Facts<'v>) -> Value<'v> {
        match self {
            Self::Field(field) => field.of(facts),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Field(Field::HttpStatus) | Self::Number(_))
    }
}

impl Condition {
    fn holds(&self, facts: Facts<'_>) -> bool {
        match self {
            Self::Filled(operand) => {
                !matches!(operand.value(facts), Value::Number(0) | Value::Text(""))
            }
            Self::Equal(first, others) => {
                let first = first.value(facts);
                others.iter().any(|other| other.value(facts) == first)
            }
            Self::Different(first, second) => first.value(facts) != second.value(facts),
        }
    }
}

/// An offset into the text, and what is wrong there.
type Refusal = (usize, String);

/// An `if` whose `end` has not come yet.
struct Open {
    at: usize,
    done: Vec<Arm>,
    condition: Option<Condition>,
    /// What stands before it.
    before: Vec<Node>,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    nodes: Vec<Node>,
    open: Vec<Open>,
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            nodes: Vec::new(),
            open: Vec::new(),
        }
    }

    fn parse(mut self) -> Result<Vec<Node>, Refusal> {
        let mut trim_start = false;
        loop {
            let rest = &self.text[self.at..];
            let start = rest.find("{{");
            let mut text = &rest[..start.unwrap_or(rest.len())];
            if trim_start {
                text = text.trim_start_matches(BLANKS);
            }
            let Some(start) = start.map(|start| self.at + start) else {
                self.push_text(text);
                break;
            };
            let inner = self.text.get(start + 2..).unwrap_or("");
            let trims = inner.starts_with('-') && inner[1..].starts_with(BLANKS);
            if trims {
                text = text.trim_end_matches(BLANKS);
            }
            self.push_text(text);
            let inner_at = start + 2 + usize::from(trims);
            let (action, end) = action(self.text, start, inner_at)?;
            trim_start = action.trims;
            self.at = end;
            if let Some(words) = action.words {
                self.action(start, &words)?;
            }
        }
        match self.open.last() {
            Some(open) => Err((open.at, "`if` without `end`".to_owned())),
            None => Ok(self.nodes),
        }
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.nodes.push(Node::Text(text.into()));
        }
    }

    fn action(&mut self, at: usize, words: &[Word]) -> Result<(), Refusal> {
        let refuse = |message: &str| Err((at, message.to_owned()));
        match words {
            [] => refuse("an action without content"),
            [Word::Plain(name), condition @ ..] if name == "if" => {
                if self.open.len() == MAX_DEPTH {
                    return refuse("`if` is nested too deeply");
                }
                let condition = Some(parse_condition(at, condition)?);
                let before = std::mem::take(&mut self.nodes);
                self.open.push(Open {
                    at,
                    done: Vec::new(),
                    condition,
                    before,
                });
                Ok(())
            }
            [Word::Plain(name), rest @ ..] if name == "else" => {
                let next = match rest {
                    [] => None,
                    [Word::Plain(word), condition @ ..] if word == "if" => {
                        Some(parse_condition(at, condition)?)
                    }
                    _ => return refuse("`else` is followed by `if` or nothing"),
                };
                let Some(open) = self.open.last_mut() else {
                    return refuse("`else` without `if`");
                };
                let Some(condition) = open.condition.take() else {
                    return refuse("`else` after `else`");
                };
                open.done.push(Arm {
                    condition: Some(condition),
                    nodes: std::mem::take(&mut self.nodes),
                });
                open.condition = next;
                Ok(())
            }
            [Word::Plain(name)] if name == "end" => {
                let Some(open) = self.open.pop() else {
                    return refuse("`end` without `if`");
                };
                let inside = std::mem::replace(&mut self.nodes, open.before);
                let mut arms = open.done;
                arms.push(Arm {
                    condition: open.condition,
                    nodes: inside,
                });
                self.nodes.push(Node::Branch(arms));
                Ok(())
            }
            [word] => {
                match parse_operand(at, word)? {
                    Operand::Field(field) => self.nodes.push(Node::Value(field)),
                    Operand::Number(number) => self.push_text(&number.to_string()),
                    Operand::Text(text) => self.push_text(&text),
                }
                Ok(())
            }
            [first, ..] => Err((at, not_understood(first))),
        }
    }
}

/// A part of an action.
enum Word {
    Plain(String),
    Quoted(String),
}

struct Action {
    /// `None` for comments.
    words: Option<Vec<Word>>,
    /// Whether blanks after it are cut off.
    trims: bool,
}

/// Reads the action at `start` whose inner part begins at `at`; gives the offset behind it, too.
fn action(text: &str, start: usize, at: usize) -> Result<(Action, usize), Refusal> {
    let unclosed = || (start, "`{{` without `}}`".to_owned());
    let rest = &text[at..];
    let lead = rest.len() - rest.trim_start_matches(BLANKS).len();
    if let Some(comment) = rest[lead..].strip_prefix("/*") {
        let begin = at + lead + 2;
        let end = comment
            .find("*/")
            .ok_or_else(|| (start, "`/*` without `*/`".to_owned()))?;
        let (trims, end) = closing(text, begin + end + 2)
            .ok_or_else(|| (start, "a comment stands alone in its braces".to_owned()))?;
        return Ok((Action { words: None, trims }, end));
    }
    let mut words = Vec::new();
    let mut at = at;
    loop {
        if let Some((trims, end)) = closing(text, at) {
            let words = Some(words);
            return Ok((Action { words, trims }, end));
        }
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches(BLANKS);
        at += rest.len() - trimmed.len();
        match trimmed.chars().next() {
            None => return Err(unclosed()),
            Some('"') => {
                let (word, length) = quoted(trimmed).ok_or_else(|| {
                    (
                        at,
                        "a string that does not end, or has an unknown escape".to_owned(),
                    )
                })?;
                words.push(Word::Quoted(word));
                at += length;
            }
            Some('`') => {
                let length = trimmed[1..].find('`').ok_or_else(unclosed)?;
                words.push(Word::Quoted(trimmed[1..=length].to_owned()));
                at += length + 2;
            }
            Some(_) => {
                let blank = trimmed.find(BLANKS).unwrap_or(trimmed.len());
                let braces = trimmed.find("}}").unwrap_or(trimmed.len());
                let length = blank.min(braces);
                words.push(Word::Plain(trimmed[..length].to_owned()));
                at += length;
            }
        }
    }
}

/// Whether an action ends here, perhaps after blanks: if it trims, and the offset behind it.
fn closing(text: &str, at: usize) -> Option<(bool, usize)> {
    let rest = &text[at..];
    let trimmed = rest.trim_start_matches(BLANKS);
    let lead = rest.len() - trimmed.len();
    if trimmed.starts_with("}}") {
        return Some((false, at + lead + 2));
    }
    (lead > 0 && trimmed.starts_with("-}}")).then(|| (true, at + lead + 3))
}

/// The string at the start of the text, and its length with quotes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut word = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((word, at + 1)),
            '\n' => return None,
            '\\' => match chars.next()?.1 {
                c @ ('"' | '\\') => word.push(c),
                'n' => word.push('\n'),
                't' => word.push('\t'),
                'r' => word.push('\r'),
                _ => return None,
            },
            c => word.push(c),
        }
    }
    None
}

fn not_understood(word: &Word) -> String {
    match word {
        Word::Quoted(_) => "a string is followed by something".to_owned(),
        Word::Plain(name) => match name.strip_prefix('.') {
            Some(field) if Field::of_name(field).is_none() => format!(
                "unknown value `{name}`, known are `.http_status`, `.message`, `.path` and `.request_id`"
            ),
            Some(_) => format!("`{name}` stands alone in its braces"),
            None => format!("`{name}` is not available in error pages"),
        },
    }
}

fn parse_operand(at: usize, word: &Word) -> Result<Operand, Refusal> {
    match word {
        Word::Quoted(text) => Ok(Operand::Text(text.clone())),
        Word::Plain(name) => {
            if let Ok(number) = name.parse() {
                return Ok(Operand::Number(number));
            }
            name.strip_prefix('.')
                .and_then(Field::of_name)
                .map(Operand::Field)
                .ok_or_else(|| (at, not_understood(word)))
        }
    }
}

fn parse_condition(at: usize, words: &[Word]) -> Result<Condition, Refusal> {
    let operands = |words: &[Word]| {
        words
            .iter()
            .map(|word| parse_operand(at, word))
            .collect::<Result<Vec<_>, _>>()
    };
    let refuse = |message: &str| Err((at, message.to_owned()));
    let (name, rest) = match words {
        [] => return refuse("`if` without a condition"),
        [Word::Plain(name), rest @ ..] if name == "eq" || name == "ne" => (name.as_str(), rest),
        [word] => return parse_operand(at, word).map(Condition::Filled),
        [first, ..] => return Err((at, not_understood(first))),
    };
    let mut operands = operands(rest)?.into_iter();
    let (Some(first), Some(second)) = (operands.next(), operands.next()) else {
        return Err((at, format!("`{name}` needs two values")));
    };
    let mut others: Vec<Operand> = operands.collect();
    if name == "ne" && !others.is_empty() {
        return refuse("`ne` needs two values");
    }
    others.insert(0, second);
    if others
        .iter()
        .any(|other| other.is_number() != first.is_number())
    {
        return Err((at, format!("`{name}` compares a number with a string")));
    }
    match (name, others.pop()) {
        ("ne", Some(second)) => Ok(Condition::Different(first, second)),
        (_, last) => {
            others.extend(last);
            Ok(Condition::Equal(first, others))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'static> = Facts {
        status: 404,
        message: "route not found error",
        path: "/a\"<b>",
        request_id: "id-1",
    };

    fn html(text: &str) -> String {
        Template::parse(text, Media::Html).unwrap().render(FACTS)
    }

    fn fault(text: &str) -> String {
        Template::parse(text, Media::Html).unwrap_err().to_string()
    }

    #[test]
    fn values_are_escaped_for_the_format() {
        assert_eq!(
            html("{{.http_status}} {{ .message }} {{.path}} {{.request_id}}"),
            "404 route not found error /a&#34;&lt;b&gt; id-1"
        );
        let json = Template::parse(r#"{"p": "{{.path}}"}"#, Media::Json).unwrap();
        assert_eq!(json.render(FACTS), r#"{"p": "/a\"<b>"}"#);
        assert_eq!(json.media().content_type(), "application/json");
    }

    #[test]
    fn trim_marks_cut_blanks_and_comments_vanish() {
        assert_eq!(html("a \n {{- .http_status -}} \n b"), "a404b");
        assert_eq!(html("a {{/* {{.x}} */}}b {{- /* c */ -}} d"), "a bd");
    }

    #[test]
    fn branches_choose_the_first_that_holds() {
        let text = "{{if eq .http_status 401 403}}door{{else if eq .http_status 404}}gone{{else}}other{{end}}";
        assert_eq!(html(text), "gone");
        assert_eq!(html("{{if ne .message `x`}}yes{{end}}"), "yes");
        assert_eq!(
            html("{{if .path}}{{if .request_id}}both{{end}}{{end}}!"),
            "both!"
        );
        assert_eq!(html("{{if eq .message \"a}}b\"}}x{{end}}"), "");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        assert_eq!(
            fault("a\n  {{range .x}}"),
            "line 2, column 3: `range` is not available in error pages"
        );
        assert!(fault("{{.status}}").contains("unknown value `.status`"));
        assert!(fault("{{if .path}}x").contains("`if` without `end`"));
        assert!(fault("{{end}}").contains("`end` without `if`"));
        assert!(fault("{{else}}").contains("`else` without `if`"));
        assert!(fault("{{if .path}}{{else}}{{else}}{{end}}").contains("`else` after `else`"));
        assert!(fault("{{.path").contains("without `}}`"));
        assert!(fault("{{}}").contains("without content"));
        assert!(fault("{{if eq .http_status \"404\"}}{{end}}").contains("number with a string"));
        assert!(fault("{{.path | html}}").contains("stands alone"));
        assert!(fault("{{if eq .path}}{{end}}").contains("needs two values"));
        assert!(fault("{{/* a").contains("without `*/`"));
    }
}
