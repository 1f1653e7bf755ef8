//! What callers are told whose token is no good (RFC 6750 §3), in the dialect of the server.

use crate::blocks::reader::Reader;
use crate::error::{Error, Kind};
use crate::oauth::server::check::Rejected;
use crate::oauth::server::dialect::ResourceBody;
use crate::oauth::server::{Dialect, Server};
use http::{HeaderValue, StatusCode, header};
use std::fmt::Write as _;

const INVALID: &str = "the access token is invalid or has expired";

/// The refusals of a control.
#[derive(Debug)]
pub(super) struct Refusals {
    realm: String,
    scope: String,
    dialect: ResourceBody,
}

/// What a body says, where it is not a page.
struct Words {
    error: &'static str,
    kong: &'static str,
    node: &'static str,
}

impl Refusals {
    pub(super) fn read(reader: Reader<'_>, server: &Server, scope: &[String]) -> Self {
        let realm = reader.string("realm").map(|realm| realm.value);
        let dialect = reader.choice("error_dialect").and_then(Dialect::of);
        Self {
            realm: realm
                .unwrap_or_else(|| server.realm.clone())
                .replace(['"', '\\'], ""),
            scope: scope.join(" "),
            dialect: dialect.unwrap_or(server.dialect).resource,
        }
    }

    /// The challenge, with an error or without.
    fn challenge(&self, error: &str, description: &str, scope: bool) -> String {
        let mut text = String::from("Bearer");
        let mut separator = " ";
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = write!(text, "{separator}{name}=\"{value}\"");
                separator = ", ";
            }
        };
        add("realm", &self.realm);
        add("error", error);
        add("error_description", description);
        if scope {
            add("scope", &self.scope);
        }
        text
    }

    fn error(&self, kind: Kind, detail: &str, challenge: String, words: &Words) -> Error {
        let mut error = Error::new(kind, detail);
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            error = error.with_header(header::WWW_AUTHENTICATE, challenge);
        }
        let text = match self.dialect {
            ResourceBody::Page | ResourceBody::Otoroshi => return error,
            ResourceBody::Kong => words.kong,
            ResourceBody::Node => words.node,
        };
        if text.is_empty() {
            return error.with_body(bytes::Bytes::new());
        }
        let body = serde_json::json!({ "error": words.error, "error_description": text });
        error.with_body(body.to_string().into())
    }

    pub(super) fn missing(&self) -> Error {
        self.error(
            Kind::AccessTokenMissing,
            "token required",
            self.challenge("", "", true),
            &Words {
                error: "invalid_request",
                kong: "The access token is missing",
                node: "",
            },
        )
    }

    pub(super) fn malformed(&self, why: &str) -> Error {
        let node = if why.starts_with("more than one") {
            "Invalid request: only one authentication method is allowed"
        } else {
            "Invalid request: malformed authorization header"
        };
        self.error(
            Kind::AccessToken,
            why,
            self.challenge("invalid_request", why, false),
            &Words {
                error: "invalid_request",
                kong: "The access token is malformed",
                node,
            },
        )
        .with_status(StatusCode::BAD_REQUEST)
    }

    pub(super) fn rejected(&self, rejected: Rejected) -> Error {
        let (kind, detail) = match rejected {
            Rejected::Invalid(why) => (Kind::AccessTokenInvalid, why),
            Rejected::Expired => (Kind::AccessTokenExpired, "token is expired"),
            Rejected::Revoked => (Kind::AccessTokenRevoked, "token is revoked"),
            Rejected::Unavailable => {
                let retry = HeaderValue::from_static("2");
                return Error::new(Kind::AccessTokenStoreUnavailable, "the store cannot be had")
                    .with_header(header::RETRY_AFTER, retry);
            }
        };
        let node = if rejected == Rejected::Expired {
            "Invalid token: access token has expired"
        } else {
            "Invalid token: access token is invalid"
        };
        self.invalid(
            kind,
            detail,
            "The access token is invalid or has expired",
            node,
        )
    }

    fn invalid(&self, kind: Kind, detail: &str, kong: &'static str, node: &'static str) -> Error {
        let description = match self.dialect {
            ResourceBody::Kong => kong,
            ResourceBody::Page | ResourceBody::Node | ResourceBody::Otoroshi => INVALID,
        };
        let challenge = self.challenge("invalid_token", description, false);
        self.error(
            kind,
            detail,
            challenge,
            &Words {
                error: "invalid_token",
                kong,
                node,
            },
        )
    }

    pub(super) fn audience(&self) -> Error {
        self.invalid(
            Kind::AccessTokenAudience,
            "the token is for another audience",
            "The access token is invalid or has expired",
            "Invalid token: access token is invalid",
        )
    }

    /// A token that is good everywhere, where only those of this place are.
    pub(super) fn global(&self) -> Error {
        self.invalid(
            Kind::AccessTokenInvalid,
            "a global token",
            "The access token is global, but the current plugin is configured without 'global_credentials'",
            "Invalid token: access token is invalid",
        )
    }

    pub(super) fn scope(&self) -> Error {
        self.error(
            Kind::AccessTokenInsufficientScope,
            "the token lacks a scope",
            self.challenge("insufficient_scope", "", true),
            &Words {
                error: "insufficient_scope",
                kong: "The access token lacks a scope",
                node: "Insufficient scope: authorized scope is insufficient",
            },
        )
    }
}
