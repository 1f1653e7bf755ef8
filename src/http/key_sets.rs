//! The background task of a key set: fetches it from the start on and keeps it fresh.
//!
//! One worker runs the task; all read what it leaves in the [`KeySet`].

use super::fetch::{Fetch, FetchError};
use super::worker::Worker;
use crate::blocks::access::jwt::KeySet;
use crate::clock::Clock;
use crate::crypto::jwks::{Jwks, JwksError, MAX_DOCUMENT_BYTES};
use crate::telemetry::sink;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Longest wait for a set.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same in the first round, which requests wait for.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("status {0}, expected 200")]
    Status(StatusCode),
    #[error(transparent)]
    Document(#[from] JwksError),
}

/// Starts the tasks of those key sets that no other worker has.
pub(super) fn start(worker: &Rc<Worker>) {
    for set in &worker.tree().key_sets {
        if set.claim() {
            tokio::task::spawn_local(keep(Arc::downgrade(set), Rc::clone(worker)));
        }
    }
}

/// Ends when the configuration that names the set has gone.
async fn keep(set: Weak<KeySet>, worker: Rc<Worker>) {
    let mut wait = Duration::ZERO;
    loop {
        let Some(early) = wait_for(&set, wait).await else {
            return;
        };
        let Some(set) = set.upgrade() else {
            return;
        };
        let timeout = if set.is_settled() {
            TIMEOUT
        } else {
            FIRST_TIMEOUT
        };
        let fetched = fetch(&set, timeout, &worker).await;
        if let Err(error) = &fetched {
            tracing::warn!(
                error_type = "jwks",
                "{}: key set {}: {error}",
                set.label,
                set.url
            );
        }
        // The fetch is in the log before any answer that waited for it.
        sink::flush();
        wait = set.finish(fetched.ok(), early, Clock::System.now());
    }
}

/// Whether an unknown `kid` cut the wait short; `None` when nobody has the set any more.
async fn wait_for(set: &Weak<KeySet>, wait: Duration) -> Option<bool> {
    let wanted = set.upgrade()?.wanted();
    tokio::select! {
        biased;
        () = wanted.notified() => Some(true),
        () = tokio::time::sleep(wait) => Some(false),
    }
}

async fn fetch(
    set: &KeySet,
    timeout: Duration,
    worker: &Rc<Worker>,
) -> Result<(Jwks, Bytes), Unusable> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/jwk-set+json, application/json"),
    );
    let fetch = Fetch {
        name: "jwks",
        url: &set.url,
        method: Method::GET,
        headers,
        body: Bytes::new(),
        max_bytes: MAX_DOCUMENT_BYTES as u64,
        timeout,
    };
    let answer = fetch.send(&set.backend, None, worker).await?;
    if answer.status != StatusCode::OK {
        return Err(Unusable::Status(answer.status));
    }
    Ok((Jwks::parse(&answer.body)?, answer.body))
}
