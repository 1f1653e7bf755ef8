//! One request over one connection, in the form its protocol wants, within the time limits.

use super::body::{RequestBody, UpstreamBody, Written};
use super::error::UpstreamError;
use super::pool::{Connection, Lease, Pool};
use super::proxy::Protocol;
use super::{ChangeOfProtocol, Limits, Target};
use http::header::{CONNECTION, HOST, PROXY_AUTHORIZATION};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of the connection when a request is put on it.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) limits: &'a Limits,
    pub(super) deadline: Option<(Instant, Duration)>,
    /// Whether the request may be sent once more if the connection turns out to be closed.
    pub(super) replayable: bool,
}

/// An exchange that ended before its response.
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// The request, when it may be sent once more. Boxed because it is rare.
    pub(super) again: Option<Box<Request<RequestBody>>>,
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self { error, again: None }
    }
}

/// Sends a request and waits for the head of its response.
pub(super) async fn exchange(
    connection: Connection,
    target: &Target,
    pool: &Rc<Pool>,
    mut request: Request<RequestBody>,
    terms: Terms<'_>,
) -> Result<Response<UpstreamBody>, Failure> {
    let Terms {
        limits,
        deadline,
        replayable,
    } = terms;
    let written = request.body_mut().track();
    let copy = if replayable { replay(&request) } else { None };
    let settle = |mut error: TrySendError<Request<RequestBody>>| {
        if let Some(request) = error.take_message() {
            let error = UpstreamError::before_response(error.into_error());
            return Failure {
                error,
                again: Some(Box::new(request)),
            };
        }
        let error = UpstreamError::before_response(error.into_error());
        let again = copy.filter(|_| matches!(error, UpstreamError::Dropped(_)));
        Failure { error, again }
    };
    match connection {
        Connection::H1(mut connection, born) => {
            to_http1(&mut request, target)?;
            let response = connection.try_send_request(request);
            let response = head(response, limits, deadline, written.as_ref())
                .await?
                .map_err(settle)?;
            // After a switch of protocols the connection is the caller's.
            let keep = response.status() != StatusCode::SWITCHING_PROTOCOLS
                && !target.settings.disable_connection_reuse;
            let pool = Rc::clone(pool);
            let lease = keep.then(|| Lease {
                pool,
                connection,
                born,
                written,
            });
            Ok(response.map(|body| UpstreamBody::new(body, lease, deadline)))
        }
        Connection::H2(mut connection) => {
            to_http2(&mut request, target)?;
            let response = connection.try_send_request(request);
            let response = head(response, limits, deadline, written.as_ref())
                .await?
                .map_err(settle)?;
            Ok(response.map(|body| UpstreamBody::new(body, None, deadline)))
        }
    }
}

/// Makes a request that was written for one connection fit for another one.
pub(super) fn again(mut request: Request<RequestBody>) -> Request<RequestBody> {
    // In HTTP/2 the authority stands for the Host field.
    if request.version() == Version::HTTP_2
        && let Some(host) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(host.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    request
}

/// A second copy of a request that may reach the origin twice.
fn replay(request: &Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
    if !request.method().is_idempotent() {
        return None;
    }
    let mut copy = Request::new(request.body().try_clone()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(Box::new(copy))
}

type Head = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Waits for the response's head within the limits, with one timer at most.
async fn head(
    response: impl Future<Output = Head>,
    limits: &Limits,
    deadline: Option<(Instant, Duration)>,
    written: Option<&Written>,
) -> Result<Head, UpstreamError> {
    let mut response = pin!(response);
    let ttfb = limits.ttfb_timeout;
    if ttfb.is_zero() && deadline.is_none() {
        return Ok(response.await);
    }
    let start = Instant::now();
    // While the request is under way, the limit of the first byte has not begun.
    let first_byte = |now: Instant| {
        (!ttfb.is_zero()).then(|| written.map_or(start, |w| w.get().unwrap_or(now)) + ttfb)
    };
    let next = |now: Instant| match (first_byte(now), deadline) {
        (Some(a), Some((b, _))) => a.min(b),
        (Some(a), None) => a,
        (None, Some((b, _))) => b,
        (None, None) => now + ttfb,
    };
    let mut timer = pin!(tokio::time::sleep_until(next(start)));
    loop {
        tokio::select! {
            biased;
            result = &mut response => return Ok(result),
            () = &mut timer => {
                let now = Instant::now();
                if let Some((at, limit)) = deadline && now >= at {
                    return Err(UpstreamError::Timeout(limit));
                }
                if first_byte(now).is_some_and(|at| now >= at) {
                    return Err(UpstreamError::FirstByteTimeout(ttfb));
                }
                timer.as_mut().reset(next(now));
            }
        }
    }
}

fn to_http1(request: &mut Request<RequestBody>, target: &Target) -> Result<(), UpstreamError> {
    *request.version_mut() = Version::HTTP_11;
    if request.method() != Method::CONNECT
        && (request.uri().authority().is_some() || request.uri().path_and_query().is_none())
    {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    if !request.headers().contains_key(HOST) {
        request
            .headers_mut()
            .insert(HOST, target.host_header.clone());
    }
    let upgrade = request.extensions().get::<ChangeOfProtocol>().is_some();
    if target.settings.disable_connection_reuse && !upgrade {
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let proxy = target.settings.proxy.as_ref().map(|proxy| &proxy.protocol);
    if let (Some(Protocol::Http { authorization }), None) = (proxy, &target.settings.tls) {
        *request.uri_mut() = absolute(request, target, target.authority.clone())?;
        if let Some(value) = authorization {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, value.clone());
        }
    }
    Ok(())
}

/// The request's path at `authority`.
fn absolute(
    request: &Request<RequestBody>,
    target: &Target,
    authority: Authority,
) -> Result<Uri, UpstreamError> {
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(target.scheme());
    parts.authority = Some(authority);
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|error| UpstreamError::Unsendable(error.into()))
}

fn to_http2(request: &mut Request<RequestBody>, target: &Target) -> Result<(), UpstreamError> {
    *request.version_mut() = Version::HTTP_2;
    let authority = match request.headers_mut().remove(HOST) {
        Some(host) => Authority::try_from(host.as_bytes())
            .map_err(|error| UpstreamError::Unsendable(error.into()))?,
        None => target.authority.clone(),
    };
    *request.uri_mut() = absolute(request, target, authority)?;
    request.headers_mut().remove(CONNECTION);
    Ok(())
}
