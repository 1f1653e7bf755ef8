//! Revocation (RFC 7009): at once in this process, also for tokens that were verified before.

use super::answer::{Answer, Notes, Request};
use super::authentication::Caller;
use super::backing::known;
use super::check::{Facts, Rejected};
use super::fault::{Condition, Fault};
use super::{Server, event};
use crate::store::{Digest, RevocationKind};
use bytes::Bytes;
use http::{StatusCode, header};

pub(super) async fn answer(
    server: &Server,
    request: &Request<'_>,
    notes: &mut Notes,
) -> Result<Answer, Fault> {
    let parameters = server.parameters(request)?;
    let caller = server.authenticate(request, &parameters, notes).await?;
    let token = parameters
        .get("token")
        .ok_or_else(|| Fault::new(Condition::RevokeMissing))?;
    notes.token_ref = Some(event::token_ref(&super::sha256(token.as_bytes())));
    if !refresh_token(server, &caller, token).await? {
        access_token(server, &caller, token).await?;
    }
    let mut answer = Answer::new(StatusCode::OK, Bytes::new());
    answer.header(header::CONTENT_LENGTH, "0");
    Ok(answer)
}

/// Ends the grant of a refresh token; whether the token is one.
async fn refresh_token(server: &Server, caller: &Caller, token: &str) -> Result<bool, Fault> {
    let Some(store) = server.backing.store().filter(|_| token.len() <= 1024) else {
        return Ok(false);
    };
    let stored = known(store.refresh_token(Digest::of(token))).await?;
    let Some(stored) = stored.filter(|stored| stored.family.server == *server.label) else {
        return Ok(false);
    };
    if stored.family.client_key != caller.client.pk {
        return Err(Fault::new(Condition::RevokeForeign));
    }
    server
        .end_family(stored.family.id, &caller.client.id)
        .await?;
    let gid = stored.family.id.to_string();
    let fields = [("client_id", &*caller.client.id), ("gid", &*gid)];
    event::write(server, "token_revoked", &fields);
    Ok(true)
}

async fn access_token(server: &Server, caller: &Caller, token: &str) -> Result<(), Fault> {
    match server.check(token).await {
        Ok(good) => {
            if *good.facts.client_id != *caller.client.id {
                return Err(Fault::new(Condition::RevokeForeign));
            }
            server.end_access(&good.facts, &caller.client.id).await?;
            let fields = [("client_id", &*caller.client.id), ("jti", &*good.facts.jti)];
            event::write(server, "token_revoked", &fields);
            Ok(())
        }
        // What is unknown or has ended is revoked already (RFC 7009 §2.2).
        Err(Rejected::Invalid(_) | Rejected::Expired | Rejected::Revoked) => Ok(()),
        Err(Rejected::Unavailable) => Err(Fault::unavailable("the store")),
    }
}

impl Server {
    /// Ends one access token, and its grant if that is configured.
    async fn end_access(&self, facts: &Facts, client: &str) -> Result<(), Fault> {
        let cut = self.cut(format!("client:{client}"));
        let id = uuid::Uuid::parse_str(&facts.jti).ok();
        match (facts.opaque, id, self.backing.store()) {
            (true, Some(id), Some(store)) => {
                known(store.revoke_access(id, cut.clone())).await?;
            }
            _ => {
                let entry = cut.entry(RevocationKind::Jti, &*facts.jti, &self.label);
                self.backing.revoke(entry).await?;
            }
        }
        if let Some(family) = facts.family.as_deref().filter(|_| self.cascade) {
            let entry = cut.entry(RevocationKind::Grant, family, &self.label);
            self.backing.revoke(entry).await?;
        }
        Ok(())
    }
}
