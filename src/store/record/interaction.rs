//! What lives for minutes: device codes, pushed requests, interactions, sessions.

use super::{Digest, Millis, Sealed};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Where a device code stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has decided.
    #[default]
    Pending,
    /// The user has allowed it.
    Approved,
    /// The user has refused.
    Denied,
    /// Its tokens were fetched.
    Used,
}

/// A device code (RFC 8628).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// Digest of the device code.
    pub hash: Digest,
    /// Digest of the user code, in the form without separators and in upper case.
    pub user_code: Digest,
    /// The server.
    pub server: String,
    /// The client.
    pub client_key: Uuid,
    /// Its `client_id`.
    pub client_id: String,
    /// Requested scopes.
    pub scope: Vec<String>,
    /// Requested resources.
    pub resources: Vec<String>,
    /// Where it stands.
    pub state: DeviceState,
    /// The user who decided.
    pub subject: Option<String>,
    /// Whatever else the token request needs (`auth_time`, `acr` …).
    pub details: Map<String, Value>,
    /// Seconds between polls; grows with `slow_down`.
    pub interval: u32,
    /// When it was asked for last.
    pub last_poll: Option<Millis>,
    /// When it ends.
    pub expires_at: Millis,
}

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandleKind {
    /// A pushed authorization request (RFC 9126): found by the end of its `request_uri`.
    PushedRequest,
    /// A request that waits for login or consent.
    Interaction,
    /// The session of a user that has logged in.
    LoginSession,
}

impl HandleKind {
    /// The name in the store, and in what seals its payload.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PushedRequest => "pushed_request",
            Self::Interaction => "interaction",
            Self::LoginSession => "login_session",
        }
    }
}

/// Something that a random value in a cookie or address stands for. The payload is sealed under a
/// key derived from that value (`crypto::seal::Derived`), so the database alone does not open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// What it is.
    pub kind: HandleKind,
    /// Digest of the value.
    pub hash: Digest,
    /// The sealed content.
    pub payload: Sealed,
    /// The user, if one is known: all sessions of a user can be ended.
    pub subject: Option<String>,
    /// When it ends.
    pub expires_at: Millis,
}
