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

use super::authorization_code::Flow;
use super::login::{Login, Protocol};
use super::{Authenticate, Verdict};
use crate::blocks::backend::{self, Backend};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::blocks::{Definitions, client_authentication, error_handler, jwt_signing_profile};
use crate::error::Error;
use crate::expr::{Program, Scope};
use crate::http::exchange::Exchange;
use crate::oauth::client::authorization_code::VerifierMethod;
use std::sync::Arc;

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
        .one_of(&client_authentication::METHODS)
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

/// A client of an authorization server.
#[derive(Debug)]
struct OAuth2 {
    flow: Flow,
    method: VerifierMethod,
    authorization_endpoint: String,
    token_endpoint: String,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    reader.choice("grant_type");
    let method = reader.choice("verifier_method");
    let backend = Backend::of(reader, definitions);
    let (authorize, token) = (
        reader.required("authorization_endpoint"),
        reader.required("token_endpoint"),
    );
    let scope = reader.string("scope").map(|scope| scope.value);
    let flow = Flow::read(reader, scope.unwrap_or_default(), backend?);
    let oauth2 = Arc::new(OAuth2 {
        flow: flow?,
        method: VerifierMethod::of(method?)?,
        authorization_endpoint: authorize?,
        token_endpoint: token?,
    });
    definitions.add_login(
        Protocol::OAuth2,
        oauth2.flow.label(),
        Arc::clone(&oauth2) as _,
    );
    Some(Box::new(Callback(oauth2)))
}

impl Login for OAuth2 {
    fn url(&self, scope: &dyn Scope) -> Result<String, String> {
        self.flow
            .url(&self.authorization_endpoint, self.method, scope)
    }
}

/// The callback: who comes there with a code is let in.
#[derive(Debug)]
struct Callback(Arc<OAuth2>);

impl Callback {
    async fn admit(&self, label: &Arc<str>, exchange: &mut Exchange) -> Result<(), Error> {
        let OAuth2 {
            flow,
            method,
            token_endpoint,
            ..
        } = &*self.0;
        let callback = flow.callback(exchange, *method, None)?;
        let answer = flow.tokens(token_endpoint, *method, &callback, exchange);
        let answer = answer.await?;
        exchange.set_context(label, Arc::new(answer));
        Ok(())
    }
}

impl Authenticate for Callback {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        Verdict::Later(Box::pin(self.admit(label, exchange)))
    }

    fn programs(&self) -> Vec<&Program> {
        self.0.flow.programs().collect()
    }
}
