//! `gateway run`: load, listen, serve, reload, and end in peace.

use super::reload::Reloader;
use super::report;
use super::watch::Watcher;
use crate::blocks::duration::show;
use crate::blocks::settings::LogSettings;
use crate::config::{self, Options};
use crate::http::admin;
use crate::http::observe::Exporters;
use crate::http::workers::{Thread, Workers};
use crate::runtime::Tree;
use crate::telemetry::{Level, Sink, daemon, sink};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

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
        Some(tree) => serve(tree, options, loaded.files),
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

fn serve(tree: Arc<Tree>, options: &Options, named: Vec<PathBuf>) -> ExitCode {
    // Before anything listens: who can reach the gateway can end it in peace.
    let (runtime, signals) = match Signals::open() {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!("cannot wait for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let watcher = tree.settings.watch.on.then(|| {
        let watch = &tree.settings.watch;
        daemon::entry(Level::Info, "watching the configuration", |entry| {
            entry.begin_object("watch");
            entry.number("max-retries", u64::from(watch.retries));
            entry.string("retry-delay", show(watch.retry_delay).as_bytes());
            entry.end();
        });
        Watcher::new(options, named)
    });
    let exporters = match Exporters::start(&tree.settings.observe) {
        Ok(exporters) => exporters,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = tree.open() {
        tracing::error!("{error}");
        return ExitCode::FAILURE;
    }
    let admin = match tree
        .admin
        .as_ref()
        .map(|admin| admin::bind(&admin.addresses))
    {
        None => Vec::new(),
        Some(Ok(bound)) => bound,
        Some(Err(error)) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (workers, threads) = match Workers::start(tree) {
        Ok(started) => started,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    // Held to the end: the last metrics are those of the configuration in force.
    let shared = Arc::clone(&workers.shared);
    exporters.show_reloads(&shared);
    if !admin.is_empty()
        && let Err(error) = admin::start(Arc::clone(&workers.shared), admin)
    {
        tracing::error!("cannot start the thread of the admin API: {error}");
        return ExitCode::FAILURE;
    }
    sink::flush();
    let ruler = Ruler {
        options,
        workers,
        signals,
        watcher,
    };
    let sound = runtime.block_on(ruler.rule(threads));
    exporters.finish();
    drop(shared);
    // A load may still be running.
    runtime.shutdown_background();
    if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The signals that the gateway obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    End,
    Reload,
}

impl Signals {
    fn open() -> std::io::Result<(Runtime, Self)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        };
        drop(entered);
        Ok((runtime, signals))
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Wish::End {}
    }
}

/// What decides about reloads and the end.
struct Ruler<'r> {
    options: &'r Options,
    workers: Workers,
    signals: Signals,
    watcher: Option<Watcher>,
}

impl Ruler<'_> {
    /// Rules until the workers have ended. Whether it all went well.
    async fn rule(mut self, threads: Vec<Thread>) -> bool {
        let Some(mut all_ended) = join(threads) else {
            tracing::error!("cannot wait for the workers");
            return false;
        };
        tokio::select! {
            () = self.serve() => {}
            _ = all_ended.recv() => {
                tracing::error!("a worker ended unexpectedly");
                return false;
            }
        }
        self.end(all_ended).await
    }

    /// Reloads whenever that is wished, until the end is.
    async fn serve(&mut self) {
        let mut reload = false;
        loop {
            if !reload {
                let changed = async {
                    match &mut self.watcher {
                        Some(watcher) => watcher.changed().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    wish = self.signals.next() => if wish == Wish::End { return },
                    () = changed => {}
                }
            }
            reload = false;
            let reloading = Reloader {
                options: self.options,
                workers: &mut self.workers,
                watcher: self.watcher.as_mut(),
            };
            let mut reloading = pin!(reloading.reload());
            loop {
                tokio::select! {
                    biased;
                    wish = self.signals.next() => match wish {
                        Wish::End => return,
                        Wish::Reload => reload = true,
                    },
                    () = &mut reloading => break,
                }
            }
        }
    }

    /// Ends in peace: health first, then the listeners, then what runs. A second signal ends at once.
    async fn end(mut self, mut all_ended: mpsc::Receiver<bool>) -> bool {
        let shared = Arc::clone(&self.workers.shared);
        let tree = shared.tree();
        let (delay, timeout) = (tree.settings.shutdown_delay, tree.settings.shutdown_timeout);
        drop(tree);
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
        let finished = tokio::select! {
            sound = drained => sound,
            () = self.signals.end() => false,
        };
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

/// Tells when all threads have ended, and whether they did so in peace.
fn join(threads: Vec<Thread>) -> Option<mpsc::Receiver<bool>> {
    let (ended, all_ended) = mpsc::channel(1);
    let joiner = std::thread::Builder::new()
        .name("joiner".into())
        .spawn(move || {
            let sound = threads
                .into_iter()
                .all(|thread| matches!(thread.join(), Ok(Ok(()))));
            // Nobody waits any more when a second signal came.
            let _ = ended.blocking_send(sound);
        });
    joiner.is_ok().then_some(all_ended)
}
