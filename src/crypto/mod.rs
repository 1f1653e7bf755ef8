//! Keys and what is done with them; nothing else in the gateway touches key material.
//!
//! Every key is parsed once, when a configuration is built or a key set arrives, and is bound to
//! exactly one algorithm. A token never chooses: its `alg` is only compared with that of the key.
//! All primitives come from aws-lc-rs.

pub mod algorithm;
pub mod certificate;
pub mod constant_time;
pub mod digest;
mod encoding;
mod json;
pub mod jwk;
pub mod jwks;
pub mod jws;
pub mod key;
pub mod offload;
pub mod password_hash;
pub mod random;
pub mod seal;
pub mod secret_hash;

pub use algorithm::{Algorithm, Family};
pub use jwks::Jwks;
pub use key::{KeyError, SigningKey, VerifyingKey};
