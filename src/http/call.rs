//! A `proxy` or `request` of an endpoint: what it sends and what it makes of the response.

use super::backend::{self, CallFacts, Location, Outgoing};
use super::body::{Content, RequestBody};
use super::exchange::{CallRecord, Exchange};
use super::headers;
use super::message::ReceivedResponse;
use super::server_timing::{self, Measured};
use super::trace;
use super::websocket;
use crate::blocks::backend::{Backend, Origin};
use crate::blocks::endpoint::{Action, Call};
use crate::blocks::modifiers::{RequestModifiers, evaluate};
use crate::blocks::path;
use crate::blocks::proxy::Proxy;
use crate::blocks::request::Request;
use crate::error::{Error, Kind};
use crate::expr::{Program, Scope, Value};
use http::{HeaderMap, HeaderName, Method, Response, header};

/// The client's parts of a request, for the proxy that sends them on.
#[derive(Debug)]
pub struct ClientParts {
    /// Header fields; taken from the exchange or copied.
    pub headers: HeaderMap,
    /// The body.
    pub body: RequestBody,
}

/// Sends a call and waits for its response.
pub async fn run(
    call: &Call,
    record: Option<&CallRecord>,
    exchange: &Exchange,
    client: Option<ClientParts>,
    modifiers: &RequestModifiers,
) -> Result<Response<Content>, Error> {
    let settings = &exchange.tree.settings;
    let facts = |id_header| CallFacts {
        name: &call.name,
        uid: &exchange.id,
        token_request: None,
        depends_on: call.depends_on.as_deref(),
        wildcard: exchange.wildcard_rest(),
        buffer_response: call.buffer_response,
        record: record.filter(|_| call.record),
        id_header,
    };
    let failed = |_: &Error| {
        // Without a response, even if nothing was sent for want of a token, the status is 0.
        if let Some(record) = record.filter(|_| call.record) {
            let _ = record.response.set(ReceivedResponse::default());
        }
    };
    let note = |response: &Response<Content>, backend: &Backend| {
        if let Some(measured) = response.extensions().get::<Measured>() {
            server_timing::note(exchange, &backend.label, &call.name, *measured);
        }
    };
    let (response, expected) = match &call.action {
        Action::Proxy(proxy) => {
            let client = client.unwrap_or_else(|| ClientParts {
                headers: exchange.headers().clone(),
                body: RequestBody::empty(),
            });
            let outgoing = of_client(proxy, exchange, client, modifiers)?;
            let facts = facts(settings.request_id_backend.as_ref());
            let mut response =
                backend::send(&proxy.backend, outgoing, &facts, exchange, &exchange.worker)
                    .await
                    .inspect_err(failed)?;
            note(&response, &proxy.backend);
            expect(proxy.expected_status.as_ref(), &response, exchange)?;
            proxy
                .response_headers
                .apply(response.headers_mut(), exchange)?;
            if let (Some(websockets), Content::Tunnel(tunnel)) =
                (&proxy.websockets, response.body_mut())
            {
                tunnel.limit(websockets.lifetime(exchange));
                websockets
                    .response_headers
                    .apply(response.headers_mut(), exchange)?;
            }
            (response, None)
        }
        Action::Request(request) => {
            let outgoing = own(request, exchange)?;
            let facts = facts(None);
            // Boxed, so that the usual proxy carries no room for it.
            let sent = backend::send(
                &request.backend,
                outgoing,
                &facts,
                exchange,
                &exchange.worker,
            );
            let response = Box::pin(sent).await.inspect_err(failed)?;
            note(&response, &request.backend);
            (response, request.expected_status.as_ref())
        }
    };
    expect(expected, &response, exchange)?;
    Ok(response)
}

/// `expected_status`: any other is an error. A value that is no list is ignored.
pub(super) fn expect(
    program: Option<&Program>,
    response: &Response<Content>,
    scope: &dyn Scope,
) -> Result<(), Error> {
    let Some(program) = program else {
        return Ok(());
    };
    let value = evaluate(program, scope)?;
    let Some(items) = value.as_items() else {
        return Ok(());
    };
    let status = i64::from(response.status().as_u16());
    let expected = items
        .iter()
        .any(|item| item.to_number().and_then(|n| n.as_i64()) == Some(status));
    if expected {
        return Ok(());
    }
    Err(Error::new(
        Kind::UnexpectedStatus,
        format!("unexpected status code: {status}"),
    ))
}

/// Where an expression says a request goes.
#[derive(Debug, Default)]
struct Given {
    origin: Option<Origin>,
    path: Option<String>,
    query: Option<String>,
}

/// Evaluates `url`: absolute, or a path at the backend; null and empty are like none.
fn location(program: Option<&Program>, exchange: &Exchange) -> Result<Given, Error> {
    let Some(program) = program else {
        return Ok(Given::default());
    };
    let text = match evaluate(program, exchange)? {
        value if value.is_null() => return Ok(Given::default()),
        Value::String(text) => text.to_str_lossy().into_owned(),
        value => {
            let message = format!("`url` needs a string, found {}", value.type_name());
            return Err(Error::new(Kind::Internal, message).at(program.span()));
        }
    };
    if text.is_empty() {
        return Ok(Given::default());
    }
    let malformed = || Error::new(Kind::Request, "the url is malformed").at(program.span());
    let (origin, rest) = match Origin::split(&text) {
        Some((origin, rest)) => (Some(origin), rest),
        None if text.starts_with('/') || text.starts_with('?') => (None, text.as_str()),
        None => return Err(malformed()),
    };
    let rest = rest.split('#').next().unwrap_or("");
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path =
        (!path.is_empty()).then(|| path::expand_url(&path::escape(path), exchange.wildcard_rest()));
    let query = query.map(|query| path::escape(query).into_owned());
    Ok(Given {
        origin,
        path,
        query,
    })
}

/// Path and query of the client's request, byte for byte.
fn received(exchange: &Exchange) -> Location {
    match exchange.uri.path_and_query() {
        Some(target) => Location::received(target.clone()),
        None => Location::new("/".to_owned(), None),
    }
}

/// The client's request, on its way to a backend.
fn of_client(
    proxy: &Proxy,
    exchange: &Exchange,
    client: ClientParts,
    modifiers: &RequestModifiers,
) -> Result<Box<Outgoing>, Error> {
    let websockets = proxy.websockets.as_ref();
    let websockets = websockets.filter(|_| websocket::is_handshake(exchange, &client.headers));
    let mut outgoing = Box::new(Outgoing {
        method: exchange.method.clone(),
        origin: None,
        location: received(exchange),
        headers: client.headers,
        body: client.body,
        bytes: exchange.body.clone(),
        upgrade: websockets.is_some(),
    });
    headers::remove_hop_by_hop(&mut outgoing.headers);
    // The backend has a host of its own, and the length follows from the body.
    let own = [header::HOST, header::EXPECT, header::CONTENT_LENGTH];
    headers::remove_listed(&mut outgoing.headers, |name| own.contains(name));
    headers::reduce_accept_encoding(&mut outgoing.headers);
    trace::hand_on(exchange, &mut outgoing.headers, false);
    backend::apply_modifiers(modifiers, &mut outgoing, exchange)?;
    if !exchange.passes_credentials {
        let credentials = [header::AUTHORIZATION, header::COOKIE];
        headers::remove_listed(&mut outgoing.headers, |name| credentials.contains(name));
    }
    let location = location(proxy.url.as_ref(), exchange)?;
    outgoing.origin = location.origin;
    if let Some(path) = location.path {
        outgoing.location.set_path(path);
    }
    if location.query.is_some() {
        outgoing.location.set_query(location.query);
    }
    backend::apply_modifiers(&proxy.request_modifiers, &mut outgoing, exchange)?;
    if let Some(websockets) = websockets {
        let modifiers = &websockets.request_headers;
        modifiers.apply(&mut outgoing.headers, exchange)?;
        outgoing.headers.remove(header::HOST);
    }
    Ok(outgoing)
}

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request that starts empty.
fn own(request: &Request, exchange: &Exchange) -> Result<Box<Outgoing>, Error> {
    let location = location(request.url.as_ref(), exchange)?;
    let bytes = request.body.bytes(exchange)?;
    let method = match &request.method {
        None => String::new(),
        Some(program) => crate::blocks::backend::text_of(evaluate(program, exchange)?),
    };
    let method = match method.to_ascii_uppercase().as_str() {
        "" if bytes.is_empty() => Method::GET,
        "" => Method::POST,
        name => Method::from_bytes(name.as_bytes())
            .map_err(|_| Error::new(Kind::Request, "the method is malformed"))?,
    };
    let target = match location {
        Given {
            origin: None,
            path: None,
            query: None,
        } => received(exchange),
        Given {
            ref path,
            ref query,
            ..
        } => Location::new(
            path.clone().unwrap_or_else(|| "/".to_owned()),
            query.clone(),
        ),
    };
    let mut outgoing = Box::new(Outgoing {
        method,
        origin: location.origin,
        location: target,
        headers: HeaderMap::new(),
        body: RequestBody::full(bytes.clone()),
        bytes: Some(bytes),
        upgrade: false,
    });
    if let Some(content_type) = request.body.content_type() {
        outgoing.headers.insert(header::CONTENT_TYPE, content_type);
    }
    // What was forwarded for the client still was.
    if let Some(value) = exchange.headers().get(&FORWARDED_FOR) {
        outgoing.headers.insert(&FORWARDED_FOR, value.clone());
    }
    trace::hand_on(exchange, &mut outgoing.headers, true);
    request.headers.apply(&mut outgoing.headers, exchange)?;
    outgoing.headers.remove(header::HOST);
    outgoing.headers.remove(header::CONTENT_LENGTH);
    if !request.query.is_empty() {
        let query = outgoing.location.query().unwrap_or("");
        let mut params = crate::blocks::form::params(query.as_bytes(), false);
        request.query.apply(&mut params, exchange)?;
        let query = String::from_utf8_lossy(&crate::blocks::form::query(&params)).into_owned();
        outgoing
            .location
            .set_query((!query.is_empty()).then_some(query));
    }
    Ok(outgoing)
}
