//! Clients, secrets, consumers.

use super::rows::{Id, Json, execute, find, insert, select};
use super::tokens::revoke_client;
use super::{Sqlite, Write, conflict};
use crate::store::page::{ClientFilter, ConsumerFilter, Listing, Page, TagFilter};
use crate::store::{
    Answer, Client, ClientSecret, Clients, Consumer, Consumers, Cut, Millis, StoreError,
    StoredClient,
};
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql, params};
use uuid::Uuid;

/// A `WHERE` clause that grows, with its values.
#[derive(Default)]
pub(super) struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    /// One more condition, with a `?` for each value.
    pub(super) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.text.push_str(if self.text.is_empty() {
            "WHERE "
        } else {
            " AND "
        });
        self.text.push_str(condition);
        self.values.extend(values);
    }

    /// A condition on a value, if there is one.
    pub(super) fn equal(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(&format!("{column} = ?"), [value.into()]);
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn values(&self) -> Vec<&dyn ToSql> {
        self.values
            .iter()
            .map(|value| value as &dyn ToSql)
            .collect()
    }

    fn tags(&mut self, column: &str, filter: Option<TagFilter>) {
        let one = format!("EXISTS (SELECT 1 FROM json_each({column}) WHERE value = ?)");
        match filter {
            None => {}
            Some(TagFilter::All(tags)) => {
                for tag in tags {
                    self.and(&one, [tag.into()]);
                }
            }
            Some(TagFilter::Any(tags)) => {
                let places = vec!["?"; tags.len()].join(", ");
                self.and(
                    &format!(
                        "EXISTS (SELECT 1 FROM json_each({column}) WHERE value IN ({places}))"
                    ),
                    tags.into_iter().map(Value::from),
                );
            }
        }
    }
}

/// A page of rows with these conditions, in order of their ids.
pub(super) fn page<R: super::rows::Record>(
    connection: &Connection,
    mut conditions: Conditions,
    page: Page,
    id: impl Fn(&R) -> Uuid,
) -> Result<Listing<R>, StoreError> {
    let total = count(connection, R::TABLE, &conditions)?;
    if let Some(after) = page.after {
        conditions.and("id > ?", [blob(after)]);
    }
    let size = page.size.clamp(1, Page::LARGEST);
    let rest = format!("{} ORDER BY id LIMIT {}", conditions.text(), size + 1);
    let mut items: Vec<R> = select(connection, &rest, &conditions.values()[..])?;
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(id);
    Ok(Listing { items, next, total })
}

fn count(
    connection: &Connection,
    table: &str,
    conditions: &Conditions,
) -> Result<Option<u64>, StoreError> {
    let most = Listing::<()>::COUNTED;
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {table} {} LIMIT {})",
        conditions.text(),
        most + 1
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let count: i64 = statement.query_row(&conditions.values()[..], |row| row.get(0))?;
    let count = count.unsigned_abs();
    Ok((count <= most).then_some(count))
}

pub(super) fn blob(id: Uuid) -> Value {
    Value::Blob(id.as_bytes().to_vec())
}

fn secrets_of(connection: &Connection, client: Uuid) -> Result<Vec<ClientSecret>, StoreError> {
    select(connection, "WHERE client = ? ORDER BY id", [Id(client)])
}

fn with_secrets(
    connection: &Connection,
    client: Option<Client>,
) -> Result<Option<StoredClient>, StoreError> {
    let Some(client) = client else {
        return Ok(None);
    };
    let secrets = secrets_of(connection, client.id)?;
    Ok(Some(StoredClient { client, secrets }))
}

fn insert_secret(connection: &Connection, secret: &ClientSecret) -> Result<usize, StoreError> {
    insert!(connection, "INSERT", "client_secret", {
        id: Id(secret.id),
        client: Id(secret.client),
        hash: secret.hash,
        sealed: secret.sealed,
        generated: secret.generated,
        not_after: secret.not_after,
        last_used_at: secret.last_used_at,
        created_at: secret.created_at,
    })
}

fn has_consumer(connection: &Connection, id: Option<Uuid>) -> Result<(), StoreError> {
    let Some(id) = id else { return Ok(()) };
    find::<Consumer>(connection, "id = ?", [Id(id)])?
        .map(|_| ())
        .ok_or(StoreError::Missing("consumer"))
}

const LIVE: &str = "(not_after IS NULL OR not_after > ?2)";

fn delete_client(write: &mut Write<'_>, client: &Client, cut: &Cut) -> Result<(), StoreError> {
    revoke_client(write, client, cut)?;
    let key = [Id(client.id)];
    execute(
        write.connection,
        "DELETE FROM consent WHERE client_key = ?",
        key,
    )?;
    execute(write.connection, "DELETE FROM client WHERE id = ?", key)?;
    Ok(())
}

impl Clients for Sqlite {
    fn client(&self, server: &str, client_id: &str) -> Answer<Option<StoredClient>> {
        let key = (server.to_owned(), client_id.to_owned());
        self.engine.read(move |connection| {
            let client = find(connection, "server = ? AND client_id = ?", key)?;
            with_secrets(connection, client)
        })
    }

    fn client_by_id(&self, id: Uuid) -> Answer<Option<StoredClient>> {
        self.engine.read(move |connection| {
            let client = find(connection, "id = ?", [Id(id)])?;
            with_secrets(connection, client)
        })
    }

    fn clients(&self, filter: ClientFilter, at: Page) -> Answer<Listing<Client>> {
        self.engine.read(move |connection| {
            let mut conditions = Conditions::default();
            conditions.equal("server", filter.server);
            conditions.equal("client_id", filter.client_id);
            conditions.equal("name", filter.name);
            conditions.equal("consumer", filter.consumer.map(blob));
            conditions.tags("tags", filter.tags);
            page(connection, conditions, at, |client: &Client| client.id)
        })
    }

    fn create_client(&self, client: Client, secrets: Vec<ClientSecret>) -> Answer<()> {
        self.engine.write(move |write| {
            has_consumer(write.connection, client.consumer)?;
            insert!(write.connection, "INSERT", "client", {
                id: Id(client.id),
                server: client.server,
                client_id: client.client_id,
                consumer: client.consumer.map(Id),
                name: client.name,
                tags: Json(&client.tags),
                source: client.source,
                body: Json(&client),
                last_used_at: client.last_used_at,
                created_at: client.created_at,
                version: client.version,
            })
            .map_err(|error| conflict(error, "client", &["client_id", "id"]))?;
            for secret in &secrets {
                insert_secret(write.connection, secret)?;
            }
            Ok(())
        })
    }

    fn update_client(
        &self,
        mut client: Client,
        secrets: Option<Vec<ClientSecret>>,
    ) -> Answer<Client> {
        self.engine.write(move |write| {
            has_consumer(write.connection, client.consumer)?;
            let was = client.version;
            client.version += 1;
            let changed = execute(
                write.connection,
                "UPDATE client SET server = ?, client_id = ?, consumer = ?, name = ?, tags = ?, \
                 source = ?, body = ?, version = ? WHERE id = ? AND version = ?",
                params![
                    client.server,
                    client.client_id,
                    client.consumer.map(Id),
                    client.name,
                    Json(&client.tags),
                    client.source,
                    Json(&client),
                    client.version,
                    Id(client.id),
                    was
                ],
            )
            .map_err(|error| conflict(error, "client", &["client_id"]))?;
            if changed == 0 {
                return Err(StoreError::Stale);
            }
            if let Some(secrets) = secrets {
                execute(
                    write.connection,
                    "DELETE FROM client_secret WHERE client = ?",
                    [Id(client.id)],
                )?;
                for secret in &secrets {
                    insert_secret(write.connection, secret)?;
                }
            }
            Ok(client)
        })
    }

    fn delete_client(&self, id: Uuid, cut: Cut) -> Answer<bool> {
        self.engine.write(move |write| {
            let Some(client) = find::<Client>(write.connection, "id = ?", [Id(id)])? else {
                return Ok(false);
            };
            delete_client(write, &client, &cut)?;
            Ok(true)
        })
    }

    fn add_secret(&self, secret: ClientSecret, most: usize) -> Answer<()> {
        self.engine.write(move |write| {
            find::<Client>(write.connection, "id = ?", [Id(secret.client)])?
                .ok_or(StoreError::Missing("client"))?;
            let live = live_secrets(write.connection, secret.client, secret.created_at)?;
            if live.len() >= most {
                return Err(StoreError::Refused(
                    "the client has as many secrets as it may",
                ));
            }
            insert_secret(write.connection, &secret).map(|_| ())
        })
    }

    fn delete_secret(&self, client: Uuid, secret: Uuid, now: Millis) -> Answer<bool> {
        self.engine.write(move |write| {
            let live = live_secrets(write.connection, client, now)?;
            if live.len() == 1 && live[0].id == secret {
                return Err(StoreError::Refused("the last secret cannot be deleted"));
            }
            let changed = execute(
                write.connection,
                "DELETE FROM client_secret WHERE client = ? AND id = ?",
                (Id(client), Id(secret)),
            )?;
            Ok(changed > 0)
        })
    }

    fn rehash_secret(&self, secret: Uuid, hash: String) -> Answer<()> {
        self.engine.write(move |write| {
            execute(
                write.connection,
                "UPDATE client_secret SET hash = ? WHERE id = ?",
                (hash, Id(secret)),
            )
            .map(|_| ())
        })
    }

    fn touch_client(&self, client: Uuid, secret: Option<Uuid>, now: Millis) -> Answer<()> {
        if !self.touched.due(client, now) {
            return Answer::ready(Ok(()));
        }
        self.engine.write(move |write| {
            let sql = "UPDATE client SET last_used_at = ? WHERE id = ?";
            execute(write.connection, sql, (now, Id(client)))?;
            let sql = "UPDATE client_secret SET last_used_at = ? WHERE id = ?";
            execute(write.connection, sql, (now, secret.map(Id)))?;
            Ok(())
        })
    }
}

fn live_secrets(
    connection: &Connection,
    client: Uuid,
    now: Millis,
) -> Result<Vec<ClientSecret>, StoreError> {
    let rest = format!("WHERE client = ?1 AND {LIVE}");
    select(connection, &rest, (Id(client), now))
}

impl Consumers for Sqlite {
    fn consumer(&self, id: Uuid) -> Answer<Option<Consumer>> {
        self.engine
            .read(move |connection| find(connection, "id = ?", [Id(id)]))
    }

    fn consumer_by_username(&self, username: &str) -> Answer<Option<Consumer>> {
        let username = username.to_owned();
        self.engine
            .read(move |connection| find(connection, "username = ?", [username]))
    }

    fn consumers(&self, filter: ConsumerFilter, at: Page) -> Answer<Listing<Consumer>> {
        self.engine.read(move |connection| {
            let mut conditions = Conditions::default();
            conditions.equal("username", filter.username);
            conditions.equal("custom_id", filter.custom_id);
            conditions.tags("tags", filter.tags);
            page(connection, conditions, at, |consumer: &Consumer| {
                consumer.id
            })
        })
    }

    fn create_consumer(&self, consumer: Consumer) -> Answer<()> {
        self.engine.write(move |write| {
            insert!(write.connection, "INSERT", "consumer", {
                id: Id(consumer.id),
                username: consumer.username,
                custom_id: consumer.custom_id,
                tags: Json(&consumer.tags),
                groups: Json(&consumer.groups),
                metadata: Json(&consumer.metadata),
                source: consumer.source,
                created_at: consumer.created_at,
                updated_at: consumer.updated_at,
                version: consumer.version,
            })
            .map_err(|error| conflict(error, "consumer", &["username", "custom_id", "id"]))?;
            Ok(())
        })
    }

    fn update_consumer(&self, mut consumer: Consumer) -> Answer<Consumer> {
        self.engine.write(move |write| {
            let was = consumer.version;
            consumer.version += 1;
            let changed = execute(
                write.connection,
                "UPDATE consumer SET username = ?, custom_id = ?, tags = ?, groups = ?, \
                 metadata = ?, source = ?, updated_at = ?, version = ? \
                 WHERE id = ? AND version = ?",
                params![
                    consumer.username,
                    consumer.custom_id,
                    Json(&consumer.tags),
                    Json(&consumer.groups),
                    Json(&consumer.metadata),
                    consumer.source,
                    consumer.updated_at,
                    consumer.version,
                    Id(consumer.id),
                    was
                ],
            )
            .map_err(|error| conflict(error, "consumer", &["username", "custom_id"]))?;
            if changed == 0 {
                return Err(StoreError::Stale);
            }
            Ok(consumer)
        })
    }

    fn delete_consumer(&self, id: Uuid, cut: Cut) -> Answer<bool> {
        self.engine.write(move |write| {
            let clients: Vec<Client> = select(write.connection, "WHERE consumer = ?", [Id(id)])?;
            for client in &clients {
                delete_client(write, client, &cut)?;
            }
            let sql = "DELETE FROM consumer WHERE id = ?";
            Ok(execute(write.connection, sql, [Id(id)])? > 0)
        })
    }
}
