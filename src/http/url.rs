//! The URL of a client request, as variables and logs show it.

use crate::blocks::settings::ForwardedUrl;
use http::HeaderMap;
use std::borrow::Cow;

/// Scheme, host and port of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUrl<'r> {
    /// `http` or `https`, or what a trusted header says.
    pub scheme: Cow<'r, str>,
    /// Lower-case host without port.
    pub host: Cow<'r, str>,
    /// The port, if the URL names one.
    pub port: Option<u16>,
}

/// Host and port of a `Host` field.
pub fn split_host(authority: &str) -> (&str, Option<u16>) {
    let end = if authority.starts_with('[') {
        authority.find(']').map_or(0, |at| at + 1)
    } else {
        0
    };
    match authority[end..].rfind(':') {
        Some(at) => (
            &authority[..end + at],
            authority[end + at + 1..].parse().ok(),
        ),
        None => (authority, None),
    }
}

impl<'r> RequestUrl<'r> {
    /// The URL by which the request came in.
    pub fn received(host: &'r str, tls: bool, local_port: u16) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let host = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        Self {
            scheme: Cow::Borrowed(scheme),
            host,
            port: Some(local_port),
        }
    }

    /// Applies `accept_forwarded_url`: first proto, which drops the port, then host, then port.
    #[must_use]
    pub fn forwarded(mut self, accept: ForwardedUrl, headers: &HeaderMap) -> Self {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .filter(|text| !text.is_empty())
        };
        if let Some(proto) = header("x-forwarded-proto").filter(|_| accept.proto) {
            self.scheme = Cow::Owned(proto.to_owned());
            self.port = None;
        }
        if let Some(host) = header("x-forwarded-host").filter(|_| accept.host) {
            let (name, port) = split_host(host);
            self.host = Cow::Owned(name.to_ascii_lowercase());
            self.port = port.or(self.port);
        }
        if let Some(port) = header("x-forwarded-port").filter(|_| accept.port) {
            self.port = port.parse().ok().or(self.port);
        }
        self
    }

    /// The same, free of the request.
    pub fn into_owned(self) -> RequestUrl<'static> {
        RequestUrl {
            scheme: Cow::Owned(self.scheme.into_owned()),
            host: Cow::Owned(self.host.into_owned()),
            port: self.port,
        }
    }

    /// The same, borrowed.
    pub fn borrowed(&self) -> RequestUrl<'_> {
        RequestUrl {
            scheme: Cow::Borrowed(&self.scheme),
            host: Cow::Borrowed(&self.host),
            port: self.port,
        }
    }

    /// The port, the scheme's own if the URL names none.
    pub fn effective_port(&self) -> u16 {
        self.port
            .unwrap_or(if self.scheme == "https" { 443 } else { 80 })
    }

    /// `scheme://host[:port]`
    pub fn origin(&self) -> String {
        let Self { scheme, host, port } = self;
        match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_parts_apply_in_order() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "WWW.example:99"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let url = || RequestUrl::received("localhost", false, 8080);
        let accept = |proto, host, port| ForwardedUrl { proto, host, port };
        let origin = |accept| url().forwarded(accept, &headers).origin();
        assert_eq!(origin(accept(false, false, false)), "http://localhost:8080");
        assert_eq!(origin(accept(true, false, false)), "https://localhost");
        assert_eq!(origin(accept(true, true, true)), "https://www.example:99");
        assert_eq!(split_host("[::1]:80"), ("[::1]", Some(80)));
        assert_eq!(split_host("[::1]"), ("[::1]", None));
    }
}
