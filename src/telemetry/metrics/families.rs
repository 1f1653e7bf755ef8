//! The metrics by name. Names are wire format: dashboards and alerts hang on them.
//!
//! Those that begin with `couper_` are Couper's; those with `gateway_` are ours.

use super::instruments::{Bounds, CHECK_BOUNDS, LIFETIME_BOUNDS, REQUEST_BOUNDS};

/// What a family's series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations by size.
    Histogram(Bounds),
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Series of one meaning, told apart by labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// As it is exposed; counters end with `_total`.
    pub name: &'static str,
    /// One sentence about it.
    pub help: &'static str,
    /// What its series are.
    pub kind: Kind,
    /// Names of its labels, besides those of the service.
    pub labels: &'static [&'static str],
}

impl Family {
    /// Something that counts up.
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(name, labels, help, Kind::Counter)
    }

    /// Something that goes up and down.
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(name, labels, help, Kind::Gauge)
    }

    /// Durations.
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        bounds: Bounds,
        help: &'static str,
    ) -> Self {
        Self::new(name, labels, help, Kind::Histogram(bounds))
    }

    const fn new(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        kind: Kind,
    ) -> Self {
        Self {
            name,
            help,
            kind,
            labels,
        }
    }
}

macro_rules! families {
    ($($(#[$docs:meta])* $constant:ident = $family:expr;)*) => {
        $($(#[$docs])* pub static $constant: Family = $family;)*

        /// Every family.
        pub static ALL: &[&Family] = &[$(&$constant),*];
    };
}

const CLIENT: &[&str] = &["code", "host", "method"];
const ENDPOINT: &[&str] = &["code", "endpoint", "method", "server"];
const BACKEND: &[&str] = &["backend_name", "code", "hostname", "method", "origin"];
const CONNECTION: &[&str] = &["backend", "host", "origin"];

families! {
    /// Requests of clients.
    CLIENT_REQUESTS = Family::counter("couper_client_request_total", CLIENT,
        "Requests of clients.");
    /// Their durations.
    CLIENT_REQUEST_DURATION = Family::histogram("couper_client_request_duration_seconds", CLIENT,
        REQUEST_BOUNDS, "Time from a request's head to the end of its answer.");
    /// Their failures.
    CLIENT_REQUEST_ERRORS = Family::counter("couper_client_request_error_types_total", &["error"],
        "Requests of clients that failed, by error type.");
    /// Connections of clients.
    CLIENT_CONNECTIONS = Family::counter("couper_client_connections_total", &[],
        "Connections that clients opened.");
    /// Connections of clients that are open.
    CLIENT_CONNECTIONS_OPEN = Family::gauge("couper_client_connections_count", &[],
        "Connections of clients that are open.");
    /// Requests to backends.
    BACKEND_REQUESTS = Family::counter("couper_backend_request_total", BACKEND,
        "Requests to backends; without a code where there was no response.");
    /// Their durations.
    BACKEND_REQUEST_DURATION = Family::histogram("couper_backend_request_duration_seconds",
        BACKEND, REQUEST_BOUNDS, "Time from a request to a backend to the end of its response.");
    /// Connections to origins.
    BACKEND_CONNECTIONS = Family::counter("couper_backend_connections_total", CONNECTION,
        "Connections opened to origins.");
    /// Connections to origins that are open.
    BACKEND_CONNECTIONS_OPEN = Family::gauge("couper_backend_connections_count", CONNECTION,
        "Connections to origins that are open.");
    /// How long connections to origins lasted.
    BACKEND_CONNECTION_LIFETIME = Family::histogram("couper_backend_connections_lifetime_seconds",
        CONNECTION, LIFETIME_BOUNDS, "How long connections to origins lasted.");
    /// Whether a backend is usable.
    BACKEND_UP = Family::gauge("couper_backend_up", &["backend_name", "hostname", "origin"],
        "1 unless health checks found the backend unhealthy, 0 then.");
    /// Decisions of access controls.
    ACCESS_CONTROL = Family::counter("couper_access_control_total",
        &["ac_name", "ac_type", "status"], "Decisions of access controls.");
    /// How long they took.
    ACCESS_CONTROL_DURATION = Family::histogram("couper_access_control_duration_seconds",
        &["ac_name", "ac_type"], CHECK_BOUNDS, "Time that access controls took to decide.");
    /// Requests over a rate limit.
    RATE_LIMITED = Family::counter("couper_access_control_rate_limited_total", &["ac_name"],
        "Requests that a rate limiter refused.");
    /// Keys of a rate limiter.
    RATE_LIMITER_KEYS = Family::gauge("couper_access_control_rate_limiter_active_keys",
        &["ac_name"], "Keys that a rate limiter counts at the moment.");
    /// CPU time.
    PROCESS_CPU = Family::counter("couper_process_cpu_seconds_total", &[],
        "CPU time of the process, in user and system mode.");
    /// File descriptors.
    PROCESS_OPEN_FDS = Family::gauge("couper_process_open_fds", &[],
        "Open file descriptors.");
    /// Limit of file descriptors.
    PROCESS_MAX_FDS = Family::gauge("couper_process_max_fds", &[],
        "How many file descriptors the process may open.");
    /// Memory in use.
    PROCESS_RESIDENT = Family::gauge("couper_process_resident_memory_bytes", &[],
        "Memory of the process that is in RAM.");
    /// Address space.
    PROCESS_VIRTUAL = Family::gauge("couper_process_virtual_memory_bytes", &[],
        "Address space of the process.");
    /// Start of the process.
    PROCESS_START = Family::gauge("couper_process_start_time_seconds", &[],
        "When the process began, in seconds since 1970.");
    /// Threads.
    PROCESS_THREADS = Family::gauge("couper_process_threads", &[], "Threads of the process.");
    /// The version.
    BUILD_INFO = Family::gauge("gateway_build_info", &["build", "version"],
        "Always 1; what runs is in the labels.");
    /// Whether the last reload went well.
    RELOAD_SUCCESS = Family::gauge("gateway_config_reload_success", &[],
        "1 after the start, 0 while the last reload of the configuration has failed.");
    /// Reloads.
    RELOADS = Family::counter("gateway_config_reloads_total", &["result"],
        "Reloads of the configuration, by result: `success` or `failure`.");
    /// Age of the configuration.
    CONFIG_SINCE = Family::gauge("gateway_config_since_seconds", &[],
        "When the configuration in force was put in force, in seconds since 1970.");
    /// Requests of an endpoint.
    ENDPOINT_REQUESTS = Family::counter("gateway_endpoint_request_total", ENDPOINT,
        "Requests of clients by the pattern of the endpoint that they were routed to.");
    /// Their durations.
    ENDPOINT_REQUEST_DURATION = Family::histogram("gateway_endpoint_request_duration_seconds",
        ENDPOINT, REQUEST_BOUNDS,
        "Time from a request's head to the end of its answer, by the pattern of the endpoint.");
    /// Errors of all sorts.
    ERRORS = Family::counter("gateway_errors_total", &["type"],
        "Failures by type, those of connections without a request included.");
    /// Limits that were hit.
    LIMIT = Family::counter("gateway_limit_total", &["limit"],
        "How often a limit was hit.");
    /// Panics that were caught.
    PANICS = Family::counter("gateway_panics_total", &[],
        "Requests that ended because of a fault in the gateway itself.");
    /// Log lines that were dropped.
    LOG_DROPPED = Family::counter("gateway_log_lines_dropped_total", &[],
        "Log lines that were dropped because the output did not take them.");
    /// Requests without a token at hand.
    TOKEN_WAITS = Family::counter("gateway_token_waits_total", &["backend", "name"],
        "Requests that had to wait for a token, because there was none or its time was over.");
    /// Token requests sent.
    TOKEN_FETCHES = Family::counter("gateway_token_fetches_total", &["backend", "name", "result"],
        "Token requests to token endpoints, by result: `success` or `failure`.");
    /// Life left of tokens.
    TOKEN_EXPIRES = Family::gauge("gateway_token_expires_in_seconds", &["backend", "name"],
        "Time until the cached token ends; 0 without one.");
    /// Fetches of documents.
    DOCUMENT_FETCHES = Family::counter("gateway_document_fetches_total",
        &["document", "name", "result"],
        "Fetches of key sets and their like, by result: `success` or `failure`.");
    /// Exports of traces.
    TRACE_EXPORTS = Family::counter("gateway_trace_exports_total", &["result"],
        "Batches of spans sent to the collector, by result: `success` or `failure`.");
    /// Spans that were dropped.
    TRACE_DROPPED = Family::counter("gateway_trace_spans_dropped_total", &[],
        "Spans that were dropped because the collector did not take them.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_well_formed() {
        let mut names: Vec<&str> = ALL.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len(), "names are unique");
        for family in ALL {
            let name = family.name;
            let total = name.ends_with("_total");
            assert_eq!(total, family.kind == Kind::Counter, "{name}");
            assert!(family.labels.is_sorted(), "{name}");
            assert!(family.help.ends_with('.'), "{name}");
            if let Kind::Histogram(bounds) = family.kind {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(bounds.is_sorted(), "{name}");
            }
        }
    }
}
