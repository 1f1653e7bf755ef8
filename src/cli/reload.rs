//! Taking up a changed configuration while the gateway runs: all of it or nothing.

use super::report;
use super::watch::Watcher;
use crate::clock::Clock;
use crate::config::{self, Loaded, Options};
use crate::diagnostic::code;
use crate::http::workers::Workers;
use crate::runtime::Tree;
use std::sync::Arc;

/// What is needed to load a configuration again.
pub(super) struct Reloader<'r> {
    pub(super) options: &'r Options,
    pub(super) workers: &'r mut Workers,
    /// Told which files to watch from now on.
    pub(super) watcher: Option<&'r mut Watcher>,
}

impl Reloader<'_> {
    /// Loads the configuration and puts it in force. Whatever is wrong with it is in the log, and
    /// the present one stays in force.
    pub(super) async fn reload(mut self) {
        tracing::info!("reloading the configuration");
        let reloads = Arc::clone(&self.workers.shared);
        match self.attempts().await {
            Ok(()) => {
                reloads.reloads.succeed(Clock::System.unix().seconds());
                tracing::info!("reloaded the configuration");
            }
            Err(why) => {
                reloads.reloads.fail();
                tracing::error!("reload failed: {why}; the configuration in force stays in force");
            }
        }
    }

    /// Files that cannot be read and ports that cannot be listened on are tried again: they may be
    /// about to be written or closed.
    async fn attempts(&mut self) -> Result<(), String> {
        let present = self.workers.shared.tree();
        let (mut left, delay) = (
            present.settings.watch.retries,
            present.settings.watch.retry_delay,
        );
        loop {
            let loaded = self.load(&present).await?;
            let problem = match &loaded.tree {
                None if !is_unreadable(&loaded) || left == 0 => {
                    report::findings(&loaded, super::ReportFormat::Log);
                    return Err("the new configuration is faulty".to_owned());
                }
                None => "a file cannot be read".to_owned(),
                Some(tree) => match self.take_up(tree).await {
                    Ok(()) => {
                        report::findings(&loaded, super::ReportFormat::Log);
                        warn_about_what_stays(&present, tree);
                        return Ok(());
                    }
                    Err(error) if left == 0 => return Err(error),
                    Err(error) => error,
                },
            };
            tracing::warn!(retries = left, "{problem}; trying again");
            left -= 1;
            tokio::time::sleep(delay).await;
        }
    }

    async fn take_up(&mut self, tree: &Arc<Tree>) -> Result<(), String> {
        let opening = Arc::clone(tree);
        let opened = tokio::task::spawn_blocking(move || opening.open()).await;
        let opened = opened.map_err(|_| "opening the configuration panicked".to_owned())?;
        opened.map_err(|error| error.to_string())?;
        let taken = self.workers.reload(Arc::clone(tree)).await;
        taken.map_err(|error| error.to_string())
    }

    async fn load(&mut self, present: &Arc<Tree>) -> Result<Loaded, String> {
        if let Some(watcher) = &mut self.watcher {
            // Before the files are read: what changes meanwhile is noticed later.
            watcher.look();
        }
        let (options, kept) = (self.options.clone(), present.kept.clone());
        let loading = tokio::task::spawn_blocking(move || config::reload(&options, kept));
        let loaded = loading
            .await
            .map_err(|_| "loading the configuration panicked".to_owned())?;
        if let Some(watcher) = &mut self.watcher {
            watcher.follow(loaded.files.clone());
        }
        Ok(loaded)
    }
}

/// Whether the load may succeed once files can be read.
fn is_unreadable(loaded: &Loaded) -> bool {
    let codes = [code::UNREADABLE_SOURCE, code::NO_SOURCE, code::FILE];
    let findings = loaded.diagnostics.sorted();
    findings.iter().any(|finding| codes.contains(&finding.code))
}

fn warn_about_what_stays(before: &Tree, now: &Tree) {
    let (before, now) = (&before.settings, &now.settings);
    if before.log != now.log {
        tracing::warn!("changed settings of the log take effect with the next start");
    }
    if before.observe != now.observe {
        tracing::warn!("changed settings of metrics and traces take effect with the next start");
    }
}
