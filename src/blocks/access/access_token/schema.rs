//! The block's table.

use crate::blocks::access::identity;
use crate::blocks::error_handler;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "access_token",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start(
            "authorization_server",
            Kind::StringOrStrings,
            "Labels of the authorization servers whose tokens are good.",
        )
        .required()
        .refers_to("authorization_server"),
        AttributeSchema::start("bearer", Kind::Bool, "Token from `Authorization: Bearer`.")
            .default("true"),
        AttributeSchema::start("header", Kind::String, "Token from this header, too."),
        AttributeSchema::start("cookie", Kind::String, "Token from this cookie, too."),
        AttributeSchema::start("query", Kind::String, "Token from this parameter, too."),
        AttributeSchema::start("form", Kind::String, "Token from this form field, too."),
        AttributeSchema::request(
            "token_value",
            Kind::String,
            "Token from an expression, too.",
        ),
        AttributeSchema::start(
            "websocket_protocol",
            Kind::Bool,
            "Token from the subprotocols of a websocket, too.",
        )
        .default("false"),
        AttributeSchema::start(
            "audience",
            Kind::StringOrStrings,
            "One of these must be in `aud`.",
        )
        .default("the server's audience"),
        AttributeSchema::start(
            "global_credentials",
            Kind::Bool,
            "Tokens issued elsewhere are good, too.",
        )
        .default("false"),
        AttributeSchema::start("required_scope", Kind::Strings, "Scopes that are needed."),
        AttributeSchema::start("permissions_claim", Kind::String, "Claim with permissions.")
            .default("scope"),
        AttributeSchema::start(
            "scope_separator",
            Kind::String,
            "Stands between scopes in the header.",
        )
        .default(","),
        AttributeSchema::start(
            "hide_credentials",
            Kind::Bool,
            "Origins do not see the token.",
        )
        .default("false"),
        AttributeSchema::start("realm", Kind::String, "Realm of the challenge.")
            .default("the server's realm"),
        AttributeSchema::start("error_dialect", Kind::String, "Words of refusals.")
            .one_of(&["rfc", "kong", "node", "otoroshi", "keycloak"])
            .default("the server's dialect"),
        AttributeSchema::start(
            "disable_private_caching",
            Kind::Bool,
            "Do not add `Cache-Control: private`.",
        )
        .default("false"),
        AttributeSchema::start(
            "close_on_token_end",
            Kind::Bool,
            "Ends websockets with their token.",
        )
        .unavailable(),
        AttributeSchema::start("dpop", Kind::String, "When a proof is needed.").unavailable(),
        AttributeSchema::start("resource_metadata", Kind::Bool, "Serves RFC 9728 metadata.")
            .unavailable(),
        AttributeSchema::start("mcp", Kind::Bool, "What MCP asks for.").unavailable(),
    ],
    groups: &[identity::ATTRIBUTES, schema::LOG_FIELDS],
    blocks: &[
        Child::many(&error_handler::SCHEMA),
        Child::optional(&super::super::introspection::SCHEMA).unavailable(),
        Child::optional(&ASSERTION).unavailable(),
    ],
    rules: &[],
    docs: "Tokens that an authorization server of this configuration issued. They are checked in memory; origins are told who calls.",
    example: EXAMPLE,
};

const EXAMPLE: &str = r#"server "auth" {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

server "api" {
  hosts          = ["localhost:8081"]
  access_control = ["token"]
  endpoint "/" {
    response {
      body = request.context.token.client_id
    }
  }
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    client "worker" {
      client_secret = env.WORKER_SECRET
    }
  }
  access_token "token" {
    authorization_server = "main"
  }
}

defaults {
  environment_variables = {
    WORKER_SECRET = "only-an-example"
  }
}
"#;

static ASSERTION: BlockSchema = BlockSchema {
    name: "upstream_assertion",
    attributes: &[
        AttributeSchema::start("header", Kind::String, "Header with the token.").required(),
        AttributeSchema::start("ttl", Kind::Duration, "Its lifetime.").default("60s"),
        AttributeSchema::start(
            "signing_key",
            Kind::String,
            "Label of the key that signs it.",
        ),
        AttributeSchema::start("audience", Kind::StringOrStrings, "Its `aud`."),
        AttributeSchema::request("claims", Kind::Object, "Further claims."),
    ],
    docs: "A signed token for the origin in place of the caller's.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};
