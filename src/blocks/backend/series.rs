//! Where requests to a backend are counted.

use super::{Destination, Instance, Origin};
use crate::blocks::context::Context;
use crate::oauth::client::token_cache::{Status, TokenEntry};
use crate::telemetry::metrics::families::Family;
use crate::telemetry::metrics::{Registry, families};
use crate::upstream::TargetSeries;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Origins can come from expressions. So many of a backend have series of their own; those that
/// come later are counted together.
const ORIGINS: usize = 64;
const OTHER: &str = "other";

type Known = HashMap<(String, String), Arc<TargetSeries>, foldhash::fast::RandomState>;

/// The series of a backend's origins.
#[derive(Debug)]
pub(super) struct Series {
    registry: &'static Registry,
    label: Box<str>,
    known: RwLock<Known>,
}

impl Series {
    pub(super) fn new(registry: &'static Registry, label: &str) -> Self {
        Self {
            registry,
            label: label.into(),
            known: RwLock::default(),
        }
    }

    /// The series of an origin. `hostname` is that of the block, empty for the origin's own.
    pub(super) fn of(&self, origin: &Origin, hostname: &str) -> Arc<TargetSeries> {
        let address = format!("{}:{}", origin.host, origin.port);
        let hostname = if hostname.is_empty() {
            origin.authority()
        } else {
            hostname.to_owned()
        };
        let key = (address, hostname);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(&key) {
            return Arc::clone(series);
        }
        let full = known.len() >= ORIGINS;
        drop(known);
        let key = if full {
            (OTHER.to_owned(), OTHER.to_owned())
        } else {
            key
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let (address, hostname) = key.clone();
        let make = || TargetSeries::new(self.registry, &self.label, &hostname, &address);
        Arc::clone(known.entry(key).or_insert_with(make))
    }

    /// Shows whether the backend is up, as long as its instance lives.
    pub(super) fn show_health(&self, instance: &Arc<Instance>, destination: &Destination) {
        let settings = destination.target.settings();
        let origin = format!("{}:{}", settings.host, settings.port);
        let hostname = destination.host.as_ref();
        let hostname = hostname.and_then(|host| host.to_str().ok());
        let hostname = hostname.unwrap_or_else(|| destination.target.authority());
        let instance = Arc::downgrade(instance);
        let values = [&*self.label, hostname, &origin];
        self.registry.read(&families::BACKEND_UP, &values, move || {
            let instance = instance.upgrade()?;
            // Without health checks it is up.
            let health = instance.health.as_ref();
            let down = health.is_some_and(|health| health.is_unhealthy());
            Some(if down { 0.0 } else { 1.0 })
        });
    }
}

/// Shows how it goes with the token of a backend that has this name there, if metrics are on.
pub(in crate::blocks) fn show_token(
    cx: &Context<'_>,
    entry: &Arc<TokenEntry>,
    backend: &str,
    name: &str,
) {
    let Some(registry) = cx.metrics() else {
        return;
    };
    let show = |family: &'static Family, result: Option<&str>, read: fn(&Status) -> f64| {
        let entry = Arc::downgrade(entry);
        let values: Vec<&str> = [backend, name].into_iter().chain(result).collect();
        registry.read(family, &values, move || {
            Some(read(&entry.upgrade()?.status()))
        });
    };
    show(&families::TOKEN_EXPIRES, None, |status| {
        status.expires_in.unwrap_or_default().as_secs_f64()
    });
    #[allow(clippy::cast_precision_loss)]
    {
        let fetches = &families::TOKEN_FETCHES;
        show(&families::TOKEN_WAITS, None, |status| status.waits as f64);
        show(fetches, Some("failure"), |status| status.failed as f64);
        show(fetches, Some("success"), |status| {
            status.fetches.saturating_sub(status.failed) as f64
        });
    }
}
