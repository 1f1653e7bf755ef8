//! The authorization code grant (RFC 6749 §4.1.3): a code once, by its client, from where it went.

use super::answer::{Notes, Request};
use super::authentication::Caller;
use super::backing::{known, millis};
use super::client::sha256;
use super::fault::{Condition, Fault};
use super::grant::Grant;
use super::issue::{Confirmation, Order, base64url, certificate_binding};
use super::parameters::Parameters;
use super::resource::narrowed_resources;
use super::token::Success;
use super::{Server, event};
use crate::crypto::constant_time;
use crate::store::{AuthorizationCode, CodeUse, Digest, Issue};

pub(super) async fn grant(
    server: &Server,
    request: &Request<'_>,
    parameters: &Parameters<'_>,
    caller: &Caller,
    notes: &mut Notes,
) -> Result<Success, Fault> {
    let value = parameters
        .get("code")
        .ok_or_else(|| Fault::new(Condition::CodeMissing))?;
    let store = server.backing.needed()?;
    let hash = Digest::of(value);
    let code = known(store.code(hash))
        .await?
        .filter(|code| code.server == *server.label)
        .ok_or_else(|| Fault::new(Condition::Code).because("unknown code"))?;
    let client = &caller.client;
    if code.client_key != client.pk {
        // It has leaked (AS-CODE-3).
        let fields = [("client_id", &*client.id), ("owner", &*code.client_id)];
        event::write(server, "code_stolen", &fields);
        use_up(server, hash).await?;
        return Err(Fault::new(Condition::Code).because("another client's code"));
    }
    if code.consumed_at.is_some() {
        return Err(replayed(server, &code).await);
    }
    if code.expires_at <= millis() {
        return Err(Fault::new(Condition::CodeExpired).because("the code has expired"));
    }
    if let Err(fault) = check(parameters, &code) {
        use_up(server, hash).await?;
        return Err(fault);
    }
    let granted: Vec<Box<str>> = code.scope.iter().map(|name| name.as_str().into()).collect();
    let scope = server.narrow_scope(&granted, parameters.get("scope"))?;
    let resources = narrowed_resources(&code.resources, parameters)?;
    let order = Order {
        client,
        grant: Grant::AuthorizationCode,
        user: Some(&code.subject),
        scope: &scope,
        audience: server.audience_for(client, &resources, &scope),
        confirmation: Confirmation {
            jkt: None,
            x5t: certificate_binding(caller)?,
        },
        family: Some(code.family),
        details: code.details.clone(),
        not_after: None,
        service: code.service.clone(),
    };
    let access = server.issue(request, &order, notes).await?;
    let family = server.family_row(
        client,
        code.family,
        Some(&code.subject),
        &granted,
        &code.resources,
        code.details.clone(),
    );
    let refresh = server
        .gives_refresh(client, request)
        .then(|| server.refresh_row(client, &family, None, &access, None))
        .transpose()?;
    let (refresh, row) = refresh.unzip();
    let issue = Issue {
        access: server.access_row(&order, &access, row.as_ref().map(|row| row.id))?,
        refresh: row,
        family: Some(family),
    };
    match known(store.use_code(hash, millis(), issue)).await? {
        CodeUse::Used => {}
        CodeUse::Replayed { .. } => return Err(replayed(server, &code).await),
        CodeUse::Unknown => return Err(Fault::new(Condition::Code)),
    }
    Ok(Success {
        access,
        refresh,
        client: client.id.to_string(),
        scope,
        issued_token_type: None,
    })
}

/// What must fit the authorization request: the address, then the proof of who made it.
fn check(parameters: &Parameters<'_>, code: &AuthorizationCode) -> Result<(), Fault> {
    match parameters.get("redirect_uri") {
        None if code.redirect_sent => return Err(Fault::new(Condition::RedirectMissing)),
        Some(given) if given != code.redirect_uri => return Err(Fault::new(Condition::Redirect)),
        None | Some(_) => {}
    }
    match (&code.challenge, parameters.get("code_verifier")) {
        (None, None) => Ok(()),
        // A challenge that somebody took out of the request (AS-CODE-4).
        (None, Some(_)) => Err(Fault::new(Condition::Code).because("no challenge was stored")),
        (Some(_), None) => Err(Fault::new(Condition::VerifierMissing)),
        (Some(challenge), Some(verifier)) => {
            let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(sound) {
                return Err(Fault::new(Condition::VerifierMalformed));
            }
            let proof = base64url(&sha256(verifier.as_bytes()));
            if constant_time::equal(proof.as_bytes(), challenge.as_bytes()) {
                Ok(())
            } else {
                Err(Fault::new(Condition::Verifier))
            }
        }
    }
}

async fn use_up(server: &Server, hash: Digest) -> Result<(), Fault> {
    let store = server.backing.needed()?;
    known(store.use_code(hash, millis(), Issue::default()))
        .await
        .map(|_| ())
}

/// A code that comes again takes its tokens along (AS-CODE-2).
async fn replayed(server: &Server, code: &AuthorizationCode) -> Fault {
    let fields = [("client_id", &*code.client_id)];
    event::write(server, "code_replay", &fields);
    match server.end_family(code.family, &code.client_id).await {
        Ok(()) => Fault::new(Condition::Code).because("the code was used before"),
        Err(fault) => fault,
    }
}
