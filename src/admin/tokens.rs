//! `/oauth2_tokens`: opaque tokens, listed, brought along from elsewhere, ended.

use super::applications::rfc3339;
use super::fields::{Change, Fields};
use super::problem::Problem;
use super::{Admin, Asked, Outcome, Reply, Timestamps, page};
use crate::crypto::random;
use crate::store::vault::Place;
use crate::store::{
    AccessToken, Client, Digest, GrantFamily, Issue, ListedToken, Millis, RefreshState,
    RefreshToken, Sealed, StoreError, TokenFilter, new_id,
};
use http::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Characters of a token that somebody gives.
const LENGTH: std::ops::RangeInclusive<usize> = 1..=1024;
/// Characters of a token that is drawn here, as Kong's are.
const DRAWN: usize = 32;
/// How long a refresh token lives that was brought along without an end.
const REFRESH: Duration = Duration::from_secs(336 * 3600);

/// The members of a body.
struct Body {
    credential: Change<(&'static str, String)>,
    expires_in: Change<i64>,
    access_token: Change<String>,
    refresh_token: Change<String>,
    scope: Change<String>,
    authenticated_userid: Change<String>,
    service: Change<(&'static str, String)>,
    ttl: Change<i64>,
    fields: Fields,
}

impl Body {
    fn read(mut fields: Fields) -> Self {
        for ignored in ["id", "created_at", "expires_at", "redacted"] {
            fields.any(ignored);
        }
        fields.choice("token_type", &["bearer", "Bearer"]);
        let credential = fields.reference("credential", &["id"]);
        let flat = fields.text("credential_id");
        let service = fields.reference("service", &["id"]);
        let flat_service = fields.text("service_id");
        let or = |nested, flat: Change<String>| match (nested, flat) {
            (Change::Keep, Change::Set(id)) => Change::Set(("id", id)),
            (nested, _) => nested,
        };
        let body = Self {
            credential: or(credential, flat),
            expires_in: fields.integer("expires_in"),
            access_token: fields.text("access_token"),
            refresh_token: fields.text("refresh_token"),
            scope: fields.text("scope"),
            authenticated_userid: fields.text("authenticated_userid"),
            service: or(service, flat_service),
            ttl: fields.integer("ttl"),
            fields,
        };
        body.checked()
    }

    fn checked(mut self) -> Self {
        for (name, value) in [
            ("access_token", &self.access_token),
            ("refresh_token", &self.refresh_token),
        ] {
            if let Change::Set(value) = value {
                let printable = value.bytes().all(|byte| (0x21..0x7f).contains(&byte));
                if !LENGTH.contains(&value.len()) || !printable {
                    let what = "expected 1 to 1024 printable characters";
                    self.fields.wrong(name, what);
                }
            }
        }
        if matches!(self.expires_in, Change::Set(seconds) if seconds < 0) {
            self.fields
                .wrong("expires_in", "expected a number that is not negative");
        }
        self
    }
}

fn end(issued_at: Millis, expires_in: i64) -> Option<Millis> {
    let lifetime = Duration::from_secs(u64::try_from(expires_in).unwrap_or(0));
    (expires_in > 0).then(|| issued_at.plus(lifetime))
}

fn scopes(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Random letters and digits.
fn draw() -> Result<String, StoreError> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(DRAWN);
    while text.len() < DRAWN {
        let bytes = random::bytes::<48>().map_err(|error| StoreError::Failed(error.to_string()))?;
        // What is beyond the last whole multiple would make some characters likelier.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let letters = fair.map(|byte| char::from(ALPHABET[usize::from(*byte) % 62]));
        text.extend(letters.take(DRAWN - text.len()));
    }
    Ok(text)
}

impl Admin {
    fn show_token(&self, token: &ListedToken) -> Value {
        let ListedToken { access, refresh } = token;
        let value = |place, id, sealed: Option<&Sealed>| {
            let revealed = self.vault.reveal(place, id, sealed?)?;
            Some(revealed.expose_secret().to_owned())
        };
        let shown = value(Place::AccessToken, access.id, access.sealed.as_ref());
        let redacted = shown.is_none();
        let refresh_shown = refresh.as_ref().map(|refresh| {
            let shown = value(Place::RefreshToken, refresh.id, refresh.sealed.as_ref());
            shown.unwrap_or_else(|| refresh.preview.clone())
        });
        let created_at = match self.settings.timestamps {
            Timestamps::Millis => access.issued_at.0,
            Timestamps::Seconds => access.issued_at.seconds(),
        };
        let lifetime = access
            .expires_at
            .map_or(0, |end| (end.0 - access.issued_at.0 + 999) / 1000);
        let mut body = json!({
            "id": access.id,
            "created_at": created_at,
            "credential": {"id": access.client_key},
            "credential_id": access.client_key,
            "service": access.service.as_ref().map(|service| json!({"id": service})),
            "service_id": access.service,
            "access_token": shown.unwrap_or_else(|| access.preview.clone()),
            "refresh_token": refresh_shown,
            "token_type": "bearer",
            "expires_in": lifetime,
            "scope": (!access.scope.is_empty()).then(|| access.scope.join(" ")),
            "authenticated_userid": access.subject,
            "expires_at": access.expires_at.map(rfc3339),
        });
        if redacted {
            body["redacted"] = true.into();
        }
        body
    }

    async fn token_filter(&self, asked: &Asked<'_>) -> Result<TokenFilter, Problem> {
        let text = |name| asked.option(name).map(str::to_owned);
        let mut filter = TokenFilter {
            access: asked.option("access_token").map(Digest::of),
            refresh: asked.option("refresh_token").map(Digest::of),
            client_id: text("client_id"),
            subject: text("authenticated_userid"),
            scope: text("scope"),
            ..TokenFilter::default()
        };
        if let Some(id) = asked
            .option("credential.id")
            .or(asked.option("credential_id"))
        {
            let id = Uuid::try_parse(id)
                .map_err(|_| Problem::Option("credential.id: expected a valid UUID".into()))?;
            filter.client_keys = Some(vec![id]);
        }
        if let Some(key) = asked.option("consumer.id").or(asked.option("consumer_id")) {
            let consumer = self.find_consumer(key).await?;
            filter.client_keys = Some(match consumer {
                Some(consumer) => self.clients_of(consumer.id).await?,
                None => Vec::new(),
            });
        }
        filter.active = match asked.option("active") {
            None => None,
            Some("true") => Some((true, asked.now)),
            Some("false") => Some((false, asked.now)),
            Some(_) => return Err(Problem::Option("active: expected true or false".into())),
        };
        Ok(filter)
    }

    /// The keys of all clients of a consumer.
    async fn clients_of(&self, consumer: Uuid) -> Result<Vec<Uuid>, Problem> {
        let declared = self.declared.clients.iter();
        let declared = declared.filter(|client| client.consumer == Some(consumer));
        let mut keys: Vec<Uuid> = declared.map(|client| client.id).collect();
        let filter = crate::store::ClientFilter {
            consumer: Some(consumer),
            ..crate::store::ClientFilter::default()
        };
        let page = crate::store::Page::first(crate::store::Page::LARGEST);
        let stored = self.store.clients(filter, page).await?;
        keys.extend(stored.items.iter().map(|client| client.id));
        Ok(keys)
    }

    pub(super) async fn tokens(&self, asked: &Asked<'_>) -> Outcome {
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                let filter = self.token_filter(asked).await?;
                let stored = |page| self.store.tokens(filter, page);
                let id = |token: &ListedToken| token.access.id;
                page::list(asked, Vec::new(), id, stored, |token| {
                    self.show_token(token)
                })
                .await
            }
            Method::POST => {
                let body = Body::read(asked.fields()?);
                self.create_token(asked, body, new_id(), StatusCode::CREATED)
                    .await
            }
            Method::DELETE => self.revoke_tokens(asked).await,
            _ => Err(Problem::Method),
        }
    }

    async fn revoke_tokens(&self, asked: &Asked<'_>) -> Outcome {
        let filter = self.token_filter(asked).await?;
        if filter.is_empty() {
            let what = "at least one filter is required";
            return Err(Problem::Option(what.into()));
        }
        let cut = self.cut(asked);
        // JWTs have no row: what a whole client or user has is cut off by time.
        for server in &self.declared.servers {
            let whole = (filter.scope.is_none() && filter.active.is_none()).then_some(&filter);
            let Some(filter) = whole else { continue };
            let mut entries = Vec::new();
            if let (Some(subject), None, None) =
                (&filter.subject, &filter.client_id, &filter.client_keys)
            {
                let kind = crate::store::RevocationKind::Subject;
                entries.push(cut.entry(kind, subject, &server.label));
            }
            if let (None, Some(client_id), None) =
                (&filter.subject, &filter.client_id, &filter.client_keys)
            {
                let kind = crate::store::RevocationKind::Client;
                entries.push(cut.entry(kind, client_id, &server.label));
            }
            for entry in entries {
                self.store.revoke(entry).await?;
            }
        }
        if let (None, None, Some(keys)) = (&filter.subject, &filter.client_id, &filter.client_keys)
        {
            for key in keys {
                if let Some(found) = self.find_client(&key.to_string()).await? {
                    let kind = crate::store::RevocationKind::Client;
                    let client = &found.client;
                    let entry = cut.entry(kind, &client.client_id, &client.server);
                    self.store.revoke(entry).await?;
                }
            }
        }
        let revoked = self.store.revoke_tokens(filter, cut).await?;
        self.note(asked, "token_revoked", asked.call.query).await?;
        Ok(Reply::json(StatusCode::OK, &json!({"revoked": revoked})))
    }

    async fn create_token(
        &self,
        asked: &Asked<'_>,
        mut body: Body,
        id: Uuid,
        status: StatusCode,
    ) -> Outcome {
        if matches!(body.expires_in, Change::Keep | Change::Clear) && !body.fields.has("expires_in")
        {
            body.fields.missing("expires_in");
        }
        let client: Option<Client> = match std::mem::replace(&mut body.credential, Change::Keep) {
            Change::Set((_, key)) => match self.find_client(&key).await? {
                Some(found) => Some(found.client),
                None => {
                    return Err(Problem::Foreign {
                        field: "credential".into(),
                        value: key,
                    });
                }
            },
            Change::Clear | Change::Keep => {
                if !body.fields.has("credential") {
                    body.fields.missing("credential");
                }
                None
            }
        };
        body.fields.finish()?;
        let Some(client) = client else {
            return Err(Problem::field("credential", "required field missing"));
        };
        let value = match body.access_token.given() {
            Some(value) => value,
            None => draw()?,
        };
        let kept = self.vault.keep_token(Place::AccessToken, id, &value)?;
        let expires_in = body.expires_in.given().unwrap_or(0);
        let mut access = AccessToken {
            hash: kept.hash,
            id,
            server: client.server.clone(),
            client_key: client.id,
            client_id: client.client_id.clone(),
            family: None,
            refresh: None,
            subject: body.authenticated_userid.given(),
            scope: body
                .scope
                .given()
                .as_deref()
                .map(scopes)
                .unwrap_or_default(),
            audience: Vec::new(),
            confirmation: None,
            claims: Map::new(),
            service: body.service.given().map(|(_, service)| service),
            sealed: kept.sealed,
            preview: kept.preview,
            issued_at: asked.now,
            expires_at: end(asked.now, expires_in),
            revoked_at: None,
        };
        let mut issue = Issue::default();
        if let Some(value) = body.refresh_token.given() {
            let lifetime = body.ttl.given().and_then(|ttl| end(asked.now, ttl));
            let expires_at = lifetime.or_else(|| Some(asked.now.plus(REFRESH)));
            let (family, refresh) = self.refresh_for(&mut access, &value, expires_at)?;
            issue.family = Some(family);
            issue.refresh = Some(refresh);
        }
        issue.access = Some(access.clone());
        let listed = ListedToken {
            access,
            refresh: issue.refresh.clone(),
        };
        self.store.issue(issue).await.map_err(|error| match error {
            StoreError::Conflict { entity, .. } => Problem::Unique {
                field: if entity == "token" {
                    "access_token"
                } else {
                    "refresh_token"
                }
                .into(),
                value: "…".into(),
            },
            error => error.into(),
        })?;
        let target = listed.access.hash.reference();
        self.note(asked, "token_issued", &target).await?;
        let mut shown = self.show_token(&listed);
        if listed.access.sealed.is_none() {
            // In this one answer the value is no secret to whoever asked.
            shown["access_token"] = value.into();
        }
        Ok(Reply::json(status, &shown))
    }

    /// A refresh token for an access token, with the family they are of.
    fn refresh_for(
        &self,
        access: &mut AccessToken,
        value: &str,
        expires_at: Option<Millis>,
    ) -> Result<(GrantFamily, RefreshToken), Problem> {
        let family = GrantFamily {
            id: new_id(),
            server: access.server.clone(),
            client_key: access.client_key,
            client_id: access.client_id.clone(),
            subject: access.subject.clone(),
            scope: access.scope.clone(),
            created_at: access.issued_at,
            expires_at,
            ..GrantFamily::default()
        };
        let id = new_id();
        let kept = self.vault.keep_token(Place::RefreshToken, id, value)?;
        access.family = Some(family.id);
        access.refresh = Some(id);
        let refresh = RefreshToken {
            hash: kept.hash,
            id,
            family: family.id,
            parent: None,
            state: RefreshState::Active,
            successor: None,
            rotated_at: None,
            grace_uses: 0,
            access: Some(access.id.to_string()),
            confirmation: None,
            sealed: kept.sealed,
            preview: kept.preview,
            issued_at: access.issued_at,
            expires_at,
        };
        Ok((family, refresh))
    }

    async fn find_token(&self, key: &str) -> Result<Option<ListedToken>, Problem> {
        if let Ok(id) = Uuid::try_parse(key)
            && let Some(found) = self.store.token_by_id(id).await?
        {
            return Ok(Some(found));
        }
        let Some(token) = self.store.access_token(Digest::of(key)).await? else {
            return Ok(None);
        };
        Ok(self.store.token_by_id(token.id).await?)
    }

    pub(super) async fn token(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        let found = self.find_token(key).await?;
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                let found = found.ok_or(Problem::NotFound)?;
                Ok(Reply::json(StatusCode::OK, &self.show_token(&found)))
            }
            Method::DELETE => {
                if let Some(found) = found {
                    let cut = self.cut(asked);
                    self.store
                        .revoke_access(found.access.id, cut.clone())
                        .await?;
                    if let Some(family) = found.access.family {
                        // In Kong both tokens are one row.
                        self.store
                            .revoke_family(family, &found.access.server, cut)
                            .await?;
                    }
                    let target = found.access.hash.reference();
                    self.note(asked, "token_revoked", &target).await?;
                }
                Ok(Reply::empty(StatusCode::NO_CONTENT))
            }
            Method::PATCH => {
                let found = found.ok_or(Problem::NotFound)?;
                self.change_token(asked, found).await
            }
            Method::PUT => match found {
                Some(found) => self.change_token(asked, found).await,
                None => {
                    let mut body = Body::read(asked.fields()?);
                    let id = Uuid::try_parse(key);
                    if id.is_err() {
                        body.access_token = Change::Set(key.to_owned());
                        body = body.checked();
                    }
                    let id = id.unwrap_or_else(|_| new_id());
                    self.create_token(asked, body, id, StatusCode::OK).await
                }
            },
            _ => Err(Problem::Method),
        }
    }

    async fn change_token(&self, asked: &Asked<'_>, mut found: ListedToken) -> Outcome {
        let body = Body::read(asked.fields()?);
        body.fields.finish()?;
        if let Some(seconds) = body.expires_in.given() {
            found.access.expires_at = end(found.access.issued_at, seconds);
        }
        match body.scope {
            Change::Set(text) => found.access.scope = scopes(&text),
            Change::Clear => found.access.scope = Vec::new(),
            Change::Keep => {}
        }
        body.authenticated_userid
            .apply_to(&mut found.access.subject, false);
        self.store.update_token(found.access.clone()).await?;
        let target = found.access.hash.reference();
        self.note(asked, "token_changed", &target).await?;
        Ok(Reply::json(StatusCode::OK, &self.show_token(&found)))
    }
}
