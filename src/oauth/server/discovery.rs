//! What a server says of itself: its keys (RFC 7517) and its metadata (RFC 8414, OpenID Connect
//! Discovery). A member is there if the feature is.

use super::Server;
use super::answer::{Answer, Request};
use super::client::AuthMethod;
use super::grant::Grant;
use super::paths::Endpoint;
use crate::crypto::Algorithm;
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::{Map, Value};

/// The key set.
pub(super) fn key_set(server: &Server, request: &Request<'_>) -> Answer {
    let ring = server.keys.ring();
    let mut answer = Answer::document(ring.document.clone(), "application/json");
    let known = request.headers.get(header::IF_NONE_MATCH);
    let same = |tag: &str| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == ring.etag.as_bytes()
    };
    if known
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(same))
    {
        answer.status = StatusCode::NOT_MODIFIED;
        answer.body = Bytes::new();
        answer.headers.remove(header::CONTENT_TYPE);
    }
    answer.headers.insert(header::ETAG, ring.etag.clone());
    answer
}

fn names<'n>(items: impl IntoIterator<Item = &'n str>) -> Value {
    items.into_iter().map(Value::from).collect()
}

/// The metadata.
pub(super) fn document(server: &Server) -> Answer {
    let mut members = Map::new();
    let mut add = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    add("issuer", server.issuer.as_str().into());
    for (name, endpoint) in [
        ("authorization_endpoint", Endpoint::Authorize),
        ("token_endpoint", Endpoint::Token),
        ("jwks_uri", Endpoint::Jwks),
        ("introspection_endpoint", Endpoint::Introspect),
        ("revocation_endpoint", Endpoint::Revoke),
        ("device_authorization_endpoint", Endpoint::Device),
        ("pushed_authorization_request_endpoint", Endpoint::Par),
        ("registration_endpoint", Endpoint::Register),
        ("userinfo_endpoint", Endpoint::Userinfo),
    ] {
        if let Some(url) = server.url(endpoint) {
            add(name, url.into());
        }
    }
    let refresh = server.serves(Grant::RefreshToken);
    let declared = server.scopes.iter().filter(|scope| !scope.hidden);
    let mut scopes: Vec<&str> = declared.map(|scope| &*scope.name).collect();
    if server.scopes.is_empty() {
        scopes.extend(server.scope_universe.iter().map(|name| &**name));
    }
    if refresh && !scopes.contains(&"offline_access") && server.knows_scope("offline_access") {
        scopes.push("offline_access");
    }
    if !scopes.is_empty() {
        add("scopes_supported", names(scopes));
    }
    let code = server.serves(Grant::AuthorizationCode);
    let implicit = server.serves(Grant::Implicit);
    let authorize = server.paths.advertised(Endpoint::Authorize).is_some();
    let types = [
        ("code", code && authorize),
        ("token", implicit && authorize),
    ];
    let types = types.into_iter().filter(|(_, on)| *on);
    add(
        "response_types_supported",
        names(types.map(|(name, _)| name)),
    );
    if authorize {
        add(
            "response_modes_supported",
            names(["query", "fragment", "form_post"]),
        );
        add("code_challenge_methods_supported", names(["S256"]));
        add(
            "authorization_response_iss_parameter_supported",
            true.into(),
        );
        add(
            "require_pushed_authorization_requests",
            server.require_pushed.into(),
        );
        add("request_parameter_supported", false.into());
        add("request_uri_parameter_supported", false.into());
    }
    add(
        "grant_types_supported",
        names(server.grants.iter().map(|grant| grant.name())),
    );
    add_client_authentication(server, &mut add);
    let ring = server.keys.ring();
    let algorithms: Vec<&str> = ring.algorithms().into_iter().map(Algorithm::name).collect();
    if server.paths.advertised(Endpoint::Introspect).is_some() && !algorithms.is_empty() {
        add(
            "introspection_signing_alg_values_supported",
            names(algorithms.iter().copied()),
        );
    }
    if server.uses_certificates {
        add("tls_client_certificate_bound_access_tokens", true.into());
    }
    add("subject_types_supported", names(["public"]));
    let id_tokens = if algorithms.is_empty() {
        names(["RS256"])
    } else {
        names(algorithms)
    };
    add("id_token_signing_alg_values_supported", id_tokens);
    add(
        "claims_supported",
        names(["sub", "iss", "aud", "exp", "iat"]),
    );
    let text = Value::Object(members).to_string();
    Answer::document(text.into(), "application/json")
}

fn add_client_authentication(server: &Server, add: &mut impl FnMut(&str, Value)) {
    let mut methods = vec![AuthMethod::Basic, AuthMethod::Post];
    for method in [
        AuthMethod::SecretJwt,
        AuthMethod::PrivateKeyJwt,
        AuthMethod::Tls,
        AuthMethod::SelfSignedTls,
        AuthMethod::None,
    ] {
        if server
            .clients
            .values()
            .any(|client| client.method == method)
        {
            methods.push(method);
        }
    }
    let mut algorithms: Vec<&str> = Vec::new();
    if methods.contains(&AuthMethod::PrivateKeyJwt) {
        algorithms.extend(Algorithm::ASYMMETRIC.iter().map(|a| a.name()));
    }
    if methods.contains(&AuthMethod::SecretJwt) {
        algorithms.extend(["HS256", "HS384", "HS512"]);
    }
    for (endpoint, name) in [
        (Endpoint::Token, "token"),
        (Endpoint::Introspect, "introspection"),
        (Endpoint::Revoke, "revocation"),
    ] {
        if server.paths.advertised(endpoint).is_none() {
            continue;
        }
        let public =
            |method: &AuthMethod| endpoint != Endpoint::Introspect || *method != AuthMethod::None;
        let listed = methods.iter().copied().filter(public);
        add(
            &format!("{name}_endpoint_auth_methods_supported"),
            names(listed.map(AuthMethod::name)),
        );
        if !algorithms.is_empty() {
            add(
                &format!("{name}_endpoint_auth_signing_alg_values_supported"),
                names(algorithms.iter().copied()),
            );
        }
    }
}
