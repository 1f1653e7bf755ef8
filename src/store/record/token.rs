//! What was granted: codes, families, tokens, consents.

use super::{Digest, Millis, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// An authorization code (RFC 6749 §4.1). It is kept until it expires, used or not, so that a
/// second presentation is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// Digest of its value.
    pub hash: Option<Digest>,
    /// The server that issued it.
    pub server: String,
    /// The client it was issued to.
    pub client_key: Uuid,
    /// Its `client_id`.
    pub client_id: String,
    /// The id that the family of its tokens has or will have.
    pub family: Uuid,
    /// The user.
    pub subject: String,
    /// The redirect address.
    pub redirect_uri: String,
    /// Whether the request named it, so that the token request must, too.
    pub redirect_sent: bool,
    /// Granted scopes.
    pub scope: Vec<String>,
    /// Granted resources (RFC 8707).
    pub resources: Vec<String>,
    /// PKCE challenge, S256.
    pub challenge: Option<String>,
    /// OpenID Connect nonce.
    pub nonce: Option<String>,
    /// Thumbprint of the key the tokens will be bound to.
    pub dpop_jkt: Option<String>,
    /// The mount it was issued at, with `service_binding`.
    pub service: Option<String>,
    /// Whatever else the token request needs (`auth_time`, `acr`, `authorization_details` …).
    pub details: Map<String, Value>,
    /// When it was issued.
    pub issued_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
    /// When it was used.
    pub consumed_at: Option<Millis>,
}

/// What one grant of a user (or one migrated token) led to: all tokens that go back to it. It is
/// revoked as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantFamily {
    /// Its id, the `gid` of JWTs.
    pub id: Uuid,
    /// The server.
    pub server: String,
    /// The client.
    pub client_key: Uuid,
    /// Its `client_id`.
    pub client_id: String,
    /// The user; `None` for a client on its own behalf.
    pub subject: Option<String>,
    /// Scopes of the grant.
    pub scope: Vec<String>,
    /// Resources of the grant.
    pub resources: Vec<String>,
    /// Whatever later tokens need (`auth_time`, `acr`, `amr`, `authorization_details` …).
    pub details: Map<String, Value>,
    /// When it was granted.
    pub created_at: Millis,
    /// When the last refresh token ends at the latest; `None`: never.
    pub expires_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

/// An opaque access token, or a JWT with `persist_jwt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Digest of its value, which it is found by.
    pub hash: Digest,
    /// Its id, the `jti` of a revocation. A UUIDv7: its time is the time of issue.
    pub id: Uuid,
    /// The server.
    pub server: String,
    /// The client.
    pub client_key: Uuid,
    /// Its `client_id`.
    pub client_id: String,
    /// The family, if the token has one.
    #[serde(default)]
    pub family: Option<Uuid>,
    /// The `id` of the refresh token issued with it.
    #[serde(default)]
    pub refresh: Option<Uuid>,
    /// The user; `None` for a client on its own behalf.
    #[serde(default)]
    pub subject: Option<String>,
    /// Granted scopes.
    #[serde(default)]
    pub scope: Vec<String>,
    /// `aud`.
    #[serde(default)]
    pub audience: Vec<String>,
    /// What it is bound to (`jkt`, `x5t#S256`).
    #[serde(default)]
    pub confirmation: Option<Value>,
    /// Further claims.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// The mount it is good for, with `service_binding`.
    #[serde(default)]
    pub service: Option<String>,
    /// Its value, with `token_storage = "sealed"`.
    #[serde(default)]
    pub sealed: Option<Sealed>,
    /// The first and last four characters of its value, for lists.
    #[serde(default)]
    pub preview: String,
    /// When it was issued.
    pub issued_at: Millis,
    /// When it ends; `None`: never.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Millis>,
}

/// Where a refresh token stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshState {
    /// It can be used.
    #[default]
    Active,
    /// It has a successor.
    Rotated,
    /// It was revoked.
    Revoked,
}

/// A refresh token. A rotated one is kept until its family ends: its use tells of a theft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// Digest of its value, which it is found by.
    pub hash: Digest,
    /// Its id.
    pub id: Uuid,
    /// Its family.
    pub family: Uuid,
    /// The refresh token it succeeds.
    #[serde(default)]
    pub parent: Option<Uuid>,
    /// Where it stands.
    #[serde(default)]
    pub state: RefreshState,
    /// The value of its successor, sealed under a key derived from its own value, while the grace lasts.
    #[serde(default)]
    pub successor: Option<Sealed>,
    /// When it was rotated.
    #[serde(default)]
    pub rotated_at: Option<Millis>,
    /// How often it was used after that, within the grace.
    #[serde(default)]
    pub grace_uses: u32,
    /// The `jti` or id of the access token issued with it, for `invalidate_access`.
    #[serde(default)]
    pub access: Option<String>,
    /// What it is bound to.
    #[serde(default)]
    pub confirmation: Option<Value>,
    /// Its value, with `token_storage = "sealed"`.
    #[serde(default)]
    pub sealed: Option<Sealed>,
    /// The first and last four characters of its value, for lists.
    #[serde(default)]
    pub preview: String,
    /// When it was issued.
    pub issued_at: Millis,
    /// When it ends; `None`: never.
    #[serde(default)]
    pub expires_at: Option<Millis>,
}

/// What a user has allowed a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The user.
    pub subject: String,
    /// The client.
    pub client_key: Uuid,
    /// Allowed scopes.
    pub scope: Vec<String>,
    /// Allowed resources.
    #[serde(default)]
    pub resources: Vec<String>,
    /// When.
    pub granted_at: Millis,
    /// Until when the user is not asked again.
    pub expires_at: Millis,
}
