//! `storage`: where what must survive a restart is kept.
//!
//! ```hcl
//! storage {
//!   url = "sqlite:./gateway.db"
//! }
//! ```

use super::secret;
use crate::blocks::fingerprint::Fingerprint;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::crypto::seal::StorageKeys;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::store::sqlite::Options;
use crate::store::{Database, Storage, Sweep, Vault};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "storage",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "url",
            Kind::String,
            "`sqlite:PATH`, or `sqlite::memory:` for tests.",
        )
        .required(),
        AttributeSchema::start(
            "encryption_key",
            Kind::Any,
            "32 bytes in base64, or a list of such: the first one encrypts, all decrypt.",
        ),
        AttributeSchema::start("encryption_key_file", Kind::Path, "File with the key."),
        AttributeSchema::start("pool", Kind::Number, "Connections to the database.").default("16"),
        AttributeSchema::start(
            "statement_timeout",
            Kind::Duration,
            "Longest wait for a statement.",
        )
        .default("2s"),
        AttributeSchema::start(
            "sweep_every",
            Kind::Duration,
            "How often what has expired is removed.",
        )
        .default("60s"),
        AttributeSchema::start(
            "retain_expired",
            Kind::Duration,
            "How long expired access tokens are kept.",
        )
        .default("0s"),
        AttributeSchema::start(
            "token_storage",
            Kind::String,
            "Whether only hashes of tokens are kept, or their values sealed beside them.",
        )
        .one_of(&["hash", "sealed"])
        .default("hash"),
        AttributeSchema::start(
            "secret_storage",
            Kind::String,
            "The same for client secrets.",
        )
        .one_of(&["hash", "sealed"])
        .default("hash"),
        AttributeSchema::start(
            "on_failure",
            Kind::String,
            "What happens while the store cannot be had.",
        )
        .one_of(&["refuse", "last_known"])
        .default("refuse"),
        AttributeSchema::start(
            "auto_migrate",
            Kind::Bool,
            "Whether the database is brought up to date at start.",
        )
        .default("true"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Where what must survive a restart is kept: clients and tokens that the configuration does not hold.",
    example: r#"server {
  endpoint "/" {
    response {}
  }
}

storage {
  url = "sqlite:./gateway.db"
}
"#,
};

/// What, when changed, makes another store of it.
pub(super) const NAMES: [&str; 10] = [
    "url",
    "encryption_key",
    "encryption_key_file",
    "pool",
    "statement_timeout",
    "sweep_every",
    "retain_expired",
    "token_storage",
    "secret_storage",
    "auto_migrate",
];

/// Reads the block. The database is taken over from the configuration before if it is the same file.
pub(super) fn read(reader: Reader<'_>) -> Option<Storage> {
    let location = location(reader);
    let keys = encryption_keys(reader);
    let sealed = |name: &str| {
        reader
            .one_of(name)
            .filter(|choice| choice.value == "sealed")
    };
    let (tokens, secrets) = (sealed("token_storage"), sealed("secret_storage"));
    let given = reader.has("encryption_key") || reader.has("encryption_key_file");
    if !given {
        for (name, choice) in [("token_storage", &tokens), ("secret_storage", &secrets)] {
            if let Some(choice) = choice {
                let message = format!("`{name} = \"sealed\"` needs an `encryption_key`");
                reader
                    .cx
                    .report(Diagnostic::error(code::INCOMPLETE, choice.span, message));
            }
        }
    }
    let duration = |name: &str, default| {
        let given = reader.long_duration(name);
        given.map_or(Duration::from_secs(default), |given| given.value)
    };
    let positive = |name: &str, default| {
        let value = duration(name, default);
        if value.is_zero() {
            let span = reader
                .attribute(name)
                .map_or(reader.span(), |attribute| attribute.value_span);
            reader.bad_value(span, format!("`{name}` must be greater than zero"));
        }
        value
    };
    let readers = reader.number("pool").map_or(16, |pool| pool.value);
    let options = Options {
        limit: positive("statement_timeout", 2),
        readers: usize::try_from(readers).unwrap_or(16).clamp(1, 64),
        migrate: reader.boolean("auto_migrate").unwrap_or(true),
        path: location?,
    };
    let sweep = Sweep {
        every: positive("sweep_every", 60),
        retain: duration("retain_expired", 0),
    };
    if reader
        .one_of("on_failure")
        .is_some_and(|failure| failure.value == "last_known")
    {
        let message = "`on_failure = \"last_known\"` is not available in this version";
        reader.cx.report(Diagnostic::error(
            code::NOT_AVAILABLE,
            reader.span(),
            message,
        ));
    }
    let vault = match Vault::new(keys?, tokens.is_some(), secrets.is_some()) {
        Ok(vault) => vault,
        Err(_) if !given => return None,
        Err(error) => {
            reader.bad_value(reader.span(), format!("`storage`: {error}"));
            return None;
        }
    };
    // One file is open once: two ways to it would lock each other out.
    let identity = Fingerprint::of("database").text(&format!("{:?}", options.path));
    Some(Storage {
        database: reader.cx.keep(identity, || Database::new(options, sweep)),
        vault: Arc::new(vault),
    })
}

#[expect(clippy::option_option, reason = "memory is not the same as a fault")]
fn location(reader: Reader<'_>) -> Option<Option<PathBuf>> {
    let url = reader.string("url")?;
    let (scheme, rest) = url.value.split_once(':').unwrap_or((&url.value, ""));
    match scheme {
        "sqlite" if rest == ":memory:" => Some(None),
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() {
                reader.bad_value(url.span, "`url` names no file: write `sqlite:PATH`");
                return None;
            }
            Some(Some(reader.cx.resolve(path, url.span)))
        }
        "postgres" | "postgresql" => {
            let message = "storage in PostgreSQL is not available in this version";
            reader
                .cx
                .report(Diagnostic::error(code::NOT_AVAILABLE, url.span, message));
            None
        }
        _ => {
            reader.cx.report(
                Diagnostic::error(code::BAD_VALUE, url.span, "`url` has an unknown scheme")
                    .hint("write `sqlite:PATH`"),
            );
            None
        }
    }
}

/// `None` after a fault.
#[expect(clippy::option_option, reason = "no key is not the same as a fault")]
fn encryption_keys(reader: Reader<'_>) -> Option<Option<StorageKeys>> {
    secret::warn_if_literal(reader, "encryption_key", None);
    let (texts, span): (Vec<Zeroizing<String>>, Span) =
        if let Some(value) = reader.value("encryption_key") {
            let own = |text: &str| Zeroizing::new(text.to_owned());
            let texts = match value.value.as_items() {
                Some(items) => items.iter().map(|item| item.as_str().map(own)).collect(),
                None => value.value.as_str().map(|text| vec![own(text)]),
            };
            let Some(texts) = texts else {
                reader.bad_value(
                    value.span,
                    "`encryption_key` takes a string or a list of them",
                );
                return None;
            };
            (texts, value.span)
        } else if reader.has("encryption_key_file") {
            let file = reader.file("encryption_key_file")?;
            let text = String::from_utf8_lossy(&file.value).trim().to_owned();
            (vec![Zeroizing::new(text)], file.span)
        } else {
            return Some(None);
        };
    match StorageKeys::parse(texts.iter().map(|text| text.as_str())) {
        Ok(keys) => Some(Some(keys)),
        Err(error) => {
            reader.cx.report(
                Diagnostic::error(code::BAD_VALUE, span, format!("`encryption_key`: {error}"))
                    .hint("`openssl rand -base64 32` makes one"),
            );
            None
        }
    }
}
