//! The answer of a token endpoint (RFC 6749 §5), and what a failed fetch is.
//!
//! Nothing of a body ever reaches a message but the three error members of RFC 6749 §5.2, shortened,
//! printable, and with the client's own secrets masked.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::UnixTime;
use crate::crypto::jws;

use super::token_request::encode_form;

/// Largest answer that is looked at.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);
const MAX_MEMBER_CHARS: usize = 200;

/// What kind of failure a fetch ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The connection was refused, reset or closed too early.
    Dropped,
    /// A time limit passed.
    Timeout,
    /// A status other than 200.
    Status(u16),
    /// A 200 without a body.
    Empty,
    /// A 200 over [`MAX_BODY_BYTES`].
    TooLarge,
    /// A 200 without a usable token.
    Invalid,
    /// The request could not be made, or the fetch ended in a fault of our own.
    Internal,
}

/// A failed fetch, as all who waited for it see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FetchFailure {
    /// The kind.
    pub kind: FailureKind,
    /// What the endpoint asked for, at most five minutes.
    pub retry_after: Option<Duration>,
    /// The OAuth `error` code, if the answer had one.
    pub oauth_error: Option<String>,
    /// For the log. Holds neither the body nor a secret.
    pub message: String,
}

impl FetchFailure {
    /// A failure without an answer.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            retry_after: None,
            oauth_error: None,
            message: message.into(),
        }
    }

    /// Whether the same request may well succeed a moment later: a lost connection, a server
    /// error that does not say when to come back, an empty answer.
    pub fn is_momentary(&self) -> bool {
        self.retry_after.is_none()
            && match self.kind {
                FailureKind::Dropped | FailureKind::Empty => true,
                FailureKind::Status(status) => (500..600).contains(&status),
                FailureKind::Timeout
                | FailureKind::TooLarge
                | FailureKind::Invalid
                | FailureKind::Internal => false,
            }
    }
}

/// The scheme a token is to be used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    DPoP,
}

/// How long a token lives, as its endpoint says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lifetime {
    /// Seconds from the request on; may be zero, negative or infinite.
    Seconds(f64),
    /// No usable `expires_in`; the end that the token itself names (`exp`, unix seconds), if any.
    Unstated {
        /// `exp` of the token, if it is a JWT.
        exp: Option<f64>,
    },
}

/// A token as it came.
#[derive(Clone)]
pub struct FetchedToken {
    /// Visible ASCII, not empty; blanks only between other characters.
    pub access_token: SecretString,
    /// Its type.
    pub token_type: TokenType,
    /// Its life.
    pub lifetime: Lifetime,
}

impl fmt::Debug for FetchedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedToken")
            .field("token_type", &self.token_type)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// An answer, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct TokenResponse<'a> {
    /// Where it came from, for messages.
    pub endpoint: &'a str,
    /// Status code.
    pub status: u16,
    /// `Content-Type`, for messages.
    pub content_type: Option<&'a str>,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// The body, or its first [`MAX_BODY_BYTES`] + 1 bytes.
    pub body: &'a [u8],
}

#[derive(Default, Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    access_token: Option<&'a RawValue>,
    #[serde(borrow)]
    token_type: Option<&'a RawValue>,
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    error_description: Option<&'a RawValue>,
    #[serde(borrow)]
    error_uri: Option<&'a RawValue>,
}

/// Takes the token out of an answer. `secrets` are masked should the answer repeat them; `now` is
/// what a `Retry-After` date is compared with.
pub fn parse_token_response(
    response: &TokenResponse<'_>,
    secrets: &[&SecretString],
    now: UnixTime,
) -> Result<FetchedToken, FetchFailure> {
    let failure = |kind, why: &str, members: Option<&Members<'_>>| {
        let mut message = format!("token request to {} failed: {why}", response.endpoint);
        let error = members.and_then(|members| text(members.error));
        if let Some(members) = members {
            for (name, value) in [
                ("error", members.error),
                ("error_description", members.error_description),
                ("error_uri", members.error_uri),
            ] {
                if let Some(value) = text(value) {
                    message.push_str(if message.contains("error=") {
                        ", "
                    } else {
                        ": "
                    });
                    message.push_str(name);
                    message.push('=');
                    message.push_str(&printable(&masked(value, secrets)));
                }
            }
        }
        FetchFailure {
            kind,
            retry_after: response
                .retry_after
                .and_then(|value| retry_after(value, now)),
            oauth_error: error.map(|error| printable(&masked(error, secrets))),
            message,
        }
    };

    if response.body.len() > MAX_BODY_BYTES {
        return Err(failure(FailureKind::TooLarge, "answer over 1 MiB", None));
    }
    let members = members(response.body);
    if response.status != 200 {
        let why = format!("status {}", response.status);
        let kind = FailureKind::Status(response.status);
        return Err(failure(kind, &why, members.as_ref()));
    }
    if response.body.trim_ascii().is_empty() {
        return Err(failure(
            FailureKind::Empty,
            "status 200 with an empty body",
            None,
        ));
    }
    let Some(members) = members else {
        let why = format!(
            "status 200, but no JSON object (media type {})",
            response
                .content_type
                .map_or_else(|| "not given".to_owned(), printable)
        );
        return Err(failure(FailureKind::Invalid, &why, None));
    };
    let invalid = |why| failure(FailureKind::Invalid, why, Some(&members));
    let access_token = text(members.access_token)
        .filter(|token| !token.is_empty())
        .ok_or_else(|| invalid("no `access_token`"))?;
    if !is_sendable(&access_token) {
        return Err(invalid("`access_token` is not visible ASCII"));
    }
    let token_type = match members.token_type.filter(|value| value.get() != "null") {
        None => TokenType::Bearer,
        some => match text(some) {
            Some(name) if name.eq_ignore_ascii_case("bearer") => TokenType::Bearer,
            Some(name) if name.eq_ignore_ascii_case("dpop") => TokenType::DPoP,
            Some(_) | None => return Err(invalid("`token_type` is neither Bearer nor DPoP")),
        },
    };
    let lifetime = members.expires_in.and_then(seconds).map_or_else(
        || Lifetime::Unstated {
            exp: exp(&access_token),
        },
        Lifetime::Seconds,
    );
    Ok(FetchedToken {
        access_token: access_token.into(),
        token_type,
        lifetime,
    })
}

/// RFC 6749 A.12 lets a token hold blanks between other characters. One at an end, or nothing but
/// blanks, would be another token or none by the time it has been sent.
fn is_sendable(token: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    token.trim_ascii() == token && token.bytes().all(visible)
}

fn members(body: &[u8]) -> Option<Members<'_>> {
    // Derived structs also read a list, member by member.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

/// Read from the raw text, because 1e400 is a lifetime, too, though no double for the parser.
fn seconds(value: &RawValue) -> Option<f64> {
    let raw = value.get();
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw).ok()?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let plain = digits.starts_with(|first: char| first.is_ascii_digit())
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        return plain.then(|| text.parse().ok()).flatten();
    }
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        .then(|| raw.parse().ok())
        .flatten()
}

fn exp(access_token: &str) -> Option<f64> {
    jws::unverified_claims(access_token)?.get("exp")?.as_f64()
}

/// The time of a `Retry-After`, at most five minutes.
pub fn retry_after(value: &str, now: UnixTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        let date = UnixTime::from(httpdate::parse_http_date(value).ok()?);
        let seconds = date.seconds().saturating_sub(now.seconds());
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Secrets too short to be any are left: they would take letters out of plain words.
const LEAST_SECRET: usize = 4;

fn masked(text: String, secrets: &[&SecretString]) -> String {
    secrets
        .iter()
        .map(|secret| secret.expose_secret())
        .filter(|secret| secret.len() >= LEAST_SECRET)
        .fold(text, |text, secret| {
            let mut encoded = String::new();
            encode_form(&mut encoded, secret);
            text.replace(secret, "***").replace(&encoded, "***")
        })
}

/// Text of others for a message: short, without control characters.
pub fn printable(text: &(impl AsRef<str> + ?Sized)) -> String {
    text.as_ref()
        .chars()
        .take(MAX_MEMBER_CHARS)
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, body: &str) -> Result<FetchedToken, FetchFailure> {
        parse_with(status, body, None)
    }

    fn parse_with(
        status: u16,
        body: &str,
        retry_after: Option<&str>,
    ) -> Result<FetchedToken, FetchFailure> {
        let response = TokenResponse {
            endpoint: "https://as.test/token",
            status,
            content_type: Some("text/html"),
            retry_after,
            body: body.as_bytes(),
        };
        let secret = SecretString::from("s3 cret");
        parse_token_response(&response, &[&secret], UnixTime::from_seconds(784_111_767))
    }

    #[test]
    fn lifetimes() {
        let cases = [
            ("3600", 3600.0),
            ("1.5", 1.5),
            ("\"300\"", 300.0),
            ("\"-1\"", -1.0),
            ("0", 0.0),
            ("-5", -5.0),
            ("1e400", f64::INFINITY),
            ("10000000000000000000", 1e19),
        ];
        for (raw, seconds) in cases {
            let body = format!(r#"{{"access_token":"t","expires_in":{raw},"x":1e999}}"#);
            let token = parse(200, &body).unwrap();
            assert_eq!(token.lifetime, Lifetime::Seconds(seconds), "{raw}");
        }
        for raw in [
            "null", "true", "\"soon\"", "\"NaN\"", "\"inf\"", "\"\"", "{}",
        ] {
            let body = format!(r#"{{"access_token":"t","expires_in":{raw}}}"#);
            let token = parse(200, &body).unwrap();
            assert_eq!(token.lifetime, Lifetime::Unstated { exp: None }, "{raw}");
        }
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjEyM30.AAAA";
        let token = parse(200, &format!(r#"{{"access_token":"{jwt}"}}"#)).unwrap();
        assert_eq!(token.lifetime, Lifetime::Unstated { exp: Some(123.0) });
    }

    #[test]
    fn what_is_no_token() {
        let large = format!(
            r#"{{"access_token":"t","pad":"{}"}}"#,
            "x".repeat(MAX_BODY_BYTES)
        );
        let cases = [
            ("", FailureKind::Empty),
            (" \n", FailureKind::Empty),
            ("<html>", FailureKind::Invalid),
            (r#"["t","bearer",60]"#, FailureKind::Invalid),
            (r#"{"access_token":"t""#, FailureKind::Invalid),
            ("{}", FailureKind::Invalid),
            (r#"{"access_token":""}"#, FailureKind::Invalid),
            (r#"{"access_token":7}"#, FailureKind::Invalid),
            (r#"{"access_token":null}"#, FailureKind::Invalid),
            (r#"{"access_token":" "}"#, FailureKind::Invalid),
            (r#"{"access_token":"a "}"#, FailureKind::Invalid),
            (r#"{"access_token":"a\tb"}"#, FailureKind::Invalid),
            (r#"{"access_token":"a\r\nX: y"}"#, FailureKind::Invalid),
            (r#"{"access_token":"ü"}"#, FailureKind::Invalid),
            (
                r#"{"access_token":"t","access_token":"u"}"#,
                FailureKind::Invalid,
            ),
            (
                r#"{"access_token":"t","token_type":"mac"}"#,
                FailureKind::Invalid,
            ),
            (
                r#"{"access_token":"t","token_type":1}"#,
                FailureKind::Invalid,
            ),
            (&large, FailureKind::TooLarge),
        ];
        for (body, kind) in cases {
            assert_eq!(parse(200, body).unwrap_err().kind, kind, "{body:.60}");
        }
        assert!(parse(200, r#"{"access_token":"a b"}"#).is_ok());
        for name in ["Bearer", "bearer", "BEARER", "DPoP"] {
            let body = format!(r#"{{"access_token":"t","token_type":"{name}"}}"#);
            assert!(parse(200, &body).is_ok());
        }
        assert_eq!(
            parse(302, r#"{"access_token":"t"}"#).unwrap_err().kind,
            FailureKind::Status(302)
        );
    }

    #[test]
    fn messages_show_errors_but_no_secret_and_no_body() {
        let failure = parse(
            401,
            r#"{"error":"invalid_client","error_description":"s3 cret or s3+cret\nis wrong","x":"body"}"#,
        )
        .unwrap_err();
        assert_eq!(failure.oauth_error.as_deref(), Some("invalid_client"));
        assert_eq!(
            failure.message,
            "token request to https://as.test/token failed: status 401: error=invalid_client, \
             error_description=*** or ***\u{fffd}is wrong"
        );
        let failure = parse(200, "<b>body</b>").unwrap_err();
        assert!(!failure.message.contains("body"));
        assert!(failure.message.contains("text/html"));
    }

    #[test]
    fn retry_after_and_momentary_failures() {
        let wait = |value| parse_with(503, "", Some(value)).unwrap_err().retry_after;
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(wait("soon"), None);
        assert!(parse(503, "").unwrap_err().is_momentary());
        assert!(parse(200, "").unwrap_err().is_momentary());
        assert!(!parse(400, "").unwrap_err().is_momentary());
        assert!(!parse_with(503, "", Some("1")).unwrap_err().is_momentary());
        assert!(!FetchFailure::new(FailureKind::Timeout, "").is_momentary());
    }
}
