//! Clients that the store has, as the protocol code knows them.

use super::Server;
use super::backing::known;
use super::client::{
    AuthMethod, Client, Consumer, Display, Format, Introspect, Secret, SecretForm,
};
use super::fault::Fault;
use super::grant::Grant;
use crate::clock::UnixTime;
use crate::crypto::Jwks;
use crate::crypto::secret_hash::SecretHash;
use crate::expr::{Fractions, Value};
use crate::store::vault::Candidate;
use crate::store::{self, ClientType, StoredClient};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;

impl Server {
    /// The client of an id, from the store.
    pub(super) async fn stored_client(&self, id: &str) -> Result<Option<Arc<Client>>, Fault> {
        let Some(store) = self.backing.store() else {
            return Ok(None);
        };
        let Some(stored) = known(store.client(&self.label, id)).await? else {
            return Ok(None);
        };
        let consumer = match stored.client.consumer {
            Some(id) => self.stored_consumer(id).await?,
            None => None,
        };
        Ok(Some(Arc::new(self.client_of(&stored, consumer))))
    }

    async fn stored_consumer(&self, id: uuid::Uuid) -> Result<Option<Arc<Consumer>>, Fault> {
        if let Some(own) = self.consumers.iter().find(|consumer| consumer.id == id) {
            return Ok(Some(Arc::clone(own)));
        }
        let store = self.backing.needed()?;
        let consumer = known(store.consumer(id)).await?;
        Ok(consumer.map(|consumer| {
            Arc::new(Consumer {
                id,
                username: consumer.username.map(Into::into),
                custom_id: consumer.custom_id.map(Into::into),
                tags: boxed(&consumer.tags),
                groups: boxed(&consumer.groups),
                permissions: Vec::new(),
                metadata: value(&consumer.metadata),
            })
        }))
    }

    fn client_of(&self, stored: &StoredClient, consumer: Option<Arc<Consumer>>) -> Client {
        let row = &stored.client;
        let public = row.client_type == ClientType::Public;
        let method = match row.auth_method.as_deref().and_then(AuthMethod::of) {
            Some(method) => method,
            None if public => AuthMethod::None,
            None => AuthMethod::Basic,
        };
        let listed = row.grant_types.iter().filter_map(|name| Grant::of(name));
        let grants: Vec<Grant> = match row.grant_types.as_slice() {
            [] if self.dialect.all_grants => self.grants.clone(),
            [] if row.redirect_uris.is_empty() => vec![Grant::ClientCredentials],
            [] => vec![Grant::AuthorizationCode, Grant::RefreshToken],
            _ => listed.collect(),
        };
        let setting = |name: &str| row.settings.get(name);
        let flag = |name: &str| setting(name).and_then(serde_json::Value::as_bool);
        let text = |name: &str| {
            let text = setting(name).and_then(serde_json::Value::as_str);
            text.map(str::to_owned)
        };
        let strings = |name: &str| -> Vec<String> {
            let items = setting(name).and_then(serde_json::Value::as_array);
            let items = items.into_iter().flatten();
            items
                .filter_map(|i| i.as_str().map(str::to_owned))
                .collect()
        };
        let mut ttl = self.ttl.clone();
        let lifetime = |name: &str| {
            let text = row.ttl.get(name).and_then(serde_json::Value::as_str)?;
            parse_duration(text)
        };
        if let Some(access) = lifetime("access_token") {
            ttl.access_token = Some(access);
            ttl.client_credentials = Some(access);
        }
        if let Some(access) = lifetime("client_credentials") {
            ttl.client_credentials = Some(access);
        }
        if let Some(refresh) = lifetime("refresh_token") {
            ttl.refresh_token = refresh;
            ttl.refresh_token_idle = refresh;
        }
        Client {
            id: row.client_id.as_str().into(),
            pk: row.id,
            subject: text("subject")
                .unwrap_or_else(|| row.client_id.clone())
                .into(),
            display: Display {
                name: Some(row.name.clone()).filter(|name| !name.is_empty()),
                logo_uri: text("logo_uri"),
                client_uri: text("client_uri"),
                policy_uri: text("policy_uri"),
                tos_uri: text("tos_uri"),
                contacts: strings("contacts"),
            },
            consumer,
            secrets: stored.secrets.iter().filter_map(secret).collect(),
            strict: flag("strict_auth_method").unwrap_or(false),
            keys: row
                .jwks
                .as_ref()
                .and_then(|keys| Jwks::parse(keys.to_string().as_bytes()).ok()),
            certificates: Vec::new(),
            certificate: None,
            redirect_uris: row.redirect_uris.clone(),
            grants,
            any_scope: row.scopes.is_none() && row.optional_scopes.is_none(),
            scopes: match &row.scopes {
                Some(scopes) => boxed(scopes),
                None => self.unlisted_scopes(),
            },
            optional_scopes: boxed(row.optional_scopes.as_deref().unwrap_or_default()),
            audience: Some(row.audience.clone()).filter(|list| !list.is_empty()),
            allowed_resources: strings("allowed_resources"),
            format: match row.access_token_format.as_deref() {
                Some("opaque") => Format::Opaque,
                Some(_) => Format::Jwt,
                None => self.format,
            },
            signing_key: row
                .signing_key
                .as_deref()
                .map_or_else(|| Arc::clone(&self.signing_key), Into::into),
            ttl,
            claims: None,
            introspect: match text("introspect").as_deref() {
                Some("own") => Introspect::Own,
                Some("any") => Introspect::Any,
                Some("none") => Introspect::None,
                _ => Introspect::Audience,
            },
            resource_uris: strings("resource_uris"),
            dpop_bound: flag("dpop_bound").unwrap_or(false),
            mtls_bound: flag("mtls_bound").unwrap_or(false),
            require_consent: flag("require_consent").unwrap_or(true),
            trusted: row.trusted,
            allowed_ips: strings("allowed_ips")
                .iter()
                .filter_map(|text| super::client::Network::parse(text))
                .collect(),
            rate: None,
            metadata: value(&row.metadata),
            tags: boxed(&row.tags),
            api_key: flag("api_key").unwrap_or(false),
            client_id_only: flag("allow_client_id_only").unwrap_or(false),
            api_key_values: Vec::new(),
            native: text("application_type").as_deref() == Some("native"),
            enabled: row.enabled,
            unverified: row.source == store::Source::Registration,
            method,
        }
    }

    /// Scopes of clients without a list.
    pub(super) fn unlisted_scopes(&self) -> Vec<Box<str>> {
        let mut scopes = self.default_scopes.clone();
        for scope in self.scopes.iter().filter(|scope| scope.default) {
            if !scopes.contains(&scope.name) {
                scopes.push(scope.name.clone());
            }
        }
        scopes
    }
}

fn boxed(items: &[String]) -> Vec<Box<str>> {
    items.iter().map(|item| item.as_str().into()).collect()
}

fn value(members: &Map<String, serde_json::Value>) -> Value<'static> {
    let text = serde_json::Value::Object(members.clone()).to_string();
    let parsed = Value::from_json(text.as_bytes(), Fractions::Exact);
    parsed.map_or(Value::Null, Value::into_owned)
}

fn secret(stored: &store::ClientSecret) -> Option<Secret> {
    Some(Secret {
        form: SecretForm::Hashed(Candidate {
            id: stored.id,
            hash: SecretHash::parse(&stored.hash).ok()?,
        }),
        not_after: stored
            .not_after
            .map(|end| UnixTime::from_seconds(end.seconds())),
    })
}

/// A duration in Go's notation, of whole units.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes().get(digits)? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
