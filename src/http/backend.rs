//! One request through a backend: token, path, modifiers, origin, the wire, and the way back.

use super::backend_log::BackendEntry;
use super::body::{self, Content, ReadError, RequestBody};
use super::exchange::CallRecord;
use super::message::{ReceivedResponse, SentRequest};
use super::request_id::RequestId;
use super::scope::CallScope;
use super::tunnel::Tunnel;
use super::worker::Worker;
use super::{headers, token, trace, websocket};
use crate::blocks::backend::health::Health;
use crate::blocks::backend::throttle::Throttle;
use crate::blocks::backend::token_request::Tokens;
use crate::blocks::backend::{Backend, Origin, text_of};
use crate::blocks::modifiers::{RequestModifiers, evaluate};
use crate::blocks::response::set_response_status;
use crate::blocks::{form, path};
use crate::error::{Error, Kind};
use crate::expr::{Program, Scope};
use crate::oauth::client::token_cache::{AfterRefusal, Retries, Token, TokenEntry};
use crate::openapi;
use crate::telemetry::{Level, sink};
use crate::upstream::{ChangeOfProtocol, OpenedFor, UpstreamError};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

/// A response body that an expression reads may have this size at most.
const MAX_BUFFERED_RESPONSE: u64 = 256 << 20;
/// A streamed request body of at most this size is kept, so that it can be sent again.
const MAX_REPLAYED_BODY: u64 = 64 << 10;

/// A request before its backend has its say.
#[derive(Debug)]
pub struct Outgoing {
    /// Method.
    pub method: Method,
    /// The origin of an absolute URL.
    pub origin: Option<Origin>,
    /// Path and query.
    pub location: Location,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: RequestBody,
    /// The body's bytes, when they are in memory.
    pub bytes: Option<Bytes>,
    /// Whether it asks to change to the WebSocket protocol.
    pub upgrade: bool,
}

/// Path and query of a request: those received, byte for byte, until something changes them.
#[derive(Clone, Debug)]
pub struct Location {
    received: PathAndQuery,
    path: Option<String>,
    query: Query,
}

#[derive(Clone, Debug)]
enum Query {
    Received,
    Own(Option<String>),
}

impl Location {
    /// As received.
    pub fn received(received: PathAndQuery) -> Self {
        Self {
            received,
            path: None,
            query: Query::Received,
        }
    }

    /// Made here: an escaped path, a query without `?`.
    pub fn new(path: String, query: Option<String>) -> Self {
        let received = PathAndQuery::from_static("/");
        Self {
            received,
            path: Some(path),
            query: Query::Own(query),
        }
    }

    /// The path, escaped.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_else(|| self.received.path())
    }

    /// The query without `?`.
    pub fn query(&self) -> Option<&str> {
        match &self.query {
            Query::Own(query) => query.as_deref(),
            Query::Received => self.received.query(),
        }
    }

    /// Replaces the path.
    pub fn set_path(&mut self, path: String) {
        self.path = Some(path);
    }

    /// Replaces the query.
    pub fn set_query(&mut self, query: Option<String>) {
        self.query = Query::Own(query);
    }

    fn to_uri(&self) -> Option<Uri> {
        if self.path.is_none() && matches!(self.query, Query::Received) {
            return Some(Uri::from(self.received.clone()));
        }
        let target = match self.query() {
            None => self.path().to_owned(),
            Some(query) => format!("{}?{query}", self.path()),
        };
        PathAndQuery::try_from(target).ok().map(Uri::from)
    }
}

/// Facts about a request for its log entry and for the expressions that read it.
#[derive(Clone, Copy, Debug)]
pub struct CallFacts<'x> {
    /// The request's name.
    pub name: &'x str,
    /// Id of the client request it belongs to.
    pub uid: &'x RequestId,
    /// Set for token requests.
    pub token_request: Option<&'x str>,
    /// Names of the requests it waited for.
    pub depends_on: Option<&'x str>,
    /// What the endpoint's `**` took over.
    pub wildcard: Option<&'x str>,
    /// Whether the response body is read into memory.
    pub buffer_response: bool,
    /// Where request and response are kept for expressions.
    pub record: Option<&'x CallRecord>,
    /// Adds the request id in this header.
    pub id_header: Option<&'x http::HeaderName>,
}

/// Sends a request through a backend; the answer is as the client or expression will see it.
pub async fn send(
    backend: &Arc<Backend>,
    mut outgoing: Box<Outgoing>,
    facts: &CallFacts<'_>,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<Response<Content>, Error> {
    let tokens = match backend.instance.cached_tokens() {
        Some(tokens) => tokens,
        // Boxed: only without a token at hand is there something to wait for.
        None => Box::pin(token::all(backend, *facts.uid, scope, worker)).await?,
    };
    if let Some(health) = &backend.instance.health
        && health.is_unhealthy()
    {
        check_health(backend, health, scope)?;
    }
    if let Some((token, _)) = &tokens.oauth2 {
        let value = token.authorization().clone();
        outgoing.headers.insert(header::AUTHORIZATION, value);
    }
    prepare(backend, &mut outgoing, facts, scope, &tokens)?;
    let destination = {
        let scope = CallScope {
            outer: scope,
            backend,
            tokens: &tokens,
            request: None,
            response: None,
        };
        backend.destination(&scope, outgoing.origin.as_ref())?
    };
    if let Some(host) = &destination.host {
        outgoing.headers.insert(header::HOST, host.clone());
    }
    let limits = backend.limits(scope);
    let target = Arc::clone(&destination.target);
    let sent = Sending {
        backend,
        facts,
        scope,
        worker,
        target,
        limits,
        tokens: &tokens,
    };
    match &tokens.oauth2 {
        None => sent.once(outgoing, 0).await,
        Some((token, entry)) => {
            let sending = sent.with_token(outgoing, Arc::clone(token), entry);
            Box::pin(sending).await
        }
    }
}

/// An unhealthy origin gets requests only where the configuration says so.
fn check_health(backend: &Backend, health: &Health, scope: &dyn Scope) -> Result<(), Error> {
    if backend.use_when_unhealthy(scope)? {
        return Ok(());
    }
    let why = format!("the origin is unhealthy: {}", health.snapshot().error);
    Err(Error::new(Kind::BackendUnhealthy, why).in_block(&backend.label))
}

/// Path, modifiers, basic credentials, prefix.
fn prepare(
    backend: &Arc<Backend>,
    outgoing: &mut Outgoing,
    facts: &CallFacts<'_>,
    outer: &dyn Scope,
    tokens: &Tokens,
) -> Result<(), Error> {
    let scope = CallScope {
        outer,
        backend,
        tokens,
        request: None,
        response: None,
    };
    if let Some(program) = &backend.path {
        let given = text_of(evaluate(program, &scope)?);
        if !given.is_empty() {
            check_path(&given, program, backend)?;
            outgoing
                .location
                .set_path(path::expand(&path::escape(&given), facts.wildcard));
        }
    }
    apply_modifiers(&backend.request_modifiers, outgoing, &scope)?;
    if let Some(value) = backend.authorization(&scope)? {
        outgoing.headers.insert(header::AUTHORIZATION, value);
    }
    if let Some(program) = &backend.path_prefix {
        let prefix = text_of(evaluate(program, &scope)?);
        if !prefix.is_empty() {
            check_path(&prefix, program, backend)?;
            let path = path::prefix(&path::escape(&prefix), outgoing.location.path());
            outgoing.location.set_path(path);
        }
    }
    Ok(())
}

fn check_path(given: &str, program: &Program, backend: &Backend) -> Result<(), Error> {
    path::check(given).map_err(|why| {
        let message = format!("unusable path: {why}");
        Error::new(Kind::Configuration, message)
            .in_block(&backend.label)
            .at(program.span())
    })
}

/// Applies request modifiers of a proxy, endpoint or backend.
pub fn apply_modifiers(
    modifiers: &RequestModifiers,
    outgoing: &mut Outgoing,
    scope: &dyn Scope,
) -> Result<(), Error> {
    if modifiers.is_empty() {
        return Ok(());
    }
    let host = outgoing.headers.get(header::HOST).cloned();
    modifiers.headers.apply(&mut outgoing.headers, scope)?;
    // Neither can be set: the first is the backend's, the second follows from the body.
    match host {
        Some(host) => {
            outgoing.headers.insert(header::HOST, host);
        }
        None => {
            outgoing.headers.remove(header::HOST);
        }
    }
    outgoing.headers.remove(header::CONTENT_LENGTH);
    if !modifiers.query.is_empty() {
        let query = outgoing.location.query().unwrap_or("");
        let mut params = form::params(query.as_bytes(), false);
        modifiers.query.apply(&mut params, scope)?;
        let query = String::from_utf8_lossy(&form::query(&params)).into_owned();
        outgoing
            .location
            .set_query((!query.is_empty()).then_some(query));
    }
    if !modifiers.form.is_empty() {
        apply_form(modifiers, outgoing, scope)?;
    }
    Ok(())
}

fn apply_form(
    modifiers: &RequestModifiers,
    outgoing: &mut Outgoing,
    scope: &dyn Scope,
) -> Result<(), Error> {
    let content_type = outgoing.headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let prefix = "application/x-www-form-urlencoded";
    let is_form = content_type
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if outgoing.method != Method::POST {
        let method = outgoing.method.as_str();
        tracing::warn!(
            error_type = "evaluation",
            "form_params: method mismatch: {method}"
        );
        return Ok(());
    }
    if !is_form {
        tracing::warn!(
            error_type = "evaluation",
            "form_params: content-type mismatch: {content_type}"
        );
        return Ok(());
    }
    let bytes = outgoing.bytes.clone().unwrap_or_default();
    let mut params = form::params(&bytes, true);
    modifiers.form.apply(&mut params, scope)?;
    let bytes = Bytes::from(form::body(&params));
    outgoing.body = RequestBody::full(bytes.clone());
    outgoing.bytes = Some(bytes);
    outgoing.headers.remove(header::CONTENT_LENGTH);
    Ok(())
}

struct Sending<'x> {
    backend: &'x Arc<Backend>,
    facts: &'x CallFacts<'x>,
    scope: &'x dyn Scope,
    worker: &'x Rc<Worker>,
    target: Arc<crate::upstream::Target>,
    limits: crate::upstream::Limits,
    tokens: &'x Tokens,
}

impl Sending<'_> {
    /// A 401 with a token drops it; the request is sent again with a new one if it can be.
    async fn with_token(
        &self,
        mut outgoing: Box<Outgoing>,
        mut token: Arc<Token>,
        entry: &Arc<TokenEntry>,
    ) -> Result<Response<Content>, Error> {
        let Some(oauth2) = &self.backend.instance.oauth2 else {
            return self.once(outgoing, 0).await;
        };
        keep_small_body(&mut outgoing).await?;
        let mut retries = Retries::new(oauth2.retries);
        loop {
            let again = outgoing.try_clone();
            let response = self.once(outgoing, retries.used()).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let Some(mut again) = again else {
                entry.drop_refused(&token);
                return Ok(response);
            };
            let fetch =
                token::oauth2_fetcher(&oauth2.client, *self.facts.uid, self.scope, self.worker);
            match entry.refused(&token, &mut retries, fetch).await {
                Ok(AfterRefusal::HandOn) => return Ok(response),
                Ok(AfterRefusal::Retry(newer)) => {
                    // Given up, its connection is not reused; read to the end it would be.
                    drain(response).await;
                    let old = again.headers.get(header::AUTHORIZATION);
                    if old == Some(token.authorization()) {
                        again
                            .headers
                            .insert(header::AUTHORIZATION, newer.authorization().clone());
                    }
                    token = newer;
                    outgoing = again;
                }
                Err(error) => return Err(token::failed(&oauth2.label, &error)),
            }
        }
    }

    async fn once(&self, outgoing: Box<Outgoing>, retry: u32) -> Result<Response<Content>, Error> {
        let Self { backend, facts, .. } = *self;
        let uri = outgoing.location.to_uri().ok_or_else(|| {
            Error::new(Kind::Request, "the url is malformed").in_block(&backend.label)
        })?;
        let mut request_headers = outgoing.headers;
        request_headers.remove(header::CONTENT_LENGTH);
        if let Some(name) = facts.id_header
            && let Ok(value) = HeaderValue::from_str(facts.uid.as_str())
        {
            request_headers.insert(name, value);
        }
        let proof = if outgoing.upgrade {
            websocket::set_fields(&mut request_headers);
            websocket::expected_accept(&request_headers)
        } else {
            None
        };
        let part = trace::Part::begin(facts.uid.trace());
        trace::propagate(&mut request_headers, part.as_ref(), facts.uid.trace());
        let mut entry = BackendEntry::new(
            &self.entry_facts(),
            part,
            &outgoing.method,
            &uri,
            &request_headers,
            retry,
        );
        let length = http_body::Body::size_hint(&outgoing.body).exact();
        entry.request_bytes(length.unwrap_or(0));
        let with_body = [Method::POST, Method::PUT, Method::PATCH];
        if length == Some(0) && with_body.contains(&outgoing.method) {
            // RFC 9110 8.6: some origins refuse these methods without a length.
            request_headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let pair = PairCell::new(
            self,
            &outgoing.method,
            &uri,
            &request_headers,
            outgoing.bytes.as_ref(),
        );
        let openapi = backend.instance.openapi.as_ref();
        let mut operation = None;
        if let Some(checks) = openapi {
            let (found, violations) = checks.document.check_request(&openapi::SentRequest {
                method: &outgoing.method,
                origin: &self.target.origin(),
                target: uri.path_and_query().map_or("/", PathAndQuery::as_str),
                headers: &request_headers,
                body: outgoing.bytes.as_ref(),
            });
            operation = Some((outgoing.method.clone(), found));
            if !violations.is_empty() && !checks.ignore_request_violations {
                let error = self.violated("request", violations, &mut entry);
                pair.received(ReceivedResponse::default());
                return Err(error.with_status(StatusCode::BAD_REQUEST));
            }
            entry.violations(violations);
        }
        if let Some(throttle) = &backend.instance.throttle {
            // Boxed: few backends have one.
            if let Err(error) = Box::pin(self.admitted(throttle)).await {
                pair.received(ReceivedResponse::default());
                entry.refuse(&error);
                return Err(error);
            }
        }
        let mut request = Request::new(outgoing.body);
        *request.method_mut() = outgoing.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = request_headers;
        if outgoing.upgrade {
            request.extensions_mut().insert(ChangeOfProtocol);
        }
        if sink::enabled(Level::Debug) {
            let uid = OpenedFor(facts.uid.as_str().into());
            request.extensions_mut().insert(uid);
        }
        let sent = match self
            .worker
            .upstream
            .send(&self.target, request, &self.limits)
            .await
        {
            Ok(sent) => sent,
            Err(error) => {
                pair.received(ReceivedResponse::default());
                let error = self.failed(&error);
                entry.refuse(&error);
                return Err(error);
            }
        };
        entry.received(&sent, self.worker);
        let mut response = sent.response;
        if let Some(measured) = entry.measured() {
            response.extensions_mut().insert(measured);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let accepted =
                outgoing.upgrade && websocket::is_accepted(response.headers(), proof.as_ref());
            if !accepted {
                pair.received(ReceivedResponse::default());
                let error = Error::new(Kind::Backend, "the origin changes to another protocol")
                    .in_block(&backend.label);
                entry.refuse(&error);
                return Err(error);
            }
            let tunnel = Tunnel::new(hyper::upgrade::on(&mut response));
            let (parts, _) = response.into_parts();
            pair.received(received(&parts, None));
            let response = Response::from_parts(parts, Content::Tunnel(Box::new(tunnel)));
            return self.finish(response, &pair, entry, false);
        }
        if facts.buffer_response || openapi.is_some() {
            let (mut parts, body) = response.into_parts();
            let reading = Box::pin(self.read_response(&mut parts, body, &mut entry));
            let bytes = reading.await;
            let bytes = bytes.inspect_err(|error| entry.refuse(error))?;
            pair.received(received(&parts, Some(bytes.clone())));
            if let (Some(checks), Some((method, found))) = (openapi, operation) {
                let response = openapi::ReceivedResponse {
                    status: parts.status,
                    headers: &parts.headers,
                    body: &bytes,
                };
                let violations = checks.document.check_response(found, &method, &response);
                if !violations.is_empty() && !checks.ignore_response_violations {
                    return Err(self.violated("response", violations, &mut entry));
                }
                entry.violations(violations);
            }
            let response = Response::from_parts(parts, Content::of(bytes));
            return self.finish(response, &pair, entry, true);
        }
        if pair.is_kept() {
            let (parts, body) = response.into_parts();
            pair.received(received(&parts, None));
            response = Response::from_parts(parts, body);
        }
        let response = response.map(|body| Content::Upstream(body, None));
        self.finish(response, &pair, entry, false)
    }

    /// Response modifiers, status, log fields.
    fn finish(
        &self,
        mut response: Response<Content>,
        pair: &PairCell<'_>,
        mut entry: Box<BackendEntry>,
        complete: bool,
    ) -> Result<Response<Content>, Error> {
        let backend = self.backend;
        // Tells the client's connection which trailer fields it may pass on, if any come.
        let trailer = response.headers().get(header::TRAILER).cloned();
        headers::remove_hop_by_hop(response.headers_mut());
        if let Some(trailer) = trailer.filter(|_| !complete) {
            response.headers_mut().insert(header::TRAILER, trailer);
        }
        let scope = CallScope {
            outer: self.scope,
            backend,
            tokens: self.tokens,
            request: pair.request(),
            response: pair.response(),
        };
        if let Some(program) = &backend.log_fields {
            entry.custom(program.eval(&scope));
        }
        let modified = (|| {
            backend
                .response_headers
                .apply(response.headers_mut(), &scope)?;
            if let Some(program) = &backend.set_response_status
                && let Some(status) = set_response_status(program, &scope)?
            {
                set_status(&mut response, status);
                entry.status(status);
            }
            Ok(())
        })();
        modified.inspect_err(|error| entry.refuse(error))?;
        if complete {
            return Ok(response);
        }
        Ok(response.map(|content| match content {
            Content::Upstream(body, _) => Content::Upstream(body, Some(entry)),
            Content::Tunnel(mut tunnel) => {
                tunnel.log(entry);
                Content::Tunnel(tunnel)
            }
            other => other,
        }))
    }

    async fn read_response(
        &self,
        parts: &mut http::response::Parts,
        body: crate::upstream::UpstreamBody,
        entry: &mut BackendEntry,
    ) -> Result<Bytes, Error> {
        let broken = |why: String| Error::new(Kind::Backend, why).in_block(&self.backend.label);
        let bytes = body::read(body, MAX_BUFFERED_RESPONSE)
            .await
            .map_err(|error| match error {
                ReadError::TooLarge => broken("the response is too large to be read".into()),
                ReadError::Broken(error) => match error.downcast_ref::<UpstreamError>() {
                    Some(error) => self.failed(error),
                    None => broken("the response body broke off".into()),
                },
            })?;
        entry.count(bytes.len());
        let gzip = parts
            .headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"gzip"));
        if !gzip || bytes.is_empty() {
            return Ok(bytes);
        }
        let plain = body::gunzip(&bytes, MAX_BUFFERED_RESPONSE)
            .ok_or_else(|| broken("the response does not unpack".into()))?;
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.remove(header::CONTENT_LENGTH);
        Ok(plain)
    }

    /// Waits for the throttle, no longer than the exchange may take.
    async fn admitted(&self, throttle: &Throttle) -> Result<(), Error> {
        let limit = self.limits.timeout;
        let admitted = if limit.is_zero() {
            throttle.admit().await
        } else {
            match tokio::time::timeout(limit, throttle.admit()).await {
                Ok(admitted) => admitted,
                Err(_) => return Err(self.failed(&UpstreamError::Timeout(limit))),
            }
        };
        admitted.map_err(|error| {
            Error::new(Kind::BackendThrottleExceeded, error.to_string())
                .in_block(&self.backend.label)
        })
    }

    /// The error of a message that does not follow the backend's document.
    fn violated(&self, what: &str, violations: Vec<String>, entry: &mut BackendEntry) -> Error {
        let detail = format!("{what} violation: {}", violations.join("; "));
        let error =
            Error::new(Kind::BackendOpenapiValidation, detail).in_block(&self.backend.label);
        entry.violations(violations);
        entry.refuse(&error);
        error
    }

    fn entry_facts(&self) -> EntryFacts<'_> {
        EntryFacts {
            facts: self.facts,
            label: &self.backend.label,
            target: &self.target,
            worker: self.worker,
        }
    }

    fn failed(&self, error: &UpstreamError) -> Error {
        let kind = match error {
            error if error.is_timeout() => Kind::BackendTimeout,
            UpstreamError::RequestBody(_) => Kind::ClientRequest,
            _ => Kind::Backend,
        };
        let detail = crate::telemetry::daemon::chain(error);
        let wrapped = Error::new(kind, detail).in_block(&self.backend.label);
        match error {
            UpstreamError::Queue => wrapped.with_status(StatusCode::SERVICE_UNAVAILABLE),
            _ => wrapped,
        }
    }
}

/// Sets a status; 204 takes the body away.
pub fn set_status(response: &mut Response<Content>, status: StatusCode) {
    *response.status_mut() = status;
    if status == StatusCode::NO_CONTENT {
        let had_body = !http_body::Body::is_end_stream(response.body());
        *response.body_mut() = Content::Empty;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        if had_body {
            tracing::warn!("set_response_status: the body is removed, as status 204 has none");
        }
    }
}

async fn drain(response: Response<Content>) {
    // A refusal is short; a long one is not worth its connection.
    let _ = body::read(response.into_body(), MAX_REPLAYED_BODY).await;
}

async fn keep_small_body(outgoing: &mut Outgoing) -> Result<(), Error> {
    let hint = http_body::Body::size_hint(&outgoing.body);
    if outgoing.bytes.is_some() || hint.upper().is_none_or(|length| length > MAX_REPLAYED_BODY) {
        return Ok(());
    }
    let body = std::mem::replace(&mut outgoing.body, RequestBody::empty());
    let bytes = body::read(body, MAX_REPLAYED_BODY)
        .await
        .map_err(|_| Error::new(Kind::ClientRequest, "the request body broke off"))?;
    outgoing.body = RequestBody::full(bytes.clone());
    outgoing.bytes = Some(bytes);
    Ok(())
}

impl Outgoing {
    fn try_clone(&self) -> Option<Box<Self>> {
        Some(Box::new(Self {
            method: self.method.clone(),
            origin: self.origin.clone(),
            location: self.location.clone(),
            headers: self.headers.clone(),
            body: self.body.try_clone()?,
            bytes: self.bytes.clone(),
            upgrade: self.upgrade,
        }))
    }
}

/// A response as expressions see it.
pub(super) fn received(parts: &http::response::Parts, body: Option<Bytes>) -> ReceivedResponse {
    ReceivedResponse {
        status: parts.status.as_u16(),
        headers: parts.headers.clone(),
        body,
        json: OnceCell::new(),
    }
}

/// Request and response for expressions: in the exchange's record, or for this backend alone, or
/// nowhere when nothing reads them.
struct PairCell<'x> {
    record: Option<&'x CallRecord>,
    own: Option<Box<CallRecord>>,
}

impl<'x> PairCell<'x> {
    fn new(
        sending: &Sending<'x>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        bytes: Option<&Bytes>,
    ) -> Self {
        let record = sending.facts.record;
        let needed = record.is_some() || sending.backend.reads_pair();
        let cell = Self {
            record: record.filter(|record| record.request.get().is_none()),
            own: None,
        };
        if !needed {
            return cell;
        }
        let origin = sending.target.settings();
        let request = SentRequest {
            method: method.clone(),
            scheme: if origin.tls.is_some() {
                "https"
            } else {
                "http"
            },
            host: origin.host.to_string(),
            port: origin.port,
            target: uri
                .path_and_query()
                .map_or("/", PathAndQuery::as_str)
                .to_owned(),
            headers: headers.clone(),
            body: bytes.cloned(),
            json: OnceCell::new(),
        };
        match cell.record {
            Some(record) => {
                let _ = record.request.set(request);
                cell
            }
            None => {
                let own = CallRecord::default();
                let _ = own.request.set(request);
                Self {
                    record: None,
                    own: Some(Box::new(own)),
                }
            }
        }
    }

    fn cell(&self) -> Option<&CallRecord> {
        self.record.or(self.own.as_deref())
    }

    fn is_kept(&self) -> bool {
        self.cell().is_some()
    }

    fn received(&self, response: ReceivedResponse) {
        if let Some(cell) = self.cell() {
            let _ = cell.response.set(response);
        }
    }

    fn request(&self) -> Option<&SentRequest> {
        self.cell()?.request.get()
    }

    fn response(&self) -> Option<&ReceivedResponse> {
        self.cell()?.response.get()
    }
}

/// What a log entry needs to know of a sending.
pub(super) struct EntryFacts<'x> {
    pub(super) facts: &'x CallFacts<'x>,
    pub(super) label: &'x Arc<str>,
    pub(super) target: &'x Arc<crate::upstream::Target>,
    pub(super) worker: &'x Rc<Worker>,
}
