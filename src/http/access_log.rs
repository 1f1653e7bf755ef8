//! The `couper_access` entry: one for each request, written when its answer has ended.

use super::authorization_server::Told;
use super::backend_log::write_headers;
use super::exchange::{Exchange, Handler};
use super::url::RequestUrl;
use crate::expr::{Program, Value, merge_values};
use crate::telemetry::entry::Entry;
use crate::telemetry::{Level, redact, sink};
use http::{HeaderValue, StatusCode, Version};
use smallvec::SmallVec;
use std::sync::Arc;

/// What the log tells of an answer.
#[derive(Debug)]
pub struct AnswerFacts {
    /// Status; `None` when nothing was sent.
    pub status: Option<StatusCode>,
    /// Values of the configured response fields.
    pub headers: SmallVec<[Option<HeaderValue>; 4]>,
    /// Body bytes.
    pub bytes: u64,
}

/// Writes the entry, and another one for the TLS port of `https_dev_proxy`.
pub fn write(exchange: &Exchange, answer: &AnswerFacts) {
    let level = if exchange.error.is_some() {
        Level::Error
    } else {
        Level::Info
    };
    if !sink::enabled(level) {
        return;
    }
    let message = exchange.error.as_ref().map(|error| match error.span() {
        Some(span) => format!("{error} ({})", exchange.tree.place(span)),
        None => error.to_string(),
    });
    let message = message.as_deref().unwrap_or("").as_bytes();
    let kind = &exchange.tree.settings.access_log.kind;
    let started = exchange.started_at;
    sink::write(kind, level, started, message, |entry| {
        fields(entry, exchange, answer, &exchange.url(), exchange.tls);
    });
    if let Some(port) = exchange.dev_port {
        let url = RequestUrl::received(&exchange.host, true, port);
        sink::write("couper_access_tls", level, started, message, |entry| {
            fields(entry, exchange, answer, &url, true);
        });
    }
}

fn fields(
    entry: &mut Entry<'_>,
    exchange: &Exchange,
    answer: &AnswerFacts,
    url: &RequestUrl<'_>,
    tls: bool,
) {
    let target = exchange
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let target = redact(target.as_bytes());
    let mut digits = itoa::Buffer::new();
    let port = digits.format(url.effective_port());
    entry.string("uid", exchange.id.as_str().as_bytes());
    entry.string("method", exchange.method.as_str().as_bytes());
    let status = answer.status.map_or(0, |status| u64::from(status.as_u16()));
    entry.number("status", status);
    let mut address: SmallVec<[u8; 256]> = SmallVec::new();
    for part in [url.scheme.as_bytes(), b"://", url.host.as_bytes()] {
        address.extend_from_slice(part);
    }
    if url.port.is_some() {
        address.push(b':');
        address.extend_from_slice(port.as_bytes());
    }
    address.extend_from_slice(&target);
    entry.string("url", &address);
    if let Some(server) = exchange
        .server
        .as_ref()
        .filter(|server| !server.label.is_empty())
    {
        entry.string("server", server.label.as_bytes());
    }
    let endpoint = exchange.endpoint.as_ref();
    if let Some(api) = endpoint
        .and_then(|endpoint| endpoint.api.as_ref())
        .or_else(|| exchange.api.as_ref()?.label.as_ref())
    {
        entry.string("api", api.as_bytes());
    }
    if let Some(endpoint) = endpoint {
        entry.string("endpoint", endpoint.label.as_bytes());
    }
    if let Some(handler) = exchange.handler.name() {
        entry.string("handler", handler.as_bytes());
    }
    entry.string("client_ip", exchange.remote_text.as_bytes());
    entry.string("port", port.as_bytes());
    if let Some(user) = &exchange.auth_user {
        entry.string("auth_user", user.as_bytes());
    }
    if let Some(told) = &exchange.told {
        authorization_server(entry, told);
    }
    entry.begin_object("request");
    entry.string("method", exchange.method.as_str().as_bytes());
    entry.string("path", &target);
    entry.string("host", url.host.as_bytes());
    let mut origin: SmallVec<[u8; 64]> = SmallVec::from_slice(url.host.as_bytes());
    origin.push(b':');
    origin.extend_from_slice(port.as_bytes());
    entry.string("origin", &origin);
    entry.string("proto", url.scheme.as_bytes());
    entry.bool("tls", tls);
    if exchange.version == Version::HTTP_2 {
        entry.bool("h2", true);
    }
    entry.number("status", status);
    let length = exchange.body.as_ref().map(|body| body.len() as u64);
    if let Some(length) = length.or(exchange.body_length).filter(|length| *length > 0) {
        entry.number("bytes", length);
    }
    let settings = &exchange.tree.settings.access_log;
    write_headers(entry, &settings.request, &exchange.logged_headers);
    entry.end();
    entry.begin_object("response");
    if answer.bytes > 0 {
        entry.number("bytes", answer.bytes);
    }
    write_headers(entry, &settings.response, &answer.headers);
    entry.end();
    entry.begin_object("timings");
    entry.milliseconds("total", exchange.started.elapsed());
    entry.end();
    if let Some(kind) = exchange
        .error
        .as_ref()
        .and_then(crate::error::Error::error_type)
    {
        entry.string("error_type", kind.as_bytes());
    }
    if let Some(context) = exchange.id.trace() {
        entry.string("trace_id", &context.trace_id_text());
    }
    if let Some(custom) = custom(exchange) {
        entry.raw_json("custom", &custom);
    }
}

/// What an authorization server tells.
fn authorization_server(entry: &mut Entry<'_>, told: &Told) {
    let notes = &told.notes;
    entry.string("as", told.server.as_bytes());
    for (name, value) in [
        ("grant_type", notes.grant_type),
        ("client_id", notes.client_id.as_deref()),
        ("auth_method", notes.auth_method),
        ("error", notes.error),
        ("error_detail", notes.detail.as_deref()),
        ("token_ref", notes.token_ref.as_deref()),
        ("jti", notes.jti.as_deref()),
        ("scope", notes.scope.as_deref()),
        ("gid", notes.gid.as_deref()),
    ] {
        if let Some(value) = value {
            entry.string(name, value.as_bytes());
        }
    }
}

/// `custom_log_fields` of all blocks on the way and of the error handler that ran, later ones over
/// earlier ones.
fn custom(exchange: &Exchange) -> Option<Vec<u8>> {
    if exchange.handler == Handler::Health {
        return None;
    }
    let programs: &[Arc<Program>] = match (exchange, &exchange.server) {
        (
            Exchange {
                endpoint: Some(endpoint),
                ..
            },
            _,
        ) => &endpoint.log_fields,
        (
            Exchange {
                site: Some(site), ..
            },
            _,
        ) => &site.log_fields,
        (Exchange { api: Some(api), .. }, _) => &api.log_fields,
        (_, Some(server)) => &server.log_fields,
        (_, None) => return None,
    };
    let handler = exchange.handling.iter();
    let handler = handler.filter_map(|handling| handling.handler.log_fields.as_ref());
    merged(programs.iter().chain(handler), exchange)
}

/// The objects of several expressions as one, as JSON; `None` if there is nothing in it.
pub(super) fn merged<'p>(
    programs: impl Iterator<Item = &'p Arc<Program>>,
    exchange: &Exchange,
) -> Option<Vec<u8>> {
    let mut merged: Option<Value<'_>> = None;
    for program in programs {
        match program.eval(exchange) {
            Ok(value) if value.as_fields().is_some() => {
                merged = Some(match merged {
                    None => value,
                    Some(earlier) => merge_values(earlier, value),
                });
            }
            Ok(_) => {}
            Err(error) => tracing::debug!("custom_log_fields: {error}"),
        }
    }
    let merged = without_null(merged?);
    merged
        .as_fields()
        .is_some_and(|fields| !fields.as_slice().is_empty())
        .then(|| merged.to_json())
}

/// The value without members that are null, at any depth.
pub(super) fn without_null(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Object(fields) | Value::Map(fields) => {
            let entries = fields
                .into_vec()
                .into_iter()
                .filter(|(_, value)| !value.is_null());
            Value::object(
                entries
                    .map(|(name, value)| (name, without_null(value)))
                    .collect(),
            )
        }
        Value::Tuple(items) | Value::List(items) => {
            Value::tuple(items.into_vec().into_iter().map(without_null).collect())
        }
        other => other,
    }
}
