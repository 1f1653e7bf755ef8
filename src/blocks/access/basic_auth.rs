//! `basic_auth`: user and password in the `Authorization` header (RFC 7617).
//!
//! ```hcl
//! basic_auth "door" {
//!   user     = "john"
//!   password = "secret"
//! }
//! ```

use super::{Authenticate, Verdict};
use crate::blocks::Definitions;
use crate::blocks::error_handler;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::crypto::constant_time::secrets_equal;
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::Value;
use crate::http::exchange::Exchange;
use http::{HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;

use base64::Engine as _;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "basic_auth",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("user", Kind::String, "The user's name."),
        AttributeSchema::start("password", Kind::String, "The password."),
        AttributeSchema::start("htpasswd_file", Kind::Path, "File of users.").unavailable(),
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
    let challenge = match text("realm") {
        realm if realm.is_empty() => "Basic".to_owned(),
        realm => format!(
            "Basic realm=\"{}\"",
            realm.replace('\\', "\\\\").replace('"', "\\\"")
        ),
    };
    let challenge = HeaderValue::try_from(challenge).unwrap_or_else(|_| {
        let span = reader
            .attribute("realm")
            .map_or(reader.span(), |a| a.value_span);
        reader.bad_value(span, "`realm` holds a character that headers cannot have");
        HeaderValue::from_static("Basic")
    });
    Some(Box::new(BasicAuth {
        user: text("user"),
        password: SecretString::from(text("password")),
        challenge,
    }))
}

/// User and password of a `Basic` value, if it is one at all; `Err` when it is malformed.
pub fn credentials(value: &[u8]) -> Option<Result<(String, SecretString), ()>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim_ascii());
    let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Some(
        match text.as_deref().and_then(|text| text.split_once(':')) {
            Some((user, password)) => Ok((user.to_owned(), SecretString::from(password))),
            None => Err(()),
        },
    )
}

impl BasicAuth {
    fn check(&self, label: &Arc<str>, exchange: &mut Exchange) -> Result<(), Error> {
        let denied = |kind, why: &str| {
            Error::new(kind, why).with_header(header::WWW_AUTHENTICATE, self.challenge.clone())
        };
        let given = exchange.headers().get(header::AUTHORIZATION);
        let Some(given) = given.and_then(|value| credentials(value.as_bytes())) else {
            return Err(denied(
                ErrorKind::BasicAuthCredentialsMissing,
                "credentials required",
            ));
        };
        let Ok((user, password)) = given else {
            return Err(denied(ErrorKind::BasicAuth, "malformed credentials"));
        };
        let (user_ok, password_ok) = (
            secrets_equal(user.as_bytes(), self.user.as_bytes()),
            secrets_equal(
                password.expose_secret().as_bytes(),
                self.password.expose_secret().as_bytes(),
            ),
        );
        // An unset password lets nobody in.
        if !(user_ok & password_ok) || self.password.expose_secret().is_empty() {
            return Err(denied(ErrorKind::BasicAuth, "credential mismatch"));
        }
        let context = Value::object(vec![("user".into(), Value::from(user))]);
        exchange.set_context(label, Arc::new(context));
        Ok(())
    }
}

impl Authenticate for BasicAuth {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        Verdict::Now(self.check(label, exchange))
    }

    fn default_types(&self) -> &'static [ErrorKind] {
        &[ErrorKind::BasicAuth]
    }
}
