//! The password grant (RFC 6749 §4.3), deprecated: a user whom the operator's page vouches for, or
//! one of the built-in table.

use super::answer::{Notes, Request};
use super::authentication::Caller;
use super::backing::{known, millis};
use super::fault::{Condition, Fault};
use super::grant::Grant;
use super::issue::{Confirmation, Order, certificate_binding};
use super::parameters::Parameters;
use super::token::Success;
use super::{Server, event};
use crate::crypto::secret_hash::SecretHash;
use crate::store::vault::Candidate;
use crate::store::{Issue, new_id};
use secrecy::SecretString;
use serde_json::Map;
use std::time::Duration;

/// Failed attempts before an account is locked, and for how long.
const MOST_ATTEMPTS: u32 = 10;
const LOCKOUT: Duration = Duration::from_secs(900);

pub(super) async fn grant(
    server: &Server,
    request: &Request<'_>,
    parameters: &Parameters<'_>,
    caller: &Caller,
    notes: &mut Notes,
) -> Result<Success, Fault> {
    let client = &caller.client;
    let by_page = !server.provision_keys.is_empty()
        && (parameters.get("provision_key").is_some()
            || parameters.get("authenticated_userid").is_some()
            || server.dialect.http_redirects);
    let user = if by_page {
        server.check_provision_key(parameters)?;
        let user = parameters.get("authenticated_userid");
        user.ok_or_else(|| Fault::new(Condition::UserId))?
            .to_owned()
    } else {
        by_password(server, parameters).await?
    };
    let scope = server.grant_scope(client, parameters.get("scope"))?;
    let resources = server.resources(client, parameters)?;
    let gives_refresh = server.gives_refresh(client, request);
    let family = server.backing.has_store().then(new_id);
    let order = Order {
        client,
        grant: Grant::Password,
        user: Some(&user),
        scope: &scope,
        audience: server.audience_for(client, &resources, &scope),
        confirmation: Confirmation {
            jkt: None,
            x5t: certificate_binding(caller)?,
        },
        family,
        details: Map::new(),
        not_after: None,
        service: server.service(request),
    };
    let access = server.issue(request, &order, notes).await?;
    let mut refresh = None;
    if let Some(family) = family {
        let family = server.family_row(client, family, Some(&user), &scope, &resources, Map::new());
        let made = gives_refresh
            .then(|| server.refresh_row(client, &family, None, &access, None))
            .transpose()?;
        let (value, row) = made.unzip();
        refresh = value;
        let issue = Issue {
            access: server.access_row(&order, &access, row.as_ref().map(|row| row.id))?,
            refresh: row,
            family: Some(family),
        };
        known(server.backing.needed()?.issue(issue)).await?;
    }
    Ok(Success {
        access,
        refresh,
        client: client.id.to_string(),
        scope,
        issued_token_type: None,
    })
}

async fn by_password(server: &Server, parameters: &Parameters<'_>) -> Result<String, Fault> {
    let (name, password) = (parameters.need("username")?, parameters.need("password")?);
    let wrong = || Fault::new(Condition::UserCredentials);
    let store = server.backing.needed()?;
    let presented = SecretString::from(password);
    let vault = server.backing.vault();
    let user = known(store.user(name)).await?;
    let hash = user
        .as_ref()
        .and_then(|user| SecretHash::parse(user.password.as_deref()?).ok());
    let (Some(user), Some(hash)) = (user, hash) else {
        vault
            .recognise_nobody(&presented)
            .await
            .map_err(Fault::from)?;
        return Err(wrong());
    };
    let locked = user.locked_until.is_some_and(|until| until > millis());
    let candidate = Candidate { id: user.id, hash };
    let right = vault
        .recognise(user.id, &[candidate], &presented)
        .await
        .map_err(Fault::from)?
        .is_some();
    if locked || !user.enabled {
        return Err(wrong());
    }
    if right {
        known(store.login_succeeded(user.id)).await?;
        return Ok(user.username);
    }
    event::write(server, "login_failed", &[("user", name)]);
    known(store.login_failed(user.id, millis(), MOST_ATTEMPTS, LOCKOUT)).await?;
    Err(wrong())
}
