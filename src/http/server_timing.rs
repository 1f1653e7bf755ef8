//! `Server-Timing`: how long the requests to backends took, for the client (W3C Server Timing).
//!
//! Switched on by `server_timing_header`; without it nothing here runs.

use super::exchange::Exchange;
use crate::upstream::Timings;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

static NAME: HeaderName = HeaderName::from_static("server-timing");

/// The times of one exchange with an origin, on its response until the endpoint has it.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// From sending to the response's head.
    pub total: Duration,
    /// The parts.
    pub timings: Timings,
}

impl Measured {
    /// The metrics under a prefix.
    fn metrics(&self, prefix: &str) -> impl Iterator<Item = (String, Duration)> {
        let Timings {
            dns,
            tcp,
            tls,
            ttfb,
            ..
        } = self.timings;
        let parts = [
            ("total", Some(self.total)),
            ("ttfb", Some(ttfb)),
            ("tcp", tcp),
            ("dns", dns),
            ("tls", tls),
        ];
        let prefix = prefix.to_owned();
        parts
            .into_iter()
            .filter_map(move |(part, time)| Some((format!("{prefix}_{part}"), time?)))
    }
}

/// Notes the times of a call: `BACKEND_…`, with the call's name if it is not the default.
pub fn note(exchange: &Exchange, backend: &str, call: &str, measured: Measured) {
    let prefix = if call == "default" {
        backend.to_owned()
    } else {
        format!("{backend}_{call}")
    };
    exchange
        .server_timing
        .borrow_mut()
        .extend(measured.metrics(&prefix));
}

/// Adds a field with all that was noted. A name that the origin's own field has gets a suffix.
pub fn add(exchange: &Exchange, headers: &mut HeaderMap) {
    let noted = exchange.server_timing.borrow();
    if noted.is_empty() {
        return;
    }
    let theirs: Vec<String> = headers
        .get_all(&NAME)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|metric| metric.split(';').next())
        .map(|name| name.trim().to_owned())
        .collect();
    let shown: Vec<String> = noted
        .iter()
        .map(|(name, time)| {
            let mut name = name.clone();
            while theirs.contains(&name) {
                name.push_str("_gateway");
            }
            format!("{name};dur={:.3}", time.as_secs_f64() * 1e3)
        })
        .collect();
    if let Ok(value) = HeaderValue::try_from(shown.join(", ")) {
        headers.append(&NAME, value);
    }
}
