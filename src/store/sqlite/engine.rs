//! The threads that talk to SQLite: one that writes, some that read.
//!
//! The writer takes what has arrived while the commit before was running into one transaction, so
//! that a durable commit is shared by all of it (group commit). Each job has a savepoint of its own:
//! one that fails leaves the others alone. Answers are sent after the commit.

use super::failed;
use crate::store::cache::TokenCache;
use crate::store::{Answer, Digest, Revocation, RevocationSet, StoreError};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Jobs that wait for a thread at most; beyond it callers are told to come back.
const QUEUE: usize = 4096;
/// Jobs that share a commit at most.
const GROUP: usize = 512;
/// How long a group takes in further jobs at most.
const GATHER: Duration = Duration::from_millis(20);

/// What a job writes with.
pub(super) struct Write<'a> {
    /// Inside a transaction.
    pub(super) connection: &'a Connection,
    /// What has to be refused from the commit on.
    pub(super) revoked: Vec<Revocation>,
    /// Tokens that have to be read anew from the commit on.
    pub(super) changed: Vec<Digest>,
}

/// What others see of a commit before it is answered.
#[derive(Debug)]
pub(super) struct Published {
    /// Revocations.
    pub(super) revoked: Arc<RevocationSet>,
    /// Tokens read lately.
    pub(super) known: Arc<TokenCache>,
}

impl Published {
    fn commit(&self, write: &Write<'_>) {
        if !write.revoked.is_empty() {
            self.revoked.add(&write.revoked);
        }
        for hash in &write.changed {
            self.known.changed(hash);
        }
    }
}

trait Job: Send {
    fn run(&mut self, write: &mut Write<'_>);
    fn finish(self: Box<Self>, committed: &Result<(), StoreError>);
}

struct Task<T, F> {
    body: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    deadline: Instant,
}

fn late<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable("the queue took too long"))
}

fn panicked<T>() -> Result<T, StoreError> {
    Err(StoreError::Failed("a panic in the store".into()))
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Write<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, write: &mut Write<'_>) {
        let Some(body) = self.body.take() else { return };
        if Instant::now() > self.deadline {
            self.result = Some(late());
            return;
        }
        let before = (write.revoked.len(), write.changed.len());
        let attempt = || {
            write
                .connection
                .prepare_cached("SAVEPOINT job")?
                .execute([])?;
            let result = catch_unwind(AssertUnwindSafe(|| body(write)));
            let result = result.unwrap_or_else(|_| panicked());
            // An error as grave as a full disk has rolled back everything.
            if !write.connection.is_autocommit() {
                if result.is_err() {
                    write
                        .connection
                        .prepare_cached("ROLLBACK TO job")?
                        .execute([])?;
                }
                write
                    .connection
                    .prepare_cached("RELEASE job")?
                    .execute([])?;
            }
            result
        };
        let result = attempt();
        if result.is_err() {
            write.revoked.truncate(before.0);
            write.changed.truncate(before.1);
        }
        self.result = Some(result);
    }

    fn finish(self: Box<Self>, committed: &Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.clone()),
            (None, Ok(())) => late(),
        };
        // Who asked may have left.
        let _ = self.answer.send(result);
    }
}

type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// The threads and the ways to them. Dropping it waits for what was accepted.
#[derive(Debug)]
pub(super) struct Engine {
    writes: Option<SyncSender<Box<dyn Job>>>,
    /// `None`: everything goes through the writer, as a database in memory needs.
    reads: Option<SyncSender<ReadJob>>,
    threads: Vec<JoinHandle<()>>,
    limit: Duration,
}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Engine {
    /// Starts the threads. `limit` is how long an answer may take.
    pub(super) fn start(
        writer: Connection,
        readers: Vec<Connection>,
        published: Published,
        limit: Duration,
    ) -> std::io::Result<Self> {
        let mut threads = Vec::new();
        let mut spawn = |name: String, body: Box<dyn FnOnce() + Send>| {
            threads.push(std::thread::Builder::new().name(name).spawn(body)?);
            std::io::Result::Ok(())
        };
        let (writes, jobs) = sync_channel(QUEUE);
        spawn(
            "store-writer".into(),
            Box::new(move || write_all(&writer, &jobs, &published)),
        )?;
        let mut reads = None;
        if !readers.is_empty() {
            let (sender, jobs) = sync_channel::<ReadJob>(QUEUE);
            let jobs = Arc::new(Mutex::new(jobs));
            for (number, connection) in readers.into_iter().enumerate() {
                let jobs = Arc::clone(&jobs);
                spawn(
                    format!("store-reader-{number}"),
                    Box::new(move || read_all(&connection, &jobs)),
                )?;
            }
            reads = Some(sender);
        }
        Ok(Self {
            writes: Some(writes),
            reads,
            threads,
            limit,
        })
    }

    /// Has the writer run `body` in a transaction.
    pub(super) fn write<T, F>(&self, body: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Write<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, receiver) = oneshot::channel();
        let task = Box::new(Task {
            body: Some(body),
            result: None,
            answer,
            deadline: Instant::now() + self.limit,
        });
        let sent = match &self.writes {
            Some(writes) => writes.try_send(task).map_err(|error| refused(&error)),
            None => Err(StoreError::unavailable("the store has ended")),
        };
        match sent {
            Ok(()) => Answer::waiting(receiver, self.limit),
            Err(error) => Answer::ready(Err(error)),
        }
    }

    /// Has a reader run `body`.
    pub(super) fn read<T, F>(&self, body: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let Some(reads) = &self.reads else {
            return self.write(move |write| body(write.connection));
        };
        let (answer, receiver) = oneshot::channel();
        let deadline = Instant::now() + self.limit;
        let job = move |connection: &Connection| {
            let result = if Instant::now() > deadline || answer.is_closed() {
                late()
            } else {
                catch_unwind(AssertUnwindSafe(|| body(connection))).unwrap_or_else(|_| panicked())
            };
            let _ = answer.send(result);
        };
        match reads.try_send(Box::new(job)) {
            Ok(()) => Answer::waiting(receiver, self.limit),
            Err(error) => Answer::ready(Err(refused(&error))),
        }
    }
}

fn refused<T>(error: &TrySendError<T>) -> StoreError {
    match error {
        TrySendError::Full(_) => StoreError::Busy,
        TrySendError::Disconnected(_) => StoreError::unavailable("the store has ended"),
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.writes = None;
        self.reads = None;
        for thread in self.threads.drain(..) {
            // The last owner may be a job of this very thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn read_all(connection: &Connection, jobs: &Mutex<Receiver<ReadJob>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(connection),
            Err(_) => return,
        }
    }
}

fn write_all(connection: &Connection, jobs: &Receiver<Box<dyn Job>>, published: &Published) {
    while let Ok(first) = jobs.recv() {
        write_group(connection, first, jobs, published);
    }
    // Leaves one plain file behind.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

fn write_group(
    connection: &Connection,
    first: Box<dyn Job>,
    jobs: &Receiver<Box<dyn Job>>,
    published: &Published,
) {
    let execute = |sql: &str| {
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        statement.execute([]).map(|_| ()).map_err(failed)
    };
    if let Err(error) = execute("BEGIN IMMEDIATE") {
        first.finish(&Err(error));
        return;
    }
    let mut write = Write {
        connection,
        revoked: Vec::new(),
        changed: Vec::new(),
    };
    let until = Instant::now() + GATHER;
    let mut group: Vec<Box<dyn Job>> = Vec::new();
    let mut next = Some(first);
    while let Some(mut job) = next.take() {
        job.run(&mut write);
        group.push(job);
        if group.len() < GROUP && !connection.is_autocommit() && Instant::now() < until {
            next = jobs.try_recv().ok();
        }
    }
    let committed = if connection.is_autocommit() {
        Err(StoreError::unavailable("the transaction was rolled back"))
    } else {
        execute("COMMIT")
    };
    match &committed {
        Ok(()) => published.commit(&write),
        Err(error) => {
            tracing::error!("the store could not write: {error}");
            if !connection.is_autocommit() {
                let _ = execute("ROLLBACK");
            }
        }
    }
    for job in group {
        job.finish(&committed);
    }
}
