//! Jobs at work: runs at their time, each with an entry of type `couper_job` at its end.

use super::access_log;
use super::body;
use super::endpoint::Calls;
use super::exchange::{Arrival, Exchange};
use super::request_id::RequestId;
use super::worker::Worker;
use crate::blocks::job::Job;
use crate::blocks::modifiers::RequestModifiers;
use crate::error::Error;
use crate::runtime::Tree;
use crate::telemetry::{Level, sink};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Runs of one job at the same time. Further ones are left out.
const MAX_RUNS: usize = 64;
/// What is read of a response that no expression reads, so that its connection can be used again.
const MAX_BYTES: u64 = 1 << 20;

/// Counts what runs.
#[derive(Debug, Default)]
pub(super) struct Runs {
    count: Cell<usize>,
    gone: Notify,
}

/// One that is counted until it is dropped.
#[derive(Debug)]
struct Running(Rc<Runs>);

impl Runs {
    fn begin(self: &Rc<Self>) -> Running {
        self.count.set(self.count.get() + 1);
        Running(Rc::clone(self))
    }

    /// Waits until nothing runs. Returns what still runs when the time is over.
    pub(super) async fn end(&self, deadline: tokio::time::Instant) -> usize {
        let gone = async {
            loop {
                let gone = self.gone.notified();
                if self.count.get() == 0 {
                    return;
                }
                gone.await;
            }
        };
        // What is left is counted.
        let _ = tokio::time::timeout_at(deadline, gone).await;
        self.count.get()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.gone.notify_waiters();
    }
}

/// The schedules of those jobs that no other worker has. Dropped, they end; a run that has begun
/// goes on.
pub(super) fn start(worker: &Rc<Worker>, runs: &Rc<Runs>) -> JoinSet<()> {
    let mut schedules = JoinSet::new();
    let tree = worker.tree();
    for job in tree.jobs.iter().filter(|job| job.claim()) {
        let (job, tree) = (Arc::clone(job), Arc::clone(&tree));
        schedules.spawn_local(schedule(job, tree, Rc::clone(worker), Rc::clone(runs)));
    }
    schedules
}

async fn schedule(job: Arc<Job>, tree: Arc<Tree>, worker: Rc<Worker>, all: Rc<Runs>) {
    let own = Rc::new(Runs::default());
    let mut next = tokio::time::Instant::now() + job.first;
    loop {
        tokio::time::sleep_until(next).await;
        next += job.interval;
        if own.count.get() >= MAX_RUNS {
            tracing::warn!(job = &*job.name, "a run was left out: {MAX_RUNS} still go");
            continue;
        }
        let counted = (own.begin(), all.begin());
        let (job, tree, worker) = (Arc::clone(&job), Arc::clone(&tree), Rc::clone(&worker));
        tokio::task::spawn_local(async move {
            run(job, tree, worker).await;
            drop(counted);
        });
    }
}

async fn run(job: Arc<Job>, tree: Arc<Tree>, worker: Rc<Worker>) {
    let mut exchange = exchange(&job, tree, worker);
    if let Err(error) = send(&job, &exchange).await {
        exchange.error = Some(error);
    }
    write(&job, &exchange);
}

/// The context of a run. There is no client.
fn exchange(job: &Arc<Job>, tree: Arc<Tree>, worker: Rc<Worker>) -> Box<Exchange> {
    let id = RequestId::new(tree.settings.request_id_format);
    let remote_ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let arrival = Arrival {
        tree,
        worker,
        remote_ip,
        remote_text: "".into(),
        local_port: 0,
        tls: false,
        handshake: None,
        dev_port: None,
    };
    let (parts, ()) = http::Request::new(()).into_parts();
    let mut exchange = Box::new(Exchange::new(arrival, parts, id, ""));
    exchange
        .calls
        .resize_with(job.plan.calls.len(), Default::default);
    exchange.job = Some(Arc::clone(job));
    exchange
}

async fn send(job: &Job, exchange: &Exchange) -> Result<(), Error> {
    let calls = Calls {
        plan: &job.plan,
        modifiers: &RequestModifiers::default(),
        exchange,
        records: &exchange.calls,
    };
    if let Some(response) = Box::pin(calls.answer(None)).await? {
        // How it ends is in the entry of the backend.
        let _ = body::read(response.into_body(), MAX_BYTES).await;
    }
    Ok(())
}

fn write(job: &Job, exchange: &Exchange) {
    let level = match exchange.error {
        Some(_) => Level::Error,
        None => Level::Info,
    };
    let message = exchange.error.as_ref().map(|error| match error.span() {
        Some(span) => format!("{error} ({})", exchange.tree.place(span)),
        None => error.to_string(),
    });
    let message = message.unwrap_or_default();
    let time = exchange.started_at;
    sink::write("couper_job", level, time, message.as_bytes(), |entry| {
        entry.string("name", job.name.as_bytes());
        entry.string("uid", exchange.id.as_str().as_bytes());
        entry.begin_object("timings");
        entry.milliseconds("total", exchange.started.elapsed());
        entry.milliseconds("interval", job.interval);
        entry.end();
        if let Some(kind) = exchange.error.as_ref().and_then(Error::error_type) {
            entry.string("error_type", kind.as_bytes());
        }
        if let Some(custom) = access_log::merged(job.log_fields.iter(), exchange) {
            entry.raw_json("custom", &custom);
        }
    });
}
