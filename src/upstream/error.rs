//! Why an exchange with an origin failed.

use std::io;
use std::time::Duration;

/// Any error, as bodies report them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an exchange with an origin failed. Each text says one level; causes are in `source()`.
/// No text holds anything of the request but the origin's name.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The origin's name has no address.
    #[error("cannot resolve the name {host}")]
    Resolve {
        /// The name.
        host: Box<str>,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the origin took the connection.
    #[error("cannot connect to {host}")]
    Connect {
        /// Name and port.
        host: Box<str>,
        /// Refused, reset, unreachable: the fault of the last address tried.
        source: io::Error,
    },
    /// No connection within `connect_timeout`.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The forward proxy made no tunnel.
    #[error("the forward proxy made no tunnel")]
    Proxy(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// No response began within `ttfb_timeout`.
    #[error("no response within {0:?}")]
    FirstByteTimeout(Duration),
    /// The exchange was not over within `timeout`.
    #[error("the exchange took longer than {0:?}")]
    Timeout(Duration),
    /// The origin ended the connection before its response.
    #[error("the origin closed the connection without a response")]
    Dropped(#[source] hyper::Error),
    /// What the origin sent is no HTTP response.
    #[error("the response is malformed")]
    Malformed(#[source] hyper::Error),
    /// As many requests wait for a connection as may.
    #[error("too many requests wait for a connection")]
    Queue,
    /// The request's own body broke off, so the client is at fault.
    #[error("the request body broke off")]
    RequestBody(#[source] hyper::Error),
    /// The response broke off after its head.
    #[error("the response body broke off")]
    ResponseBody(#[source] hyper::Error),
    /// The request cannot be put on the wire.
    #[error("the request cannot be sent")]
    Unsendable(#[source] BoxError),
}

impl UpstreamError {
    /// Whether the origin has certainly not seen the request, so that any method may be sent anew.
    pub fn retry_safe(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout(_)
            | Self::Proxy(_)
            | Self::Tls(_)
            | Self::Queue
            | Self::Unsendable(_) => true,
            Self::Dropped(e) => e.is_canceled(),
            Self::FirstByteTimeout(_)
            | Self::Timeout(_)
            | Self::Malformed(_)
            | Self::RequestBody(_)
            | Self::ResponseBody(_) => false,
        }
    }

    /// Whether a response was awaited in vain: a gateway timeout, not a bad gateway.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::FirstByteTimeout(_) | Self::Timeout(_))
    }

    /// Sorts a fault between handing over the request and the response head.
    pub(super) fn before_response(error: hyper::Error) -> Self {
        if error.is_parse() {
            Self::Malformed(error)
        } else if error.is_user() {
            Self::RequestBody(error)
        } else {
            Self::Dropped(error)
        }
    }
}
