//! Parameters: how they are written (OpenAPI 3.0.3, “Style Values”) and what values they stand for.

use super::document::{Fault, Node, token};
use super::route::Captured;
use super::schema::{Schemas, Shape, Types, findings, member, shape};
use http::HeaderMap;
use jsonschema::Validator;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Path => "path parameter",
            Self::Query => "query parameter",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

/// A parameter, ready to check by.
#[derive(Debug)]
pub(super) struct Parameter {
    name: String,
    place: Place,
    required: bool,
    style: Style,
    explode: bool,
    /// The value is written as JSON.
    json: bool,
    shape: Shape,
    validator: Option<Arc<Validator>>,
}

/// Names and values of a query or form.
pub(super) type Pairs = Vec<(String, String)>;

/// Where the values come from.
#[derive(Debug)]
pub(super) struct Sources<'r> {
    pub(super) path: &'r Captured,
    pub(super) query: Pairs,
    pub(super) raw_query: &'r str,
    pub(super) headers: &'r HeaderMap,
}

/// A decoded query or form.
pub(super) fn form(text: &[u8], plus: bool) -> Pairs {
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    crate::blocks::form::pairs(text, plus)
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect()
}

impl Parameter {
    pub(super) fn read(node: &Node<'_>, schemas: &mut Schemas<'_>) -> Result<Self, Fault> {
        let name = node
            .text("name")
            .ok_or_else(|| Fault::at(&node.pointer, "a parameter needs a `name`"))?;
        let place = match node.text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            _ => {
                let why = "`in` of a parameter is `path`, `query`, `header` or `cookie`";
                return Err(Fault::at(&node.pointer, why));
            }
        };
        Self::described(name.to_owned(), place, node, schemas)
    }

    pub(super) fn described(
        name: String,
        place: Place,
        node: &Node<'_>,
        schemas: &mut Schemas<'_>,
    ) -> Result<Self, Fault> {
        let style = match node.text("style") {
            Some("label") => Style::Label,
            Some("matrix") => Style::Matrix,
            Some("spaceDelimited") => Style::SpaceDelimited,
            Some("pipeDelimited") => Style::PipeDelimited,
            Some("deepObject") => Style::DeepObject,
            Some("form") => Style::Form,
            Some("simple") => Style::Simple,
            Some(other) => {
                return Err(Fault::at(&node.pointer, format!("unknown style `{other}`")));
            }
            None if matches!(place, Place::Query | Place::Cookie) => Style::Form,
            None => Style::Simple,
        };
        let content = node.value.get("content").and_then(Value::as_object);
        let content = content.and_then(|content| content.iter().next());
        let pointer = match content {
            Some((media_type, _)) => {
                let content = member(&node.pointer, "content");
                format!("{content}/{}/schema", token(media_type))
            }
            None => member(&node.pointer, "schema"),
        };
        let described = schemas.root.pointer(&pointer).is_some();
        Ok(Self {
            json: content.is_some_and(|(media_type, _)| media_type.contains("json")),
            name,
            place,
            required: place == Place::Path || node.flag("required").unwrap_or(false),
            explode: node.flag("explode").unwrap_or(style == Style::Form),
            style,
            shape: shape(schemas.root, &pointer),
            validator: described.then(|| schemas.validator(&pointer)).transpose()?,
        })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.place == other.place
    }

    /// Adds what is wrong with the parameter's value.
    pub(super) fn check(&self, sources: &Sources<'_>, list: &mut Vec<String>) {
        // These are described elsewhere in a document (OpenAPI 3.0.3, Parameter Object).
        let elsewhere = ["accept", "content-type", "authorization"];
        if self.place == Place::Header
            && elsewhere
                .iter()
                .any(|name| self.name.eq_ignore_ascii_case(name))
        {
            return;
        }
        let what = format!("{} \"{}\"", self.place.word(), self.name);
        match self.value(sources) {
            Ok(None) if self.required => list.push(format!("{what}: it is required")),
            Ok(None) => {}
            Ok(Some(value)) => {
                if let Some(validator) = &self.validator {
                    list.extend(findings(validator, &value, &what));
                }
            }
            Err(why) => list.push(format!("{what}: {why}")),
        }
    }

    fn value(&self, sources: &Sources<'_>) -> Result<Option<Value>, String> {
        if self.place == Place::Query && !self.json {
            return Ok(self.of_query(sources));
        }
        let Some(text) = self.text(sources) else {
            return Ok(None);
        };
        if self.json {
            return serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| "it is no JSON".to_owned());
        }
        Ok(Some(self.of_text(&text)))
    }

    /// The one text of a parameter that has one.
    fn text(&self, sources: &Sources<'_>) -> Option<String> {
        match self.place {
            Place::Query => pair(&sources.query, &self.name).map(str::to_owned),
            Place::Path => {
                let raw = pair(sources.path, &self.name)?;
                let bytes = crate::blocks::form::decode(raw.as_bytes(), false);
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            Place::Header => {
                let values = sources.headers.get_all(self.name.as_str()).iter();
                let texts: Vec<_> = values
                    .map(|v| String::from_utf8_lossy(v.as_bytes()))
                    .collect();
                (!texts.is_empty()).then(|| texts.join(","))
            }
            Place::Cookie => {
                let cookies = crate::http::message::request_cookies(sources.headers);
                let found = cookies
                    .into_iter()
                    .rev()
                    .find(|(name, _)| *name == self.name);
                found.map(|(_, value)| value.to_owned())
            }
        }
    }

    fn of_text(&self, text: &str) -> Value {
        let (text, separator) = match self.style {
            Style::Label => {
                let text = text.strip_prefix('.').unwrap_or(text);
                (text, if self.explode { '.' } else { ',' })
            }
            Style::Matrix => {
                let text = text.strip_prefix(';').unwrap_or(text);
                if self.explode {
                    return self.of_matrix(text);
                }
                let name = format!("{}=", self.name);
                (text.strip_prefix(&*name).unwrap_or(text), ',')
            }
            _ => (text, ','),
        };
        match &self.shape {
            Shape::Single(types) => types.value(text),
            Shape::List(types) => list(text.split(separator), *types),
            Shape::Fields(fields) => {
                if self.explode {
                    let parts = text
                        .split(separator)
                        .filter_map(|part| part.split_once('='));
                    object(parts, fields)
                } else {
                    object(by_turns(text, separator).into_iter(), fields)
                }
            }
        }
    }

    fn of_matrix(&self, text: &str) -> Value {
        let parts = text
            .split(';')
            .map(|p| p.split_once('=').unwrap_or((p, "")));
        match &self.shape {
            Shape::Fields(fields) => object(parts, fields),
            Shape::List(types) => list(parts.map(|(_, value)| value), *types),
            Shape::Single(types) => parts
                .map(|(_, value)| types.value(value))
                .next()
                .unwrap_or(Value::Null),
        }
    }

    fn of_query(&self, sources: &Sources<'_>) -> Option<Value> {
        let query = &sources.query;
        match (&self.shape, self.style) {
            (Shape::Fields(fields), Style::DeepObject) => {
                let members = query.iter().filter_map(|(name, value)| {
                    let rest = name.strip_prefix(self.name.as_str())?;
                    let member = rest.strip_prefix('[')?.strip_suffix(']')?;
                    Some((member, value.as_str()))
                });
                some_object(members.collect(), fields)
            }
            (Shape::Fields(fields), Style::Form) if self.explode => {
                let known = |name: &str| fields.iter().any(|(field, _)| field == name);
                let members = query.iter().filter(|(name, _)| known(name));
                let members = members.map(|(name, value)| (name.as_str(), value.as_str()));
                some_object(members.collect(), fields)
            }
            (Shape::List(types), _) if self.explode => {
                let values = query.iter().filter(|(name, _)| *name == self.name);
                let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
                (!values.is_empty()).then(|| list(values.into_iter(), *types))
            }
            (Shape::Single(types), _) => pair(query, &self.name).map(|text| types.value(text)),
            (Shape::List(_) | Shape::Fields(_), style) => {
                let separator = match style {
                    Style::SpaceDelimited => ' ',
                    Style::PipeDelimited => '|',
                    _ => ',',
                };
                let text = raw_value(sources.raw_query, &self.name, separator)?;
                let parts = text.iter().map(String::as_str);
                Some(match &self.shape {
                    Shape::List(types) => list(parts, *types),
                    Shape::Fields(fields) => object(two_by_two(&text).into_iter(), fields),
                    Shape::Single(types) => types.value(&text.join(",")),
                })
            }
        }
    }
}

fn pair<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let found = pairs.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// The parts of a query parameter's value, split before it is decoded: an escaped comma is a part
/// of a value.
fn raw_value(query: &str, name: &str, separator: char) -> Option<Vec<String>> {
    let decode = |text: &str| {
        let bytes = crate::blocks::form::decode(text.as_bytes(), true);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut pairs = query
        .split('&')
        .map(|p| p.split_once('=').unwrap_or((p, "")));
    let (_, value) = pairs.find(|(known, _)| decode(known) == name)?;
    if separator == ',' {
        return Some(value.split(',').map(decode).collect());
    }
    Some(decode(value).split(separator).map(str::to_owned).collect())
}

fn list<'t>(parts: impl Iterator<Item = &'t str>, types: Types) -> Value {
    Value::Array(parts.map(|part| types.value(part)).collect())
}

fn object<'t>(
    members: impl Iterator<Item = (&'t str, &'t str)>,
    fields: &[(String, Types)],
) -> Value {
    let mut map = Map::new();
    for (name, text) in members {
        let known = fields.iter().find(|(field, _)| field == name);
        let types = known.map(|(_, types)| *types).unwrap_or_default();
        map.insert(name.to_owned(), types.value(text));
    }
    Value::Object(map)
}

fn some_object(members: Vec<(&str, &str)>, fields: &[(String, Types)]) -> Option<Value> {
    (!members.is_empty()).then(|| object(members.into_iter(), fields))
}

/// `a,1,b,2` as names and values.
fn by_turns(text: &str, separator: char) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split(separator).collect();
    let pairs = parts.chunks(2);
    pairs
        .map(|pair| (pair[0], pair.get(1).copied().unwrap_or("")))
        .collect()
}

fn two_by_two(parts: &[String]) -> Vec<(&str, &str)> {
    let pairs = parts.chunks(2);
    pairs
        .map(|pair| (pair[0].as_str(), pair.get(1).map_or("", String::as_str)))
        .collect()
}

/// The object that a form body stands for; a name that comes again makes a list.
pub(super) fn of_form(pairs: &Pairs, shape: &Shape) -> Value {
    let fields: &[(String, Types)] = match shape {
        Shape::Fields(fields) => fields,
        Shape::Single(_) | Shape::List(_) => &[],
    };
    let mut map = Map::new();
    for (name, text) in pairs {
        let known = fields.iter().find(|(field, _)| field == name);
        let types = known.map(|(_, types)| *types).unwrap_or_default();
        let value = types.value(text);
        match map.get_mut(name) {
            None => {
                let value = if types.list {
                    Value::Array(vec![value])
                } else {
                    value
                };
                map.insert(name.clone(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(map)
}
