//! Where requests and connections of clients are counted.

use crate::telemetry::metrics::{Counter, Gauge, Requests, families, registry};
use foldhash::HashMap;
use std::sync::Arc;

/// What is counted of all clients together.
#[derive(Debug)]
pub struct ClientSeries {
    /// Connections so far.
    pub connections: Arc<Counter>,
    /// Connections that are open.
    pub open: Arc<Gauge>,
}

impl ClientSeries {
    pub(super) fn new() -> Self {
        let registry = registry();
        Self {
            connections: registry.counter(&families::CLIENT_CONNECTIONS, &[]),
            open: registry.gauge(&families::CLIENT_CONNECTIONS_OPEN, &[]),
        }
    }
}

/// What is counted of a port, by host. The label has names of the configuration only, so that clients
/// cannot make series; `localhost` is always told apart, any other host is `*`.
#[derive(Debug)]
pub(super) struct HostSeries {
    named: HashMap<String, Arc<Requests>>,
    any: Arc<Requests>,
}

impl HostSeries {
    pub(super) fn new<'n>(port: u16, names: impl Iterator<Item = &'n str>) -> Self {
        let of = |name: &str| {
            let host = format!("{name}:{port}");
            let (total, duration) = (
                &families::CLIENT_REQUESTS,
                &families::CLIENT_REQUEST_DURATION,
            );
            registry().requests(total, duration, &[&host])
        };
        Self {
            any: of("*"),
            named: names
                .chain(["localhost"])
                .map(|name| (name.to_owned(), of(name)))
                .collect(),
        }
    }

    pub(super) fn requests(&self, host: &str) -> &Requests {
        let host = host.strip_suffix('.').unwrap_or(host);
        let found = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            self.named.get(&host.to_ascii_lowercase())
        } else {
            self.named.get(host)
        };
        found.unwrap_or(&self.any)
    }
}
