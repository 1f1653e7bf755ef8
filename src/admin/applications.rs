//! `/oauth2` and `/consumers/…/oauth2`: clients, which Kong calls applications, and their secrets.
//! `/clients` shows the same rows in the words of RFC 7591.

use super::fields::{Change, Fields};
use super::problem::Problem;
use super::redirect::Fault;
use super::{Admin, Asked, DeclaredServer, Outcome, Reply, page};
use crate::crypto::random;
use crate::crypto::secret_hash::SecretHash;
use crate::store::vault::Place;
use crate::store::{
    Client, ClientFilter, ClientSecret, ClientType, Millis, Source, StoreError, StoredClient,
    new_id,
};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Secrets of one client at a time.
const MOST_SECRETS: usize = 4;
/// Redirect addresses of one client.
const MOST_REDIRECTS: usize = 50;
/// Bytes of a secret that somebody chose.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// Attributes of the `client` block that are kept as they are given, with what they take.
const SETTINGS: [(&str, Takes); 19] = [
    ("allowed_ips", Takes::Texts),
    ("allowed_resources", Takes::Texts),
    ("api_key", Takes::Boolean),
    ("application_type", Takes::Text),
    ("client_uri", Takes::Text),
    ("contacts", Takes::Texts),
    ("dpop_bound", Takes::Boolean),
    ("introspect", Takes::Text),
    ("logo_uri", Takes::Text),
    ("mtls_bound", Takes::Boolean),
    ("policy_uri", Takes::Text),
    ("require_consent", Takes::Boolean),
    ("resource_uris", Takes::Texts),
    ("strict_auth_method", Takes::Boolean),
    ("subject", Takes::Text),
    ("tls_client_auth_san_dns", Takes::Text),
    ("tls_client_auth_san_uri", Takes::Text),
    ("tls_client_auth_subject_dn", Takes::Text),
    ("tos_uri", Takes::Text),
];

/// Grants that a client may have.
const GRANTS: [&str; 8] = [
    "authorization_code",
    "client_credentials",
    "implicit",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange",
];

#[derive(Clone, Copy)]
enum Takes {
    Text,
    Texts,
    Boolean,
}

/// What becomes of the secret.
enum Secret {
    Keep,
    Draw,
    Chosen(SecretString),
    /// An imported hash, as Kong keeps them.
    Hashed(SecretHash),
    /// A public client has none.
    None,
}

/// The members of a body.
struct Body {
    name: Change<String>,
    client_id: Change<String>,
    client_secret: Change<String>,
    hash_secret: Change<bool>,
    client_type: Change<String>,
    redirect_uris: Change<Vec<String>>,
    consumer: Change<(&'static str, String)>,
    server: Change<String>,
    tags: Change<Vec<String>>,
    grant_types: Change<Vec<String>>,
    response_types: Change<Vec<String>>,
    scopes: Change<Vec<String>>,
    optional_scopes: Change<Vec<String>>,
    audience: Change<Vec<String>>,
    auth_method: Change<String>,
    jwks: Change<Map<String, Value>>,
    jwks_uri: Change<String>,
    ttl: Change<Map<String, Value>>,
    format: Change<String>,
    signing_key: Change<String>,
    claims: Change<Map<String, Value>>,
    metadata: Change<Map<String, Value>>,
    enabled: Change<bool>,
    trusted: Change<bool>,
    settings: Vec<(&'static str, Change<Value>)>,
    fields: Fields,
}

impl Body {
    fn read(mut fields: Fields) -> Self {
        // Timestamps and ids come back with what a client has read; they are not taken over.
        for ignored in ["id", "created_at", "updated_at"] {
            fields.any(ignored);
        }
        let settings = SETTINGS.map(|(name, takes)| {
            let change = match takes {
                Takes::Text => valued(fields.text(name)),
                Takes::Texts => valued(fields.texts(name)),
                Takes::Boolean => valued(fields.boolean(name)),
            };
            (name, change)
        });
        Self {
            name: fields.text("name"),
            client_id: fields.text("client_id"),
            client_secret: fields.text("client_secret"),
            hash_secret: fields.boolean("hash_secret"),
            client_type: fields.choice("client_type", &["confidential", "public"]),
            redirect_uris: fields.texts("redirect_uris"),
            consumer: fields.reference("consumer", &["id", "username"]),
            server: fields.text("authorization_server"),
            tags: fields.texts("tags"),
            grant_types: fields.texts("grant_types"),
            response_types: fields.texts("response_types"),
            scopes: fields.texts("scopes"),
            optional_scopes: fields.texts("optional_scopes"),
            audience: fields.texts("audience"),
            auth_method: fields.choice(
                "token_endpoint_auth_method",
                &[
                    "client_secret_basic",
                    "client_secret_post",
                    "client_secret_jwt",
                    "private_key_jwt",
                    "tls_client_auth",
                    "self_signed_tls_client_auth",
                    "none",
                ],
            ),
            jwks: fields.object("jwks"),
            jwks_uri: fields.text("jwks_uri"),
            ttl: fields.object("ttl"),
            format: fields.choice("access_token_format", &["jwt", "opaque"]),
            signing_key: fields.text("signing_key"),
            claims: fields.object("claims"),
            metadata: fields.object("metadata"),
            enabled: fields.boolean("enabled"),
            trusted: fields.boolean("trusted"),
            settings: settings.into(),
            fields,
        }
    }

    /// Applies the body and checks the whole.
    fn apply(
        mut self,
        client: &mut Client,
        server: &DeclaredServer,
        keeps_secrets: bool,
        replace: bool,
    ) -> Result<Secret, Problem> {
        let secret = self.secret(client, server, replace);
        self.name.apply(&mut client.name, replace);
        if let Some(client_id) = self.client_id.given() {
            client.client_id = client_id;
        }
        let sound = |id: &str| {
            (1..=255).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| (0x20..0x7f).contains(&byte) && byte != b':')
        };
        if !sound(&client.client_id) {
            let what = "expected 1 to 255 printable characters other than ':'";
            self.fields.wrong("client_id", what);
        }
        if client.name.is_empty() {
            self.fields.missing("name");
        }
        self.hash_secret.apply(&mut client.hash_secret, replace);
        self.redirect_uris.apply(&mut client.redirect_uris, replace);
        check_redirects(&client.redirect_uris, server.any_http, &mut self.fields);
        self.tags.apply(&mut client.tags, replace);
        self.grant_types.apply(&mut client.grant_types, replace);
        for grant in &client.grant_types {
            if !GRANTS.contains(&grant.as_str()) {
                self.fields
                    .wrong("grant_types", format!("unknown grant type '{grant}'"));
            }
        }
        self.response_types
            .apply(&mut client.response_types, replace);
        self.scopes.apply_to(&mut client.scopes, replace);
        self.optional_scopes
            .apply_to(&mut client.optional_scopes, replace);
        check_scopes(client, server, &mut self.fields);
        self.audience.apply(&mut client.audience, replace);
        self.auth_method.apply_to(&mut client.auth_method, replace);
        let public = client.auth_method.as_deref() == Some("none");
        if public != (client.client_type == ClientType::Public) && client.auth_method.is_some() {
            client.client_type = if public {
                ClientType::Public
            } else {
                ClientType::Confidential
            };
        }
        if client.auth_method.as_deref() == Some("client_secret_jwt") && !keeps_secrets {
            let what = "client_secret_jwt needs secret_storage = \"sealed\"";
            self.fields.wrong("token_endpoint_auth_method", what);
        }
        let jwks = match self.jwks {
            Change::Set(jwks) => Change::Set(Value::Object(jwks)),
            Change::Clear => Change::Clear,
            Change::Keep => Change::Keep,
        };
        jwks.apply_to(&mut client.jwks, replace);
        if let Some(jwks) = &client.jwks
            && crate::crypto::Jwks::parse(jwks.to_string().as_bytes()).is_err()
        {
            self.fields.wrong("jwks", "expected a JSON Web Key Set");
        }
        self.jwks_uri.apply_to(&mut client.jwks_uri, replace);
        self.ttl.apply(&mut client.ttl, replace);
        for (name, value) in &client.ttl {
            let lifetime = value
                .as_str()
                .and_then(|text| crate::blocks::duration::parse(text).ok());
            if lifetime.is_none() {
                self.fields
                    .wrong("ttl", format!("'{name}' is no duration such as \"1h\""));
            }
        }
        self.format
            .apply_to(&mut client.access_token_format, replace);
        self.signing_key.apply_to(&mut client.signing_key, replace);
        self.claims.apply(&mut client.claims, replace);
        self.metadata.apply(&mut client.metadata, replace);
        let switch = |change: Change<bool>, target: &mut bool, default| match change {
            Change::Set(value) => *target = value,
            Change::Clear => *target = default,
            Change::Keep if replace => *target = default,
            Change::Keep => {}
        };
        switch(self.enabled, &mut client.enabled, true);
        switch(self.trusted, &mut client.trusted, false);
        for (name, change) in self.settings {
            match change {
                Change::Set(value) => {
                    client.settings.insert(name.to_owned(), value);
                }
                Change::Keep if !replace => {}
                Change::Keep | Change::Clear => {
                    client.settings.remove(name);
                }
            }
        }
        self.fields.finish()?;
        Ok(secret)
    }

    /// What becomes of type and secret.
    fn secret(&mut self, client: &mut Client, server: &DeclaredServer, replace: bool) -> Secret {
        let kind = match std::mem::replace(&mut self.client_type, Change::Keep) {
            Change::Set(kind) => Some(kind),
            Change::Clear | Change::Keep => replace.then(|| "confidential".to_owned()),
        };
        match kind.as_deref() {
            Some("public") => client.client_type = ClientType::Public,
            Some(_) => client.client_type = ClientType::Confidential,
            None => {}
        }
        let given = std::mem::replace(&mut self.client_secret, Change::Keep);
        // Kong asks for both, for it could not know how to keep the one.
        let one_alone = matches!(given, Change::Keep) != matches!(self.hash_secret, Change::Keep);
        if server.kong && !replace && one_alone {
            let what = "all or none of these fields must be set: 'hash_secret', 'client_secret'";
            self.fields.wrong("@entity", json!([what]));
        }
        let public = client.client_type == ClientType::Public
            || matches!(&self.auth_method, Change::Set(method) if method == "none");
        match given {
            Change::Set(_) if public => {
                let what = "client_secret is disallowed for public clients";
                self.fields.wrong("client_secret", what);
                Secret::None
            }
            _ if public => Secret::None,
            Change::Set(text) => {
                if let Ok(hash) = SecretHash::parse(&text)
                    && hash.is_slow()
                {
                    return Secret::Hashed(hash);
                }
                if !SECRET_BYTES.contains(&text.len()) {
                    let what = "expected 8 to 1024 bytes";
                    self.fields.wrong("client_secret", what);
                }
                Secret::Chosen(text.into())
            }
            Change::Clear | Change::Keep if replace => Secret::Draw,
            Change::Clear => Secret::Draw,
            Change::Keep => Secret::Keep,
        }
    }
}

fn valued<T: Into<Value>>(change: Change<T>) -> Change<Value> {
    match change {
        Change::Set(value) => Change::Set(value.into()),
        Change::Clear => Change::Clear,
        Change::Keep => Change::Keep,
    }
}

/// What is wrong with each address, at its position; null where nothing is.
fn check_redirects(uris: &[String], any_http: bool, fields: &mut Fields) {
    let wrong = |uri: &String| {
        if uri.contains('#') {
            return Some(format!("fragment not allowed in '{uri}'"));
        }
        Some(match super::redirect::check(uri, any_http).err()? {
            Fault::Unreadable => format!("cannot parse '{uri}'"),
            Fault::Unfit(why) => format!("'{uri}' cannot be used: {why}"),
        })
    };
    let found: Vec<Option<String>> = uris.iter().map(wrong).collect();
    if uris.len() > MOST_REDIRECTS {
        fields.wrong("redirect_uris", "expected at most 50 addresses");
    } else if let Some(last) = found.iter().rposition(Option::is_some) {
        fields.wrong("redirect_uris", json!(found[..=last]));
    }
}

fn check_scopes(client: &Client, server: &DeclaredServer, fields: &mut Fields) {
    for (name, scopes) in [
        ("scopes", &client.scopes),
        ("optional_scopes", &client.optional_scopes),
    ] {
        for scope in scopes.iter().flatten() {
            let token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if scope.is_empty() || !scope.bytes().all(token) {
                fields.wrong(name, format!("'{scope}' is no scope"));
            } else if !server.scopes.is_empty() && !server.scopes.contains(scope) {
                fields.wrong(name, format!("'{scope}' is not a declared scope"));
            }
        }
    }
}

fn list_or_null(items: &[String]) -> Value {
    if items.is_empty() {
        Value::Null
    } else {
        json!(items)
    }
}

/// An application as it is shown; `secret` is shown in the answer that set it, or with sealed storage.
fn show(client: &Client, secret: Option<&str>) -> Value {
    let mut body = json!({
        "id": client.id,
        "name": client.name,
        "client_id": client.client_id,
        "client_secret": secret,
        "hash_secret": client.hash_secret,
        "client_type": client.client_type,
        "redirect_uris": list_or_null(&client.redirect_uris),
        "consumer": client.consumer.map(|id| json!({"id": id})),
        "authorization_server": client.server,
        "tags": list_or_null(&client.tags),
        "grant_types": list_or_null(&client.grant_types),
        "response_types": list_or_null(&client.response_types),
        "scopes": client.scopes,
        "optional_scopes": client.optional_scopes,
        "audience": list_or_null(&client.audience),
        "token_endpoint_auth_method": client.auth_method,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "ttl": client.ttl,
        "access_token_format": client.access_token_format,
        "signing_key": client.signing_key,
        "claims": client.claims,
        "metadata": client.metadata,
        "enabled": client.enabled,
        "trusted": client.trusted,
        "last_used_at": client.last_used_at.map(Millis::seconds),
        "created_at": client.created_at.seconds(),
        "updated_at": client.updated_at.seconds(),
    });
    if let Value::Object(members) = &mut body {
        for (name, value) in &client.settings {
            members.insert(name.clone(), value.clone());
        }
    }
    body
}

/// A client in the words of RFC 7591 §2.
fn show_registered(client: &Client) -> Value {
    let method = match (&client.auth_method, client.client_type) {
        (Some(method), _) => method.as_str(),
        (None, ClientType::Public) => "none",
        (None, ClientType::Confidential) => "client_secret_basic",
    };
    let scope: Vec<&str> = client
        .scopes
        .iter()
        .chain(&client.optional_scopes)
        .flatten()
        .map(String::as_str)
        .collect();
    json!({
        "id": client.id,
        "client_id": client.client_id,
        "client_id_issued_at": client.created_at.seconds(),
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grant_types,
        "response_types": client.response_types,
        "token_endpoint_auth_method": method,
        "scope": scope.join(" "),
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "client_uri": client.settings.get("client_uri"),
        "logo_uri": client.settings.get("logo_uri"),
        "policy_uri": client.settings.get("policy_uri"),
        "tos_uri": client.settings.get("tos_uri"),
        "contacts": client.settings.get("contacts"),
        "authorization_server": client.server,
        "enabled": client.enabled,
    })
}

fn show_secret(secret: &ClientSecret) -> Value {
    json!({
        "id": secret.id,
        "created_at": secret.created_at.seconds(),
        "last_used_at": secret.last_used_at.map(Millis::seconds),
        "not_after": secret.not_after.map(rfc3339),
        "generated": secret.generated,
    })
}

/// A time in words.
pub(super) fn rfc3339(time: Millis) -> String {
    jiff::Timestamp::from_millisecond(time.0)
        .map_or_else(|_| String::new(), |time| time.to_string())
}

fn taken(error: StoreError, client: &Client) -> Problem {
    match error {
        StoreError::Conflict { field, .. } => Problem::Unique {
            field: field.to_owned(),
            value: client.client_id.clone(),
        },
        StoreError::Missing("consumer") => Problem::Foreign {
            field: "consumer".into(),
            value: client.consumer.map(|id| id.to_string()).unwrap_or_default(),
        },
        error => error.into(),
    }
}

impl Admin {
    fn declared_client(&self, key: &str) -> Option<&Client> {
        let id = Uuid::try_parse(key).ok();
        let mut clients = self.declared.clients.iter();
        clients.find(|client| Some(client.id) == id || client.client_id == key)
    }

    /// The client of an id or `client_id`, declared or stored.
    pub(super) async fn find_client(&self, key: &str) -> Result<Option<StoredClient>, Problem> {
        if let Some(client) = self.declared_client(key) {
            return Ok(Some(StoredClient {
                client: client.clone(),
                secrets: Vec::new(),
            }));
        }
        if let Ok(id) = Uuid::try_parse(key)
            && let Some(found) = self.store.client_by_id(id).await?
        {
            return Ok(Some(found));
        }
        for server in &self.declared.servers {
            if let Some(found) = self.store.client(&server.label, key).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn wanted_consumer(&self, key: &str) -> Result<Option<Uuid>, Problem> {
        let found = self.find_consumer(key).await?;
        Ok(found.map(|consumer| consumer.id))
    }

    pub(super) async fn applications(&self, asked: &Asked<'_>, of: Option<&str>) -> Outcome {
        let consumer = match of {
            None => None,
            Some(key) => Some(self.find_consumer(key).await?.ok_or(Problem::NotFound)?),
        };
        let of = consumer.as_ref().map(|consumer| consumer.id);
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                self.list_clients(asked, of, |client| show(client, None))
                    .await
            }
            Method::POST => {
                if consumer.is_some_and(|consumer| consumer.source == Source::Hcl) {
                    return Err(Problem::ReadOnly);
                }
                let body = Body::read(asked.fields()?);
                self.create_application(asked, body, None, of, StatusCode::CREATED)
                    .await
            }
            _ => Err(Problem::Method),
        }
    }

    async fn list_clients(
        &self,
        asked: &Asked<'_>,
        of: Option<Uuid>,
        show: impl Fn(&Client) -> Value,
    ) -> Outcome {
        let text = |name| asked.option(name).map(str::to_owned);
        let key = text("consumer.id").or_else(|| text("consumer.username"));
        let named = match &key {
            Some(key) => Some(self.wanted_consumer(key).await?.unwrap_or(Uuid::nil())),
            None => None,
        };
        let filter = ClientFilter {
            server: text("authorization_server"),
            client_id: text("client_id"),
            name: text("name"),
            consumer: of.or(named),
            tags: page::tags(asked)?,
        };
        let fits = |client: &&Client| {
            let same = |wanted: &Option<String>, has: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == has)
            };
            let tags = filter.tags.as_ref();
            same(&filter.server, &client.server)
                && same(&filter.client_id, &client.client_id)
                && same(&filter.name, &client.name)
                && (filter.consumer.is_none() || filter.consumer == client.consumer)
                && tags.is_none_or(|tags| tags.accepts(&client.tags))
        };
        let declared: Vec<Client> = self.declared.clients.iter().filter(fits).cloned().collect();
        let stored = |page| self.store.clients(filter, page);
        page::list(asked, declared, |client| client.id, stored, show).await
    }

    async fn create_application(
        &self,
        asked: &Asked<'_>,
        mut body: Body,
        key: Option<&str>,
        consumer: Option<Uuid>,
        status: StatusCode,
    ) -> Outcome {
        let label = std::mem::replace(&mut body.server, Change::Keep).given();
        let server = self.server(label.as_deref())?;
        let named = std::mem::replace(&mut body.consumer, Change::Keep).given();
        let consumer = match (consumer, named) {
            (Some(id), _) => Some(id),
            (None, Some((_, key))) => {
                let found = self.wanted_consumer(&key).await?;
                Some(found.ok_or(Problem::Foreign {
                    field: "consumer".into(),
                    value: key,
                })?)
            }
            (None, None) => {
                if self.settings.require_consumer {
                    body.fields.missing("consumer");
                }
                None
            }
        };
        let id = key.and_then(|key| Uuid::try_parse(key).ok());
        let drawn = || random::token(16).map_err(|error| StoreError::Failed(error.to_string()));
        let mut client = Client {
            id: id.unwrap_or_else(new_id),
            server: server.label.clone(),
            client_id: match key.filter(|_| id.is_none()) {
                Some(key) => key.to_owned(),
                None => drawn()?,
            },
            consumer,
            enabled: true,
            source: Source::Db,
            created_at: asked.now,
            updated_at: asked.now,
            ..Client::default()
        };
        let secret = body.apply(&mut client, server, self.vault.seals_secrets(), true)?;
        if self
            .declared
            .clients
            .iter()
            .any(|known| known.server == client.server && known.client_id == client.client_id)
        {
            return Err(Problem::Unique {
                field: "client_id".into(),
                value: client.client_id,
            });
        }
        let (shown, kept) = self
            .make_secret(asked, client.id, secret, client.hash_secret)
            .await?;
        let created = self.store.create_client(client.clone(), kept).await;
        created.map_err(|error| taken(error, &client))?;
        self.note(asked, "client_created", &client.client_id)
            .await?;
        let shown = shown.as_ref().map(ExposeSecret::expose_secret);
        Ok(Reply::entity(status, &show(&client, shown), client.version))
    }

    /// What is kept of a secret, and what is shown of it this once.
    async fn make_secret(
        &self,
        asked: &Asked<'_>,
        client: Uuid,
        secret: Secret,
        hide: bool,
    ) -> Result<(Option<SecretString>, Vec<ClientSecret>), Problem> {
        match secret {
            Secret::Keep | Secret::None => Ok((None, Vec::new())),
            Secret::Draw => {
                let (value, kept) = self.vault.draw_secret(client, asked.now)?;
                Ok((Some(value), vec![kept]))
            }
            Secret::Chosen(value) => {
                let mut kept = self.vault.keep_secret(client, &value, asked.now).await?;
                if hide {
                    kept.sealed = None;
                }
                Ok((Some(value), vec![kept]))
            }
            Secret::Hashed(hash) => Ok((
                None,
                vec![ClientSecret {
                    id: new_id(),
                    client,
                    hash: hash.to_string(),
                    sealed: None,
                    generated: false,
                    not_after: None,
                    last_used_at: None,
                    created_at: asked.now,
                }],
            )),
        }
    }

    pub(super) async fn application(
        &self,
        asked: &Asked<'_>,
        of: Option<&str>,
        key: &str,
    ) -> Outcome {
        let consumer = match of {
            None => None,
            Some(of) => Some(self.find_consumer(of).await?.ok_or(Problem::NotFound)?.id),
        };
        let found = self.find_client(key).await?;
        if let (Some(of), Some(found)) = (consumer, &found)
            && found.client.consumer != Some(of)
        {
            return Err(Problem::NotFound);
        }
        let replace = match *asked.call.method {
            Method::GET | Method::HEAD => {
                let found = found.ok_or(Problem::NotFound)?;
                let secret = self.sealed_secret(&found);
                let secret = secret.as_ref().map(ExposeSecret::expose_secret);
                let body = show(&found.client, secret);
                return Ok(Reply::entity(StatusCode::OK, &body, found.client.version));
            }
            Method::DELETE => {
                let Some(found) = found else {
                    // As Kong: what is nested must be there, what is not need not.
                    return match of {
                        Some(_) => Err(Problem::NotFound),
                        None => Ok(Reply::empty(StatusCode::NO_CONTENT)),
                    };
                };
                return self.delete_application(asked, &found.client).await;
            }
            Method::PUT => true,
            Method::PATCH => false,
            _ => return Err(Problem::Method),
        };
        let mut body = Body::read(asked.fields()?);
        let Some(StoredClient { mut client, .. }) = found else {
            if !replace {
                return Err(Problem::NotFound);
            }
            return self
                .create_application(asked, body, Some(key), consumer, StatusCode::OK)
                .await;
        };
        if client.source == Source::Hcl {
            return Err(Problem::ReadOnly);
        }
        asked.match_version(client.version)?;
        if let Some(label) = std::mem::replace(&mut body.server, Change::Keep).given()
            && label != client.server
        {
            let what = "a client stays with its authorization server";
            return Err(Problem::field("authorization_server", what));
        }
        let server = self.server(Some(&client.server))?;
        match std::mem::replace(&mut body.consumer, Change::Keep).given() {
            Some((_, key)) => {
                let found = self.wanted_consumer(&key).await?;
                client.consumer = Some(found.ok_or(Problem::Foreign {
                    field: "consumer".into(),
                    value: key,
                })?);
            }
            None if replace && consumer.is_none() && self.settings.require_consumer => {
                body.fields.missing("consumer");
            }
            None => {}
        }
        let was_enabled = client.enabled;
        let secret = body.apply(&mut client, server, self.vault.seals_secrets(), replace)?;
        client.updated_at = asked.now;
        let secrets_stay = matches!(secret, Secret::Keep);
        let (shown, kept) = self
            .make_secret(asked, client.id, secret, client.hash_secret)
            .await?;
        let secrets = (!secrets_stay).then_some(kept);
        let updated = self.store.update_client(client.clone(), secrets).await;
        let updated = updated.map_err(|error| taken(error, &client))?;
        if was_enabled && !updated.enabled {
            let kind = crate::store::RevocationKind::Client;
            let entry = self
                .cut(asked)
                .entry(kind, &updated.client_id, &updated.server);
            self.store.revoke(entry).await?;
        }
        self.note(asked, "client_changed", &updated.client_id)
            .await?;
        let shown = shown.as_ref().map(ExposeSecret::expose_secret);
        let body = show(&updated, shown);
        Ok(Reply::entity(StatusCode::OK, &body, updated.version))
    }

    /// The newest secret in the clear, where it is sealed and not to be hidden.
    fn sealed_secret(&self, found: &StoredClient) -> Option<SecretString> {
        if !self.vault.seals_secrets() || found.client.hash_secret {
            return None;
        }
        let newest = found
            .secrets
            .iter()
            .max_by_key(|secret| secret.created_at)?;
        let sealed = newest.sealed.as_ref()?;
        self.vault.reveal(Place::ClientSecret, newest.id, sealed)
    }

    async fn delete_application(&self, asked: &Asked<'_>, client: &Client) -> Outcome {
        if client.source == Source::Hcl {
            return Err(Problem::ReadOnly);
        }
        asked.match_version(client.version)?;
        self.store.delete_client(client.id, self.cut(asked)).await?;
        self.note(asked, "client_deleted", &client.client_id)
            .await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn secrets(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        let found = self.find_client(key).await?.ok_or(Problem::NotFound)?;
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                let data: Vec<Value> = found.secrets.iter().map(show_secret).collect();
                let body = json!({"data": data, "next": null, "total": data.len()});
                Ok(Reply::json(StatusCode::OK, &body))
            }
            Method::POST => self.add_secret(asked, &found.client).await,
            _ => Err(Problem::Method),
        }
    }

    async fn add_secret(&self, asked: &Asked<'_>, client: &Client) -> Outcome {
        if client.source == Source::Hcl {
            return Err(Problem::ReadOnly);
        }
        if client.client_type == ClientType::Public {
            let what = "client_secret is disallowed for public clients";
            return Err(Problem::field("secret", what));
        }
        let mut fields = asked.fields()?;
        let not_after = fields.time("not_after", asked.now.0).given().map(Millis);
        if not_after.is_some_and(|end| end <= asked.now) {
            fields.wrong("not_after", "expected a time to come");
        }
        let chosen = fields.text("secret").given().map(SecretString::from);
        let sound = |secret: &SecretString| SECRET_BYTES.contains(&secret.expose_secret().len());
        if !chosen.as_ref().is_none_or(sound) {
            fields.wrong("secret", "expected 8 to 1024 bytes");
        }
        fields.finish()?;
        let secret = chosen.map_or(Secret::Draw, Secret::Chosen);
        let made = self.make_secret(asked, client.id, secret, client.hash_secret);
        let (shown, kept) = made.await?;
        let mut id = Uuid::nil();
        for mut secret in kept {
            id = secret.id;
            secret.not_after = not_after;
            self.store.add_secret(secret, MOST_SECRETS).await?;
        }
        self.note(asked, "secret_added", &client.client_id).await?;
        let body = json!({
            "id": id,
            "client_secret": shown.as_ref().map(ExposeSecret::expose_secret),
            "not_after": not_after.map(rfc3339),
        });
        Ok(Reply::json(StatusCode::CREATED, &body))
    }

    pub(super) async fn secret(&self, asked: &Asked<'_>, key: &str, id: &str) -> Outcome {
        if *asked.call.method != Method::DELETE {
            return Err(Problem::Method);
        }
        let found = self.find_client(key).await?.ok_or(Problem::NotFound)?;
        if found.client.source == Source::Hcl {
            return Err(Problem::ReadOnly);
        }
        let id = Uuid::try_parse(id).map_err(|_| Problem::NotFound)?;
        let deleted = self.store.delete_secret(found.client.id, id, asked.now);
        if !deleted.await? {
            return Err(Problem::NotFound);
        }
        self.note(asked, "secret_deleted", &found.client.client_id)
            .await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn registered_clients(&self, asked: &Asked<'_>) -> Outcome {
        match *asked.call.method {
            Method::GET | Method::HEAD => self.list_clients(asked, None, show_registered).await,
            _ => Err(Problem::Method),
        }
    }

    pub(super) async fn registered_client(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                let found = self.find_client(key).await?.ok_or(Problem::NotFound)?;
                let body = show_registered(&found.client);
                Ok(Reply::entity(StatusCode::OK, &body, found.client.version))
            }
            _ => Err(Problem::Method),
        }
    }

    /// Clients that are API keys as well, in the words of Otoroshi.
    pub(super) async fn api_keys(&self, asked: &Asked<'_>) -> Outcome {
        if !matches!(*asked.call.method, Method::GET | Method::HEAD) {
            return Err(Problem::Method);
        }
        let mut keys: Vec<Value> = Vec::new();
        let is_key = |client: &Client| client.settings.get("api_key") == Some(&Value::Bool(true));
        let show = |client: &Client| {
            json!({
                "id": client.id,
                "clientId": client.client_id,
                "clientName": client.name,
                "enabled": client.enabled,
                "tags": client.tags,
                "metadata": client.metadata,
            })
        };
        keys.extend(self.declared.clients.iter().filter(|c| is_key(c)).map(show));
        let mut page = crate::store::Page::first(crate::store::Page::LARGEST);
        loop {
            let listing = self.store.clients(ClientFilter::default(), page).await?;
            keys.extend(listing.items.iter().filter(|c| is_key(c)).map(show));
            match listing.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        let body = json!({"data": keys, "next": null, "total": keys.len()});
        Ok(Reply::json(StatusCode::OK, &body))
    }
}
