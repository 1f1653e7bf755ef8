//! `/openapi.json`: the description of this API (OpenAPI 3.1), made from one table.

use super::problem::Problem;
use super::{Asked, Outcome, Reply};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    about: &'static str,
    /// The schema of the body that it takes.
    takes: Option<&'static str>,
    /// Status and schema of its answer.
    gives: (u16, Option<&'static str>),
    /// Parameters of the query.
    query: &'static [&'static str],
}

const fn op(
    method: &'static str,
    path: &'static str,
    about: &'static str,
    takes: Option<&'static str>,
    gives: (u16, Option<&'static str>),
    query: &'static [&'static str],
) -> Operation {
    Operation {
        method,
        path,
        about,
        takes,
        gives,
        query,
    }
}

const PAGE: [&str; 3] = ["size", "offset", "tags"];

const CONSUMER: Option<&str> = Some("Consumer");
const APPLICATION: Option<&str> = Some("Application");
const TOKEN: Option<&str> = Some("Token");
const USER: Option<&str> = Some("User");

/// Every operation.
const OPERATIONS: &[Operation] = &[
    op(
        "get",
        "/consumers",
        "Lists consumers.",
        None,
        (200, Some("Consumers")),
        &["size", "offset", "tags", "username", "custom_id"],
    ),
    op(
        "post",
        "/consumers",
        "Makes a consumer.",
        CONSUMER,
        (201, CONSUMER),
        &[],
    ),
    op(
        "get",
        "/consumers/{consumer}",
        "Shows a consumer.",
        None,
        (200, CONSUMER),
        &[],
    ),
    op(
        "patch",
        "/consumers/{consumer}",
        "Changes a consumer.",
        CONSUMER,
        (200, CONSUMER),
        &[],
    ),
    op(
        "put",
        "/consumers/{consumer}",
        "Makes or replaces a consumer.",
        CONSUMER,
        (200, CONSUMER),
        &[],
    ),
    op(
        "delete",
        "/consumers/{consumer}",
        "Deletes a consumer, its applications and their tokens.",
        None,
        (204, None),
        &[],
    ),
    op(
        "get",
        "/consumers/{consumer}/oauth2",
        "Lists applications of a consumer.",
        None,
        (200, Some("Applications")),
        &PAGE,
    ),
    op(
        "post",
        "/consumers/{consumer}/oauth2",
        "Makes an application of a consumer.",
        APPLICATION,
        (201, APPLICATION),
        &[],
    ),
    op(
        "get",
        "/consumers/{consumer}/oauth2/{application}",
        "Shows an application of a consumer.",
        None,
        (200, APPLICATION),
        &[],
    ),
    op(
        "patch",
        "/consumers/{consumer}/oauth2/{application}",
        "Changes an application of a consumer.",
        APPLICATION,
        (200, APPLICATION),
        &[],
    ),
    op(
        "put",
        "/consumers/{consumer}/oauth2/{application}",
        "Makes or replaces an application of a consumer.",
        APPLICATION,
        (200, APPLICATION),
        &[],
    ),
    op(
        "delete",
        "/consumers/{consumer}/oauth2/{application}",
        "Deletes an application of a consumer.",
        None,
        (204, None),
        &[],
    ),
    op(
        "get",
        "/oauth2",
        "Lists applications.",
        None,
        (200, Some("Applications")),
        &[
            "size",
            "offset",
            "tags",
            "client_id",
            "name",
            "consumer.id",
            "consumer.username",
        ],
    ),
    op(
        "post",
        "/oauth2",
        "Makes an application.",
        APPLICATION,
        (201, APPLICATION),
        &[],
    ),
    op(
        "get",
        "/oauth2/{application}",
        "Shows an application.",
        None,
        (200, APPLICATION),
        &[],
    ),
    op(
        "patch",
        "/oauth2/{application}",
        "Changes an application.",
        APPLICATION,
        (200, APPLICATION),
        &[],
    ),
    op(
        "put",
        "/oauth2/{application}",
        "Makes or replaces an application.",
        APPLICATION,
        (200, APPLICATION),
        &[],
    ),
    op(
        "delete",
        "/oauth2/{application}",
        "Deletes an application and revokes its tokens.",
        None,
        (204, None),
        &[],
    ),
    op(
        "get",
        "/oauth2/{application}/secrets",
        "Lists secrets, without their values.",
        None,
        (200, Some("Secrets")),
        &[],
    ),
    op(
        "post",
        "/oauth2/{application}/secrets",
        "Adds a secret beside those there are.",
        Some("NewSecret"),
        (201, Some("Secret")),
        &[],
    ),
    op(
        "delete",
        "/oauth2/{application}/secrets/{secret}",
        "Deletes a secret.",
        None,
        (204, None),
        &[],
    ),
    op(
        "get",
        "/clients",
        "Lists clients in the words of RFC 7591.",
        None,
        (200, Some("Clients")),
        &PAGE,
    ),
    op(
        "get",
        "/clients/{application}",
        "Shows a client in the words of RFC 7591.",
        None,
        (200, Some("Client")),
        &[],
    ),
    op(
        "get",
        "/api_keys",
        "Lists clients that are API keys.",
        None,
        (200, Some("ApiKeys")),
        &[],
    ),
    op(
        "get",
        "/oauth2_tokens",
        "Lists stored tokens.",
        None,
        (200, Some("Tokens")),
        &[
            "size",
            "offset",
            "access_token",
            "refresh_token",
            "credential.id",
            "client_id",
            "authenticated_userid",
            "consumer.id",
            "scope",
            "active",
        ],
    ),
    op(
        "post",
        "/oauth2_tokens",
        "Brings a token along.",
        TOKEN,
        (201, TOKEN),
        &[],
    ),
    op(
        "delete",
        "/oauth2_tokens",
        "Revokes all tokens that the filter finds.",
        None,
        (200, Some("Revoked")),
        &["client_id", "authenticated_userid", "consumer.id"],
    ),
    op(
        "get",
        "/oauth2_tokens/{token}",
        "Shows a token.",
        None,
        (200, TOKEN),
        &[],
    ),
    op(
        "patch",
        "/oauth2_tokens/{token}",
        "Changes end, scope or user of a token.",
        TOKEN,
        (200, TOKEN),
        &[],
    ),
    op(
        "put",
        "/oauth2_tokens/{token}",
        "Makes or changes a token.",
        TOKEN,
        (200, TOKEN),
        &[],
    ),
    op(
        "delete",
        "/oauth2_tokens/{token}",
        "Revokes a token.",
        None,
        (204, None),
        &[],
    ),
    op(
        "get",
        "/grants",
        "Lists grant families.",
        None,
        (200, Some("Grants")),
        &["size", "offset", "subject", "client_id"],
    ),
    op(
        "get",
        "/grants/{grant}",
        "Shows a grant family.",
        None,
        (200, Some("Grant")),
        &[],
    ),
    op(
        "delete",
        "/grants/{grant}",
        "Revokes a grant family.",
        None,
        (204, None),
        &[],
    ),
    op(
        "get",
        "/revocations",
        "Lists the revocation log.",
        None,
        (200, Some("Revocations")),
        &["since"],
    ),
    op(
        "post",
        "/revocations",
        "Ends all tokens of a kind that were issued by a time.",
        Some("Revocation"),
        (201, Some("Revocation")),
        &[],
    ),
    op(
        "get",
        "/users",
        "Lists users.",
        None,
        (200, Some("Users")),
        &["size", "offset"],
    ),
    op("post", "/users", "Makes a user.", USER, (201, USER), &[]),
    op(
        "get",
        "/users/{user}",
        "Shows a user.",
        None,
        (200, USER),
        &[],
    ),
    op(
        "patch",
        "/users/{user}",
        "Changes a user.",
        USER,
        (200, USER),
        &[],
    ),
    op(
        "put",
        "/users/{user}",
        "Makes or replaces a user.",
        USER,
        (200, USER),
        &[],
    ),
    op(
        "delete",
        "/users/{user}",
        "Deletes a user and revokes its tokens.",
        None,
        (204, None),
        &[],
    ),
    op(
        "post",
        "/users/{user}/password",
        "Sets a password and ends sessions.",
        Some("Password"),
        (204, None),
        &[],
    ),
    op(
        "post",
        "/users/{user}/unlock",
        "Forgets failed logins.",
        None,
        (204, None),
        &[],
    ),
    op(
        "get",
        "/scopes",
        "Lists declared scopes.",
        None,
        (200, Some("Scopes")),
        &[],
    ),
    op(
        "get",
        "/signing_keys",
        "Lists managed signing keys.",
        None,
        (200, Some("SigningKeys")),
        &[],
    ),
    op(
        "get",
        "/audit",
        "Lists the audit chain.",
        None,
        (200, Some("Audit")),
        &["since"],
    ),
    op(
        "get",
        "/status",
        "Tells how things are.",
        None,
        (200, Some("Status")),
        &[],
    ),
    op(
        "get",
        "/services",
        "Lists the `api` blocks of the configuration.",
        None,
        (200, Some("Services")),
        &[],
    ),
    op(
        "get",
        "/export",
        "Writes everything as lines of JSON.",
        None,
        (200, None),
        &[],
    ),
    op(
        "post",
        "/import",
        "Takes over lines of JSON.",
        None,
        (200, Some("Imported")),
        &["mode", "dry_run"],
    ),
    op(
        "get",
        "/openapi.json",
        "Shows this description.",
        None,
        (200, None),
        &[],
    ),
];

/// Members of the bodies that requests have: name and JSON type (`[]` for a list of texts).
const SCHEMAS: &[(&str, &[(&str, &str)])] = &[
    (
        "Consumer",
        &[
            ("id", "string"),
            ("username", "string"),
            ("custom_id", "string"),
            ("tags", "[]"),
            ("groups", "[]"),
            ("metadata", "object"),
            ("created_at", "integer"),
            ("updated_at", "integer"),
        ],
    ),
    (
        "Application",
        &[
            ("id", "string"),
            ("name", "string"),
            ("client_id", "string"),
            ("client_secret", "string"),
            ("hash_secret", "boolean"),
            ("client_type", "string"),
            ("redirect_uris", "[]"),
            ("consumer", "object"),
            ("authorization_server", "string"),
            ("tags", "[]"),
            ("grant_types", "[]"),
            ("response_types", "[]"),
            ("scopes", "[]"),
            ("optional_scopes", "[]"),
            ("audience", "[]"),
            ("token_endpoint_auth_method", "string"),
            ("jwks", "object"),
            ("jwks_uri", "string"),
            ("ttl", "object"),
            ("access_token_format", "string"),
            ("signing_key", "string"),
            ("claims", "object"),
            ("metadata", "object"),
            ("enabled", "boolean"),
            ("trusted", "boolean"),
            ("created_at", "integer"),
        ],
    ),
    (
        "NewSecret",
        &[("secret", "string"), ("not_after", "string")],
    ),
    (
        "Secret",
        &[
            ("id", "string"),
            ("client_secret", "string"),
            ("not_after", "string"),
        ],
    ),
    (
        "Token",
        &[
            ("id", "string"),
            ("credential", "object"),
            ("credential_id", "string"),
            ("service", "object"),
            ("access_token", "string"),
            ("refresh_token", "string"),
            ("token_type", "string"),
            ("expires_in", "integer"),
            ("ttl", "integer"),
            ("scope", "string"),
            ("authenticated_userid", "string"),
            ("created_at", "integer"),
            ("expires_at", "string"),
            ("redacted", "boolean"),
        ],
    ),
    ("Revoked", &[("revoked", "integer")]),
    (
        "Revocation",
        &[
            ("kind", "string"),
            ("value", "string"),
            ("authorization_server", "string"),
            ("not_before", "string"),
        ],
    ),
    (
        "Grant",
        &[
            ("id", "string"),
            ("client_id", "string"),
            ("subject", "string"),
            ("scope", "string"),
            ("created_at", "integer"),
            ("expires_at", "string"),
            ("revoked_at", "string"),
        ],
    ),
    (
        "User",
        &[
            ("id", "string"),
            ("username", "string"),
            ("password", "string"),
            ("claims", "object"),
            ("enabled", "boolean"),
            ("locked_until", "string"),
        ],
    ),
    ("Password", &[("password", "string")]),
    (
        "Imported",
        &[
            ("created", "integer"),
            ("changed", "integer"),
            ("unchanged", "integer"),
            ("problems", "[]"),
            ("dry_run", "boolean"),
        ],
    ),
    (
        "Problem",
        &[
            ("code", "integer"),
            ("name", "string"),
            ("message", "string"),
            ("fields", "object"),
        ],
    ),
];

fn reference(schema: &str) -> Value {
    // A list of entities is not described further.
    if SCHEMAS.iter().any(|(name, _)| *name == schema) {
        json!({"$ref": format!("#/components/schemas/{schema}")})
    } else {
        json!({"type": "object"})
    }
}

fn describe(operation: &Operation) -> Value {
    let content = |schema: &str| json!({"application/json": {"schema": reference(schema)}});
    let in_path = operation.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
    });
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}));
    let (status, schema) = operation.gives;
    let mut answer = json!({"description": operation.about});
    if let Some(schema) = schema {
        answer["content"] = content(schema);
    }
    let mut described = json!({
        "summary": operation.about,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": {
            status.to_string(): answer,
            "default": {"description": "An error.", "content": content("Problem")},
        },
        "security": [{"bearer": []}, {}],
    });
    if let Some(schema) = operation.takes {
        described["requestBody"] = json!({"content": content(schema)});
    }
    described
}

pub(super) fn document(asked: &Asked<'_>) -> Outcome {
    if !matches!(*asked.call.method, Method::GET | Method::HEAD) {
        return Err(Problem::Method);
    }
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation);
    }
    let member = |kind: &str| match kind {
        "[]" => json!({"type": ["array", "null"], "items": {"type": "string"}}),
        kind => json!({"type": [kind, "null"]}),
    };
    let schemas: Map<String, Value> = SCHEMAS
        .iter()
        .map(|(name, members)| {
            let members: Map<String, Value> = members
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), member(kind)))
                .collect();
            let schema = json!({"type": "object", "properties": members});
            ((*name).to_owned(), schema)
        })
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {"title": "Gateway admin API", "version": crate::VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    });
    Ok(Reply::json(StatusCode::OK, &document))
}
