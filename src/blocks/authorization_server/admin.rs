//! `admin`: a listener of its own for operators.
//!
//! ```hcl
//! admin {
//!   hosts = ["127.0.0.1:8001"]
//! }
//! ```

use crate::blocks::reader::{Reader, Spanned};
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::oauth::server::redirect::is_loopback;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "admin",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("hosts", Kind::Strings, "Where it listens: `host:port`.")
            .default("[\"127.0.0.1:8001\"]"),
        AttributeSchema::start("read_only", Kind::Bool, "Refuses every change.").default("false"),
        AttributeSchema::start(
            "token_timestamps",
            Kind::String,
            "Unit of `created_at` of tokens.",
        )
        .one_of(&["ms", "s"])
        .default("ms"),
        AttributeSchema::start(
            "require_consumer",
            Kind::Bool,
            "An application needs a consumer.",
        )
        .default("true"),
        AttributeSchema::start("origins", Kind::Strings, "Origins of browser programs."),
    ],
    groups: &[schema::ACCESS_CONTROL],
    blocks: &[],
    rules: &[],
    docs: "A listener of its own for operators: consumers, applications, tokens, keys.",
    example: r#"server {
  endpoint "/" {
    response {}
  }
}

storage {
  url = "sqlite:./gateway.db"
}

admin {
  hosts = ["127.0.0.1:8001"]
}
"#,
};

/// Checks what does not depend on anything else: who may reach it (AS-ADM-1).
pub fn check(reader: Reader<'_>) {
    let guarded = reader
        .strings("access_control")
        .is_some_and(|list| !list.value.is_empty());
    let hosts = reader.strings("hosts").map(|list| list.value);
    for host in hosts.unwrap_or_default() {
        if !guarded && !is_local(&host) {
            let message = format!(
                "`admin` without `access_control` listens on loopback addresses only, `{}` is none",
                host.value
            );
            reader
                .cx
                .report(Diagnostic::error(code::CONFLICT, host.span, message));
        }
    }
}

fn is_local(host: &Spanned<String>) -> bool {
    let text = host.value.as_str();
    if text.starts_with("unix:") {
        return true;
    }
    let name = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => &text[..at],
        _ => text,
    };
    is_loopback(name.trim_start_matches('[').trim_end_matches(']'))
}
