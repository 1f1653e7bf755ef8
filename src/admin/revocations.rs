//! `/revocations`: the log, and cut-offs by time ("not before").

use super::applications::rfc3339;
use super::fields::Change;
use super::problem::Problem;
use super::{Admin, Asked, Outcome, Reply};
use crate::store::{Millis, Revocation, RevocationKind};
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// Entries in one answer.
const MOST: u32 = 1000;

fn show(entry: &Revocation) -> Value {
    json!({
        "seq": entry.seq,
        "kind": entry.kind.as_str(),
        "value": entry.value,
        "authorization_server": entry.server,
        "not_before": rfc3339(entry.not_before),
        "expires_at": rfc3339(entry.expires_at),
        "actor": entry.actor,
        "created_at": entry.created_at.seconds(),
    })
}

impl Admin {
    pub(super) async fn revocations(&self, asked: &Asked<'_>) -> Outcome {
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                let after = match asked.option("since") {
                    None => 0,
                    Some(text) => text
                        .parse()
                        .map_err(|_| Problem::Option("since: expected a number".into()))?,
                };
                let entries = self.store.revocations(after, MOST).await?;
                let data: Vec<Value> = entries.iter().map(show).collect();
                let body = json!({"data": data, "next": null});
                Ok(Reply::json(StatusCode::OK, &body))
            }
            Method::POST => self.add_revocation(asked).await,
            _ => Err(Problem::Method),
        }
    }

    async fn add_revocation(&self, asked: &Asked<'_>) -> Outcome {
        let mut fields = asked.fields()?;
        let kinds = RevocationKind::ALL.map(RevocationKind::as_str);
        let kind = fields.choice("kind", &kinds);
        let value = fields.text("value");
        let not_before = fields.time("not_before", asked.now.0);
        let label = fields.text("authorization_server").given();
        if matches!(kind, Change::Keep | Change::Clear) && !fields.has("kind") {
            fields.missing("kind");
        }
        let kind = kind.given().and_then(|kind| RevocationKind::of(&kind));
        let value = value.given();
        if value.is_none() && kind != Some(RevocationKind::Issuer) && !fields.has("value") {
            fields.missing("value");
        }
        let not_before = match not_before {
            Change::Set(time) => Millis(time),
            Change::Clear | Change::Keep => asked.now,
        };
        if not_before > asked.now.plus(std::time::Duration::from_secs(60)) {
            fields.wrong("not_before", "expected a time that has come");
        }
        fields.finish()?;
        let Some(kind) = kind else {
            return Err(Problem::field("kind", "required field missing"));
        };
        let server = self.server(label.as_deref())?;
        // The issuer is known by its label.
        let value = match kind {
            RevocationKind::Issuer => server.label.clone(),
            _ => value.unwrap_or_default(),
        };
        let mut entry = self.cut(asked).entry(kind, value, &server.label);
        entry.not_before = not_before;
        let entry = self.store.revoke(entry).await?;
        let target = format!("{} {}", kind.as_str(), entry.value);
        self.note(asked, "token_revoked", &target).await?;
        Ok(Reply::json(StatusCode::CREATED, &show(&entry)))
    }
}
