//! `/status`, `/services`, `/scopes`, `/signing_keys`, `/audit`: how things are.

use super::applications::rfc3339;
use super::problem::Problem;
use super::{Admin, Asked, Outcome, Reply};
use crate::store::{AuditEntry, KeyState, StoredKey};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

/// Entries of the audit chain in one answer.
const MOST: u32 = 1000;

/// What Kong can make and change here is declared in the configuration file.
pub(super) fn declared() -> Problem {
    let message = "services, routes and plugins are declared in the configuration file";
    Problem::Plain(StatusCode::METHOD_NOT_ALLOWED, message.into())
}

fn read_only(asked: &Asked<'_>) -> Result<(), Problem> {
    match *asked.call.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Problem::Method),
    }
}

fn show_key(key: &StoredKey) -> Value {
    json!({
        "kid": key.kid,
        "authorization_server": key.server,
        "label": key.label,
        "algorithm": key.algorithm,
        "state": match key.state {
            KeyState::Next => "next",
            KeyState::Active => "active",
            KeyState::Retired => "retired",
        },
        "public_jwk": key.public_jwk,
        "not_before": rfc3339(key.not_before),
        "retire_at": key.retire_at.map(rfc3339),
        "remove_at": key.remove_at.map(rfc3339),
    })
}

fn show_entry(entry: &AuditEntry) -> Value {
    json!({
        "seq": entry.seq,
        "at": rfc3339(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
        "previous": entry.previous,
        "hash": entry.hash,
    })
}

fn listed(data: &[Value]) -> Reply {
    let body = json!({"data": data, "next": null, "total": data.len()});
    Reply::json(StatusCode::OK, &body)
}

impl Admin {
    pub(super) async fn status(&self, asked: &Asked<'_>) -> Outcome {
        read_only(asked)?;
        let rows = self.store.rows().await;
        let storage = match &rows {
            Ok(_) => "up",
            Err(_) => "down",
        };
        let rows: Map<String, Value> = rows
            .unwrap_or_default()
            .into_iter()
            .map(|(table, count)| (table.to_owned(), count.into()))
            .collect();
        let servers: Vec<&str> = self
            .declared
            .servers
            .iter()
            .map(|server| server.label.as_str())
            .collect();
        let body = json!({
            "version": crate::VERSION,
            "storage": {
                "state": storage,
                "url": self.store.describe(),
                "rows": rows,
                "token_storage": if self.vault.seals_tokens() { "sealed" } else { "hash" },
                "secret_storage": if self.vault.seals_secrets() { "sealed" } else { "hash" },
            },
            "revocations": self.store.revoked().len(),
            "authorization_servers": servers,
        });
        Ok(Reply::json(StatusCode::OK, &body))
    }

    pub(super) fn services(&self, asked: &Asked<'_>) -> Outcome {
        if read_only(asked).is_err() {
            return Err(declared());
        }
        let services = self.declared.services.iter();
        let data: Vec<Value> = services
            .map(|label| json!({"id": label, "name": label}))
            .collect();
        Ok(listed(&data))
    }

    pub(super) fn scopes(&self, asked: &Asked<'_>) -> Outcome {
        read_only(asked)?;
        let all = self.declared.servers.iter().flat_map(|server| {
            let show = |name| json!({"name": name, "authorization_server": server.label});
            server.scopes.iter().map(show)
        });
        Ok(listed(&all.collect::<Vec<_>>()))
    }

    pub(super) async fn signing_keys(&self, asked: &Asked<'_>) -> Outcome {
        read_only(asked)?;
        let mut data = Vec::new();
        for server in &self.declared.servers {
            let keys = self.store.keys(&server.label).await?;
            data.extend(keys.iter().map(show_key));
        }
        Ok(listed(&data))
    }

    pub(super) async fn audit_log(&self, asked: &Asked<'_>) -> Outcome {
        read_only(asked)?;
        let after = match asked.option("since") {
            None => 0,
            Some(text) => text
                .parse()
                .map_err(|_| Problem::Option("since: expected a number".into()))?,
        };
        let entries = self.store.audit_log(after, MOST).await?;
        let data: Vec<Value> = entries.iter().map(show_entry).collect();
        let last = entries.last().filter(|_| data.len() == MOST as usize);
        let next = last.map(|entry| format!("/audit?since={}", entry.seq));
        let body = json!({"data": data, "next": next});
        Ok(Reply::json(StatusCode::OK, &body))
    }
}
