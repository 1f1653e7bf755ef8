//! The grant of an `oauth2` block, with what belongs to it.

use super::{profile, text};
use crate::blocks::client_authentication::{refuse, require};
use crate::blocks::jwt_signing_profile::{Assertions, KeySource};
use crate::blocks::reader::Reader;
use crate::diagnostic::{Diagnostic, code};
use crate::expr::{Program, Scope, Value};
use crate::oauth::client::token_request::Grant;
use secrecy::{ExposeSecret as _, SecretString};

/// RFC 7523 §2.1.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 §2.1.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 8693 §3.
pub(super) const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The attributes of `token-exchange`.
const EXCHANGE: [&str; 5] = [
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
];

/// The grants.
pub(super) static GRANTS: [&str; 4] =
    ["client_credentials", "password", JWT_BEARER, TOKEN_EXCHANGE];

/// The grant with what belongs to it.
#[derive(Debug)]
pub(super) enum GrantSettings {
    ClientCredentials,
    Password {
        username: String,
        password: SecretString,
    },
    /// The expression gives the assertion.
    Given(Program),
    /// The profile makes the assertion.
    Signed(Assertions),
    /// One token for another.
    TokenExchange(Box<Exchange>),
}

/// What `token-exchange` says besides the client.
#[derive(Debug)]
pub(super) struct Exchange {
    subject: Program,
    subject_type: String,
    actor: Option<Program>,
    actor_type: String,
    requested_type: String,
}

/// What a token request says about whom the token is for, as far as it comes from the request.
#[derive(Debug)]
pub(super) enum Subject {
    /// Nothing.
    None,
    /// The assertion of `jwt-bearer`.
    Assertion(SecretString),
    /// The tokens of `token-exchange`.
    Token {
        subject: SecretString,
        actor: Option<SecretString>,
    },
}

impl GrantSettings {
    /// The expressions.
    pub(super) fn programs(&self) -> impl Iterator<Item = &Program> {
        let (first, second) = match self {
            Self::Given(program) => (Some(program), None),
            Self::TokenExchange(exchange) => (Some(&exchange.subject), exchange.actor.as_ref()),
            Self::ClientCredentials | Self::Password { .. } | Self::Signed(_) => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// Whom a token is for. The error says why there is nobody.
    pub(super) fn subject(&self, scope: &dyn Scope) -> Result<Subject, String> {
        Ok(match self {
            Self::ClientCredentials | Self::Password { .. } => Subject::None,
            Self::Given(program) => Subject::Assertion(given("assertion", program, scope)?),
            Self::Signed(profile) => Subject::Assertion(profile.plain()?),
            Self::TokenExchange(exchange) => Subject::Token {
                subject: token("subject_token", &exchange.subject, scope)?,
                actor: exchange
                    .actor
                    .as_ref()
                    .map(|actor| token("actor_token", actor, scope))
                    .transpose()?,
            },
        })
    }

    /// The grant for a subject of its own.
    pub(super) fn grant<'g>(&'g self, subject: &'g Subject) -> Grant<'g> {
        match (self, subject) {
            (Self::Password { username, password }, _) => Grant::Password { username, password },
            (Self::TokenExchange(exchange), Subject::Token { subject, actor }) => {
                Grant::TokenExchange {
                    subject: (subject, &exchange.subject_type),
                    actor: actor
                        .as_ref()
                        .map(|actor| (actor, exchange.actor_type.as_str())),
                    requested_type: &exchange.requested_type,
                }
            }
            (_, Subject::Assertion(assertion)) => Grant::JwtBearer { assertion },
            _ => Grant::ClientCredentials,
        }
    }
}

pub(super) fn is_jwt_bearer(reader: Reader<'_>) -> bool {
    let attribute = reader.attribute("grant_type");
    let value = attribute.and_then(|attribute| reader.cx.start_value_quietly(attribute));
    value.as_ref().and_then(Value::as_str) == Some(JWT_BEARER)
}

pub(super) fn read(reader: Reader<'_>) -> Option<GrantSettings> {
    let name = reader.string("grant_type")?;
    let grant = name.value.as_str();
    let belongs: &[&str] = match grant {
        "client_credentials" => &[],
        "password" => &["username", "password"],
        JWT_BEARER => &["assertion"],
        TOKEN_EXCHANGE => &EXCHANGE,
        other => {
            let message = format!("`grant_type` `{other}` is not supported");
            let hint = format!("it is one of `{}`", GRANTS.join("`, `"));
            reader
                .cx
                .report(Diagnostic::error(code::BAD_VALUE, name.span, message).hint(hint));
            return None;
        }
    };
    for name in ["username", "password", "assertion"]
        .into_iter()
        .chain(EXCHANGE)
    {
        if let Some(attribute) = reader.attribute(name)
            && !belongs.contains(&name)
        {
            let message = format!("`{name}` does not belong to the `grant_type` `{grant}`");
            refuse(reader, attribute.name.span, message);
        }
    }
    match grant {
        "client_credentials" => Some(GrantSettings::ClientCredentials),
        "password" => {
            let (username, password) = (text(reader, "username"), text(reader, "password"));
            let why = "the `grant_type` `password`";
            require(reader, "username", &username, why);
            require(reader, "password", &password, why);
            Some(GrantSettings::Password {
                username,
                password: password.into(),
            })
        }
        TOKEN_EXCHANGE => exchange(reader),
        _ => {
            let block = reader.inner("jwt_signing_profile");
            if reader.has("assertion") {
                if let Some(block) = block {
                    let message = "`jwt_signing_profile` is not used: `assertion` is what is sent";
                    reader.cx.report(Diagnostic::warning(
                        code::SUSPICIOUS,
                        block.header(),
                        message,
                    ));
                }
                return reader.program("assertion").map(GrantSettings::Given);
            }
            if block.is_none() {
                let message =
                    format!("`grant_type` `{grant}` needs `assertion` or `jwt_signing_profile`");
                reader
                    .cx
                    .report(Diagnostic::error(code::MISSING, reader.span(), message));
            }
            profile(reader, KeySource::Own).map(GrantSettings::Signed)
        }
    }
}

fn exchange(reader: Reader<'_>) -> Option<GrantSettings> {
    if !reader.has("subject_token") {
        let message = format!("`grant_type` `{TOKEN_EXCHANGE}` needs `subject_token`");
        reader
            .cx
            .report(Diagnostic::error(code::MISSING, reader.span(), message));
    }
    let kind = |name: &str| match reader.filled(name) {
        Some(kind) => kind.value,
        None => ACCESS_TOKEN_TYPE.to_owned(),
    };
    Some(GrantSettings::TokenExchange(Box::new(Exchange {
        subject_type: kind("subject_token_type"),
        actor: reader.program("actor_token"),
        actor_type: kind("actor_token_type"),
        requested_type: text(reader, "requested_token_type"),
        subject: reader.program("subject_token")?,
    })))
}

fn given(name: &str, program: &Program, scope: &dyn Scope) -> Result<SecretString, String> {
    let value = program
        .eval(scope)
        .map_err(|error| format!("`{name}`: {}", error.message))?;
    match value.as_str() {
        Some(text) => Ok(SecretString::from(text)),
        None => Err(format!(
            "`{name}` needs a string, found {}",
            value.type_name()
        )),
    }
}

/// A token, perhaps as it stands in a field `Authorization`.
fn token(name: &str, program: &Program, scope: &dyn Scope) -> Result<SecretString, String> {
    let given = given(name, program, scope)?;
    let text = given.expose_secret().trim();
    let bare = match text.split_once(' ') {
        Some((scheme, rest))
            if ["bearer", "dpop"]
                .iter()
                .any(|s| scheme.eq_ignore_ascii_case(s)) =>
        {
            rest.trim()
        }
        _ => text,
    };
    if bare.is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    Ok(SecretString::from(bare))
}
