//! `-watch`: notices that the files of the configuration have changed.
//!
//! The system tells about changes in the folders of all files that were read, those of symbolic
//! links on the way included: editors replace files, Kubernetes exchanges the link `..data`. Now
//! and then the files are looked at even so, as some file systems tell nothing. What counts is the
//! content: a file that was only touched does not matter.

use crate::config::{self, Options};
use aws_lc_rs::digest;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long it must be quiet after a change: several files may be written one after the other.
const SETTLE: Duration = Duration::from_millis(100);
/// How long to wait for that.
const MAX_SETTLE: Duration = Duration::from_secs(1);
/// How often files are looked at without being told.
const LOOK: Duration = Duration::from_secs(2);
/// The same where the system cannot tell.
const LOOK_OFTEN: Duration = Duration::from_millis(250);
/// Symbolic links followed for one file.
const MAX_LINKS: usize = 40;

/// What can be known of files without reading them: place, time of change, length.
type Stamp = Vec<Option<(u64, i64, i64, u64)>>;

/// What is in files.
type Content = BTreeMap<PathBuf, [u8; 32]>;

/// Watches the files of a configuration.
pub(super) struct Watcher {
    options: Options,
    stamp: Stamp,
    /// Of the configuration itself.
    own: Content,
    /// Of files that attributes name.
    named: Content,
    system: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    told: mpsc::Receiver<()>,
}

impl Watcher {
    /// Watches the files of a configuration, and those that its attributes name.
    pub(super) fn new(options: &Options, named: Vec<PathBuf>) -> Self {
        let (tell, told) = mpsc::channel(1);
        let handler = move |event: notify::Result<notify::Event>| {
            let matters = event.as_ref().map_or(true, |event| is_change(event.kind));
            if matters {
                // One that waits to be taken says the same.
                let _ = tell.try_send(());
            }
        };
        let system = notify::recommended_watcher(handler).inspect_err(|error| {
            tracing::warn!("the system does not tell about changes of files: {error}");
        });
        let mut watcher = Self {
            options: options.clone(),
            stamp: Stamp::new(),
            own: Content::new(),
            named: Content::new(),
            system: system.ok(),
            folders: BTreeSet::new(),
            told,
        };
        watcher.follow(named);
        watcher.look();
        watcher
    }

    /// Watches these files that attributes name from now on.
    pub(super) fn follow(&mut self, named: Vec<PathBuf>) {
        let mut content = Content::new();
        for path in named {
            // One that is known may have changed since the last look.
            let known = self.named.get(&path).copied();
            let digest = known.unwrap_or_else(|| digest_of(&path));
            content.insert(path, digest);
        }
        self.named = content;
        let files = self.files();
        let mut folders = BTreeSet::new();
        for path in &files {
            folders_of(path, &mut folders);
        }
        folders.extend(files.into_iter().filter(|path| path.is_dir()));
        let Some(system) = &mut self.system else {
            return;
        };
        for gone in self.folders.difference(&folders) {
            // It may have been removed, which ends the watch, too.
            let _ = system.unwatch(gone);
        }
        // Again for those that are watched: a folder may have been replaced by another one.
        let failed = folders
            .iter()
            .filter(|folder| folder.is_dir())
            .filter_map(|folder| system.watch(folder, RecursiveMode::NonRecursive).err())
            .last();
        self.folders = folders;
        if let Some(error) = failed {
            tracing::warn!("the system does not tell about changes of all files: {error}");
            self.system = None;
        }
    }

    /// Notes the present content: changes count from now on.
    pub(super) fn look(&mut self) {
        self.stamp = self.stamps();
        (self.own, self.named) = (self.own_now(), self.named_now());
    }

    /// Waits until the content has changed since the last look.
    pub(super) async fn changed(&mut self) {
        loop {
            let wait = if self.system.is_some() {
                LOOK
            } else {
                LOOK_OFTEN
            };
            let told = tokio::time::timeout(wait, self.told.recv()).await;
            if told.is_err() && self.stamp == self.stamps() {
                continue;
            }
            let begin = Instant::now();
            while begin.elapsed() < MAX_SETTLE
                && tokio::time::timeout(SETTLE, self.told.recv()).await.is_ok()
            {}
            let changed = self.own != self.own_now() || self.named != self.named_now();
            self.look();
            if changed {
                return;
            }
        }
    }

    /// All files and folders that matter now.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = config::paths(&self.options);
        files.extend(self.named.keys().cloned());
        files
    }

    fn stamps(&self) -> Stamp {
        let stamp = |path: &PathBuf| {
            let of = std::fs::metadata(path).ok()?;
            Some((of.ino(), of.mtime(), of.mtime_nsec(), of.len()))
        };
        self.files().iter().map(stamp).collect()
    }

    fn own_now(&self) -> Content {
        let paths = config::paths(&self.options).into_iter();
        paths.map(|path| (path.clone(), digest_of(&path))).collect()
    }

    fn named_now(&self) -> Content {
        let paths = self.named.keys();
        paths.map(|path| (path.clone(), digest_of(path))).collect()
    }
}

/// Why a file cannot be read does not matter: it is tried again when it changes.
fn digest_of(path: &Path) -> [u8; 32] {
    let text = std::fs::read(path).unwrap_or_default();
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    sum
}

/// Reading a file is no change of it, and happens here, too.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// The folders in which something happens when the file of this path becomes another one: its own,
/// and those of the symbolic links on the way to it.
fn folders_of(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    let mut links = 0;
    let mut waiting = vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
    while let Some(path) = waiting.pop() {
        let mut at = PathBuf::new();
        let mut components = path.components();
        while let Some(component) = components.next() {
            if component == Component::ParentDir {
                at.pop();
                continue;
            }
            let folder = at.clone();
            at.push(component);
            if let Ok(target) = std::fs::read_link(&at)
                && links < MAX_LINKS
            {
                links += 1;
                let target = folder.join(target).join(components.as_path());
                folders.insert(folder);
                waiting.push(target);
                break;
            }
        }
        if let Some(parent) = path.parent() {
            folders.insert(parent.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hcl::Input;
    use std::os::unix::fs::symlink;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn watching(inputs: Vec<Input>) -> Watcher {
        let options = Options {
            inputs,
            ..Options::default()
        };
        Watcher::new(&options, Vec::new())
    }

    async fn notices(watcher: &mut Watcher) -> bool {
        tokio::time::timeout(PATIENCE, watcher.changed())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn content_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("couper.hcl");
        std::fs::write(&file, "a").unwrap();
        let mut watcher = watching(vec![Input::File(file.clone())]);
        std::fs::write(&file, "a").unwrap();
        let brief = Duration::from_millis(500);
        assert!(
            tokio::time::timeout(brief, watcher.changed())
                .await
                .is_err()
        );
        std::fs::write(&file, "b").unwrap();
        assert!(notices(&mut watcher).await);
    }

    #[tokio::test]
    async fn a_file_that_replaces_another_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("a.hcl"), folder.path().join("new"));
        std::fs::write(&file, "a").unwrap();
        let mut watcher = watching(vec![Input::File(file.clone())]);
        for text in ["b", "c"] {
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &file).unwrap();
            assert!(notices(&mut watcher).await);
        }
    }

    #[tokio::test]
    async fn a_file_that_comes_into_a_folder_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = watching(vec![Input::Folder(folder.path().to_owned())]);
        std::fs::write(folder.path().join("a.hcl"), "").unwrap();
        assert!(notices(&mut watcher).await);
        std::fs::remove_file(folder.path().join("a.hcl")).unwrap();
        assert!(notices(&mut watcher).await);
    }

    /// As Kubernetes does with the files of a `ConfigMap`.
    #[tokio::test]
    async fn an_exchanged_link_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("..one", "a"), ("..two", "b")] {
            std::fs::create_dir(path(version)).unwrap();
            std::fs::write(path(version).join("couper.hcl"), text).unwrap();
        }
        symlink("..one", path("..data")).unwrap();
        symlink("..data/couper.hcl", path("couper.hcl")).unwrap();
        let mut watcher = watching(vec![Input::File(path("couper.hcl"))]);
        assert!(watcher.folders.contains(&path("..one")));
        symlink("..two", path("..data_tmp")).unwrap();
        std::fs::rename(path("..data_tmp"), path("..data")).unwrap();
        std::fs::remove_dir_all(path("..one")).unwrap();
        assert!(notices(&mut watcher).await);
    }

    #[test]
    fn links_in_circles_end() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        symlink(&one, &two).unwrap();
        symlink(&two, &one).unwrap();
        let mut folders = BTreeSet::new();
        folders_of(&one, &mut folders);
        assert!(folders.contains(folder.path()));
    }
}
