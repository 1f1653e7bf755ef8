//! Kong: consumers, OAuth2 credentials and tokens, groups of its `acl` plugin, keys of `key-auth`.
//!
//! Either a dump of its PostgreSQL database (`COPY … FROM stdin` sections, as `pg_dump` writes them) or
//! one JSON object with lists by entity, as `deck gateway dump --format json` and the admin API give.

use super::{Converted, Target, text, texts, token};
use crate::store::transfer::{Line, imported_id};
use crate::store::{
    AccessToken, Client, ClientType, Consumer, GrantFamily, Millis, RefreshState, RefreshToken,
    Source,
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// How long a migrated refresh token lives, as Kong's do.
const REFRESH: Duration = Duration::from_secs(1_209_600);

pub(super) fn convert(given: &str, target: Target<'_>) -> Result<Converted, String> {
    let tables = if given.trim_start().starts_with('{') {
        state(&super::json(given)?)
    } else {
        dump(given)
    };
    if tables.values().all(Vec::is_empty) {
        return Err("the file holds no consumers, credentials or tokens".into());
    }
    let rows = |name: &str| tables.get(name).map(Vec::as_slice).unwrap_or_default();
    let mut converted = Converted::default();
    let mut groups: HashMap<Uuid, Vec<String>> = HashMap::new();
    for row in rows("acls") {
        if let (Some(id), Some(group)) = (owner(row), text(row, "group")) {
            groups.entry(id).or_default().push(group);
        }
    }
    for row in rows("consumers") {
        converted.consumer(row, &mut groups, target);
    }
    let mut clients = HashMap::new();
    for row in rows("oauth2_credentials") {
        if let Some(client) = converted.client(row, target) {
            clients.insert(client.id, client);
        }
    }
    for row in rows("keyauth_credentials") {
        converted.key(row, target);
    }
    for row in rows("oauth2_tokens") {
        converted.token(row, &clients, target);
    }
    Ok(converted)
}

type Tables = HashMap<String, Vec<Value>>;

/// Lists of a state, with credentials below their consumers brought to the top.
fn state(state: &Value) -> Tables {
    let mut tables = Tables::new();
    let list = |value: &Value, name: &str| -> Vec<Value> {
        let list = value.get(name).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    for name in [
        "consumers",
        "oauth2_credentials",
        "oauth2_tokens",
        "keyauth_credentials",
        "acls",
    ] {
        tables.insert(name.to_owned(), list(state, name));
    }
    for consumer in list(state, "consumers") {
        let id = id_of(&consumer).to_string();
        for (below, table) in [
            ("oauth2_credentials", "oauth2_credentials"),
            ("keyauth_credentials", "keyauth_credentials"),
            ("acls", "acls"),
        ] {
            for mut row in list(&consumer, below) {
                row["consumer"] = json!({"id": id});
                tables.entry(table.to_owned()).or_default().push(row);
            }
        }
    }
    tables
}

/// The `COPY` sections of a dump.
fn dump(text: &str) -> Tables {
    let mut tables = Tables::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("COPY ") else {
            continue;
        };
        let Some((table, columns)) = rest.split_once(" (") else {
            continue;
        };
        let table = table.rsplit('.').next().unwrap_or(table).trim_matches('"');
        let columns = columns.split(')').next().unwrap_or("");
        let columns: Vec<&str> = columns
            .split(',')
            .map(|c| c.trim().trim_matches('"'))
            .collect();
        let rows = tables.entry(table.to_owned()).or_default();
        for line in lines.by_ref().take_while(|line| *line != "\\.") {
            let fields = line.split('\t').map(field);
            let row: Map<String, Value> = columns
                .iter()
                .map(|name| (*name).to_owned())
                .zip(fields)
                .collect();
            rows.push(Value::Object(row));
        }
    }
    tables
}

/// One field of a `COPY` section: `\N` is null, `{a,b}` a list.
fn field(text: &str) -> Value {
    if text == "\\N" {
        return Value::Null;
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    match plain
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some("") => json!([]),
        Some(items) if !items.contains(':') || items.contains("://") => {
            let items = items.split(',').map(|item| item.trim_matches('"'));
            items.map(Value::from).collect()
        }
        _ => plain.into(),
    }
}

/// A time as a dump (`2024-01-02 03:04:05+00`) or the API (Unix seconds) has it.
fn time(row: &Value, name: &str) -> Option<Millis> {
    match row.get(name)? {
        Value::Number(number) => number.as_i64().map(|number| match number {
            // Older versions wrote milliseconds.
            100_000_000_000.. => Millis(number),
            seconds => Millis::from_seconds(seconds),
        }),
        Value::String(text) => {
            let time: Result<jiff::Timestamp, _> = text.parse();
            time.ok().map(|time| Millis(time.as_millisecond()))
        }
        _ => None,
    }
}

fn number(row: &Value, name: &str) -> Option<i64> {
    match row.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn id_of(row: &Value) -> Uuid {
    let key = text(row, "id")
        .or_else(|| text(row, "username"))
        .or_else(|| text(row, "client_id"));
    imported_id("kong", "row", &key.unwrap_or_else(|| row.to_string()))
}

/// The consumer a row belongs to: `consumer_id`, `consumer.id`, or `consumer` by name.
fn owner(row: &Value) -> Option<Uuid> {
    let nested = row.get("consumer");
    let id = text(row, "consumer_id").or_else(|| match nested? {
        Value::String(name) => Some(name.clone()),
        nested => text(nested, "id").or_else(|| text(nested, "username")),
    })?;
    Some(imported_id("kong", "row", &id))
}

impl Converted {
    fn consumer(
        &mut self,
        row: &Value,
        groups: &mut HashMap<Uuid, Vec<String>>,
        target: Target<'_>,
    ) {
        let id = id_of(row);
        let (username, custom_id) = (text(row, "username"), text(row, "custom_id"));
        if username.is_none() && custom_id.is_none() {
            self.left_out.push(format!("consumer {id} has no name"));
            return;
        }
        let created_at = time(row, "created_at").unwrap_or(target.now);
        self.lines.push(Line::Consumer(Consumer {
            id,
            username,
            custom_id,
            tags: texts(row, "tags"),
            groups: groups.remove(&id).unwrap_or_default(),
            metadata: Map::new(),
            source: Source::Import,
            created_at,
            updated_at: created_at,
            version: 0,
        }));
    }

    fn client(&mut self, row: &Value, target: Target<'_>) -> Option<Client> {
        let id = id_of(row);
        let Some(client_id) = text(row, "client_id") else {
            self.left_out
                .push(format!("credential {id} has no client_id"));
            return None;
        };
        let created_at = time(row, "created_at").unwrap_or(target.now);
        let public = text(row, "client_type").as_deref() == Some("public");
        let client = Client {
            id,
            server: target.server.to_owned(),
            name: text(row, "name").unwrap_or_else(|| client_id.clone()),
            client_id,
            consumer: owner(row),
            client_type: if public {
                ClientType::Public
            } else {
                ClientType::Confidential
            },
            redirect_uris: texts(row, "redirect_uris"),
            tags: texts(row, "tags"),
            enabled: true,
            hash_secret: true,
            source: Source::Import,
            created_at,
            updated_at: created_at,
            ..Client::default()
        };
        self.lines.push(Line::Client(Box::new(client.clone())));
        if let Some(secret) = text(row, "client_secret").filter(|_| !public) {
            match target.secret(id, &secret) {
                Ok(secret) => self.lines.push(Line::ClientSecret(secret)),
                Err(why) => self
                    .left_out
                    .push(format!("secret of {}: {why}", client.client_id)),
            }
        }
        Some(client)
    }

    /// A key of `key-auth`: a client that is an API key, whose value is its secret.
    fn key(&mut self, row: &Value, target: Target<'_>) {
        let id = id_of(row);
        let Some(key) = text(row, "key") else {
            self.left_out.push(format!("key {id} has no value"));
            return;
        };
        let created_at = time(row, "created_at").unwrap_or(target.now);
        let settings = [("api_key".to_owned(), Value::Bool(true))];
        self.lines.push(Line::Client(Box::new(Client {
            id,
            server: target.server.to_owned(),
            client_id: format!("key-{id}"),
            consumer: owner(row),
            name: "key-auth".into(),
            settings: settings.into_iter().collect(),
            tags: texts(row, "tags"),
            enabled: true,
            hash_secret: true,
            source: Source::Import,
            created_at,
            updated_at: created_at,
            ..Client::default()
        })));
        match target.secret(id, &key) {
            Ok(secret) => self.lines.push(Line::ClientSecret(secret)),
            Err(why) => self.left_out.push(format!("key {id}: {why}")),
        }
    }

    fn token(&mut self, row: &Value, clients: &HashMap<Uuid, Client>, target: Target<'_>) {
        let id = id_of(row);
        let credential = text(row, "credential_id")
            .or_else(|| row.get("credential").and_then(|nested| text(nested, "id")));
        let credential = credential.map(|id| imported_id("kong", "row", &id));
        let Some(client) = credential.and_then(|id| clients.get(&id)) else {
            self.left_out
                .push(format!("token {id} belongs to no credential of the file"));
            return;
        };
        let Some(value) = text(row, "access_token") else {
            self.left_out.push(format!("token {id} has no value"));
            return;
        };
        let issued_at = time(row, "created_at").unwrap_or(target.now);
        let lifetime = number(row, "expires_in").unwrap_or(0);
        let expires_at = (lifetime > 0).then(|| Millis(issued_at.0 + lifetime * 1000));
        let (hash, preview) = token(&value);
        let mut access = AccessToken {
            hash,
            id,
            server: target.server.to_owned(),
            client_key: client.id,
            client_id: client.client_id.clone(),
            family: None,
            refresh: None,
            subject: text(row, "authenticated_userid"),
            scope: text(row, "scope")
                .map(|scope| scope.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            audience: Vec::new(),
            confirmation: None,
            claims: Map::new(),
            service: text(row, "service_id"),
            sealed: None,
            preview,
            issued_at,
            expires_at,
            revoked_at: None,
        };
        if let Some(value) = text(row, "refresh_token") {
            self.refresh(&mut access, &value, target.now);
        }
        self.lines.push(Line::AccessToken(Box::new(access)));
    }

    fn refresh(&mut self, access: &mut AccessToken, value: &str, now: Millis) {
        let key = access.id.to_string();
        let family = imported_id("kong", "family", &format!("{key} family"));
        let id = imported_id("kong", "refresh", &format!("{key} refresh"));
        let expires_at = Some(now.plus(REFRESH));
        access.family = Some(family);
        access.refresh = Some(id);
        self.lines.push(Line::GrantFamily(GrantFamily {
            id: family,
            server: access.server.clone(),
            client_key: access.client_key,
            client_id: access.client_id.clone(),
            subject: access.subject.clone(),
            scope: access.scope.clone(),
            created_at: access.issued_at,
            expires_at,
            ..GrantFamily::default()
        }));
        let (hash, preview) = token(value);
        self.lines.push(Line::RefreshToken(RefreshToken {
            hash,
            id,
            family,
            parent: None,
            state: RefreshState::Active,
            successor: None,
            rotated_at: None,
            grace_uses: 0,
            access: Some(key),
            confirmation: None,
            sealed: None,
            preview,
            issued_at: access.issued_at,
            expires_at,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Vault;

    const DUMP: &str = "\
--
COPY public.consumers (id, created_at, username, custom_id, tags) FROM stdin;
11111111-1111-4111-8111-111111111111\t2024-01-02 03:04:05+00\tbob\tb-1\t{a,b}
\\.
COPY public.acls (id, consumer_id, \"group\") FROM stdin;
21111111-1111-4111-8111-111111111111\t11111111-1111-4111-8111-111111111111\tgold
\\.
COPY public.oauth2_credentials (id, name, consumer_id, client_id, client_secret, redirect_uris, hash_secret) FROM stdin;
31111111-1111-4111-8111-111111111111\tApp\t11111111-1111-4111-8111-111111111111\tapp\t$pbkdf2-sha512$i=10000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$jn22u/CRf2YEnB9GQnIB6u8bYXn1LhHaiAxs8Siq5BU\t{http://some-domain/endpoint/}\tt
\\.
COPY public.oauth2_tokens (id, credential_id, access_token, refresh_token, token_type, expires_in, authenticated_userid, scope, created_at) FROM stdin;
41111111-1111-4111-8111-111111111111\t31111111-1111-4111-8111-111111111111\tSOME-TOKEN\tSOME-RTOKEN\tbearer\t3600\tu1\temail profile\t2024-01-02 03:04:05+00
51111111-1111-4111-8111-111111111111\t99111111-1111-4111-8111-111111111111\tOTHER\t\\N\tbearer\t0\t\\N\t\\N\t2024-01-02 03:04:05+00
\\.
";

    fn converted(text: &str) -> Converted {
        let vault = Vault::new(None, false, false).unwrap();
        let target = Target {
            server: "main",
            vault: &vault,
            now: Millis(1_800_000_000_000),
        };
        convert(text, target).unwrap()
    }

    #[test]
    fn a_dump_of_the_database() {
        let converted = converted(DUMP);
        let [
            Line::Consumer(bob),
            Line::Client(app),
            Line::ClientSecret(secret),
            Line::GrantFamily(family),
            Line::RefreshToken(refresh),
            Line::AccessToken(access),
        ] = &converted.lines[..]
        else {
            panic!("{:#?}", converted.lines);
        };
        assert_eq!(bob.username.as_deref(), Some("bob"));
        assert_eq!(
            (bob.tags.len(), &bob.groups[..]),
            (2, &["gold".to_owned()][..])
        );
        assert_eq!(app.consumer, Some(bob.id));
        assert_eq!(app.redirect_uris, ["http://some-domain/endpoint/"]);
        assert!(secret.hash.starts_with("$pbkdf2-sha512$"));
        assert_eq!(access.hash, crate::store::Digest::of("SOME-TOKEN"));
        assert_eq!(access.scope, ["email", "profile"]);
        assert_eq!(access.expires_at.unwrap().0 - access.issued_at.0, 3_600_000);
        assert_eq!(access.family, Some(family.id));
        assert_eq!(refresh.hash, crate::store::Digest::of("SOME-RTOKEN"));
        assert_eq!(converted.left_out.len(), 1);
    }

    #[test]
    fn a_state_with_credentials_below_consumers() {
        let state = r#"{"consumers": [{"username": "bob",
            "oauth2_credentials": [{"name": "App", "client_id": "app", "client_secret": "short"}],
            "keyauth_credentials": [{"key": "a-key-of-some-length"}],
            "acls": [{"group": "gold"}]}]}"#;
        let lines = converted(state).lines;
        let Some(Line::Consumer(bob)) = lines.first() else {
            panic!("{lines:#?}");
        };
        assert_eq!(bob.groups, ["gold"]);
        let of_bob =
            |line: &&Line| matches!(line, Line::Client(client) if client.consumer == Some(bob.id));
        assert_eq!(lines.iter().filter(of_bob).count(), 2);
        let hashed = |line: &&Line| matches!(line, Line::ClientSecret(secret) if secret.hash.starts_with("$argon2id$"));
        assert_eq!(lines.iter().filter(hashed).count(), 2);
        assert!(!format!("{lines:?}").contains("a-key-of-some-length"));
    }
}
