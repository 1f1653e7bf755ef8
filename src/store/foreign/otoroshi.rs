//! Otoroshi: API keys of its exported state. They are clients here.

use super::{Converted, Target, text, texts};
use crate::store::transfer::{Line, imported_id};
use crate::store::{Client, Source};
use serde_json::{Map, Value};

pub(super) fn convert(state: &Value, target: Target<'_>) -> Result<Converted, String> {
    let keys = ["apikeys", "apiKeys"]
        .iter()
        .find_map(|name| state.get(name)?.as_array())
        .or_else(|| state.as_array())
        .ok_or("expected the state of Otoroshi, with `apikeys`")?;
    let mut converted = Converted::default();
    for row in keys {
        let Some(client_id) = text(row, "clientId") else {
            converted.left_out.push("a key without clientId".into());
            continue;
        };
        let id = imported_id("otoroshi", "client", &client_id);
        let metadata = row.get("metadata").and_then(Value::as_object);
        let metadata = metadata.cloned().unwrap_or_default();
        let mut settings = Map::new();
        settings.insert("api_key".into(), true.into());
        if row.get("allowClientIdOnly") == Some(&Value::Bool(true)) {
            settings.insert("allow_client_id_only".into(), true.into());
        }
        let pair = metadata.get("jwt-sign-keypair").and_then(Value::as_str);
        converted.lines.push(Line::Client(Box::new(Client {
            id,
            server: target.server.to_owned(),
            name: text(row, "clientName").unwrap_or_else(|| client_id.clone()),
            client_id: client_id.clone(),
            grant_types: vec!["client_credentials".into()],
            signing_key: pair.map(str::to_owned),
            metadata,
            settings,
            tags: texts(row, "tags"),
            enabled: row.get("enabled") != Some(&Value::Bool(false)),
            source: Source::Import,
            created_at: target.now,
            updated_at: target.now,
            ..Client::default()
        })));
        if let Some(secret) = text(row, "clientSecret") {
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
