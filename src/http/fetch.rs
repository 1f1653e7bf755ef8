//! Requests of the gateway's own: key sets and introspection, through a backend like any other.

use super::backend::{self, CallFacts, Location, Outgoing};
use super::body::{self, ReadError, RequestBody};
use super::request_id::RequestId;
use super::worker::Worker;
use crate::blocks::backend::{Backend, Origin};
use crate::expr::{Nothing, Scope};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What to send and how much to wait for.
#[derive(Debug)]
pub struct Fetch<'f> {
    /// Its name in the log.
    pub name: &'f str,
    /// Absolute URL, or a path at the backend's origin.
    pub url: &'f str,
    /// Method.
    pub method: Method,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Longest answer.
    pub max_bytes: u64,
    /// Longest wait, for the last byte of the answer.
    pub timeout: Duration,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The backend failed.
    #[error("{0}")]
    Backend(crate::error::Error),
    /// The time is over.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The answer is longer than allowed.
    #[error("the answer is over {} KiB", .0 / 1024)]
    TooLarge(u64),
    /// The answer ended early.
    #[error("the answer broke off")]
    Broken,
}

impl Fetch<'_> {
    /// Sends the request. `uid` is that of the client request it serves; without one it gets its own.
    pub async fn send(
        self,
        backend: &Arc<Backend>,
        uid: Option<RequestId>,
        worker: &Rc<Worker>,
    ) -> Result<Answer, FetchError> {
        self.send_for(backend, uid, &Nothing, worker).await
    }

    /// The same for a client request, which the backend's expressions read through `scope`.
    pub async fn send_for(
        self,
        backend: &Arc<Backend>,
        uid: Option<RequestId>,
        scope: &dyn Scope,
        worker: &Rc<Worker>,
    ) -> Result<Answer, FetchError> {
        let timeout = self.timeout;
        let fetching = Box::pin(self.send_unlimited(backend, uid, scope, worker));
        tokio::time::timeout(timeout, fetching)
            .await
            .unwrap_or(Err(FetchError::Timeout(timeout)))
    }

    async fn send_unlimited(
        self,
        backend: &Arc<Backend>,
        uid: Option<RequestId>,
        scope: &dyn Scope,
        worker: &Rc<Worker>,
    ) -> Result<Answer, FetchError> {
        let max_bytes = self.max_bytes;
        let uid = uid.unwrap_or_else(|| RequestId::new(worker.tree().settings.request_id_format));
        let (origin, rest) = match Origin::split(self.url) {
            Some((origin, rest)) => (Some(origin), rest),
            None => (None, self.url),
        };
        let rest = rest.split('#').next().unwrap_or("");
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let outgoing = Box::new(Outgoing {
            method: self.method,
            origin,
            location: Location::new(format!("{slash}{path}"), query),
            headers: self.headers,
            body: RequestBody::full(self.body.clone()),
            bytes: Some(self.body),
            upgrade: false,
        });
        let facts = CallFacts {
            name: self.name,
            uid: &uid,
            token_request: None,
            depends_on: None,
            wildcard: None,
            buffer_response: false,
            record: None,
            id_header: None,
        };
        let response = backend::send(backend, outgoing, &facts, scope, worker)
            .await
            .map_err(FetchError::Backend)?;
        let (parts, content) = response.into_parts();
        let body = body::read(content, max_bytes)
            .await
            .map_err(|error| match error {
                ReadError::TooLarge => FetchError::TooLarge(max_bytes),
                ReadError::Broken(_) => FetchError::Broken,
            })?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }
}

impl Answer {
    /// Whether `Content-Type` names JSON, plain or as a suffix.
    pub fn is_json(&self) -> bool {
        let content_type = self.headers.get(http::header::CONTENT_TYPE);
        let text = content_type.and_then(|value: &HeaderValue| value.to_str().ok());
        let media_type = text.and_then(|text| text.split(';').next()).unwrap_or("");
        let media_type = media_type.trim().to_ascii_lowercase();
        media_type == "application/json"
            || (media_type.starts_with("application/") && media_type.ends_with("+json"))
    }
}
