//! `/users`: the built-in user table.

use super::applications::rfc3339;
use super::fields::{Change, Fields};
use super::problem::Problem;
use super::{Admin, Asked, Outcome, Reply, page};
use crate::store::{StoreError, UserAccount, new_id};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Bytes of a password.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=1024;

fn show(user: &UserAccount) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "has_password": user.password.is_some(),
        "claims": user.claims,
        "enabled": user.enabled,
        "locked_until": user.locked_until.map(rfc3339),
        "created_at": user.created_at.seconds(),
        "updated_at": user.updated_at.seconds(),
    })
}

struct Body {
    username: Change<String>,
    password: Option<SecretString>,
    claims: Change<Map<String, Value>>,
    enabled: Change<bool>,
}

fn password(fields: &mut Fields) -> Option<SecretString> {
    let given = fields.text("password").given()?;
    if !PASSWORD.contains(&given.len()) {
        fields.wrong("password", "expected 8 to 1024 bytes");
    }
    Some(given.into())
}

impl Body {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let body = Self {
            username: fields.text("username"),
            password: password(&mut fields),
            claims: fields.object("claims"),
            enabled: fields.boolean("enabled"),
        };
        fields.finish()?;
        Ok(body)
    }

    fn apply(self, user: &mut UserAccount, replace: bool) -> Result<Option<SecretString>, Problem> {
        if let Some(username) = self.username.given() {
            user.username = username;
        }
        if user.username.is_empty() {
            return Err(Problem::field("username", "required field missing"));
        }
        self.claims.apply(&mut user.claims, replace);
        match self.enabled {
            Change::Set(enabled) => user.enabled = enabled,
            Change::Clear => user.enabled = true,
            Change::Keep if replace => user.enabled = true,
            Change::Keep => {}
        }
        Ok(self.password)
    }
}

fn taken(error: StoreError, user: &UserAccount) -> Problem {
    match error {
        StoreError::Conflict { field, .. } => Problem::Unique {
            field: field.to_owned(),
            value: user.username.clone(),
        },
        error => error.into(),
    }
}

impl Admin {
    async fn find_user(&self, key: &str) -> Result<Option<UserAccount>, Problem> {
        if let Ok(id) = Uuid::try_parse(key)
            && let Some(found) = self.store.user_by_id(id).await?
        {
            return Ok(Some(found));
        }
        Ok(self.store.user(key).await?)
    }

    /// A user may not be taken for a client (RFC 9700 §4.15).
    async fn check_no_client(&self, username: &str) -> Result<(), Problem> {
        match self.find_client(username).await? {
            Some(found) if found.client.client_id == username => {
                Err(Problem::field("username", "a client has this name already"))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn users(&self, asked: &Asked<'_>) -> Outcome {
        match *asked.call.method {
            Method::GET | Method::HEAD => {
                let stored = |page| self.store.users(page);
                page::list(asked, Vec::new(), |user| user.id, stored, show).await
            }
            Method::POST => {
                let body = Body::read(asked.fields()?)?;
                self.create_user(asked, body, new_id(), "", StatusCode::CREATED)
                    .await
            }
            _ => Err(Problem::Method),
        }
    }

    async fn create_user(
        &self,
        asked: &Asked<'_>,
        body: Body,
        id: Uuid,
        name: &str,
        status: StatusCode,
    ) -> Outcome {
        let mut user = UserAccount {
            id,
            username: name.to_owned(),
            password: None,
            claims: Map::new(),
            enabled: true,
            failed: 0,
            locked_until: None,
            created_at: asked.now,
            updated_at: asked.now,
        };
        let password = body.apply(&mut user, true)?;
        self.check_no_client(&user.username).await?;
        self.hash_password(&mut user, password).await?;
        let created = self.store.create_user(user.clone()).await;
        created.map_err(|error| taken(error, &user))?;
        self.note(asked, "user_created", &user.username).await?;
        Ok(Reply::json(status, &show(&user)))
    }

    async fn hash_password(
        &self,
        user: &mut UserAccount,
        password: Option<SecretString>,
    ) -> Result<(), Problem> {
        if let Some(password) = password {
            if password.expose_secret() == user.username {
                return Err(Problem::field("password", "must not be the user name"));
            }
            user.password = Some(self.vault.hash_chosen(&password).await?.to_string());
        }
        Ok(())
    }

    pub(super) async fn user(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        let found = self.find_user(key).await?;
        let replace = match *asked.call.method {
            Method::GET | Method::HEAD => {
                let user = found.ok_or(Problem::NotFound)?;
                return Ok(Reply::json(StatusCode::OK, &show(&user)));
            }
            Method::DELETE => {
                if let Some(user) = found {
                    let servers = self.declared.servers.iter();
                    let servers = servers.map(|server| server.label.clone()).collect();
                    self.store
                        .delete_user(user.id, servers, self.cut(asked))
                        .await?;
                    self.note(asked, "user_deleted", &user.username).await?;
                }
                return Ok(Reply::empty(StatusCode::NO_CONTENT));
            }
            Method::PUT => true,
            Method::PATCH => false,
            _ => return Err(Problem::Method),
        };
        let body = Body::read(asked.fields()?)?;
        let Some(mut user) = found else {
            if !replace {
                return Err(Problem::NotFound);
            }
            let id = Uuid::try_parse(key);
            let name = if id.is_ok() { "" } else { key };
            let id = id.unwrap_or_else(|_| new_id());
            return self
                .create_user(asked, body, id, name, StatusCode::OK)
                .await;
        };
        let (was_enabled, old_name) = (user.enabled, user.username.clone());
        let password = body.apply(&mut user, replace)?;
        if user.username != old_name {
            self.check_no_client(&user.username).await?;
        }
        self.hash_password(&mut user, password).await?;
        user.updated_at = asked.now;
        self.store
            .update_user(user.clone())
            .await
            .map_err(|error| taken(error, &user))?;
        if was_enabled && !user.enabled {
            self.end_user(asked, &old_name).await?;
        }
        self.note(asked, "user_changed", &user.username).await?;
        Ok(Reply::json(StatusCode::OK, &show(&user)))
    }

    /// A user who was locked out has no tokens and no session any more.
    async fn end_user(&self, asked: &Asked<'_>, username: &str) -> Result<(), Problem> {
        for server in &self.declared.servers {
            let kind = crate::store::RevocationKind::Subject;
            let entry = self.cut(asked).entry(kind, username, &server.label);
            self.store.revoke(entry).await?;
        }
        self.store.end_sessions(username).await?;
        Ok(())
    }

    pub(super) async fn user_password(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        if *asked.call.method != Method::POST {
            return Err(Problem::Method);
        }
        let mut user = self.find_user(key).await?.ok_or(Problem::NotFound)?;
        let mut fields = asked.fields()?;
        let given = password(&mut fields);
        if given.is_none() && !fields.has("password") {
            fields.missing("password");
        }
        fields.finish()?;
        self.hash_password(&mut user, given).await?;
        user.updated_at = asked.now;
        self.store.update_user(user.clone()).await?;
        self.store.end_sessions(&user.username).await?;
        self.note(asked, "user_changed", &user.username).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn user_unlock(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        if *asked.call.method != Method::POST {
            return Err(Problem::Method);
        }
        let user = self.find_user(key).await?.ok_or(Problem::NotFound)?;
        self.store.login_succeeded(user.id).await?;
        self.note(asked, "user_changed", &user.username).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }
}
