//! Ports for the gateway to listen on.

use std::collections::HashSet;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{LazyLock, Mutex};

use super::{Mismatch, lock};

/// Below the range from which systems give ports to outgoing connections, so that none of these takes
/// a port between its choice and the gateway's start.
const RANGE: Range<u16> = 15_000..32_000;

/// A port on which nothing listens and which was given to no other case of this run.
pub fn free() -> Result<u16, Mismatch> {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let mut given = lock(&GIVEN);
    if given.len() > RANGE.len() / 2 {
        given.clear(); // of cases that ended long ago
    }
    for _ in 0..10_000 {
        let random = uuid::Uuid::new_v4().as_u128() % u128::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(random).unwrap_or_default();
        if !given.contains(&port) && TcpListener::bind(("0.0.0.0", port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(Mismatch::new("no port is free"))
}
