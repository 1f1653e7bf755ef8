//! The request to log in (SAML 2.0 Core §3.4, HTTP-Redirect binding: Bindings §3.4).

use super::metadata::Metadata;
use super::xml::{ASSERTION, PROTOCOL};
use crate::clock::UnixTime;
use crate::oauth::client::authorization_code::{hashed, with_params};
use base64::Engine as _;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write as _;

/// The ID of a request, which follows from the verifier: an answer names it, and so the browser
/// that began is known again without any memory here.
pub(super) fn id(verifier: &str) -> String {
    format!("_{}", hashed(verifier))
}

/// The URL to send the browser to.
pub(super) fn url(
    metadata: &Metadata,
    entity_id: &str,
    acs_url: &str,
    verifier: &str,
    now: UnixTime,
) -> Result<String, String> {
    let issued = jiff::Timestamp::from_second(now.seconds()).map_err(|_| "no time to be had")?;
    let id = id(verifier);
    let destination = escape(&metadata.sso_url);
    let (acs_url, entity_id) = (escape(acs_url), escape(entity_id));
    let policy = match &metadata.name_id_format {
        None => String::new(),
        Some(format) => format!(
            "<samlp:NameIDPolicy AllowCreate=\"true\" Format=\"{}\"/>",
            escape(format)
        ),
    };
    let xml = format!(
        "<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{id}\" \
         Version=\"2.0\" IssueInstant=\"{issued}\" Destination=\"{destination}\" \
         AssertionConsumerServiceURL=\"{acs_url}\" \
         ProtocolBinding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\">\
         <saml:Issuer>{entity_id}</saml:Issuer>{policy}</samlp:AuthnRequest>"
    );
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    let deflated = deflate
        .write_all(xml.as_bytes())
        .and_then(|()| deflate.finish())
        .map_err(|_| "the request cannot be packed")?;
    let encoded = base64::engine::general_purpose::STANDARD.encode(deflated);
    Ok(with_params(&metadata.sso_url, &[("SAMLRequest", &encoded)]))
}

/// Text for an attribute or element.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(char),
        }
    }
    out
}
