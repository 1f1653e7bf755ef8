//! `/consumers`.

use super::fields::{Change, Fields};
use super::problem::Problem;
use super::{Admin, Asked, Outcome, Reply, page};
use crate::store::{Consumer, ConsumerFilter, Source, StoreError, new_id};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A consumer as it is shown. Empty lists are null, as in Kong.
pub(super) fn show(consumer: &Consumer) -> Value {
    let list = |items: &[String]| {
        if items.is_empty() {
            Value::Null
        } else {
            json!(items)
        }
    };
    json!({
        "id": consumer.id,
        "username": consumer.username,
        "custom_id": consumer.custom_id,
        "tags": list(&consumer.tags),
        "groups": list(&consumer.groups),
        "metadata": consumer.metadata,
        "created_at": consumer.created_at.seconds(),
        "updated_at": consumer.updated_at.seconds(),
    })
}

/// The members of a body.
struct Body {
    username: Change<String>,
    custom_id: Change<String>,
    tags: Change<Vec<String>>,
    groups: Change<Vec<String>>,
    metadata: Change<Map<String, Value>>,
}

impl Body {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let body = Self {
            username: fields.text("username"),
            custom_id: fields.text("custom_id"),
            tags: fields.texts("tags"),
            groups: fields.texts("groups"),
            metadata: fields.object("metadata"),
        };
        fields.finish()?;
        Ok(body)
    }

    /// Applies the body; one of the two names must be there afterwards.
    fn apply(self, consumer: &mut Consumer, replace: bool) -> Result<(), Problem> {
        self.username.apply_to(&mut consumer.username, replace);
        self.custom_id.apply_to(&mut consumer.custom_id, replace);
        self.tags.apply(&mut consumer.tags, replace);
        self.groups.apply(&mut consumer.groups, replace);
        self.metadata.apply(&mut consumer.metadata, replace);
        if consumer.username.is_none() && consumer.custom_id.is_none() {
            let what = "at least one of these fields must be non-empty: 'custom_id', 'username'";
            return Err(Problem::field("@entity", json!([what])));
        }
        Ok(())
    }
}

/// Names the value that is taken.
fn taken(error: StoreError, consumer: &Consumer) -> Problem {
    match error {
        StoreError::Conflict { field, .. } => {
            let value = match field {
                "username" => consumer.username.clone(),
                "custom_id" => consumer.custom_id.clone(),
                _ => Some(consumer.id.to_string()),
            };
            Problem::Unique {
                field: field.to_owned(),
                value: value.unwrap_or_default(),
            }
        }
        error => error.into(),
    }
}

impl Admin {
    /// The consumer of an id or username, declared or stored.
    pub(super) async fn find_consumer(&self, key: &str) -> Result<Option<Consumer>, Problem> {
        let id = Uuid::try_parse(key).ok();
        let declared =
            self.declared.consumers.iter().find(|consumer| {
                Some(consumer.id) == id || consumer.username.as_deref() == Some(key)
            });
        if let Some(declared) = declared {
            return Ok(Some(declared.clone()));
        }
        Ok(match id {
            Some(id) => self.store.consumer(id).await?,
            None => self.store.consumer_by_username(key).await?,
        })
    }

    /// Whether the names are those of a declared consumer.
    fn check_declared(&self, consumer: &Consumer) -> Result<(), Problem> {
        let clash = |field: &str, of: fn(&Consumer) -> &Option<String>| {
            let own = of(consumer).as_ref()?;
            let known = self.declared.consumers.iter();
            known
                .filter_map(|declared| of(declared).as_ref())
                .find(|value| *value == own)
                .map(|value| Problem::Unique {
                    field: field.to_owned(),
                    value: value.clone(),
                })
        };
        let found = clash("username", |consumer| &consumer.username)
            .or_else(|| clash("custom_id", |consumer| &consumer.custom_id));
        found.map_or(Ok(()), Err)
    }

    pub(super) async fn consumers(&self, asked: &Asked<'_>) -> Outcome {
        match *asked.call.method {
            Method::GET | Method::HEAD => self.list_consumers(asked).await,
            Method::POST => {
                let body = Body::read(asked.fields()?)?;
                let mut consumer = fresh(asked, new_id());
                body.apply(&mut consumer, true)?;
                self.create_consumer(asked, consumer, StatusCode::CREATED)
                    .await
            }
            _ => Err(Problem::Method),
        }
    }

    async fn list_consumers(&self, asked: &Asked<'_>) -> Outcome {
        let filter = ConsumerFilter {
            username: asked.option("username").map(str::to_owned),
            custom_id: asked.option("custom_id").map(str::to_owned),
            tags: page::tags(asked)?,
        };
        let fits = |consumer: &&Consumer| {
            let same =
                |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
            let tags = filter.tags.as_ref();
            same(&filter.username, &consumer.username)
                && same(&filter.custom_id, &consumer.custom_id)
                && tags.is_none_or(|tags| tags.accepts(&consumer.tags))
        };
        let declared = self.declared.consumers.iter().filter(fits).cloned();
        let declared: Vec<Consumer> = declared.collect();
        let stored = |page| self.store.consumers(filter, page);
        page::list(asked, declared, |consumer| consumer.id, stored, show).await
    }

    async fn create_consumer(
        &self,
        asked: &Asked<'_>,
        consumer: Consumer,
        status: StatusCode,
    ) -> Outcome {
        self.check_declared(&consumer)?;
        let created = self.store.create_consumer(consumer.clone()).await;
        created.map_err(|error| taken(error, &consumer))?;
        let target = consumer.id.to_string();
        self.note(asked, "consumer_created", &target).await?;
        Ok(Reply::entity(status, &show(&consumer), consumer.version))
    }

    pub(super) async fn consumer(&self, asked: &Asked<'_>, key: &str) -> Outcome {
        let found = self.find_consumer(key).await?;
        let replace = match *asked.call.method {
            Method::GET | Method::HEAD => {
                let consumer = found.ok_or(Problem::NotFound)?;
                let body = show(&consumer);
                return Ok(Reply::entity(StatusCode::OK, &body, consumer.version));
            }
            Method::DELETE => return self.delete_consumer(asked, found).await,
            Method::PUT => true,
            Method::PATCH => false,
            _ => return Err(Problem::Method),
        };
        let Some(mut consumer) = found else {
            if !replace {
                return Err(Problem::NotFound);
            }
            let body = Body::read(asked.fields()?)?;
            let id = Uuid::try_parse(key);
            let mut consumer = fresh(asked, id.clone().unwrap_or_else(|_| new_id()));
            body.apply(&mut consumer, true).or_else(|problem| {
                // The key in the address is the name.
                match id {
                    Ok(_) => Err(problem),
                    Err(_) => Ok(()),
                }
            })?;
            if id.is_err() {
                consumer.username = Some(key.to_owned());
            }
            return self.create_consumer(asked, consumer, StatusCode::OK).await;
        };
        if consumer.source == Source::Hcl {
            return Err(Problem::ReadOnly);
        }
        asked.match_version(consumer.version)?;
        let body = Body::read(asked.fields()?)?;
        body.apply(&mut consumer, replace)?;
        consumer.updated_at = asked.now;
        self.check_declared(&consumer)?;
        let updated = self.store.update_consumer(consumer.clone()).await;
        let updated = updated.map_err(|error| taken(error, &consumer))?;
        let target = updated.id.to_string();
        self.note(asked, "consumer_changed", &target).await?;
        Ok(Reply::entity(
            StatusCode::OK,
            &show(&updated),
            updated.version,
        ))
    }

    async fn delete_consumer(&self, asked: &Asked<'_>, found: Option<Consumer>) -> Outcome {
        if let Some(consumer) = found {
            if consumer.source == Source::Hcl {
                return Err(Problem::ReadOnly);
            }
            asked.match_version(consumer.version)?;
            let cut = self.cut(asked);
            self.store.delete_consumer(consumer.id, cut).await?;
            let target = consumer.id.to_string();
            self.note(asked, "consumer_deleted", &target).await?;
        }
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }
}

fn fresh(asked: &Asked<'_>, id: Uuid) -> Consumer {
    Consumer {
        id,
        username: None,
        custom_id: None,
        tags: Vec::new(),
        groups: Vec::new(),
        metadata: Map::new(),
        source: Source::Db,
        created_at: asked.now,
        updated_at: asked.now,
        version: 0,
    }
}
