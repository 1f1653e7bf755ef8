//! The admin API: consumers, applications, tokens, revocations, users, for operators and their
//! programs, in the shapes of Kong's.
//!
//! [`Admin::answer`] takes a request apart from any HTTP library and gives what is to be answered.
//! Who may ask is settled first ([`guard`]); then each resource has a file.

mod applications;
mod consumers;
mod fields;
mod grants;
pub mod guard;
mod openapi;
mod page;
mod problem;
mod redirect;
mod revocations;
mod status;
#[cfg(test)]
mod tests;
mod tokens;
mod transfer;
mod users;

pub use transfer::{Imported, Mode};

use crate::clock::Clock;
use crate::store::{AuditEntry, Client, Consumer, Cut, Millis, Store, Vault};
use bytes::Bytes;
use fields::{Fields, form_pairs};
use guard::{Guard, Resource, Scope};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use problem::Problem;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Bodies at most (an import has a bound for each line instead).
pub const MAX_BODY: usize = 64 << 10;
/// Lines of an import at most.
pub const MAX_LINE: usize = 1 << 20;

/// The unit of `created_at` of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// Milliseconds.
    #[default]
    Millis,
    /// Seconds.
    Seconds,
}

/// What the `admin` block says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may ask.
    pub guard: Guard,
    /// Whether every change is refused.
    pub read_only: bool,
    /// The unit of `created_at` of tokens.
    pub timestamps: Timestamps,
    /// Whether an application needs a consumer.
    pub require_consumer: bool,
}

/// An authorization server of the configuration file, as far as it matters here.
#[derive(Clone, Debug)]
pub struct DeclaredServer {
    /// Its label.
    pub label: String,
    /// How long its longest access token lives: so long a revocation has to be kept.
    pub longest_token: Duration,
    /// Its declared scopes.
    pub scopes: Vec<String>,
    /// Whether redirect addresses may be plain HTTP on any host (dialect `kong`).
    pub any_http: bool,
    /// Whether Kong's rules for changed secrets hold (dialect `kong`).
    pub kong: bool,
}

/// What the configuration file declares. It can be read here but not changed.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Servers.
    pub servers: Vec<DeclaredServer>,
    /// Consumers, in order of their ids.
    pub consumers: Vec<Consumer>,
    /// Clients, in order of their ids.
    pub clients: Vec<Client>,
    /// Labels of `api` blocks, for `service.id`.
    pub services: Vec<String>,
}

/// The admin API of a gateway.
#[derive(Debug)]
pub struct Admin {
    /// Where everything is.
    pub store: Arc<dyn Store>,
    /// Keys and rules for what is at rest.
    pub vault: Arc<Vault>,
    /// What the block says.
    pub settings: Settings,
    /// What the file declares.
    pub declared: Declared,
    /// The time.
    pub clock: Clock,
}

/// A request.
#[derive(Debug)]
pub struct Call<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Its path.
    pub path: &'r str,
    /// Its query.
    pub query: &'r str,
    /// Its header fields.
    pub headers: &'r HeaderMap,
    /// Its body; `None` when it was too large.
    pub body: Option<&'r [u8]>,
    /// Whether it came by a Unix socket, whose file says who may ask; its `Host` means nothing.
    pub by_socket: bool,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// Part by part.
    Parts(mpsc::Receiver<Bytes>),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
    /// Who asked, for the log.
    pub actor: Option<String>,
}

impl Reply {
    fn empty(status: StatusCode) -> Self {
        let mut headers = HeaderMap::new();
        let no_store = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, no_store);
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        Self {
            status,
            headers,
            body: Body::Whole(Bytes::new()),
            actor: None,
        }
    }

    fn json(status: StatusCode, body: &Value) -> Self {
        let mut reply = Self::empty(status);
        reply.header(header::CONTENT_TYPE, "application/json; charset=utf-8");
        reply.body = Body::Whole(body.to_string().into());
        reply
    }

    /// An entity in the state `version`.
    fn entity(status: StatusCode, body: &Value, version: i64) -> Self {
        let mut reply = Self::json(status, body);
        reply.header(header::ETAG, &format!("\"{version}\""));
        reply
    }

    /// The configuration in force has no admin API.
    pub fn without_api() -> Self {
        Problem::NotFound.into()
    }

    /// The answer took too long.
    pub fn too_late() -> Self {
        let message = "the request took too long";
        Problem::Plain(StatusCode::SERVICE_UNAVAILABLE, message.into()).into()
    }

    fn header(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(name, value);
        }
    }
}

/// What handlers answer.
type Outcome = Result<Reply, Problem>;

/// A request whose sender may make it.
struct Asked<'r> {
    call: &'r Call<'r>,
    /// `admin:LABEL`, for audit and revocation log.
    actor: String,
    now: Millis,
    query: Vec<(String, String)>,
}

impl Asked<'_> {
    fn fields(&self) -> Result<Fields, Problem> {
        let Some(body) = self.call.body else {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(Problem::Plain(status, "Payload Too Large".into()));
        };
        let kind = self.call.headers.get(header::CONTENT_TYPE);
        Fields::parse(kind.and_then(|kind| kind.to_str().ok()), body)
    }

    fn option(&self, name: &str) -> Option<&str> {
        let mut found = self.query.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Refuses a change of a state that `If-Match` does not name.
    fn match_version(&self, version: i64) -> Result<(), Problem> {
        let Some(wanted) = self.call.headers.get(header::IF_MATCH) else {
            return Ok(());
        };
        let current = format!("\"{version}\"");
        let text = wanted.to_str().unwrap_or("");
        let mut tags = text.split(',').map(str::trim);
        if tags.any(|tag| tag == "*" || tag == current) {
            Ok(())
        } else {
            Err(Problem::Changed)
        }
    }
}

impl Admin {
    /// Answers a request.
    pub async fn answer(&self, call: &Call<'_>) -> Reply {
        let now = Millis::now(&self.clock);
        let actor = match self.settings.guard.admit(call.headers, call.by_socket, now) {
            Ok(actor) => actor,
            Err(refused) => return refused.into(),
        };
        let asked = Asked {
            call,
            now,
            query: form_pairs(call.query.as_bytes()),
            actor: actor.name.clone(),
        };
        let mut reply = match self.route(&asked, &actor.scopes).await {
            Ok(reply) => reply,
            Err(problem) => problem.into(),
        };
        reply.actor = Some(actor.name);
        reply
    }

    async fn route(&self, asked: &Asked<'_>, scopes: &[Scope]) -> Outcome {
        let path = asked.call.path.trim_matches('/');
        let decoded: Vec<String> = path.split('/').map(segment).collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let resource = Resource::of(&parts).ok_or(Problem::NotFound)?;
        let writes = !matches!(*asked.call.method, Method::GET | Method::HEAD);
        if !guard::allows(scopes, resource, writes) {
            let message = "the token does not allow this";
            return Err(Problem::Plain(StatusCode::FORBIDDEN, message.into()));
        }
        if writes && self.settings.read_only {
            let message = "the admin API is read only";
            return Err(Problem::Plain(StatusCode::FORBIDDEN, message.into()));
        }
        match parts[..] {
            ["consumers"] => self.consumers(asked).await,
            ["consumers", id] => self.consumer(asked, id).await,
            ["consumers", id, "oauth2"] => self.applications(asked, Some(id)).await,
            ["consumers", id, "oauth2", app] => self.application(asked, Some(id), app).await,
            ["oauth2"] => self.applications(asked, None).await,
            ["oauth2", app] => self.application(asked, None, app).await,
            ["oauth2", app, "secrets"] => self.secrets(asked, app).await,
            ["oauth2", app, "secrets", id] => self.secret(asked, app, id).await,
            ["clients"] => self.registered_clients(asked).await,
            ["clients", app] => self.registered_client(asked, app).await,
            ["api_keys"] => self.api_keys(asked).await,
            ["oauth2_tokens"] => self.tokens(asked).await,
            ["oauth2_tokens", id] => self.token(asked, id).await,
            ["grants"] => self.grants(asked).await,
            ["grants", id] => self.grant(asked, id).await,
            ["revocations"] => self.revocations(asked).await,
            ["users"] => self.users(asked).await,
            ["users", id] => self.user(asked, id).await,
            ["users", id, "password"] => self.user_password(asked, id).await,
            ["users", id, "unlock"] => self.user_unlock(asked, id).await,
            ["scopes"] => self.scopes(asked),
            ["signing_keys"] => self.signing_keys(asked).await,
            ["audit"] => self.audit_log(asked).await,
            ["status"] => self.status(asked).await,
            ["services"] => self.services(asked),
            ["routes" | "plugins"] => Err(status::declared()),
            ["openapi.json"] => openapi::document(asked),
            ["export"] => self.export(asked),
            ["import"] => self.import(asked).await,
            _ => Err(Problem::NotFound),
        }
    }

    /// How a right is taken away now: tokens of the server (or of all) may live as long as its longest.
    fn cut(&self, asked: &Asked<'_>) -> Cut {
        let longest = self
            .declared
            .servers
            .iter()
            .map(|server| server.longest_token);
        let longest = longest.max().unwrap_or(Duration::from_secs(3600));
        Cut {
            at: asked.now,
            // Five minutes for clocks that differ.
            until: asked.now.plus(longest + Duration::from_secs(300)),
            actor: asked.actor.clone(),
        }
    }

    /// Writes down what an operator did.
    async fn note(&self, asked: &Asked<'_>, action: &str, target: &str) -> Result<(), Problem> {
        let entry = AuditEntry::new(asked.now, &asked.actor, action, target);
        self.store.audit(entry).await?;
        let fields = [("actor", asked.actor.as_str()), ("target", target)];
        guard::event(action, &fields);
        Ok(())
    }

    /// The one server of the file, or that of a label.
    fn server(&self, label: Option<&str>) -> Result<&DeclaredServer, Problem> {
        let servers = &self.declared.servers;
        match (label, &servers[..]) {
            (None, [only]) => Ok(only),
            (Some(label), _) => servers
                .iter()
                .find(|server| server.label == label)
                .ok_or_else(|| {
                    Problem::field("authorization_server", "no such authorization server")
                }),
            (None, _) => Err(Problem::field(
                "authorization_server",
                "required field missing",
            )),
        }
    }
}

/// A segment of a path without its escapes.
fn segment(text: &str) -> String {
    let escaped = text.replace('+', "%2B");
    let mut pairs = form_pairs(escaped.as_bytes()).into_iter();
    pairs
        .next()
        .map(|(name, value)| {
            if value.is_empty() && !text.contains('=') {
                name
            } else {
                format!("{name}={value}")
            }
        })
        .unwrap_or_default()
}
