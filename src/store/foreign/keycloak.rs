//! Keycloak: clients and users of an exported realm.

use super::{Converted, Target, text, texts};
use crate::crypto::secret_hash::SecretHash;
use crate::store::transfer::{Line, imported_id};
use crate::store::{Client, ClientType, Source, UserAccount};
use serde_json::{Map, Value};

/// Clients that Keycloak makes for itself.
const OWN: [&str; 6] = [
    "account",
    "account-console",
    "admin-cli",
    "broker",
    "realm-management",
    "security-admin-console",
];

pub(super) fn convert(realm: &Value, target: Target<'_>) -> Result<Converted, String> {
    let clients = realm
        .get("clients")
        .and_then(Value::as_array)
        .ok_or("expected the export of a realm, with `clients`")?;
    let mut converted = Converted::default();
    let users = realm.get("users").and_then(Value::as_array);
    for row in clients {
        converted.realm_client(row, users.map(Vec::as_slice).unwrap_or_default(), target);
    }
    for row in users.into_iter().flatten() {
        if row.get("serviceAccountClientId").is_none() {
            converted.user(row, target);
        }
    }
    Ok(converted)
}

fn is(row: &Value, name: &str) -> bool {
    row.get(name) == Some(&Value::Bool(true))
}

impl Converted {
    fn realm_client(&mut self, row: &Value, users: &[Value], target: Target<'_>) {
        let Some(client_id) = text(row, "clientId") else {
            self.left_out.push("a client without clientId".into());
            return;
        };
        if OWN.contains(&client_id.as_str()) || is(row, "bearerOnly") {
            return;
        }
        let key = text(row, "id").unwrap_or_else(|| client_id.clone());
        let id = imported_id("keycloak", "client", &key);
        let public = is(row, "publicClient");
        let grants = [
            ("serviceAccountsEnabled", "client_credentials"),
            ("standardFlowEnabled", "authorization_code"),
            ("standardFlowEnabled", "refresh_token"),
        ];
        let grants = grants.iter().filter(|(flag, _)| is(row, flag));
        let mut settings = Map::new();
        // Keycloak's service accounts are users with an id of their own, and that is their `sub`.
        let account = users.iter().find(|user| {
            user.get("serviceAccountClientId").and_then(Value::as_str) == Some(&client_id)
        });
        if let Some(subject) = account.and_then(|account| text(account, "id")) {
            settings.insert("subject".into(), subject.into());
        }
        let method = match text(row, "clientAuthenticatorType").as_deref() {
            _ if public => Some("none"),
            Some("client-jwt") => Some("private_key_jwt"),
            Some("client-secret-jwt") => Some("client_secret_jwt"),
            Some("client-x509") => Some("tls_client_auth"),
            _ => None,
        };
        self.lines.push(Line::Client(Box::new(Client {
            id,
            server: target.server.to_owned(),
            name: text(row, "name").unwrap_or_else(|| client_id.clone()),
            client_id: client_id.clone(),
            client_type: if public {
                ClientType::Public
            } else {
                ClientType::Confidential
            },
            auth_method: method.map(str::to_owned),
            redirect_uris: texts(row, "redirectUris"),
            grant_types: grants.map(|(_, grant)| (*grant).to_owned()).collect(),
            scopes: Some(texts(row, "defaultClientScopes")),
            optional_scopes: Some(texts(row, "optionalClientScopes")),
            settings,
            enabled: row.get("enabled") != Some(&Value::Bool(false)),
            trusted: !is(row, "consentRequired"),
            source: Source::Import,
            created_at: target.now,
            updated_at: target.now,
            ..Client::default()
        })));
        // An export without secrets has asterisks in their place.
        let secret = text(row, "secret").filter(|secret| !public && !secret.starts_with("***"));
        if let Some(secret) = secret {
            match target.secret(id, &secret) {
                Ok(secret) => self.lines.push(Line::ClientSecret(secret)),
                Err(why) => self.left_out.push(format!("secret of {client_id}: {why}")),
            }
        } else if !public {
            self.left_out
                .push(format!("{client_id} has no secret in the export"));
        }
    }

    fn user(&mut self, row: &Value, target: Target<'_>) {
        let Some(username) = text(row, "username") else {
            self.left_out.push("a user without a name".into());
            return;
        };
        let key = text(row, "id").unwrap_or_else(|| username.clone());
        let mut claims = Map::new();
        for (from, to) in [
            ("email", "email"),
            ("firstName", "given_name"),
            ("lastName", "family_name"),
        ] {
            if let Some(value) = text(row, from) {
                claims.insert(to.to_owned(), value.into());
            }
        }
        let credentials = row.get("credentials").and_then(Value::as_array);
        let password = credentials
            .into_iter()
            .flatten()
            .find(|credential| text(credential, "type").as_deref() == Some("password"));
        let hash = password.and_then(password_hash);
        if password.is_some() && hash.is_none() {
            self.left_out
                .push(format!("the password of {username} has an unknown hash"));
        }
        self.lines.push(Line::User(UserAccount {
            id: imported_id("keycloak", "user", &key),
            username,
            password: hash,
            claims,
            enabled: row.get("enabled") != Some(&Value::Bool(false)),
            failed: 0,
            locked_until: None,
            created_at: target.now,
            updated_at: target.now,
        }));
    }
}

/// Keycloak's credential, whose parts are JSON in texts, as one PHC string.
fn password_hash(credential: &Value) -> Option<String> {
    let inner = |name: &str| super::json(credential.get(name)?.as_str()?).ok();
    let (secret, data) = (inner("secretData")?, inner("credentialData")?);
    let (salt, value) = (text(&secret, "salt")?, text(&secret, "value")?);
    let iterations = data.get("hashIterations")?.as_i64()?;
    let name = match text(&data, "algorithm")?.as_str() {
        "pbkdf2" => "pbkdf2-sha1",
        "pbkdf2-sha256" => "pbkdf2-sha256",
        "pbkdf2-sha512" => "pbkdf2-sha512",
        _ => return None,
    };
    let unpadded = |text: &str| text.trim_end_matches('=').to_owned();
    let phc = format!(
        "${name}$i={iterations}${}${}",
        unpadded(&salt),
        unpadded(&value)
    );
    Some(SecretHash::parse(&phc).ok()?.to_string())
}
