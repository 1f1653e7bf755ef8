//! What other products wrote down, as lines that can be imported.
//!
//! The same input gives the same ids each time, so an import can be repeated. Plain secrets become
//! hashes on the way; hashes that came along are kept and improved when they are used first.

mod hydra;
mod keycloak;
mod kong;
mod otoroshi;

use super::transfer::Line;
use super::vault::preview;
use super::{ClientSecret, Digest, Millis, Vault};
use crate::crypto::secret_hash::SecretHash;
use serde_json::Value;
use uuid::Uuid;

/// A product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Kong: a dump of its database, or decK's state as JSON.
    Kong,
    /// Keycloak: the export of a realm.
    Keycloak,
    /// Ory Hydra: clients as JSON.
    Hydra,
    /// Otoroshi: its state as JSON.
    Otoroshi,
}

impl Product {
    /// The product of a name.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "kong" => Some(Self::Kong),
            "keycloak" => Some(Self::Keycloak),
            "hydra" => Some(Self::Hydra),
            "otoroshi" => Some(Self::Otoroshi),
            _ => None,
        }
    }
}

/// What a conversion needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The authorization server that clients are to belong to.
    pub server: &'a str,
    /// Keys for hashes of secrets.
    pub vault: &'a Vault,
    /// Now.
    pub now: Millis,
}

/// What came of a conversion.
#[derive(Debug, Default)]
pub struct Converted {
    /// What can be imported, in order.
    pub lines: Vec<Line>,
    /// What cannot, and why.
    pub left_out: Vec<String>,
}

/// Reads what a product wrote down.
pub fn convert(product: Product, text: &str, into: Target<'_>) -> Result<Converted, String> {
    match product {
        Product::Kong => kong::convert(text, into),
        Product::Keycloak => keycloak::convert(&json(text)?, into),
        Product::Hydra => hydra::convert(&json(text)?, into),
        Product::Otoroshi => otoroshi::convert(&json(text)?, into),
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("the file is no JSON: {error}"))
}

impl Target<'_> {
    /// A secret of a client: the plain text, or a hash that came along.
    fn secret(&self, client: Uuid, given: &str) -> Result<ClientSecret, String> {
        let hash = match SecretHash::parse(given) {
            Ok(hash) => hash,
            Err(_) if SecretHash::is_strong(given) => self
                .vault
                .hash_drawn(given)
                .map_err(|error| error.to_string())?,
            Err(_) => SecretHash::slow(given).map_err(|error| error.to_string())?,
        };
        Ok(ClientSecret {
            id: super::file_id("secret", &client.to_string(), given),
            client,
            hash: hash.to_string(),
            sealed: None,
            generated: false,
            not_after: None,
            last_used_at: None,
            created_at: self.now,
        })
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    let text = value.get(name)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    let items = value.get(name).and_then(Value::as_array);
    let texts = items.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Digest and preview of a token.
fn token(value: &str) -> (Digest, String) {
    (Digest::of(value), preview(value))
}
