//! Dialects: how a server words and shapes what it says, as data.
//!
//! The engine is one; a dialect is a table of texts and statuses, the members of a successful
//! answer, and the few switches that programs written for another server rely on. Nothing outside
//! this module asks which dialect is spoken.

mod keycloak;
mod kong;
mod node;
mod otoroshi;
mod rfc;

use super::fault::{Condition, Row};
use std::time::Duration;

/// A member of the token endpoint's successful answer, in the order written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// `access_token`
    AccessToken,
    /// `token_type`
    TokenType,
    /// `expires_in`
    ExpiresIn,
    /// `refresh_token`
    RefreshToken,
    /// `refresh_expires_in`, 0 without a refresh token
    RefreshExpiresIn,
    /// `not-before-policy`
    NotBeforePolicy,
    /// `scope`, where there is any
    Scope,
    /// `state`, as it was sent
    State,
    /// `session_state`-like extras of none
    IssuedTokenType,
}

/// What opaque values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// `PREFIX_KIND_` and 43 letters and digits.
    Prefixed,
    /// 32 letters and digits.
    Alphanumeric,
    /// 64 hexadecimal digits.
    Hexadecimal,
}

/// Claims beyond those of RFC 9068.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraClaims {
    /// None.
    None,
    /// `cid`.
    Cid,
    /// `typ`, `clientId`, `clientHost`, `clientAddress`, `preferred_username`.
    Keycloak,
}

/// Members of introspection beyond those of RFC 7662.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraIntrospection {
    /// None.
    None,
    /// Those of an API key.
    ApiKey,
    /// Those of a service account.
    Keycloak,
}

/// The body of a refusal at an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceBody {
    /// The page of errors.
    Page,
    /// `error` and `error_description`.
    Kong,
    /// The same with other words, and none without a token.
    Node,
    /// `Otoroshi-Error`, for API keys.
    Otoroshi,
}

/// A dialect.
#[derive(Debug)]
pub struct Dialect {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What it says differently; for everything else see [`rfc`].
    rows: &'static [(Condition, Row)],
    /// Members of a successful answer of the token endpoint.
    pub members: &'static [Member],
    /// The value of `token_type` for bearer tokens.
    pub bearer: &'static str,
    /// The challenge of failed client authentication; none: from the realm.
    pub basic_challenge: Option<&'static str>,
    /// Whether a 405 carries a Bearer challenge.
    pub method_challenge: bool,
    /// Opaque values.
    pub opaque: Opaque,
    /// Further claims.
    pub claims: ExtraClaims,
    /// Further members of introspection.
    pub introspection: ExtraIntrospection,
    /// `typ` of access tokens.
    pub access_token_typ: &'static str,
    /// Lifetime of access tokens.
    pub access_token_ttl: Duration,
    /// Lifetime of codes.
    pub code_ttl: Duration,
    /// Default scopes are always added.
    pub adds_default_scopes: bool,
    /// The answer about a scope names the whole parameter.
    pub names_whole_scope: bool,
    /// Parameters of the token endpoint may come in the query.
    pub query_credentials: bool,
    /// Credentials in the body win over those in the header.
    pub body_wins: bool,
    /// `multipart/form-data` is read.
    pub multipart: bool,
    /// A challenge without method is S256, and padding in it is forgiven.
    pub lenient_challenge: bool,
    /// `http` redirect URIs on any host.
    pub http_redirects: bool,
    /// Clients without a list may use every grant of the server.
    pub all_grants: bool,
    /// Clients use the refresh token once, and the access token that came with it dies.
    pub invalidates_access: bool,
    /// Tokens are looked for in query and form.
    pub form_tokens: bool,
    /// Words that may stand for `Bearer`.
    pub schemes: &'static [&'static str],
    /// `iss` in answers to the external login page.
    pub issuer_in_page_answers: bool,
    /// The discovery document is also served below the issuer, under its OAuth name.
    pub metadata_below_issuer: bool,
    /// Bodies of refusals at APIs.
    pub resource: ResourceBody,
}

impl Dialect {
    /// The standards' own.
    pub const RFC: &'static Self = &rfc::DIALECT;
    /// All of them.
    pub const ALL: [&'static Self; 5] = [
        &rfc::DIALECT,
        &kong::DIALECT,
        &node::DIALECT,
        &otoroshi::DIALECT,
        &keycloak::DIALECT,
    ];

    /// The dialect of a name.
    pub fn of(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name == name)
    }

    /// What is said about a condition.
    pub fn row(&self, condition: Condition) -> Row {
        let own = self.rows.iter().find(|(known, _)| *known == condition);
        match own {
            Some((_, row)) => *row,
            None => rfc::row_of(condition),
        }
    }
}

/// A row of a table.
const fn row(status: u16, error: &'static str, text: &'static str) -> Row {
    Row {
        status,
        error,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_name_a_condition_once_and_texts_are_plain() {
        for dialect in Dialect::ALL {
            for (at, (condition, row)) in dialect.rows.iter().enumerate() {
                let later = &dialect.rows[at + 1..];
                assert!(
                    later.iter().all(|(other, _)| other != condition),
                    "{}: {condition:?}",
                    dialect.name
                );
                assert!(row.text.is_ascii() && !row.text.contains('\\'));
            }
            assert_eq!(
                Dialect::of(dialect.name).map(|d| d.name),
                Some(dialect.name)
            );
        }
    }
}
