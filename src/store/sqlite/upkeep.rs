//! Deleting what has expired, counting, copying.

use super::rows::execute;
use super::{OpenError, Sqlite, failed, read_only};
use crate::store::{Answer, Millis, StoreError, Upkeep};
use rusqlite::backup::{Backup, StepResult};
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
