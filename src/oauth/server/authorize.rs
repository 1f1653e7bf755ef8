//! The authorization endpoint (RFC 6749 §3.1): an answer for the user's browser, or for the
//! operator's own login page, which asks in the back.

use super::answer::{Answer, Notes, Request};
use super::backing::{known, millis};
use super::client::Client;
use super::fault::{Condition, Fault};
use super::grant::Grant;
use super::issue::{Confirmation, Order, ValueKind};
use super::json::Object;
use super::parameters::Parameters;
use super::scope::{self, Names};
use super::{Pkce, Server};
use crate::store::{AuthorizationCode, Digest, new_id};
use http::{Method, StatusCode, header};
use serde_json::Map;
use std::sync::Arc;

/// Longest `state` and `nonce`.
const MAX_STATE: usize = 2048;

/// What is told to a redirect URI, or to the page in the back.
struct Refusal {
    error: &'static str,
    text: String,
}

impl Refusal {
    fn new(error: &'static str, text: impl Into<String>) -> Self {
        Self {
            error,
            text: text.into(),
        }
    }
}

/// What a valid request asks for.
struct Wish {
    client: Arc<Client>,
    redirect_uri: String,
    redirect_sent: bool,
    token: bool,
    scope: Names,
    resources: Vec<String>,
    challenge: Option<String>,
}

/// Name and value of what goes into an address.
type Pair<'p> = (&'p str, String);

pub(super) async fn answer(
    server: &Server,
    request: &Request<'_>,
    notes: &mut Notes,
) -> Result<Answer, Fault> {
    let parameters = if *request.method == Method::POST {
        server.parameters(request)?
    } else {
        Parameters::form(request.query.as_bytes())?
    };
    notes.client_id = parameters
        .get("client_id")
        .map(|id| id.chars().take(255).collect());
    let by_page = !server.provision_keys.is_empty()
        && *request.method == Method::POST
        && (parameters.get("provision_key").is_some() || server.dialect.method_challenge);
    if by_page {
        return for_page(server, request, &parameters, notes).await;
    }
    if server.dialect.method_challenge && *request.method != Method::POST {
        let words = format!("{} authorization POST", request.method);
        return Err(Fault::about(Condition::Method, &words));
    }
    for_browser(server, &parameters, notes).await
}

/// The protocol of the operator's own page.
async fn for_page(
    server: &Server,
    request: &Request<'_>,
    parameters: &Parameters<'_>,
    notes: &mut Notes,
) -> Result<Answer, Fault> {
    server.check_provision_key(parameters)?;
    let user = parameters
        .get("authenticated_userid")
        .ok_or_else(|| Fault::new(Condition::UserId))?;
    let id = parameters.get("client_id").unwrap_or_default();
    let client = server.client(id).await?.filter(|client| client.enabled);
    let Some(client) = client else {
        return Err(Fault::new(Condition::ClientBody).because("unknown client"));
    };
    let first = client.redirect_uris.first().cloned();
    let redirect = match (parameters.get("redirect_uri"), &first) {
        (None, Some(first)) => Ok(first.clone()),
        (Some(given), _) if is_registered(&client, given) => Ok(given.to_owned()),
        (_, Some(first)) => Err(first.clone()),
        (_, None) => {
            return Err(Fault::about(
                Condition::Parameter,
                "the client has no redirect_uri",
            ));
        }
    };
    let target = match &redirect {
        Ok(uri) | Err(uri) => uri.clone(),
    };
    let outcome = match redirect {
        Err(_) => {
            let text = server.dialect.row(Condition::Redirect).text;
            Err(Refusal::new("invalid_request", text))
        }
        Ok(uri) => check(server, &client, parameters, uri),
    };
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    if let Some(state) = parameters.get("state") {
        pairs.push(("state", state.to_owned()));
    }
    if server.dialect.issuer_in_page_answers {
        pairs.push(("iss", server.issuer.clone()));
    }
    let wish = match outcome {
        Ok(wish) => wish,
        Err(refusal) => {
            notes.error = Some(refusal.error);
            pairs.push(("error", refusal.error.to_owned()));
            pairs.push(("error_description", refusal.text));
            let mut body = Object::new();
            body.string("redirect_uri", &address(&target, pairs, false));
            return Ok(Answer::json(StatusCode::BAD_REQUEST, body.finish()));
        }
    };
    let fragment = wish.token;
    pairs.extend(grant(server, request, parameters, &wish, user, notes).await?);
    let mut body = Object::new();
    body.string("redirect_uri", &address(&target, pairs, fragment));
    Ok(Answer::json(StatusCode::OK, body.finish()))
}

/// The request of a browser.
async fn for_browser(
    server: &Server,
    parameters: &Parameters<'_>,
    notes: &mut Notes,
) -> Result<Answer, Fault> {
    let bad = |text: &str| Fault::about(Condition::Parameter, text);
    let state = parameters.get("state");
    let plain =
        |text: &str| text.len() <= MAX_STATE && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if state.is_some_and(|state| !plain(state)) {
        return Err(bad("state is too long or not printable"));
    }
    let id = parameters
        .get("client_id")
        .ok_or_else(|| bad("client_id is missing"))?;
    let client = server.client(id).await?.filter(|client| client.enabled);
    let client = client.ok_or_else(|| bad("the client is unknown"))?;
    let redirect_uri = match (
        parameters.get("redirect_uri"),
        client.redirect_uris.as_slice(),
    ) {
        (Some(given), _) if is_registered(&client, given) => given.to_owned(),
        (None, [only]) => only.clone(),
        (Some(_), _) => return Err(bad("the redirect_uri is not registered")),
        (None, _) => return Err(bad("redirect_uri is missing")),
    };
    let target = redirect_uri.clone();
    let (fragment, refusal) = match check(server, &client, parameters, redirect_uri) {
        Ok(wish) => (
            wish.token,
            Refusal::new("access_denied", "there is no page on which users log in"),
        ),
        Err(refusal) => (parameters.get("response_type") == Some("token"), refusal),
    };
    notes.error = Some(refusal.error);
    let mut pairs = vec![
        ("error", refusal.error.to_owned()),
        ("error_description", refusal.text),
        ("iss", server.issuer.clone()),
    ];
    if let Some(state) = state {
        pairs.push(("state", state.to_owned()));
    }
    let mut answer = Answer::new(StatusCode::SEE_OTHER, bytes::Bytes::new());
    answer.header(header::LOCATION, &address(&target, pairs, fragment));
    Ok(answer)
}

/// Byte for byte, but for the port of a loopback address (RFC 8252 §7.3).
pub(super) fn is_registered(client: &Client, given: &str) -> bool {
    let without_port = |uri: &str| -> Option<(String, String)> {
        let rest = uri.strip_prefix("http://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = match authority.rfind(':') {
            Some(at) if !authority.ends_with(']') => &authority[..at],
            _ => authority,
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        super::redirect::is_loopback(bare).then(|| (host.to_owned(), path.to_owned()))
    };
    client.redirect_uris.iter().any(|known| {
        known == given
            || without_port(known).is_some_and(|known| Some(known) == without_port(given))
    })
}

/// What the request asks for, if the client may have it.
fn check(
    server: &Server,
    client: &Arc<Client>,
    parameters: &Parameters<'_>,
    redirect_uri: String,
) -> Result<Wish, Refusal> {
    let kind = parameters.get("response_type");
    let allowed = |grant| server.serves(grant) && client.may_use(grant);
    let token = kind == Some("token");
    let challenge = if token {
        None
    } else {
        challenge(server, client, parameters)?
    };
    let scope = server
        .grant_scope(client, parameters.get("scope"))
        .map_err(|fault| refusal(server, &fault))?;
    match kind {
        Some("code") if server.serves(Grant::AuthorizationCode) => {}
        Some("token") if server.serves(Grant::Implicit) => {}
        _ => {
            return Err(Refusal::new(
                "unsupported_response_type",
                "Invalid response_type",
            ));
        }
    }
    let needed = if token {
        Grant::Implicit
    } else {
        Grant::AuthorizationCode
    };
    if !allowed(needed) {
        return Err(Refusal::new(
            "unauthorized_client",
            "the client may not use this response_type",
        ));
    }
    let resources = server
        .resources(client, parameters)
        .map_err(|fault| refusal(server, &fault))?;
    Ok(Wish {
        client: Arc::clone(client),
        redirect_sent: parameters.get("redirect_uri").is_some(),
        redirect_uri,
        token,
        scope,
        resources,
        challenge,
    })
}

fn refusal(server: &Server, fault: &Fault) -> Refusal {
    let row = server.dialect.row(fault.condition);
    Refusal::new(row.error, fault.text(server.dialect))
}

/// The challenge of PKCE (RFC 7636 §4.3): S256 and nothing else.
fn challenge(
    server: &Server,
    client: &Client,
    parameters: &Parameters<'_>,
) -> Result<Option<String>, Refusal> {
    let lenient = server.dialect.lenient_challenge;
    let wrong = |text: &str| Err(Refusal::new("invalid_request", text));
    let method = parameters.get("code_challenge_method");
    let Some(given) = parameters.get("code_challenge") else {
        let needed = match server.pkce {
            Pkce::Required => true,
            Pkce::Public => client.is_public(),
            Pkce::Never => false,
        };
        return match (needed, method) {
            (true, _) if lenient => wrong("code_challenge is required for public clients"),
            (true, _) => wrong("code_challenge is required"),
            (false, Some(_)) if lenient => {
                wrong("code_challenge is required when code_method is present")
            }
            (false, Some(_)) => wrong("code_challenge is required"),
            (false, None) => Ok(None),
        };
    };
    match method {
        Some("S256") => {}
        None if lenient => {}
        _ if lenient => return wrong("code_challenge_method is not supported, must be S256"),
        _ => return wrong("code_challenge_method must be S256"),
    }
    let text = if lenient {
        given
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_")
    } else {
        given.to_owned()
    };
    let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.len() != 43 || !text.bytes().all(sound) {
        return wrong("code_challenge is malformed");
    }
    Ok(Some(text))
}

/// A code, or a token at once.
async fn grant<'p>(
    server: &Server,
    request: &Request<'_>,
    parameters: &Parameters<'_>,
    wish: &Wish,
    user: &str,
    notes: &mut Notes,
) -> Result<Vec<Pair<'p>>, Fault> {
    if wish.token {
        return implicit(server, request, wish, user, notes).await;
    }
    let value = server.opaque(ValueKind::Code)?;
    let now = millis();
    let code = AuthorizationCode {
        hash: Some(Digest::of(&value)),
        server: server.label.to_string(),
        client_key: wish.client.pk,
        client_id: wish.client.id.to_string(),
        family: new_id(),
        subject: user.to_owned(),
        redirect_uri: wish.redirect_uri.clone(),
        redirect_sent: wish.redirect_sent,
        scope: super::keep::strings(&wish.scope),
        resources: wish.resources.clone(),
        challenge: wish.challenge.clone(),
        nonce: parameters.get("nonce").map(str::to_owned),
        dpop_jkt: None,
        service: server.service(request),
        details: Map::new(),
        issued_at: now,
        expires_at: now.plus(wish.client.ttl.authorization_code),
        consumed_at: None,
    };
    notes.scope = (!wish.scope.is_empty()).then(|| scope::join(&wish.scope));
    notes.gid = Some(code.family.to_string());
    known(server.backing.needed()?.add_code(code)).await?;
    Ok(vec![("code", value)])
}

async fn implicit<'p>(
    server: &Server,
    request: &Request<'_>,
    wish: &Wish,
    user: &str,
    notes: &mut Notes,
) -> Result<Vec<Pair<'p>>, Fault> {
    let client = &wish.client;
    let order = Order {
        client,
        grant: Grant::Implicit,
        user: Some(user),
        scope: &wish.scope,
        audience: server.audience_for(client, &wish.resources, &wish.scope),
        confirmation: Confirmation::default(),
        family: None,
        details: Map::new(),
        not_after: None,
        service: server.service(request),
    };
    let access = server.issue(request, &order, notes).await?;
    server.store_access(&order, &access).await?;
    let mut pairs = vec![
        ("access_token", access.value.clone()),
        ("token_type", access.token_type.to_owned()),
    ];
    if let Some(seconds) = access.expires_in() {
        pairs.push(("expires_in", seconds.to_string()));
    }
    if !wish.scope.is_empty() && server.dialect.issuer_in_page_answers {
        pairs.push(("scope", scope::join(&wish.scope)));
    }
    Ok(pairs)
}

/// A redirect URI with further parameters, sorted by name.
fn address(uri: &str, mut pairs: Vec<Pair<'_>>, fragment: bool) -> String {
    pairs.sort_by(|a, b| a.0.cmp(b.0));
    let mut text = uri.to_owned();
    let mut separator = match (fragment, uri.contains('?')) {
        (true, _) => '#',
        (false, true) => '&',
        (false, false) => '?',
    };
    for (name, value) in pairs {
        text.push(separator);
        text.push_str(name);
        text.push('=');
        escape(&mut text, &value);
        separator = '&';
    }
    text
}

fn escape(text: &mut String, value: &str) {
    use std::fmt::Write as _;
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let pairs = vec![("state", "a b".to_owned()), ("code", "x".to_owned())];
        assert_eq!(
            address("http://h/?q=1", pairs.clone(), false),
            "http://h/?q=1&code=x&state=a%20b"
        );
        assert_eq!(
            address("http://h/", pairs, true),
            "http://h/#code=x&state=a%20b"
        );
    }
}
