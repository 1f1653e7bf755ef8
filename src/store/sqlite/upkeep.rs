//! Deleting what has expired, counting, copying.

use super::rows::execute;
use super::{OpenError, Sqlite, failed, read_only};
use crate::store::vault::Place;
use crate::store::{Answer, Millis, Sealed, StoreError, Upkeep, Vault};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rows that one step deletes, so that the writer is never held for long.
const BATCH: usize = 1000;

/// What expires: the table, and which of its rows are over at `?1` (now) or `?2` (now less the time
/// that tokens are retained). Families come last: their rows go with them.
const EXPIRING: &[(&str, &str, &str)] = &[
    ("authorization_code", "hash", "expires_at <= ?1"),
    ("replay", "digest", "expires_at <= ?1"),
    ("handle", "(kind, hash)", "expires_at <= ?1"),
    ("device_code", "hash", "expires_at <= ?1"),
    ("consent", "(subject, client_key)", "expires_at <= ?1"),
    ("revocation", "seq", "expires_at <= ?1"),
    (
        "access_token",
        "hash",
        "expires_at IS NOT NULL AND expires_at <= ?2",
    ),
    (
        "refresh_token",
        "hash",
        "expires_at IS NOT NULL AND state = 'active' AND expires_at <= ?2",
    ),
    (
        "grant_family",
        "id",
        "expires_at IS NOT NULL AND expires_at <= ?2",
    ),
];

const TABLES: [&str; 14] = [
    "consumer",
    "client",
    "client_secret",
    "user_account",
    "grant_family",
    "authorization_code",
    "access_token",
    "refresh_token",
    "device_code",
    "handle",
    "replay",
    "revocation",
    "consent",
    "audit",
];

impl Upkeep for Sqlite {
    fn sweep(
        &self,
        now: Millis,
        retain: Duration,
        limit: Duration,
    ) -> Result<Vec<(&'static str, u64)>, StoreError> {
        let until = Instant::now() + limit;
        let kept = Millis(now.0.saturating_sub(Millis(0).plus(retain).0));
        let mut deleted = Vec::new();
        for (table, key, over) in EXPIRING {
            let mut count = 0;
            while Instant::now() < until {
                let sql = format!(
                    "DELETE FROM {table} WHERE {key} IN \
                     (SELECT {} FROM {table} WHERE {over} AND ?1 >= ?2 LIMIT {BATCH})",
                    key.trim_matches(['(', ')'])
                );
                let step = self
                    .engine
                    .write(move |write| execute(write.connection, &sql, params![now, kept]));
                let rows = step.wait()?;
                count += rows as u64;
                if rows < BATCH {
                    break;
                }
            }
            if count > 0 {
                deleted.push((*table, count));
            }
        }
        // The value of a successor is of no use when no grace is as long (`grace` has a bound).
        let stale = Millis(now.0.saturating_sub(Millis(0).plus(super::LONGEST_GRACE).0));
        self.engine
            .write(move |write| {
                execute(
                    write.connection,
                    "UPDATE refresh_token SET successor = NULL \
                     WHERE successor IS NOT NULL AND rotated_at <= ?",
                    [stale],
                )
            })
            .wait()?;
        self.revoked.expire(now);
        Ok(deleted)
    }

    fn rows(&self) -> Answer<Vec<(&'static str, u64)>> {
        self.engine.read(|connection| {
            let count = |table: &'static str| {
                let sql = format!("SELECT count(*) FROM {table}");
                let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
                Ok((table, rows.unsigned_abs()))
            };
            TABLES.into_iter().map(count).collect()
        })
    }

    fn describe(&self) -> String {
        match &self.path {
            Some(path) => format!("sqlite:{}", path.display()),
            None => "sqlite::memory:".to_owned(),
        }
    }
}

/// Pages copied at a time; writers get in between.
const PAGES: i32 = 256;

/// Copies a database, in use or not, into a new file with mode 0600, and checks the copy.
pub fn backup(from: &Path, to: &Path) -> Result<(), OpenError> {
    if to.exists() {
        return Err(OpenError::Exists(to.to_owned()));
    }
    let source = read_only(from)?;
    super::create(to)?;
    let mut target = Connection::open(to)?;
    {
        let copy = Backup::new(&source, &mut target)?;
        loop {
            match copy.step(PAGES)? {
                StepResult::Done => break,
                StepResult::More => {}
                // The source is busy.
                _ => std::thread::park_timeout(Duration::from_millis(50)),
            }
        }
    }
    // The copy is one file, without a journal beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    check(&target)
}

/// Puts a copy in the place of a database that nobody uses. The copy is checked first, and the database
/// stays until the copy is complete beside it.
pub fn restore(from: &Path, to: &Path) -> Result<(), OpenError> {
    let _lock = super::lock(to)?;
    check(&read_only(from)?)?;
    let mut beside = to.as_os_str().to_owned();
    beside.push(".restored");
    let beside = std::path::PathBuf::from(beside);
    let io = |source| OpenError::File {
        path: to.to_owned(),
        source,
    };
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    backup(from, &beside)?;
    std::fs::File::open(&beside)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    // A journal of the old database must not be played into the new one.
    for companion in ["-wal", "-shm"] {
        let mut name = to.as_os_str().to_owned();
        name.push(companion);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    std::fs::rename(&beside, to).map_err(io)
}

/// Sealed columns: table, column, what names the row in the seal, and where it belongs.
const SEALED: [(&str, &str, &str, Place); 4] = [
    ("access_token", "sealed", "id", Place::AccessToken),
    ("refresh_token", "sealed", "id", Place::RefreshToken),
    ("client_secret", "sealed", "id", Place::ClientSecret),
    (
        "signing_key",
        "private",
        "server || '/' || kid",
        Place::SigningKey,
    ),
];

impl Sqlite {
    /// Seals everything under the first key, in steps; how many values were under another one. Blocks.
    pub fn rekey(&self, vault: &Vault) -> Result<u64, StoreError> {
        let mut resealed = 0;
        for (table, column, name, place) in SEALED {
            let sql = format!("SELECT {name}, {column} FROM {table} WHERE {column} IS NOT NULL");
            let rows: Vec<(Value, Sealed)> = self
                .engine
                .read(move |connection| {
                    let mut statement = connection.prepare(&sql)?;
                    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    Ok(rows.collect::<Result<_, _>>()?)
                })
                .wait()?;
            for rows in rows.chunks(BATCH) {
                let mut changes = Vec::new();
                for (key, sealed) in rows {
                    if let Some(sealed) = vault.reseal(place, &name_of(key), sealed)? {
                        changes.push((sealed, key.clone()));
                    }
                }
                resealed += changes.len() as u64;
                let sql = format!("UPDATE {table} SET {column} = ? WHERE {name} = ?");
                let step = self.engine.write(move |write| {
                    for change in changes {
                        execute(write.connection, &sql, change)?;
                    }
                    Ok(())
                });
                step.wait()?;
            }
        }
        Ok(resealed)
    }
}

/// The name of a row in its seal.
fn name_of(key: &Value) -> String {
    match key {
        Value::Blob(bytes) => uuid::Uuid::from_slice(bytes)
            .unwrap_or_default()
            .to_string(),
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}

/// Whether SQLite finds the file sound.
pub fn check(connection: &Connection) -> Result<(), OpenError> {
    let answer: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if answer != "ok" {
        return Err(OpenError::Damaged(answer));
    }
    let broken: Option<String> = connection
        .query_row(
            "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1",
            [],
            |row| row.get(0),
        )
        .map(Some)
        .or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(None),
            error => Err(error),
        })?;
    match broken {
        Some(table) => Err(OpenError::Damaged(format!(
            "a row of {table} refers to one that is missing"
        ))),
        None => Ok(()),
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(failed(error))
    }
}
