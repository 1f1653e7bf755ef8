//! `signing_key`: what tokens are signed with.
//!
//! ```hcl
//! signing_key "main" {
//!   algorithm    = "ES256"
//!   rotate_every = "2160h"
//! }
//! ```

use super::secret;
use crate::blocks::reader::{Reader, Spanned};
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::crypto::key::Weakness;
use crate::crypto::{Algorithm, Family, SigningKey};
use crate::diagnostic::{Diagnostic, Span, code};
use crate::oauth::server::keys::{KeySource, KeySpec};
use std::sync::Arc;
use std::time::Duration;

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "signing_key",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("algorithm", Kind::String, "The algorithm of signatures.")
            .one_of(&[
                "ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384",
                "PS512", "HS256", "HS384", "HS512",
            ])
            .default("ES256"),
        AttributeSchema::start(
            "key",
            Kind::String,
            "A private key as PEM, or a secret. Without it and `key_file` the key is made here.",
        ),
        AttributeSchema::start("key_file", Kind::Path, "File with the key."),
        AttributeSchema::start("kid", Kind::String, "Its id.").default("thumbprint of the key"),
        AttributeSchema::start(
            "rotate_every",
            Kind::Duration,
            "How long a key that is made here signs.",
        )
        .default("2160h, never with a `kid`"),
        AttributeSchema::start(
            "publish_ahead",
            Kind::Duration,
            "How long a key is published before it signs.",
        )
        .default("24h"),
        AttributeSchema::start(
            "keep_after",
            Kind::Duration,
            "How long a key is published after it signed.",
        )
        .default("25h"),
        AttributeSchema::start(
            "allow_short_secret",
            Kind::Bool,
            "Accepts a secret that is shorter than RFC 7518 asks for.",
        )
        .default("false"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "What tokens are signed with: a key from a file, or one that is made, announced, used and retired by the clock.",
    example: r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    signing_key "main" {
      algorithm = "EdDSA"
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

const HOUR: u64 = 3600;

/// How long a key that is made here signs.
const ROTATE_EVERY: Duration = Duration::from_secs(2160 * HOUR);
const PUBLISH_AHEAD: Duration = Duration::from_secs(24 * HOUR);
const KEEP_AFTER: Duration = Duration::from_secs(25 * HOUR);
/// What a key must outlive the tokens it signed by (AS-KEY-2).
const SKEW: Duration = Duration::from_secs(300);

/// The key of a server that names none.
pub(super) fn standard(longest: Duration) -> KeySpec {
    KeySpec {
        label: "main".into(),
        algorithm: Algorithm::Es256,
        kid: None,
        source: KeySource::Managed {
            rotate_every: Some(ROTATE_EVERY),
            publish_ahead: PUBLISH_AHEAD,
            keep_after: KEEP_AFTER.max(longest + SKEW),
        },
    }
}

/// Reads the block; `longest` is the longest lifetime of a token.
pub(super) fn read(reader: Reader<'_>, longest: Duration) -> Option<KeySpec> {
    let label: Arc<str> = reader.label()?.text.as_str().into();
    let algorithm = match reader.one_of("algorithm") {
        Some(name) => name.value.parse().ok()?,
        None if reader.has("algorithm") => return None,
        None => Algorithm::Es256,
    };
    let kid = reader.filled("kid").map(|kid| kid.value);
    let source = if reader.has("key") || reader.has("key_file") {
        for name in ["rotate_every", "publish_ahead", "keep_after"] {
            if let Some(attribute) = reader.attribute(name) {
                let message = format!("`{name}` has a meaning for keys that are made here only");
                reader.cx.report(Diagnostic::error(
                    code::CONFLICT,
                    attribute.name.span,
                    message,
                ));
            }
        }
        KeySource::Fixed(Arc::new(fixed(reader, algorithm)?))
    } else {
        managed(reader, algorithm, kid.is_some(), longest)?
    };
    Some(KeySpec {
        label,
        algorithm,
        kid,
        source,
    })
}

fn managed(
    reader: Reader<'_>,
    algorithm: Algorithm,
    named: bool,
    longest: Duration,
) -> Option<KeySource> {
    if algorithm.family() == Family::Hmac {
        let message = format!("{} needs `key` or `key_file`", algorithm.name());
        reader
            .cx
            .report(Diagnostic::error(code::MISSING, reader.span(), message));
        return None;
    }
    let duration = |name: &str| reader.long_duration(name);
    let rotate_every = match duration("rotate_every") {
        Some(given) => Some(given.value).filter(|every| !every.is_zero()),
        None => (!named).then_some(ROTATE_EVERY),
    };
    let publish_ahead = duration("publish_ahead").map_or(PUBLISH_AHEAD, |given| given.value);
    let keep_after = match duration("keep_after") {
        Some(given) => {
            if given.value < longest + SKEW {
                let message = format!(
                    "`keep_after` must be `{}` at least: that long tokens can be valid, and five minutes",
                    crate::blocks::duration::show(longest + SKEW)
                );
                reader.bad_value(given.span, message);
            }
            given.value
        }
        None => KEEP_AFTER.max(longest + SKEW),
    };
    if let Some(every) = rotate_every.filter(|every| *every <= publish_ahead) {
        let span = reader
            .attribute("rotate_every")
            .map_or(reader.span(), |attribute| attribute.value_span);
        let message = format!(
            "`rotate_every` (`{}`) must be longer than `publish_ahead`",
            crate::blocks::duration::show(every)
        );
        reader.bad_value(span, message);
    }
    Some(KeySource::Managed {
        rotate_every,
        publish_ahead,
        keep_after,
    })
}

fn fixed(reader: Reader<'_>, algorithm: Algorithm) -> Option<SigningKey> {
    secret::warn_if_literal(reader, "key", None);
    let bytes = reader.inline_or_file("key", "key_file")?;
    let key = if algorithm.family() == Family::Hmac {
        SigningKey::from_secret(algorithm, &bytes.value)
    } else {
        SigningKey::from_pem(algorithm, &bytes.value)
    };
    match key {
        Ok(key) => {
            if let Some(weakness) = key.weakness() {
                let allowed = reader.boolean("allow_short_secret").unwrap_or(false);
                report_weakness(reader, weakness, allowed, bytes.span);
            }
            Some(key)
        }
        Err(error) => {
            let message = format!("key for {}: {error}", algorithm.name());
            reader.bad_value(bytes.span, message);
            None
        }
    }
}

/// A short secret is refused unless the configuration insists.
pub(super) fn report_weakness(reader: Reader<'_>, weakness: Weakness, allowed: bool, span: Span) {
    let short = matches!(weakness, Weakness::ShortSecret { .. });
    let message = weakness.to_string();
    reader.cx.report(if short && !allowed {
        Diagnostic::error(code::BAD_VALUE, span, message)
            .hint("`allow_short_secret = true` accepts it")
    } else {
        Diagnostic::warning(code::SUSPICIOUS, None::<Span>, message)
    });
}

/// A label that must be that of a key.
pub(super) fn known(
    reader: Reader<'_>,
    name: &Spanned<String>,
    keys: &[KeySpec],
) -> Option<Arc<str>> {
    if let Some(key) = keys.iter().find(|key| *key.label == *name.value) {
        return Some(Arc::clone(&key.label));
    }
    let message = format!("signing key `{}` is not defined", name.value);
    let labels = keys.iter().map(|key| &*key.label);
    reader.cx.report(
        Diagnostic::error(code::UNDEFINED, name.span, message).maybe_hint(
            crate::diagnostic::nearest::did_you_mean(&name.value, labels),
        ),
    );
    None
}
