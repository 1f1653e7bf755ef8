//! What a server keeps beyond a request: in a store, or in memory where there is none.

use super::client::Digest;
use super::fault::Fault;
use crate::clock::Clock;
use crate::store::sqlite::OpenError;
use crate::store::{
    self, Answer, Millis, Replay as _, Revocation, RevocationSet, Revocations as _, Storage, Store,
    StoreError, Vault, memory::Memory,
};
use std::sync::{Arc, OnceLock};

/// What is behind all servers of a configuration; it outlives reloads.
#[derive(Debug)]
pub struct Backing {
    storage: Option<Storage>,
    store: OnceLock<Arc<dyn Store>>,
    memory: Memory,
    vault: Arc<Vault>,
}

impl Backing {
    /// Nothing is opened yet.
    pub fn new(storage: Option<Storage>) -> Self {
        let vault = storage.as_ref().map(|storage| Arc::clone(&storage.vault));
        Self {
            vault: vault.unwrap_or_else(|| Arc::new(Vault::without_keys())),
            storage,
            store: OnceLock::new(),
            memory: Memory::default(),
        }
    }

    /// Opens the store, if there is one and it is not open. Blocks.
    pub fn open(&self) -> Result<(), OpenError> {
        if let Some(storage) = &self.storage {
            let store = storage.database.open()?;
            self.store.get_or_init(|| store);
        }
        Ok(())
    }

    /// Where the store is and the keys for it, if there is one.
    pub fn storage(&self) -> Option<&Storage> {
        self.storage.as_ref()
    }

    /// Whether there is a store.
    pub fn has_store(&self) -> bool {
        self.store.get().is_some()
    }

    /// The store, if there is one.
    pub fn store(&self) -> Option<&Arc<dyn Store>> {
        self.store.get()
    }

    /// The store, which what was asked for needs.
    pub(super) fn needed(&self) -> Result<&Arc<dyn Store>, Fault> {
        self.store
            .get()
            .ok_or_else(|| Fault::server("there is no store"))
    }

    /// Secrets at rest.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// What was revoked.
    pub fn revoked(&self) -> &RevocationSet {
        match self.store.get() {
            Some(store) => store.revoked(),
            None => self.memory.revoked(),
        }
    }

    /// Adds a cut-off.
    pub(super) async fn revoke(&self, revocation: Revocation) -> Result<(), Fault> {
        let answer = match self.store.get() {
            Some(store) => store.revoke(revocation),
            None => self.memory.revoke(revocation),
        };
        known(answer).await.map(|_| ())
    }

    /// Uses a value up; whether this is its first use.
    pub(super) async fn first_use(&self, value: Digest, until: Millis) -> Result<bool, Fault> {
        let now = Millis::now(&Clock::System);
        let answer = match self.store.get() {
            Some(store) => store.first_use(store::Digest(value), now, until),
            None => self.memory.first_use(store::Digest(value), now, until),
        };
        known(answer).await
    }
}

/// Awaits a store.
pub(super) async fn known<T>(answer: Answer<T>) -> Result<T, Fault> {
    Ok(answer.await?)
}

/// A failure of a store as the client sees it.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            Self::unavailable(error.to_string())
        } else {
            Self::server(error.to_string())
        }
    }
}

/// Now, as stores count it.
pub(super) fn millis() -> Millis {
    Millis::now(&Clock::System)
}
