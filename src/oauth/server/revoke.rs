//! Revocation (RFC 7009): at once in this process.

use super::answer::{Answer, Notes, Request};
use super::check::Rejected;
use super::fault::{Condition, Fault};
use super::revocations::Kind;
use super::{Server, event, now};
use bytes::Bytes;
use http::{StatusCode, header};
use std::time::Duration;

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
    match server.check(token).await {
        Ok(good) => {
            if *good.facts.client_id != *caller.client.id {
                return Err(Fault::new(Condition::RevokeForeign));
            }
            server.revoke_access(&good.facts);
            event::write(
                server,
                "token_revoked",
                &[("client_id", &caller.client.id), ("jti", &good.facts.jti)],
            );
        }
        // What is unknown or has ended is revoked already (RFC 7009 §2.2).
        Err(Rejected::Invalid(_) | Rejected::Expired | Rejected::Revoked) => {}
        Err(Rejected::Unavailable) => return Err(Fault::unavailable("the store")),
    }
    let mut answer = Answer::new(StatusCode::OK, Bytes::new());
    answer.header(header::CONTENT_LENGTH, "0");
    Ok(answer)
}

impl Server {
    /// Ends one access token.
    fn revoke_access(&self, facts: &super::check::Facts) {
        let now = now();
        let end = facts
            .ends
            .unwrap_or(now.plus(Duration::from_secs(u64::from(u32::MAX))));
        let until = end.plus(Duration::from_secs(60));
        let set = &self.state.revocations;
        set.add(Kind::Jti, &facts.jti, facts.issued, until, now);
        if let Some(family) = facts.family.as_deref().filter(|_| self.cascade) {
            let milliseconds = (now.seconds_f64() * 1000.0).round();
            #[expect(clippy::cast_possible_truncation, reason = "times fit")]
            set.add(Kind::Grant, family, milliseconds as i64, until, now);
        }
    }
}
