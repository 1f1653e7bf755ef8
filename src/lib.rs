//! Gateway: one binary that is a reverse proxy with access control, an OAuth2 client, a resource
//! server and an authorization server, configured by HCL. `docs/architecture.md` is the map.

pub mod admin;
pub mod blocks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod diagnostic;
pub mod error;
pub mod expr;
pub mod hcl;
pub mod http;
pub mod oauth;
pub mod openapi;
pub mod reference;
pub mod runtime;
pub mod store;
pub mod telemetry;
pub mod upstream;

/// The version of this program, as `couper.version` and the log give it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
