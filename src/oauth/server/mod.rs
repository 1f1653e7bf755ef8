//! The gateway as an authorization server (RFC 6749 and what has grown around it).
//!
//! A file for each endpoint and each grant, whose checks read like their RFC. What a configuration
//! says is in [`Server`], what the clock and the clients change is in [`State`]. [`answer`] takes a
//! request apart from any HTTP library and gives what is to be answered.

pub mod answer;
pub mod authentication;
mod authorization_code;
mod authorize;
pub mod backing;
mod certificate;
pub mod check;
pub mod client;
mod client_credentials;
pub mod dialect;
mod discovery;
pub mod event;
pub mod fault;
pub mod grant;
mod introspect;
pub mod issue;
mod json;
mod keep;
pub mod keys;
pub mod limits;
pub mod parameters;
mod password;
pub mod paths;
mod provision;
pub mod redirect;
mod refresh_token;
mod resource;
mod revoke;
pub mod scope;
mod stored_client;
mod token;

pub use answer::{Answer, Notes, Peer, Request};
pub use backing::Backing;
pub use client::{Client, Consumer, Digest, sha256};
pub use dialect::Dialect;
pub use fault::{Condition, Fault};
pub use grant::Grant;
pub use keys::Keys;
pub use paths::{Endpoint, Paths};
pub use scope::Scope;

use crate::clock::{Clock, UnixTime};
use crate::expr::Program;
use client::{Format, Lifetimes};
use foldhash::HashMap;
use std::sync::Arc;

/// When PKCE is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// For every code.
    Required,
    /// For public clients.
    Public,
    /// Never.
    Never,
}

/// When refresh tokens change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// With every use.
    Always,
    /// With every use by a public client.
    PublicOnly,
    /// Never.
    Never,
}

/// The `refresh_tokens` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshTokens {
    /// When they change.
    pub rotation: Rotation,
    /// How long the previous one still gives the same successor.
    pub grace: std::time::Duration,
    /// How often.
    pub grace_uses: u32,
    /// Whether one that is shown after that ends the whole family.
    pub revoke_family: bool,
    /// How long a family lives at most.
    pub absolute_ttl: Option<std::time::Duration>,
    /// Whether clients get them for themselves.
    pub for_client_credentials: bool,
    /// Whether the access token before dies with a refresh.
    pub invalidate_access: bool,
}

/// A configured authorization server.
#[derive(Debug)]
pub struct Server {
    /// Its label.
    pub label: Arc<str>,
    /// Its identifier, exactly as written.
    pub issuer: String,
    /// The realm of challenges.
    pub realm: String,
    /// How it speaks.
    pub dialect: &'static Dialect,
    /// Its addresses.
    pub paths: Paths,
    /// What it serves.
    pub grants: Vec<Grant>,
    /// Form of access tokens.
    pub format: Format,
    /// `typ` of access tokens.
    pub typ: String,
    /// Label of the key that signs.
    pub signing_key: Arc<str>,
    /// `aud` of tokens for nothing in particular.
    pub audience: Vec<String>,
    /// Scopes of clients without a list.
    pub default_scopes: Vec<Box<str>>,
    /// Whether a token without scope is refused.
    pub mandatory_scope: bool,
    /// Whether unknown scopes are dropped.
    pub ignore_unknown_scope: bool,
    /// Further claims.
    pub claims: Option<Program>,
    /// What opaque values begin with.
    pub token_prefix: String,
    /// Whether parameters may come in the query.
    pub allow_query: bool,
    /// Whether they may come as JSON.
    pub accept_json: bool,
    /// Whether plain HTTP will do.
    pub allow_http: bool,
    /// Whether a proxy in front is believed about TLS.
    pub trust_forwarded_proto: bool,
    /// Digests of the keys of login pages.
    pub provision_keys: Vec<Digest>,
    /// Whether tokens are good only where they were issued.
    pub bind_to_mount: bool,
    /// Whether they are good elsewhere all the same.
    pub global_credentials: bool,
    /// When PKCE is needed.
    pub pkce: Pkce,
    /// Whether authorization requests must be pushed.
    pub require_pushed: bool,
    /// Whether assertions must name the issuer and nothing else.
    pub strict_assertion_audience: bool,
    /// Whether anybody may introspect.
    pub open_introspection: bool,
    /// Whether `expires_in` is told.
    pub tell_expires_in: bool,
    /// Origins of browser programs.
    pub cors_origins: Vec<String>,
    /// Lifetimes.
    pub ttl: Lifetimes,
    /// Refresh tokens.
    pub refresh: RefreshTokens,
    /// Declared scopes.
    pub scopes: Vec<Scope>,
    /// Every known scope where none is declared.
    pub scope_universe: Vec<Box<str>>,
    /// Clients of the configuration.
    pub clients: HashMap<Box<str>, Arc<Client>>,
    /// Consumers of the configuration.
    pub consumers: Vec<Arc<Consumer>>,
    /// Whether clients may authenticate by certificate, or tokens are bound to one.
    pub uses_certificates: bool,
    /// Whether revoking an access token revokes its grant.
    pub cascade: bool,
    /// What it keeps.
    pub backing: Arc<Backing>,
    /// Its keys.
    pub keys: Keys,
    /// What changes.
    pub state: Arc<State>,
}

/// What a server remembers while it runs.
#[derive(Debug, Default)]
pub struct State {
    /// Failed client authentications.
    pub failures: limits::Failures,
    /// Token requests by client.
    pub rates: limits::Rates,
    /// Tokens that were verified.
    pub verified: check::Cache,
}

impl Server {
    /// The client of an id.
    pub async fn client(&self, id: &str) -> Result<Option<Arc<Client>>, Fault> {
        match self.configured_client(id) {
            Some(client) => Ok(Some(Arc::clone(client))),
            None => self.stored_client(id).await,
        }
    }

    /// The client of an id, if the configuration has it.
    pub fn configured_client(&self, id: &str) -> Option<&Arc<Client>> {
        self.clients.get(id)
    }

    /// The URL of an endpoint.
    pub fn url(&self, endpoint: Endpoint) -> Option<String> {
        self.paths
            .advertised(endpoint)
            .map(|path| self.absolute(path))
    }

    /// A path of this server as a URL: on the issuer's origin.
    pub fn absolute(&self, path: &str) -> String {
        let after_scheme = self.issuer.find("://").map_or(0, |at| at + 3);
        let origin_end = self.issuer[after_scheme..]
            .find('/')
            .map_or(self.issuer.len(), |at| after_scheme + at);
        format!("{}{path}", &self.issuer[..origin_end])
    }

    /// Whether it serves a grant.
    pub fn serves(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }

    /// The declared scope of a name.
    pub fn scope(&self, name: &str) -> Option<&Scope> {
        self.scopes.iter().find(|scope| &*scope.name == name)
    }
}

/// The time of day.
pub fn now() -> UnixTime {
    Clock::System.unix()
}
