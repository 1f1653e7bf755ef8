//! All workers of the process: started, given another configuration, ended together.

use super::listener::{self, BindError};
use super::worker::{self, Change, Shared};
use crate::runtime::Tree;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Reloads that a worker may be behind.
const CHANGES: usize = 4;

/// The thread of a worker.
pub type Thread = std::thread::JoinHandle<io::Result<()>>;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A thread cannot be started.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[source] io::Error),
}

/// The workers, as the thread that rules them sees them.
#[derive(Debug)]
pub struct Workers {
    /// What they share.
    pub shared: Arc<Shared>,
    changes: Vec<mpsc::Sender<Change>>,
    open: BTreeSet<SocketAddr>,
}

impl Workers {
    /// Listens on all ports of the configuration and serves it.
    pub fn start(tree: Arc<Tree>) -> Result<(Self, Vec<Thread>), StartError> {
        let open = listener::addresses(&tree);
        let sockets = listener::bind(&open, &BTreeSet::new(), worker::count())?;
        let shared = Shared::new(tree);
        let (mut threads, mut changes) = (Vec::new(), Vec::new());
        for (number, list) in sockets.into_iter().enumerate() {
            let (sender, receiver) = mpsc::channel(CHANGES);
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker::run(&shared, list, receiver))
                .map_err(StartError::Thread)?;
            threads.push(thread);
            changes.push(sender);
        }
        let workers = Self {
            shared,
            changes,
            open,
        };
        Ok((workers, threads))
    }

    /// Puts another configuration in force. Sockets that stay are not touched, new ones are bound
    /// first: if that fails, nothing changes.
    pub async fn reload(&mut self, tree: Arc<Tree>) -> Result<(), BindError> {
        let wanted = listener::addresses(&tree);
        let new: BTreeSet<SocketAddr> = wanted.difference(&self.open).copied().collect();
        let close: Vec<SocketAddr> = self.open.difference(&wanted).copied().collect();
        let sockets = listener::bind(&new, &self.open, self.changes.len())?;
        let (old, retired) = self.shared.replace(tree);
        self.open = wanted;
        for (sender, open) in self.changes.iter().zip(sockets) {
            let change = Change {
                open,
                close: close.clone(),
                retired: retired.clone(),
                old: Arc::clone(&old),
            };
            // A worker that has ended is noticed where it is joined.
            let _ = sender.send(change).await;
        }
        for address in close {
            tracing::info!("couper no longer serves: {address}");
        }
        Ok(())
    }
}
