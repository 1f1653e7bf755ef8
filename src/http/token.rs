//! Access tokens for backends: the cache's entry, and how a token is fetched through a backend.

use super::backend::{self, CallFacts, Location, Outgoing};
use super::body::{self, BodyError, Content, ReadError, RequestBody};
use super::call;
use super::exchange::Exchange;
use super::request_id::RequestId;
use super::scope::AnswerScope;
use super::worker::Worker;
use crate::blocks::backend::token_request::{TokenRequest, TokenSource, Tokens};
use crate::blocks::backend::{Backend, Origin, text_of};
use crate::blocks::form;
use crate::blocks::modifiers::evaluate;
use crate::blocks::oauth2::{OAuth2, Prepared, TokenClient};
use crate::clock::Clock;
use crate::error::{Error, Kind};
use crate::expr::{Scope, Snapshot};
use crate::oauth::client::token_cache::{Token, TokenEntry, TokenError};
use crate::oauth::client::token_request::TokenRequest as FormRequest;
use crate::oauth::client::token_response::{
    FailureKind, FetchFailure, FetchedToken, Lifetime, MAX_BODY_BYTES, TokenResponse, TokenType,
    parse_token_response, retry_after,
};
use crate::upstream::BoxError;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use secrecy::SecretString;
use std::rc::Rc;
use std::sync::Arc;

type Fetch = LocalBoxFuture<'static, Result<FetchedToken, FetchFailure>>;

/// The tokens for a request when not all are at hand: fetched one after another, each once for
/// all who wait for it.
pub async fn all(
    backend: &Backend,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<Tokens, Error> {
    let instance = &backend.instance;
    let oauth2 = match &instance.oauth2 {
        None => None,
        Some(oauth2) => Some(of_oauth2(oauth2, uid, scope, worker).await?),
    };
    let mut requested = Vec::with_capacity(instance.token_requests.len());
    for source in &instance.token_requests {
        requested.push(of_request(source, uid, scope, worker).await?);
    }
    Ok(Tokens { oauth2, requested })
}

async fn of_oauth2(
    oauth2: &Arc<OAuth2>,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<(Arc<Token>, Arc<TokenEntry>), Error> {
    let refused = |why| Error::new(Kind::BackendTokenRequest, why).in_block(&oauth2.label);
    let entry = oauth2.entry(scope).map_err(refused)?;
    if let Some(token) = entry.cached() {
        return Ok((token, entry));
    }
    // A fault of this request alone is not for those who share the token.
    oauth2.client.check(scope).map_err(refused)?;
    let token = entry
        .token(oauth2_fetcher(&oauth2.client, uid, scope, worker))
        .await
        .map_err(|error| failed(&oauth2.label, &error))?;
    Ok((token, entry))
}

async fn of_request(
    source: &TokenSource,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<Arc<Token>, Error> {
    let TokenSource { request, entry } = source;
    if let Some(token) = entry.cached() {
        return Ok(token);
    }
    // As above: found before others may wait for it.
    outgoing(request, scope).map_err(|error| {
        let why = format!("token request `{}`: {error}", request.name);
        Error::new(Kind::BackendTokenRequest, why).in_block(&request.owner)
    })?;
    let snapshot = Rc::new(Snapshot::of(request.programs(), scope));
    let (fetched, worker) = (Arc::clone(request), Rc::clone(worker));
    let fetch = move || -> Fetch {
        let (request, scope) = (Arc::clone(&fetched), Rc::clone(&snapshot));
        let worker = Rc::clone(&worker);
        Box::pin(async move { ask(&request, uid, &*scope, &worker).await })
    };
    entry
        .token(fetch)
        .await
        .map_err(|error| failed(&request.owner, &error))
}

/// How the cache gets a token. The fetch belongs to the cache: it goes on when the request that
/// began it leaves, so it takes along what its expressions read.
pub fn oauth2_fetcher(
    client: &Arc<TokenClient>,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> impl Fn() -> Fetch + 'static {
    let scope = Rc::new(Snapshot::of(client.programs(), scope));
    let (client, worker) = (Arc::clone(client), Rc::clone(worker));
    move || {
        let (client, scope) = (Arc::clone(&client), Rc::clone(&scope));
        let worker = Rc::clone(&worker);
        Box::pin(async move { fetch(&client, uid, &*scope, &worker).await })
    }
}

/// The error of a request for the backend `label` that got no token.
pub fn failed(label: &Arc<str>, error: &TokenError) -> Error {
    let detail = error.failure.to_string();
    let wrapped = Error::new(Kind::BackendTokenRequest, detail).in_block(label);
    match error.retry_after {
        None => wrapped,
        Some(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            wrapped
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
        }
    }
}

/// Where a URL that is known at start leads to: absolute, or a path at the backend.
fn target(url: &str) -> (Option<Origin>, Location) {
    let (origin, rest) = match Origin::split(url) {
        Some((origin, rest)) => (Some(origin), rest),
        None => (None, url),
    };
    let rest = rest.split('#').next().unwrap_or("");
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (rest, None),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    (origin, Location::new(format!("{slash}{path}"), query))
}

/// What a token request is called in the log.
#[derive(Clone, Copy)]
struct Name<'n> {
    request: &'n str,
    token_request: &'n str,
}

impl<'n> Name<'n> {
    fn both(name: &'n str) -> Self {
        Self {
            request: name,
            token_request: name,
        }
    }
}

/// Sends a token request; errors are told as its own.
async fn send(
    backend: &Arc<Backend>,
    outgoing: Box<Outgoing>,
    name: Name<'_>,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<Response<Content>, (FailureKind, String)> {
    let facts = CallFacts {
        name: name.request,
        uid: &uid,
        token_request: Some(name.token_request),
        depends_on: None,
        wildcard: None,
        buffer_response: false,
        record: None,
        id_header: None,
    };
    // Boxed: the backend of a token endpoint may have a token client of its own.
    let sent = Box::pin(backend::send(backend, outgoing, &facts, scope, worker));
    sent.await.map_err(|error| {
        let kind = match error.kind() {
            Kind::BackendTimeout => FailureKind::Timeout,
            Kind::Backend => FailureKind::Dropped,
            _ => FailureKind::Internal,
        };
        (kind, error.to_string())
    })
}

async fn answer(content: Content) -> Result<Bytes, (FailureKind, String)> {
    let broken = |error: &BoxError| match error.downcast_ref::<BodyError>() {
        Some(BodyError::Upstream(error)) if error.is_timeout() => {
            (FailureKind::Timeout, error.to_string())
        }
        _ => (FailureKind::Dropped, "the answer broke off".to_owned()),
    };
    body::read(content, MAX_BODY_BYTES as u64)
        .await
        .map_err(|error| match error {
            ReadError::TooLarge => (FailureKind::TooLarge, "the answer is over 1 MiB".to_owned()),
            ReadError::Broken(error) => broken(&error),
        })
}

/// A `beta_token_request` as it is sent.
fn outgoing(request: &TokenRequest, scope: &dyn Scope) -> Result<Box<Outgoing>, Error> {
    let bytes = request.body.bytes(scope)?;
    let method = match &request.method {
        None => String::new(),
        Some(program) => text_of(evaluate(program, scope)?),
    };
    let method = match method.to_ascii_uppercase().as_str() {
        "" if bytes.is_empty() => Method::GET,
        "" => Method::POST,
        name => Method::from_bytes(name.as_bytes())
            .map_err(|_| Error::new(Kind::Request, "the method is malformed"))?,
    };
    let (origin, mut location) = target(&request.url);
    let mut headers = HeaderMap::new();
    if let Some(content_type) = request.body.content_type() {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    request.headers.apply(&mut headers, scope)?;
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    if !request.query.is_empty() {
        let mut params = form::params(location.query().unwrap_or("").as_bytes(), false);
        request.query.apply(&mut params, scope)?;
        let query = String::from_utf8_lossy(&form::query(&params)).into_owned();
        location.set_query((!query.is_empty()).then_some(query));
    }
    Ok(Box::new(Outgoing {
        method,
        origin,
        location,
        headers,
        body: RequestBody::full(bytes.clone()),
        bytes: Some(bytes),
        upgrade: false,
    }))
}

/// Sends a `beta_token_request` and takes the token out of the answer.
async fn ask(
    request: &TokenRequest,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<FetchedToken, FetchFailure> {
    let failure = |(kind, why): (FailureKind, String)| {
        let name = &request.name;
        FetchFailure::new(kind, format!("token request `{name}` failed: {why}"))
    };
    let internal = |error: Error| failure((FailureKind::Internal, error.to_string()));
    let outgoing = outgoing(request, scope).map_err(internal)?;
    let sent = send(
        &request.backend,
        outgoing,
        Name::both(&request.name),
        uid,
        scope,
        worker,
    );
    let response = sent.await.map_err(failure)?;
    let expected = request.expected_status.as_ref();
    if let Err(error) = call::expect(expected, &response, scope) {
        if error.kind() != Kind::UnexpectedStatus {
            return Err(internal(error));
        }
        let status = FailureKind::Status(response.status().as_u16());
        let wait = response.headers().get(header::RETRY_AFTER);
        let wait = wait.and_then(|value| value.to_str().ok());
        return Err(FetchFailure {
            retry_after: wait.and_then(|value| retry_after(value, Clock::System.unix())),
            ..failure((status, error.to_string()))
        });
    }
    let (mut parts, content) = response.into_parts();
    let mut bytes = answer(content).await.map_err(failure)?;
    let coding = parts.headers.get(header::CONTENT_ENCODING);
    if !bytes.is_empty() && coding.is_some_and(|c| c.as_bytes().eq_ignore_ascii_case(b"gzip")) {
        bytes = body::gunzip(&bytes, MAX_BODY_BYTES as u64).ok_or_else(|| {
            failure((
                FailureKind::Invalid,
                "the answer does not unpack to 1 MiB at most".to_owned(),
            ))
        })?;
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let response = backend::received(&parts, Some(bytes));
    let scope = AnswerScope {
        outer: scope,
        response: &response,
    };
    let (access_token, ttl) = request
        .result(&scope)
        .map_err(|why| failure((FailureKind::Invalid, why)))?;
    Ok(FetchedToken {
        access_token,
        token_type: TokenType::Bearer,
        lifetime: Lifetime::Seconds(ttl.as_secs_f64()),
    })
}

/// Sends the token request of an `oauth2` block.
async fn fetch(
    client: &TokenClient,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<FetchedToken, FetchFailure> {
    let endpoint = client.token_endpoint.as_str();
    let failure = |(kind, why): (FailureKind, String)| {
        FetchFailure::new(kind, format!("token request to {endpoint} failed: {why}"))
    };
    let Prepared { request, given } = client
        .request(scope)
        .map_err(|why| failure((FailureKind::Internal, why)))?;
    let (name, backend) = (Name::both("oauth2"), &client.backend);
    let sent = post(request, endpoint, backend, name, uid, scope, worker);
    let (parts, body) = sent.await.map_err(failure)?;
    let mut secrets = client.secrets();
    secrets.extend(&given);
    parse(&parts, &body, endpoint, &secrets)
}

/// Sends a request to a token endpoint.
async fn post(
    request: FormRequest,
    endpoint: &str,
    backend: &Arc<Backend>,
    name: Name<'_>,
    uid: RequestId,
    scope: &dyn Scope,
    worker: &Rc<Worker>,
) -> Result<(Parts, Bytes), (FailureKind, String)> {
    let (origin, location) = target(endpoint);
    let bytes = Bytes::from(request.body);
    let outgoing = Box::new(Outgoing {
        method: request.method,
        origin,
        location,
        headers: request.headers,
        body: RequestBody::full(bytes.clone()),
        bytes: Some(bytes),
        upgrade: false,
    });
    let sent = send(backend, outgoing, name, uid, scope, worker);
    let (parts, content) = sent.await?.into_parts();
    Ok((parts, answer(content).await?))
}

fn parse(
    parts: &Parts,
    body: &[u8],
    endpoint: &str,
    secrets: &[&SecretString],
) -> Result<FetchedToken, FetchFailure> {
    let text = |name| {
        let value: Option<&HeaderValue> = parts.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let response = TokenResponse {
        endpoint,
        status: parts.status.as_u16(),
        content_type: text(header::CONTENT_TYPE),
        retry_after: text(header::RETRY_AFTER),
        body,
    };
    parse_token_response(&response, secrets, Clock::System.unix())
}

/// The token request of an authorization code flow.
#[derive(Debug)]
pub struct CodeExchange<'c> {
    /// Its name in the log.
    pub name: &'c str,
    /// URL of the token endpoint.
    pub endpoint: &'c str,
    /// The backend of that.
    pub backend: &'c Arc<Backend>,
    /// What must not appear in messages, should the endpoint repeat it.
    pub secrets: [&'c SecretString; 3],
}

impl CodeExchange<'_> {
    /// Sends it; gives the answer, which is a JSON object with a usable token.
    pub async fn send(
        &self,
        request: FormRequest,
        exchange: &Exchange,
    ) -> Result<Bytes, FetchFailure> {
        let endpoint = self.endpoint;
        let name = Name {
            request: self.name,
            token_request: "oauth2",
        };
        let (uid, worker) = (exchange.id, &exchange.worker);
        let sent = post(request, endpoint, self.backend, name, uid, exchange, worker);
        let (parts, body) = sent.await.map_err(|(kind, why)| {
            FetchFailure::new(kind, format!("token request to {endpoint} failed: {why}"))
        })?;
        parse(&parts, &body, endpoint, &self.secrets)?;
        Ok(body)
    }
}
