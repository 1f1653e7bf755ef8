//! The token endpoint (RFC 6749 §3.2): who asks, by which grant, and what comes back.

use super::answer::{Answer, Notes, Request};
use super::authentication::{self, Caller, too_many};
use super::dialect::Member;
use super::fault::{Condition, Fault};
use super::grant::Grant;
use super::issue::Issued;
use super::json::Object;
use super::parameters::Parameters;
use super::scope::{self, Names};
use super::{Server, authorization_code, client_credentials, password, refresh_token};
use crate::store::Millis;
use http::StatusCode;

/// What a grant gives.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) access: Issued,
    pub(super) refresh: Option<Refresh>,
    pub(super) scope: Names,
    pub(super) client: String,
    /// `issued_token_type` of token exchange.
    pub(super) issued_token_type: Option<&'static str>,
}

/// A refresh token, about to be handed out.
#[derive(Debug)]
pub(super) struct Refresh {
    pub(super) value: String,
    pub(super) expires_in: i64,
}

pub(super) async fn answer(
    server: &Server,
    request: &Request<'_>,
    notes: &mut Notes,
) -> Result<Answer, Fault> {
    let parameters = server.parameters(request)?;
    let Some(name) = parameters.get("grant_type") else {
        let condition = if authentication::in_header(request) {
            Condition::GrantTypeMissingHeader
        } else {
            Condition::GrantTypeMissing
        };
        return Err(Fault::new(condition));
    };
    let grant = Grant::of(name).filter(|grant| *grant != Grant::Implicit && server.serves(*grant));
    let Some(grant) = grant else {
        return Err(Fault::about(Condition::GrantTypeUnknown, name));
    };
    notes.grant_type = Some(grant.name());
    let caller = server.authenticate(request, &parameters, notes).await?;
    if let Some(rate) = caller.client.rate {
        let now = crate::clock::Clock::System.now();
        let counted = server.state.rates.count(&caller.client.id, rate, now);
        counted.map_err(too_many)?;
    }
    if !caller.client.may_use(grant) {
        return Err(Fault::new(lacks(grant, &caller)));
    }
    let success = match grant {
        Grant::ClientCredentials => {
            client_credentials::grant(server, request, &parameters, &caller, notes).await?
        }
        Grant::AuthorizationCode => {
            Box::pin(authorization_code::grant(
                server,
                request,
                &parameters,
                &caller,
                notes,
            ))
            .await?
        }
        Grant::RefreshToken => {
            Box::pin(refresh_token::grant(
                server,
                request,
                &parameters,
                &caller,
                notes,
            ))
            .await?
        }
        Grant::Password => {
            Box::pin(password::grant(
                server,
                request,
                &parameters,
                &caller,
                notes,
            ))
            .await?
        }
        Grant::Implicit | Grant::DeviceCode | Grant::TokenExchange | Grant::JwtBearer => {
            return Err(Fault::about(Condition::GrantTypeUnknown, name));
        }
    };
    Ok(success.answer(server, &parameters))
}

/// Which refusal fits a client that lacks a grant.
fn lacks(grant: Grant, caller: &Caller) -> Condition {
    match grant {
        Grant::ClientCredentials if caller.client.is_public() => Condition::ServicePublic,
        Grant::ClientCredentials => Condition::ServiceNotAllowed,
        Grant::Password => Condition::PasswordNotAllowed,
        Grant::AuthorizationCode => Condition::CodeNotAllowed,
        Grant::RefreshToken
        | Grant::Implicit
        | Grant::DeviceCode
        | Grant::TokenExchange
        | Grant::JwtBearer => Condition::GrantNotAllowed,
    }
}

impl Success {
    /// The answer (RFC 6749 §5.1), in the members and order of the dialect.
    fn answer(&self, server: &Server, parameters: &Parameters<'_>) -> Answer {
        let mut body = Object::new();
        for member in server.dialect.members {
            match member {
                Member::AccessToken => {
                    body.string("access_token", &self.access.value);
                }
                Member::TokenType => {
                    body.string("token_type", self.access.token_type);
                }
                Member::ExpiresIn => {
                    if let Some(seconds) =
                        self.access.expires_in().filter(|_| server.tell_expires_in)
                    {
                        body.number("expires_in", seconds);
                    }
                }
                Member::RefreshToken => {
                    if let Some(refresh) = &self.refresh {
                        body.string("refresh_token", &refresh.value);
                    }
                }
                Member::RefreshExpiresIn => {
                    let seconds = self.refresh.as_ref().map_or(0, |r| r.expires_in);
                    body.number("refresh_expires_in", seconds);
                }
                Member::NotBeforePolicy => {
                    let cut = server
                        .backing
                        .revoked()
                        .not_before(&server.label, &self.client);
                    body.number("not-before-policy", cut.map_or(0, Millis::seconds));
                }
                Member::Scope => {
                    if !self.scope.is_empty() {
                        body.string("scope", &scope::join(&self.scope));
                    }
                }
                Member::State => {
                    if let Some(state) = parameters.get("state") {
                        body.string("state", state);
                    }
                }
                Member::IssuedTokenType => {
                    if let Some(name) = self.issued_token_type {
                        body.string("issued_token_type", name);
                    }
                }
            }
        }
        Answer::json(StatusCode::OK, body.finish())
    }
}
