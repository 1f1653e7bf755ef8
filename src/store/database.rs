//! The database of a configuration: opened when the gateway starts, kept while configurations change,
//! swept while it is open.

use super::sqlite::{OpenError, Options, Sqlite};
use super::{Millis, Store, Vault};
use crate::clock::Clock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// How long one round of sweeping may take.
const ROUND: Duration = Duration::from_secs(5);

/// What the `storage` block says about sweeping.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// How often.
    pub every: Duration,
    /// How long expired access tokens are kept.
    pub retain: Duration,
}

/// A database, open or to be opened.
#[derive(Debug)]
pub struct Database {
    options: Options,
    sweep: Sweep,
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    store: Arc<Sqlite>,
    /// Its end ends the sweeping.
    _sweeping: SyncSender<()>,
}

impl Database {
    /// One that is not open yet.
    pub fn new(options: Options, sweep: Sweep) -> Self {
        Self {
            options,
            sweep,
            opened: OnceLock::new(),
        }
    }

    /// How it is opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Its file.
    pub fn path(&self) -> Option<&std::path::Path> {
        self.options.path.as_deref()
    }

    /// Opens it, unless it is open. Blocks.
    pub fn open(&self) -> Result<Arc<dyn Store>, OpenError> {
        if let Some(store) = self.store() {
            return Ok(store);
        }
        let store = Arc::new(Sqlite::open(&self.options)?);
        let migrated = store.migrated();
        if migrated.from > 0 && migrated.from < migrated.to {
            tracing::info!(
                from = migrated.from,
                to = migrated.to,
                "the database was brought up to date"
            );
        }
        let (sender, ended) = sync_channel(0);
        let (swept, sweep) = (Arc::downgrade(&store), self.sweep);
        let sweeping = std::thread::Builder::new().name("store-sweeper".into());
        if let Err(error) = sweeping.spawn(move || run(&swept, sweep, &ended)) {
            tracing::error!("cannot start the thread that removes what has expired: {error}");
        }
        let opened = Opened {
            store,
            _sweeping: sender,
        };
        Ok(Arc::clone(&self.opened.get_or_init(|| opened).store) as _)
    }

    /// The store, once it is open.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        self.opened
            .get()
            .map(|opened| Arc::clone(&opened.store) as _)
    }
}

fn run(store: &Weak<Sqlite>, sweep: Sweep, ended: &Receiver<()>) {
    use super::Upkeep as _;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(sweep.every) {
        let Some(store) = store.upgrade() else { return };
        let now = Millis::now(&Clock::System);
        match store.sweep(now, sweep.retain, ROUND) {
            Ok(deleted) => {
                let count: u64 = deleted.iter().map(|(_, count)| count).sum();
                tracing::debug!(rows = count, "removed what has expired");
            }
            Err(error) => tracing::warn!("cannot remove what has expired: {error}"),
        }
    }
}

/// What a configuration stores in, and the keys for it.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Where.
    pub database: Arc<Database>,
    /// What is kept of secrets and tokens.
    pub vault: Arc<Vault>,
}
