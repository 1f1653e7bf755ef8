//! Workers: one thread with a runtime, listeners and upstream connections of its own for each core.

use super::connection::{self, Connections};
use super::jobs;
use super::listener::{Bound, Listeners};
use crate::clock::Clock;
use crate::runtime::Tree;
use crate::telemetry::{Reloads, sink};
use crate::upstream::{Options, Upstream};
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

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
    /// Trees that are still needed for connections to ports which the present one lacks.
    retired: ArcSwap<Vec<(u16, Weak<Tree>)>>,
    /// How reloads went.
    pub reloads: Reloads,
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
            retired: ArcSwap::default(),
            reloads: Reloads::new(Clock::System.unix().seconds()),
            ending: AtomicBool::new(false),
            cut: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Serving),
        })
    }

    /// The configuration in force.
    pub fn tree(&self) -> Arc<Tree> {
        self.tree.load_full()
    }

    /// Puts another configuration in force. Requests that run keep theirs. Returns the old one and
    /// the ports that the new one lacks.
    pub(super) fn replace(&self, tree: Arc<Tree>) -> (Arc<Tree>, Vec<u16>) {
        let old = self.tree.load_full();
        let stays = |port: &u16| tree.ports().any(|other| other == *port);
        let gone: Vec<u16> = old.ports().filter(|port| !stays(port)).collect();
        let retired = self.retired.load();
        let still = retired.iter().filter(|(_, tree)| tree.strong_count() > 0);
        let more = gone.iter().map(|port| (*port, Arc::downgrade(&old)));
        // Before the swap: no request may find its port in neither.
        self.retired
            .store(Arc::new(more.chain(still.cloned()).collect()));
        self.tree.store(tree);
        (old, gone)
    }

    /// The configuration for connections to a port: the last one that had the port.
    fn tree_of(&self, port: u16) -> Arc<Tree> {
        let tree = self.tree.load_full();
        if tree.listener(port).is_some() || tree.dev_proxy(port).is_some() {
            return tree;
        }
        let retired = self.retired.load();
        let of_port = retired.iter().find(|(known, _)| *known == port);
        of_port.and_then(|(_, tree)| tree.upgrade()).unwrap_or(tree)
    }

    /// Tells all workers to end.
    pub fn drain(&self, timeout: Duration) {
        self.phase.send_replace(Phase::Draining(timeout));
    }
}

/// What a reload changes for a worker besides the tree.
#[derive(Debug)]
pub(super) struct Change {
    /// Sockets to accept connections from.
    pub(super) open: Vec<Bound>,
    /// Addresses at which nothing is accepted any more.
    pub(super) close: Vec<SocketAddr>,
    /// Ports whose connections end in peace.
    pub(super) retired: Vec<u16>,
    /// The tree for them.
    pub(super) old: Arc<Tree>,
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
        self.shared.tree()
    }

    /// The configuration for connections to a port: that in force, unless it has no such port any
    /// more.
    pub fn tree_of(&self, port: u16) -> Arc<Tree> {
        self.shared.tree_of(port)
    }

    /// Whether a signal to end has come.
    pub fn is_ending(&self) -> bool {
        self.shared.ending.load(Ordering::Relaxed)
    }

    /// How reloads went.
    pub fn reloads(&self) -> &Reloads {
        &self.shared.reloads
    }
}

/// How many workers to run: the cores this process may use, which follows affinity and cgroup quota.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs a worker on this thread until it has drained.
pub(super) fn run(
    shared: &Arc<Shared>,
    sockets: Vec<Bound>,
    changes: mpsc::Receiver<Change>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .on_thread_park(sink::flush)
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve(Arc::clone(shared), sockets, changes));
    sink::flush();
    Ok(())
}

async fn serve(shared: Arc<Shared>, sockets: Vec<Bound>, mut changes: mpsc::Receiver<Change>) {
    let worker = Rc::new(Worker {
        upstream: Upstream::new(Options::default()),
        connections: Connections::default(),
        shared: Arc::clone(&shared),
    });
    let mut listeners = Listeners::default();
    listeners.open(sockets, &worker);
    super::remote::start(&worker);
    super::health::start(&worker);
    let runs = Rc::default();
    let mut schedules = jobs::start(&worker, &runs);
    super::authorization_server::start(&worker);
    let sweeping = tokio::task::spawn_local(connection::sweep(Rc::clone(&worker)));
    let mut phase = shared.phase.subscribe();
    let timeout = loop {
        tokio::select! {
            biased;
            draining = phase.wait_for(|phase| matches!(phase, Phase::Draining(_))) => {
                break match draining.as_deref() {
                    Ok(Phase::Draining(timeout)) => *timeout,
                    Ok(Phase::Serving) | Err(_) => Duration::ZERO,
                };
            }
            Some(change) = changes.recv() => {
                apply(change, &mut listeners, &worker).await;
                schedules = jobs::start(&worker, &runs);
            }
        }
    };
    drop(schedules);
    let deadline = tokio::time::Instant::now() + timeout;
    listeners.close_all().await;
    let cut = worker.connections.drain(|_| true, timeout).await;
    let cut = cut + runs.end(deadline).await;
    shared.cut.fetch_add(cut, Ordering::Relaxed);
    sweeping.abort();
}

/// Follows a reload.
async fn apply(change: Change, listeners: &mut Listeners, worker: &Rc<Worker>) {
    listeners.open(change.open, worker);
    listeners.close(&change.close).await;
    super::remote::start(worker);
    super::health::start(worker);
    super::authorization_server::start(worker);
    if change.retired.is_empty() {
        return;
    }
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let timeout = worker.tree().settings.shutdown_timeout;
        let retired = |port| change.retired.contains(&port);
        worker.connections.drain(retired, timeout).await;
        // Up to here: requests on these connections find their tree while somebody holds it.
        drop(change.old);
    });
}
