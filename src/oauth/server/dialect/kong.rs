//! What programs written for Kong's OAuth 2.0 plugin expect.

use super::{Dialect, ExtraClaims, ExtraIntrospection, Member, Opaque, ResourceBody, row};
use crate::oauth::server::fault::Condition as C;
use std::time::Duration;

pub(super) static DIALECT: Dialect = Dialect {
    name: "kong",
    rows: &[
        (
            C::Method,
            row(
                405,
                "invalid_method",
                "The HTTP method {method} is invalid for the {endpoint} endpoint",
            ),
        ),
        (
            C::GrantTypeMissing,
            row(400, "unsupported_grant_type", "Invalid grant_type"),
        ),
        (
            C::GrantTypeMissingHeader,
            row(400, "unsupported_grant_type", "Invalid grant_type"),
        ),
        (
            C::GrantTypeUnknown,
            row(400, "unsupported_grant_type", "Invalid grant_type"),
        ),
        (
            C::ClientHeader,
            row(401, "invalid_client", "Invalid client authentication"),
        ),
        (
            C::ClientBody,
            row(400, "invalid_client", "Invalid client authentication"),
        ),
        (
            C::ClientMissing,
            row(400, "invalid_client", "Invalid client authentication"),
        ),
        (
            C::ClientPublicSecret,
            row(
                400,
                "invalid_request",
                "client_secret is disallowed for public clients",
            ),
        ),
        (
            C::Scope,
            row(400, "invalid_scope", "\"{}\" is an invalid scope"),
        ),
        (
            C::ScopeMissing,
            row(400, "invalid_scope", "You must specify a scope"),
        ),
        (C::Code, row(400, "invalid_request", "Invalid code")),
        (C::CodeMissing, row(400, "invalid_request", "Invalid code")),
        (C::CodeExpired, row(400, "invalid_request", "Invalid code")),
        (
            C::Redirect,
            row(
                400,
                "invalid_request",
                "Invalid redirect_uri that does not match with any redirect_uri created with the application",
            ),
        ),
        (
            C::RedirectMissing,
            row(
                400,
                "invalid_request",
                "Invalid redirect_uri that does not match with any redirect_uri created with the application",
            ),
        ),
        (
            C::VerifierMissing,
            row(
                400,
                "invalid_request",
                "code_verifier is required for PKCE authorization requests",
            ),
        ),
        (
            C::VerifierMalformed,
            row(
                400,
                "invalid_request",
                "code_verifier must be between 43 and 128 characters",
            ),
        ),
        (C::Verifier, row(400, "invalid_grant", "Invalid code")),
        (
            C::Refresh,
            row(400, "invalid_request", "Invalid refresh_token"),
        ),
        (
            C::RefreshMissing,
            row(400, "invalid_request", "Invalid refresh_token"),
        ),
        (
            C::RefreshForeign,
            row(400, "invalid_client", "Invalid client authentication"),
        ),
        (C::RefreshScope, row(400, "invalid_scope", "Scope mismatch")),
        (
            C::ProvisionKey,
            row(400, "invalid_provision_key", "Invalid provision_key"),
        ),
        (
            C::UserId,
            row(
                400,
                "invalid_authenticated_userid",
                "Missing authenticated_userid parameter",
            ),
        ),
        (C::Tls, row(400, "access_denied", "You must use HTTPS")),
    ],
    members: &[
        Member::RefreshToken,
        Member::TokenType,
        Member::AccessToken,
        Member::IssuedTokenType,
        Member::ExpiresIn,
        Member::State,
    ],
    bearer: "bearer",
    basic_challenge: Some("Basic realm=\"OAuth2.0\""),
    method_challenge: true,
    opaque: Opaque::Alphanumeric,
    claims: ExtraClaims::None,
    introspection: ExtraIntrospection::None,
    access_token_typ: "at+jwt",
    access_token_ttl: Duration::from_secs(7200),
    code_ttl: Duration::from_secs(300),
    adds_default_scopes: false,
    names_whole_scope: false,
    query_credentials: true,
    body_wins: true,
    multipart: true,
    lenient_challenge: true,
    http_redirects: true,
    all_grants: true,
    invalidates_access: true,
    form_tokens: true,
    schemes: &["Bearer", "token"],
    issuer_in_page_answers: false,
    metadata_below_issuer: false,
    resource: ResourceBody::Kong,
};
