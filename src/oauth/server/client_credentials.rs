//! Client credentials (RFC 6749 §4.4): a token for the client itself.

use super::Server;
use super::answer::{Notes, Request};
use super::authentication::Caller;
use super::fault::{Condition, Fault};
use super::grant::Grant;
use super::issue::{Confirmation, Order, certificate_binding};
use super::parameters::Parameters;
use super::token::Success;
use serde_json::Map;

pub(super) async fn grant(
    server: &Server,
    request: &Request<'_>,
    parameters: &Parameters<'_>,
    caller: &Caller,
    notes: &mut Notes,
) -> Result<Success, Fault> {
    let client = &caller.client;
    if client.is_public() {
        return Err(Fault::new(Condition::ServicePublic));
    }
    let user = parameters.get("authenticated_userid");
    if user.is_some() {
        server.check_provision_key(parameters)?;
    }
    let scope = server.grant_scope(client, parameters.get("scope"))?;
    let resources = server.resources(client, parameters)?;
    let order = Order {
        client,
        grant: Grant::ClientCredentials,
        user,
        scope: &scope,
        audience: server.audience_for(client, &resources, &scope),
        confirmation: Confirmation {
            jkt: None,
            x5t: certificate_binding(caller)?,
        },
        family: None,
        details: Map::new(),
        not_after: None,
        service: server.service(request),
    };
    let access = server.issue(request, &order, notes).await?;
    server.store_access(&order, &access).await?;
    Ok(Success {
        access,
        refresh: None,
        client: client.id.to_string(),
        scope,
        issued_token_type: None,
    })
}
