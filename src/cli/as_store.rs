//! `gateway as migrate`, `backup`, `restore`, `rekey`, `revoke`, `audit-verify`.

use super::as_task::Place;
use crate::clock::Clock;
use crate::store::{AuditEntry, Cut, Millis, RevocationKind, sqlite};
use std::path::Path;
use std::time::Duration;

/// Who does it, in the log of revocations and the audit chain.
const ACTOR: &str = "admin:command-line";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The file of the database; a task on one in memory makes no sense.
fn path(place: &Place) -> Result<&Path, String> {
    let path = place.storage.database.path();
    path.ok_or_else(|| "the storage is in memory".to_owned())
}

pub(super) fn migrate(place: &Place) -> Result<String, String> {
    let mut options = place.storage.database.options().clone();
    options.migrate = true;
    let store = sqlite::Sqlite::open(&options).map_err(text)?;
    let migrated = store.migrated();
    Ok(if migrated.from == migrated.to {
        format!("the database is at schema {} already", migrated.to)
    } else {
        let (from, to) = (migrated.from, migrated.to);
        format!("the database went from schema {from} to {to}")
    })
}

pub(super) fn backup(place: &Place, to: &Path) -> Result<String, String> {
    sqlite::backup(path(place)?, to).map_err(text)?;
    Ok(format!("copied to {}", to.display()))
}

pub(super) fn restore(place: &Place, from: &Path) -> Result<String, String> {
    sqlite::restore(from, path(place)?).map_err(text)?;
    Ok(format!("restored from {}", from.display()))
}

pub(super) fn rekey(place: &Place) -> Result<String, String> {
    if !place.storage.vault.has_key() {
        return Err("the storage has no `encryption_key`".into());
    }
    let store = sqlite::Sqlite::open(place.storage.database.options()).map_err(text)?;
    let resealed = store.rekey(&place.storage.vault).map_err(text)?;
    Ok(format!(
        "{resealed} values were sealed anew; keep the old key in the list while client secrets made under it are in use"
    ))
}

pub(super) fn revoke(
    place: &Place,
    kind: RevocationKind,
    value: &str,
    server: Option<&str>,
) -> Result<String, String> {
    let label = place.server(server)?;
    let servers = &place.tree.authorization_servers;
    let longest = servers.iter().map(|server| server.ttl.longest()).max();
    let store = place.storage.database.open().map_err(text)?;
    let now = Millis::now(&Clock::System);
    let cut = Cut {
        at: now,
        until: now.plus(longest.unwrap_or_default() + Duration::from_secs(300)),
        actor: ACTOR.to_owned(),
    };
    let value = match kind {
        RevocationKind::Issuer => label.as_str(),
        _ => value,
    };
    store
        .revoke(cut.entry(kind, value, &label))
        .wait()
        .map_err(text)?;
    if let (RevocationKind::Grant, Ok(id)) = (kind, uuid::Uuid::try_parse(value)) {
        store.revoke_family(id, &label, cut).wait().map_err(text)?;
    }
    let target = format!("{} {value}", kind.as_str());
    let entry = AuditEntry::new(now, ACTOR, "token_revoked", &target);
    store.audit(entry).wait().map_err(text)?;
    Ok(format!(
        "all tokens of {target} that were issued by now are revoked"
    ))
}

pub(super) fn audit_verify(place: &Place) -> Result<String, String> {
    let store = place.storage.database.open().map_err(text)?;
    let (mut previous, mut last, mut count) = (None::<String>, 0, 0_u64);
    loop {
        let entries = store.audit_log(last, 1000).wait().map_err(text)?;
        if entries.is_empty() {
            return Ok(format!("{count} entries, the chain is whole"));
        }
        for entry in entries {
            let before = previous.as_deref().unwrap_or("");
            if entry.previous != before || entry.hash != entry.chained(before) {
                return Err(format!("the chain is broken at entry {}", entry.seq));
            }
            (last, count) = (entry.seq, count + 1);
            previous = Some(entry.hash);
        }
    }
}
