//! The refresh token grant (RFC 6749 §6): a new access token, and with rotation a new refresh token
//! in the place of the old one, which still gives the same successor for a short while.

use super::answer::{Notes, Request};
use super::authentication::Caller;
use super::backing::{known, millis};
use super::client::Client;
use super::fault::{Condition, Fault};
use super::grant::Grant;
use super::issue::{Confirmation, Order, certificate_binding};
use super::parameters::Parameters;
use super::resource::narrowed_resources;
use super::token::{Refresh, Success};
use super::{Rotation, Server, event};
use crate::store::{Digest, RefreshState, Rotate, Rotation as Rotated, StoredRefresh};

use crate::store::vault::{open_under, seal_under};

/// What the successor's value is sealed for.
const PURPOSE: &str = "refresh_token/successor";

pub(super) async fn grant(
    server: &Server,
    request: &Request<'_>,
    parameters: &Parameters<'_>,
    caller: &Caller,
    notes: &mut Notes,
) -> Result<Success, Fault> {
    let value = parameters
        .get("refresh_token")
        .ok_or_else(|| Fault::new(Condition::RefreshMissing))?;
    let store = server.backing.needed()?;
    let stored = known(store.refresh_token(Digest::of(value)))
        .await?
        .filter(|stored| stored.family.server == *server.label)
        .ok_or_else(|| Fault::new(Condition::Refresh).because("unknown token"))?;
    let client = &caller.client;
    if stored.family.client_key != client.pk {
        return Err(Fault::new(Condition::RefreshForeign));
    }
    if is_over(&stored) {
        return Err(Fault::new(Condition::Refresh).because("revoked or expired"));
    }
    let family = &stored.family;
    let granted: Vec<Box<str>> = family
        .scope
        .iter()
        .map(|name| name.as_str().into())
        .collect();
    let scope = server.narrow_scope(&granted, parameters.get("scope"))?;
    let resources = narrowed_resources(&family.resources, parameters)?;
    let order = Order {
        client,
        grant: Grant::RefreshToken,
        user: family.subject.as_deref(),
        scope: &scope,
        audience: server.audience_for(client, &resources, &scope),
        confirmation: Confirmation {
            jkt: None,
            x5t: certificate_binding(caller)?,
        },
        family: Some(family.id),
        details: family.details.clone(),
        not_after: None,
        service: server.service(request),
    };
    let access = server.issue(request, &order, notes).await?;
    let refresh = if rotates(server, client) {
        let rotated = rotate(server, value, &stored, &order, &access).await?;
        Some(rotated)
    } else {
        Some(keep(server, value, &stored, &order, &access).await?)
    };
    Ok(Success {
        access,
        refresh,
        client: client.id.to_string(),
        scope,
        issued_token_type: None,
    })
}

/// Whether no use of the token can be good; a rotated one may still be within its grace.
fn is_over(stored: &StoredRefresh) -> bool {
    let now = millis();
    stored.token.state == RefreshState::Revoked
        || stored.family.revoked_at.is_some()
        || stored.token.expires_at.is_some_and(|end| end <= now)
        || stored.family.expires_at.is_some_and(|end| end <= now)
}

/// Tokens of public clients are never used twice (RFC 9700 §4.14.2).
fn rotates(server: &Server, client: &Client) -> bool {
    match server.refresh.rotation {
        Rotation::Always => true,
        Rotation::PublicOnly | Rotation::Never => client.is_public(),
    }
}

async fn rotate(
    server: &Server,
    value: &str,
    stored: &StoredRefresh,
    order: &Order<'_>,
    access: &super::issue::Issued,
) -> Result<Refresh, Fault> {
    let client = order.client;
    let (mut refresh, successor) = server.refresh_row(
        client,
        &stored.family,
        Some(stored.token.id),
        access,
        stored.token.confirmation.clone(),
    )?;
    let sealed = seal_under(value, PURPOSE, refresh.value.as_bytes()).map_err(Fault::from)?;
    let settings = &server.refresh;
    let cut = || server.cut(format!("client:{}", client.id));
    let rotate = Rotate {
        hash: stored.token.hash,
        now: millis(),
        grace: settings.grace,
        grace_uses: settings.grace_uses,
        access: server.access_row(order, access, Some(successor.id))?,
        successor,
        successor_sealed: sealed,
        invalidate_access: settings.invalidate_access.then(cut),
        revoke_on_reuse: settings.revoke_family.then(cut),
    };
    match known(server.backing.needed()?.rotate(rotate)).await? {
        Rotated::Rotated => Ok(refresh),
        Rotated::Replayed { successor } => {
            let plain = open_under(value, PURPOSE, &successor).map_err(Fault::from)?;
            let text = std::str::from_utf8(&plain);
            text.map_err(|_| Fault::server("a damaged successor"))?
                .clone_into(&mut refresh.value);
            Ok(refresh)
        }
        Rotated::Reused { family, .. } => {
            let family = family.to_string();
            let fields = [("client_id", &*client.id), ("gid", &*family)];
            event::write(server, "refresh_reuse", &fields);
            Err(Fault::new(Condition::Refresh).because("used before"))
        }
        Rotated::Unknown => Err(Fault::new(Condition::Refresh).because("revoked or expired")),
    }
}

/// The token stays, and lives on.
async fn keep(
    server: &Server,
    value: &str,
    stored: &StoredRefresh,
    order: &Order<'_>,
    access: &super::issue::Issued,
) -> Result<Refresh, Fault> {
    let now = millis();
    let idle = now.plus(order.client.ttl.refresh_token_idle);
    let end = stored.token.issued_at.plus(order.client.ttl.refresh_token);
    let expires_at = stored
        .family
        .expires_at
        .map_or(idle.min(end), |f| idle.min(end).min(f));
    let invalidate = server.refresh.invalidate_access;
    let kept = server.backing.needed()?.keep_refresh(
        stored.token.hash,
        now,
        Some(expires_at),
        server.access_row(order, access, Some(stored.token.id))?,
        invalidate.then(|| server.cut(format!("client:{}", order.client.id))),
    );
    if known(kept).await? {
        Ok(Refresh {
            value: value.to_owned(),
            expires_in: (expires_at.0 - now.0).div_euclid(1000).max(0),
        })
    } else {
        Err(Fault::new(Condition::Refresh).because("revoked or expired"))
    }
}
