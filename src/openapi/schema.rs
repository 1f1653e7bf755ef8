//! Schemas: from OpenAPI 3.0 to JSON Schema 2020-12, and into validators.

use super::document::{Document, Fault, Version, pointer_of, token};
use jsonschema::{Draft, Registry, Validator};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// The name under which the document is known to its own references.
const NAME: &str = "urn:gateway:openapi";

/// What a schema describes. Members that are `readOnly` are not required of a request, nor
/// `writeOnly` ones of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Request,
    Response,
}

impl Use {
    fn left_out(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Response => "writeOnly",
        }
    }
}

/// The document with all its schemas as JSON Schema 2020-12.
pub(super) fn translate(document: &Document, what_for: Use) -> Value {
    let mut root = document.root.clone();
    let mut translation = Translation {
        original: &document.root,
        version: document.version,
        what_for,
        targets: Vec::new(),
    };
    translation.part(&mut root);
    let mut done = HashSet::new();
    while let Some(pointer) = translation.targets.pop() {
        if done.insert(pointer.clone())
            && let Some(target) = root.pointer_mut(&pointer)
        {
            translation.schema(target);
        }
    }
    root
}

struct Translation<'d> {
    original: &'d Value,
    version: Version,
    what_for: Use,
    /// Where references of schemas lead: what is there is a schema, too.
    targets: Vec<String>,
}

impl Translation<'_> {
    /// A part of the document that is no schema, but may hold some.
    fn part(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.part(item)),
            Value::Object(members) => {
                for (name, member) in members {
                    match name.as_str() {
                        "schema" => self.schema(member),
                        "schemas" => self.schemas(member),
                        "example" | "examples" => {}
                        _ => self.part(member),
                    }
                }
            }
            _ => {}
        }
    }

    fn schemas(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => members.values_mut().for_each(|member| self.schema(member)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.schema(item)),
            _ => {}
        }
    }

    /// Translating a second time changes nothing.
    fn schema(&mut self, value: &mut Value) {
        let Value::Object(members) = value else {
            return;
        };
        if let Some(pointer) = members
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(pointer_of)
        {
            self.targets.push(pointer);
            if self.version == Version::V30 {
                members.retain(|name, _| name == "$ref");
                return;
            }
        }
        // The dialect of OpenAPI is 2020-12 with words that change no outcome.
        members.remove("$schema");
        self.require_less(members);
        bound_by_format(members);
        let nullable = self.version == Version::V30 && is_nullable(members);
        if self.version == Version::V30 {
            exclusive(members, "exclusiveMinimum", "minimum");
            exclusive(members, "exclusiveMaximum", "maximum");
        }
        for (name, member) in members.iter_mut() {
            match name.as_str() {
                "properties" | "patternProperties" | "$defs" | "definitions"
                | "dependentSchemas" | "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    self.schemas(member);
                }
                "items"
                | "not"
                | "additionalProperties"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties" => {
                    self.schema(member);
                }
                _ => {}
            }
        }
        if nullable {
            allow_null(value);
        }
    }

    /// Takes out of `required` what this side need not say.
    fn require_less(&self, members: &mut Map<String, Value>) {
        let Some(Value::Array(required)) = members.get("required") else {
            return;
        };
        let left_out = self.what_for.left_out();
        let properties = members.get("properties");
        let is_left_out = |name: &Value| {
            let property = properties
                .zip(name.as_str())
                .and_then(|(p, name)| p.get(name));
            property.is_some_and(|property| {
                let reference = property.get("$ref").and_then(Value::as_str);
                let target = reference.and_then(pointer_of);
                let target = target.and_then(|pointer| self.original.pointer(&pointer));
                [Some(property), target]
                    .into_iter()
                    .flatten()
                    .any(|schema| schema.get(left_out) == Some(&Value::Bool(true)))
            })
        };
        let kept: Vec<Value> = required
            .iter()
            .filter(|name| !is_left_out(name))
            .cloned()
            .collect();
        members.insert("required".to_owned(), Value::Array(kept));
    }
}

fn is_nullable(members: &mut Map<String, Value>) -> bool {
    let nullable = members.get("nullable") == Some(&Value::Bool(true));
    members.remove("nullable");
    nullable
}

/// `nullable`: the type and the listed values, where there are any, let null in.
fn allow_null(value: &mut Value) {
    let simple = value.as_object_mut().filter(|members| {
        !["allOf", "anyOf", "oneOf", "not"]
            .iter()
            .any(|n| members.contains_key(*n))
    });
    match simple {
        Some(members) => {
            if let Some(Value::String(name)) = members.get("type") {
                let both = json!([name, "null"]);
                members.insert("type".to_owned(), both);
            }
            if let Some(Value::Array(values)) = members.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
        }
        None => {
            let other = value.take();
            *value = json!({ "anyOf": [{ "type": "null" }, other] });
        }
    }
}

/// 3.0 says by a boolean whether a bound is itself excluded.
fn exclusive(members: &mut Map<String, Value>, name: &str, bound: &str) {
    let Some(Value::Bool(excluded)) = members.get(name) else {
        return;
    };
    let excluded = *excluded;
    members.remove(name);
    if excluded && let Some(limit) = members.get(bound).cloned() {
        members.remove(bound);
        members.insert(name.to_owned(), limit);
    }
}

/// Formats of numbers, which JSON Schema leaves alone.
fn bound_by_format(members: &mut Map<String, Value>) {
    let bounds = match members.get("format").and_then(Value::as_str) {
        Some("int32") => json!({ "minimum": i32::MIN, "maximum": i32::MAX }),
        Some("int64") => json!({ "minimum": i64::MIN, "maximum": i64::MAX }),
        _ => return,
    };
    let all = members
        .entry("allOf")
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(all) = all
        && !all.contains(&bounds)
    {
        all.push(bounds);
    }
}

/// Validators of one translation, each made once.
pub(super) struct Schemas<'t> {
    pub(super) root: &'t Value,
    registry: Registry<'t>,
    made: HashMap<String, Arc<Validator>>,
}

impl fmt::Debug for Schemas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").finish_non_exhaustive()
    }
}

impl<'t> Schemas<'t> {
    pub(super) fn new(root: &'t Value) -> Result<Self, Fault> {
        let registry = Registry::new()
            .draft(Draft::Draft202012)
            .retriever(Nothing)
            .add(NAME, root)
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| Fault::at("", error.to_string()))?;
        Ok(Self {
            root,
            registry,
            made: HashMap::new(),
        })
    }

    /// The validator of the schema at a JSON pointer.
    pub(super) fn validator(&mut self, pointer: &str) -> Result<Arc<Validator>, Fault> {
        if let Some(known) = self.made.get(pointer) {
            return Ok(Arc::clone(known));
        }
        if let Some(schema) = self.root.pointer(pointer)
            && let Err(error) = jsonschema::draft202012::meta::validate(schema)
        {
            let place = format!("{pointer}{}", error.instance_path());
            return Err(Fault::at(&place, error.to_string()));
        }
        let fragment: String = pointer
            .split('/')
            .map(escaped)
            .collect::<Vec<_>>()
            .join("/");
        let schema = json!({ "$ref": format!("{NAME}#{fragment}") });
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_registry(&self.registry)
            .with_retriever(Nothing)
            .should_validate_formats(true)
            .with_format("byte", is_base64)
            .build(&schema)
            .map_err(|error| Fault::at(pointer, error.to_string()))?;
        let validator = Arc::new(validator);
        self.made.insert(pointer.to_owned(), Arc::clone(&validator));
        Ok(validator)
    }
}

/// A part of a pointer, for the fragment of a URI.
fn escaped(part: &str) -> String {
    let mut out = String::new();
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .is_ok()
}

/// Every file is there already; there is nothing to fetch.
struct Nothing;

impl jsonschema::Retrieve for Nothing {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` is not fetched").into())
    }
}

/// What a validator finds, at most a few.
pub(super) fn findings<'v>(
    validator: &'v Validator,
    value: &'v Value,
    what: &'v str,
) -> impl Iterator<Item = String> + 'v {
    const MOST: usize = 10;
    validator.iter_errors(value).take(MOST).map(move |error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() {
            String::new()
        } else {
            format!(" at {place}")
        };
        format!("{what}{place}: {}", error.masked())
    })
}

/// The types that text can stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    integer: bool,
    number: bool,
    boolean: bool,
    null: bool,
    /// A list of such values.
    pub(super) list: bool,
}

impl Types {
    /// The value that a text stands for: one of these types if it can, else itself.
    pub(super) fn value(self, text: &str) -> Value {
        if self.boolean && (text == "true" || text == "false") {
            return Value::Bool(text == "true");
        }
        if (self.integer || self.number)
            && let Ok(number) = serde_json::from_str::<serde_json::Number>(text)
        {
            return Value::Number(number);
        }
        if self.null && (text.is_empty() || text == "null") {
            return Value::Null;
        }
        Value::String(text.to_owned())
    }
}

/// What a schema makes of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Single(Types),
    List(Types),
    Fields(Vec<(String, Types)>),
}

/// Schemas in schemas: no deeper.
const MAX_DEPTH: usize = 16;

/// The shape of the schema at a JSON pointer.
pub(super) fn shape(root: &Value, pointer: &str) -> Shape {
    let mut seen = Seen::default();
    if let Some(schema) = root.pointer(pointer) {
        look(root, schema, &mut seen, 0);
    }
    if !seen.fields.is_empty() || seen.object {
        Shape::Fields(seen.fields)
    } else if let Some(items) = seen.items {
        Shape::List(items)
    } else {
        Shape::Single(seen.types)
    }
}

#[derive(Default)]
struct Seen {
    types: Types,
    items: Option<Types>,
    object: bool,
    fields: Vec<(String, Types)>,
}

fn look(root: &Value, schema: &Value, seen: &mut Seen, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    if let Some(pointer) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(pointer_of)
        && let Some(target) = root.pointer(&pointer)
    {
        look(root, target, seen, depth + 1);
    }
    let names = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for name in names {
        match name {
            "integer" => seen.types.integer = true,
            "number" => seen.types.number = true,
            "boolean" => seen.types.boolean = true,
            "null" => seen.types.null = true,
            "object" => seen.object = true,
            "array" => {
                seen.items.get_or_insert_default();
            }
            _ => {}
        }
    }
    let inner = |schema: &Value| {
        let mut inner = Seen::default();
        look(root, schema, &mut inner, depth + 1);
        match inner.items {
            Some(items) => Types {
                list: true,
                ..items
            },
            None => inner.types,
        }
    };
    if let Some(items) = schema.get("items") {
        seen.items = Some(inner(items));
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, property) in properties {
            seen.fields.push((name.clone(), inner(property)));
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for part in schema
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            look(root, part, seen, depth + 1);
        }
    }
}

/// The pointer of a member.
pub(super) fn member(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", token(name))
}
