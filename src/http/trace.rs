//! The spans of a request: its own, one for each access control, one for each request to a backend.
//!
//! Which requests are traced is decided on arrival (`telemetry::trace`); the place of a request in
//! its trace travels with its id.

use super::access_log::AnswerFacts;
use super::exchange::Exchange;
use crate::error::Error;
use crate::telemetry::redact;
use crate::telemetry::trace::{AttributeValue, Span, SpanId, SpanKind, TraceContext, tracer};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version, header};
use std::sync::Arc;
use std::time::SystemTime;

pub(super) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Text of clients is cut to this many bytes in attributes.
const LONGEST: usize = 1024;

/// A span that goes on, below another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    context: TraceContext,
    parent: SpanId,
    start: SystemTime,
}

impl Part {
    /// Begins a part of what `whole` is the span of; `None` if that is not recorded.
    pub(crate) fn begin(whole: Option<&TraceContext>) -> Option<Self> {
        let whole = whole.filter(|whole| whole.sampled)?;
        Some(Self {
            context: whole.child()?,
            parent: whole.span_id,
            start: SystemTime::now(),
        })
    }

    fn end(
        self,
        kind: SpanKind,
        name: String,
        attributes: Vec<(&'static str, AttributeValue)>,
        error: Option<String>,
    ) {
        if let Some(tracer) = tracer() {
            tracer.end(Span {
                context: self.context,
                parent: Some(self.parent),
                kind,
                name: name.into(),
                start: self.start,
                end: SystemTime::now(),
                attributes,
                error,
            });
        }
    }
}

/// Sets `traceparent` to a place in a trace.
pub(super) fn set(headers: &mut HeaderMap, context: &TraceContext) {
    if let Some(value) = context.header() {
        headers.insert(&TRACEPARENT, value);
    }
}

/// Sets `traceparent` for a request to a backend: its own span, or what it belongs to where nothing is
/// recorded.
pub(super) fn propagate(
    headers: &mut HeaderMap,
    part: Option<&Part>,
    whole: Option<&TraceContext>,
) {
    if let Some(context) = part.map(|part| &part.context).or(whole) {
        set(headers, context);
    }
}

/// What the client says of its trace goes on to backends only if it is trusted, and then with requests
/// that are made here, too.
pub(super) fn hand_on(exchange: &Exchange, headers: &mut HeaderMap, own: bool) {
    let (Some(tracer), Some(_)) = (tracer(), exchange.id.trace()) else {
        return;
    };
    if !tracer.trusts_parents() {
        headers.remove(&TRACESTATE);
    } else if own {
        for name in [&TRACESTATE, &BAGGAGE] {
            for value in exchange.headers().get_all(name) {
                headers.append(name, value.clone());
            }
        }
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn redacted(text: &str) -> String {
    cut(&String::from_utf8_lossy(&redact(text.as_bytes())))
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// Ends the span of a client's request.
pub(super) fn end_of_request(exchange: &Exchange, answer: &AnswerFacts) {
    let recorded = exchange.id.trace().filter(|context| context.sampled);
    let (Some(tracer), Some(context)) = (tracer(), recorded) else {
        return;
    };
    let url = exchange.url();
    let mut attributes: Vec<(&'static str, AttributeValue)> = vec![
        ("couper.uid", exchange.id.as_str().into()),
        ("http.request.method", exchange.method.as_str().into()),
        ("url.scheme", url.scheme.as_ref().into()),
        ("url.path", redacted(exchange.raw_path()).into()),
        ("server.address", cut(&url.host).into()),
        ("server.port", url.effective_port().into()),
        ("client.address", (&*exchange.remote_text).into()),
        ("network.protocol.version", version(exchange.version).into()),
    ];
    if let Some(query) = exchange.uri.query() {
        let query = redacted(&format!("?{query}"));
        attributes.push(("url.query", query.trim_start_matches('?').into()));
    }
    let agent = exchange.headers().get(header::USER_AGENT);
    if let Some(agent) = agent.and_then(|value| value.to_str().ok()) {
        attributes.push(("user_agent.original", cut(agent).into()));
    }
    if let Some(endpoint) = &exchange.endpoint {
        attributes.push(("couper.endpoint", (&*endpoint.label).into()));
        attributes.push(("http.route", endpoint.pattern.as_str().into()));
    }
    if let Some(status) = answer.status {
        attributes.push(("http.response.status_code", status.as_u16().into()));
    }
    if let Some(kind) = exchange.error.as_ref().and_then(Error::error_type) {
        attributes.push(("error.type", kind.into()));
    }
    let failed = answer.status.is_none_or(|status| status.is_server_error());
    let reason = || {
        let error = exchange.error.as_ref();
        error.map_or_else(String::new, |error| redacted(&error.to_string()))
    };
    tracer.end(Span {
        context: *context,
        parent: exchange.trace_parent,
        kind: SpanKind::Server,
        name: redacted(exchange.raw_path()).into(),
        start: exchange.started_at,
        end: SystemTime::now(),
        attributes,
        error: failed.then(reason),
    });
}

/// What is known of a request to a backend when it has ended.
pub(super) struct BackendFacts<'a> {
    pub(super) backend: &'a Arc<str>,
    pub(super) origin: String,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) scheme: &'a str,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) status: Option<StatusCode>,
    pub(super) retry: u32,
    pub(super) error: Option<(Option<&'static str>, &'a str)>,
}

/// Ends the span of a request to a backend.
pub(super) fn end_of_call(part: Part, facts: &BackendFacts<'_>) {
    let target = facts.uri.path_and_query();
    let target = redacted(target.map_or("/", |target| target.as_str()));
    let mut attributes: Vec<(&'static str, AttributeValue)> = vec![
        ("couper.origin", facts.origin.clone().into()),
        ("http.request.method", facts.method.as_str().into()),
        ("server.address", facts.host.into()),
        ("server.port", facts.port.into()),
        (
            "url.full",
            format!("{}://{}{target}", facts.scheme, facts.origin).into(),
        ),
    ];
    if let Some(status) = facts.status {
        attributes.push(("http.response.status_code", status.as_u16().into()));
    }
    if facts.retry > 0 {
        let count = AttributeValue::Number(facts.retry.into());
        attributes.push(("http.request.resend_count", count));
    }
    if let Some((Some(kind), _)) = facts.error {
        attributes.push(("error.type", kind.into()));
    }
    let failed = facts.status.is_none_or(|status| status.is_server_error());
    let message = facts.error.map_or("", |(_, message)| message);
    let error = (failed || facts.error.is_some()).then(|| redacted(message));
    let name = format!("backend.{}", facts.backend);
    part.end(SpanKind::Client, name, attributes, error);
}

/// Ends the span of an access control.
pub(crate) fn end_of_control(part: Part, label: &str, kind: &'static str, denial: Option<&Error>) {
    let mut attributes: Vec<(&'static str, AttributeValue)> =
        vec![("couper.access_control.type", kind.into())];
    if let Some(kind) = denial.and_then(Error::error_type) {
        attributes.push(("error.type", kind.into()));
    }
    let error = denial.map(|error| redacted(&error.to_string()));
    let name = format!("access_control.{label}");
    part.end(SpanKind::Internal, name, attributes, error);
}
