//! `admin_token`: a token for the admin API.
//!
//! ```hcl
//! admin_token "ops" {
//!   token_hash = "sha256:…"
//!   scopes     = ["consumers:write"]
//! }
//! ```

use crate::admin::guard::{Scope, Token};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, code};
use crate::store::{Digest, Millis};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "admin_token",
    // Required in `definitions`, which checks it.
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start(
            "token_hash",
            Kind::String,
            "SHA-256 of the token: `sha256:` and 64 hexadecimal digits.",
        )
        .required(),
        AttributeSchema::start(
            "scopes",
            Kind::Strings,
            "What it is good for: `admin`, or a resource with `:read` or `:write`.",
        )
        .required(),
        AttributeSchema::start(
            "not_after",
            Kind::String,
            "When it ends, as in `2027-01-31T00:00:00Z`.",
        ),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "A token for the admin API. Only its digest is in the file.",
    example: r#"server {
  endpoint "/" {
    response {}
  }
}

definitions {
  admin_token "ops" {
    token_hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    scopes     = ["consumers:write", "status:read"]
  }
}

storage {
  url = "sqlite:./gateway.db"
}

admin {
  hosts          = ["127.0.0.1:8001"]
  access_control = ["ops"]
}
"#,
};

/// Reads the block; `None` after a fault.
pub(super) fn read(reader: Reader<'_>) -> Option<Token> {
    let hash = reader.string("token_hash")?;
    let digest = hash.value.strip_prefix("sha256:").map(str::parse::<Digest>);
    let Some(Ok(digest)) = digest else {
        let message = "`token_hash` is not `sha256:` with 64 hexadecimal digits";
        reader.cx.report(
            Diagnostic::error(code::BAD_VALUE, hash.span, message)
                .hint("`printf %s \"$TOKEN\" | sha256sum` makes one"),
        );
        return None;
    };
    let mut scopes = Vec::new();
    for name in reader.strings("scopes")?.value {
        match Scope::of(&name.value) {
            Some(scope) => scopes.push(scope),
            None => {
                let known = Scope::names();
                let known = known.iter().map(String::as_str);
                let message = format!("`{}` is no scope of the admin API", name.value);
                reader.cx.report(
                    Diagnostic::error(code::BAD_VALUE, name.span, message)
                        .maybe_hint(did_you_mean(&name.value, known)),
                );
            }
        }
    }
    let not_after = match reader.string("not_after") {
        None => None,
        Some(text) => match text.value.parse::<jiff::Timestamp>() {
            Ok(time) => Some(Millis(time.as_millisecond())),
            Err(_) => {
                let message = format!("`not_after` is `{}`, expected an RFC 3339 time", text.value);
                reader.bad_value(text.span, message);
                return None;
            }
        },
    };
    Some(Token {
        label: reader.block.label().to_owned(),
        hash: digest,
        scopes,
        not_after,
    })
}
