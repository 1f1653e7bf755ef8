//! From a request to an answer: what all endpoints have in common.

use super::fault::{Condition, Fault};
use super::parameters::{Encoding, MAX_BODY, Parameters};
use super::paths::Endpoint;
use super::{Server, authorize, discovery, event, introspect, revoke, token};
use crate::expr::Scope;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::net::IpAddr;
use std::sync::Arc;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address.
    pub address: IpAddr,
    /// Whether the request came by TLS, or a trusted proxy says so.
    pub secure: bool,
    /// Whether it was sent to this machine itself.
    pub loopback: bool,
    /// The client's certificate, as DER.
    pub certificate: Option<Arc<[u8]>>,
}

/// A request to an endpoint.
pub struct Request<'r> {
    /// Which one.
    pub endpoint: Endpoint,
    /// The method.
    pub method: &'r Method,
    /// Header fields.
    pub headers: &'r HeaderMap,
    /// The query.
    pub query: &'r str,
    /// The body; `None` when it was too large.
    pub body: Option<&'r [u8]>,
    /// The text fields of a body in `multipart/form-data`.
    pub multipart: Option<Vec<(String, String)>>,
    /// Who asks.
    pub peer: Peer,
    /// The address that was asked, without query.
    pub url: String,
    /// Where the server is mounted, for tokens that are good only there.
    pub mount: &'r str,
    /// What expressions see.
    pub scope: &'r dyn Scope,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("endpoint", &self.endpoint)
            .field("method", self.method)
            .finish_non_exhaustive()
    }
}

/// What the log tells of a request.
#[derive(Debug, Default)]
pub struct Notes {
    /// `grant_type`
    pub grant_type: Option<&'static str>,
    /// `client_id`: as claimed, or as proven.
    pub client_id: Option<String>,
    /// Whether the client has proven who it is.
    pub authenticated: bool,
    /// `auth_method`
    pub auth_method: Option<&'static str>,
    /// `error`
    pub error: Option<&'static str>,
    /// Why, in words for the log.
    pub detail: Option<String>,
    /// The first digits of the token's digest.
    pub token_ref: Option<String>,
    /// Id of the token.
    pub jti: Option<String>,
    /// What it is for.
    pub scope: Option<String>,
    /// Id of its grant.
    pub gid: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What the log tells.
    pub notes: Box<Notes>,
}

impl Answer {
    /// An answer that must not be kept.
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        Self {
            status,
            headers,
            body: body.into(),
            notes: Box::default(),
        }
    }

    /// The same with JSON.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut answer = Self::new(status, body);
        let json = HeaderValue::from_static("application/json");
        answer.headers.insert(header::CONTENT_TYPE, json);
        answer
    }

    /// A public document that may be kept for a while.
    pub fn document(body: Bytes, content_type: &'static str) -> Self {
        let mut answer = Self::new(StatusCode::OK, body);
        let headers = &mut answer.headers;
        headers.remove(header::PRAGMA);
        for (name, value) in [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "public, max-age=300"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    /// Adds a header field, unless its value cannot be one.
    pub fn header(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}

impl Server {
    /// Answers a request.
    pub async fn answer(&self, request: &Request<'_>) -> Answer {
        if *request.method == Method::OPTIONS {
            return self.options(request);
        }
        let mut notes = Box::<Notes>::default();
        let outcome = match self.admit(request) {
            Ok(()) => self.dispatch(request, &mut notes).await,
            Err(fault) => Err(fault),
        };
        let mut answer = match outcome {
            Ok(answer) => answer,
            Err(fault) => {
                if request.endpoint == Endpoint::Token {
                    event::refused(self, &notes, &fault);
                }
                notes.detail = Some(fault.to_string());
                self.refusal(request, &fault, &mut notes)
            }
        };
        answer.notes = notes;
        self.allow_origin(request, &mut answer);
        if request.peer.secure {
            let hsts = HeaderValue::from_static("max-age=31536000");
            answer
                .headers
                .insert(header::STRICT_TRANSPORT_SECURITY, hsts);
        }
        answer
    }

    /// Method and transport (AS-COM-1, AS-COM-9).
    fn admit(&self, request: &Request<'_>) -> Result<(), Fault> {
        let allowed = request.endpoint.methods();
        let method = if *request.method == Method::HEAD {
            "GET"
        } else {
            request.method.as_str()
        };
        if !allowed.split(", ").any(|known| known == method) {
            let words = format!("{} {} {allowed}", request.method, request.endpoint.words());
            return Err(Fault::about(Condition::Method, &words));
        }
        let document = matches!(request.endpoint, Endpoint::Jwks | Endpoint::Discovery);
        if !document && !request.peer.secure && !request.peer.loopback && !self.allow_http {
            return Err(Fault::new(Condition::Tls));
        }
        Ok(())
    }

    async fn dispatch(&self, request: &Request<'_>, notes: &mut Notes) -> Result<Answer, Fault> {
        match request.endpoint {
            Endpoint::Token => Box::pin(token::answer(self, request, notes)).await,
            Endpoint::Introspect => Box::pin(introspect::answer(self, request, notes)).await,
            Endpoint::Revoke => Box::pin(revoke::answer(self, request, notes)).await,
            Endpoint::Jwks => Ok(discovery::key_set(self, request)),
            Endpoint::Discovery => Ok(discovery::document(self)),
            Endpoint::Authorize => Box::pin(authorize::answer(self, request, notes)).await,
            Endpoint::Par
            | Endpoint::Device
            | Endpoint::DevicePage
            | Endpoint::Userinfo
            | Endpoint::Register
            | Endpoint::Login
            | Endpoint::Consent => Err(Fault::server("an endpoint without code")),
        }
    }

    /// The parameters of a form endpoint (AS-COM-2 to AS-COM-5).
    pub(super) fn parameters<'r>(&self, request: &'r Request<'_>) -> Result<Parameters<'r>, Fault> {
        let body = request.body.ok_or(Fault::new(Condition::TooLarge))?;
        if body.len() > MAX_BODY {
            return Err(Fault::new(Condition::TooLarge));
        }
        let content_type = request.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let given = match Encoding::of(content_type) {
            _ if body.is_empty() => Parameters::default(),
            Encoding::Form => Parameters::form(body)?,
            Encoding::Json if self.accept_json => Parameters::json(body)?,
            Encoding::Multipart if self.dialect.multipart => {
                Parameters::pairs(request.multipart.clone().unwrap_or_default())?
            }
            Encoding::Json | Encoding::Multipart | Encoding::Other => {
                return Err(Fault::new(Condition::ContentType));
            }
        };
        if self.allow_query && !request.query.is_empty() {
            return Ok(given.or(Parameters::form(request.query.as_bytes())?));
        }
        Ok(given)
    }

    /// The answer to a fault (AS-COM-7, AS-CA-4).
    pub(super) fn refusal(
        &self,
        request: &Request<'_>,
        fault: &Fault,
        notes: &mut Notes,
    ) -> Answer {
        let row = self.dialect.row(fault.condition);
        notes.error = Some(row.error);
        let text = fault.text(self.dialect);
        let mut body = super::json::Object::new();
        body.string("error", row.error);
        if !row.text.is_empty() {
            body.string("error_description", &text);
        }
        let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut answer = Answer::json(status, body.finish());
        if status == StatusCode::UNAUTHORIZED {
            answer.header(header::WWW_AUTHENTICATE, &self.basic_challenge());
        }
        if fault.condition == Condition::Method {
            let allow = format!("{}, OPTIONS", request.endpoint.methods());
            answer.header(header::ALLOW, &allow);
            if self.dialect.method_challenge {
                let realm = self.realm_part();
                let challenge = format!(
                    "Bearer {realm}error=\"{}\", error_description=\"{text}\"",
                    row.error
                );
                answer.header(header::WWW_AUTHENTICATE, &challenge);
            }
        }
        if let Some(seconds) = fault.retry_after {
            answer.header(header::RETRY_AFTER, &seconds.to_string());
        }
        answer
    }

    /// The challenge to clients.
    pub(super) fn basic_challenge(&self) -> String {
        match self.dialect.basic_challenge {
            Some(text) => text.to_owned(),
            None => format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm),
        }
    }

    fn realm_part(&self) -> String {
        if self.realm.is_empty() {
            String::new()
        } else {
            format!("realm=\"{}\", ", self.realm)
        }
    }

    /// The origin of a browser program, if it may ask here.
    fn allowed_origin<'r>(&self, request: &'r Request<'_>) -> Option<&'r HeaderValue> {
        let origin = request.headers.get(header::ORIGIN)?;
        let open = matches!(
            request.endpoint,
            Endpoint::Token
                | Endpoint::Revoke
                | Endpoint::Userinfo
                | Endpoint::Device
                | Endpoint::Par
        );
        let listed = |known: &String| known.as_bytes() == origin.as_bytes();
        (open && self.cors_origins.iter().any(listed)).then_some(origin)
    }

    fn allow_origin(&self, request: &Request<'_>, answer: &mut Answer) {
        if let Some(origin) = self.allowed_origin(request) {
            let headers = &mut answer.headers;
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }

    fn options(&self, request: &Request<'_>) -> Answer {
        let mut answer = Answer::new(StatusCode::NO_CONTENT, Bytes::new());
        let methods = format!("{}, OPTIONS", request.endpoint.methods());
        answer.header(header::ALLOW, &methods);
        let document = matches!(request.endpoint, Endpoint::Jwks | Endpoint::Discovery);
        if document {
            answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        }
        if document || self.allowed_origin(request).is_some() {
            answer.header(header::ACCESS_CONTROL_ALLOW_METHODS, &methods);
            answer.header(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, dpop",
            );
            answer.header(header::ACCESS_CONTROL_MAX_AGE, "600");
        }
        self.allow_origin(request, &mut answer);
        answer
    }
}
