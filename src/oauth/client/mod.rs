//! The gateway as an OAuth client: what is asked of a token endpoint ([`token_request`]), what is
//! taken from its answer ([`token_response`]), and the tokens kept for all workers
//! ([`token_cache`]).

pub mod authorization_code;
pub mod token_cache;
pub mod token_request;
pub mod token_response;

pub use token_cache::{AfterRefusal, Retries, Settings, Token, TokenEntry, TokenError};
pub use token_request::{ClientAuth, TokenRequest};
pub use token_response::{FailureKind, FetchFailure, FetchedToken};
