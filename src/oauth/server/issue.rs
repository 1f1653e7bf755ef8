//! Making access tokens: signed ones (RFC 9068) and references.

use super::answer::{Notes, Request};
use super::client::{Client, Format, hex, sha256};
use super::dialect::{ExtraClaims, Opaque};
use super::fault::{Condition, Fault};
use super::grant::Grant;
use super::json::Object;
use super::scope::{self, Names};
use super::{Server, event, now};
use crate::clock::UnixTime;
use crate::crypto::random;
use crate::expr::{Program, Scope};
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// A JWT of this size is told in the log.
const LARGE: usize = 4 << 10;
/// A JWT of this size is not issued.
const TOO_LARGE: usize = 12 << 10;

/// Claims that configuration must not set.
pub const RESERVED: [&str; 13] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "cnf",
    "act",
    "authorization_details",
    "gid",
];

/// What a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// Thumbprint of a key (RFC 9449 §6.1).
    pub jkt: Option<String>,
    /// Thumbprint of a certificate (RFC 8705 §3.1).
    pub x5t: Option<String>,
}

impl Confirmation {
    /// Whether it binds to nothing.
    pub fn is_empty(&self) -> bool {
        self.jkt.is_none() && self.x5t.is_none()
    }

    /// The claim `cnf`.
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        if let Some(jkt) = &self.jkt {
            members.insert("jkt".into(), jkt.as_str().into());
        }
        if let Some(x5t) = &self.x5t {
            members.insert("x5t#S256".into(), x5t.as_str().into());
        }
        Value::Object(members)
    }

    /// From the claim `cnf`.
    pub fn of_json(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            jkt: text("jkt"),
            x5t: text("x5t#S256"),
        }
    }
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub(super) struct Order<'o> {
    pub(super) client: &'o Arc<Client>,
    pub(super) grant: Grant,
    /// The user; none for a client on its own behalf.
    pub(super) user: Option<&'o str>,
    pub(super) scope: &'o Names,
    pub(super) audience: Vec<String>,
    pub(super) confirmation: Confirmation,
    pub(super) family: Option<Uuid>,
    /// `auth_time`, `acr`, `amr`, `act`, `authorization_details`.
    pub(super) details: Map<String, Value>,
    /// The token must not outlive this.
    pub(super) not_after: Option<UnixTime>,
    /// Where it is good, when tokens are bound to the mount.
    pub(super) service: Option<String>,
}

/// A token, about to be handed out.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) value: String,
    pub(super) id: Uuid,
    pub(super) format: Format,
    pub(super) token_type: &'static str,
    pub(super) issued_at: UnixTime,
    pub(super) expires_at: Option<UnixTime>,
    /// Claims of a reference, to be stored.
    pub(super) claims: Map<String, Value>,
}

impl Issued {
    /// `expires_in`
    pub(super) fn expires_in(&self) -> Option<i64> {
        let end = self.expires_at?;
        Some((end.seconds() - self.issued_at.seconds()).max(0))
    }
}

/// The kinds of opaque values, by their mark.
#[derive(Clone, Copy, Debug)]
pub(super) enum ValueKind {
    Access,
    Refresh,
    Code,
}

impl Server {
    /// A value that cannot be guessed.
    pub(super) fn opaque(&self, kind: ValueKind) -> Result<String, Fault> {
        let failed = |_| Fault::server("no random bytes to be had");
        Ok(match self.dialect.opaque {
            Opaque::Prefixed => {
                let random = letters_and_digits(43).map_err(failed)?;
                let mark = match kind {
                    ValueKind::Access => "at",
                    ValueKind::Refresh => "rt",
                    ValueKind::Code => "ac",
                };
                match self.token_prefix.as_str() {
                    "" => random,
                    prefix => format!("{prefix}_{mark}_{random}"),
                }
            }
            Opaque::Alphanumeric => letters_and_digits(32).map_err(failed)?,
            Opaque::Hexadecimal => {
                let bytes = random::bytes::<32>().map_err(failed)?;
                hex(&bytes)
            }
        })
    }

    /// Makes an access token; a reference is not stored yet.
    pub(super) async fn issue(
        &self,
        request: &Request<'_>,
        order: &Order<'_>,
        notes: &mut Notes,
    ) -> Result<Issued, Fault> {
        let issued_at = now();
        let lifetime = order.client.ttl.access(order.grant);
        let own_end = lifetime.map(|lifetime| whole(issued_at).plus(lifetime));
        let expires_at = match (own_end, order.not_after) {
            (Some(own), Some(limit)) => Some(own.min(limit)),
            (own, limit) => own.or(limit),
        };
        let mut issued = Issued {
            value: String::new(),
            id: Uuid::now_v7(),
            format: order.client.format,
            token_type: if order.confirmation.jkt.is_some() {
                "DPoP"
            } else {
                self.dialect.bearer
            },
            issued_at,
            expires_at,
            claims: self.further_claims(request, order)?,
        };
        issued.value = match issued.format {
            Format::Jwt => self.sign(request, order, &issued).await?,
            Format::Opaque => self.opaque(ValueKind::Access)?,
        };
        notes.scope = (!order.scope.is_empty()).then(|| scope::join(order.scope));
        notes.gid = order.family.map(|family| family.to_string());
        match issued.format {
            Format::Jwt => notes.jti = Some(issued.id.to_string()),
            Format::Opaque => {
                notes.token_ref = Some(event::token_ref(&sha256(issued.value.as_bytes())));
            }
        }
        event::issued(self, notes);
        Ok(issued)
    }

    async fn sign(
        &self,
        request: &Request<'_>,
        order: &Order<'_>,
        issued: &Issued,
    ) -> Result<String, Fault> {
        let payload = self.payload(request, order, issued);
        let ring = self.keys.ring();
        let key = ring.signing(&order.client.signing_key);
        let key = Arc::clone(key.ok_or_else(|| Fault::server("no signing key"))?);
        drop(ring);
        let token = if key.is_slow() {
            let signing = tokio::task::spawn_blocking(move || key.access_token(&payload));
            signing.await.map_err(|_| Fault::server("signing ended"))?
        } else {
            key.access_token(&payload)
        };
        let token = token.map_err(|error| Fault::server(error.to_string()))?;
        if token.len() > TOO_LARGE {
            return Err(Fault::server("the access token has more than 12 KiB"));
        }
        if token.len() > LARGE {
            tracing::warn!(
                client = &*order.client.id,
                bytes = token.len(),
                "an access token is larger than 4 KiB"
            );
        }
        Ok(token)
    }

    /// The claims of RFC 9068 §2.2, then those of the dialect and the configuration.
    fn payload(&self, request: &Request<'_>, order: &Order<'_>, issued: &Issued) -> Vec<u8> {
        let client = order.client;
        let subject = order.user.unwrap_or(&client.subject);
        let iat = issued.issued_at.seconds();
        let mut claims = Object::new();
        claims.string("iss", &self.issuer);
        if let Some(end) = issued.expires_at {
            claims.number("exp", end.seconds());
        }
        claims
            .one_or_many("aud", &order.audience)
            .string("sub", subject)
            .string("client_id", &client.id)
            .string("azp", &client.id)
            .number("iat", iat)
            .number("nbf", iat);
        let mut jti = Uuid::encode_buffer();
        claims.string("jti", issued.id.hyphenated().encode_lower(&mut jti));
        if !order.scope.is_empty() {
            claims.string("scope", &scope::join(order.scope));
        }
        if !order.confirmation.is_empty() {
            let cnf = order.confirmation.to_json().to_string();
            claims.raw("cnf", cnf.as_bytes());
        }
        if let Some(family) = order.family {
            claims.string("gid", &family.to_string());
        }
        if let Some(service) = &order.service {
            claims.string("svc", service);
        }
        for (name, value) in &order.details {
            claims.raw(name, value.to_string().as_bytes());
        }
        match self.dialect.claims {
            ExtraClaims::None => {}
            ExtraClaims::Cid => {
                claims.string("cid", &client.id);
            }
            ExtraClaims::Keycloak => {
                let address = request.peer.address.to_string();
                claims
                    .string("typ", "Bearer")
                    .string("clientId", &client.id);
                if order.user.is_none() {
                    let account = format!("service-account-{}", client.id);
                    claims
                        .string("clientHost", &address)
                        .string("clientAddress", &address)
                        .string("preferred_username", &account);
                }
            }
        }
        for (name, value) in &issued.claims {
            claims.raw(name, value.to_string().as_bytes());
        }
        claims.finish()
    }

    /// What server, scopes and client add; later ones win.
    fn further_claims(
        &self,
        request: &Request<'_>,
        order: &Order<'_>,
    ) -> Result<Map<String, Value>, Fault> {
        let mut claims = Map::new();
        let scopes = order.scope.iter().filter_map(|name| self.scope(name));
        let programs = self
            .claims
            .iter()
            .chain(scopes.filter_map(|scope| scope.claims.as_ref()))
            .chain(&order.client.claims);
        for program in programs {
            add_claims(&mut claims, program, request.scope)?;
        }
        if let Some(name) = RESERVED.iter().find(|name| claims.contains_key(**name)) {
            return Err(Fault::server(format!(
                "the configured claims set `{name}`, which is reserved"
            )));
        }
        Ok(claims)
    }
}

/// What a token is bound to by the client's certificate.
pub(super) fn certificate_binding(
    caller: &super::authentication::Caller,
) -> Result<Option<String>, Fault> {
    if !caller.client.mtls_bound {
        return Ok(None);
    }
    match &caller.certificate {
        Some(thumbprint) => Ok(Some(base64url(thumbprint))),
        None => Err(Fault::new(Condition::ClientBody).because("no client certificate")),
    }
}

/// Bytes as unpadded base64url.
pub(super) fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A time without its fraction, so that `exp - iat` is the lifetime.
fn whole(time: UnixTime) -> UnixTime {
    UnixTime::from_seconds(time.seconds())
}

fn add_claims(
    claims: &mut Map<String, Value>,
    program: &Program,
    scope: &dyn Scope,
) -> Result<(), Fault> {
    let value = program
        .eval(scope)
        .map_err(|error| Fault::server(format!("`claims`: {error}")))?;
    if value.is_null() {
        return Ok(());
    }
    let json: Value = serde_json::from_slice(&value.to_json())
        .map_err(|_| Fault::server("`claims` are no JSON"))?;
    let Value::Object(members) = json else {
        return Err(Fault::server("`claims` are no object"));
    };
    claims.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
    Ok(())
}

/// Random letters and digits; each holds nearly six bits.
pub(super) fn letters_and_digits(count: usize) -> Result<String, random::RandomError> {
    from_alphabet(
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        count,
    )
}

/// Random characters of an alphabet, each as likely as any other.
pub(super) fn from_alphabet(alphabet: &[u8], count: usize) -> Result<String, random::RandomError> {
    let size = alphabet.len().clamp(1, 256);
    let bound = 256 - 256 % size;
    let mut text = String::with_capacity(count);
    while text.len() < count {
        for byte in random::bytes::<64>()? {
            let byte = usize::from(byte);
            if byte < bound && text.len() < count {
                text.push(char::from(alphabet[byte % size]));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_values_have_their_alphabet() {
        let value = letters_and_digits(43).unwrap();
        assert_eq!(value.len(), 43);
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(from_alphabet(b"x", 3).unwrap(), "xxx");
    }
}
