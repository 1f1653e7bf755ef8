//! What is stored: one struct for each kind of entity. Serialised they are the lines of an export.
//!
//! Clients, consumers and scopes that the configuration file declares are no records; they are
//! known from the tree. Where a record refers to a client it does so by `client_key`: the `id` of
//! a [`Client`], or for a client of the file the UUIDv5 that [`file_id`] makes of its name.

mod client;
mod interaction;
mod operation;
mod token;

pub use client::{Client, ClientSecret, ClientType, Consumer, Source, UserAccount};
pub use interaction::{DeviceCode, DeviceState, Handle, HandleKind};
pub use operation::{AuditEntry, Cut, KeyState, Revocation, RevocationKind, StoredKey};
pub use token::{AccessToken, AuthorizationCode, Consent, GrantFamily, RefreshState, RefreshToken};

use crate::clock::{Clock, UnixTime};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use uuid::Uuid;

/// A point of wall time in milliseconds since 1970, as it is stored.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// Later than everything that is stored.
    pub const MAX: Self = Self(i64::MAX);

    /// Now.
    pub fn now(clock: &Clock) -> Self {
        clock.unix().into()
    }

    /// Later by a duration.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Whole seconds, as `iat` and Kong's timestamps are written.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// A number of seconds.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

impl From<UnixTime> for Millis {
    fn from(time: UnixTime) -> Self {
        Self(time.millis())
    }
}

impl From<Millis> for UnixTime {
    fn from(time: Millis) -> Self {
        Self::from_millis(time.0)
    }
}

/// SHA-256 of a value that was handed out: what the store knows of it, and finds it by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of a token, code or handle.
    pub fn of(value: impl AsRef<[u8]>) -> Self {
        let digest = digest::digest(&digest::SHA256, value.as_ref());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The first eight hexadecimal digits: what a log line may say of a token (`token_ref`).
    pub fn reference(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", self.reference())
    }
}

impl std::str::FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected 64 hexadecimal digits".to_owned();
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes that only a key opens: the output of `crypto::seal`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A fresh id (UUIDv7, so that rows are appended to their indices and lists come in order of making).
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// The fixed namespace of entities of the configuration file.
const FILE: Uuid = Uuid::from_u128(0x6c1d_5c35_2f4b_5d0e_9a43_0b5f_7a1e_c0d4);

/// The id of a client or consumer of the configuration file: the same after every start.
/// `kind` is `client` or `consumer`; a client's name is preceded by its server's label.
pub fn file_id(kind: &str, server: &str, name: &str) -> Uuid {
    Uuid::new_v5(&FILE, format!("{kind}\0{server}\0{name}").as_bytes())
}
