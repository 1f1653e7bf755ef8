//! One operation of a document: what its requests and responses must be like.

use super::document::{Document, Fault, Node, follow, token};
use super::parameter::{Parameter, Place as Where, Sources, form};
use super::route::Captured;
use super::schema::{Schemas, Shape, findings, member, shape};
use super::{ReceivedResponse, SentRequest};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use jsonschema::Validator;
use serde_json::Value;
use std::sync::Arc;

const METHODS: [(&str, Method); 8] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
    ("trace", Method::TRACE),
];

/// Where an operation stands.
#[derive(Debug)]
pub(super) struct Place<'d> {
    pub(super) path: &'d str,
    pub(super) method: Method,
    /// The path item.
    pub(super) node: Node<'d>,
    pub(super) operation: Node<'d>,
}

/// All operations of a document.
pub(super) fn places(document: &Document) -> Result<Vec<Place<'_>>, Fault> {
    let root = Node {
        value: &document.root,
        pointer: String::new(),
    };
    let mut places = Vec::new();
    let Some(paths) = root.get(&document.root, "paths")? else {
        return Ok(places);
    };
    for (path, node) in paths.members(&document.root)? {
        if !path.starts_with('/') {
            if path.starts_with("x-") {
                continue;
            }
            return Err(Fault::at(&node.pointer, "a path begins with a slash"));
        }
        for (name, method) in METHODS {
            if let Some(operation) = node.get(&document.root, name)? {
                places.push(Place {
                    path,
                    method,
                    node: node.clone(),
                    operation,
                });
            }
        }
    }
    Ok(places)
}

/// An operation, ready to check by.
#[derive(Debug)]
pub(super) struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Body>,
    responses: Vec<(Statuses, Response)>,
}

#[derive(Debug)]
struct Body {
    required: bool,
    content: Content,
}

#[derive(Debug)]
struct Response {
    headers: Vec<Parameter>,
    content: Content,
}

/// Which responses a description is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Statuses {
    One(u16),
    /// All that begin with this digit.
    Hundred(u16),
    Others,
}

impl Statuses {
    fn parse(name: &str) -> Option<Self> {
        if name == "default" {
            return Some(Self::Others);
        }
        match name.as_bytes() {
            [digit @ b'1'..=b'5', b'X' | b'x', b'X' | b'x'] => {
                Some(Self::Hundred(u16::from(digit - b'0')))
            }
            _ => name.parse().ok().map(Self::One),
        }
    }

    fn include(self, status: StatusCode) -> bool {
        match self {
            Self::One(code) => code == status.as_u16(),
            Self::Hundred(digit) => digit == status.as_u16() / 100,
            Self::Others => true,
        }
    }
}

impl Operation {
    pub(super) fn read(
        document: &Document,
        place: &Place<'_>,
        requests: &mut Schemas<'_>,
        responses: &mut Schemas<'_>,
    ) -> Result<Self, Fault> {
        let root = &document.root;
        let mut parameters: Vec<Parameter> = Vec::new();
        // Those of the operation take the place of those of the path.
        for owner in [&place.operation, &place.node] {
            let Some(list) = owner.get(root, "parameters")? else {
                continue;
            };
            for node in list.items(root)? {
                let read = Parameter::read(&node, requests)?;
                if !parameters.iter().any(|known| known.is_same(&read)) {
                    parameters.push(read);
                }
            }
        }
        let body = match place.operation.get(root, "requestBody")? {
            None => None,
            Some(node) => Some(Body {
                required: node.flag("required").unwrap_or(false),
                content: Content::read(root, &node, requests)?,
            }),
        };
        let mut described = Vec::new();
        if let Some(list) = place.operation.get(root, "responses")? {
            for (name, node) in list.members(root)? {
                if name.starts_with("x-") {
                    continue;
                }
                let statuses = Statuses::parse(name)
                    .ok_or_else(|| Fault::at(&node.pointer, format!("`{name}` is no status")))?;
                described.push((statuses, Response::read(root, &node, responses)?));
            }
        }
        described.sort_by_key(|(statuses, _)| *statuses);
        Ok(Self {
            parameters,
            body,
            responses: described,
        })
    }

    pub(super) fn check_request(
        &self,
        request: &SentRequest<'_>,
        captured: &Captured,
        query: &str,
    ) -> Vec<String> {
        let mut findings = Vec::new();
        let sources = Sources {
            path: captured,
            query: form(query.as_bytes(), true),
            raw_query: query,
            headers: request.headers,
        };
        for parameter in &self.parameters {
            parameter.check(&sources, &mut findings);
        }
        let empty = Bytes::new();
        let bytes = request.body.unwrap_or(&empty);
        if let Some(body) = &self.body {
            if !bytes.is_empty() {
                body.content
                    .check(request.headers, bytes, "request body", &mut findings);
            } else if body.required {
                findings.push("request body: it is required".to_owned());
            }
        }
        findings
    }

    pub(super) fn check_response(
        &self,
        method: &Method,
        response: &ReceivedResponse<'_>,
    ) -> Vec<String> {
        let status = response.status;
        let described = self
            .responses
            .iter()
            .find(|(statuses, _)| statuses.include(status));
        let Some((_, described)) = described else {
            return vec![format!(
                "response: the status {} is not in the document",
                status.as_u16()
            )];
        };
        let mut findings = Vec::new();
        let sources = Sources {
            path: &Vec::new(),
            query: Vec::new(),
            raw_query: "",
            headers: response.headers,
        };
        for header in &described.headers {
            header.check(&sources, &mut findings);
        }
        let no_body = *method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if !no_body && !described.content.kinds.is_empty() {
            let what = "response body";
            described
                .content
                .check(response.headers, response.body, what, &mut findings);
        }
        findings
    }
}

impl Response {
    fn read(root: &Value, node: &Node<'_>, schemas: &mut Schemas<'_>) -> Result<Self, Fault> {
        let mut headers = Vec::new();
        if let Some(value) = node.value.get("headers") {
            let pointer = format!("{}/headers", node.pointer);
            let list = Node { value, pointer };
            for (name, node) in list.members(root)? {
                // RFC-defined and described by `content` (OpenAPI 3.0.3, Response Object).
                if !name.eq_ignore_ascii_case("content-type") {
                    headers.push(Parameter::described(
                        name.to_owned(),
                        Where::Header,
                        &node,
                        schemas,
                    )?);
                }
            }
        }
        Ok(Self {
            headers,
            content: Content::read(root, node, schemas)?,
        })
    }
}

/// What bodies may be, by media type.
#[derive(Debug, Default)]
struct Content {
    kinds: Vec<(Range, Option<Schema>)>,
}

#[derive(Debug)]
struct Schema {
    validator: Arc<Validator>,
    shape: Shape,
}

/// A media type or a range of them, most precise first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Range {
    Type(String),
    Family(String),
    All,
}

impl Range {
    fn parse(text: &str) -> Self {
        let bare = bare_type(text);
        match bare.split_once('/') {
            Some(("*", "*")) => Self::All,
            Some((family, "*")) => Self::Family(family.to_owned()),
            _ => Self::Type(bare),
        }
    }

    fn includes(&self, media_type: &str) -> bool {
        match self {
            Self::Type(text) => text == media_type,
            Self::Family(family) => media_type.split_once('/').is_some_and(|(f, _)| f == family),
            Self::All => true,
        }
    }
}

fn bare_type(text: &str) -> String {
    text.split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase()
}

impl Content {
    fn read(root: &Value, owner: &Node<'_>, schemas: &mut Schemas<'_>) -> Result<Self, Fault> {
        let mut kinds = Vec::new();
        let Some(content) = owner.value.get("content") else {
            return Ok(Self { kinds });
        };
        for (name, value) in content.as_object().into_iter().flatten() {
            let pointer = format!("{}/content/{}", owner.pointer, token(name));
            let node = follow(root, Node { value, pointer })?;
            let schema = if node.value.get("schema").is_some() {
                let pointer = member(&node.pointer, "schema");
                Some(Schema {
                    validator: schemas.validator(&pointer)?,
                    shape: shape(schemas.root, &pointer),
                })
            } else {
                None
            };
            kinds.push((Range::parse(name), schema));
        }
        kinds.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { kinds })
    }

    fn check(&self, headers: &HeaderMap, body: &Bytes, what: &str, list: &mut Vec<String>) {
        let field = headers.get(header::CONTENT_TYPE);
        let media_type = bare_type(field.and_then(|value| value.to_str().ok()).unwrap_or(""));
        let kind = self
            .kinds
            .iter()
            .find(|(range, _)| range.includes(&media_type));
        let schema = match kind {
            None if media_type.is_empty() => {
                list.push(format!("{what}: it has no content-type"));
                return;
            }
            None => {
                list.push(format!("{what}: its media type is not in the document"));
                return;
            }
            Some((_, None)) => return,
            Some((_, Some(schema))) => schema,
        };
        match value_of(&media_type, body, &schema.shape) {
            Ok(None) => {}
            Ok(Some(value)) => list.extend(findings(&schema.validator, &value, what)),
            Err(why) => list.push(format!("{what}: {why}")),
        }
    }
}

/// The value that a body stands for; `None` for kinds that no schema describes.
fn value_of(media_type: &str, body: &Bytes, shape: &Shape) -> Result<Option<Value>, String> {
    let subtype = media_type
        .split_once('/')
        .map_or("", |(_, subtype)| subtype);
    if subtype == "json" || subtype.ends_with("+json") {
        return match serde_json::from_slice(body) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(format!(
                "it is no JSON (line {}, column {})",
                error.line(),
                error.column()
            )),
        };
    }
    if media_type == "application/x-www-form-urlencoded" {
        return Ok(Some(super::parameter::of_form(&form(body, true), shape)));
    }
    if media_type.starts_with("text/") {
        let text = String::from_utf8_lossy(body);
        return Ok(Some(match shape {
            Shape::Single(types) => types.value(&text),
            Shape::List(_) | Shape::Fields(_) => Value::String(text.into_owned()),
        }));
    }
    Ok(None)
}
