//! What the conversations share.

use crate::support::case::Start;
use crate::support::gateway::{Gateway, Printed};
use crate::support::value::{Table, Value};
use crate::support::{Mismatch, eventually, ports};
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// How long a conversation may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with one port.
pub struct Served {
    pub gateway: Gateway,
    printed: Printed,
    pub port: u16,
    _folder: TempDir,
}

impl Served {
    /// Starts one. `{port}` in the configuration is its port.
    pub fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free().unwrap();
        let text = configuration.replace("{port}", &port.to_string());
        std::fs::write(folder.path().join("couper.hcl"), text).unwrap();
        let printed = Printed::default();
        let program = Path::new(env!("CARGO_BIN_EXE_gateway"));
        let mut gateway = Gateway::new(program, folder.path(), printed.clone());
        gateway.start(&Start::default(), &[port]).unwrap();
        Self {
            gateway,
            printed,
            port,
            _folder: folder,
        }
    }

    /// Waits for a log entry of this type and gives it.
    pub fn entry(&self, kind: &str) -> Table {
        let find = || {
            let entries = self.printed.entries_since(0);
            let mut entries = entries.into_iter();
            let found = entries.find(
                |entry| matches!(entry.get("type"), Some(Value::Text(known)) if known == kind),
            );
            found.ok_or_else(|| Mismatch::new(format!("no {kind} entry")))
        };
        eventually(PATIENCE, find).unwrap()
    }
}

/// Runs a conversation to its end.
pub fn converse<F: Future<Output = ()>>(conversation: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let within = async { tokio::time::timeout(PATIENCE, conversation).await };
    LocalSet::new().block_on(&runtime, within).unwrap();
}

/// A listener on a free port, and its address.
pub async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}
