//! One file, for one instance: SQLite with a write-ahead log and durable commits.
//!
//! The file and all its companions have mode 0600. A lock file beside it keeps a second process from
//! writing. [`Engine`] has the threads.

mod clients;
mod engine;
mod interactions;
mod migrate;
mod operations;
mod rows;
mod tokens;
mod upkeep;

pub use migrate::Migrated;
pub use upkeep::{backup, check, restore};

use engine::{Engine, Published, Write};

use super::cache::TokenCache;
use super::{Millis, Revocation, RevocationSet, Store, StoreError};
use foldhash::HashMap;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How long a connection waits for another one's lock.
const BUSY: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 128;
/// The longest grace of a rotation that a configuration may ask for.
pub(crate) const LONGEST_GRACE: Duration = Duration::from_secs(5 * 60);

/// How to open a database.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file; `None`: in memory, gone with the process.
    pub path: Option<PathBuf>,
    /// Connections that read.
    pub readers: usize,
    /// How long an answer may take.
    pub limit: Duration,
    /// Whether a schema that is behind is brought up to date.
    pub migrate: bool,
}

impl Options {
    /// With the defaults of the `storage` block.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            readers: 4,
            limit: Duration::from_secs(2),
            migrate: true,
        }
    }
}

/// Why a database cannot be opened, copied or brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{0} is in use by another process: SQLite serves one gateway (use PostgreSQL for several)"
    )]
    Locked(PathBuf),
    /// The file system says no.
    #[error("cannot open {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else's database.
    #[error("the file is a database of another program")]
    Foreign,
    /// The schema is newer than this program.
    #[error("the database has schema {found}, this program knows {known}: use a newer gateway")]
    Newer {
        /// What it has.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// The schema is older and must not be changed here.
    #[error(
        "the database has schema {found}, {known} is needed: run `gateway as migrate` or set `auto_migrate`"
    )]
    Behind {
        /// What it has.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// A step was not applied as it is known.
    #[error("step {0} of the schema differs from what was applied to this database")]
    Edited(i64),
    /// The file is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A file is in the way.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// Anything else.
    #[error(transparent)]
    Store(StoreError),
}

/// A database.
#[derive(Debug)]
pub struct Sqlite {
    /// First, so that the threads end before the lock does.
    engine: Engine,
    revoked: Arc<RevocationSet>,
    touched: Touched,
    known: Arc<TokenCache>,
    path: Option<PathBuf>,
    migrated: Migrated,
    _lock: Option<File>,
}

impl Store for Sqlite {}

impl Sqlite {
    /// Opens or makes a database and brings its schema up to date.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let lock = match &options.path {
            None => None,
            Some(path) => {
                let lock = lock(path)?;
                create(path)?;
                Some(lock)
            }
        };
        let mut writer = match &options.path {
            None => Connection::open_in_memory()?,
            Some(path) => Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        prepare(&writer)?;
        // What was answered outlives a power cut.
        writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        writer.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;")?;
        let migrated = migrate::run(&mut writer, options.migrate)?;
        let revoked = Arc::new(RevocationSet::default());
        let entries: Vec<Revocation> =
            rows::select(&writer, "ORDER BY seq", []).map_err(OpenError::Store)?;
        revoked.add(&entries);
        let mut readers = Vec::new();
        if let Some(path) = &options.path {
            for _ in 0..options.readers.max(1) {
                let reader = read_only(path)?;
                readers.push(reader);
            }
        }
        let known = Arc::<TokenCache>::default();
        let published = Published {
            revoked: Arc::clone(&revoked),
            known: Arc::clone(&known),
        };
        let engine = Engine::start(writer, readers, published, options.limit)
            .map_err(|error| OpenError::Store(StoreError::unavailable(error.to_string())))?;
        Ok(Self {
            engine,
            revoked,
            touched: Touched::default(),
            known,
            path: options.path.clone(),
            migrated,
            _lock: lock,
        })
    }

    /// A database in memory, for tests and trials.
    pub fn in_memory() -> Result<Self, OpenError> {
        Self::open(&Options::new(None))
    }

    /// What opening did to the schema.
    pub fn migrated(&self) -> Migrated {
        self.migrated
    }
}

fn prepare(connection: &Connection) -> Result<(), OpenError> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;")?;
    Ok(())
}

/// A connection that only reads, in need of no lock file.
pub fn read_only(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    Ok(connection)
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { path, source }
}

/// Makes sure that a file is there and nobody else's to read. SQLite gives its companions the same
/// mode.
fn create(path: &Path) -> Result<(), OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(file_error(path))?;
    let mode = file
        .metadata()
        .map_err(file_error(path))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
            .map_err(file_error(path))?;
    }
    Ok(())
}

/// The lock file of a database.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Takes the only right to write. The file stays; the lock goes with the process.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let lock = lock_path(path);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock)
        .map_err(file_error(&lock))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path: lock, source }),
    }
}

/// An error of SQLite, by what a caller can do about it. Its text names tables and columns, never
/// values.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
fn failed(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted,
        ) => StoreError::Unavailable(text),
        _ => StoreError::Failed(text),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        failed(error)
    }
}

/// A violated unique constraint as the name of the field; other errors stay what they are.
fn conflict(error: StoreError, entity: &'static str, fields: &[&'static str]) -> StoreError {
    let StoreError::Failed(text) = &error else {
        return error;
    };
    let Some((_, columns)) = text.split_once("UNIQUE constraint failed: ") else {
        return error;
    };
    let violated = |field: &&&str| {
        columns
            .split([',', ' '])
            .any(|column| column.rsplit('.').next() == Some(**field))
    };
    match fields.iter().find(violated) {
        Some(field) => StoreError::Conflict { entity, field },
        None => error,
    }
}

/// When each client was noted as used last, so that this is written once a minute and not for each
/// token.
#[derive(Debug, Default)]
struct Touched(Mutex<HashMap<Uuid, Millis>>);

impl Touched {
    const EVERY: Duration = Duration::from_secs(60);
    const MOST: usize = 10_000;

    fn due(&self, client: Uuid, now: Millis) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last
            .get(&client)
            .is_some_and(|at| now < at.plus(Self::EVERY))
        {
            return false;
        }
        if last.len() >= Self::MOST {
            last.retain(|_, at| now < at.plus(Self::EVERY));
        }
        last.insert(client, now);
        true
    }
}
