//! `gateway run`: load, listen, serve, and end in peace.

use super::report;
use crate::blocks::duration::show;
use crate::blocks::settings::LogSettings;
use crate::config::{self, Options};
use crate::http::listener;
use crate::http::worker::{self, Shared};
use crate::telemetry::{Level, Sink, daemon, sink};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the last log lines may take.
const LOG_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(options: &Options) -> ExitCode {
    let loaded = config::load(options);
    let sink = open_log(&loaded.log);
    if let Some(name) = &loaded.environment {
        tracing::info!("couper uses {name:?} environment");
    }
    // Warnings of a sound configuration belong to the log; a refused one is shown to its author.
    let format = match loaded.tree {
        Some(_) => super::ReportFormat::Log,
        None => report::default_format(&loaded),
    };
    report::findings(&loaded, format);
    let code = match loaded.tree {
        None => ExitCode::FAILURE,
        Some(tree) => serve(Arc::new(tree)),
    };
    close_log(sink, LOG_LIMIT);
    code
}

/// Opens the log; an unknown level is told once it is open.
pub(super) fn open_log(settings: &LogSettings) -> Option<Sink> {
    let level = settings.level.parse::<Level>();
    let sink = daemon::init(&daemon::Settings {
        json: settings.json,
        pretty: settings.pretty,
        level: level.as_ref().copied().unwrap_or(Level::Info),
        parent_field: settings.parent_field.as_deref().map(Into::into),
        type_value: settings.type_value.as_deref().map(Into::into),
    });
    if level.is_err() {
        tracing::error!("unknown log level `{}`, using `info`", settings.level);
    }
    sink.ok()
}

/// Writes out what the log still holds.
pub(super) fn close_log(log: Option<Sink>, limit: Duration) {
    sink::flush();
    if let Some(log) = log {
        log.shutdown(limit);
    }
}

fn serve(tree: Arc<crate::runtime::Tree>) -> ExitCode {
    // Before anything listens: who can reach the gateway can end it in peace.
    let watch = match Watch::open() {
        Ok(watch) => watch,
        Err(error) => {
            tracing::error!("cannot wait for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let workers = worker::count();
    let sockets = match listener::bind(&tree, workers) {
        Ok(sockets) => sockets,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (delay, timeout) = (tree.settings.shutdown_delay, tree.settings.shutdown_timeout);
    let shared = Shared::new(tree);
    let mut threads = Vec::new();
    for (number, list) in sockets.into_iter().enumerate() {
        let shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || worker::run(&shared, list));
        match thread {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                tracing::error!("cannot start a worker thread: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    sink::flush();
    if watch.await_end(&shared, delay, timeout, threads) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

type Thread = std::thread::JoinHandle<std::io::Result<()>>;

/// What waits for the signals which end the gateway.
struct Watch {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Watch {
    fn open() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(entered);
        Ok(Self {
            runtime,
            terminate,
            interrupt,
        })
    }

    /// Waits for a signal, then for the workers; a second signal ends at once. Whether it all went well.
    fn await_end(
        self,
        shared: &Arc<Shared>,
        delay: Duration,
        timeout: Duration,
        threads: Vec<Thread>,
    ) -> bool {
        let Self {
            runtime,
            mut terminate,
            mut interrupt,
        } = self;
        let finished = runtime.block_on(async {
            let (ended, mut all_ended) = tokio::sync::mpsc::channel(1);
            let joiner = std::thread::Builder::new()
                .name("joiner".into())
                .spawn(move || {
                    let sound = threads
                        .into_iter()
                        .all(|thread| matches!(thread.join(), Ok(Ok(()))));
                    // Nobody waits any more when a second signal came.
                    let _ = ended.blocking_send(sound);
                });
            if joiner.is_err() {
                tracing::error!("cannot wait for the workers");
                return false;
            }
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = all_ended.recv() => {
                    tracing::error!("a worker ended unexpectedly");
                    return false;
                }
            }
            shared.ending.store(true, Ordering::Relaxed);
            tracing::warn!(
                delay = show(delay),
                deadline = show(timeout),
                "shutting down"
            );
            sink::flush();
            let drained = async {
                tokio::time::sleep(delay).await;
                shared.drain(timeout);
                all_ended.recv().await.unwrap_or(false)
            };
            tokio::select! {
                sound = drained => sound,
                _ = terminate.recv() => false,
                _ = interrupt.recv() => false,
            }
        });
        let cut = shared.cut.load(Ordering::Relaxed);
        if cut > 0 {
            tracing::warn!(
                requests = cut,
                "requests were cut at the end of the shutdown timeout"
            );
        }
        finished
    }
}
