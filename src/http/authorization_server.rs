//! Endpoints of authorization servers: from an exchange to the protocol code and back.

use super::body::{self, Content, ReadError, RequestBody};
use super::exchange::Exchange;
use super::message::media_type;
use super::multipart;
use super::worker::Worker;
use crate::blocks::authorization_server::Mounted;
use crate::clock::Clock;
use crate::error::{Error, Kind};
use crate::oauth::server::parameters::MAX_BODY;
use crate::oauth::server::redirect::is_loopback;
use crate::oauth::server::{Notes, Peer, Request};
use crate::telemetry::sink;
use http::{HeaderMap, Response, header};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Longest time that a request may take (reference 6.4).
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often keys are looked after.
const KEYS_EVERY: Duration = Duration::from_secs(10);

/// What the log tells of a request to an authorization server.
#[derive(Debug)]
pub struct Told {
    /// Label of the server.
    pub server: Arc<str>,
    /// The rest.
    pub notes: Box<Notes>,
}

/// Answers a request.
pub(super) async fn answer(
    exchange: &mut Exchange,
    mounted: &Mounted,
    body: RequestBody,
) -> Result<Response<Content>, Error> {
    let body = match body::read(body, MAX_BODY as u64).await {
        Ok(bytes) => Some(bytes),
        Err(ReadError::TooLarge) => None,
        Err(ReadError::Broken(_)) => {
            return Err(Error::new(Kind::ClientRequest, "the body broke off"));
        }
    };
    let server = &mounted.server;
    let request = Request {
        endpoint: mounted.endpoint,
        method: &exchange.method,
        headers: exchange.headers(),
        query: exchange.uri.query().unwrap_or(""),
        body: body.as_deref(),
        multipart: body
            .as_deref()
            .filter(|_| server.dialect.multipart)
            .and_then(|body| text_fields(exchange.headers(), body)),
        peer: Peer {
            address: exchange.remote_ip,
            secure: exchange.tls || (server.trust_forwarded_proto && says_https(exchange)),
            loopback: is_loopback(exchange.host.trim_matches(['[', ']'])),
            certificate: exchange.certificate().map(Arc::from),
        },
        url: format!("{}{}", exchange.url().origin(), exchange.raw_path()),
        mount: &mounted.mount,
        scope: &*exchange,
    };
    let answering = Box::pin(server.answer(&request));
    let Ok(answer) = tokio::time::timeout(TIMEOUT, answering).await else {
        return Err(Error::new(
            Kind::Internal,
            "the authorization server took more than 10 s",
        ));
    };
    let notes = answer.notes;
    // A name that was only claimed is no user.
    exchange.auth_user = notes.client_id.clone().filter(|_| notes.authenticated);
    if let (Some(error), Some(detail)) = (notes.error, &notes.detail)
        && answer.status.is_server_error()
    {
        tracing::error!("authorization server {}: {error}: {detail}", server.label);
    }
    exchange.told = Some(Box::new(Told {
        server: Arc::clone(&server.label),
        notes,
    }));
    let mut response = Response::new(Content::of(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

fn says_https(exchange: &Exchange) -> bool {
    let value = exchange.headers().get("x-forwarded-proto");
    value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The text fields of a body in `multipart/form-data`.
fn text_fields(headers: &HeaderMap, body: &[u8]) -> Option<Vec<(String, String)>> {
    if media_type(headers) != "multipart/form-data" {
        return None;
    }
    let content_type = headers.get(header::CONTENT_TYPE)?;
    let fields = multipart::fields(content_type.as_bytes(), body)?;
    let text = |bytes| String::from_utf8(bytes).ok();
    fields
        .into_iter()
        .map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

/// Looks after the keys of all servers, on one worker.
pub(super) fn start(worker: &Rc<Worker>) {
    let tree = worker.tree();
    for server in &tree.authorization_servers {
        if !server.keys.claim() {
            continue;
        }
        let server = Arc::downgrade(server);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(KEYS_EVERY).await;
                let Some(server) = server.upgrade() else {
                    return;
                };
                let now = Clock::System.unix();
                let turning = tokio::task::spawn_blocking(move || server.keys.open(now));
                if let Ok(Err(error)) = turning.await {
                    tracing::error!("{error}");
                    sink::flush();
                }
            }
        });
    }
}
