//! What the server itself needs: revocations, signing keys, the audit chain.

use super::{Millis, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a revocation hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationKind {
    /// Every token of the server; the value is the server's label.
    Issuer,
    /// Tokens of a client; the value is its `client_id`.
    Client,
    /// Tokens of a user.
    Subject,
    /// Tokens of a grant family; the value is its id.
    Grant,
    /// One token; the value is its `jti`, or the id of an opaque one.
    Jti,
}

impl RevocationKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Issuer,
        Self::Client,
        Self::Subject,
        Self::Grant,
        Self::Jti,
    ];

    /// The name, as the admin API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Client => "client",
            Self::Subject => "subject",
            Self::Grant => "grant",
            Self::Jti => "jti",
        }
    }

    /// The kind of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Tokens that are refused although they have not expired: those whose key is this and which were
/// issued at `not_before` or earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Position in the log; given by the store.
    #[serde(default)]
    pub seq: i64,
    /// What it hits.
    pub kind: RevocationKind,
    /// The key.
    pub value: String,
    /// The server.
    pub server: String,
    /// Tokens issued then or earlier are dead.
    pub not_before: Millis,
    /// When every token that it can hit has expired; the entry then leaves.
    pub expires_at: Millis,
    /// Who did it.
    pub actor: String,
    /// When it was done.
    pub created_at: Millis,
}

/// How an operation that takes rights away is to be written into the revocation log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Now: tokens issued then or earlier are dead.
    pub at: Millis,
    /// When the longest living token that was issued by now has expired.
    pub until: Millis,
    /// Who does it: `client:…`, `admin:…`, `server`.
    pub actor: String,
}

impl Cut {
    /// The entry for one key.
    pub fn entry(
        &self,
        kind: RevocationKind,
        value: impl Into<String>,
        server: &str,
    ) -> Revocation {
        Revocation {
            seq: 0,
            kind,
            value: value.into(),
            server: server.to_owned(),
            not_before: self.at,
            expires_at: self.until,
            actor: self.actor.clone(),
            created_at: self.at,
        }
    }
}

/// Where a managed key stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, not used yet.
    Next,
    /// Signs.
    Active,
    /// Published, verifies.
    Retired,
}

/// A managed signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// Its key id, unique in its server.
    pub kid: String,
    /// The server.
    pub server: String,
    /// The `signing_key` block.
    pub label: String,
    /// The JOSE algorithm.
    pub algorithm: String,
    /// Where it stands.
    pub state: KeyState,
    /// Its public half.
    pub public_jwk: Value,
    /// PKCS#8, sealed under the encryption key.
    pub private: Sealed,
    /// When it begins to sign.
    pub not_before: Millis,
    /// When it is replaced.
    pub retire_at: Option<Millis>,
    /// When it is no longer published.
    pub remove_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
}

/// Something that happened. Each entry carries the hash of the one before, so that a removal shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Position; given by the store.
    #[serde(default)]
    pub seq: i64,
    /// When.
    pub at: Millis,
    /// Who: `client:…`, `admin:…`, `server`.
    pub actor: String,
    /// What: one of the event names (`token_revoked`, `client_created` …).
    pub action: String,
    /// To whom or what.
    pub target: String,
    /// More; never a secret value.
    #[serde(default)]
    pub detail: Map<String, Value>,
    /// Hash of the entry before, hexadecimal; given by the store.
    #[serde(default)]
    pub previous: String,
    /// Hash of this entry; given by the store.
    #[serde(default)]
    pub hash: String,
}

impl AuditEntry {
    /// An entry that has no place in the chain yet.
    pub fn new(at: Millis, actor: &str, action: &str, target: &str) -> Self {
        Self {
            seq: 0,
            at,
            actor: actor.to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: Map::new(),
            previous: String::new(),
            hash: String::new(),
        }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// The hash that the entry has after one with the hash `previous`.
    pub fn chained(&self, previous: &str) -> String {
        let fields = serde_json::json!([
            previous,
            self.seq,
            self.at,
            self.actor,
            self.action,
            self.target,
            self.detail
        ]);
        super::Digest::of(fields.to_string()).to_string()
    }
}
