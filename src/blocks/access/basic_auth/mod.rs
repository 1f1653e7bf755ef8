//! `basic_auth`: user and password in the `Authorization` header (RFC 7617).
//!
//! ```hcl
//! basic_auth "door" {
//!   user     = "john"
//!   password = "secret"
//! }
//! ```

mod users;

use super::{Authenticate, Verdict};
use crate::blocks::Definitions;
use crate::blocks::error_handler;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::crypto::constant_time::secrets_equal;
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::Value;
use crate::http::exchange::Exchange;
use base64::Engine as _;
use http::{HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use std::sync::Arc;
use users::Users;
use zeroize::Zeroizing;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "basic_auth",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("user", Kind::String, "The user's name."),
        AttributeSchema::start("password", Kind::String, "The password."),
        AttributeSchema::start(
            "htpasswd_file",
            Kind::Path,
            "File of users: a line `name:hash` for each, with hashes by MD5-crypt (`$apr1$`, `$1$`), bcrypt or Argon2.",
        ),
        AttributeSchema::start("realm", Kind::String, "The realm in the challenge."),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[Child::many(&error_handler::SCHEMA)],
    rules: &[],
    docs: "User and password in the `Authorization` header.",
    example: r#"server {
  access_control = ["door"]
  endpoint "/" {
    response {}
  }
}

definitions {
  basic_auth "door" {
    user     = "john"
    password = "secret"
  }
}
"#,
};

#[derive(Debug)]
struct BasicAuth {
    user: String,
    password: SecretString,
    users: Option<Users>,
    challenge: HeaderValue,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, _: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    let text = |name: &str| {
        reader
            .string(name)
            .map(|text| text.value)
            .unwrap_or_default()
    };
    let (user, password) = (text("user"), SecretString::from(text("password")));
    let has_file = reader.has("htpasswd_file");
    let users = Users::read(reader, "htpasswd_file");
    if password.expose_secret().is_empty() && !has_file {
        let message =
            "`basic_auth` lets nobody in: it has neither a `password` nor an `htpasswd_file`";
        let span = reader
            .attribute("password")
            .map_or(reader.span(), |a| a.value_span);
        reader
            .cx
            .report(Diagnostic::warning(code::SUSPICIOUS, span, message));
    }
    let challenge = challenge(reader, &text("realm"));
    (users.is_some() || !has_file).then(|| {
        let control: Box<dyn Authenticate> = Box::new(BasicAuth {
            user,
            password,
            users,
            challenge,
        });
        control
    })
}

fn challenge(reader: Reader<'_>, realm: &str) -> HeaderValue {
    let text = if realm.is_empty() {
        "Basic".to_owned()
    } else {
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        format!("Basic realm=\"{quoted}\"")
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| {
        let span = reader
            .attribute("realm")
            .map_or(reader.span(), |a| a.value_span);
        reader.bad_value(span, "`realm` holds a character that headers cannot have");
        HeaderValue::from_static("Basic")
    })
}

/// User and password as sent.
#[derive(Debug)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password. It may be in any character encoding.
    pub password: SecretSlice<u8>,
}

/// The credentials of a `Basic` value, if it is one at all; `Err` when it is malformed.
pub fn credentials(value: &[u8]) -> Option<Result<Credentials, ()>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim_ascii());
    let decoded = Zeroizing::new(decoded.unwrap_or_default());
    let credentials = decoded
        .iter()
        .position(|byte| *byte == b':')
        .and_then(|colon| {
            let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
            Some(Credentials {
                user: std::str::from_utf8(user).ok()?.to_owned(),
                password: SecretSlice::from(password.to_vec()),
            })
        });
    Some(credentials.ok_or(()))
}

impl BasicAuth {
    fn denied(&self, kind: ErrorKind, why: &str) -> Error {
        Error::new(kind, why).with_header(header::WWW_AUTHENTICATE, self.challenge.clone())
    }

    fn mismatch(&self) -> Error {
        self.denied(ErrorKind::BasicAuth, "credential mismatch")
    }

    fn credentials(&self, exchange: &Exchange) -> Result<Credentials, Error> {
        let given = exchange.headers().get(header::AUTHORIZATION);
        match given.and_then(|value| credentials(value.as_bytes())) {
            Some(Ok(credentials)) => Ok(credentials),
            Some(Err(())) => Err(self.denied(ErrorKind::BasicAuth, "malformed credentials")),
            None => Err(self.denied(
                ErrorKind::BasicAuthCredentialsMissing,
                "credentials required",
            )),
        }
    }

    /// Whether the credentials are those of the attributes; `None` if these are not about the user.
    fn by_attributes(&self, given: &Credentials) -> Option<bool> {
        let password = self.password.expose_secret();
        let user_ok = secrets_equal(given.user.as_bytes(), self.user.as_bytes());
        let password_ok = secrets_equal(given.password.expose_secret(), password.as_bytes());
        (user_ok && !password.is_empty()).then_some(password_ok)
    }

    /// Whether the credentials are those of a user of the file.
    async fn by_file(&self, users: &Users, given: Credentials) -> Result<String, Error> {
        let Credentials { user, password } = given;
        let pair = users.pair(&user, &password);
        match users.verify(pair, &user, password).await {
            Ok(true) => Ok(user),
            Ok(false) => Err(self.mismatch()),
            Err(busy) => Err(Error::new(ErrorKind::BasicAuth, busy.to_string())
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))),
        }
    }
}

fn admit(label: &Arc<str>, exchange: &mut Exchange, user: String) {
    let context = Value::object(vec![("user".into(), Value::from(user))]);
    exchange.set_context(label, Arc::new(context));
}

impl Authenticate for BasicAuth {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        let given = match self.credentials(exchange) {
            Ok(given) => given,
            Err(error) => return Verdict::Now(Err(error)),
        };
        let right = match (self.by_attributes(&given), &self.users) {
            (Some(right), _) => right,
            (None, None) => false,
            (None, Some(users)) if users.knows(&users.pair(&given.user, &given.password)) => true,
            (None, Some(users)) => {
                return Verdict::Later(Box::pin(async move {
                    let user = self.by_file(users, given).await?;
                    admit(label, exchange, user);
                    Ok(())
                }));
            }
        };
        if !right {
            return Verdict::Now(Err(self.mismatch()));
        }
        admit(label, exchange, given.user);
        Verdict::Now(Ok(()))
    }

    fn default_types(&self) -> &'static [ErrorKind] {
        &[ErrorKind::BasicAuth]
    }
}
