//! What the standards say, in plain words. Other dialects say the same where they have no row.

use super::{Dialect, ExtraClaims, ExtraIntrospection, Member, Opaque, ResourceBody, row};
use crate::oauth::server::fault::{Condition, Row};
use std::time::Duration;

pub(super) static DIALECT: Dialect = Dialect {
    name: "rfc",
    rows: &[],
    members: &[
        Member::AccessToken,
        Member::IssuedTokenType,
        Member::TokenType,
        Member::ExpiresIn,
        Member::RefreshToken,
        Member::Scope,
    ],
    bearer: "Bearer",
    basic_challenge: None,
    method_challenge: false,
    opaque: Opaque::Prefixed,
    claims: ExtraClaims::None,
    introspection: ExtraIntrospection::None,
    access_token_typ: "at+jwt",
    access_token_ttl: Duration::from_secs(3600),
    code_ttl: Duration::from_secs(60),
    adds_default_scopes: false,
    names_whole_scope: false,
    query_credentials: false,
    body_wins: false,
    multipart: false,
    lenient_challenge: false,
    http_redirects: false,
    all_grants: false,
    invalidates_access: false,
    form_tokens: false,
    schemes: &["Bearer"],
    issuer_in_page_answers: true,
    metadata_below_issuer: false,
    resource: ResourceBody::Page,
};

pub(super) fn row_of(condition: Condition) -> Row {
    use Condition as C;
    match condition {
        C::Method => row(
            405,
            "invalid_request",
            "the {endpoint} endpoint accepts {allowed} only",
        ),
        C::ContentType => row(400, "invalid_request", "unsupported content type"),
        C::Malformed => row(400, "invalid_request", "the request body is malformed"),
        C::TooLarge => row(413, "invalid_request", "the request body is too large"),
        C::GrantTypeMissing | C::GrantTypeMissingHeader => {
            row(400, "invalid_request", "grant_type is missing")
        }
        C::GrantTypeUnknown => row(
            400,
            "unsupported_grant_type",
            "this grant_type is not supported",
        ),
        C::GrantNotAllowed
        | C::ServiceNotAllowed
        | C::ServicePublic
        | C::PasswordNotAllowed
        | C::CodeNotAllowed => row(
            400,
            "unauthorized_client",
            "the client may not use this grant_type",
        ),
        C::ClientHeader | C::ClientBody => {
            row(401, "invalid_client", "client authentication failed")
        }
        C::ClientMissing => row(401, "invalid_client", "client authentication is missing"),
        C::ClientTwice => row(
            400,
            "invalid_request",
            "more than one client authentication method",
        ),
        C::ClientDiffers => row(
            400,
            "invalid_request",
            "client_id differs from that of the credentials",
        ),
        C::ClientPublicSecret => row(
            400,
            "invalid_request",
            "a public client must not send a client_secret",
        ),
        C::Scope => row(400, "invalid_scope", "scope not allowed: {}"),
        C::ScopeTooLong => row(400, "invalid_scope", "scope is too long"),
        C::ScopeMissing => row(400, "invalid_scope", "a scope is required"),
        C::ScopeType => row(400, "invalid_scope", "scope must be a string"),
        C::Code | C::CodeExpired => row(400, "invalid_grant", "the authorization code is invalid"),
        C::Redirect | C::RedirectMissing => {
            row(400, "invalid_grant", "redirect_uri does not match")
        }
        C::VerifierMissing => row(400, "invalid_grant", "code_verifier is missing"),
        C::VerifierMalformed => row(400, "invalid_grant", "code_verifier is malformed"),
        C::Verifier => row(400, "invalid_grant", "code_verifier does not match"),
        C::Refresh | C::RefreshForeign => row(400, "invalid_grant", "the refresh token is invalid"),
        C::RefreshScope => row(400, "invalid_scope", "scope exceeds the original grant"),
        C::ProvisionKey => row(400, "invalid_request", "provision_key is invalid"),
        C::UserId => row(400, "invalid_request", "authenticated_userid is missing"),
        C::UserCredentials => row(400, "invalid_grant", "invalid user credentials"),
        C::Target => row(
            400,
            "invalid_target",
            "the requested resource is not allowed",
        ),
        C::DpopProof => row(400, "invalid_dpop_proof", "{}"),
        C::DpopNonce => row(400, "use_dpop_nonce", "a DPoP nonce is required"),
        C::CodeMissing => row(400, "invalid_request", "code is missing"),
        C::RefreshMissing => row(400, "invalid_request", "refresh_token is missing"),
        C::ParameterMissing => row(400, "invalid_request", "{} is missing"),
        C::ParameterTwice => row(400, "invalid_request", "{} is repeated"),
        C::Parameter => row(400, "invalid_request", "{}"),
        C::Tls => row(400, "invalid_request", "TLS is required"),
        C::Unavailable => row(
            503,
            "temporarily_unavailable",
            "the server cannot process the request right now",
        ),
        C::Server => row(500, "server_error", "the server failed"),
        C::RateLimited => row(429, "temporarily_unavailable", "too many requests"),
        C::IntrospectMissing | C::RevokeMissing => row(400, "invalid_request", "token is missing"),
        C::IntrospectDenied => row(403, "access_denied", "the client may not introspect"),
        C::RevokeForeign => row(
            400,
            "unauthorized_client",
            "the token was not issued to this client",
        ),
        C::RevokeType => row(
            400,
            "unsupported_token_type",
            "tokens of this type cannot be revoked",
        ),
        C::Pending => row(400, "authorization_pending", "the user has not decided yet"),
        C::SlowDown => row(400, "slow_down", "asked too often"),
        C::Denied => row(400, "access_denied", "the user denied the request"),
        C::DeviceExpired => row(400, "expired_token", "the device code has expired"),
        C::Grant => row(400, "invalid_grant", "{}"),
        C::Exchange => row(400, "invalid_request", "{}"),
        C::ExchangeDenied => row(
            400,
            "unauthorized_client",
            "the client may not exchange this token",
        ),
        C::Details => row(
            400,
            "invalid_authorization_details",
            "the authorization_details are not allowed",
        ),
        C::TokenInvalid => row(
            401,
            "invalid_token",
            "the access token is invalid or has expired",
        ),
    }
}
