//! Ory Hydra: clients, as `hydra list clients --format json` or its admin API give them.

use super::{Converted, Target, text, texts};
use crate::store::transfer::{Line, imported_id};
use crate::store::{Client, ClientType, Source};
use serde_json::Value;

pub(super) fn convert(given: &Value, target: Target<'_>) -> Result<Converted, String> {
    let list = given
        .as_array()
        .or_else(|| given.get("items").and_then(Value::as_array))
        .or_else(|| given.get("clients").and_then(Value::as_array))
        .ok_or("expected a list of clients")?;
    let mut converted = Converted::default();
    for row in list {
        let Some(client_id) = text(row, "client_id") else {
            converted.left_out.push("a client without client_id".into());
            continue;
        };
        let id = imported_id("hydra", "client", &client_id);
        let method = text(row, "token_endpoint_auth_method");
        let scope = text(row, "scope").unwrap_or_default();
        let public = method.as_deref() == Some("none");
        let object = |name: &str| {
            let members = row.get(name).and_then(Value::as_object);
            members.cloned().unwrap_or_default()
        };
        let mut settings = serde_json::Map::new();
        for name in [
            "client_uri",
            "logo_uri",
            "policy_uri",
            "tos_uri",
            "contacts",
        ] {
            if let Some(value) = row.get(name).filter(|value| !value.is_null()) {
                settings.insert(name.to_owned(), value.clone());
            }
        }
        converted.lines.push(Line::Client(Box::new(Client {
            id,
            server: target.server.to_owned(),
            name: text(row, "client_name").unwrap_or_else(|| client_id.clone()),
            client_id: client_id.clone(),
            client_type: if public {
                ClientType::Public
            } else {
                ClientType::Confidential
            },
            auth_method: method,
            redirect_uris: texts(row, "redirect_uris"),
            grant_types: texts(row, "grant_types"),
            response_types: texts(row, "response_types"),
            scopes: Some(Vec::new()),
            optional_scopes: Some(scope.split_whitespace().map(str::to_owned).collect()),
            audience: texts(row, "audience"),
            jwks: row.get("jwks").filter(|jwks| jwks.is_object()).cloned(),
            jwks_uri: text(row, "jwks_uri"),
            access_token_format: text(row, "access_token_strategy"),
            metadata: object("metadata"),
            settings,
            enabled: true,
            trusted: row.get("skip_consent") == Some(&Value::Bool(true)),
            source: Source::Import,
            created_at: target.now,
            updated_at: target.now,
            ..Client::default()
        })));
        if let Some(secret) = text(row, "client_secret").filter(|_| !public) {
            match target.secret(id, &secret) {
                Ok(secret) => converted.lines.push(Line::ClientSecret(secret)),
                Err(why) => converted
                    .left_out
                    .push(format!("secret of {client_id}: {why}")),
            }
        }
    }
    Ok(converted)
}
