//! `ttl`: how long tokens live.
//!
//! ```hcl
//! ttl {
//!   client_credentials = "20m"
//! }
//! ```

use crate::blocks::reader::{Reader, Spanned};
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::Span;
use crate::oauth::server::Dialect;
use crate::oauth::server::client::Lifetimes;
use std::time::Duration;

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "ttl",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "access_token",
            Kind::Duration,
            "Lifetime of access tokens; `0` for references without end, with `allow_unlimited`.",
        )
        .default("1h"),
        AttributeSchema::start(
            "client_credentials",
            Kind::Duration,
            "Lifetime of access tokens that clients get for themselves.",
        )
        .default("that of `access_token`"),
        AttributeSchema::start(
            "authorization_code",
            Kind::Duration,
            "Lifetime of authorization codes.",
        )
        .default("60s"),
        AttributeSchema::start(
            "refresh_token",
            Kind::Duration,
            "Lifetime of refresh tokens.",
        )
        .default("336h"),
        AttributeSchema::start(
            "refresh_token_idle",
            Kind::Duration,
            "Lifetime of refresh tokens that nobody uses.",
        )
        .default("that of `refresh_token`"),
        AttributeSchema::start("device_code", Kind::Duration, "Lifetime of device codes.")
            .default("10m"),
        AttributeSchema::start(
            "pushed_request",
            Kind::Duration,
            "Lifetime of pushed authorization requests.",
        )
        .default("60s"),
        AttributeSchema::start("id_token", Kind::Duration, "Lifetime of ID tokens.").default("1h"),
        AttributeSchema::start(
            "login_session",
            Kind::Duration,
            "Lifetime of sessions of the login page.",
        )
        .default("12h"),
        AttributeSchema::start(
            "allow_unlimited",
            Kind::Bool,
            "Lets `access_token = \"0\"` mean tokens without end.",
        )
        .default("false"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "How long tokens live. In a `client` it goes before that of its server.",
    example: r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    ttl {
      client_credentials = "20m"
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

/// The lifetimes of a dialect.
pub(super) fn of_dialect(dialect: &Dialect) -> Lifetimes {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    Lifetimes {
        access_token: Some(dialect.access_token_ttl),
        client_credentials: Some(dialect.access_token_ttl),
        authorization_code: dialect.code_ttl,
        refresh_token: hours(336),
        refresh_token_idle: hours(336),
        device_code: Duration::from_secs(600),
        pushed_request: Duration::from_secs(60),
        id_token: hours(1),
        login_session: hours(12),
        by_grant: Vec::new(),
    }
}

/// Lifetimes with what a block says over `base`; and where access tokens without end are asked for.
pub(super) fn read(reader: Reader<'_>, base: &Lifetimes) -> (Lifetimes, Option<Span>) {
    let mut ttl = base.clone();
    let unlimited = reader.boolean("allow_unlimited").unwrap_or(false);
    let mut endless = None;
    let mut access = |name: &str| -> Option<Option<Duration>> {
        let given = reader.long_duration(name)?;
        if !given.value.is_zero() {
            return Some(Some(given.value));
        }
        if unlimited {
            endless.get_or_insert(given.span);
            return Some(None);
        }
        not_zero(reader, name, &given);
        None
    };
    if let Some(lifetime) = access("access_token") {
        ttl.access_token = lifetime;
        ttl.client_credentials = lifetime;
    }
    if let Some(lifetime) = access("client_credentials") {
        ttl.client_credentials = lifetime;
    }
    let fixed = |name: &str, into: &mut Duration| {
        if let Some(given) = reader.long_duration(name) {
            if given.value.is_zero() {
                not_zero(reader, name, &given);
            } else {
                *into = given.value;
            }
        }
    };
    fixed("authorization_code", &mut ttl.authorization_code);
    fixed("refresh_token", &mut ttl.refresh_token);
    if reader.has("refresh_token") {
        ttl.refresh_token_idle = ttl.refresh_token;
    }
    fixed("refresh_token_idle", &mut ttl.refresh_token_idle);
    fixed("device_code", &mut ttl.device_code);
    fixed("pushed_request", &mut ttl.pushed_request);
    fixed("id_token", &mut ttl.id_token);
    fixed("login_session", &mut ttl.login_session);
    (ttl, endless)
}

fn not_zero(reader: Reader<'_>, name: &str, given: &Spanned<Duration>) {
    reader.bad_value(given.span, format!("`{name}` must be greater than zero"));
}
