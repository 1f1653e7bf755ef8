//! `https_dev_proxy`: a TLS port in front of a plain one, as a proxy there would be.

use super::connection::Peer;
use http::header::{FORWARDED, HOST, VIA};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use std::fmt::Write as _;
use std::net::IpAddr;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Tells the plain port whom the request is from and how it came, in the place of what a client
/// says of that.
pub(super) fn announce(parts: &mut Parts, peer: &Peer) {
    let headers = &mut parts.headers;
    let host = match parts.uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    };
    let before = headers.get(&FOR).and_then(|value| value.to_str().ok());
    let from = match before {
        Some(before) => format!("{before}, {}", peer.remote_text),
        None => peer.remote_text.to_string(),
    };
    let node = match peer.remote_ip {
        IpAddr::V4(ip) => format!("{ip}:{}", peer.remote_port),
        IpAddr::V6(ip) => format!("[{ip}]:{}", peer.remote_port),
    };
    let mut forwarded = format!("for=\"{node}\";proto=https");
    if let Some(host) = host.as_ref().and_then(|host| host.to_str().ok()) {
        // A host cannot hold quotes: the request is refused then.
        let _ = write!(forwarded, ";host=\"{}\"", host.replace(['"', '\\'], ""));
    }
    headers.insert(&PROTO, HeaderValue::from_static("https"));
    headers.insert(VIA, HeaderValue::from_static("couper-https-dev-proxy"));
    for (name, value) in [(&FOR, from), (&FORWARDED, forwarded)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    if let Some(host) = host {
        headers.insert(&FORWARDED_HOST, host);
    }
}
