//! The phases of a request, in order: arrive → route → preflight → read body → access control →
//! method → permission → endpoint, files or spa → modify → compress → write → log.

use super::access_log::AnswerFacts;
use super::answer;
use super::authorization_server;
use super::body::{AnswerBody, BodyError, Content, RequestBody};
use super::compression;
use super::connection::{Peer, Running};
use super::dev_proxy;
use super::exchange::{Arrival, Exchange, Handler};
use super::grpc;
use super::handling;
use super::headers;
use super::observe;
use super::request_id::RequestId;
use super::server_timing;
use super::site;
use super::trace;
use super::url::{RequestUrl, split_host};
use super::websocket;
use crate::blocks::access::Control;
use crate::blocks::cors::{Cors, CorsRequest};
use crate::blocks::endpoint::{Endpoint, Methods};
use crate::blocks::error_handler::Found;
use crate::blocks::modifiers::{HeaderModifiers, evaluate};
use crate::blocks::path;
use crate::blocks::settings::ForwardedUrl;
use crate::blocks::site::Site;
use crate::error::page::Page;
use crate::error::{Error, Kind};
use crate::runtime::Tree;
use crate::runtime::tree::{Candidates, Route, ServerRoutes, Unknown};
use crate::telemetry::metrics::{families, registry};
use crate::telemetry::trace::tracer;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use smallvec::SmallVec;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

static SERVER: HeaderValue = HeaderValue::from_static("gateway");
static PRIVATE: HeaderValue = HeaderValue::from_static("private");

/// The end of an exchange: writes its access entry when the answer has been sent.
#[derive(Debug)]
pub struct Finish {
    exchange: Box<Exchange>,
    answer: AnswerFacts,
    _running: Running,
}

impl Finish {
    /// The answer's body broke off.
    pub fn broke_off(&mut self, error: &BodyError) {
        let detail = crate::telemetry::daemon::chain(error);
        let kind = match error {
            BodyError::Upstream(error) if error.is_timeout() => Kind::BackendTimeout,
            BodyError::Upstream(_) => Kind::Backend,
            BodyError::File(_) => Kind::Internal,
        };
        self.exchange
            .error
            .get_or_insert_with(|| Error::new(kind, detail));
    }

    /// The answer has ended after so many bytes.
    pub fn complete(mut self: Box<Self>, bytes: u64) {
        self.answer.bytes = bytes;
        observe::ended(&self.exchange, &self.answer);
    }
}

/// An exchange without an answer yet. If the client goes away meanwhile the entry is written here.
struct Unanswered(Option<Box<Exchange>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some(mut exchange) = self.0.take() else {
            return;
        };
        exchange.error = Some(Error::new(
            Kind::ClientRequest,
            "the client closed the connection",
        ));
        let nothing = AnswerFacts {
            status: None,
            headers: SmallVec::new(),
            bytes: 0,
        };
        observe::ended(&exchange, &nothing);
    }
}

/// Answers a request.
pub async fn handle(request: Request<Incoming>, peer: Rc<Peer>) -> Response<AnswerBody> {
    let running = peer.running(request.body());
    let (mut parts, incoming) = request.into_parts();
    if parts.extensions.get::<OnUpgrade>().is_some() {
        peer.upgrading();
    }
    if peer.dev_port.is_some() {
        dev_proxy::announce(&mut parts, &peer);
    }
    let grpc = grpc::media_type(&parts.headers);
    let (exchange, early) = arrive(parts, &peer);
    let mut unanswered = Unanswered(Some(exchange));
    let Some(exchange) = &mut unanswered.0 else {
        return Response::new(AnswerBody::bare(Content::Empty));
    };
    let mut place = Place {
        page: Page::Html,
        private: false,
        cors: None,
        modifiers: None,
        site: None,
        server: None,
    };
    let broken = early.is_err();
    let outcome = match early {
        Err(error) => {
            if let Some(server) = exchange.tree.server(peer.local_port, &exchange.host) {
                place.page = server.page.clone();
            }
            Err(error)
        }
        Ok(()) => {
            let body = RequestBody::from(incoming);
            exchange.body_length = http_body::Body::size_hint(&body).exact();
            let mut running = pin!(dispatch(exchange, body, &mut place));
            // A panic ends this request and nothing else.
            std::future::poll_fn(|cx| {
                let poll = AssertUnwindSafe(|| running.as_mut().poll(cx));
                std::panic::catch_unwind(poll).unwrap_or_else(|_| {
                    registry().count(&families::PANICS, &[]);
                    Poll::Ready(Err(Error::new(Kind::Internal, "the request panicked")))
                })
            })
            .await
        }
    };
    let successful = outcome.is_ok();
    let mut response = match outcome {
        Ok(response) => response,
        Err(error) => {
            let mut page = answer::error_page(exchange, &error, &place.page);
            if let Some(media_type) = grpc {
                grpc::tell(&error, media_type, &mut page);
            }
            exchange.error = Some(error);
            page
        }
    };
    finalize(exchange, &mut response, &place, successful);
    if broken && exchange.version < Version::HTTP_2 {
        // What follows on this connection may be a part of the message that was refused.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let gzip = compression::begin(&exchange.method, exchange.takes_gzip, &mut response);
    let names = &exchange.tree.settings.access_log.response;
    let answer = AnswerFacts {
        status: Some(response.status()),
        headers: names
            .iter()
            .map(|name| headers::joined(response.headers(), name))
            .collect(),
        bytes: 0,
    };
    match unanswered.0.take() {
        Some(exchange) => {
            let finish = Box::new(Finish {
                exchange,
                answer,
                _running: running,
            });
            match response.body_mut() {
                Content::Tunnel(_) => switch_protocols(response, finish, &peer),
                _ => response.map(|content| AnswerBody::new(content, gzip, finish)),
            }
        }
        None => response.map(AnswerBody::bare),
    }
}

/// The last answer of HTTP on a connection; the tunnel ends the exchange.
fn switch_protocols(
    response: Response<Content>,
    finish: Box<Finish>,
    peer: &Peer,
) -> Response<AnswerBody> {
    let (mut parts, content) = response.into_parts();
    if let Content::Tunnel(mut tunnel) = content {
        tunnel.finish_with(finish);
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            websocket::set_fields(&mut parts.headers);
            peer.hand_over(tunnel);
        }
    }
    Response::from_parts(parts, AnswerBody::bare(Content::Empty))
}

/// Where a request was routed to: what its answer looks like.
struct Place {
    page: Page,
    private: bool,
    cors: Option<CorsRequest>,
    modifiers: Option<Arc<Endpoint>>,
    site: Option<Arc<Site>>,
    /// Set where no block inside of it answers.
    server: Option<Arc<ServerRoutes>>,
}

impl Place {
    /// Enters a block, whose `cors` takes the place of that around it.
    fn enter(&mut self, cors: Option<&Arc<Cors>>, exchange: &Exchange) {
        self.cors = cors.map(|cors| CorsRequest::new(cors, &exchange.method, exchange.headers()));
    }

    /// The answer to a preflight, if the request is one.
    fn preflight(&mut self, allows: impl Fn(&Method) -> bool) -> Option<Response<Content>> {
        let cors = self.cors.as_mut()?;
        cors.is_preflight(allows).then(answer::preflight)
    }
}

/// Id, host and time. A fault found here is answered under a fresh id.
fn arrive(parts: http::request::Parts, peer: &Peer) -> (Box<Exchange>, Result<(), Error>) {
    let tree = peer.worker.tree_of(peer.local_port);
    let settings = &tree.settings;
    let mut early = Ok(());
    let mut refuse = |why: &str| {
        if early.is_ok() {
            early = Err(Error::new(Kind::ClientRequest, why));
        }
    };
    if parts.method != Method::CONNECT && parts.uri.path().is_empty() {
        refuse("the target is not a path");
    }
    let given = settings
        .request_id_accept
        .as_ref()
        .and_then(|name| parts.headers.get(name));
    let id = match given.filter(|value| !value.is_empty()) {
        None => None,
        Some(value) => {
            let id = RequestId::accept(value.as_bytes());
            if id.is_none() {
                refuse("malformed request id");
            }
            id
        }
    };
    let id = id.unwrap_or_else(|| RequestId::new(settings.request_id_format));
    let traced = tracer().and_then(|tracer| {
        let parent = parts.headers.get(&trace::TRACEPARENT);
        tracer.begin(parent.map(HeaderValue::as_bytes))
    });
    let id = traced.map_or(id, |traced| id.traced(traced.context));
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host_field = hosts.next();
    if hosts.next().is_some() {
        refuse("several Host fields");
    }
    let authority = match (parts.uri.authority(), host_field) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(value)) => value.to_str().unwrap_or(""),
        (None, None) => "",
    };
    if authority.is_empty() && parts.version >= Version::HTTP_11 {
        refuse("the Host field is missing");
    }
    if authority.contains(['/', '@', ' ', '?', '#']) || !port_is_sound(authority) {
        refuse("the Host field is malformed");
    }
    if let Some(why) = framing_fault(&parts) {
        refuse(why);
    }
    if parts.uri.path() == "*" && parts.method != Method::OPTIONS {
        refuse("the target `*` is for OPTIONS only");
    }
    let forwarded = settings
        .xfh
        .then(|| parts.headers.get("x-forwarded-host"))
        .flatten();
    let forwarded = forwarded
        .and_then(|value| value.to_str().ok())
        .filter(|host| !host.is_empty());
    let host = split_host(forwarded.unwrap_or(authority)).0.to_owned();
    if parts.method == Method::CONNECT && early.is_ok() {
        early = Err(Error::new(Kind::MethodNotAllowed, "CONNECT"));
    }
    let mut exchange = Box::new(Exchange::new(arrival(peer, tree), parts, id, &host));
    exchange.trace_parent = traced.and_then(|traced| traced.parent);
    (exchange, early)
}

fn arrival(peer: &Peer, tree: Arc<Tree>) -> Arrival {
    Arrival {
        worker: Rc::clone(&peer.worker),
        remote_ip: peer.remote_ip,
        remote_text: Rc::clone(&peer.remote_text),
        local_port: peer.local_port,
        tls: peer.tls,
        handshake: peer.handshake.get().cloned(),
        dev_port: peer.dev_port,
        tree,
    }
}

/// Writes the entry of a request that is no HTTP, which has been answered already, with what can be
/// read of its first line.
///
/// Deviation: Couper writes none.
pub fn refused(peer: &Peer, line: &[u8], error: &hyper::Error) {
    let tree = peer.worker.tree_of(peer.local_port);
    let id = RequestId::new(tree.settings.request_id_format);
    let mut words = line.split(u8::is_ascii_whitespace);
    let mut request = Request::new(());
    if let Some(Ok(method)) = words.next().map(Method::from_bytes) {
        *request.method_mut() = method;
    }
    if let Some(Ok(uri)) = words.next().map(http::Uri::try_from) {
        *request.uri_mut() = uri;
    }
    let (parts, ()) = request.into_parts();
    let mut exchange = Exchange::new(arrival(peer, tree), parts, id, "");
    let status = if error.is_parse_too_large() {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    };
    let detail = crate::telemetry::daemon::chain(error);
    exchange.error = Some(Error::new(Kind::ClientRequest, detail).with_status(status));
    let answer = AnswerFacts {
        status: Some(status),
        headers: SmallVec::new(),
        bytes: 0,
    };
    observe::ended(&exchange, &answer);
}

/// A port is a number, if there is any.
fn port_is_sound(authority: &str) -> bool {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_address..].rsplit_once(':') {
        None | Some((_, "")) => true,
        Some((_, port)) => {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        }
    }
}

/// A body whose end another reader of the message might see elsewhere (RFC 9112 6.1, 6.3).
fn framing_fault(parts: &http::request::Parts) -> Option<&'static str> {
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Some("a transfer coding other than `chunked`, or several");
    }
    let length = parts.headers.contains_key(header::CONTENT_LENGTH);
    length.then_some("both a length and a transfer coding")
}

async fn dispatch(
    exchange: &mut Exchange,
    body: RequestBody,
    place: &mut Place,
) -> Result<Response<Content>, Error> {
    match route(exchange, place)? {
        Route::Health => health(exchange, place),
        Route::Endpoint(endpoint) => {
            place.page = endpoint.page.clone();
            place.enter(endpoint.cors.as_ref(), exchange);
            if let Some(answer) = place.preflight(|m| endpoint.allowed_methods.allows(m)) {
                return Ok(answer);
            }
            place.private = endpoint
                .access
                .iter()
                .any(|control| control.makes_private());
            let mut body = Some(body);
            let form = endpoint.reads.request_form && super::message::is_form(exchange.headers());
            if (endpoint.reads.request_body || form) && exchange.method != Method::TRACE {
                let reading = handling::read_body(exchange, &mut body, endpoint.body_limit);
                Box::pin(reading).await?;
            }
            set_forwarded(exchange);
            if let Err(denial) = check_access(exchange, &endpoint.access).await {
                return denied(exchange, denial, &mut body, endpoint.body_limit, place).await;
            }
            check_method(exchange, &endpoint)?;
            let error = match check_permission(exchange, &endpoint) {
                Err(error) => error,
                Ok(()) => {
                    place.modifiers = Some(Arc::clone(&endpoint));
                    if endpoint.reads.login {
                        exchange.tree.settle().await;
                    }
                    match super::endpoint::run(exchange, &endpoint, &mut body).await {
                        Ok(response) => return Ok(response),
                        Err(error) => error,
                    }
                }
            };
            let outer = || endpoint.api_handlers.as_ref()?.find(&error);
            let found = endpoint.handlers.find(&error).or_else(outer);
            handled(
                exchange,
                error,
                found,
                &mut body,
                endpoint.body_limit,
                place,
            )
            .await
        }
        Route::Guarded(api) => {
            place.page = api.page.clone();
            place.enter(api.cors.as_ref(), exchange);
            exchange.handler = Handler::Api;
            exchange.api = Some(Arc::clone(&api));
            if let Some(answer) = place.preflight(|m| Methods::default().allows(m)) {
                return Ok(answer);
            }
            place.private = api.access.iter().any(|control| control.makes_private());
            set_forwarded(exchange);
            if let Err(denial) = check_access(exchange, &api.access).await {
                let (mut body, limit) = (Some(body), Endpoint::DEFAULT_BODY_LIMIT);
                return denied(exchange, denial, &mut body, limit, place).await;
            }
            Err(Error::new(Kind::RouteNotFound, ""))
        }
        Route::AuthorizationServer(mounted) => {
            place.page = Page::Json;
            place.server.clone_from(&exchange.server);
            Box::pin(authorization_server::answer(exchange, &mounted, body)).await
        }
        // Boxed, to keep the future of other requests small.
        Route::Site(candidates) => Box::pin(serve_site(exchange, candidates, body, place)).await,
    }
}

/// Answers from files or a spa.
async fn serve_site(
    exchange: &mut Exchange,
    candidates: Candidates,
    body: RequestBody,
    place: &mut Place,
) -> Result<Response<Content>, Error> {
    let chosen = site::choose(exchange, candidates).await?;
    let site = Arc::clone(chosen.site());
    place.page = site.page.clone();
    place.enter(site.cors.as_ref(), exchange);
    exchange.handler = chosen.handler();
    exchange.site = Some(Arc::clone(&site));
    if let Some(answer) = place.preflight(site::allows) {
        return Ok(answer);
    }
    place.private = site.access.iter().any(|control| control.makes_private());
    set_forwarded(exchange);
    if let Err(denial) = check_access(exchange, &site.access).await {
        let (mut body, limit) = (Some(body), Endpoint::DEFAULT_BODY_LIMIT);
        return denied(exchange, denial, &mut body, limit, place).await;
    }
    if !site::allows(&exchange.method) {
        return Err(Error::new(Kind::MethodNotAllowed, exchange.method.as_str())
            .with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD")));
    }
    place.site = Some(site);
    site::answer(chosen, exchange).await
}

/// Server by host, endpoint by path.
fn route(exchange: &mut Exchange, place: &mut Place) -> Result<Route, Error> {
    let tree = Arc::clone(&exchange.tree);
    let Some(server) = tree.server(exchange.local_port, &exchange.host) else {
        return Err(Error::new(
            Kind::Configuration,
            format!("unknown host: {}", exchange.host),
        ));
    };
    exchange.server = Some(Arc::clone(server));
    place.page = server.page.clone();
    place.enter(server.cors.as_ref(), exchange);
    let uri = exchange.uri.clone();
    let raw = uri.path();
    if !path::is_safe(raw) {
        return Err(Error::new(
            Kind::ClientRequest,
            "the path has dot segments, a backslash or NUL",
        ));
    }
    let Some(decoded) = path::decode(raw) else {
        return Err(Error::new(
            Kind::ClientRequest,
            "the path has a broken percent escape",
        ));
    };
    let found = server.find(&decoded);
    if server.wants_certificate && !exchange.has_certificate() {
        let open = |route: &Route| matches!(route, Route::AuthorizationServer(_));
        if !found.as_ref().is_some_and(|found| open(found.value)) {
            return Err(Error::new(Kind::ClientRequest, "no client certificate"));
        }
    }
    let route = match found {
        Some(found) => {
            exchange.captures = found.captures;
            exchange.wildcard = found.wildcard.map(|at| path::raw_index(raw, at));
            Some(found.value.clone())
        }
        None => match server.unknown(&decoded) {
            Unknown::Site(candidates) => Some(Route::Site(candidates)),
            Unknown::Api(api) => {
                place.page = api.page.clone();
                place.enter(api.cors.as_ref(), exchange);
                exchange.handler = Handler::Api;
                exchange.api = Some(Arc::clone(api));
                None
            }
            Unknown::Nothing => None,
        },
    };
    match &route {
        Some(Route::Endpoint(endpoint)) => {
            exchange.handler = if endpoint.in_api {
                Handler::Api
            } else {
                Handler::Endpoint
            };
            if endpoint.plan.calls.iter().any(|call| call.record) {
                let count = endpoint.plan.calls.len();
                exchange.calls.resize_with(count, Default::default);
            }
            exchange.endpoint = Some(Arc::clone(endpoint));
        }
        Some(Route::Health) => exchange.handler = Handler::Health,
        Some(Route::AuthorizationServer(_)) => exchange.handler = Handler::AuthorizationServer,
        Some(Route::Guarded(_) | Route::Site(_)) | None => {}
    }
    if let std::borrow::Cow::Owned(decoded) = decoded {
        exchange.decoded_path = Some(decoded.into());
    }
    route.ok_or_else(|| Error::new(Kind::RouteNotFound, ""))
}

fn health(exchange: &Exchange, place: &mut Place) -> Result<Response<Content>, Error> {
    if exchange.method != Method::GET {
        place.page = Page::Json;
        return Err(Error::new(Kind::MethodNotAllowed, "")
            .with_header(header::ALLOW, HeaderValue::from_static("GET")));
    }
    Ok(if exchange.worker.is_ending() {
        answer::shutting_down()
    } else {
        answer::health()
    })
}

/// The answer of an access control's error handler, if one takes its error.
async fn denied(
    exchange: &mut Exchange,
    (control, error): Denial<'_>,
    body: &mut Option<RequestBody>,
    body_limit: u64,
    place: &mut Place,
) -> Result<Response<Content>, Error> {
    let found = control.handlers().find(&error);
    handled(exchange, error, found, body, body_limit, place).await
}

/// The answer of an error handler, or the error itself.
async fn handled(
    exchange: &mut Exchange,
    error: Error,
    found: Option<Found>,
    body: &mut Option<RequestBody>,
    body_limit: u64,
    place: &mut Place,
) -> Result<Response<Content>, Error> {
    let Some(found) = found else {
        return Err(error);
    };
    // Modifiers of the blocks around apply to answers of endpoints alone.
    let entered = place.modifiers.take().is_some();
    if !entered {
        exchange.handler = Handler::Error(found.registered);
    }
    let page = &mut place.page;
    Box::pin(handling::answer(
        exchange, error, found, body, body_limit, page,
    ))
    .await
}

fn set_forwarded(exchange: &mut Exchange) {
    let accept = exchange.tree.settings.accept_forwarded_url;
    if accept == ForwardedUrl::default() {
        return;
    }
    let url = RequestUrl::received(&exchange.host, exchange.tls, exchange.local_port);
    let url = url.forwarded(accept, exchange.headers()).into_owned();
    exchange.forwarded = Some(Box::new(url));
}

/// The access control that denied, and why.
type Denial<'c> = (&'c Control, Error);

async fn check_access<'c>(
    exchange: &mut Exchange,
    controls: &'c [Arc<Control>],
) -> Result<(), Denial<'c>> {
    for control in controls {
        control
            .check(exchange)
            .await
            .map_err(|error| (&**control, error))?;
    }
    Ok(())
}

fn check_method(exchange: &Exchange, endpoint: &Endpoint) -> Result<(), Error> {
    if endpoint.allowed_methods.allows(&exchange.method) {
        return Ok(());
    }
    let error = Error::new(Kind::MethodNotAllowed, exchange.method.as_str());
    Err(
        match HeaderValue::try_from(endpoint.allowed_methods.list()) {
            Ok(list) => error.with_header(header::ALLOW, list),
            Err(_) => error,
        },
    )
}

/// `required_permission`: a string, or an object of methods. No value never opens.
fn check_permission(exchange: &Exchange, endpoint: &Endpoint) -> Result<(), Error> {
    let Some(program) = &endpoint.required_permission else {
        return Ok(());
    };
    let value = evaluate(program, exchange)?;
    let wrong = |what: &str| {
        let message = format!("`required_permission` needs a string or an object, found {what}");
        Error::new(Kind::Evaluation, message).at(program.span())
    };
    let needed = if let Some(fields) = value.as_fields() {
        let method = exchange.method.as_str();
        let named = fields.as_slice().iter().find(|(name, _)| {
            name.as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case(method))
        });
        let star = || {
            let standard = crate::blocks::endpoint::STANDARD.contains(&exchange.method);
            fields.get(b"*").filter(|_| standard)
        };
        match named.map(|(_, value)| value).or_else(star) {
            None => return Err(Error::new(Kind::MethodNotAllowed, method)),
            Some(value) => value
                .as_str()
                .ok_or_else(|| wrong(value.type_name()))?
                .to_owned(),
        }
    } else {
        value
            .as_str()
            .ok_or_else(|| wrong(value.type_name()))?
            .to_owned()
    };
    let _ = exchange.required_permission.set(needed.clone());
    let granted = exchange.granted.as_deref().unwrap_or(&[]);
    if needed.is_empty() || granted.contains(&needed) {
        return Ok(());
    }
    let detail = format!("required permission {needed:?} not in granted permissions");
    let error = Error::new(Kind::InsufficientPermissions, detail);
    Err(match scope_challenge(exchange, &needed) {
        Some(challenge) => error.with_header(header::WWW_AUTHENTICATE, challenge),
        None => error,
    })
}

/// The challenge for a token with too little scope (RFC 6750 §3.1).
fn scope_challenge(exchange: &Exchange, needed: &str) -> Option<HeaderValue> {
    let beginning = exchange.scope_challenge?;
    let sound = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let scope = if needed.bytes().all(sound) {
        format!(", scope=\"{needed}\"")
    } else {
        String::new()
    };
    HeaderValue::try_from(format!("{beginning}error=\"insufficient_scope\"{scope}")).ok()
}

/// What every answer gets, last the modifiers of the blocks around the endpoint.
fn finalize(
    exchange: &Exchange,
    response: &mut Response<Content>,
    place: &Place,
    successful: bool,
) {
    let settings = &exchange.tree.settings;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, SERVER.clone());
    if let Some(name) = &settings.request_id_client
        && let Ok(id) = HeaderValue::from_str(exchange.id.as_str())
    {
        headers.insert(name, id);
    }
    if let Some(context) = exchange.id.trace() {
        trace::set(headers, context);
    }
    if settings.server_timing {
        server_timing::add(exchange, headers);
    }
    if settings.strip_secure_cookies {
        headers::strip_secure_cookies(headers);
    }
    if let Some(cors) = &place.cors {
        cors.apply(headers);
    }
    if let Some(site) = place.site.as_ref().filter(|_| successful) {
        for modifiers in &site.response_headers {
            apply_outer(modifiers, exchange, response);
        }
    }
    if let Some(server) = place.server.as_ref().filter(|_| successful) {
        for modifiers in &server.response_headers {
            apply_outer(modifiers, exchange, response);
        }
    }
    if let Some(endpoint) = place.modifiers.as_ref().filter(|_| successful) {
        for modifiers in &endpoint.outer_response_headers {
            apply_outer(modifiers, exchange, response);
        }
    }
    if place.private {
        response
            .headers_mut()
            .append(header::CACHE_CONTROL, PRIVATE.clone());
    }
}

/// A failing expression of an outer block does not spoil the answer.
fn apply_outer(modifiers: &HeaderModifiers, exchange: &Exchange, response: &mut Response<Content>) {
    if let Err(error) = modifiers.apply(response.headers_mut(), exchange) {
        let place = error
            .span()
            .map(|span| exchange.tree.place(span))
            .unwrap_or_default();
        tracing::warn!("response modifiers are skipped: {error} ({place})");
    }
}
