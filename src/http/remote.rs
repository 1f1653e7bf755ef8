//! The background task of a document such as a key set: fetches it from the start on and keeps it
//! fresh.
//!
//! One worker runs the task; all read what it leaves in the [`Remote`].
//!
//! [`Remote`]: crate::blocks::access::remote::Remote

use super::fetch::{Fetch, FetchError};
use super::worker::Worker;
use crate::blocks::access::remote::{Location, Renew};
use crate::clock::Clock;
use crate::telemetry::sink;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Longest wait for a document.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same in the first round, which requests wait for.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("status {0}, expected 200")]
    Status(StatusCode),
}

/// Starts the tasks of those documents that no other worker has.
pub(super) fn start(worker: &Rc<Worker>) {
    for document in &worker.tree().remotes {
        if document.claim() {
            tokio::task::spawn_local(keep(Arc::downgrade(document), Rc::clone(worker)));
        }
    }
}

/// Ends when the configuration that names the document has gone.
async fn keep(document: Weak<dyn Renew>, worker: Rc<Worker>) {
    let Some(mut changes) = document.upgrade().map(|document| changes(&*document)) else {
        return;
    };
    let (mut due, mut known) = (Some(Clock::System.now()), None);
    loop {
        let Some(why) = wait_for(&document, due, &mut changes).await else {
            return;
        };
        let Some(document) = document.upgrade() else {
            return;
        };
        let url = document.settings().location.url();
        if why == Why::Moved && url == known {
            continue;
        }
        known.clone_from(&url);
        let Some(url) = url else {
            // The document that says it comes first, which is notified.
            due = None;
            continue;
        };
        let timeout = if document.is_settled() {
            TIMEOUT
        } else {
            FIRST_TIMEOUT
        };
        let fetched = fetch(&*document, &url, timeout, &worker).await;
        // The fetch is in the log before any answer that waited for it.
        sink::flush();
        let now = Clock::System.now();
        let bytes = fetched.as_ref().ok().map(|bytes| &**bytes);
        let outcome = document.finish(bytes, why == Why::Wanted, now);
        due = Some(now + outcome.wait);
        let label = &document.settings().label;
        let fault = fetched.err().map(|error| error.to_string());
        if let Some(fault) = fault.or(outcome.fault) {
            let (error_type, what) = (document.error_type(), document.what());
            tracing::warn!(error_type, "{label}: {what} {url}: {fault}");
        }
        if let Some(remark) = outcome.remark {
            tracing::debug!("{label}: {url}: {remark}");
        }
        sink::flush();
    }
}

/// Why a document is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Its time has come.
    Due,
    /// A request lacks something in it.
    Wanted,
    /// It may be somewhere else now.
    Moved,
}

fn changes(document: &dyn Renew) -> Option<watch::Receiver<u64>> {
    match &document.settings().location {
        Location::Fixed(_) => None,
        Location::In(other) => Some(other.changes()),
    }
}

/// `None` when nobody has the document any more.
async fn wait_for(
    document: &Weak<dyn Renew>,
    due: Option<Instant>,
    changes: &mut Option<watch::Receiver<u64>>,
) -> Option<Why> {
    let wanted = document.upgrade()?.wanted();
    let moved = async {
        match changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => std::future::pending().await,
        }
    };
    let waiting = async {
        match due {
            Some(due) => tokio::time::sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = wanted.notified() => Some(Why::Wanted),
        moved = moved => moved.then_some(Why::Moved),
        () = waiting => Some(Why::Due),
    }
}

async fn fetch(
    document: &dyn Renew,
    url: &str,
    timeout: Duration,
    worker: &Rc<Worker>,
) -> Result<Bytes, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(document.accept()));
    let fetch = Fetch {
        name: &document.settings().name,
        url,
        method: Method::GET,
        headers,
        body: Bytes::new(),
        max_bytes: document.max_bytes(),
        timeout,
    };
    let backend = &document.settings().backend;
    let answer = fetch.send(backend, None, worker).await?;
    if answer.status != StatusCode::OK {
        return Err(Failure::Status(answer.status));
    }
    Ok(answer.body)
}
