//! What programs written for Otoroshi's client credentials service expect.

use super::{Dialect, ExtraClaims, ExtraIntrospection, Member, Opaque, ResourceBody, row};
use crate::oauth::server::fault::Condition as C;
use std::time::Duration;

pub(super) static DIALECT: Dialect = Dialect {
    name: "otoroshi",
    rows: &[
        (C::Method, row(404, "not_found", "resource not found")),
        (C::ContentType, row(401, "access_denied", "Unauthorized")),
        (
            C::GrantTypeMissing,
            row(401, "access_denied", "Unauthorized"),
        ),
        (
            C::GrantTypeMissingHeader,
            row(
                400,
                "unauthorized_client",
                "Grant type '--' not supported !",
            ),
        ),
        (
            C::GrantTypeUnknown,
            row(
                400,
                "unauthorized_client",
                "Grant type '{}' not supported !",
            ),
        ),
        (
            C::ClientHeader,
            row(401, "access_denied", "Bad client credentials"),
        ),
        (
            C::ClientBody,
            row(401, "access_denied", "Bad client credentials"),
        ),
        (C::ClientMissing, row(401, "access_denied", "Unauthorized")),
        (
            C::Scope,
            row(
                403,
                "access_denied",
                "Client has not been granted scopes: {}",
            ),
        ),
        (C::Tls, row(400, "bad_request", "use a secure channel")),
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
    basic_challenge: None,
    method_challenge: false,
    opaque: Opaque::Prefixed,
    claims: ExtraClaims::Cid,
    introspection: ExtraIntrospection::ApiKey,
    access_token_typ: "JWT",
    access_token_ttl: Duration::from_secs(3600),
    code_ttl: Duration::from_secs(60),
    adds_default_scopes: false,
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
    metadata_below_issuer: false,
    resource: ResourceBody::Otoroshi,
};
