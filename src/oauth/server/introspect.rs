//! Introspection (RFC 7662) and its signed form (RFC 9701): what a token is worth, told to those
//! whom it concerns. Everything that is not active is answered by the same bytes.

use super::answer::{Answer, Notes, Request};
use super::authentication::Caller;
use super::check::{Good, Rejected};
use super::client::{Client, Introspect};
use super::dialect::ExtraIntrospection;
use super::fault::{Condition, Fault};
use super::json::Object;
use super::resource;
use super::{Server, now};
use crate::crypto::Algorithm;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;

static INACTIVE: &[u8] = br#"{"active":false}"#;
const SIGNED: &str = "application/token-introspection+jwt";

/// Who asks.
enum Asker {
    /// A client.
    Client(Arc<Client>),
    /// Anybody: `introspection_auth = "none"`.
    Anybody,
    /// Someone with a token that has the scope `introspect`.
    Token,
}

pub(super) async fn answer(
    server: &Server,
    request: &Request<'_>,
    notes: &mut Notes,
) -> Result<Answer, Fault> {
    let parameters = server.parameters(request)?;
    let asker = if server.open_introspection {
        Asker::Anybody
    } else if let Some(token) = bearer(request) {
        by_token(server, token).await?
    } else {
        let caller = server.authenticate(request, &parameters, notes).await?;
        admit(&caller)?;
        Asker::Client(caller.client)
    };
    let token = parameters
        .get("token")
        .ok_or_else(|| Fault::new(Condition::IntrospectMissing))?;
    notes.token_ref = Some(super::event::token_ref(&super::sha256(token.as_bytes())));
    let minimal = parameters.get("minimal") == Some("true");
    let body = match find(server, &asker, token).await? {
        Some(found) => body(server, &asker, &found, minimal),
        None => INACTIVE.to_vec(),
    };
    let signed = request
        .headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    match (signed, &asker) {
        (Some(accept), Asker::Client(client)) if accept.contains(SIGNED) => {
            sign(server, &client.id, &body).await
        }
        _ => Ok(Answer::json(StatusCode::OK, body)),
    }
}

/// Public clients and those without the right may not ask.
fn admit(caller: &Caller) -> Result<(), Fault> {
    if caller.client.is_public() {
        return Err(Fault::new(Condition::ClientBody).because("a public client"));
    }
    if caller.client.introspect == Introspect::None {
        return Err(Fault::new(Condition::IntrospectDenied));
    }
    Ok(())
}

fn bearer<'r>(request: &Request<'r>) -> Option<&'r str> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn by_token(server: &Server, token: &str) -> Result<Asker, Fault> {
    match server.check(token).await {
        Ok(good)
            if good.facts.scope.iter().any(|name| name == "introspect")
                && good.facts.confirmation.is_empty() =>
        {
            Ok(Asker::Token)
        }
        Err(Rejected::Unavailable) => Err(Fault::unavailable("the store")),
        Ok(_) | Err(_) => Err(Fault::new(Condition::TokenInvalid)),
    }
}

/// The token, if it is active and concerns who asks (AS-INT-1).
async fn find(server: &Server, asker: &Asker, token: &str) -> Result<Option<Good>, Fault> {
    let good = match server.check(token).await {
        Ok(good) => good,
        Err(Rejected::Unavailable) => return Err(Fault::unavailable("the store")),
        Err(Rejected::Invalid(_) | Rejected::Expired | Rejected::Revoked) => return Ok(None),
    };
    let entitled = match asker {
        Asker::Client(client) => concerns(client, &good),
        Asker::Anybody | Asker::Token => true,
    };
    Ok(entitled.then_some(good))
}

/// Whether a client may learn about a token.
fn concerns(client: &Client, good: &Good) -> bool {
    let own = *client.id == *good.facts.client_id;
    match client.introspect {
        Introspect::Any => true,
        Introspect::Own => own,
        Introspect::None => false,
        Introspect::Audience => {
            let names = |known: &str| {
                *known == *client.id
                    || client
                        .resource_uris
                        .iter()
                        .any(|uri| resource::same(uri, known))
            };
            own || good.facts.audience.iter().any(|known| names(known))
        }
    }
}

fn body(server: &Server, asker: &Asker, good: &Good, minimal: bool) -> Vec<u8> {
    let (facts, client) = (&good.facts, &good.client);
    let mut body = Object::new();
    body.flag("active", true);
    let end = facts.ends.map(crate::clock::UnixTime::seconds);
    if minimal {
        if let Some(end) = end {
            body.number("exp", end);
        }
        return body.finish();
    }
    if !facts.scope.is_empty() {
        body.string("scope", &facts.scope.join(" "));
    }
    body.string("client_id", &facts.client_id);
    if let Some(end) = end {
        body.number("exp", end);
    }
    if matches!(asker, Asker::Anybody) {
        return body.finish();
    }
    let extra = server.dialect.introspection;
    match (facts.user, extra) {
        (true, _) => {
            body.string("username", &facts.subject);
        }
        (false, ExtraIntrospection::Keycloak) => {
            body.string("username", &format!("service-account-{}", facts.client_id));
        }
        (false, ExtraIntrospection::None | ExtraIntrospection::ApiKey) => {}
    }
    let token_type = if facts.confirmation.jkt.is_some() {
        "DPoP"
    } else {
        "Bearer"
    };
    body.string("token_type", token_type)
        .number("iat", facts.issued.div_euclid(1000))
        .number("nbf", facts.begins.seconds())
        .string("sub", &facts.subject)
        .one_or_many("aud", &facts.audience)
        .string("iss", &server.issuer)
        .string("jti", &facts.jti);
    let mut written = vec![
        "active",
        "scope",
        "client_id",
        "exp",
        "username",
        "token_type",
        "iat",
        "nbf",
        "sub",
        "aud",
        "iss",
        "jti",
        "consumer",
        "svc",
    ];
    if let Some(consumer) = &client.consumer {
        let mut inner = Object::new();
        inner.string("id", &consumer.id.to_string());
        if let Some(name) = &consumer.username {
            inner.string("username", name);
        }
        if let Some(custom_id) = &consumer.custom_id {
            inner.string("custom_id", custom_id);
        }
        body.raw("consumer", &inner.finish());
    }
    match extra {
        ExtraIntrospection::None => {}
        ExtraIntrospection::ApiKey => {
            body.string("clientId", &client.id)
                .string(
                    "clientName",
                    client.display.name.as_deref().unwrap_or(&client.id),
                )
                .raw("metadata", &object(&client.metadata))
                .strings("tags", client.tags.iter().map(|tag| &**tag))
                .string("access_type", "apikey");
            written.extend(["clientId", "clientName", "metadata", "tags", "access_type"]);
        }
        ExtraIntrospection::Keycloak => {
            body.string("typ", "Bearer")
                .string("azp", &client.id)
                .string("clientId", &client.id);
            written.extend(["typ", "azp", "clientId"]);
        }
    }
    if let Some(claims) = facts.claims.as_fields() {
        for (name, value) in claims.as_slice() {
            let name = name.to_str_lossy();
            if !written.contains(&&*name) {
                body.raw(&name, &value.to_json());
            }
        }
    }
    body.finish()
}

fn object(value: &crate::expr::Value<'_>) -> Vec<u8> {
    if value.as_fields().is_some() {
        value.to_json()
    } else {
        b"{}".to_vec()
    }
}

/// The answer as a JWT (RFC 9701 §5): RS256 where there is such a key, else the default key.
async fn sign(server: &Server, audience: &str, body: &[u8]) -> Result<Answer, Fault> {
    let ring = server.keys.ring();
    let key = ring
        .signing_with(Algorithm::Rs256)
        .or_else(|| ring.signing(&server.signing_key))
        .map(Arc::clone)
        .ok_or_else(|| Fault::server("no signing key"))?;
    drop(ring);
    let mut claims = Object::new();
    claims
        .string("iss", &server.issuer)
        .string("aud", audience)
        .number("iat", now().seconds())
        .raw("token_introspection", body);
    let payload = claims.finish();
    let signing =
        tokio::task::spawn_blocking(move || key.token("token-introspection+jwt", &payload));
    let token = signing.await.map_err(|_| Fault::server("signing ended"))?;
    let token = token.map_err(|error| Fault::server(error.to_string()))?;
    let mut answer = Answer::new(StatusCode::OK, token);
    let kind = HeaderValue::from_static(SIGNED);
    answer.headers.insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}
