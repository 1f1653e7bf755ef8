//! The `couper_backend` entry: one for each request sent to an origin, written when its response
//! has ended.

use super::backend::EntryFacts;
use super::request_id::RequestId;
use super::server_timing::Measured;
use super::trace::{BackendFacts, Part, end_of_call};
use crate::error::Error;
use crate::expr::{EvalError, Value};
use crate::runtime::Tree;
use crate::telemetry::entry::Entry;
use crate::telemetry::{Level, redact, sink};
use crate::upstream::{Sent, Target, Timings, UpstreamError};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

type Logged = SmallVec<[Option<HeaderValue>; 4]>;

/// An entry in the making. It is written when it is dropped.
#[derive(Debug)]
pub struct BackendEntry {
    tree: Arc<Tree>,
    enabled: bool,
    started: Instant,
    started_at: SystemTime,
    uid: RequestId,
    backend: Arc<str>,
    target: Arc<Target>,
    name: Box<str>,
    method: Method,
    uri: Uri,
    request_headers: Logged,
    request_bytes: u64,
    auth_user: Option<String>,
    depends_on: Option<Box<str>>,
    token_request: Option<Box<str>>,
    retry: u32,
    status: Option<StatusCode>,
    version: Version,
    response_headers: Logged,
    response_bytes: u64,
    /// What the origin said it would send; logged when nobody read the body.
    response_length: Option<u64>,
    timings: Timings,
    validation: Vec<String>,
    error: Option<(Option<&'static str>, String)>,
    span: Option<Part>,
    custom: Option<Vec<u8>>,
}

fn logged(names: &[HeaderName], headers: &HeaderMap) -> Logged {
    names
        .iter()
        .map(|name| super::headers::joined(headers, name))
        .collect()
}

impl BackendEntry {
    pub(super) fn new(
        facts: &EntryFacts<'_>,
        span: Option<Part>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        retry: u32,
    ) -> Box<Self> {
        let tree = facts.worker.tree();
        let names = &tree.settings.backend_log.request;
        let basic = headers.get(http::header::AUTHORIZATION);
        let credentials = basic
            .and_then(|value| crate::blocks::access::basic_auth::credentials(value.as_bytes()));
        Box::new(Self {
            enabled: sink::enabled(Level::Info),
            request_headers: logged(names, headers),
            tree,
            started: Instant::now(),
            started_at: SystemTime::now(),
            uid: *facts.facts.uid,
            backend: Arc::clone(facts.label),
            target: Arc::clone(facts.target),
            name: facts.facts.name.into(),
            method: method.clone(),
            uri: uri.clone(),
            request_bytes: 0,
            auth_user: credentials
                .and_then(Result::ok)
                .map(|credentials| credentials.user),
            depends_on: facts.facts.depends_on.map(Into::into),
            token_request: facts.facts.token_request.map(Into::into),
            retry,
            status: None,
            version: Version::HTTP_11,
            response_headers: Logged::new(),
            response_bytes: 0,
            response_length: None,
            timings: Timings::default(),
            validation: Vec::new(),
            error: None,
            span,
            custom: None,
        })
    }

    pub(super) fn request_bytes(&mut self, bytes: u64) {
        self.request_bytes = bytes;
    }

    pub(super) fn received(&mut self, sent: &Sent, _worker: &super::worker::Worker) {
        self.status = Some(sent.response.status());
        self.version = sent.response.version();
        self.timings = sent.timings;
        self.response_length = http_body::Body::size_hint(sent.response.body()).exact();
        self.response_headers = logged(
            &self.tree.settings.backend_log.response,
            sent.response.headers(),
        );
    }

    /// The times so far, where clients are told of them.
    pub(super) fn measured(&self) -> Option<Measured> {
        self.tree.settings.server_timing.then(|| Measured {
            total: self.started.elapsed(),
            timings: self.timings,
        })
    }

    pub(super) fn status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    pub(super) fn custom(&mut self, value: Result<Value<'_>, EvalError>) {
        self.custom = match value {
            Ok(value)
                if value
                    .as_fields()
                    .is_some_and(|fields| !fields.as_slice().is_empty()) =>
            {
                Some(super::access_log::without_null(value).to_json())
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!("custom_log_fields: {error}");
                None
            }
        };
    }

    /// Adds findings of the check against the backend's document.
    pub(super) fn violations(&mut self, found: Vec<String>) {
        self.validation.extend(found);
    }

    pub(super) fn refuse(&mut self, error: &Error) {
        self.error = Some((error.error_type(), error.to_string()));
    }

    pub(super) fn fail(&mut self, error: &UpstreamError) {
        let chain = crate::telemetry::daemon::chain(error);
        self.error = Some((
            Some("backend"),
            format!("backend error: {}: {chain}", self.backend),
        ));
    }

    fn fields(&self, entry: &mut Entry<'_>) {
        let origin = self.target.settings();
        let scheme = if origin.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let path = self
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let path = redact(path.as_bytes());
        entry.string("uid", self.uid.as_str().as_bytes());
        entry.string("backend", self.backend.as_bytes());
        entry.string("method", self.method.as_str().as_bytes());
        entry.number(
            "status",
            self.status.map_or(0, |status| u64::from(status.as_u16())),
        );
        let mut url: SmallVec<[u8; 256]> = SmallVec::new();
        for part in [
            scheme.as_bytes(),
            b"://",
            self.target.authority().as_bytes(),
            &path,
        ] {
            url.extend_from_slice(part);
        }
        entry.string("url", &url);
        if let Some(user) = &self.auth_user {
            entry.string("auth_user", user.as_bytes());
        }
        entry.begin_object("request");
        entry.string("name", self.name.as_bytes());
        entry.string("method", self.method.as_str().as_bytes());
        entry.string("host", origin.host.as_bytes());
        let mut address: SmallVec<[u8; 64]> = SmallVec::from_slice(origin.host.as_bytes());
        address.push(b':');
        let mut digits = itoa::Buffer::new();
        let port = digits.format(origin.port);
        address.extend_from_slice(port.as_bytes());
        entry.string("origin", &address);
        entry.string("port", port.as_bytes());
        entry.string("proto", scheme.as_bytes());
        entry.string("path", &path);
        if self.request_bytes > 0 {
            entry.number("bytes", self.request_bytes);
        }
        write_headers(
            entry,
            &self.tree.settings.backend_log.request,
            &self.request_headers,
        );
        entry.end();
        if let Some(status) = self.status {
            entry.begin_object("response");
            entry.number("status", u64::from(status.as_u16()));
            let bytes = match (self.response_bytes, &self.error) {
                (0, None) => self.response_length.unwrap_or(0),
                (bytes, _) => bytes,
            };
            if bytes > 0 {
                entry.number("bytes", bytes);
            }
            let proto: &[u8] = if self.version == Version::HTTP_2 {
                b"HTTP/2.0"
            } else {
                b"HTTP/1.1"
            };
            entry.string("proto", proto);
            write_headers(
                entry,
                &self.tree.settings.backend_log.response,
                &self.response_headers,
            );
            entry.end();
        }
        entry.begin_object("timings");
        entry.milliseconds("total", self.started.elapsed());
        if self.status.is_some() {
            entry.milliseconds("ttfb", self.timings.ttfb);
        }
        for (name, time) in [
            ("dns", self.timings.dns),
            ("tcp", self.timings.tcp),
            ("tls", self.timings.tls),
        ] {
            if let Some(time) = time {
                entry.milliseconds(name, time);
            }
        }
        entry.end();
        if let Some(names) = &self.depends_on {
            entry.string("depends_on", names.as_bytes());
        }
        if let Some(name) = &self.token_request {
            entry.string("token_request", name.as_bytes());
        }
        if self.retry > 0 {
            entry.number("token_request_retry", u64::from(self.retry));
        }
        if let Some(proxy) = &origin.proxy {
            entry.string("proxy", proxy.address().as_bytes());
        }
        if !self.validation.is_empty() {
            entry.begin_list("validation");
            for finding in &self.validation {
                entry.string("", finding.as_bytes());
            }
            entry.end();
        }
        if let Some((Some(kind), _)) = &self.error {
            entry.string("error_type", kind.as_bytes());
        }
        if let Some(context) = self.uid.trace() {
            entry.string("trace_id", &context.trace_id_text());
        }
        if let Some(json) = &self.custom {
            entry.raw_json("custom", json);
        }
    }
}

impl BackendEntry {
    fn end_span(&self, span: Part) {
        let origin = self.target.settings();
        let error = self.error.as_ref();
        end_of_call(
            span,
            &BackendFacts {
                backend: &self.backend,
                origin: format!("{}:{}", origin.host, origin.port),
                host: &origin.host,
                port: origin.port,
                scheme: self.target.scheme().as_str(),
                method: &self.method,
                uri: &self.uri,
                status: self.status,
                retry: self.retry,
                error: error.map(|(kind, message)| (*kind, message.as_str())),
            },
        );
    }
}

/// The listed fields that were there.
pub(super) fn write_headers(entry: &mut Entry<'_>, names: &[HeaderName], values: &Logged) {
    entry.begin_object("headers");
    for (name, value) in names.iter().zip(values) {
        if let Some(value) = value {
            entry.string(name.as_str(), &redact(value.as_bytes()));
        }
    }
    entry.end();
}

impl Drop for BackendEntry {
    fn drop(&mut self) {
        if let Some(series) = &self.target.settings().series {
            let duration = self.started.elapsed();
            series.requests.record(&self.method, self.status, duration);
        }
        if let Some(span) = &self.span {
            self.end_span(*span);
        }
        if !self.enabled && self.error.is_none() {
            return;
        }
        let (level, message) = match &self.error {
            None => (Level::Info, ""),
            Some((_, message)) => (Level::Error, message.as_str()),
        };
        let kind = &self.tree.settings.backend_log.kind;
        sink::write(kind, level, self.started_at, message.as_bytes(), |entry| {
            self.fields(entry);
        });
    }
}
