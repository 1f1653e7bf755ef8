//! `response`: an answer made by the gateway itself.
//!
//! ```hcl
//! response {
//!   status    = 200
//!   json_body = { foo = 1 }
//! }
//! ```

use super::modifiers::{HeaderModifiers, evaluate};
use super::reader::Reader;
use super::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::{Program, Scope, Value};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "response",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::request("status", Kind::Number, "Status code.").default("200"),
        AttributeSchema::request("headers", Kind::Object, "Header fields."),
        AttributeSchema::request("body", Kind::String, "The body as `text/plain`."),
        AttributeSchema::request("json_body", Kind::Any, "The body as JSON."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "An answer made by the gateway itself.",
    example: r#"server {
  endpoint "/" {
    response {
      status    = 200
      json_body = { foo = 1 }
    }
  }
}
"#,
};

/// An answer: ready bytes when nothing in it depends on the request.
#[derive(Debug)]
pub struct Response {
    status: Option<Program>,
    headers: HeaderModifiers,
    body: Content,
    prepared: Option<Answer>,
}

/// What a `body`, `json_body` or `form_body` attribute says.
#[derive(Debug)]
pub enum Content {
    /// No body, no content type.
    None,
    /// `body`
    Text(Program),
    /// `json_body`
    Json(Program),
    /// `form_body`
    Form(Program),
}

/// An evaluated answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Content {
    /// Reads the attributes; more than one is refused.
    pub fn read(reader: Reader<'_>, names: &[&str]) -> Self {
        let given: Vec<_> = names
            .iter()
            .filter_map(|name| reader.attribute(name))
            .collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!(
                "`{}` holds one of {}, found `{}` beside `{}`",
                reader.schema().name,
                names.join(", "),
                second.name.text,
                first.name.text
            );
            reader.cx.report(
                Diagnostic::error(code::CONFLICT, second.name.span, message)
                    .related(first.name.span, "first one"),
            );
        }
        let Some(name) = given.first().map(|attribute| attribute.name.text.as_str()) else {
            return Self::None;
        };
        match reader.program(name) {
            None => Self::None,
            Some(program) => match name {
                "json_body" => Self::Json(program),
                "form_body" => Self::Form(program),
                _ => Self::Text(program),
            },
        }
    }

    /// The expression.
    pub fn program(&self) -> Option<&Program> {
        match self {
            Self::None => None,
            Self::Text(program) | Self::Json(program) | Self::Form(program) => Some(program),
        }
    }

    /// The default content type.
    pub fn content_type(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::None => return None,
            Self::Text(_) => "text/plain",
            Self::Json(_) => "application/json",
            Self::Form(_) => "application/x-www-form-urlencoded",
        };
        Some(HeaderValue::from_static(text))
    }

    /// The body's bytes.
    pub fn bytes(&self, scope: &dyn Scope) -> Result<Bytes, Error> {
        match self {
            Self::None => Ok(Bytes::new()),
            Self::Text(program) => Ok(text_body(evaluate(program, scope)?)),
            Self::Json(program) => {
                let value = evaluate(program, scope)?;
                let mut bytes = Vec::with_capacity(128);
                value.write_json(&mut bytes);
                Ok(bytes.into())
            }
            Self::Form(program) => form_body(program, &evaluate(program, scope)?),
        }
    }
}

/// Strings and numbers are a body; blanks alone, bools, null and containers are none.
fn text_body(value: Value<'_>) -> Bytes {
    match value {
        Value::String(text) if text.as_bytes().trim_ascii().is_empty() => Bytes::new(),
        Value::String(_) | Value::Number(_) => value
            .to_text()
            .map(|text| Bytes::copy_from_slice(text.as_bytes()))
            .unwrap_or_default(),
        _ => Bytes::new(),
    }
}

fn form_body(program: &Program, value: &Value<'_>) -> Result<Bytes, Error> {
    let Some(fields) = value.as_fields() else {
        let message = format!("`form_body` needs an object, found {}", value.type_name());
        return Err(Error::new(ErrorKind::Configuration, message).at(program.span()));
    };
    let mut out = Vec::new();
    let mut push = |name: &[u8], value: &Value<'_>| {
        if value.is_null() {
            return;
        }
        if !out.is_empty() {
            out.push(b'&');
        }
        super::form::encode_into(&mut out, name);
        out.push(b'=');
        if let Some(text) = value.borrowed().to_text() {
            super::form::encode_into(&mut out, text.as_bytes());
        }
    };
    for (name, value) in fields.as_slice() {
        if let Some(items) = value.as_items() {
            for item in items {
                push(name.as_bytes(), item);
            }
        } else if let Some(inner) = value.as_fields() {
            inner
                .as_slice()
                .iter()
                .for_each(|(_, item)| push(name.as_bytes(), item));
        } else {
            push(name.as_bytes(), value);
        }
    }
    Ok(out.into())
}

impl Response {
    /// Reads the block.
    pub fn read(reader: Reader<'_>) -> Self {
        let mut response = Self {
            status: reader.program("status"),
            headers: HeaderModifiers::set_only(reader, "headers"),
            body: Content::read(reader, &["body", "json_body"]),
            prepared: None,
        };
        if response
            .programs()
            .all(|program| program.constant().is_some())
        {
            response.prepared = response.evaluate(&crate::expr::Nothing).ok();
        }
        response
    }

    /// The expressions, for the analysis of what they read.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.status
            .iter()
            .chain(self.headers.programs())
            .chain(self.body.program())
    }

    /// The answer to a request.
    pub fn answer(&self, scope: &dyn Scope) -> Result<Answer, Error> {
        match &self.prepared {
            Some(answer) => Ok(answer.clone()),
            None => self.evaluate(scope),
        }
    }

    fn evaluate(&self, scope: &dyn Scope) -> Result<Answer, Error> {
        let status = match &self.status {
            Some(program) => status(program, &evaluate(program, scope)?)?,
            None => StatusCode::OK,
        };
        let mut headers = HeaderMap::new();
        let body = self.body.bytes(scope)?;
        if let Some(content_type) = self.body.content_type() {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        self.headers.apply(&mut headers, scope)?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

/// A whole number in 100 to 599; 0 and what is no number count as not set.
fn status(program: &Program, value: &Value<'_>) -> Result<StatusCode, Error> {
    let number = value.to_number().and_then(|number| number.as_i64());
    match number {
        None | Some(0) => Ok(StatusCode::OK),
        Some(number) => status_code(number).ok_or_else(|| {
            let message = format!("status {number} is not within 100 to 599");
            Error::new(ErrorKind::Configuration, message).at(program.span())
        }),
    }
}

/// A status in 100 to 599.
pub fn status_code(number: i64) -> Option<StatusCode> {
    let number = u16::try_from(number)
        .ok()
        .filter(|number| (100..=599).contains(number))?;
    StatusCode::from_u16(number).ok()
}

/// The value of a `set_response_status` attribute.
pub fn set_response_status(
    program: &Program,
    scope: &dyn Scope,
) -> Result<Option<StatusCode>, Error> {
    let value = evaluate(program, scope)?;
    if value.is_null() {
        return Ok(None);
    }
    let number = value.to_number().and_then(|number| number.as_i64());
    number.and_then(status_code).map(Some).ok_or_else(|| {
        let message = "`set_response_status` needs a number within 100 to 599";
        Error::new(ErrorKind::Configuration, message).at(program.span())
    })
}
