//! `scope`: something a token may be good for.
//!
//! ```hcl
//! scope "read" {
//!   description = "Read your records"
//! }
//! ```

use super::claims;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::oauth::server::Scope;
use crate::oauth::server::scope::is_name;

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "scope",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("description", Kind::String, "What users are told."),
        AttributeSchema::start(
            "default",
            Kind::Bool,
            "Clients without a list get it unasked.",
        )
        .default("false"),
        AttributeSchema::start("consent", Kind::Bool, "Users are asked for it.").default("true"),
        AttributeSchema::start(
            "audience",
            Kind::StringOrStrings,
            "What it adds to `aud` of tokens.",
        ),
        AttributeSchema::start(
            "permissions",
            Kind::Strings,
            "Permissions that it grants beside its name.",
        ),
        AttributeSchema::request("claims", Kind::Object, "What it adds to the claims."),
        AttributeSchema::start("hidden", Kind::Bool, "Discovery keeps silent about it.")
            .default("false"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Something a token may be good for. With one such block all others must be declared, too.",
    example: r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    scope "read" {
      description = "Read your records"
    }
    client "worker" {
      client_secret   = env.WORKER_SECRET
      optional_scopes = ["read"]
    }
  }
}

defaults {
  environment_variables = {
    WORKER_SECRET = "only-an-example"
  }
}
"#,
};

/// Reads the block.
pub(super) fn read(reader: Reader<'_>) -> Option<Scope> {
    let label = reader.label()?;
    if !is_name(&label.text) {
        reader.bad_value(
            label.span,
            format!("`{}` is no scope name (RFC 6749 §3.3)", label.text),
        );
        return None;
    }
    let list = |name: &str| -> Vec<String> {
        let given = reader.strings(name).map(|list| list.value);
        given.into_iter().flatten().map(|item| item.value).collect()
    };
    Some(Scope {
        name: label.text.as_str().into(),
        description: reader.filled("description").map(|text| text.value),
        default: reader.boolean("default").unwrap_or(false),
        consent: reader.boolean("consent").unwrap_or(true),
        audience: list("audience"),
        permissions: list("permissions"),
        claims: claims::read(reader),
        hidden: reader.boolean("hidden").unwrap_or(false),
    })
}
