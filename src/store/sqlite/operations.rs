//! Replays, revocations, keys, audit, leases.

use super::rows::{Id, Json, execute, find, insert, select};
use super::{Sqlite, Write};
use crate::store::{
    Answer, Audit, AuditEntry, Digest, Keys, Leases, Millis, Replay, Revocation, RevocationSet,
    Revocations, StoreError, StoredKey,
};
use std::sync::Arc;
use uuid::Uuid;

/// Writes an entry into the log, and into the set once this is committed.
pub(super) fn log_revocation(
    write: &mut Write<'_>,
    revocation: Revocation,
) -> Result<(), StoreError> {
    logged(write, revocation).map(|_| ())
}

fn logged(write: &mut Write<'_>, mut entry: Revocation) -> Result<Revocation, StoreError> {
    let key = (entry.kind, &entry.value, &entry.server);
    let condition = "kind = ? AND value = ? AND server = ?";
    if let Some(old) = find::<Revocation>(write.connection, condition, key)? {
        entry.not_before = entry.not_before.max(old.not_before);
        entry.expires_at = entry.expires_at.max(old.expires_at);
        let sql = "DELETE FROM revocation WHERE seq = ?";
        execute(write.connection, sql, [old.seq])?;
    }
    insert!(write.connection, "INSERT", "revocation", {
        kind: entry.kind,
        value: entry.value,
        server: entry.server,
        not_before: entry.not_before,
        expires_at: entry.expires_at,
        actor: entry.actor,
        created_at: entry.created_at,
    })?;
    entry.seq = write.connection.last_insert_rowid();
    write.revoked.push(entry.clone());
    Ok(entry)
}

impl Replay for Sqlite {
    fn first_use(&self, digest: Digest, now: Millis, expires_at: Millis) -> Answer<bool> {
        self.engine.write(move |write| {
            let changed = execute(
                write.connection,
                "INSERT INTO replay (digest, expires_at) VALUES (?1, ?2) \
                 ON CONFLICT (digest) DO UPDATE SET expires_at = ?2 WHERE expires_at <= ?3",
                (digest, expires_at, now),
            )?;
            Ok(changed > 0)
        })
    }
}

impl Revocations for Sqlite {
    fn revoked(&self) -> &Arc<RevocationSet> {
        &self.revoked
    }

    fn revoke(&self, revocation: Revocation) -> Answer<Revocation> {
        self.engine.write(move |write| logged(write, revocation))
    }

    fn revocations(&self, after: i64, limit: u32) -> Answer<Vec<Revocation>> {
        self.engine.read(move |connection| {
            select(
                connection,
                "WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            )
        })
    }
}

impl Keys for Sqlite {
    fn keys(&self, server: &str) -> Answer<Vec<StoredKey>> {
        let server = server.to_owned();
        self.engine.read(move |connection| {
            select(connection, "WHERE server = ? ORDER BY created_at", [server])
        })
    }

    fn put_keys(&self, keys: Vec<StoredKey>) -> Answer<()> {
        self.engine.write(move |write| {
            for key in &keys {
                insert!(write.connection, "INSERT OR REPLACE", "signing_key", {
                    server: key.server,
                    kid: key.kid,
                    label: key.label,
                    algorithm: key.algorithm,
                    state: key.state,
                    public_jwk: Json(&key.public_jwk),
                    private: key.private,
                    not_before: key.not_before,
                    retire_at: key.retire_at,
                    remove_at: key.remove_at,
                    created_at: key.created_at,
                })?;
            }
            Ok(())
        })
    }

    fn remove_key(&self, server: &str, kid: &str) -> Answer<bool> {
        let key = (server.to_owned(), kid.to_owned());
        self.engine.write(move |write| {
            let sql = "DELETE FROM signing_key WHERE server = ? AND kid = ?";
            Ok(execute(write.connection, sql, key)? > 0)
        })
    }
}

impl Audit for Sqlite {
    fn audit(&self, mut entry: AuditEntry) -> Answer<AuditEntry> {
        self.engine.write(move |write| {
            let rest = "ORDER BY seq DESC LIMIT 1";
            let last = select::<AuditEntry>(write.connection, rest, [])?.pop();
            (entry.seq, entry.previous) =
                last.map_or((1, String::new()), |last| (last.seq + 1, last.hash));
            entry.hash = entry.chained(&entry.previous);
            insert!(write.connection, "INSERT", "audit", {
                seq: entry.seq,
                at: entry.at,
                actor: entry.actor,
                action: entry.action,
                target: entry.target,
                detail: Json(&entry.detail),
                previous: entry.previous,
                hash: entry.hash,
            })?;
            Ok(entry)
        })
    }

    fn audit_log(&self, after: i64, limit: u32) -> Answer<Vec<AuditEntry>> {
        self.engine.read(move |connection| {
            select(
                connection,
                "WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            )
        })
    }
}

impl Leases for Sqlite {
    fn acquire(&self, name: &str, holder: Uuid, now: Millis, until: Millis) -> Answer<bool> {
        let name = name.to_owned();
        self.engine.write(move |write| {
            let changed = execute(
                write.connection,
                "INSERT INTO lease (name, holder, expires_at) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (name) DO UPDATE SET holder = ?2, expires_at = ?3 \
                 WHERE holder = ?2 OR expires_at <= ?4",
                (name, Id(holder), until, now),
            )?;
            Ok(changed > 0)
        })
    }

    fn release(&self, name: &str, holder: Uuid) -> Answer<()> {
        let name = name.to_owned();
        self.engine.write(move |write| {
            let sql = "DELETE FROM lease WHERE name = ? AND holder = ?";
            execute(write.connection, sql, (name, Id(holder))).map(|_| ())
        })
    }
}
