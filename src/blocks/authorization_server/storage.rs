//! `storage`: where what must survive a restart is kept.
//!
//! ```hcl
//! storage {
//!   url = "sqlite:./gateway.db"
//! }
//! ```

use super::secret;
use crate::blocks::Fingerprint;
use crate::blocks::context::Context;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::crypto::seal::StorageKeys;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::store::{self, sqlite};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Connections that read: more than this is of no use to one file.
const MOST_READERS: usize = 16;

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

/// Where data are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In memory, until the process ends.
    Memory,
    /// In a file.
    File(PathBuf),
}

/// What the block says.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Where data are kept.
    pub location: Location,
    /// The first one encrypts, all decrypt.
    pub encryption_keys: Vec<Arc<Zeroizing<[u8; 32]>>>,
    /// Connections.
    pub pool: usize,
    /// Longest wait for a statement.
    pub statement_timeout: Duration,
    /// How often what has expired is removed.
    pub sweep_every: Duration,
    /// How long expired access tokens are kept.
    pub retain_expired: Duration,
    /// Whether values of tokens are kept sealed.
    pub seals_tokens: bool,
    /// Whether client secrets are kept sealed.
    pub seals_secrets: bool,
    /// Whether what was known last counts while the store cannot be had.
    pub last_known: bool,
    /// Whether the database is brought up to date at start.
    pub auto_migrate: bool,
    /// Where the block stands.
    pub span: Span,
}

impl Storage {
    /// The database, taken over from the configuration before if it is the same file, and the keys.
    pub fn build(&self, cx: &Context<'_>) -> Option<store::Storage> {
        let path = match &self.location {
            Location::Memory => None,
            Location::File(path) => Some(path.clone()),
        };
        let options = sqlite::Options {
            path,
            readers: self.pool.clamp(1, MOST_READERS),
            limit: self.statement_timeout,
            migrate: self.auto_migrate,
        };
        let sweep = store::Sweep {
            every: self.sweep_every,
            retain: self.retain_expired,
        };
        // One file is open once: two ways to it would lock each other out.
        let identity = Fingerprint::of("storage").text(&format!("{:?}", self.location));
        let database = cx.keep(identity, || store::Database::new(options, sweep));
        let keys = self.encryption_keys.iter().map(|key| &***key);
        let vault = StorageKeys::from_bytes(keys)
            .and_then(|keys| store::Vault::new(keys, self.seals_tokens, self.seals_secrets));
        match vault {
            Ok(vault) => Some(store::Storage {
                database,
                vault: Arc::new(vault),
            }),
            // What is wrong with the keys has been reported.
            Err(_) => None,
        }
    }
}

/// Reads the block.
pub fn read(reader: Reader<'_>) -> Option<Storage> {
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
    let failure = reader.one_of("on_failure");
    Some(Storage {
        pool: reader
            .number("pool")
            .map_or(16, |pool| usize::try_from(pool.value).unwrap_or(16)),
        statement_timeout: positive("statement_timeout", 2),
        sweep_every: positive("sweep_every", 60),
        retain_expired: duration("retain_expired", 0),
        seals_tokens: tokens.is_some(),
        seals_secrets: secrets.is_some(),
        last_known: failure.is_some_and(|failure| failure.value == "last_known"),
        auto_migrate: reader.boolean("auto_migrate").unwrap_or(true),
        span: reader.span(),
        encryption_keys: keys?,
        location: location?,
    })
}

fn location(reader: Reader<'_>) -> Option<Location> {
    let url = reader.string("url")?;
    let (scheme, rest) = url.value.split_once(':').unwrap_or((&url.value, ""));
    match scheme {
        "sqlite" if rest == ":memory:" => Some(Location::Memory),
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() {
                reader.bad_value(url.span, "`url` names no file: write `sqlite:PATH`");
                return None;
            }
            Some(Location::File(reader.cx.resolve(path, url.span)))
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
fn encryption_keys(reader: Reader<'_>) -> Option<Vec<Arc<Zeroizing<[u8; 32]>>>> {
    secret::warn_if_literal(reader, "encryption_key", None);
    let (texts, span): (Vec<Zeroizing<String>>, Span) =
        if let Some(value) = reader.value("encryption_key") {
            let texts = match value.value.as_items() {
                Some(items) => items
                    .iter()
                    .map(|item| item.as_str().map(|text| Zeroizing::new(text.to_owned())))
                    .collect(),
                None => value
                    .value
                    .as_str()
                    .map(|text| vec![Zeroizing::new(text.to_owned())]),
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
            let text = String::from_utf8_lossy(&file.value).into_owned();
            (vec![Zeroizing::new(text)], file.span)
        } else {
            return Some(Vec::new());
        };
    let mut keys = Vec::new();
    for text in texts {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        match bytes.map(|bytes| <[u8; 32]>::try_from(bytes.as_slice())) {
            Ok(Ok(key)) => keys.push(Arc::new(Zeroizing::new(key))),
            _ => {
                reader.cx.report(
                    Diagnostic::error(
                        code::BAD_VALUE,
                        span,
                        "`encryption_key` is not 32 bytes in base64",
                    )
                    .hint("`openssl rand -base64 32` makes one"),
                );
                return None;
            }
        }
    }
    Some(keys)
}
