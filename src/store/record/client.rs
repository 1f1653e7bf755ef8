//! Who may ask: consumers, clients, their secrets, and end users.

use super::{Digest, Millis, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Where an entity came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The admin API or the command line.
    #[default]
    Db,
    /// The configuration file; such entities are read only and never in the database.
    Hcl,
    /// An import from another product.
    Import,
    /// Dynamic client registration (RFC 7591).
    Registration,
}

/// A consumer: the person or company that clients belong to. One of the two names is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Its id.
    pub id: Uuid,
    /// Unique name.
    pub username: Option<String>,
    /// Unique id in the owner's own books.
    pub custom_id: Option<String>,
    /// Labels for filters.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Groups, for `request.context`.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Free members.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Where it came from.
    #[serde(default)]
    pub source: Source,
    /// When it was made.
    pub created_at: Millis,
    /// When it was changed last.
    pub updated_at: Millis,
    /// Counts changes; an update names the one it was made from.
    #[serde(default)]
    pub version: i64,
}

/// Whether a client can keep a secret (RFC 6749 §2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientType {
    /// It authenticates.
    #[default]
    Confidential,
    /// It only names itself.
    Public,
}

/// An OAuth client, an "application" in Kong's words. Lists that are empty mean "as the server does".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// Its id.
    pub id: Uuid,
    /// The authorization server it belongs to, by label.
    pub server: String,
    /// The name it presents, unique in its server.
    pub client_id: String,
    /// Whose it is.
    pub consumer: Option<Uuid>,
    /// What users are shown.
    pub name: String,
    /// Whether it has secrets.
    pub client_type: ClientType,
    /// `token_endpoint_auth_method` as registered; `None` is the default.
    pub auth_method: Option<String>,
    /// Where it may be redirected to, byte for byte.
    pub redirect_uris: Vec<String>,
    /// Grants it may use; empty: the default of the server.
    pub grant_types: Vec<String>,
    /// Response types it may use; empty: derived.
    pub response_types: Vec<String>,
    /// Scopes granted without asking; `None`: the server's default.
    pub scopes: Option<Vec<String>>,
    /// Scopes granted on request; `None` beside `scopes: None`: every declared scope.
    pub optional_scopes: Option<Vec<String>>,
    /// `aud` of its tokens; empty: the server's.
    pub audience: Vec<String>,
    /// Its public keys.
    pub jwks: Option<Value>,
    /// Where its public keys are found.
    pub jwks_uri: Option<String>,
    /// `jwt` or `opaque`.
    pub access_token_format: Option<String>,
    /// Label of a signing key.
    pub signing_key: Option<String>,
    /// Lifetimes by name as in the `ttl` block, in Go's notation.
    pub ttl: Map<String, Value>,
    /// Extra claims.
    pub claims: Map<String, Value>,
    /// Free members.
    pub metadata: Map<String, Value>,
    /// Attributes of the `client` block that have no member here, under the names they have there
    /// (`dpop_bound`, `introspect`, `allowed_ips`, `tls_client_auth_subject_dn`, `logo_uri` …).
    pub settings: Map<String, Value>,
    /// Labels for filters.
    pub tags: Vec<String>,
    /// Whether it may get tokens at all.
    pub enabled: bool,
    /// Whether users are not asked for consent.
    pub trusted: bool,
    /// Kong's `hash_secret`: its secret is never shown again.
    pub hash_secret: bool,
    /// Where it came from.
    pub source: Source,
    /// Digest of its RFC 7592 registration token.
    pub registration_token: Option<Digest>,
    /// When it got a token last, roughly.
    pub last_used_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was changed last.
    pub updated_at: Millis,
    /// Counts changes; an update names the one it was made from.
    pub version: i64,
}

/// A secret of a client. A client has up to four at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// Its id.
    pub id: Uuid,
    /// The `id` of its client.
    pub client: Uuid,
    /// What is kept: the text of a [`SecretHash`](crate::crypto::secret_hash::SecretHash).
    pub hash: String,
    /// The secret itself, with `secret_storage = "sealed"`.
    #[serde(default)]
    pub sealed: Option<Sealed>,
    /// Whether the gateway made it.
    #[serde(default)]
    pub generated: bool,
    /// When it ends.
    #[serde(default)]
    pub not_after: Option<Millis>,
    /// When it was used last, roughly.
    #[serde(default)]
    pub last_used_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
}

/// An end user of the built-in table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAccount {
    /// Its id.
    pub id: Uuid,
    /// Unique without regard to ASCII case.
    pub username: String,
    /// The text of a slow hash; without one the user cannot log in here.
    pub password: Option<String>,
    /// Claims about the user.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Whether the user may log in.
    pub enabled: bool,
    /// Failed attempts since the last success.
    #[serde(default)]
    pub failed: u32,
    /// Until when no attempt is looked at.
    #[serde(default)]
    pub locked_until: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was changed last.
    pub updated_at: Millis,
}
