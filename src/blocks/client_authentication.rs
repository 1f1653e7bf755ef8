//! How a client authenticates at a token endpoint or the like: attributes that several blocks share
//! (RFC 6749 §2.3, RFC 7523 §2.2, `OpenID` Connect Core 1.0 §9).

use super::jwt_signing_profile::{self, Assertions, KeySource};
use super::reader::Reader;
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::oauth::client::token_request::ClientAuth;
use secrecy::SecretString;

/// The methods by name; the first is the default.
pub static METHODS: [&str; 4] = [
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
];

/// A client with what proves who it is.
#[derive(Debug)]
pub struct ClientAuthentication {
    /// `client_id`
    pub client_id: String,
    client_secret: SecretString,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Basic,
    Post,
    Assertion(Assertions),
}

impl ClientAuthentication {
    /// Reads `client_id`, `client_secret`, the method from the attribute `method_name`, and
    /// `jwt_signing_profile`.
    pub fn read(reader: Reader<'_>, method_name: &'static str) -> Option<Self> {
        let text = |name: &str| reader.string(name).map(|t| t.value).unwrap_or_default();
        let (client_id, client_secret) = (text("client_id"), text("client_secret"));
        let method = method(reader, method_name, &client_id, &client_secret);
        Some(Self {
            client_id,
            client_secret: client_secret.into(),
            method: method?,
        })
    }

    /// Hands what is to be sent to `send`. `audience` is who the client addresses, for assertions
    /// whose profile names nobody. The error says why there is no assertion.
    pub fn with<T>(
        &self,
        audience: Option<&str>,
        send: impl FnOnce(&ClientAuth<'_>) -> T,
    ) -> Result<T, String> {
        let (id, secret) = (self.client_id.as_str(), &self.client_secret);
        Ok(match &self.method {
            Method::Basic => send(&ClientAuth::Basic { id, secret }),
            Method::Post => send(&ClientAuth::Post { id, secret }),
            Method::Assertion(profile) => {
                let assertion = profile.of_client(id, audience)?;
                let assertion = &assertion;
                send(&ClientAuth::Assertion { id, assertion })
            }
        })
    }

    /// The secret, to be masked should somebody repeat it.
    pub fn secret(&self) -> &SecretString {
        &self.client_secret
    }
}

fn method(reader: Reader<'_>, name: &'static str, id: &str, secret: &str) -> Option<Method> {
    let named = reader.filled(name);
    let method = named
        .as_ref()
        .map_or(METHODS[0], |named| named.value.as_str());
    if !METHODS.contains(&method) {
        let span = named.as_ref().map_or(reader.span(), |named| named.span);
        let message = format!("`{name}` `{method}` is unknown");
        let hint = did_you_mean(method, METHODS.iter().copied())
            .unwrap_or_else(|| format!("it is one of `{}`", METHODS.join("`, `")));
        reader
            .cx
            .report(Diagnostic::error(code::BAD_VALUE, span, message).hint(hint));
        return None;
    }
    let why = format!("`{name}` `{method}`");
    require(reader, "client_id", id, &why);
    if method == "private_key_jwt" {
        if let Some(attribute) = reader.attribute("client_secret") {
            let message = format!("`client_secret` cannot stand beside {why}");
            refuse(reader, attribute.name.span, message);
        }
    } else {
        require(reader, "client_secret", secret, &why);
    }
    let source = match method {
        "client_secret_jwt" => KeySource::Secret(secret),
        "private_key_jwt" => KeySource::Private,
        _ => {
            if let Some(block) = reader.inner("jwt_signing_profile") {
                let message = format!("`jwt_signing_profile` cannot stand beside {why}");
                refuse(reader, block.header(), message);
            }
            return Some(if method == "client_secret_post" {
                Method::Post
            } else {
                Method::Basic
            });
        }
    };
    let Some(block) = reader.inner("jwt_signing_profile") else {
        let message = format!("{why} needs a `jwt_signing_profile`");
        reader
            .cx
            .report(Diagnostic::error(code::MISSING, reader.span(), message));
        return None;
    };
    let inner = Reader::new(reader.cx, block, &jwt_signing_profile::SCHEMA);
    Assertions::read(inner, source).map(Method::Assertion)
}

/// A string that must be there and not empty. Its value has been read, so nothing else is said; a
/// missing attribute that the schema requires has been reported, too.
pub(super) fn require(reader: Reader<'_>, name: &str, value: &str, why: &str) {
    let attribute = reader.attribute(name);
    let required = reader.schema().attribute(name).is_some_and(|a| a.required);
    if !value.is_empty() || (attribute.is_none() && required) {
        return;
    }
    let span = attribute.map_or(reader.span(), |a| a.value_span);
    let block = reader.schema().name;
    let message = format!("`{block}`: `{name}` must not be empty with {why}");
    reader
        .cx
        .report(Diagnostic::error(code::MISSING, span, message));
}

/// Reports what does not belong together.
pub(super) fn refuse(reader: Reader<'_>, span: Span, message: String) {
    reader
        .cx
        .report(Diagnostic::error(code::CONFLICT, span, message));
}
