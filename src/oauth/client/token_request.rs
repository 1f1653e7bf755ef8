//! The request to a token endpoint as plain data (RFC 6749 §4, §2.3.1; RFC 7523; RFC 8693; RFC 8707).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Parameters that a block sends itself, so that extra parameters may not name them.
pub const OWN_PARAMETERS: [&str; 16] = [
    "grant_type",
    "scope",
    "username",
    "password",
    "assertion",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "audience",
    "resource",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
];

/// The grant and what belongs to it.
#[derive(Debug)]
pub enum Grant<'a> {
    /// `client_credentials`.
    ClientCredentials,
    /// `password`.
    Password {
        /// The resource owner's name.
        username: &'a str,
        /// The resource owner's password.
        password: &'a SecretString,
    },
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer`.
    JwtBearer {
        /// The assertion.
        assertion: &'a SecretString,
    },
    /// `authorization_code`.
    AuthorizationCode {
        /// The code.
        code: &'a SecretString,
        /// The URL it was sent to.
        redirect_uri: &'a str,
        /// The verifier, with PKCE.
        code_verifier: Option<&'a SecretString>,
    },
    /// `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693 §2.1).
    TokenExchange {
        /// The token given in exchange, and its type.
        subject: (&'a SecretString, &'a str),
        /// The acting party's token, and its type.
        actor: Option<(&'a SecretString, &'a str)>,
        /// The type asked for; sent unless empty.
        requested_type: &'a str,
    },
}

/// How the client proves who it is.
#[derive(Debug)]
pub enum ClientAuth<'a> {
    /// Not at all.
    None,
    /// `client_secret_basic`.
    Basic {
        /// Client identifier.
        id: &'a str,
        /// Client secret.
        secret: &'a SecretString,
    },
    /// `client_secret_post`.
    Post {
        /// Client identifier.
        id: &'a str,
        /// Client secret.
        secret: &'a SecretString,
    },
    /// `client_secret_jwt` or `private_key_jwt`, with a signed assertion.
    Assertion {
        /// Client identifier.
        id: &'a str,
        /// The signed assertion.
        assertion: &'a SecretString,
    },
}

/// What to ask for.
#[derive(Debug)]
pub struct TokenForm<'a> {
    /// The grant.
    pub grant: Grant<'a>,
    /// Sent unless empty.
    pub scope: &'a str,
    /// `audience`, sent unless empty.
    pub audience: &'a str,
    /// `resource`, once for each (RFC 8707).
    pub resources: &'a [String],
    /// Further parameters, none of [`OWN_PARAMETERS`].
    pub extra: &'a [(String, String)],
}

impl<'a> TokenForm<'a> {
    /// A form with nothing but the grant.
    pub fn of(grant: Grant<'a>) -> Self {
        Self {
            grant,
            scope: "",
            audience: "",
            resources: &[],
            extra: &[],
        }
    }
}

/// A request ready to be sent.
pub struct TokenRequest {
    /// Always `POST`.
    pub method: Method,
    /// `Content-Type`, `Accept` and perhaps `Authorization` (marked sensitive).
    pub headers: HeaderMap,
    /// The form.
    pub body: Vec<u8>,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body holds secrets.
        f.debug_struct("TokenRequest")
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl TokenRequest {
    /// Builds the request.
    pub fn new(form: &TokenForm<'_>, auth: &ClientAuth<'_>) -> Self {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));

        let mut body = String::new();
        match &form.grant {
            Grant::ClientCredentials => pair(&mut body, "grant_type", "client_credentials"),
            Grant::Password { username, password } => {
                pair(&mut body, "grant_type", "password");
                pair(&mut body, "username", username);
                pair(&mut body, "password", password.expose_secret());
            }
            Grant::JwtBearer { assertion } => {
                let name = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                pair(&mut body, "grant_type", name);
                pair(&mut body, "assertion", assertion.expose_secret());
            }
            Grant::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
            } => {
                pair(&mut body, "grant_type", "authorization_code");
                pair(&mut body, "code", code.expose_secret());
                pair(&mut body, "redirect_uri", redirect_uri);
                if let Some(verifier) = code_verifier {
                    pair(&mut body, "code_verifier", verifier.expose_secret());
                }
            }
            Grant::TokenExchange {
                subject: (subject, subject_type),
                actor,
                requested_type,
            } => {
                let name = "urn:ietf:params:oauth:grant-type:token-exchange";
                pair(&mut body, "grant_type", name);
                pair(&mut body, "subject_token", subject.expose_secret());
                pair(&mut body, "subject_token_type", subject_type);
                if let Some((actor, actor_type)) = actor {
                    pair(&mut body, "actor_token", actor.expose_secret());
                    pair(&mut body, "actor_token_type", actor_type);
                }
                if !requested_type.is_empty() {
                    pair(&mut body, "requested_token_type", requested_type);
                }
            }
        }
        if !form.scope.is_empty() {
            pair(&mut body, "scope", form.scope);
        }
        if !form.audience.is_empty() {
            pair(&mut body, "audience", form.audience);
        }
        for resource in form.resources {
            pair(&mut body, "resource", resource);
        }
        authenticate(auth, &mut headers, &mut body);
        for (name, value) in form.extra {
            pair(&mut body, name, value);
        }
        Self {
            method: Method::POST,
            headers,
            body: body.into_bytes(),
        }
    }
}

/// Header fields and form of an introspection request (RFC 7662 §2.1).
pub fn introspection_form(token: &SecretString, auth: &ClientAuth<'_>) -> (HeaderMap, Vec<u8>) {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut body = String::new();
    pair(&mut body, "token", token.expose_secret());
    authenticate(auth, &mut headers, &mut body);
    (headers, body.into_bytes())
}

fn authenticate(auth: &ClientAuth<'_>, headers: &mut HeaderMap, body: &mut String) {
    match auth {
        ClientAuth::None => {}
        ClientAuth::Basic { id, secret } => {
            headers.insert(AUTHORIZATION, basic(id, secret.expose_secret()));
        }
        ClientAuth::Post { id, secret } => {
            pair(body, "client_id", id);
            pair(body, "client_secret", secret.expose_secret());
        }
        ClientAuth::Assertion { id, assertion } => {
            pair(body, "client_id", id);
            pair(body, "client_assertion_type", ASSERTION_TYPE);
            pair(body, "client_assertion", assertion.expose_secret());
        }
    }
}

fn basic(id: &str, secret: &str) -> HeaderValue {
    let mut credentials = zeroize::Zeroizing::new(String::new());
    encode_form(&mut credentials, id);
    credentials.push(':');
    encode_form(&mut credentials, secret);
    let text = format!("Basic {}", STANDARD.encode(credentials.as_bytes()));
    // Base64 is always a legal header value.
    let mut value =
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

fn pair(body: &mut String, name: &str, value: &str) {
    if !body.is_empty() {
        body.push('&');
    }
    encode_form(body, name);
    body.push('=');
    encode_form(body, value);
}

/// Appends `text` in `application/x-www-form-urlencoded` form (RFC 6749 Appendix B).
pub fn encode_form(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form<'a>(grant: Grant<'a>, extra: &'a [(String, String)]) -> TokenForm<'a> {
        TokenForm {
            grant,
            scope: "read write",
            audience: "",
            resources: &[],
            extra,
        }
    }

    #[test]
    fn basic_credentials_are_form_encoded_first() {
        let secret = SecretString::from("s:e c+ü%");
        let auth = ClientAuth::Basic {
            id: "my client",
            secret: &secret,
        };
        let request = TokenRequest::new(&form(Grant::ClientCredentials, &[]), &auth);
        assert_eq!(
            request.body,
            b"grant_type=client_credentials&scope=read+write"
        );
        let header = &request.headers[AUTHORIZATION];
        let expected = STANDARD.encode("my+client:s%3Ae+c%2B%C3%BC%25");
        assert_eq!(header.to_str().unwrap(), format!("Basic {expected}"));
        assert!(header.is_sensitive());
        assert!(!format!("{request:?}").contains(&expected));
    }

    #[test]
    fn everything_in_the_body() {
        let secret = SecretString::from("s&s");
        let password = SecretString::from("pw");
        let extra = [("x y".to_owned(), "=".to_owned())];
        let resources = ["https://a".to_owned(), "https://b".to_owned()];
        let form = TokenForm {
            audience: "api",
            resources: &resources,
            ..form(
                Grant::Password {
                    username: "u",
                    password: &password,
                },
                &extra,
            )
        };
        let auth = ClientAuth::Post {
            id: "c",
            secret: &secret,
        };
        let request = TokenRequest::new(&form, &auth);
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            "grant_type=password&username=u&password=pw&scope=read+write&audience=api\
             &resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb&client_id=c&client_secret=s%26s\
             &x+y=%3D"
        );
        assert!(!request.headers.contains_key(AUTHORIZATION));
    }
}
