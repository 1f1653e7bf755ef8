//! What is counted and logged of connections to origins.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::target::Target;
use crate::telemetry::metrics::{Counter, Gauge, Histogram, Registry, Requests, families};
use crate::telemetry::{Level, sink};

/// The type of the log entries about connections.
const ENTRY: &str = "couper_connection";

/// What is counted of one origin of one backend.
#[derive(Debug)]
pub struct TargetSeries {
    /// Its requests.
    pub requests: Arc<Requests>,
    opened: Arc<Counter>,
    open: Arc<Gauge>,
    lifetime: Arc<Histogram>,
}

impl TargetSeries {
    /// The series of a backend's origin (`host:port`); `hostname` is what the `Host` field holds.
    pub fn new(registry: &Registry, backend: &str, hostname: &str, origin: &str) -> Arc<Self> {
        let host = origin.rsplit_once(':').map_or(origin, |(host, _)| host);
        let connection = [backend, host, origin];
        Arc::new(Self {
            requests: registry.requests(
                &families::BACKEND_REQUESTS,
                &families::BACKEND_REQUEST_DURATION,
                &[backend, hostname, origin],
            ),
            opened: registry.counter(&families::BACKEND_CONNECTIONS, &connection),
            open: registry.gauge(&families::BACKEND_CONNECTIONS_OPEN, &connection),
            lifetime: registry.histogram(&families::BACKEND_CONNECTION_LIFETIME, &connection),
        })
    }
}

/// Id of the request that a connection is opened for, as an extension of the request. Wanted where
/// connections are logged.
#[derive(Clone, Debug)]
pub struct OpenedFor(pub Box<str>);

/// An open connection: its place under the backend's limit, and what tells of its end.
pub(super) struct Open {
    _permit: OwnedSemaphorePermit,
    since: Instant,
    series: Option<Arc<TargetSeries>>,
    /// Where connections are logged.
    facts: Option<Box<Facts>>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

struct Facts {
    origin: String,
    opened_for: Option<OpenedFor>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
}

impl Facts {
    fn write(&self, event: &str, since: Option<Instant>) {
        sink::write(ENTRY, Level::Debug, SystemTime::now(), b"", |entry| {
            entry.begin_object("connection");
            entry.string("event", event.as_bytes());
            if let Some(OpenedFor(uid)) = &self.opened_for {
                entry.string("initial_uid", uid.as_bytes());
            }
            for (name, address) in [("localAddr", self.local), ("remoteAddr", self.remote)] {
                if let Some(address) = address {
                    entry.string(name, address.to_string().as_bytes());
                }
            }
            entry.string("origin", self.origin.as_bytes());
            if let Some(since) = since {
                entry.milliseconds("lifetime", since.elapsed());
            }
            entry.end();
        });
    }
}

impl Open {
    pub(super) fn new(
        target: &Target,
        permit: OwnedSemaphorePermit,
        stream: &TcpStream,
        opened_for: Option<OpenedFor>,
    ) -> Self {
        let settings = target.settings();
        if let Some(series) = &settings.series {
            series.opened.add(1);
            series.open.add(1);
        }
        let facts = sink::enabled(Level::Debug).then(|| {
            let facts = Box::new(Facts {
                origin: format!("{}:{}", settings.host, settings.port),
                opened_for,
                local: stream.local_addr().ok(),
                remote: stream.peer_addr().ok(),
            });
            facts.write("open", None);
            facts
        });
        Self {
            _permit: permit,
            since: Instant::now(),
            series: settings.series.clone(),
            facts,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(series) = &self.series {
            series.open.add(-1);
            series.lifetime.record(self.since.elapsed());
        }
        if let Some(facts) = &self.facts {
            facts.write("close", Some(self.since));
        }
    }
}
