//! What an endpoint refuses, and how each dialect says so: one catalogue of conditions.

use super::dialect::Dialect;
use std::fmt;

/// Longest part of a client's words that is given back to it.
const ECHO_LIMIT: usize = 100;

/// Why a request is refused. Each has a row in the table of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The method; the argument is its name, that of the endpoint and what that takes.
    Method,
    /// The body's type.
    ContentType,
    /// The body is malformed.
    Malformed,
    /// The body is too large.
    TooLarge,
    /// `grant_type` is missing, and credentials came in the body or not at all.
    GrantTypeMissing,
    /// `grant_type` is missing, and credentials came in a header.
    GrantTypeMissingHeader,
    /// `grant_type` is unknown or switched off; the argument is its value.
    GrantTypeUnknown,
    /// The client may not use the grant.
    GrantNotAllowed,
    /// The client may not use client credentials.
    ServiceNotAllowed,
    /// A public client asks for client credentials.
    ServicePublic,
    /// The client may not use the password grant.
    PasswordNotAllowed,
    /// The client may not use the code grant.
    CodeNotAllowed,
    /// Client authentication failed; credentials came in a header.
    ClientHeader,
    /// Client authentication failed; credentials came in the body.
    ClientBody,
    /// There are no client credentials.
    ClientMissing,
    /// More than one way to authenticate.
    ClientTwice,
    /// `client_id` is another one than that of the credentials.
    ClientDiffers,
    /// A public client sent a secret.
    ClientPublicSecret,
    /// A scope is unknown or not for this client; the argument is its name.
    Scope,
    /// More scopes than one may ask for.
    ScopeTooLong,
    /// No scope where one is needed.
    ScopeMissing,
    /// JSON with a scope that is no string.
    ScopeType,
    /// The code is no good.
    Code,
    /// The code's time is over.
    CodeExpired,
    /// `redirect_uri` is not that of the authorization request.
    Redirect,
    /// `redirect_uri` is missing.
    RedirectMissing,
    /// `code_verifier` is missing.
    VerifierMissing,
    /// `code_verifier` is malformed.
    VerifierMalformed,
    /// `code_verifier` does not fit.
    Verifier,
    /// The refresh token is no good.
    Refresh,
    /// The refresh token is another client's.
    RefreshForeign,
    /// More scope than was granted.
    RefreshScope,
    /// `provision_key` is wrong or missing.
    ProvisionKey,
    /// `authenticated_userid` is missing.
    UserId,
    /// User name or password is wrong.
    UserCredentials,
    /// `resource` is not allowed.
    Target,
    /// The proof of possession is no good; the argument says why.
    DpopProof,
    /// The proof needs a nonce.
    DpopNonce,
    /// The code is missing.
    CodeMissing,
    /// The refresh token is missing.
    RefreshMissing,
    /// A parameter is missing; the argument is its name.
    ParameterMissing,
    /// A parameter came twice; the argument is its name.
    ParameterTwice,
    /// A parameter is malformed; the argument says what is wrong.
    Parameter,
    /// Plain HTTP.
    Tls,
    /// The store cannot be had.
    Unavailable,
    /// A fault of the server.
    Server,
    /// Too many requests.
    RateLimited,
    /// Introspection: `token` is missing.
    IntrospectMissing,
    /// Introspection: the client may not ask.
    IntrospectDenied,
    /// Revocation: `token` is missing.
    RevokeMissing,
    /// Revocation: another client's token.
    RevokeForeign,
    /// Revocation: a type that cannot be revoked.
    RevokeType,
    /// The device grant: nobody has decided yet.
    Pending,
    /// The device grant: asked too soon.
    SlowDown,
    /// The user said no.
    Denied,
    /// The device grant: too late.
    DeviceExpired,
    /// An assertion or device code is no good; the argument says why.
    Grant,
    /// A token for exchange is no good; the argument says why.
    Exchange,
    /// No policy lets the client exchange this.
    ExchangeDenied,
    /// `authorization_details` are not for this client.
    Details,
    /// An access token is needed; the argument is the scope.
    TokenInvalid,
}

/// What the client is told about a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Status of the answer.
    pub status: u16,
    /// `error`
    pub error: &'static str,
    /// `error_description`, with `{}` in the place of the argument; none when empty.
    pub text: &'static str,
}

/// A refusal.
#[derive(Debug)]
pub struct Fault {
    /// Why.
    pub condition: Condition,
    /// What the text names.
    pub argument: Box<str>,
    /// For the log alone.
    pub detail: Option<Box<str>>,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Fault {
    /// A refusal without an argument.
    pub fn new(condition: Condition) -> Self {
        Self::about(condition, "")
    }

    /// A refusal that names something.
    pub fn about(condition: Condition, argument: &str) -> Self {
        Self {
            condition,
            argument: argument.into(),
            detail: None,
            retry_after: None,
        }
    }

    /// Adds what only the log is told.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into().into_boxed_str());
        self
    }

    /// A fault of the server itself.
    pub fn server(detail: impl Into<String>) -> Self {
        Self::new(Condition::Server).because(detail)
    }

    /// The store cannot be had.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let mut fault = Self::new(Condition::Unavailable).because(detail);
        fault.retry_after = Some(2);
        fault
    }

    /// `error_description` in a dialect.
    pub fn text(&self, dialect: &Dialect) -> String {
        let row = dialect.row(self.condition);
        if self.condition == Condition::Method {
            let mut words = self.argument.splitn(3, ' ');
            let mut word = || echo(words.next().unwrap_or(""));
            let (method, endpoint, allowed) = (word(), word(), word());
            return row
                .text
                .replace("{method}", &method)
                .replace("{endpoint}", &endpoint)
                .replace("{allowed}", &allowed);
        }
        if row.text.contains("{}") {
            row.text.replace("{}", &echo(&self.argument))
        } else {
            row.text.to_owned()
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.condition)?;
        if !self.argument.is_empty() {
            write!(f, " ({})", echo(&self.argument))?;
        }
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

/// A client's words as `error_description` may hold them (RFC 6749 §5.2), cut.
pub fn echo(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\u{20}'..='\u{21}' | '\u{23}'..='\u{5b}' | '\u{5d}'..='\u{7e}'))
        .take(ECHO_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_clean_and_short() {
        assert_eq!(echo("a\"b\\c\u{0}d\nä~"), "abcd~");
        assert_eq!(echo(&"x".repeat(500)).len(), ECHO_LIMIT);
    }
}
