//! The schema: numbered steps forward, each with the checksum it was applied with.

use super::{OpenError, failed};
use crate::store::{Digest, Millis};
use rusqlite::{Connection, TransactionBehavior, params};

/// Marks the file as ours (`PRAGMA application_id`): "gwst".
const APPLICATION: i32 = 0x6777_7374;

/// One step.
struct Migration {
    version: i64,
    name: &'static str,
    /// The oldest program, by the newest step it knows, that works with the schema after this step.
    min_binary: i64,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    min_binary: 1,
    sql: include_str!("migrations/0001_initial.sql"),
}];

/// The newest step this program knows.
pub(super) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |step| step.version)
}

/// What was done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The step it was at.
    pub from: i64,
    /// The step it is at.
    pub to: i64,
}

/// Brings the schema up to date, or only checks that nothing is missing.
pub(super) fn run(connection: &mut Connection, apply: bool) -> Result<Migrated, OpenError> {
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
        [],
        |row| row.get(0),
    )?;
    if application != APPLICATION && (application != 0 || tables > 0) {
        return Err(OpenError::Foreign);
    }
    let known = applied(&transaction, tables > 0)?;
    for (version, checksum, min_binary) in &known {
        match MIGRATIONS.iter().find(|step| step.version == *version) {
            Some(step) if Digest::of(step.sql).to_string() != *checksum => {
                return Err(OpenError::Edited(*version));
            }
            None if *min_binary > newest() => {
                return Err(OpenError::Newer {
                    found: *version,
                    known: newest(),
                });
            }
            Some(_) | None => {}
        }
    }
    let from = known.last().map_or(0, |(version, ..)| *version);
    let missing = MIGRATIONS.iter().filter(|step| step.version > from);
    let mut to = from;
    for step in missing {
        if !apply {
            return Err(OpenError::Behind {
                found: from,
                known: newest(),
            });
        }
        transaction.execute_batch(step.sql)?;
        transaction.execute(
            "INSERT INTO schema_migration (version, name, checksum, applied_at, min_binary) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                step.version,
                step.name,
                Digest::of(step.sql).to_string(),
                Millis::now(&crate::clock::Clock::System).0,
                step.min_binary
            ],
        )?;
        to = step.version;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()?;
    Ok(Migrated { from, to })
}

fn applied(connection: &Connection, used: bool) -> Result<Vec<(i64, String, i64)>, OpenError> {
    if !used {
        connection.execute_batch(
            "CREATE TABLE schema_migration (
               version    INTEGER PRIMARY KEY,
               name       TEXT NOT NULL,
               checksum   TEXT NOT NULL,
               applied_at INTEGER NOT NULL,
               min_binary INTEGER NOT NULL
             )",
        )?;
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare("SELECT version, checksum, min_binary FROM schema_migration ORDER BY version")
        .map_err(|error| OpenError::Store(failed(error)))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
