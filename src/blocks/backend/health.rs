//! `beta_health`: asks an origin again and again whether it is well.
//!
//! ```hcl
//! beta_health {
//!   path              = "/health"
//!   interval          = "5s"
//!   failure_threshold = 3
//! }
//! ```

use crate::blocks::modifiers::HeaderModifiers;
use crate::blocks::path;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::expr::Nothing;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_health",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("interval", Kind::Duration, "Pause between probes.")
            .default("1s")
            .positive(),
        AttributeSchema::start(
            "timeout",
            Kind::Duration,
            "Limit of a probe, never over `interval`.",
        )
        .default("interval")
        .positive(),
        AttributeSchema::start(
            "failure_threshold",
            Kind::Number,
            "Failures in a row that make the backend unhealthy.",
        )
        .default("2"),
        AttributeSchema::start("path", Kind::String, "Path and query of the probe."),
        AttributeSchema::start(
            "expected_status",
            Kind::Numbers,
            "Statuses of a healthy origin.",
        )
        .default("[200, 204, 301]"),
        AttributeSchema::start(
            "expected_text",
            Kind::String,
            "Text that the body must hold.",
        ),
        AttributeSchema::start("headers", Kind::Object, "Header fields of the probe."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Asks an origin again and again whether it is well. Requests to an unhealthy one fail with `backend_unhealthy`.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
    beta_health {
      path              = "/health"
      interval          = "5s"
      failure_threshold = 3
    }
  }
}
"#,
};

/// How an origin does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The last probe went well.
    #[default]
    Healthy,
    /// It did not, but there have not been enough failures in a row.
    Failing,
    /// There have.
    Unhealthy,
}

impl State {
    /// Whether requests are sent.
    pub fn is_healthy(self) -> bool {
        self != Self::Unhealthy
    }

    /// Its name in `backends.LABEL.health.state` and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// State and last cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// Why the last probe failed; empty if it did not.
    pub error: String,
}

/// The settings of the probes, and what they found. Written by the one task that probes.
#[derive(Debug)]
pub struct Health {
    /// Label of the backend.
    pub label: Arc<str>,
    /// Pause between probes.
    pub interval: Duration,
    /// Limit of a probe.
    pub timeout: Duration,
    /// Path and query of a probe.
    pub location: PathAndQuery,
    /// Header fields of a probe.
    pub headers: HeaderMap,
    /// `expected_text`
    pub expected_text: Option<String>,
    expected_status: Vec<u16>,
    failure_threshold: u64,
    claimed: AtomicBool,
    unhealthy: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    snapshot: Snapshot,
    failures: u64,
}

impl Health {
    /// Reads the block of a backend, if there is one. Where nobody can refer to the backend, there is
    /// nothing to probe for.
    pub(super) fn read(backend: Reader<'_>, label: &Arc<str>, defined: bool) -> Option<Self> {
        let block = backend.inner(SCHEMA.name)?;
        let reader = Reader::new(backend.cx, block, &SCHEMA);
        if !defined {
            let message = "`beta_health` has no effect in a backend without a label";
            reader.cx.report(Diagnostic::warning(
                code::NO_EFFECT,
                block.header(),
                message,
            ));
            return None;
        }
        let duration = |name: &str| {
            let duration = reader.duration(name)?;
            if duration.value.is_zero() {
                reader.bad_value(duration.span, format!("`{name}` must be greater than zero"));
                return None;
            }
            Some(duration.value)
        };
        let interval = duration("interval").unwrap_or(Duration::from_secs(1));
        let expected_text = reader.filled("expected_text").map(|text| text.value);
        Some(Self {
            label: Arc::clone(label),
            interval,
            timeout: duration("timeout").map_or(interval, |timeout| timeout.min(interval)),
            location: location(reader),
            headers: headers(reader),
            expected_text,
            expected_status: expected_status(reader),
            failure_threshold: reader
                .number("failure_threshold")
                .map_or(2, |number| number.value),
            claimed: AtomicBool::new(false),
            unhealthy: AtomicBool::new(false),
            progress: Mutex::default(),
        })
    }

    /// Whether the caller is the first, who is to probe.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }

    /// Whether requests are not to be sent.
    pub fn is_unhealthy(&self) -> bool {
        self.unhealthy.load(Ordering::Relaxed)
    }

    /// State and last cause.
    pub fn snapshot(&self) -> Snapshot {
        let progress = self.progress.lock();
        let progress = progress.unwrap_or_else(PoisonError::into_inner);
        progress.snapshot.clone()
    }

    /// Judges an answer by its status.
    pub fn check_status(&self, status: StatusCode) -> Result<(), String> {
        if self.expected_status.contains(&status.as_u16()) {
            Ok(())
        } else {
            Err(format!("unexpected status code: {}", status.as_u16()))
        }
    }

    /// Judges an answer by its body.
    pub fn check_body(&self, body: &[u8]) -> Result<(), String> {
        let found = self
            .expected_text
            .as_ref()
            .is_none_or(|text| memchr::memmem::find(body, text.as_bytes()).is_some());
        if found {
            Ok(())
        } else {
            Err("unexpected text".to_owned())
        }
    }

    /// Takes the outcome of a probe; returns the new state if it has changed.
    pub fn record(&self, outcome: Result<(), String>) -> Option<Snapshot> {
        let progress = self.progress.lock();
        let mut progress = progress.unwrap_or_else(PoisonError::into_inner);
        let before = progress.snapshot.state;
        let (failures, error) = match outcome {
            Ok(()) => (0, String::new()),
            Err(error) => (progress.failures.saturating_add(1), error),
        };
        let state = match failures {
            0 => State::Healthy,
            failures if failures >= self.failure_threshold => State::Unhealthy,
            _ => State::Failing,
        };
        progress.failures = failures;
        progress.snapshot = Snapshot { state, error };
        self.unhealthy.store(!state.is_healthy(), Ordering::Relaxed);
        (state != before).then(|| progress.snapshot.clone())
    }
}

fn location(reader: Reader<'_>) -> PathAndQuery {
    let Some(given) = reader.string("path") else {
        return PathAndQuery::from_static("/");
    };
    let (path, query) = match given.value.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (given.value.as_str(), None),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut text = format!("{slash}{}", path::escape(path));
    if let Some(query) = query {
        text.push('?');
        text.push_str(&path::escape(query));
    }
    text.parse().unwrap_or_else(|_| {
        let message = format!("`path`: `{}` is no path with query", given.value);
        reader.bad_value(given.span, message);
        PathAndQuery::from_static("/")
    })
}

fn headers(reader: Reader<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let agent = format!("gateway / {} health-check", crate::VERSION);
    if let Ok(agent) = HeaderValue::try_from(agent) {
        headers.insert(header::USER_AGENT, agent);
    }
    // Evaluated here alone, so that no variable of a request can be named.
    if let Some(given) = reader.value("headers")
        && let Err(error) =
            HeaderModifiers::set_only(reader, "headers").apply(&mut headers, &Nothing)
    {
        reader.bad_value(given.span, format!("`headers`: {error}"));
    }
    // The first is the origin's, the second follows from the body.
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    headers
}

fn expected_status(reader: Reader<'_>) -> Vec<u16> {
    const DEFAULT: [u16; 3] = [200, 204, 301];
    let Some(given) = reader
        .value("expected_status")
        .filter(|v| !v.value.is_null())
    else {
        return DEFAULT.to_vec();
    };
    let status = |value: &crate::expr::Value<'_>| {
        let number = value.to_number()?.as_i64()?;
        u16::try_from(number)
            .ok()
            .filter(|n| (100..600).contains(n))
    };
    let list = given.value.as_items().map(|items| items.iter().map(status));
    match list.and_then(Iterator::collect::<Option<Vec<_>>>) {
        Some(list) => list,
        None => {
            let message = "`expected_status` takes a list of status codes from 100 to 599";
            reader.bad_value(given.span, message);
            DEFAULT.to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(failure_threshold: u64) -> Health {
        Health {
            label: "be".into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            location: PathAndQuery::from_static("/"),
            headers: HeaderMap::new(),
            expected_text: Some("fine".to_owned()),
            expected_status: vec![200],
            failure_threshold,
            claimed: AtomicBool::new(false),
            unhealthy: AtomicBool::new(false),
            progress: Mutex::default(),
        }
    }

    fn state(health: &Health, sound: bool) -> Option<State> {
        let outcome = sound.then_some(()).ok_or_else(|| "why".to_owned());
        health.record(outcome).map(|snapshot| snapshot.state)
    }

    #[test]
    fn failures_in_a_row_count() {
        let health = health(2);
        assert_eq!(state(&health, true), None);
        assert_eq!(state(&health, false), Some(State::Failing));
        assert!(!health.is_unhealthy());
        assert_eq!(state(&health, true), Some(State::Healthy));
        assert_eq!(state(&health, false), Some(State::Failing));
        assert_eq!(state(&health, false), Some(State::Unhealthy));
        assert!(health.is_unhealthy());
        assert_eq!(state(&health, false), None);
        assert_eq!(health.snapshot().error, "why");
        assert_eq!(state(&health, true), Some(State::Healthy));
        assert_eq!(health.snapshot(), Snapshot::default());
    }

    #[test]
    fn thresholds_of_zero_and_one_are_alike() {
        for threshold in [0, 1] {
            let health = health(threshold);
            assert_eq!(state(&health, false), Some(State::Unhealthy));
            assert_eq!(state(&health, true), Some(State::Healthy));
        }
    }

    #[test]
    fn answers_are_judged_by_status_and_text() {
        let health = health(1);
        assert_eq!(health.check_status(StatusCode::OK), Ok(()));
        let refused = health.check_status(StatusCode::NO_CONTENT);
        assert_eq!(refused, Err("unexpected status code: 204".to_owned()));
        assert_eq!(health.check_body(b"all fine here"), Ok(()));
        let refused = health.check_body(b"unwell");
        assert_eq!(refused, Err("unexpected text".to_owned()));
    }
}
