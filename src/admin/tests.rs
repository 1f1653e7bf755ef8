//! Conversations with the API over a store in memory.

use super::guard::Guard;
use super::*;
use crate::clock::UnixTime;
use crate::store::sqlite::Sqlite;
use serde_json::json;

struct Api {
    admin: Admin,
}

impl Api {
    fn new() -> Self {
        let declared = crate::store::Consumer {
            id: crate::store::file_id("consumer", "", "fixed"),
            username: Some("fixed".into()),
            custom_id: Some("from-the-file".into()),
            tags: Vec::new(),
            groups: Vec::new(),
            metadata: serde_json::Map::new(),
            source: crate::store::Source::Hcl,
            created_at: Millis::default(),
            updated_at: Millis::default(),
            version: 0,
        };
        let (clock, _) = Clock::manual(UnixTime::from_seconds(1_800_000_000));
        Self {
            admin: Admin {
                store: Arc::new(Sqlite::in_memory().unwrap()),
                vault: Arc::new(Vault::new(None, false, false).unwrap()),
                settings: Settings {
                    guard: Guard {
                        hosts: vec!["localhost:8001".into()],
                        ..Guard::default()
                    },
                    read_only: false,
                    timestamps: Timestamps::Millis,
                    require_consumer: true,
                },
                declared: Declared {
                    servers: vec![DeclaredServer {
                        label: "main".into(),
                        longest_token: Duration::from_secs(3600),
                        scopes: vec!["read".into()],
                        any_http: true,
                        kong: true,
                    }],
                    consumers: vec![declared],
                    ..Declared::default()
                },
                clock,
            },
        }
    }

    /// Status and body of an answer; `body` is a form, or JSON if it begins with a brace.
    async fn ask(&self, request: &str, body: &str) -> (u16, Value) {
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8001"));
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let call = Call {
            method: &method.parse().unwrap(),
            path,
            query,
            headers: &headers,
            body: Some(body.as_bytes()),
            by_socket: false,
        };
        let reply = self.admin.answer(&call).await;
        assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
        let body = match reply.body {
            Body::Whole(bytes) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            Body::Parts(mut parts) => {
                let mut lines = Vec::new();
                while let Some(part) = parts.recv().await {
                    lines.push(serde_json::from_slice(&part).unwrap());
                }
                Value::Array(lines)
            }
        };
        (reply.status.as_u16(), body)
    }
}

#[tokio::test]
async fn consumers_as_kong_has_them() {
    let api = Api::new();
    let (status, bob) = api
        .ask("POST /consumers/", "username=user123&custom_id=C")
        .await;
    assert_eq!((status, &bob["tags"]), (201, &Value::Null));
    let (status, twin) = api
        .ask("POST /consumers", r#"{"username":"user123"}"#)
        .await;
    assert_eq!((status, &twin["code"]), (409, &json!(5)));
    let expected = "UNIQUE violation detected on '{username=\"user123\"}'";
    assert_eq!(twin["message"], expected);
    let (status, wrong) = api.ask("POST /consumers", "tags=x").await;
    assert_eq!((status, &wrong["code"]), (400, &json!(2)));
    assert_eq!(wrong["fields"]["@entity"].as_array().unwrap().len(), 1);
    let (status, all) = api.ask("GET /consumers?size=1", "").await;
    assert_eq!((status, &all["total"]), (200, &json!(2)));
    let next = all["next"].as_str().unwrap().to_owned();
    let (_, rest) = api.ask(&format!("GET {next}"), "").await;
    assert_eq!(rest["data"][0]["username"], "user123");
    assert_eq!(rest["next"], Value::Null);
    assert_eq!(api.ask("DELETE /consumers/fixed", "").await.0, 409);
    assert_eq!(api.ask("DELETE /consumers/user123", "").await.0, 204);
    assert_eq!(api.ask("GET /consumers/user123", "").await.0, 404);
}

#[tokio::test]
async fn applications_and_their_secrets() {
    let api = Api::new();
    api.ask("POST /consumers", "username=bob").await;
    let (status, app) = api
        .ask("POST /consumers/bob/oauth2", r#"{"name":"App"}"#)
        .await;
    assert_eq!(status, 201);
    assert!(app["client_secret"].as_str().unwrap().len() > 24);
    let id = app["id"].as_str().unwrap().to_owned();
    let (_, shown) = api.ask(&format!("GET /oauth2/{id}"), "").await;
    assert_eq!(shown["client_secret"], Value::Null);
    let (status, second) = api.ask(&format!("POST /oauth2/{id}/secrets"), "{}").await;
    assert_eq!(status, 201);
    let sid = second["id"].as_str().unwrap();
    let (_, secrets) = api.ask(&format!("GET /oauth2/{id}/secrets"), "").await;
    assert_eq!(secrets["total"], 2);
    let path = format!("DELETE /oauth2/{id}/secrets/{sid}");
    assert_eq!(api.ask(&path, "").await.0, 204);
    let last = secrets["data"][0]["id"].as_str().unwrap();
    let path = format!("DELETE /oauth2/{id}/secrets/{last}");
    assert_eq!(api.ask(&path, "").await.0, 409);

    let body = r#"{"redirect_uris":["https://ok.example/cb","not an address"]}"#;
    let (status, wrong) = api.ask(&format!("PATCH /oauth2/{id}"), body).await;
    assert_eq!(status, 400);
    let expected = json!([null, "cannot parse 'not an address'"]);
    assert_eq!(wrong["fields"]["redirect_uris"], expected);
    let (status, alone) = api
        .ask(&format!("PATCH /oauth2/{id}"), "client_secret=12345678")
        .await;
    assert_eq!(status, 400);
    assert!(alone["message"].as_str().unwrap().contains("all or none"));
    let (status, orphan) = api.ask("POST /oauth2", r#"{"name":"Orphan"}"#).await;
    assert_eq!(status, 400);
    let expected = "schema violation (consumer: required field missing)";
    assert_eq!(orphan["message"], expected);
    assert_eq!(api.ask("GET /consumers/fixed/oauth2/x", "").await.0, 404);
    assert_eq!(api.ask(&format!("DELETE /oauth2/{id}"), "").await.0, 204);
    assert_eq!(api.ask(&format!("GET /oauth2/{id}"), "").await.0, 404);
}

#[tokio::test]
async fn tokens_are_brought_along_listed_and_ended() {
    let api = Api::new();
    api.ask("POST /consumers", "username=bob").await;
    let (_, app) = api
        .ask("POST /consumers/bob/oauth2", "name=App&client_id=app")
        .await;
    let (status, missing) = api.ask("POST /oauth2_tokens", "scope=read").await;
    assert_eq!(status, 400);
    assert_eq!(missing["fields"]["expires_in"], "required field missing");
    assert_eq!(missing["fields"]["credential"], "required field missing");
    let body = format!(
        "credential.id={}&token_type=bearer&access_token=SOME-TOKEN&refresh_token=SOME-TOKEN&expires_in=3600",
        app["id"].as_str().unwrap()
    );
    let (status, token) = api.ask("POST /oauth2_tokens", &body).await;
    assert_eq!((status, &token["expires_in"]), (201, &json!(3600)));
    assert_eq!(token["created_at"], 1_800_000_000_000_i64);
    assert_eq!(api.ask("POST /oauth2_tokens", &body).await.0, 409);
    let (_, all) = api.ask("GET /oauth2_tokens/?client_id=app", "").await;
    assert_eq!(all["data"][0]["redacted"], true);
    assert!(!all.to_string().contains("SOME-TOKEN"));
    let (status, wrong) = api
        .ask("PATCH /oauth2_tokens/SOME-TOKEN", "expires_in=hello")
        .await;
    assert_eq!(status, 400);
    assert_eq!(wrong["fields"]["expires_in"], "expected an integer");
    let (_, changed) = api
        .ask("PATCH /oauth2_tokens/SOME-TOKEN", "expires_in=0")
        .await;
    assert_eq!(changed["expires_at"], Value::Null);
    assert_eq!(api.ask("DELETE /oauth2_tokens", "").await.0, 400);
    assert_eq!(api.ask("DELETE /oauth2_tokens/SOME-TOKEN", "").await.0, 204);
    assert_eq!(api.ask("GET /oauth2_tokens/SOME-TOKEN", "").await.0, 404);
    assert_eq!(api.ask("DELETE /oauth2_tokens/blah", "").await.0, 204);
    assert!(!api.admin.store.revoked().is_empty());
}

#[tokio::test]
async fn everything_else() {
    let api = Api::new();
    let body = r#"{"kind":"client","value":"app","not_before":"now"}"#;
    assert_eq!(api.ask("POST /revocations", body).await.0, 201);
    let found = api.admin.store.revoked().not_before("main", "app");
    assert_eq!(found, Some(Millis(1_800_000_000_000)));
    let (_, log) = api.ask("GET /revocations", "").await;
    assert_eq!(log["data"][0]["value"], "app");
    assert_eq!(
        api.ask("POST /revocations", "kind=nothing&value=x").await.0,
        400
    );

    let body = r#"{"username":"alice","password":"wonderland","claims":{"email":"a@b"}}"#;
    let (status, alice) = api.ask("POST /users", body).await;
    assert_eq!((status, &alice["has_password"]), (201, &json!(true)));
    assert!(!alice.to_string().contains("wonderland"));
    assert_eq!(
        api.ask("POST /users/alice/password", "password=short")
            .await
            .0,
        400
    );
    assert_eq!(api.ask("POST /users/alice/unlock", "").await.0, 204);

    let (_, audit) = api.ask("GET /audit", "").await;
    assert_eq!(audit["data"][0]["action"], "token_revoked");
    let (_, exported) = api.ask("GET /export", "").await;
    let lines: Vec<String> = exported
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    assert_eq!(lines.len(), 2);
    let other = Api::new();
    let import = lines.join("\n");
    let (status, imported) = other.ask("POST /import", &import).await;
    assert_eq!((status, &imported["created"]), (200, &json!(2)));
    let (_, again) = other.ask("POST /import?dry_run=true", &import).await;
    assert_eq!(again["unchanged"], 1);

    assert_eq!(api.ask("POST /services", "name=x").await.0, 405);
    assert_eq!(api.ask("GET /nothing", "").await.0, 404);
    assert_eq!(api.ask("GET /status", "").await.1["storage"]["state"], "up");
    let (_, document) = api.ask("GET /openapi.json", "").await;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let request = format!("{} {path}", method.to_uppercase());
            let (status, _) = api.ask(&request, "").await;
            assert_ne!(status, 405, "{request}");
        }
    }
}
