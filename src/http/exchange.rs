//! One request from its first byte to its log entry: the one context that all phases share.

use super::authorization_server::Told;
use super::body::RequestBody;
use super::handling::Handling;
use super::handshake::Handshake;
use super::message::{ReceivedResponse, SentRequest};
use super::request_id::RequestId;
use super::url::RequestUrl;
use super::worker::Worker;
use crate::blocks::api::Api;
use crate::blocks::endpoint::Endpoint;
use crate::blocks::job::Job;
use crate::blocks::site::Site;
use crate::error::Error;
use crate::expr::Value;
use crate::runtime::Tree;
use crate::runtime::tree::ServerRoutes;
use crate::telemetry::trace::SpanId;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What answered a request, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Nothing was reached.
    None,
    /// An endpoint outside of apis.
    Endpoint,
    /// An api.
    Api,
    /// A folder of files.
    File,
    /// A spa.
    Spa,
    /// The health route.
    Health,
    /// An authorization server.
    AuthorizationServer,
    /// An error handler for this type, before an endpoint was entered.
    Error(&'static str),
}

impl Handler {
    /// The word in the log.
    pub fn name(self) -> Option<Cow<'static, str>> {
        match self {
            Self::None => None,
            Self::Endpoint => Some("endpoint".into()),
            Self::Api => Some("api".into()),
            Self::File => Some("file".into()),
            Self::Spa => Some("spa".into()),
            Self::Health => Some("health".into()),
            Self::AuthorizationServer => Some("authorization_server".into()),
            Self::Error(kind) => Some(format!("error_{kind}").into()),
        }
    }
}

/// What access controls found out about the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nothing that origins are told.
    Unknown,
    /// Nobody in particular.
    Anonymous,
    /// Someone.
    Proven,
}

/// A proxy or request of the endpoint: what was sent and what came back.
#[derive(Debug, Default)]
pub struct CallRecord {
    /// The request, after all modifiers.
    pub request: OnceCell<SentRequest>,
    /// The response, before all modifiers.
    pub response: OnceCell<ReceivedResponse>,
}

/// The request's context.
#[derive(Debug)]
pub struct Exchange {
    /// The configuration it began with.
    pub tree: Arc<Tree>,
    /// The worker it runs on.
    pub worker: Rc<Worker>,
    /// When it began.
    pub started: Instant,
    /// The same on the wall clock.
    pub started_at: SystemTime,
    /// Its id.
    pub id: RequestId,
    /// Method.
    pub method: Method,
    /// Target as sent.
    pub uri: Uri,
    /// Protocol version.
    pub version: Version,
    headers: HeaderMap,
    /// `Host` without port as sent, or the authority of HTTP/2.
    pub host: Box<str>,
    /// Whether `Authorization` and `Cookie` go on to the origin unless a modifier says otherwise.
    pub passes_credentials: bool,
    /// The client's address.
    pub remote_ip: IpAddr,
    /// The same as text.
    pub remote_text: Rc<str>,
    /// The port it came in by.
    pub local_port: u16,
    /// Whether by TLS.
    pub tls: bool,
    /// The TLS handshake of its connection.
    pub handshake: Option<Rc<Handshake>>,
    /// The port of `https_dev_proxy` that it came in by, with TLS.
    pub dev_port: Option<u16>,
    /// What an authorization server tells the log.
    pub told: Option<Box<Told>>,
    /// What origins are told about the caller.
    pub identity: Identity,
    /// Whether the token was the only subprotocol that the client offered.
    pub agrees_on_bearer: bool,
    /// The server it belongs to.
    pub server: Option<Arc<ServerRoutes>>,
    /// The job that it is a run of, in place of a client's request.
    pub job: Option<Arc<Job>>,
    /// The endpoint it belongs to.
    pub endpoint: Option<Arc<Endpoint>>,
    /// The files or spa it belongs to.
    pub site: Option<Arc<Site>>,
    /// Whether the client takes gzip.
    pub takes_gzip: bool,
    /// What answers.
    pub handler: Handler,
    /// The api, for answers to unknown paths of one.
    pub api: Option<Arc<Api>>,
    /// Path parameters: ranges of the decoded path.
    pub captures: crate::runtime::router::Captures,
    /// Where in the raw path the part of `**` begins.
    pub wildcard: Option<usize>,
    /// The decoded path, where it differs from the raw one.
    pub decoded_path: Option<Box<str>>,
    /// The URL after `accept_forwarded_url`, where that is in use.
    pub forwarded: Option<Box<RequestUrl<'static>>>,
    /// Values for the log of the configured request fields.
    pub logged_headers: SmallVec<[Option<HeaderValue>; 4]>,
    /// User of basic credentials.
    pub auth_user: Option<String>,
    /// The body, when expressions read it.
    pub body: Option<Bytes>,
    /// Length of the body, where the client tells it.
    pub body_length: Option<u64>,
    context: SmallVec<[(Arc<str>, Arc<Value<'static>>); 2]>,
    /// Permissions granted so far, once any control grants.
    pub granted: Option<Vec<String>>,
    /// What a challenge for more scope begins with: the scheme of the token that the request came
    /// with.
    pub scope_challenge: Option<&'static str>,
    /// The permission that was found to be needed.
    pub required_permission: OnceCell<String>,
    /// The calls of the endpoint, by their index in its plan; empty when no expression reads them.
    pub calls: Vec<CallRecord>,
    /// The error handler that answers, once there was an error.
    pub handling: Option<Box<Handling>>,
    /// The verifier of a login that it begins; made when an expression asks for it.
    pub(super) verifier: OnceCell<Option<Box<str>>>,
    pub(super) query: OnceCell<Value<'static>>,
    pub(super) json: OnceCell<Value<'static>>,
    pub(super) form: OnceCell<Value<'static>>,
    /// Times of requests to backends, for `Server-Timing`.
    pub server_timing: RefCell<Vec<(String, Duration)>>,
    /// The client's span, if its trace is continued.
    pub trace_parent: Option<SpanId>,
    /// Why it failed, for the log.
    pub error: Option<Error>,
}

/// What is known of a request before it is routed.
#[derive(Debug)]
pub struct Arrival {
    /// The configuration in force.
    pub tree: Arc<Tree>,
    /// The worker.
    pub worker: Rc<Worker>,
    /// The client's address.
    pub remote_ip: IpAddr,
    /// The same as text.
    pub remote_text: Rc<str>,
    /// The port it came in by.
    pub local_port: u16,
    /// Whether by TLS.
    pub tls: bool,
    /// The TLS handshake of its connection.
    pub handshake: Option<Rc<Handshake>>,
    /// The port of `https_dev_proxy` that it came in by.
    pub dev_port: Option<u16>,
}

impl Exchange {
    /// The context of a request.
    pub fn new(arrival: Arrival, parts: http::request::Parts, id: RequestId, host: &str) -> Self {
        let logged_headers = arrival
            .tree
            .settings
            .access_log
            .request
            .iter()
            .map(|name| super::headers::joined(&parts.headers, name))
            .collect();
        let auth_user = auth_user(&parts.headers);
        let takes_gzip = super::headers::accepts_gzip(&parts.headers);
        Self {
            tree: arrival.tree,
            worker: arrival.worker,
            started: Instant::now(),
            started_at: SystemTime::now(),
            id,
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            host: host.into(),
            passes_credentials: false,
            remote_ip: arrival.remote_ip,
            remote_text: arrival.remote_text,
            local_port: arrival.local_port,
            tls: arrival.tls,
            handshake: arrival.handshake,
            dev_port: arrival.dev_port,
            told: None,
            identity: Identity::Unknown,
            agrees_on_bearer: false,
            server: None,
            job: None,
            endpoint: None,
            site: None,
            takes_gzip,
            handler: Handler::None,
            api: None,
            captures: SmallVec::new(),
            wildcard: None,
            decoded_path: None,
            forwarded: None,
            logged_headers,
            auth_user,
            body: None,
            body_length: None,
            context: SmallVec::new(),
            granted: None,
            scope_challenge: None,
            required_permission: OnceCell::new(),
            calls: Vec::new(),
            handling: None,
            verifier: OnceCell::new(),
            query: OnceCell::new(),
            json: OnceCell::new(),
            form: OnceCell::new(),
            server_timing: RefCell::default(),
            trace_parent: None,
            error: None,
        }
    }

    /// The certificate that the client showed, as DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        let shown = self.handshake.as_ref()?.client_certificate.as_ref()?;
        Some(shown.as_ref())
    }

    /// Whether the client showed a certificate.
    pub fn has_certificate(&self) -> bool {
        self.certificate().is_some()
    }

    /// The client's header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The same, for access controls that change what origins see.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Puts another target in the place of the one that was sent; its path is the same.
    pub fn set_uri(&mut self, uri: Uri) {
        self.uri = uri;
        self.query = OnceCell::new();
    }

    /// Puts another body in the place of the one that was read.
    pub fn set_body(&mut self, body: Bytes) {
        self.body = Some(body);
        self.form = OnceCell::new();
    }

    /// Takes the header fields away, for an endpoint in which no expression reads them.
    pub fn take_headers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.headers)
    }

    /// A cookie of the client.
    pub fn cookie(&self, name: &str) -> Option<Cow<'_, str>> {
        let cookies = super::message::request_cookies(&self.headers);
        cookies
            .into_iter()
            .rev()
            .find(|(known, _)| *known == name)
            .map(|(_, v)| Cow::Borrowed(v))
    }

    /// The path as sent, escaped.
    pub fn raw_path(&self) -> &str {
        self.uri.path()
    }

    /// The decoded path.
    pub fn path(&self) -> &str {
        self.decoded_path
            .as_deref()
            .unwrap_or_else(|| self.uri.path())
    }

    /// The bytes of the path that `**` took over.
    pub fn wildcard_rest(&self) -> Option<&str> {
        self.wildcard.and_then(|at| self.raw_path().get(at..))
    }

    /// Scheme, host and port of the request's URL.
    pub fn url(&self) -> RequestUrl<'_> {
        match &self.forwarded {
            Some(url) => url.borrowed(),
            None => RequestUrl::received(&self.host, self.tls, self.local_port),
        }
    }

    /// Leaves a value in `request.context.LABEL`.
    pub fn set_context(&mut self, label: &Arc<str>, value: Arc<Value<'static>>) {
        self.context.push((Arc::clone(label), value));
    }

    /// What access controls left.
    pub fn context(&self) -> &[(Arc<str>, Arc<Value<'static>>)] {
        &self.context
    }

    /// Adds permissions.
    pub fn grant(&mut self, permissions: &[String]) {
        let granted = self.granted.get_or_insert_with(Vec::new);
        for permission in permissions {
            if !granted.contains(permission) {
                granted.push(permission.clone());
            }
        }
    }

    /// The value of the pattern's parameter.
    pub fn path_param(&self, name: &str) -> Option<&str> {
        let endpoint = self.endpoint.as_ref()?;
        let at = endpoint
            .parameters
            .iter()
            .position(|known| **known == *name)?;
        let (start, end) = self.captures.get(at)?;
        self.path().get(*start as usize..*end as usize)
    }

    /// The calls of the endpoint and of the error handler that answers, in this order.
    pub fn named_calls(&self) -> impl Iterator<Item = (&str, &CallRecord)> {
        let endpoint = self.endpoint.iter().map(|endpoint| &endpoint.plan);
        let plan = endpoint.chain(self.job.iter().map(|job| &job.plan));
        let endpoint = plan.flat_map(|plan| &plan.calls);
        let handler = self.handling.iter();
        let handler = handler.flat_map(|h| h.handler.plan.calls.iter().zip(&h.calls));
        let calls = endpoint.zip(&self.calls).chain(handler);
        calls.map(|(call, record)| (&*call.name, record))
    }

    /// What is kept of a call. One of an error handler takes the place of the endpoint's of the
    /// same name, as soon as there is something of it.
    pub fn of_call<'s, T>(
        &'s self,
        name: &str,
        part: impl Fn(&'s CallRecord) -> Option<T>,
    ) -> Option<T> {
        self.named_calls()
            .filter(|(known, _)| *known == name)
            .filter_map(|(_, record)| part(record))
            .last()
    }

    /// The client's body for a proxy: what is in memory, else the stream.
    pub fn body_for_proxy(&self, stream: &mut Option<RequestBody>) -> RequestBody {
        match &self.body {
            Some(bytes) => RequestBody::full(bytes.clone()),
            None => stream.take().unwrap_or_else(RequestBody::empty),
        }
    }
}

fn auth_user(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::AUTHORIZATION)?;
    let credentials = crate::blocks::access::basic_auth::credentials(value.as_bytes())?;
    credentials.ok().map(|credentials| credentials.user)
}
