//! What leaves of metrics and traces, and the end of a request as all three kinds of records see it:
//! counted, traced, logged.

mod otlp;
mod scrape;

pub use scrape::ScrapeError;

use super::access_log::{self, AnswerFacts};
use super::exchange::Exchange;
use super::worker::Shared;
use crate::blocks::settings::{MetricsExporter, Observe};
use crate::error::{Error, Kind};
use crate::telemetry::metrics::families::Family;
use crate::telemetry::metrics::{Counter, ServiceLabels, families, registry};
use crate::telemetry::{Level, Reloads, sink};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// The type of the log entries about exporters and the metrics port.
const ENTRY: &str = "couper_telemetry";
/// What the last spans and metrics may take at the end of the process.
const LAST_EXPORT: Duration = Duration::from_secs(1);

/// Writes an entry about an exporter.
fn tell(level: Level, message: &str) {
    let now = SystemTime::now();
    sink::write(ENTRY, level, now, message.as_bytes(), |_| ());
    sink::flush();
}

/// The exporters of the process. They last to its end; a reload changes nothing about them.
#[derive(Debug)]
pub struct Exporters {
    otlp: Option<otlp::Exporter>,
}

impl Exporters {
    /// Starts those that the settings ask for.
    pub fn start(settings: &Observe) -> Result<Self, ScrapeError> {
        if settings.metrics.is_some() {
            registry().read(&families::LOG_DROPPED, &[], || {
                #[allow(clippy::cast_precision_loss)]
                Some(sink::dropped() as f64)
            });
        }
        if let Some(MetricsExporter::Prometheus(port)) = settings.metrics {
            let service = ServiceLabels {
                name: settings.service_name.clone(),
                version: crate::VERSION.to_owned(),
            };
            scrape::start(port, service)?;
        }
        Ok(Self {
            otlp: otlp::Exporter::start(settings)?,
        })
    }

    /// Shows how reloads went.
    pub fn show_reloads(&self, shared: &Arc<Shared>) {
        let show = |family: &'static Family, values: &[&str], read: fn(&Reloads) -> f64| {
            let shared = Arc::downgrade(shared);
            registry().read(family, values, move || {
                Some(read(&shared.upgrade()?.reloads))
            });
        };
        show(&families::RELOAD_SUCCESS, &[], |reloads| {
            if reloads.is_sound() { 1.0 } else { 0.0 }
        });
        #[allow(clippy::cast_precision_loss)]
        {
            let total = &families::RELOADS;
            show(total, &["success"], |reloads| reloads.succeeded() as f64);
            show(total, &["failure"], |reloads| reloads.failed() as f64);
            show(&families::CONFIG_SINCE, &[], |reloads| {
                reloads.since() as f64
            });
        }
    }

    /// Sends what is left, for a second at most.
    pub fn finish(self) {
        if let Some(exporter) = self.otlp {
            exporter.finish(LAST_EXPORT);
        }
    }
}

/// The end of a request: counts it, ends its span and writes its entry.
pub(super) fn ended(exchange: &Exchange, answer: &AnswerFacts) {
    let tree = &exchange.tree;
    let requests = tree.requests(exchange.local_port, &exchange.host);
    if let Some(requests) = requests {
        let duration = exchange.started.elapsed();
        requests.record(&exchange.method, answer.status, duration);
        let endpoint = exchange.endpoint.as_ref();
        if let Some(requests) = endpoint.and_then(|endpoint| endpoint.series.as_ref()) {
            requests.record(&exchange.method, answer.status, duration);
        }
        if let Some(error) = &exchange.error {
            count_error(error);
        }
    }
    super::trace::end_of_request(exchange, answer);
    access_log::write(exchange, answer);
}

/// Counts why a request failed.
fn count_error(error: &Error) {
    type Slot = OnceLock<[Arc<Counter>; 2]>;
    static COUNTERS: [Slot; Kind::ALL.len()] = [const { Slot::new() }; Kind::ALL.len()];
    let kind = error.reported_kind();
    let Some(slot) = COUNTERS.get(kind as usize) else {
        return;
    };
    let counters = slot.get_or_init(|| {
        let name = kind.error_type().map(str::to_owned);
        let name = name.unwrap_or_else(|| kind.synopsis().replace(' ', "_"));
        [&families::CLIENT_REQUEST_ERRORS, &families::ERRORS]
            .map(|family| registry().counter(family, &[&name]))
    });
    for counter in counters {
        counter.add(1);
    }
}
