//! `access_token`: tokens that an authorization server of this configuration issued.
//!
//! ```hcl
//! access_token "token" {
//!   authorization_server = "main"
//! }
//! ```

mod refusal;
mod schema;
mod source;

use super::identity::{Headers, Lines};
use super::{Authenticate, Verdict};
use crate::blocks::Definitions;
use crate::blocks::reader::Reader;
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::{Program, Value};
use crate::http::exchange::Exchange;
use crate::oauth::server::check::{Facts, Good, Rejected};
use crate::oauth::server::{Client, Consumer, Digest, Server, sha256};
use quick_cache::sync::Cache;
use refusal::Refusals;
pub use schema::SCHEMA;
use source::{Found, Scheme, Source};
pub(super) use source::{hide_cookie, hide_parameter};
use std::sync::Arc;

/// Tokens for which what is told of them is kept.
const CAPACITY: usize = 8192;

#[derive(Debug)]
struct AccessToken {
    servers: Vec<Arc<Server>>,
    sources: Vec<Source>,
    audience: Vec<String>,
    global: bool,
    required_scope: Vec<String>,
    permissions_claim: String,
    headers: Headers,
    hide: bool,
    anonymous: Option<Anonymous>,
    private: bool,
    refusals: Refusals,
    prepared: Prepared,
}

/// The consumer of callers without a good token.
#[derive(Debug)]
pub(super) struct Anonymous {
    consumer: Arc<Consumer>,
    lines: Lines,
    context: Arc<Value<'static>>,
    /// Whether a bad token counts as none.
    also_invalid: bool,
}

impl Anonymous {
    /// Reads `anonymous` and `anonymous_when`.
    pub(super) fn read(
        reader: Reader<'_>,
        definitions: &Definitions<'_>,
        headers: &Headers,
    ) -> Option<Self> {
        let name = reader.filled("anonymous")?;
        let also_invalid = reader.choice("anonymous_when") != Some("missing");
        let consumer = definitions.anonymous_consumer(&name)?;
        let context = Value::object(vec![("consumer".into(), consumer_value(&consumer))]);
        Some(Self {
            lines: headers.of_anonymous(&consumer),
            context: Arc::new(context),
            consumer,
            also_invalid,
        })
    }

    /// Whether a refusal of this kind is overlooked.
    pub(super) fn covers(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::AccessTokenMissing | ErrorKind::ApiKeyMissing => true,
            ErrorKind::AccessTokenInsufficientScope
            | ErrorKind::AccessTokenStoreUnavailable
            | ErrorKind::ApiKeyQuota => false,
            _ => self.also_invalid,
        }
    }

    /// Lets the request in as the consumer.
    pub(super) fn admit(&self, label: &Arc<str>, exchange: &mut Exchange, headers: &Headers) {
        headers.set(exchange, &self.lines, true);
        exchange.set_context(label, Arc::clone(&self.context));
        if !self.consumer.permissions.is_empty() {
            exchange.grant(&self.consumer.permissions);
        }
    }
}

/// What is told of tokens, by their digest.
struct Prepared(Cache<Digest, Arc<Entry>>);

#[derive(Debug)]
struct Entry {
    client: Arc<Client>,
    context: Arc<Value<'static>>,
    permissions: Vec<String>,
    lines: Lines,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("tokens", &self.0.len())
            .finish()
    }
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    let servers = servers(reader, definitions);
    let headers = Headers::read(reader);
    let anonymous = Anonymous::read(reader, definitions, &headers);
    if reader.has("anonymous") && anonymous.is_none() {
        return None;
    }
    let servers = servers?;
    let first = servers.first()?;
    let list = |name: &str| -> Vec<String> {
        let given = reader.strings(name).map(|list| list.value);
        given.into_iter().flatten().map(|item| item.value).collect()
    };
    let audience = match list("audience") {
        list if list.is_empty() => servers
            .iter()
            .flat_map(|server| server.audience.iter().cloned())
            .collect(),
        list => list,
    };
    let required_scope = list("required_scope");
    Some(Box::new(AccessToken {
        sources: Source::read(reader, first.dialect),
        refusals: Refusals::read(reader, first, &required_scope),
        global: reader.boolean("global_credentials").unwrap_or(false),
        permissions_claim: reader
            .filled("permissions_claim")
            .map_or_else(|| "scope".into(), |name| name.value),
        hide: reader.boolean("hide_credentials").unwrap_or(false),
        private: !reader.boolean("disable_private_caching").unwrap_or(false),
        prepared: Prepared(Cache::new(CAPACITY)),
        servers,
        audience,
        required_scope,
        headers,
        anonymous,
    }))
}

/// `authorization_server`, which must be there.
pub(super) fn servers(
    reader: Reader<'_>,
    definitions: &Definitions<'_>,
) -> Option<Vec<Arc<Server>>> {
    let labels = reader.strings("authorization_server")?;
    let count = labels.value.len();
    let servers: Vec<_> = labels
        .value
        .iter()
        .filter_map(|label| definitions.authorization_server(label))
        .collect();
    if count == 0 {
        let message = format!("`{}` needs an `authorization_server`", reader.schema().name);
        reader
            .cx
            .report(Diagnostic::error(code::MISSING, labels.span, message));
        return None;
    }
    (servers.len() == count).then_some(servers)
}

/// A consumer as expressions see it.
pub(super) fn consumer_value(consumer: &Consumer) -> Value<'static> {
    let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::from(text.to_owned()));
    let list = |items: &[Box<str>]| {
        Value::list(
            items
                .iter()
                .map(|item| Value::from(item.to_string()))
                .collect(),
        )
    };
    Value::object(vec![
        ("id".into(), Value::from(consumer.id.to_string())),
        ("username".into(), text(consumer.username.as_deref())),
        ("custom_id".into(), text(consumer.custom_id.as_deref())),
        ("tags".into(), list(&consumer.tags)),
        ("groups".into(), list(&consumer.groups)),
        ("metadata".into(), consumer.metadata.clone()),
    ])
}

/// A client as expressions see it.
pub(super) fn client_value(client: &Client) -> Value<'static> {
    let name = client.display.name.clone();
    Value::object(vec![
        ("name".into(), name.map_or(Value::Null, Value::from)),
        ("metadata".into(), client.metadata.clone()),
    ])
}

/// The token that a request presents.
struct Presented {
    token: String,
    scheme: Scheme,
    source: usize,
}

impl AccessToken {
    /// The one token of the request (RFC 6750 §2).
    fn presented(&self, exchange: &Exchange) -> Result<Presented, Error> {
        let mut presented: Option<Presented> = None;
        for (at, source) in self.sources.iter().enumerate() {
            match source.find(exchange)? {
                Found::Nothing => {}
                Found::Malformed(why) => return Err(self.refusals.malformed(why)),
                Found::Token(..) if presented.is_some() => {
                    return Err(self.refusals.malformed("more than one token"));
                }
                Found::Token(token, scheme) => {
                    presented = Some(Presented {
                        token: token.into_owned(),
                        scheme,
                        source: at,
                    });
                }
            }
        }
        presented.ok_or_else(|| self.refusals.missing())
    }

    /// Checks a token without waiting; `None` where only a store knows.
    fn check_now(&self, token: &str) -> Option<Result<Good, Rejected>> {
        let mut result = None;
        for server in &self.servers {
            result = Some(server.check_now(token)?);
            if matches!(result, Some(Ok(_))) {
                break;
            }
        }
        result
    }

    async fn check(&self, token: &str) -> Result<Good, Rejected> {
        let mut result = Err(Rejected::Invalid("unknown token"));
        for server in &self.servers {
            result = server.check(token).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Everything about a token that is good in itself.
    fn judge(
        &self,
        exchange: &Exchange,
        presented: &Presented,
        result: Result<Good, Rejected>,
    ) -> Result<Arc<Entry>, Error> {
        let good = result.map_err(|rejected| self.refusals.rejected(rejected))?;
        let facts = &good.facts;
        if !self
            .audience
            .iter()
            .any(|wanted| facts.audience.contains(wanted))
        {
            return Err(self.refusals.audience());
        }
        if !self.global {
            self.check_mount(exchange, facts)?;
        }
        self.check_binding(exchange, presented, facts)?;
        let missing = |scope: &&String| !facts.scope.contains(scope);
        if self.required_scope.iter().any(|scope| missing(&scope)) {
            return Err(self.refusals.scope());
        }
        let digest = sha256(presented.token.as_bytes());
        if let Some(entry) = self.prepared.0.get(&digest)
            && Arc::ptr_eq(&entry.client, &good.client)
        {
            return Ok(entry);
        }
        let entry = Arc::new(self.prepare(&good));
        self.prepared.0.insert(digest, Arc::clone(&entry));
        Ok(entry)
    }

    /// A token that is good where it was issued only.
    fn check_mount(&self, exchange: &Exchange, facts: &Facts) -> Result<(), Error> {
        if !self.servers.iter().any(|server| server.bind_to_mount) {
            return Ok(());
        }
        let Some(service) = &facts.service else {
            return Err(self.refusals.global());
        };
        let server = exchange.server.as_ref().map_or("", |server| &*server.label);
        let api = exchange
            .endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.api.as_deref());
        let here = match service.strip_prefix(server) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('/').is_some_and(|rest| Some(rest) == api),
            None => false,
        };
        if here {
            Ok(())
        } else {
            Err(self
                .refusals
                .rejected(Rejected::Invalid("issued for another place")))
        }
    }

    /// A token that is bound to a key or certificate (RFC 9449 §7, RFC 8705 §3).
    fn check_binding(
        &self,
        exchange: &Exchange,
        presented: &Presented,
        facts: &Facts,
    ) -> Result<(), Error> {
        use base64::Engine as _;
        let bound = &facts.confirmation;
        if let Some(thumbprint) = &bound.x5t {
            let shown = exchange.certificate().map(sha256);
            let shown =
                shown.map(|digest| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest));
            if shown.as_deref() != Some(thumbprint) {
                let why = Rejected::Invalid("bound to another certificate");
                return Err(self.refusals.rejected(why));
            }
        }
        match (&bound.jkt, presented.scheme) {
            (None, Scheme::Bearer) => Ok(()),
            (None, Scheme::Dpop) => Err(self
                .refusals
                .rejected(Rejected::Invalid("a proof for a token without a key"))),
            (Some(_), _) => Err(self.refusals.rejected(Rejected::Invalid(
                "bound to a key whose proof is not checked here",
            ))),
        }
    }

    fn prepare(&self, good: &Good) -> Entry {
        let (facts, client) = (&good.facts, &good.client);
        let user = facts.user.then_some(&*facts.subject);
        Entry {
            context: Arc::new(context(facts, client)),
            permissions: self.permissions(good),
            lines: self.headers.of_client(client, &facts.scope, user),
            client: Arc::clone(client),
        }
    }

    fn permissions(&self, good: &Good) -> Vec<String> {
        let facts = &good.facts;
        let mut granted: Vec<String> = Vec::new();
        let mut add = |name: &str| {
            if !name.is_empty() && !granted.iter().any(|known| known == name) {
                granted.push(name.to_owned());
            }
        };
        if self.permissions_claim == "scope" {
            facts.scope.iter().for_each(|name| add(name));
        } else {
            let claims = facts.claims.as_fields();
            let claim = claims.and_then(|claims| claims.get(self.permissions_claim.as_bytes()));
            match claim.map(|claim| (claim.as_str(), claim.as_items())) {
                Some((Some(text), _)) => text.split(' ').for_each(&mut add),
                Some((None, Some(items))) => {
                    items.iter().filter_map(Value::as_str).for_each(&mut add);
                }
                _ => {}
            }
        }
        for server in &self.servers {
            for scope in facts.scope.iter().filter_map(|name| server.scope(name)) {
                scope.permissions.iter().for_each(|name| add(name));
            }
        }
        if let Some(consumer) = &good.client.consumer {
            consumer.permissions.iter().for_each(|name| add(name));
        }
        granted
    }

    fn admit(
        &self,
        label: &Arc<str>,
        exchange: &mut Exchange,
        presented: &Presented,
        entry: &Entry,
    ) {
        if let Some(source) = self.sources.get(presented.source)
            && (self.hide || matches!(source, Source::Protocol))
        {
            source.hide(exchange);
        }
        self.headers.set(exchange, &entry.lines, false);
        exchange.set_context(label, Arc::clone(&entry.context));
        exchange.grant(&entry.permissions);
    }

    fn refuse(&self, label: &Arc<str>, exchange: &mut Exchange, error: Error) -> Result<(), Error> {
        match &self.anonymous {
            Some(anonymous) if anonymous.covers(&error) => {
                anonymous.admit(label, exchange, &self.headers);
                Ok(())
            }
            _ => Err(error),
        }
    }

    async fn later(
        &self,
        label: &Arc<str>,
        exchange: &mut Exchange,
        presented: Presented,
    ) -> Result<(), Error> {
        let result = self.check(&presented.token).await;
        match self.judge(exchange, &presented, result) {
            Ok(entry) => {
                self.admit(label, exchange, &presented, &entry);
                Ok(())
            }
            Err(error) => self.refuse(label, exchange, error),
        }
    }
}

/// `request.context.LABEL`
fn context(facts: &Facts, client: &Client) -> Value<'static> {
    let claims = facts.claims.as_fields();
    let claim = |name: &str| {
        let value = claims.and_then(|claims| claims.get(name.as_bytes()));
        value.cloned().unwrap_or(Value::Null)
    };
    let consumer = client.consumer.as_deref();
    Value::object(vec![
        ("sub".into(), Value::from(facts.subject.to_string())),
        ("client_id".into(), Value::from(facts.client_id.to_string())),
        ("scope".into(), Value::from(facts.scope.join(" "))),
        ("exp".into(), claim("exp")),
        ("iat".into(), claim("iat")),
        ("jti".into(), Value::from(facts.jti.to_string())),
        ("aud".into(), claim("aud")),
        ("act".into(), claim("act")),
        (
            "consumer".into(),
            consumer.map_or(Value::Null, consumer_value),
        ),
        ("client".into(), client_value(client)),
        ("claims".into(), (*facts.claims).clone()),
    ])
}

impl Authenticate for AccessToken {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        self.headers.strip(exchange);
        // Whether the origin sees them is said by `hide_credentials`.
        exchange.passes_credentials = true;
        let presented = match self.presented(exchange) {
            Ok(presented) => presented,
            Err(error) => return Verdict::Now(self.refuse(label, exchange, error)),
        };
        match self.check_now(&presented.token) {
            Some(result) => Verdict::Now(match self.judge(exchange, &presented, result) {
                Ok(entry) => {
                    self.admit(label, exchange, &presented, &entry);
                    Ok(())
                }
                Err(error) => self.refuse(label, exchange, error),
            }),
            None => Verdict::Later(Box::pin(self.later(label, exchange, presented))),
        }
    }

    fn makes_private(&self) -> bool {
        self.private
    }

    fn reads_form(&self) -> bool {
        self.sources
            .iter()
            .any(|source| matches!(source, Source::Form(_)))
    }

    fn default_types(&self) -> &'static [ErrorKind] {
        &[
            ErrorKind::AccessToken,
            ErrorKind::AccessTokenMissing,
            ErrorKind::AccessTokenInvalid,
            ErrorKind::AccessTokenExpired,
            ErrorKind::AccessTokenRevoked,
            ErrorKind::AccessTokenAudience,
            ErrorKind::AccessTokenInsufficientScope,
        ]
    }

    fn programs(&self) -> Vec<&Program> {
        self.sources.iter().filter_map(Source::program).collect()
    }
}
