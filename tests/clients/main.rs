//! Conversations with clients and servers that other people wrote: WebSocket, gRPC over HTTP/2, curl.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the support modules are shared between test programs"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test program fails loudly and blocks its own threads only"
)]

mod conversation;
mod grpc;
#[path = "../support/mod.rs"]
mod support;
mod websocket;
