//! The background task of `beta_health`: asks an origin again and again whether it is well.
//!
//! One worker runs the task of a backend; all read what it leaves in the [`Health`]. Probes leave by
//! `upstream` with the backend's TLS, proxy and kind of connection, but with a connection of their
//! own: how an origin does must not depend on how busy its other connections are.

use super::backend::{CallFacts, EntryFacts};
use super::backend_log::BackendEntry;
use super::body::{self, ReadError, RequestBody};
use super::request_id::RequestId;
use super::worker::Worker;
use crate::blocks::backend::Backend;
use crate::blocks::backend::health::{Health, Snapshot, State};
use crate::error::{Error, Kind};
use crate::telemetry::{daemon, sink};
use crate::upstream::{Limit, Limits, Target, TargetSettings};
use http::{HeaderValue, Method, Request, Uri, header};
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// What is read of a body that need not hold any text: so much that its connection can stay.
const MAX_BODY: u64 = 1 << 20;

/// Where the probes of a backend go.
struct Goal {
    target: Arc<Target>,
    host: Option<HeaderValue>,
}

/// Starts the tasks of those backends that no other worker probes.
pub(super) fn start(worker: &Rc<Worker>) {
    for backend in worker.tree().backends.values() {
        if let Some(health) = &backend.instance.health
            && let Some(goal) = goal(backend)
            && health.claim()
        {
            tokio::task::spawn_local(keep(Arc::downgrade(health), goal, Rc::clone(worker)));
        }
    }
}

fn goal(backend: &Backend) -> Option<Goal> {
    let destination = backend.destination(&crate::expr::Nothing, None).ok()?;
    let settings = destination.target.settings().clone();
    let own = TargetSettings {
        limit: Limit::new(1, 1),
        ..settings
    };
    Some(Goal {
        target: Target::new(own).ok()?,
        host: destination.host,
    })
}

/// Ends when the configuration that names the backend has gone.
async fn keep(health: Weak<Health>, goal: Goal, worker: Rc<Worker>) {
    loop {
        let interval = {
            let Some(health) = health.upgrade() else {
                return;
            };
            let uid = RequestId::new(worker.tree().settings.request_id_format);
            let outcome = probe(&health, &goal, &uid, &worker).await;
            if let Some(change) = health.record(outcome) {
                tell(&health, &goal, &uid, &change);
            }
            // The change is in the log before any request that it decides.
            sink::flush();
            health.interval
        };
        tokio::time::sleep(interval).await;
    }
}

fn tell(health: &Health, goal: &Goal, uid: &RequestId, change: &Snapshot) {
    let (backend, uid) = (&*health.label, uid.as_str());
    let target = &goal.target;
    let url = format!(
        "{}://{}{}",
        target.scheme(),
        target.authority(),
        health.location
    );
    let url = crate::telemetry::redact(url.as_bytes());
    let url = String::from_utf8_lossy(&url);
    let (state, error) = (change.state.name(), &change.error);
    match change.state {
        State::Healthy => tracing::info!(backend, %url, uid, "new health state: {state}"),
        State::Failing => tracing::warn!(backend, %url, uid, "{error}: new health state: {state}"),
        State::Unhealthy => tracing::error!(
            backend,
            %url,
            uid,
            error_type = Kind::BackendUnhealthy.error_type(),
            "{error}: new health state: {state}"
        ),
    }
}

/// The error says why the origin is not well.
async fn probe(
    health: &Health,
    goal: &Goal,
    uid: &RequestId,
    worker: &Rc<Worker>,
) -> Result<(), String> {
    let facts = CallFacts {
        name: "health-check",
        uid,
        token_request: None,
        depends_on: None,
        wildcard: None,
        buffer_response: false,
        record: None,
        id_header: None,
    };
    let entry_facts = EntryFacts {
        facts: &facts,
        label: &health.label,
        target: &goal.target,
        worker,
    };
    let uri = Uri::from(health.location.clone());
    let mut headers = health.headers.clone();
    if let Some(host) = &goal.host {
        headers.insert(header::HOST, host.clone());
    }
    let mut entry = BackendEntry::new(&entry_facts, None, &Method::GET, &uri, &headers, 0);
    let mut request = Request::new(RequestBody::empty());
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let limits = Limits {
        connect_timeout: health.timeout,
        ttfb_timeout: health.timeout,
        timeout: health.timeout,
    };
    let sent = match worker.upstream.send(&goal.target, request, &limits).await {
        Ok(sent) => sent,
        Err(error) => {
            let kind = if error.is_timeout() {
                Kind::BackendTimeout
            } else {
                Kind::Backend
            };
            let why = daemon::chain(&error);
            entry.refuse(&Error::new(kind, why.clone()).in_block(&health.label));
            return Err(why);
        }
    };
    entry.received(&sent, worker);
    let (parts, content) = sent.response.into_parts();
    health.check_status(parts.status)?;
    match body::read(content, MAX_BODY).await {
        Ok(bytes) => {
            entry.count(bytes.len());
            health.check_body(&bytes)
        }
        Err(ReadError::TooLarge) if health.expected_text.is_none() => Ok(()),
        Err(ReadError::TooLarge) => Err("unexpected text".to_owned()),
        Err(ReadError::Broken(error)) => {
            let why = daemon::chain(&*error);
            entry.refuse(&Error::new(Kind::Backend, why.clone()).in_block(&health.label));
            Err(why)
        }
    }
}
