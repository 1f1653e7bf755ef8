//! `api_key`: clients that show their credentials with every request.
//!
//! ```hcl
//! api_key "key" {
//!   authorization_server = "main"
//!   extract {
//!     headers = ["X-Client-Id", "X-Client-Secret"]
//!   }
//! }
//! ```

use super::access_token::{Anonymous, client_value, consumer_value, servers};
use super::basic_auth;
use super::identity::{self, Headers};
use super::{Authenticate, Verdict};
use crate::blocks::Definitions;
use crate::blocks::error_handler;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::crypto::jws::{self, Parsed};
use crate::crypto::{Algorithm, VerifyingKey, constant_time};
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::Value;
use crate::http::exchange::Exchange;
use crate::oauth::server::check::Rejected;
use crate::oauth::server::client::SecretForm;
use crate::oauth::server::dialect::ResourceBody;
use crate::oauth::server::{Client, Server, now, sha256};
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "api_key",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start(
            "authorization_server",
            Kind::StringOrStrings,
            "Label of the authorization server whose clients are let in.",
        )
        .required()
        .refers_to("authorization_server"),
        AttributeSchema::start("mandatory", Kind::Bool, "Whether a key is needed.").default("true"),
        AttributeSchema::start(
            "hide_credentials",
            Kind::Bool,
            "Origins do not see the key.",
        )
        .default("false"),
        AttributeSchema::start(
            "allowed_keys",
            Kind::Strings,
            "Ids of the keys that are let in.",
        ),
        AttributeSchema::start(
            "allowed_tags",
            Kind::Strings,
            "Tags, one of which a key has.",
        ),
        AttributeSchema::start("realm", Kind::String, "Realm of the challenge.")
            .default("the server's realm"),
    ],
    groups: &[identity::ATTRIBUTES, schema::LOG_FIELDS],
    blocks: &[
        Child::optional(&EXTRACT),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[],
    docs: "Clients of an authorization server that show their credentials with every request.",
    example: EXAMPLE,
};

const EXAMPLE: &str = r#"server {
  hosts          = ["localhost:8080"]
  access_control = ["key"]
  endpoint "/" {
    response {
      body = request.context.key.client_id
    }
  }
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    client "worker" {
      client_secret = env.WORKER_SECRET
      api_key       = true
    }
  }
  api_key "key" {
    authorization_server = "main"
    extract {
      basic   = true
      headers = ["X-Client-Id", "X-Client-Secret"]
    }
  }
}

defaults {
  environment_variables = {
    WORKER_SECRET = "only-an-example"
  }
}
"#;

static EXTRACT: BlockSchema = BlockSchema {
    name: "extract",
    attributes: &[
        AttributeSchema::start(
            "basic",
            Kind::Bool,
            "`Authorization: Basic` with id and secret.",
        ),
        AttributeSchema::start("headers", Kind::Strings, "Two headers: id and secret."),
        AttributeSchema::start("client_id", Kind::String, "A header with the id alone."),
        AttributeSchema::start(
            "bearer",
            Kind::Bool,
            "`Authorization: Bearer` with a value.",
        ),
        AttributeSchema::start(
            "jwt",
            Kind::Bool,
            "`Authorization: Bearer` with a token of the key.",
        ),
        AttributeSchema::start(
            "key",
            Kind::Object,
            "A value from a `header`, `query` parameter or `cookie`.",
        ),
    ],
    docs: "Where keys are looked for.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

/// How far a token's times may be off.
const LEEWAY: f64 = 10.0;

#[derive(Debug, Default)]
struct Extractors {
    basic: bool,
    headers: Option<(HeaderName, HeaderName)>,
    client_id: Option<HeaderName>,
    bearer: bool,
    jwt: bool,
    key_header: Option<HeaderName>,
    key_query: Option<String>,
    key_cookie: Option<String>,
}

#[derive(Debug)]
struct ApiKey {
    server: Arc<Server>,
    extract: Extractors,
    mandatory: bool,
    hide: bool,
    allowed_keys: Vec<String>,
    allowed_tags: Vec<String>,
    headers: Headers,
    anonymous: Option<Anonymous>,
    challenges: Vec<HeaderValue>,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    let servers = servers(reader, definitions);
    let headers = Headers::read(reader);
    let anonymous = Anonymous::read(reader, definitions, &headers);
    let extract = match reader.inner("extract") {
        Some(block) => Extractors::read(Reader::new(reader.cx, block, &EXTRACT)),
        None => Extractors::default(),
    };
    if reader.inner("extract").is_none() {
        let message = "`api_key` without `extract` finds no key";
        reader
            .cx
            .report(Diagnostic::error(code::MISSING, reader.span(), message));
        return None;
    }
    let server = servers?.into_iter().next()?;
    if reader.has("anonymous") && anonymous.is_none() {
        return None;
    }
    let realm = reader.string("realm").map(|realm| realm.value);
    let realm = realm
        .unwrap_or_else(|| server.realm.clone())
        .replace(['"', '\\'], "");
    let mut challenges = vec![format!("Key realm=\"{realm}\"")];
    if extract.basic {
        challenges.push(format!("Basic realm=\"{realm}\""));
    }
    let list = |name: &str| -> Vec<String> {
        let given = reader.strings(name).map(|list| list.value);
        given.into_iter().flatten().map(|item| item.value).collect()
    };
    Some(Box::new(ApiKey {
        mandatory: reader.boolean("mandatory").unwrap_or(true),
        hide: reader.boolean("hide_credentials").unwrap_or(false),
        allowed_keys: list("allowed_keys"),
        allowed_tags: list("allowed_tags"),
        challenges: challenges
            .into_iter()
            .filter_map(|text| HeaderValue::try_from(text).ok())
            .collect(),
        server,
        extract,
        headers,
        anonymous,
    }))
}

impl Extractors {
    fn read(reader: Reader<'_>) -> Self {
        let name = |text: &str, span| match text.parse::<HeaderName>() {
            Ok(name) => Some(name),
            Err(_) => {
                reader.bad_value(span, format!("`{text}` is no header name"));
                None
            }
        };
        let headers = reader.strings("headers").and_then(|list| {
            let [id, secret] = list.value.as_slice() else {
                reader.bad_value(list.span, "`headers` takes two names: id and secret");
                return None;
            };
            Some((name(&id.value, id.span)?, name(&secret.value, secret.span)?))
        });
        let client_id = reader
            .filled("client_id")
            .and_then(|text| name(&text.value, text.span));
        let mut found = Self {
            basic: reader.boolean("basic").unwrap_or(false),
            bearer: reader.boolean("bearer").unwrap_or(false),
            jwt: reader.boolean("jwt").unwrap_or(false),
            headers,
            client_id,
            ..Self::default()
        };
        let Some(key) = reader.value("key") else {
            return found;
        };
        let fields = key
            .value
            .as_fields()
            .map(|fields| fields.as_slice().to_vec());
        for (field, value) in fields.unwrap_or_default() {
            let text = value.as_str().unwrap_or("apikey").to_owned();
            match field.as_bytes() {
                b"header" => found.key_header = name(&text, key.span),
                b"query" => found.key_query = Some(text),
                b"cookie" => found.key_cookie = Some(text),
                _ => {
                    let message = "`key` takes `header`, `query` and `cookie`";
                    reader.bad_value(key.span, message);
                }
            }
        }
        found
    }
}

/// What a request shows.
enum Shown {
    Pair(String, SecretString),
    Id(String),
    Value(SecretString),
    Token(SecretString),
}

impl ApiKey {
    /// What the first extractor finds.
    fn shown(&self, exchange: &Exchange) -> Result<Option<Shown>, Error> {
        let headers = exchange.headers();
        let authorization = headers.get(header::AUTHORIZATION);
        let duplicate = || {
            let error = self.refuse(ErrorKind::ApiKeyInvalid, "several keys");
            if self.server.dialect.resource == ResourceBody::Kong {
                error.with_body(r#"{"message":"Duplicate API key found"}"#.into())
            } else {
                error.with_status(http::StatusCode::BAD_REQUEST)
            }
        };
        let single = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => Ok(value.to_str().ok().filter(|text| !text.is_empty())),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(duplicate()),
            }
        };
        if self.extract.basic
            && let Some(given) = authorization.and_then(|v| basic_auth::credentials(v.as_bytes()))
        {
            let malformed = |()| self.refuse(ErrorKind::ApiKeyInvalid, "malformed credentials");
            let shown = given.map_err(malformed)?;
            let password = std::str::from_utf8(shown.password.expose_secret());
            let password = password.map_err(|_| malformed(()))?;
            return Ok(Some(Shown::Pair(shown.user, password.into())));
        }
        if let Some((id, secret)) = &self.extract.headers
            && let (Some(id), Some(secret)) = (single(id)?, single(secret)?)
        {
            return Ok(Some(Shown::Pair(id.to_owned(), secret.into())));
        }
        if (self.extract.bearer || self.extract.jwt)
            && let Some(value) = authorization.and_then(|value| value.to_str().ok())
            && let Some((scheme, token)) = value.split_once(' ')
            && scheme.eq_ignore_ascii_case("bearer")
        {
            let token = token.trim();
            if self.extract.jwt && token.matches('.').count() == 2 {
                return Ok(Some(Shown::Token(token.into())));
            }
            if self.extract.bearer {
                return Ok(Some(Shown::Value(token.into())));
            }
            return Err(self.refuse(ErrorKind::ApiKeyInvalid, "the token is no JWT"));
        }
        if let Some(name) = &self.extract.key_header
            && let Some(value) = single(name)?
        {
            return Ok(Some(Shown::Value(value.into())));
        }
        if let Some(name) = &self.extract.key_query {
            let query = exchange.uri.query().unwrap_or("");
            let mut values = crate::blocks::form::pairs(query.as_bytes(), true)
                .filter(|(key, _)| key == name.as_bytes());
            let (first, second) = (values.next(), values.next());
            if second.is_some() {
                return Err(duplicate());
            }
            if let Some((_, value)) = first {
                let value = String::from_utf8_lossy(&value).into_owned();
                return Ok(Some(Shown::Value(value.into())));
            }
        }
        if let Some(name) = &self.extract.key_cookie
            && let Some(value) = exchange.cookie(name)
        {
            return Ok(Some(Shown::Value(SecretString::from(&*value))));
        }
        if let Some(name) = &self.extract.client_id
            && let Some(id) = single(name)?
        {
            return Ok(Some(Shown::Id(id.to_owned())));
        }
        Ok(None)
    }

    fn refuse(&self, kind: ErrorKind, detail: &str) -> Error {
        let mut error = Error::new(kind, detail);
        for challenge in &self.challenges {
            error = error.with_header(header::WWW_AUTHENTICATE, challenge.clone());
        }
        let body = match (self.server.dialect.resource, kind) {
            (ResourceBody::Kong, ErrorKind::ApiKeyMissing) => {
                r#"{"message":"No API key found in request"}"#
            }
            (ResourceBody::Kong, _) => r#"{"message":"Unauthorized"}"#,
            (ResourceBody::Otoroshi, ErrorKind::ApiKeyMissing) => {
                r#"{"Otoroshi-Error":"No ApiKey provided"}"#
            }
            (ResourceBody::Otoroshi, _) => r#"{"Otoroshi-Error":"Bad API key"}"#,
            (ResourceBody::Page | ResourceBody::Node, _) => return error,
        };
        error.with_body(body.into())
    }

    fn invalid(&self, detail: &str) -> Error {
        self.refuse(ErrorKind::ApiKeyInvalid, detail)
    }

    /// The client that a request has shown to be.
    async fn client(&self, exchange: &Exchange, shown: Shown) -> Result<Arc<Client>, Error> {
        let client = match shown {
            Shown::Pair(id, secret) => self.by_pair(exchange, &id, &secret).await?,
            Shown::Id(id) => {
                let client = self.known(&id).await?;
                if !client.client_id_only {
                    return Err(self.invalid("the id alone is not enough"));
                }
                client
            }
            Shown::Value(value) => self.by_value(&value)?,
            Shown::Token(token) => self.by_token(token.expose_secret()).await?,
        };
        let tagged = |tag: &str| self.allowed_tags.iter().any(|known| known == tag);
        let allowed = (self.allowed_keys.is_empty()
            || self.allowed_keys.iter().any(|id| **id == *client.id))
            && (self.allowed_tags.is_empty() || client.tags.iter().any(|tag| tagged(tag)));
        if !allowed || !client.allows(exchange.remote_ip) {
            return Err(self.invalid("the key is not allowed here"));
        }
        Ok(client)
    }

    async fn known(&self, id: &str) -> Result<Arc<Client>, Error> {
        let found = self.server.client(id).await;
        let found = found.map_err(|_| unavailable())?;
        found
            .filter(|client| client.api_key && client.enabled)
            .ok_or_else(|| self.invalid("unknown key"))
    }

    async fn by_pair(
        &self,
        exchange: &Exchange,
        id: &str,
        secret: &SecretString,
    ) -> Result<Arc<Client>, Error> {
        let at = crate::clock::Clock::System.now();
        let failures = &self.server.state.failures;
        if failures.blocked(id, exchange.remote_ip, at).is_some() {
            return Err(self
                .invalid("too many failures")
                .with_status(http::StatusCode::TOO_MANY_REQUESTS));
        }
        let client = self.known(id).await;
        let right = match &client {
            Ok(client) => self
                .server
                .verify_secret(client, secret.expose_secret())
                .await
                .map_err(|_| unavailable())?,
            Err(_) => false,
        };
        if !right {
            failures.failed(id, exchange.remote_ip, at);
        }
        let client = client?;
        if right {
            Ok(client)
        } else {
            Err(self.invalid("wrong secret"))
        }
    }

    fn by_value(&self, value: &SecretString) -> Result<Arc<Client>, Error> {
        let digest = sha256(value.expose_secret().as_bytes());
        let has = |client: &&Arc<Client>| {
            let mut values = client.api_key_values.iter();
            values.any(|known| constant_time::equal(known, &digest))
        };
        let found = self.server.clients.values().find(has);
        found
            .filter(|client| client.api_key && client.enabled)
            .cloned()
            .ok_or_else(|| self.invalid("unknown key"))
    }

    /// A token that the key signed itself, or that this server issued to it.
    async fn by_token(&self, token: &str) -> Result<Arc<Client>, Error> {
        match self.server.check(token).await {
            Ok(good) if good.client.api_key && good.facts.confirmation.is_empty() => {
                return Ok(good.client);
            }
            Ok(_) => return Err(self.invalid("the token's client is no key")),
            Err(Rejected::Expired) => return Err(self.expired()),
            Err(Rejected::Revoked) => return Err(self.invalid("the token is revoked")),
            Err(Rejected::Unavailable) => return Err(unavailable()),
            Err(Rejected::Invalid(_)) => {}
        }
        let parsed = jws::parse(token).map_err(|error| self.invalid(&error.to_string()))?;
        let id = ["clientId", "client_id", "cid", "iss"]
            .iter()
            .find_map(|name| parsed.claims.get(*name)?.as_str());
        let id = id.ok_or_else(|| self.invalid("the token names no key"))?;
        let client = self.known(id).await?;
        if !signed_by(&client, &parsed) {
            return Err(self.invalid("the token's signature is not the key's"));
        }
        let time = |name: &str| parsed.claims.get(name).and_then(serde_json::Value::as_f64);
        let now = now().seconds_f64();
        if time("exp").is_some_and(|exp| now >= exp + LEEWAY) {
            return Err(self.expired());
        }
        if time("nbf").is_some_and(|nbf| now < nbf - LEEWAY)
            || time("iat").is_some_and(|iat| now < iat - LEEWAY)
        {
            return Err(self.invalid("the token is not valid yet"));
        }
        Ok(client)
    }

    fn expired(&self) -> Error {
        self.refuse(ErrorKind::ApiKeyExpired, "the token is expired")
    }

    fn hide(&self, exchange: &mut Exchange) {
        let extract = &self.extract;
        let names = extract
            .headers
            .iter()
            .flat_map(|(id, secret)| [id, secret])
            .chain(&extract.key_header)
            .chain(&extract.client_id)
            .cloned()
            .collect::<Vec<_>>();
        let headers = exchange.headers_mut();
        for name in names {
            headers.remove(name);
        }
        if extract.basic || extract.bearer || extract.jwt {
            headers.remove(header::AUTHORIZATION);
        }
        if let Some(name) = &extract.key_query {
            super::access_token::hide_parameter(exchange, name);
        }
        if let Some(name) = &extract.key_cookie {
            super::access_token::hide_cookie(exchange, name);
        }
    }

    async fn decide(&self, label: &Arc<str>, exchange: &mut Exchange) -> Result<(), Error> {
        let outcome = match self.shown(exchange) {
            Ok(Some(shown)) => self.client(exchange, shown).await,
            Ok(None) if !self.mandatory => return Ok(()),
            Ok(None) => Err(self.refuse(ErrorKind::ApiKeyMissing, "key required")),
            Err(error) => Err(error),
        };
        match (outcome, &self.anonymous) {
            (Ok(client), _) => {
                self.admit(label, exchange, &client);
                Ok(())
            }
            (Err(error), Some(anonymous)) if anonymous.covers(&error) => {
                anonymous.admit(label, exchange, &self.headers);
                Ok(())
            }
            (Err(error), _) => Err(error),
        }
    }

    fn admit(&self, label: &Arc<str>, exchange: &mut Exchange, client: &Arc<Client>) {
        if self.hide {
            self.hide(exchange);
        }
        let lines = self.headers.of_client(client, &[], None);
        self.headers.set(exchange, &lines, false);
        let consumer = client.consumer.as_deref();
        let context = Value::object(vec![
            ("client_id".into(), Value::from(client.id.to_string())),
            (
                "consumer".into(),
                consumer.map_or(Value::Null, consumer_value),
            ),
            ("client".into(), client_value(client)),
        ]);
        exchange.set_context(label, Arc::new(context));
        let permissions = consumer.map_or(&[][..], |consumer| &consumer.permissions);
        exchange.grant(permissions);
    }
}

fn unavailable() -> Error {
    let kind = ErrorKind::AccessTokenStoreUnavailable;
    Error::new(kind, "the store cannot be had")
}

/// Whether a token is signed with one of the client's secrets.
fn signed_by(client: &Client, token: &Parsed<'_>) -> bool {
    let algorithms = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
    let Ok(algorithm) = token.header.algorithm_among(&algorithms) else {
        return false;
    };
    client.live_secrets(now()).any(|secret| match &secret.form {
        SecretForm::Plain(secret, _) => {
            VerifyingKey::from_secret(algorithm, secret.expose_secret().as_bytes())
                .is_ok_and(|key| token.verify(&key).is_ok())
        }
        SecretForm::Digest(_) | SecretForm::Hashed(_) => false,
    })
}

impl Authenticate for ApiKey {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        self.headers.strip(exchange);
        // Whether the origin sees them is said by `hide_credentials`.
        exchange.passes_credentials = true;
        Verdict::Later(Box::pin(self.decide(label, exchange)))
    }

    fn makes_private(&self) -> bool {
        true
    }

    fn default_types(&self) -> &'static [ErrorKind] {
        &[
            ErrorKind::ApiKey,
            ErrorKind::ApiKeyMissing,
            ErrorKind::ApiKeyInvalid,
            ErrorKind::ApiKeyExpired,
        ]
    }
}
