//! What programs written for Keycloak expect.

use super::{Dialect, ExtraClaims, ExtraIntrospection, Member, Opaque, ResourceBody, row};
use crate::oauth::server::fault::Condition as C;
use std::time::Duration;

const CLIENT: &str = "Invalid client or Invalid client credentials";

pub(super) static DIALECT: Dialect = Dialect {
    name: "keycloak",
    rows: &[
        (C::Method, row(405, "HTTP 405 Method Not Allowed", "")),
        (
            C::ContentType,
            row(400, "invalid_request", "Missing form parameter: grant_type"),
        ),
        (
            C::GrantTypeMissing,
            row(400, "invalid_request", "Missing form parameter: grant_type"),
        ),
        (
            C::GrantTypeMissingHeader,
            row(400, "invalid_request", "Missing form parameter: grant_type"),
        ),
        (
            C::GrantTypeUnknown,
            row(400, "unsupported_grant_type", "Unsupported grant_type"),
        ),
        (
            C::ServiceNotAllowed,
            row(
                401,
                "unauthorized_client",
                "Client not enabled to retrieve service account",
            ),
        ),
        (
            C::ServicePublic,
            row(
                401,
                "unauthorized_client",
                "Public client not allowed to retrieve service account",
            ),
        ),
        (
            C::PasswordNotAllowed,
            row(
                400,
                "unauthorized_client",
                "Client not allowed for direct access grants",
            ),
        ),
        (
            C::CodeNotAllowed,
            row(400, "invalid_grant", "Code not valid"),
        ),
        (C::ClientHeader, row(401, "invalid_client", CLIENT)),
        (C::ClientBody, row(401, "invalid_client", CLIENT)),
        (C::ClientMissing, row(401, "invalid_client", CLIENT)),
        (C::Scope, row(400, "invalid_scope", "Invalid scopes: {}")),
        (C::Code, row(400, "invalid_grant", "Code not valid")),
        (C::CodeExpired, row(400, "invalid_grant", "Code not valid")),
        (
            C::Redirect,
            row(400, "invalid_grant", "Incorrect redirect_uri"),
        ),
        (
            C::RedirectMissing,
            row(400, "invalid_grant", "Incorrect redirect_uri"),
        ),
        (
            C::VerifierMissing,
            row(400, "invalid_grant", "PKCE code verifier not specified"),
        ),
        (
            C::VerifierMalformed,
            row(
                400,
                "invalid_grant",
                "PKCE verification failed: Invalid code verifier",
            ),
        ),
        (
            C::Verifier,
            row(
                400,
                "invalid_grant",
                "PKCE verification failed: Code mismatch",
            ),
        ),
        (
            C::Refresh,
            row(400, "invalid_grant", "Invalid refresh token"),
        ),
        (
            C::RefreshForeign,
            row(400, "invalid_grant", "Invalid refresh token"),
        ),
        (
            C::RefreshScope,
            row(400, "invalid_scope", "Invalid scopes: {}"),
        ),
        (
            C::UserCredentials,
            row(400, "invalid_grant", "Invalid user credentials"),
        ),
        (
            C::CodeMissing,
            row(400, "invalid_request", "Missing parameter: code"),
        ),
        (
            C::RefreshMissing,
            row(400, "invalid_request", "No refresh token"),
        ),
        (
            C::ParameterTwice,
            row(400, "invalid_request", "duplicated parameter"),
        ),
        (C::Tls, row(403, "invalid_request", "HTTPS required")),
        (
            C::IntrospectMissing,
            row(400, "invalid_request", "Token not provided."),
        ),
        (
            C::RevokeMissing,
            row(400, "invalid_request", "Token not provided"),
        ),
        (
            C::RevokeForeign,
            row(400, "invalid_request", "Unmatching clients"),
        ),
    ],
    members: &[
        Member::AccessToken,
        Member::IssuedTokenType,
        Member::ExpiresIn,
        Member::RefreshExpiresIn,
        Member::RefreshToken,
        Member::TokenType,
        Member::NotBeforePolicy,
        Member::Scope,
    ],
    bearer: "Bearer",
    basic_challenge: None,
    method_challenge: false,
    opaque: Opaque::Prefixed,
    claims: ExtraClaims::Keycloak,
    introspection: ExtraIntrospection::Keycloak,
    access_token_typ: "JWT",
    access_token_ttl: Duration::from_secs(300),
    code_ttl: Duration::from_secs(60),
    adds_default_scopes: true,
    names_whole_scope: true,
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
    metadata_below_issuer: true,
    resource: ResourceBody::Page,
};
