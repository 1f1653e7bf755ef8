//! The data plane: from an accepted connection to the last byte of the answer.
//!
//! `pipeline` has the phases in order; each worker thread runs its own connections on a runtime of
//! its own.

pub mod access_log;
pub mod admin;
pub mod answer;
pub mod authorization_server;
pub mod backend;
pub mod backend_log;
pub mod body;
pub mod call;
pub mod compression;
pub mod connection;
pub mod dev_proxy;
pub mod endpoint;
pub mod exchange;
pub mod fetch;
pub mod file;
mod framing;
mod grpc;
pub mod handling;
pub mod handshake;
pub mod headers;
mod health;
mod jobs;
pub mod listener;
pub mod message;
mod multipart;
pub mod observe;
pub mod pipeline;
mod remote;
pub mod request_id;
mod scope;
pub mod server_timing;
pub mod site;
pub mod token;
pub(crate) mod trace;
pub mod tunnel;
pub mod url;
pub mod websocket;
pub mod worker;
pub mod workers;
