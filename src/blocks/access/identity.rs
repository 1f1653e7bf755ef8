//! What origins are told about who calls: the headers `X-Consumer-…` and their kin.
//!
//! A caller cannot send them: they are removed before any is set, in every spelling that an origin
//! might take for the same.

use crate::blocks::modifiers::header_value;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, Kind};
use crate::http::exchange::{Exchange, Identity};
use crate::oauth::server::{Client, Consumer};
use http::{HeaderName, HeaderValue};

/// What a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    ConsumerId,
    CustomId,
    Username,
    Credential,
    Scope,
    User,
    Anonymous,
}

const FACTS: [(Fact, &str, &str); 7] = [
    (Fact::ConsumerId, "consumer_id", "x-consumer-id"),
    (Fact::CustomId, "consumer_custom_id", "x-consumer-custom-id"),
    (Fact::Username, "consumer_username", "x-consumer-username"),
    (
        Fact::Credential,
        "credential_identifier",
        "x-credential-identifier",
    ),
    (Fact::Scope, "authenticated_scope", "x-authenticated-scope"),
    (Fact::User, "authenticated_userid", "x-authenticated-userid"),
    (
        Fact::Anonymous,
        "anonymous_consumer",
        "x-anonymous-consumer",
    ),
];

/// The headers of a control.
#[derive(Debug)]
pub(super) struct Headers {
    names: Vec<(Fact, HeaderName)>,
    /// Whether any is set.
    on: bool,
    separator: String,
}

/// Headers that are set for a caller.
pub(super) type Lines = Vec<(HeaderName, HeaderValue)>;

impl Headers {
    /// Reads `consumer_headers`, `scope_separator` and `header_names`.
    pub(super) fn read(reader: Reader<'_>) -> Self {
        let mut names: Vec<(Fact, HeaderName)> = FACTS
            .iter()
            .map(|(fact, _, name)| (*fact, HeaderName::from_static(name)))
            .collect();
        if let Some(given) = reader.value("header_names")
            && let Some(fields) = given.value.as_fields()
        {
            for (key, value) in fields.as_slice() {
                let key = key.to_str_lossy();
                let fact = FACTS
                    .iter()
                    .find(|(_, known, name)| *known == key || *name == key);
                let name = value.as_str().and_then(|name| name.parse().ok());
                match (fact, name) {
                    (Some((fact, _, _)), Some(name)) => {
                        for entry in names.iter_mut().filter(|(known, _)| known == fact) {
                            entry.1 = HeaderName::clone(&name);
                        }
                    }
                    _ => reader.bad_value(
                        given.span,
                        format!("`header_names`: `{key}` is unknown or its value no header name"),
                    ),
                }
            }
        }
        let separator = reader.schema().attribute("scope_separator").is_some();
        let separator = separator
            .then(|| reader.string("scope_separator"))
            .flatten();
        Self {
            names,
            on: reader.boolean("consumer_headers").unwrap_or(true),
            separator: separator.map_or_else(|| ",".into(), |text| text.value),
        }
    }

    /// Removes what the caller sent, unless a control before has set them.
    pub(super) fn strip(&self, exchange: &mut Exchange) {
        if exchange.identity != Identity::Unknown {
            return;
        }
        self.remove(exchange);
    }

    fn remove(&self, exchange: &mut Exchange) {
        let headers = exchange.headers_mut();
        for (_, name) in &self.names {
            headers.remove(name);
        }
        let spelt_otherwise = |name: &HeaderName| {
            let text = name.as_str();
            text.contains('_') && {
                let plain = text.replace('_', "-");
                self.names.iter().any(|(_, known)| known.as_str() == plain)
            }
        };
        let others: Vec<HeaderName> = headers
            .keys()
            .filter(|name| spelt_otherwise(name))
            .cloned()
            .collect();
        for name in others {
            headers.remove(name);
        }
    }

    fn line(&self, lines: &mut Lines, fact: Fact, value: &[u8]) {
        let name = self.names.iter().find(|(known, _)| *known == fact);
        if let (Some((_, name)), Some(value)) = (name, header_value(value)) {
            lines.push((name.clone(), value));
        }
    }

    fn consumer(&self, lines: &mut Lines, consumer: &Consumer) {
        self.line(lines, Fact::ConsumerId, consumer.id.to_string().as_bytes());
        if let Some(id) = &consumer.custom_id {
            self.line(lines, Fact::CustomId, id.as_bytes());
        }
        if let Some(name) = &consumer.username {
            self.line(lines, Fact::Username, name.as_bytes());
        }
    }

    /// What is told of a client, its scope and user.
    pub(super) fn of_client(&self, client: &Client, scope: &[String], user: Option<&str>) -> Lines {
        let mut lines = Lines::new();
        if let Some(consumer) = &client.consumer {
            self.consumer(&mut lines, consumer);
        }
        self.line(&mut lines, Fact::Credential, client.id.as_bytes());
        if !scope.is_empty() {
            let scope = scope.join(&self.separator);
            self.line(&mut lines, Fact::Scope, scope.as_bytes());
        }
        if let Some(user) = user {
            self.line(&mut lines, Fact::User, user.as_bytes());
        }
        lines
    }

    /// What is told of a caller without credentials.
    pub(super) fn of_anonymous(&self, consumer: &Consumer) -> Lines {
        let mut lines = Lines::new();
        self.consumer(&mut lines, consumer);
        self.line(&mut lines, Fact::Anonymous, b"true");
        lines
    }

    /// Sets headers in place of those that a control before has set (AS-HDR-2).
    pub(super) fn set(&self, exchange: &mut Exchange, lines: &Lines, anonymous: bool) {
        if anonymous && exchange.identity == Identity::Proven {
            return;
        }
        if exchange.identity != Identity::Unknown {
            self.remove(exchange);
        }
        exchange.identity = if anonymous {
            Identity::Anonymous
        } else {
            Identity::Proven
        };
        if self.on {
            let headers = exchange.headers_mut();
            for (name, value) in lines {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Attributes of controls that tell origins who calls.
pub(super) static ATTRIBUTES: &[AttributeSchema] = &[
    AttributeSchema::start(
        "consumer_headers",
        Kind::Bool,
        "Origins are told who calls, by the headers `X-Consumer-…` and their kin.",
    )
    .default("true"),
    AttributeSchema::start(
        "header_names",
        Kind::Object,
        "Other names for these headers: `{ consumer_id = \"x-id\" }`.",
    ),
    AttributeSchema::start(
        "anonymous",
        Kind::String,
        "The consumer of callers without good credentials.",
    )
    .refers_to("consumer"),
    AttributeSchema::start(
        "anonymous_when",
        Kind::String,
        "Whether wrong credentials count as none.",
    )
    .one_of(&["missing_or_invalid", "missing"])
    .default("missing_or_invalid"),
];
