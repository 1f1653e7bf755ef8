//! Messages of the process itself: `tracing` events as `couper_daemon` entries.
//!
//! The layer takes events only; spans are for tracing exporters. Fields of an event become fields
//! of the entry, except `message`. Events of other crates are taken from warnings upwards, so that
//! a debug level does not drown in the talk of the network stack.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::entry::{Entry, Format, Layout, Level};
use super::sink::{self, Sink};

/// Events of this crate are taken at every level.
const CRATE: &str = env!("CARGO_CRATE_NAME");

/// How the process logs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `log_format = "json"`, and not `"common"`.
    pub json: bool,
    /// Indented JSON, for people.
    pub pretty: bool,
    /// The least grave level that is written.
    pub level: Level,
    /// `COUPER_LOG_PARENT_FIELD`.
    pub parent_field: Option<Box<str>>,
    /// `COUPER_LOG_TYPE_VALUE`.
    pub type_value: Option<Box<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            json: false,
            pretty: false,
            level: Level::Info,
            parent_field: None,
            type_value: None,
        }
    }
}

impl Settings {
    /// The form of entries for an output that is a terminal or is none.
    pub fn format(&self, terminal: bool) -> Format {
        let layout = match (self.json, self.pretty) {
            (false, _) => Layout::Common,
            (true, false) => Layout::Json,
            (true, true) => Layout::PrettyJson,
        };
        Format {
            color: terminal && layout != Layout::Json,
            parent_field: self.parent_field.clone().filter(|name| !name.is_empty()),
            ..Format::new(layout)
        }
    }
}

/// Opens the log on standard output for the whole process. A second call changes nothing but
/// returns a sink of its own.
pub fn init(settings: &Settings) -> io::Result<Sink> {
    let format = settings.format(io::stdout().is_terminal());
    let kind = settings.type_value.as_deref().unwrap_or("couper_daemon");
    let sink = Sink::stdout(format, settings.level, kind)?;
    sink.install();
    let subscriber = tracing_subscriber::registry().with(DaemonLayer::new(sink.clone()));
    // Only a test harness has a subscriber already; the sink works without.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(sink)
}

/// Turns `tracing` events into daemon entries.
#[derive(Debug)]
pub struct DaemonLayer {
    sink: Sink,
}

impl DaemonLayer {
    /// A layer that takes what `sink` writes.
    pub fn new(sink: Sink) -> Self {
        Self { sink }
    }

    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let level = level(*metadata.level());
        let own = metadata
            .target()
            .strip_prefix(CRATE)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        metadata.is_event() && self.sink.enabled(level) && (own || level <= Level::Warning)
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

impl<S: Subscriber> Layer<S> for DaemonLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.takes(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.sink.level() {
            Level::Panic | Level::Fatal => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warning => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // With another layer beside this one, events that only that one wants arrive here too.
        if !self.takes(event.metadata()) {
            return;
        }
        // Wherever an event arises it belongs to the process's log.
        self.sink.attach();
        let mut message = Message(String::new());
        event.record(&mut message);
        let level = level(*event.metadata().level());
        let kind = self.sink.daemon_type();
        sink::write(
            kind,
            level,
            SystemTime::now(),
            message.0.as_bytes(),
            |entry| {
                event.record(&mut Fields(entry));
            },
        );
        // Few, and wanted at once; and threads without a park hook would keep them.
        sink::flush();
    }
}

/// Finds the message, which must stand in front of the other fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }
}

struct Fields<'a, 'b>(&'a mut Entry<'b>);

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.0.string(field.name(), format!("{value:?}").as_bytes());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.0.string(field.name(), value.as_bytes());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.integer(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.number(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.float(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.bool(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.string(field.name(), chain(value).as_bytes());
    }
}

/// Writes an entry whose fields are nested, which events cannot say.
pub fn entry(level: Level, message: &str, fill: impl FnOnce(&mut Entry<'_>)) {
    sink::write_daemon(level, message.as_bytes(), fill);
    sink::flush();
}

/// The error and its causes, joined by `: `.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_become_entries() {
        let output = Output::default();
        let settings = Settings {
            json: true,
            level: Level::Debug,
            ..Settings::default()
        };
        let sink = Sink::to(
            output.clone(),
            settings.format(false),
            settings.level,
            "couper_daemon",
        )
        .unwrap();
        let subscriber = tracing_subscriber::registry().with(DaemonLayer::new(sink.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let error = io::Error::other(fmt::Error);
            tracing::warn!(
                backend = "be",
                n = -3,
                ok = true,
                error = &error as &dyn Error,
                "a {}",
                1
            );
            tracing::debug!("own detail");
            tracing::trace!("below");
            tracing::info!(target: "hyper::proto", "foreign");
            tracing::error!(target: "hyper::proto", "foreign error");
        });
        assert!(sink.shutdown(Duration::from_secs(30)));
        let bytes = output.0.lock().unwrap();
        let lines: Vec<serde_json::Value> = bytes
            .split(|&b| b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let messages: Vec<_> = lines
            .iter()
            .map(|line| line["message"].as_str().unwrap())
            .collect();
        assert_eq!(messages, ["a 1", "own detail", "foreign error"]);
        assert_eq!(lines[0]["type"], "couper_daemon");
        assert_eq!(lines[0]["level"], "warning");
        assert_eq!(lines[0]["backend"], "be");
        assert_eq!(lines[0]["n"], -3);
        assert_eq!(lines[0]["ok"], true);
        assert!(
            lines[0]["error"]
                .as_str()
                .unwrap()
                .contains("error occurred")
        );
        assert_eq!(lines[2]["level"], "error");
    }
}
