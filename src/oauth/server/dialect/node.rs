//! What programs written for `node-oauth2-server` expect.

use super::{Dialect, ExtraClaims, ExtraIntrospection, Member, Opaque, ResourceBody, row};
use crate::oauth::server::fault::Condition as C;
use std::time::Duration;

const CLIENT: &str = "Invalid client: client is invalid";

pub(super) static DIALECT: Dialect = Dialect {
    name: "node",
    rows: &[
        (
            C::Method,
            row(
                400,
                "invalid_request",
                "Invalid request: method must be POST",
            ),
        ),
        (
            C::ContentType,
            row(
                400,
                "invalid_request",
                "Invalid request: content must be application/x-www-form-urlencoded",
            ),
        ),
        (
            C::GrantTypeMissing,
            row(400, "invalid_request", "Missing parameter: `grant_type`"),
        ),
        (
            C::GrantTypeMissingHeader,
            row(400, "invalid_request", "Missing parameter: `grant_type`"),
        ),
        (
            C::GrantTypeUnknown,
            row(
                400,
                "unsupported_grant_type",
                "Unsupported grant type: `grant_type` is invalid",
            ),
        ),
        (
            C::GrantNotAllowed,
            row(400, "unauthorized_client", UNAUTHORIZED),
        ),
        (
            C::ServiceNotAllowed,
            row(400, "unauthorized_client", UNAUTHORIZED),
        ),
        (
            C::ServicePublic,
            row(400, "unauthorized_client", UNAUTHORIZED),
        ),
        (
            C::PasswordNotAllowed,
            row(400, "unauthorized_client", UNAUTHORIZED),
        ),
        (
            C::CodeNotAllowed,
            row(400, "unauthorized_client", UNAUTHORIZED),
        ),
        (C::ClientHeader, row(401, "invalid_client", CLIENT)),
        (C::ClientBody, row(400, "invalid_client", CLIENT)),
        (
            C::ClientMissing,
            row(
                400,
                "invalid_client",
                "Invalid client: cannot retrieve client credentials",
            ),
        ),
        (
            C::Scope,
            row(
                400,
                "invalid_scope",
                "Invalid scope: Requested scope is invalid",
            ),
        ),
        (
            C::Code,
            row(
                400,
                "invalid_grant",
                "Invalid grant: authorization code is invalid",
            ),
        ),
        (
            C::CodeExpired,
            row(
                400,
                "invalid_grant",
                "Invalid grant: authorization code has expired",
            ),
        ),
        (
            C::Redirect,
            row(
                400,
                "invalid_request",
                "Invalid request: `redirect_uri` is invalid",
            ),
        ),
        (
            C::RedirectMissing,
            row(
                400,
                "invalid_request",
                "Invalid request: `redirect_uri` is not a valid URI",
            ),
        ),
        (
            C::VerifierMissing,
            row(400, "invalid_grant", "Missing parameter: `code_verifier`"),
        ),
        (
            C::VerifierMalformed,
            row(400, "invalid_request", "Invalid parameter: `code_verifier`"),
        ),
        (
            C::Verifier,
            row(
                400,
                "invalid_grant",
                "Invalid grant: code verifier is invalid",
            ),
        ),
        (
            C::Refresh,
            row(
                400,
                "invalid_grant",
                "Invalid grant: refresh token is invalid",
            ),
        ),
        (
            C::RefreshForeign,
            row(
                400,
                "invalid_grant",
                "Invalid grant: refresh token is invalid",
            ),
        ),
        (
            C::RefreshScope,
            row(
                400,
                "invalid_scope",
                "Invalid scope: Unable to add extra scopes",
            ),
        ),
        (
            C::UserCredentials,
            row(
                400,
                "invalid_grant",
                "Invalid grant: user credentials are invalid",
            ),
        ),
        (
            C::CodeMissing,
            row(400, "invalid_request", "Missing parameter: `code`"),
        ),
        (
            C::RefreshMissing,
            row(400, "invalid_request", "Missing parameter: `refresh_token`"),
        ),
        (
            C::ParameterMissing,
            row(400, "invalid_request", "Missing parameter: `{}`"),
        ),
        (
            C::ParameterTwice,
            row(400, "invalid_request", "Invalid parameter: `{}`"),
        ),
    ],
    members: &[
        Member::AccessToken,
        Member::IssuedTokenType,
        Member::TokenType,
        Member::ExpiresIn,
        Member::RefreshToken,
        Member::Scope,
    ],
    bearer: "Bearer",
    basic_challenge: Some("Basic realm=\"Service\""),
    method_challenge: false,
    opaque: Opaque::Hexadecimal,
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
    resource: ResourceBody::Node,
};

const UNAUTHORIZED: &str = "Unauthorized client: `grant_type` is invalid";
