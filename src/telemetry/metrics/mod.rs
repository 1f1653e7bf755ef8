//! Metrics: what is counted, and how it is shown to Prometheus.
//!
//! Families are constants in [`families`]. Where a configuration is built, what will count asks the
//! process's [`registry`] for a handle and keeps it, only if metrics are switched on:
//!
//! ```
//! use gateway::telemetry::metrics::{registry, families};
//! let granted = registry().counter(&families::ACCESS_CONTROL, &["door", "jwt", "granted"]);
//! granted.add(1); // at a request: no lock, no label, no line shared with another worker
//! ```
//!
//! What happens rarely, such as a limit that fires, needs no handle:
//!
//! ```
//! use gateway::telemetry::metrics::{registry, families};
//! registry().count(&families::LIMIT, &["request_line"]);
//! ```
//!
//! To add a metric: declare its family in [`families`], name it in [`families::ALL`] (from there it
//! gets into the reference pages), and use it as above. Label values come from the configuration or
//! from a fixed list, never from the wire.

mod exposition;
pub mod families;
pub mod instruments;
mod process;
mod registry;

pub use exposition::{Format, ServiceLabels, render};
pub use instruments::{Counter, Distribution, Gauge, Histogram, Requests};
pub use registry::{Registry, Sample, Value};

use std::sync::LazyLock;

/// All series of the process.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let registry = Registry::default();
        process::register(&registry);
        registry
    });
    &REGISTRY
}
