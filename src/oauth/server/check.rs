//! Whether an access token of this server is good: in memory, without asking anyone, as long as it
//! is signed and its client comes from the configuration.

use super::backing::known;
use super::client::{Client, Digest, sha256};
use super::issue::Confirmation;
use super::{Server, now};
use crate::clock::UnixTime;
use crate::crypto::jws;
use crate::expr::{Fractions, Value};
use crate::store::{self, Millis, TokenKeys};
use quick_cache::sync::Cache as Quick;
use std::sync::Arc;
use std::time::Duration;

/// Tokens kept.
const CAPACITY: usize = 16_384;
/// How far clocks of instances may differ (AS-CON-8).
const SKEW: Duration = Duration::from_secs(5);
/// Longest token that is looked at.
const MAX_TOKEN: usize = 12 << 10;

/// What a token says.
#[derive(Debug)]
pub struct Facts {
    /// All claims, as expressions see them.
    pub claims: Arc<Value<'static>>,
    /// `sub`
    pub subject: Box<str>,
    /// `client_id`
    pub client_id: Box<str>,
    /// Whether a user stands behind it.
    pub user: bool,
    /// `scope`
    pub scope: Vec<String>,
    /// `aud`
    pub audience: Vec<String>,
    /// `jti`
    pub jti: Box<str>,
    /// `gid`
    pub family: Option<Box<str>>,
    /// `cnf`
    pub confirmation: Confirmation,
    /// Where it is good.
    pub service: Option<Box<str>>,
    /// When it was issued, in milliseconds.
    pub issued: i64,
    /// From when it is good.
    pub begins: UnixTime,
    /// When it ends.
    pub ends: Option<UnixTime>,
    /// Whether it is a reference, without leeway.
    pub opaque: bool,
}

/// Why a token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Unknown, malformed or of somebody else.
    Invalid(&'static str),
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// Nobody can say.
    Unavailable,
}

/// A good token and its client.
#[derive(Clone, Debug)]
pub struct Good {
    /// What it says.
    pub facts: Arc<Facts>,
    /// Its client.
    pub client: Arc<Client>,
}

/// Tokens whose signature was checked, by key set and digest.
pub struct Cache {
    tokens: Quick<(u64, Digest), Arc<Facts>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            tokens: Quick::new(CAPACITY),
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("tokens", &self.tokens.len())
            .finish()
    }
}

impl Server {
    /// Checks a token without waiting; `None` where only the store knows.
    pub fn check_now(&self, token: &str) -> Option<Result<Good, Rejected>> {
        if !looks_signed(token) {
            return None;
        }
        let facts = match self.signed(token) {
            Ok(facts) => facts,
            Err(rejected) => return Some(Err(rejected)),
        };
        let client = Arc::clone(self.configured_client(&facts.client_id)?);
        Some(self.judge(facts, client))
    }

    /// Checks a token.
    pub async fn check(&self, token: &str) -> Result<Good, Rejected> {
        if let Some(result) = self.check_now(token) {
            return result;
        }
        let facts = if looks_signed(token) {
            self.signed(token)?
        } else {
            self.reference(token).await?
        };
        let client = self.client(&facts.client_id).await;
        match client.map_err(|_| Rejected::Unavailable)? {
            Some(client) => self.judge(facts, client),
            None => Err(Rejected::Revoked),
        }
    }

    /// A token that is looked up.
    async fn reference(&self, token: &str) -> Result<Arc<Facts>, Rejected> {
        let Some(store) = self.backing.store() else {
            return Err(Rejected::Invalid("unknown token"));
        };
        if token.len() > 1024 {
            return Err(Rejected::Invalid("too long"));
        }
        let found = known(store.access_token(store::Digest::of(token))).await;
        let row = found.map_err(|_| Rejected::Unavailable)?;
        let row = row
            .filter(|row| row.server == *self.label)
            .ok_or(Rejected::Invalid("unknown token"))?;
        if row.revoked_at.is_some() {
            return Err(Rejected::Revoked);
        }
        Ok(Arc::new(self.facts_of_row(&row)))
    }

    fn facts_of_row(&self, row: &store::AccessToken) -> Facts {
        let subject = row.subject.as_deref().unwrap_or(&row.client_id);
        let jti = row.id.to_string();
        let scope = row.scope.join(" ");
        let issued = row.issued_at.seconds();
        // A token of another system that was taken over names none.
        let audience = if row.audience.is_empty() {
            &self.audience
        } else {
            &row.audience
        };
        let mut claims = super::json::Object::new();
        claims
            .string("iss", &self.issuer)
            .string("sub", subject)
            .string("client_id", &row.client_id)
            .one_or_many("aud", audience)
            .number("iat", issued)
            .number("nbf", issued)
            .string("jti", &jti);
        if let Some(end) = row.expires_at {
            claims.number("exp", end.seconds());
        }
        if !scope.is_empty() {
            claims.string("scope", &scope);
        }
        if let Some(cnf) = &row.confirmation {
            claims.raw("cnf", cnf.to_string().as_bytes());
        }
        for (name, value) in &row.claims {
            claims.raw(name, value.to_string().as_bytes());
        }
        let text = claims.finish();
        let claims = Value::from_json(&text, Fractions::Exact);
        Facts {
            claims: Arc::new(claims.map_or(Value::Null, Value::into_owned)),
            subject: subject.into(),
            client_id: row.client_id.as_str().into(),
            user: row.subject.is_some(),
            scope: row.scope.clone(),
            audience: audience.clone(),
            jti: jti.into(),
            family: row.family.map(|family| family.to_string().into()),
            confirmation: row
                .confirmation
                .as_ref()
                .map(Confirmation::of_json)
                .unwrap_or_default(),
            service: row.service.as_deref().map(Into::into),
            issued: row.issued_at.0,
            begins: UnixTime::from_seconds(issued),
            ends: row
                .expires_at
                .map(|end| UnixTime::from_seconds(end.seconds())),
            opaque: true,
        }
    }

    /// What changes about a token: its time, what was revoked, its client.
    fn judge(&self, facts: Arc<Facts>, client: Arc<Client>) -> Result<Good, Rejected> {
        let now = now();
        let skew = if facts.opaque { Duration::ZERO } else { SKEW };
        if facts.ends.is_some_and(|end| now >= end.plus(skew)) {
            return Err(Rejected::Expired);
        }
        if now.plus(SKEW) < facts.begins {
            return Err(Rejected::Invalid("not valid yet"));
        }
        let revoked = self.backing.revoked().is_revoked(&TokenKeys {
            server: &self.label,
            client_id: &facts.client_id,
            subject: Some(&facts.subject),
            grant: facts.family.as_deref(),
            jti: &facts.jti,
            issued: Millis(facts.issued),
        });
        if revoked || !client.enabled {
            return Err(Rejected::Revoked);
        }
        Ok(Good { facts, client })
    }

    /// A signed token: form, type, key, issuer.
    fn signed(&self, token: &str) -> Result<Arc<Facts>, Rejected> {
        if token.len() > MAX_TOKEN {
            return Err(Rejected::Invalid("too long"));
        }
        let ring = self.keys.ring();
        let key = (ring.generation, sha256(token.as_bytes()));
        if let Some(facts) = self.state.verified.tokens.get(&key) {
            return Ok(facts);
        }
        let parsed = jws::parse(token).map_err(|_| Rejected::Invalid("malformed"))?;
        let typ = parsed.header.typ().unwrap_or_default();
        let typ = typ.strip_prefix("application/").unwrap_or(typ);
        if !typ.eq_ignore_ascii_case(&self.typ) {
            return Err(Rejected::Invalid("a token of another type"));
        }
        ring.verify(&parsed)
            .map_err(|_| Rejected::Invalid("the signature is not this server's"))?;
        let facts = self.facts_of(&parsed)?;
        let facts = Arc::new(facts);
        self.state.verified.tokens.insert(key, Arc::clone(&facts));
        Ok(facts)
    }

    fn facts_of(&self, token: &jws::Parsed<'_>) -> Result<Facts, Rejected> {
        let text = |name: &str| token.claims.get(name).and_then(serde_json::Value::as_str);
        let time = |name: &str| {
            let value = token.claims.get(name).and_then(serde_json::Value::as_i64);
            value.map(UnixTime::from_seconds)
        };
        if text("iss") != Some(&self.issuer) {
            return Err(Rejected::Invalid("another issuer"));
        }
        let missing = |what| move || Rejected::Invalid(what);
        let client_id = text("client_id").ok_or_else(missing("no `client_id`"))?;
        let subject = text("sub").ok_or_else(missing("no `sub`"))?;
        let jti = text("jti").ok_or_else(missing("no `jti`"))?;
        let iat = time("iat").ok_or_else(missing("no `iat`"))?;
        let issued = TokenKeys::issued(jti, iat.seconds());
        let claims = Value::from_json(&token.payload, Fractions::Exact)
            .map_err(|_| Rejected::Invalid("malformed"))?
            .into_owned();
        let own = self.configured_client(client_id);
        let user = own.map_or(subject != client_id, |client| &*client.subject != subject);
        Ok(Facts {
            claims: Arc::new(claims),
            subject: subject.into(),
            client_id: client_id.into(),
            user,
            scope: words(text("scope")),
            audience: list(token.claims.get("aud")),
            jti: jti.into(),
            family: text("gid").map(Into::into),
            confirmation: token
                .claims
                .get("cnf")
                .map(Confirmation::of_json)
                .unwrap_or_default(),
            service: text("svc").map(Into::into),
            issued: issued.0,
            begins: time("nbf").unwrap_or(iat),
            ends: time("exp"),
            opaque: false,
        })
    }
}

/// Whether a token has the form of a JWS.
pub fn looks_signed(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn words(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(' ');
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn list(value: Option<&serde_json::Value>) -> Vec<String> {
    match value {
        Some(serde_json::Value::String(text)) => vec![text.clone()],
        Some(serde_json::Value::Array(items)) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}
