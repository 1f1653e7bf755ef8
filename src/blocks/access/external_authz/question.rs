//! What the service is told about a request.

use crate::crypto::certificate::CertificateFacts;
use crate::http::exchange::Exchange;
use crate::http::handshake::Handshake;
use http::header;
use serde_json::{Map, Value, json};

/// The question as JSON.
pub(super) fn of(exchange: &Exchange, include_tls: bool) -> Vec<u8> {
    let mut question = Map::new();
    question.insert("client_request".into(), client_request(exchange));
    if include_tls && let Some(handshake) = &exchange.handshake {
        question.insert("metadata_tls".into(), metadata_tls(handshake));
    }
    Value::Object(question).to_string().into_bytes()
}

fn client_request(exchange: &Exchange) -> Value {
    let mut headers = Map::new();
    // `Host` is a part of the URL.
    let names = exchange.headers().keys();
    for name in names.filter(|name| **name != header::HOST) {
        let values = exchange.headers().get_all(name).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        headers.insert(canonical(name.as_str()), Value::Array(texts.collect()));
    }
    let target = exchange
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    json!({
        "method": exchange.method.as_str(),
        "url": format!("{}{target}", exchange.url().origin()),
        "headers": headers,
    })
}

/// `x-request-id` as `X-Request-Id`.
fn canonical(name: &str) -> String {
    let mut first = true;
    name.chars()
        .map(|letter| {
            let shown = if first {
                letter.to_ascii_uppercase()
            } else {
                letter
            };
            first = letter == '-';
            shown
        })
        .collect()
}

fn metadata_tls(handshake: &Handshake) -> Value {
    let mut metadata = Map::new();
    metadata.insert("version".into(), handshake.version.into());
    metadata.insert("cipher_suite".into(), handshake.cipher_suite.clone().into());
    if let Some(name) = &handshake.server_name {
        metadata.insert("server_name".into(), name.clone().into());
    }
    let certificate = handshake.client_certificate.as_ref();
    if let Some(facts) = certificate.and_then(|der| CertificateFacts::of(der)) {
        metadata.insert("client_certificate".into(), client_certificate(&facts));
    }
    Value::Object(metadata)
}

fn client_certificate(facts: &CertificateFacts) -> Value {
    let mut shown = json!({
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serial_number": facts.serial_number,
        "fingerprint_sha256": facts.fingerprint_sha256,
        "not_before": facts.not_before,
        "not_after": facts.not_after,
    });
    let names = [
        ("dns_names", &facts.dns_names),
        ("uris", &facts.uris),
        ("email_addresses", &facts.email_addresses),
        ("ip_addresses", &facts.ip_addresses),
    ];
    for (name, list) in names.into_iter().filter(|(_, list)| !list.is_empty()) {
        shown[name] = list.as_slice().into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn names_are_canonical() {
        assert_eq!(canonical("x-request-id"), "X-Request-Id");
        assert_eq!(canonical("te"), "Te");
        assert_eq!(canonical("x--y-"), "X--Y-");
    }
}
