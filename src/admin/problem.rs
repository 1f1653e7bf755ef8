//! Answers that are errors, in Kong's shapes.

use super::Reply;
use crate::store::StoreError;
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Problem {
    /// Members of the body, by name (code 2).
    Schema(BTreeMap<String, Value>),
    /// A value that has to be unique and is not (code 5).
    Unique { field: String, value: String },
    /// What the body refers to is not there (code 4).
    Foreign { field: String, value: String },
    /// `offset` is none that was handed out (code 7).
    Offset,
    /// `size` is out of bounds (code 9).
    Size,
    /// An option of the query makes no sense (code 11).
    Option(String),
    /// The entity is declared in the configuration file (code 31).
    ReadOnly,
    /// `If-Match` names an older state.
    Changed,
    /// A bound of the data model.
    Refused(String),
    /// There is no such thing.
    NotFound,
    /// A method that the path does not have.
    Method,
    /// Anything with a text of its own.
    Plain(StatusCode, String),
    /// The store failed.
    Store(StoreError),
}

impl Problem {
    /// One member of the body.
    pub(super) fn field(name: &str, what: impl Into<Value>) -> Self {
        Self::Schema(BTreeMap::from([(name.to_owned(), what.into())]))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale => Self::Changed,
            StoreError::Missing("consumer") => Self::Foreign {
                field: "consumer".into(),
                value: String::new(),
            },
            StoreError::Missing(_) => Self::NotFound,
            StoreError::Refused(why) => Self::Refused(why.to_owned()),
            StoreError::Conflict { field, .. } => Self::Unique {
                field: field.to_owned(),
                value: String::new(),
            },
            error => Self::Store(error),
        }
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let coded = |status, code, name: &str, message: String, fields: Value| {
            let body = json!({"code": code, "name": name, "message": message, "fields": fields});
            Self::json(status, &body)
        };
        let plain = |status, message: &str| Self::json(status, &json!({"message": message}));
        match problem {
            Problem::Schema(fields) => {
                let message = schema_message(&fields);
                let fields: Map<String, Value> = fields.into_iter().collect();
                coded(
                    StatusCode::BAD_REQUEST,
                    2,
                    "schema violation",
                    message,
                    fields.into(),
                )
            }
            Problem::Unique { field, value } => {
                let message = format!("UNIQUE violation detected on '{{{field}=\"{value}\"}}'");
                let fields = json!({field: value});
                let name = "unique constraint violation";
                coded(StatusCode::CONFLICT, 5, name, message, fields)
            }
            Problem::Foreign { field, value } => {
                let message = format!(
                    "the foreign key '{{{field}={{id=\"{value}\"}}}}' does not reference an existing '{field}s' entity."
                );
                let fields = json!({field: {"id": value}});
                let name = "foreign key violation";
                coded(StatusCode::BAD_REQUEST, 4, name, message, fields)
            }
            Problem::Offset => coded(
                StatusCode::BAD_REQUEST,
                7,
                "invalid offset",
                "'offset' is not one that was handed out".into(),
                json!({}),
            ),
            Problem::Size => coded(
                StatusCode::BAD_REQUEST,
                9,
                "invalid size",
                "size must be an integer between 1 and 1000".into(),
                json!({}),
            ),
            Problem::Option(what) => coded(
                StatusCode::BAD_REQUEST,
                11,
                "invalid options",
                format!("invalid option ({what})"),
                json!({}),
            ),
            Problem::ReadOnly => coded(
                StatusCode::CONFLICT,
                31,
                "read only",
                "the entity is declared in the configuration file".into(),
                json!({}),
            ),
            Problem::Changed => plain(
                StatusCode::PRECONDITION_FAILED,
                "the entity was changed in the meantime",
            ),
            Problem::Refused(why) => plain(StatusCode::CONFLICT, &why),
            Problem::NotFound => plain(StatusCode::NOT_FOUND, "Not found"),
            Problem::Method => plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Problem::Plain(status, message) => plain(status, &message),
            Problem::Store(error) if error.is_transient() => {
                let message = "the store is not available";
                let mut reply = plain(StatusCode::SERVICE_UNAVAILABLE, message);
                reply.header(http::header::RETRY_AFTER, "2");
                tracing::error!("admin: {error}");
                reply
            }
            Problem::Store(error) => {
                tracing::error!("admin: {error}");
                coded(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    8,
                    "database error",
                    "the store failed".into(),
                    json!({}),
                )
            }
        }
    }
}

/// `schema violation (name: required field missing)`, or `2 schema violations (a: …; b: …)`.
fn schema_message(fields: &BTreeMap<String, Value>) -> String {
    let one = |(name, what): (&String, &Value)| {
        let text = match what {
            Value::String(text) => text.clone(),
            Value::Array(items) => items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        };
        match name.as_str() {
            "@entity" => text,
            name => format!("{name}: {text}"),
        }
    };
    let all: Vec<String> = fields.iter().map(one).collect();
    let count = match all.len() {
        1 => "schema violation".to_owned(),
        several => format!("{several} schema violations"),
    };
    format!("{count} ({})", all.join("; "))
}
