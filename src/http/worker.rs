//! Workers: one thread with a runtime, listeners and upstream connections of its own for each core.

use super::connection::{Connections, State};
use super::listener::{self, Bound};
use crate::runtime::Tree;
use crate::telemetry::sink;
use crate::upstream::{Options, Upstream};
use arc_swap::ArcSwap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How far the process is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything is served.
    Serving,
    /// Listeners are closed; running requests may end within this time.
    Draining(Duration),
}

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    tree: ArcSwap<Tree>,
    /// Set with the first signal: the health route turns bad.
    pub ending: AtomicBool,
    /// Requests that were cut at the end.
    pub cut: AtomicUsize,
    phase: watch::Sender<Phase>,
}

impl Shared {
    /// Begins with a configuration.
    pub fn new(tree: Arc<Tree>) -> Arc<Self> {
        Arc::new(Self {
            tree: ArcSwap::new(tree),
            ending: AtomicBool::new(false),
            cut: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Serving),
        })
    }

    /// Tells all workers to end.
    pub fn drain(&self, timeout: Duration) {
        self.phase.send_replace(Phase::Draining(timeout));
    }
}

/// One worker.
#[derive(Debug)]
pub struct Worker {
    /// Its connections to origins.
    pub upstream: Upstream,
    /// Its connections from clients.
    pub connections: Connections,
    shared: Arc<Shared>,
}

impl Worker {
    /// The configuration in force.
    pub fn tree(&self) -> Arc<Tree> {
        self.shared.tree.load_full()
    }

    /// Whether a signal to end has come.
    pub fn is_ending(&self) -> bool {
        self.shared.ending.load(Ordering::Relaxed)
    }
}

/// How many workers to run: the cores this process may use, which follows affinity and cgroup quota.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs a worker on this thread until it has drained.
pub fn run(shared: &Arc<Shared>, sockets: Vec<Bound>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .on_thread_park(sink::flush)
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve(Arc::clone(shared), sockets));
    sink::flush();
    Ok(())
}

async fn serve(shared: Arc<Shared>, sockets: Vec<Bound>) {
    let worker = Rc::new(Worker {
        upstream: Upstream::new(Options::default()),
        connections: Connections::default(),
        shared: Arc::clone(&shared),
    });
    let mut accepting = tokio::task::JoinSet::new();
    for socket in sockets {
        accepting.spawn_local(listener::accept(socket, Rc::clone(&worker)));
    }
    super::remote::start(&worker);
    let sweeping = tokio::task::spawn_local(super::connection::sweep(Rc::clone(&worker)));
    let mut phase = shared.phase.subscribe();
    let draining = phase
        .wait_for(|phase| matches!(phase, Phase::Draining(_)))
        .await;
    let timeout = match draining.as_deref() {
        Ok(Phase::Draining(timeout)) => *timeout,
        Ok(Phase::Serving) | Err(_) => Duration::ZERO,
    };
    accepting.abort_all();
    worker.connections.each(State::finish);
    if tokio::time::timeout(timeout, worker.connections.all_gone())
        .await
        .is_err()
    {
        shared
            .cut
            .fetch_add(worker.connections.busy(), Ordering::Relaxed);
    }
    sweeping.abort();
}
