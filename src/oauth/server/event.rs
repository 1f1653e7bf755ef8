//! Events: lines of type `as_event`, for whoever watches who gets which token.

use super::Server;
use super::answer::Notes;
use super::fault::Fault;
use crate::telemetry::{Level, sink};
use std::time::SystemTime;

/// Log type of these lines.
const TYPE: &str = "as_event";

/// Writes an event with further fields.
pub fn write(server: &Server, name: &str, fields: &[(&str, &str)]) {
    if !sink::enabled(Level::Info) {
        return;
    }
    sink::write(TYPE, Level::Info, SystemTime::now(), b"", |entry| {
        entry.string("event", name.as_bytes());
        entry.string("as", server.label.as_bytes());
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            entry.string(name, value.as_bytes());
        }
    });
}

/// A client failed to prove who it is.
pub(super) fn client_auth_failed(server: &Server, client: &str, address: &str) {
    let fields = [("client_id", client), ("client_ip", address)];
    write(server, "client_auth_failed", &fields);
}

/// A token was issued.
pub(super) fn issued(server: &Server, notes: &Notes) {
    write(
        server,
        "token_issued",
        &[
            ("client_id", notes.client_id.as_deref().unwrap_or_default()),
            ("grant_type", notes.grant_type.unwrap_or_default()),
            ("jti", notes.jti.as_deref().unwrap_or_default()),
            ("token_ref", notes.token_ref.as_deref().unwrap_or_default()),
            ("gid", notes.gid.as_deref().unwrap_or_default()),
            ("scope", notes.scope.as_deref().unwrap_or_default()),
        ],
    );
}

/// No token was issued.
pub(super) fn refused(server: &Server, notes: &Notes, fault: &Fault) {
    let error = server.dialect.row(fault.condition).error;
    write(
        server,
        "token_refused",
        &[
            ("client_id", notes.client_id.as_deref().unwrap_or_default()),
            ("grant_type", notes.grant_type.unwrap_or_default()),
            ("error", error),
        ],
    );
}

/// The first digits of a token's digest: what stands for it in logs.
pub fn token_ref(digest: &super::Digest) -> String {
    super::client::hex(&digest[..4])
}
