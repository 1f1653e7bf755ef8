//! `oidc`: the callback of a log-in with a provider of `OpenID`.
//!
//! ```hcl
//! oidc "login" {
//!   configuration_url = "https://as.example/.well-known/openid-configuration"
//!   client_id         = "my-client"
//!   client_secret     = "my-secret"
//!   redirect_uri      = "/callback"
//!   verifier_value    = request.cookies.verifier
//! }
//! ```

use crate::blocks::error_handler;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::blocks::{backend, jwt_signing_profile};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "oidc",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("configuration_url", Kind::String, "URL of the configuration document.").required(),
        AttributeSchema::start("configuration_ttl", Kind::Duration, "Lifetime of the document.").default("1h"),
        AttributeSchema::start("configuration_max_stale", Kind::Duration, "Further lifetime while it cannot be renewed.").default("1h"),
        AttributeSchema::start("jwks_ttl", Kind::Duration, "Lifetime of the key set.").default("1h"),
        AttributeSchema::start("jwks_max_stale", Kind::Duration, "Further lifetime while it cannot be renewed.").default("1h"),
        AttributeSchema::start("client_id", Kind::String, "Client identifier.").required(),
        AttributeSchema::start("client_secret", Kind::String, "Client secret."),
        AttributeSchema::start("token_endpoint_auth_method", Kind::String, "How the client authenticates.").one_of(&["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"]).default("client_secret_basic"),
        AttributeSchema::start("redirect_uri", Kind::String, "URL of the callback, or its path.").required(),
        AttributeSchema::start("scope", Kind::String, "Scopes beside `openid`, separated by blanks."),
        AttributeSchema::start("verifier_method", Kind::String, "What ties the callback to the browser that began; by default what the provider supports.").one_of(&["ccm_s256", "nonce"]),
        AttributeSchema::request("verifier_value", Kind::String, "The verifier, usually from a cookie.").required(),
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend, for all requests to the provider.").refers_to("backend"),
        AttributeSchema::start("configuration_backend", Kind::String, "Backend of the configuration document.").refers_to("backend"),
        AttributeSchema::start("jwks_uri_backend", Kind::String, "Backend of the key set.").refers_to("backend"),
        AttributeSchema::start("token_backend", Kind::String, "Backend of the token endpoint.").refers_to("backend"),
        AttributeSchema::start("userinfo_backend", Kind::String, "Backend of the userinfo endpoint.").refers_to("backend"),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[Child::optional(&backend::SCHEMA), Child::optional(&jwt_signing_profile::SCHEMA), Child::many(&error_handler::SCHEMA)],
    rules: &[Rule::OneOf(&["backend", "backend {}"])],
    docs: "The callback of a log-in with an OpenID provider, whose endpoints and keys come from its configuration document.",
    example: r#"server {
  access_control = ["login"]
  endpoint "/" {
    response {}
  }
}

definitions {
  oidc "login" {
    configuration_url = "https://as.example/.well-known/openid-configuration"
    client_id         = "my-client"
    client_secret     = "my-secret"
    redirect_uri      = "/callback"
    verifier_value    = request.cookies.verifier
  }
}
"#,
};
