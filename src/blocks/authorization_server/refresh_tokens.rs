//! `refresh_tokens`: how refresh tokens change with use.
//!
//! ```hcl
//! refresh_tokens {
//!   rotation = "always"
//!   grace    = "30s"
//! }
//! ```

use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::oauth::server::{Dialect, RefreshTokens, Rotation};
use std::time::Duration;

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "refresh_tokens",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "rotation",
            Kind::String,
            "When a refresh token is replaced.",
        )
        .one_of(&["always", "public_only", "never"])
        .default("always"),
        AttributeSchema::start(
            "grace",
            Kind::Duration,
            "How long a replaced one still gives the same successor; at most `5m`.",
        )
        .default("30s"),
        AttributeSchema::start("grace_uses", Kind::Number, "How often within that time.")
            .default("3"),
        AttributeSchema::start(
            "reuse",
            Kind::String,
            "What follows when a replaced one is shown after that.",
        )
        .one_of(&["revoke_family", "reject"])
        .default("revoke_family"),
        AttributeSchema::start(
            "absolute_ttl",
            Kind::Duration,
            "How long all tokens of one grant live at most.",
        ),
        AttributeSchema::start(
            "for_client_credentials",
            Kind::Bool,
            "Clients get them for themselves, too.",
        )
        .default("false"),
        AttributeSchema::start(
            "invalidate_access",
            Kind::Bool,
            "The access token issued before dies with a refresh.",
        )
        .default("false"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "How refresh tokens change with use.",
    example: r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    refresh_tokens {
      grace = "10s"
    }
    client "worker" {
      client_secret = env.WORKER_SECRET
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

/// Longest grace.
const MAX_GRACE: Duration = Duration::from_secs(300);

/// What holds without a block.
pub(super) fn of_dialect(dialect: &Dialect) -> RefreshTokens {
    RefreshTokens {
        rotation: Rotation::Always,
        grace: Duration::from_secs(30),
        grace_uses: 3,
        revoke_family: true,
        absolute_ttl: None,
        for_client_credentials: false,
        invalidate_access: dialect.invalidates_access,
    }
}

/// Reads the block.
pub(super) fn read(reader: Reader<'_>, base: RefreshTokens) -> RefreshTokens {
    let mut refresh = base;
    if let Some(rotation) = reader.one_of("rotation") {
        refresh.rotation = match rotation.value.as_str() {
            "never" => Rotation::Never,
            "public_only" => Rotation::PublicOnly,
            _ => Rotation::Always,
        };
    }
    if let Some(grace) = reader.long_duration("grace") {
        if grace.value > MAX_GRACE {
            reader.bad_value(grace.span, "`grace` must not be longer than `5m`");
        }
        refresh.grace = grace.value;
    }
    if let Some(uses) = reader.number("grace_uses") {
        refresh.grace_uses = u32::try_from(uses.value).unwrap_or(u32::MAX);
    }
    if let Some(reuse) = reader.one_of("reuse") {
        refresh.revoke_family = reuse.value == "revoke_family";
    }
    if let Some(ttl) = reader.long_duration("absolute_ttl") {
        refresh.absolute_ttl = Some(ttl.value);
    }
    if let Some(flag) = reader.boolean("for_client_credentials") {
        refresh.for_client_credentials = flag;
    }
    if let Some(flag) = reader.boolean("invalidate_access") {
        refresh.invalidate_access = flag;
    }
    refresh
}
