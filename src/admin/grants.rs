//! `/grants`: families of tokens, listed and revoked.

use super::applications::rfc3339;
use super::problem::Problem;
use super::{Admin, Asked, Outcome, Reply, page};
use crate::store::GrantFamily;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

fn show(family: &GrantFamily) -> Value {
    json!({
        "id": family.id,
        "authorization_server": family.server,
        "client_id": family.client_id,
        "credential": {"id": family.client_key},
        "subject": family.subject,
        "scope": family.scope.join(" "),
        "resources": family.resources,
        "created_at": family.created_at.seconds(),
        "expires_at": family.expires_at.map(rfc3339),
        "revoked_at": family.revoked_at.map(rfc3339),
    })
}

impl Admin {
    pub(super) async fn grants(&self, asked: &Asked<'_>) -> Outcome {
        if !matches!(*asked.call.method, Method::GET | Method::HEAD) {
            return Err(Problem::Method);
        }
        let subject = asked.option("subject").map(str::to_owned);
        let client = match asked.option("client_id") {
            None => None,
            Some(key) => {
                let found = self.find_client(key).await?;
                Some(found.map_or(Uuid::nil(), |found| found.client.id))
            }
        };
        let stored = |page| self.store.families(subject, client, page);
        page::list(asked, Vec::new(), |family| family.id, stored, show).await
    }

    pub(super) async fn grant(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        let id = Uuid::try_parse(key).map_err(|_| Problem::NotFound)?;
        let found = self.store.family(id).await?;
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                let family = found.ok_or(Problem::NotFound)?;
                Ok(Reply::json(StatusCode::OK, &show(&family)))
            }
            Method::DELETE => {
                if let Some(family) = found {
                    let cut = self.cut(asked);
                    self.store.revoke_family(id, &family.server, cut).await?;
                    self.note(asked, "token_revoked", key).await?;
                }
                Ok(Reply::empty(StatusCode::NO_CONTENT))
            }
            _ => Err(Problem::Method),
        }
    }
}
