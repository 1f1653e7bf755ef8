//! Modifiers: `remove_…`, `set_…` and `add_…` for request headers, response headers, query and
//! form parameters. Within a block they always run in this order.

use super::reader::Reader;
use super::schema::{AttributeSchema, Kind};
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::{Program, Scope, Text, Value};
use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, ObjectKey};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// `remove_request_headers`, `set_request_headers`, `add_request_headers`.
pub static REQUEST_HEADERS: &[AttributeSchema] = &[
    AttributeSchema::request(
        "remove_request_headers",
        Kind::Any,
        "Request headers to remove.",
    ),
    AttributeSchema::request(
        "set_request_headers",
        Kind::Object,
        "Request headers to set; they replace those of the same name.",
    ),
    AttributeSchema::request(
        "add_request_headers",
        Kind::Object,
        "Request headers to add.",
    ),
];

/// `remove_response_headers`, `set_response_headers`, `add_response_headers`.
pub static RESPONSE_HEADERS: &[AttributeSchema] = &[
    AttributeSchema::request(
        "remove_response_headers",
        Kind::Any,
        "Response headers to remove.",
    ),
    AttributeSchema::request(
        "set_response_headers",
        Kind::Object,
        "Response headers to set; they replace those of the same name.",
    ),
    AttributeSchema::request(
        "add_response_headers",
        Kind::Object,
        "Response headers to add.",
    ),
];

/// `remove_query_params`, `set_query_params`, `add_query_params`.
pub static QUERY_PARAMS: &[AttributeSchema] = &[
    AttributeSchema::request(
        "remove_query_params",
        Kind::Any,
        "Query parameters to remove.",
    ),
    AttributeSchema::request("set_query_params", Kind::Object, "Query parameters to set."),
    AttributeSchema::request("add_query_params", Kind::Object, "Query parameters to add."),
];

/// `remove_form_params`, `set_form_params`, `add_form_params`.
pub static FORM_PARAMS: &[AttributeSchema] = &[
    AttributeSchema::request(
        "remove_form_params",
        Kind::Any,
        "Form parameters to remove.",
    ),
    AttributeSchema::request("set_form_params", Kind::Object, "Form parameters to set."),
    AttributeSchema::request("add_form_params", Kind::Object, "Form parameters to add."),
];

/// Modifiers of headers.
#[derive(Debug, Default)]
pub struct HeaderModifiers {
    remove: Option<Program>,
    set: Option<Source>,
    add: Option<Source>,
}

/// Header fields that are known at start, or an expression for them.
#[derive(Debug)]
enum Source {
    Constant(Fields),
    Dynamic(Program),
}

/// A name with its values; without any, the name is removed.
type Field = (HeaderName, Vec<HeaderValue>);
type Fields = Vec<Field>;

impl HeaderModifiers {
    /// Reads `remove_request_headers` and so on.
    pub fn request(reader: Reader<'_>) -> Self {
        Self::read(
            reader,
            "remove_request_headers",
            "set_request_headers",
            "add_request_headers",
        )
    }

    /// Reads `remove_response_headers` and so on.
    pub fn response(reader: Reader<'_>) -> Self {
        Self::read(
            reader,
            "remove_response_headers",
            "set_response_headers",
            "add_response_headers",
        )
    }

    /// Reads one attribute as fields to set, such as the `headers` of a `request`.
    pub fn set_only(reader: Reader<'_>, name: &str) -> Self {
        Self {
            set: Source::read(reader, name),
            ..Self::default()
        }
    }

    fn read(reader: Reader<'_>, remove: &str, set: &str, add: &str) -> Self {
        Self {
            remove: reader.program(remove),
            set: Source::read(reader, set),
            add: Source::read(reader, add),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_none() && self.set.is_none() && self.add.is_none()
    }

    /// The expressions, for the analysis of what they read.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.remove
            .iter()
            .chain(self.set.iter().chain(&self.add).filter_map(Source::program))
    }

    /// Modifies a header map. Nothing is changed when an expression fails.
    pub fn apply(&self, headers: &mut HeaderMap, scope: &dyn Scope) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let remove = self.remove.as_ref().map(|p| names(p, scope)).transpose()?;
        let set = self.set.as_ref().map(|s| s.fields(scope)).transpose()?;
        let add = self.add.as_ref().map(|s| s.fields(scope)).transpose()?;
        for name in remove.iter().flatten() {
            if let Ok(name) = HeaderName::from_bytes(name) {
                headers.remove(name);
            }
        }
        for (name, values) in set.as_deref().into_iter().flatten() {
            headers.remove(name);
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
        for (name, values) in add.as_deref().into_iter().flatten() {
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
        Ok(())
    }
}

impl Source {
    fn read(reader: Reader<'_>, name: &str) -> Option<Self> {
        refuse_equal_names(reader, name);
        let program = reader.program(name)?;
        if let Some(Ok(fields)) = program
            .constant()
            .map(|value| header_fields(value, &program))
        {
            return Some(Self::Constant(fields));
        }
        Some(Self::Dynamic(program))
    }

    fn program(&self) -> Option<&Program> {
        match self {
            Self::Constant(_) => None,
            Self::Dynamic(program) => Some(program),
        }
    }

    fn fields(&self, scope: &dyn Scope) -> Result<Cow<'_, [Field]>, Error> {
        match self {
            Self::Constant(fields) => Ok(Cow::Borrowed(fields)),
            Self::Dynamic(program) => {
                let value = evaluate(program, scope)?;
                Ok(Cow::Owned(header_fields(&value, program)?))
            }
        }
    }
}

/// Evaluates an expression; a failure is an `evaluation` error.
pub fn evaluate<'s>(program: &'s Program, scope: &'s dyn Scope) -> Result<Value<'s>, Error> {
    program
        .eval(scope)
        .map_err(|e| Error::new(ErrorKind::Evaluation, e.message).at(e.span))
}

fn header_fields(value: &Value<'_>, program: &Program) -> Result<Fields, Error> {
    let mut fields = Vec::new();
    for (name, texts) in entries(value, program)? {
        let Ok(name) = HeaderName::from_bytes(name) else {
            continue;
        };
        let values = texts
            .iter()
            .filter_map(|text| header_value(text.as_bytes()))
            .collect();
        fields.push((name, values));
    }
    Ok(fields)
}

/// A header value without what could split a header: CR, LF and NUL are dropped.
pub fn header_value(bytes: &[u8]) -> Option<HeaderValue> {
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        return Some(value);
    }
    let clean: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|b| (*b >= 0x20 || *b == b'\t') && *b != 0x7f)
        .collect();
    HeaderValue::from_bytes(&clean).ok()
}

/// A name with its values as texts.
type Named<'v> = (&'v [u8], Vec<Text<'v>>);

/// The entries of an object with their values as texts; null values are left out.
fn entries<'v>(value: &'v Value<'_>, program: &Program) -> Result<Vec<Named<'v>>, Error> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    // A tuple whose first element is an object is taken as that object.
    let object = value
        .as_items()
        .and_then(<[Value<'_>]>::first)
        .unwrap_or(value);
    let Some(fields) = object.as_fields() else {
        let message = format!("found {} where an object is needed", value.type_name());
        return Err(Error::new(ErrorKind::Evaluation, message).at(program.span()));
    };
    Ok(fields
        .as_slice()
        .iter()
        .filter_map(|(name, value)| Some((name.as_bytes(), texts(value)?)))
        .collect())
}

/// The texts of a modifier's value: `None` for null, none at all for what has no text.
fn texts<'v>(value: &'v Value<'_>) -> Option<Vec<Text<'v>>> {
    if value.is_null() {
        return None;
    }
    if let Some(items) = value.as_items() {
        return Some(
            items
                .iter()
                .filter_map(|item| item.borrowed().to_text())
                .collect(),
        );
    }
    Some(value.borrowed().to_text().into_iter().collect())
}

/// The names a `remove_…` expression lists.
fn names(program: &Program, scope: &dyn Scope) -> Result<Vec<Vec<u8>>, Error> {
    let value = evaluate(program, scope)?;
    let name = |value: &Value<'_>| match value {
        Value::String(_) | Value::Number(_) => value
            .borrowed()
            .to_text()
            .map(|text| text.as_bytes().to_vec()),
        _ => None,
    };
    if let Some(items) = value.as_items() {
        return Ok(items.iter().filter_map(name).collect());
    }
    if let Some(fields) = value.as_fields() {
        return Ok(fields
            .as_slice()
            .iter()
            .filter_map(|(_, value)| name(value))
            .collect());
    }
    Ok(name(&value).into_iter().collect())
}

/// Refuses literal header names that differ in case only.
fn refuse_equal_names(reader: Reader<'_>, name: &str) {
    let Some(attribute) = reader.attribute(name) else {
        return;
    };
    let Expression::Object(object) = &attribute.value else {
        return;
    };
    let mut seen: Vec<String> = Vec::new();
    for (key, _) in object {
        let text = match key {
            ObjectKey::Ident(ident) => ident.as_str(),
            ObjectKey::Expression(Expression::String(text)) => text.as_str(),
            ObjectKey::Expression(_) => continue,
        };
        let lower = text.to_ascii_lowercase();
        if seen.contains(&lower) {
            let source = attribute.value_span.source;
            let span = match key {
                ObjectKey::Ident(ident) => ident.span(),
                ObjectKey::Expression(expression) => expression.span(),
            };
            let span = span.map_or(attribute.value_span, |range| {
                crate::diagnostic::Span::new(source, range)
            });
            let message = format!("`{name}` names the header `{lower}` twice");
            reader
                .cx
                .report(Diagnostic::error(code::DUPLICATE, span, message));
        }
        seen.push(lower);
    }
}

/// Modifiers of query or form parameters.
#[derive(Debug, Default)]
pub struct ParamModifiers {
    remove: Option<Program>,
    set: Option<Program>,
    add: Option<Program>,
}

/// Parameters by name, each with its values in order.
pub type Params = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

impl ParamModifiers {
    /// Reads `remove_query_params` and so on.
    pub fn query(reader: Reader<'_>) -> Self {
        Self {
            remove: reader.program("remove_query_params"),
            set: reader.program("set_query_params"),
            add: reader.program("add_query_params"),
        }
    }

    /// Reads `remove_form_params` and so on.
    pub fn form(reader: Reader<'_>) -> Self {
        Self {
            remove: reader.program("remove_form_params"),
            set: reader.program("set_form_params"),
            add: reader.program("add_form_params"),
        }
    }

    /// Reads one attribute as parameters to set, such as the `query_params` of a `request`.
    pub fn set_only(reader: Reader<'_>, name: &str) -> Self {
        Self {
            set: reader.program(name),
            ..Self::default()
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_none() && self.set.is_none() && self.add.is_none()
    }

    /// The expressions, for the analysis of what they read.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.remove.iter().chain(&self.set).chain(&self.add)
    }

    /// Modifies parameters. Nothing is changed when an expression fails.
    pub fn apply(&self, params: &mut Params, scope: &dyn Scope) -> Result<(), Error> {
        let remove = self.remove.as_ref().map(|p| names(p, scope)).transpose()?;
        let set = self
            .set
            .as_ref()
            .map(|p| owned_entries(p, scope))
            .transpose()?;
        let add = self
            .add
            .as_ref()
            .map(|p| owned_entries(p, scope))
            .transpose()?;
        for name in remove.iter().flatten() {
            params.remove(name);
        }
        for (name, values) in set.into_iter().flatten() {
            if values.is_empty() {
                params.remove(&name);
            } else {
                params.insert(name, values);
            }
        }
        for (name, values) in add.into_iter().flatten() {
            if !values.is_empty() {
                params.entry(name).or_default().extend(values);
            }
        }
        Ok(())
    }
}

type OwnedEntries = Vec<(Vec<u8>, Vec<Vec<u8>>)>;

fn owned_entries(program: &Program, scope: &dyn Scope) -> Result<OwnedEntries, Error> {
    let value = evaluate(program, scope)?;
    let entries = entries(&value, program)?;
    let own = |texts: Vec<Text<'_>>| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    Ok(entries
        .into_iter()
        .map(|(name, texts)| (name.to_vec(), own(texts)))
        .collect())
}

/// Request modifiers of an endpoint, proxy, backend or error handler.
#[derive(Debug, Default)]
pub struct RequestModifiers {
    /// Headers.
    pub headers: HeaderModifiers,
    /// Query parameters.
    pub query: ParamModifiers,
    /// Form parameters.
    pub form: ParamModifiers,
}

impl RequestModifiers {
    /// Reads all of them.
    pub fn read(reader: Reader<'_>) -> Self {
        Self {
            headers: HeaderModifiers::request(reader),
            query: ParamModifiers::query(reader),
            form: ParamModifiers::form(reader),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty() && self.form.is_empty()
    }

    /// The expressions, for the analysis of what they read.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.headers
            .programs()
            .chain(self.query.programs())
            .chain(self.form.programs())
    }
}
