//! Errors of a request: what the client may know of them, and what the log tells.
//!
//! [`Kind`] is the one table of error types. An [`Error`] adds what happened; the client sees the
//! kind's synopsis and status only.

mod kind;
pub mod page;
pub mod template;

pub use kind::{Catch, Kind};

use crate::diagnostic::Span;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use std::fmt;
use std::sync::Arc;

/// Why a request failed.
#[derive(Clone, Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    status: Option<StatusCode>,
    label: Option<Arc<str>>,
    detail: String,
    /// Further types, from the cause outwards: for a sequence the cause comes first.
    cause: Option<Kind>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON in place of the page.
    body: Option<Bytes>,
    span: Option<Span>,
}

impl Error {
    /// An error of a kind with a detail for the log.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                status: None,
                label: None,
                detail: detail.into(),
                cause: None,
                headers: Vec::new(),
                body: None,
                span: None,
            }),
        }
    }

    /// Names the block it arose in.
    #[must_use]
    pub fn in_block(mut self, label: &Arc<str>) -> Self {
        self.inner.label.get_or_insert_with(|| Arc::clone(label));
        self
    }

    /// Answers with another status than the kind's own.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.inner.status = Some(status);
        self
    }

    /// Adds a header to the answer, such as a challenge.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers.push((name, value));
        self
    }

    /// Answers with JSON, or with nothing, in place of the page.
    #[must_use]
    pub fn with_body(mut self, json: Bytes) -> Self {
        self.inner.body = Some(json);
        self
    }

    /// What takes the place of the page.
    pub fn body(&self) -> Option<&Bytes> {
        self.inner.body.as_ref()
    }

    /// Names the part of the configuration it arose in.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.inner.span.get_or_insert(span);
        self
    }

    /// The part of the configuration it arose in.
    pub fn span(&self) -> Option<Span> {
        self.inner.span
    }

    /// The failure of what another request waited for.
    #[must_use]
    pub fn sequence(cause: &Self) -> Self {
        let mut error = Self::new(Kind::Sequence, cause.to_string());
        error.inner.cause = Some(cause.inner.cause.unwrap_or(cause.inner.kind));
        error
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.inner
            .status
            .unwrap_or_else(|| self.inner.kind.status())
    }

    /// The same without headers, where a handler takes the place of the default answer.
    #[must_use]
    pub fn without_headers(mut self) -> Self {
        self.inner.headers.clear();
        self
    }

    /// Headers of the answer.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.inner.headers
    }

    /// The kind that log and metrics name: the most specific one.
    pub fn reported_kind(&self) -> Kind {
        self.inner.cause.unwrap_or(self.inner.kind)
    }

    /// The log's `error_type`, if the kind has one.
    pub fn error_type(&self) -> Option<&'static str> {
        self.reported_kind().error_type()
    }

    /// The kinds that handlers may be registered for, most specific first.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + use<> {
        let own = std::iter::successors(Some(self.inner.kind), |kind| kind.parent());
        let cause = std::iter::successors(self.inner.cause, |kind| kind.parent());
        cause.chain(own).filter(|kind| kind.error_type().is_some())
    }
}

impl fmt::Display for Error {
    /// `synopsis: label: detail`, for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.inner.kind.synopsis())?;
        if let Some(label) = &self.inner.label {
            write!(f, ": {label}")?;
        }
        if !self.inner.detail.is_empty() {
            write!(f, ": {}", self.inner.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_block_and_detail() {
        let error = Error::new(Kind::JwtTokenMissing, "token required").in_block(&"token".into());
        assert_eq!(
            error.to_string(),
            "access control error: token: token required"
        );
        assert_eq!(error.error_type(), Some("jwt_token_missing"));
        let kinds: Vec<_> = error.kinds().collect();
        assert_eq!(
            kinds,
            [Kind::JwtTokenMissing, Kind::Jwt, Kind::AccessControl]
        );
    }

    #[test]
    fn a_sequence_has_its_cause_first() {
        let cause = Error::new(Kind::UnexpectedStatus, "404");
        let kinds: Vec<_> = Error::sequence(&cause).kinds().collect();
        assert_eq!(
            kinds,
            [
                Kind::UnexpectedStatus,
                Kind::Endpoint,
                Kind::Sequence,
                Kind::Endpoint
            ]
        );
    }
}
