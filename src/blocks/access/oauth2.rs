//! `beta_oauth2`: the callback of an authorization code flow (RFC 6749).
//!
//! ```hcl
//! beta_oauth2 "login" {
//!   grant_type             = "authorization_code"
//!   authorization_endpoint = "https://as.example/authorize"
//!   token_endpoint         = "https://as.example/token"
//!   client_id              = "my-client"
//!   client_secret          = "my-secret"
//!   redirect_uri           = "/callback"
//!   verifier_method        = "ccm_s256"
//!   verifier_value         = request.cookies.verifier
//! }
//! ```

use crate::blocks::error_handler;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::blocks::{backend, jwt_signing_profile};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_oauth2",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("grant_type", Kind::String, "The grant.")
            .required()
            .one_of(&["authorization_code"]),
        AttributeSchema::start(
            "authorization_endpoint",
            Kind::String,
            "URL where the user logs in.",
        )
        .required(),
        AttributeSchema::start("token_endpoint", Kind::String, "URL of the token endpoint.")
            .required(),
        AttributeSchema::start(
            "token_endpoint_auth_method",
            Kind::String,
            "How the client authenticates.",
        )
        .one_of(&[
            "client_secret_basic",
            "client_secret_post",
            "client_secret_jwt",
            "private_key_jwt",
        ])
        .default("client_secret_basic"),
        AttributeSchema::start("client_id", Kind::String, "Client identifier.").required(),
        AttributeSchema::start("client_secret", Kind::String, "Client secret."),
        AttributeSchema::start(
            "redirect_uri",
            Kind::String,
            "URL of the callback, or its path.",
        )
        .required(),
        AttributeSchema::start("scope", Kind::String, "Scopes, separated by blanks."),
        AttributeSchema::start(
            "verifier_method",
            Kind::String,
            "What ties the callback to the browser that began.",
        )
        .required()
        .one_of(&["ccm_s256", "state"]),
        AttributeSchema::request(
            "verifier_value",
            Kind::String,
            "The verifier, usually from a cookie.",
        )
        .required(),
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend.")
            .refers_to("backend"),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::optional(&jwt_signing_profile::SCHEMA),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[Rule::OneOf(&["backend", "backend {}"])],
    docs: "The callback of an authorization code flow. The link to log in is made by `oauth2_authorization_url()`.",
    example: r#"server {
  access_control = ["login"]
  endpoint "/" {
    response {}
  }
}

definitions {
  beta_oauth2 "login" {
    grant_type             = "authorization_code"
    authorization_endpoint = "https://as.example/authorize"
    token_endpoint         = "https://as.example/token"
    client_id              = "my-client"
    client_secret          = "my-secret"
    redirect_uri           = "/callback"
    verifier_method        = "ccm_s256"
    verifier_value         = request.cookies.verifier
  }
}
"#,
};
