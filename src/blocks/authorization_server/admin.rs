//! `admin`: a listener of its own for operators.
//!
//! ```hcl
//! admin {
//!   hosts = ["127.0.0.1:8001"]
//! }
//! ```

use super::admin_token;
use crate::admin::guard::{Guard, Token};
use crate::admin::{Admin, Declared, DeclaredServer, Settings, Timestamps};
use crate::blocks::reader::{Reader, Spanned};
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, code};
use crate::hcl::{self, Body};
use crate::oauth::server::client::AuthMethod;
use crate::oauth::server::redirect::is_loopback;
use crate::oauth::server::{self, Server};
use crate::store::{self, ClientType, Millis, Source};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

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

/// What the block says.
#[derive(Debug)]
pub struct Block {
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// Who may do what.
    pub settings: Settings,
    /// What the file declares.
    pub declared: Declared,
    /// The API, once the store is open.
    pub api: OnceLock<Arc<Admin>>,
}

/// Where an admin API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`
    Tcp(String),
    /// `unix:PATH`
    Unix(PathBuf),
}

/// Reads the block. `definitions` are its surroundings; `None` after a fault.
pub(crate) fn read(
    reader: Reader<'_>,
    definitions: &Body,
    storage: bool,
    declared: Declared,
) -> Option<Block> {
    if !storage {
        let message = "`admin` needs a `storage`: what it makes has to be kept somewhere";
        reader.cx.report(
            Diagnostic::error(code::INCOMPLETE, reader.span(), message)
                .hint("add `storage { url = \"sqlite:./gateway.db\" }` at the top of the file"),
        );
    }
    let tokens = tokens(reader, definitions);
    let mut guard = Guard {
        origins: texts(reader, "origins"),
        tokens: tokens?,
        ..Guard::default()
    };
    let hosts = match reader.strings("hosts") {
        Some(hosts) => hosts.value,
        None => vec![Spanned {
            value: "127.0.0.1:8001".into(),
            span: reader.span(),
        }],
    };
    let mut addresses = Vec::new();
    for host in &hosts {
        let address = address(reader, host)?;
        if guard.tokens.is_empty() && !is_local(&address) {
            let message = format!(
                "`admin` without `access_control` listens on loopback addresses only, `{}` is none",
                host.value
            );
            reader
                .cx
                .report(Diagnostic::error(code::CONFLICT, host.span, message));
        }
        guard.hosts.extend(names(&address));
        addresses.push(address);
    }
    let choice = reader.one_of("token_timestamps");
    Some(Block {
        addresses,
        settings: Settings {
            guard,
            read_only: reader.boolean("read_only").unwrap_or(false),
            timestamps: match choice {
                Some(unit) if unit.value == "s" => Timestamps::Seconds,
                _ => Timestamps::Millis,
            },
            require_consumer: reader.boolean("require_consumer").unwrap_or(true),
        },
        declared,
        api: OnceLock::new(),
    })
}

fn texts(reader: Reader<'_>, name: &str) -> Vec<String> {
    let given = reader.strings(name).map(|list| list.value);
    given.into_iter().flatten().map(|item| item.value).collect()
}

/// The tokens of `access_control`; `None` after a fault.
fn tokens(reader: Reader<'_>, definitions: &Body) -> Option<Vec<Token>> {
    let labels = reader.strings("access_control").map(|list| list.value);
    let mut tokens = Vec::new();
    for label in labels.into_iter().flatten() {
        let block = definitions
            .blocks_of(admin_token::SCHEMA.name)
            .find(|block| block.label() == label.value);
        let Some(block) = block else {
            let known = definitions.blocks_of(admin_token::SCHEMA.name);
            let message = format!("`{}` is no `admin_token` of `definitions`", label.value);
            reader.cx.report(
                Diagnostic::error(code::UNDEFINED, label.span, message)
                    .maybe_hint(did_you_mean(&label.value, known.map(hcl::Block::label))),
            );
            return None;
        };
        let inner = Reader::new(reader.cx, block, &admin_token::SCHEMA);
        tokens.push(admin_token::read(inner)?);
    }
    Some(tokens)
}

fn address(reader: Reader<'_>, host: &Spanned<String>) -> Option<Address> {
    if let Some(path) = host.value.strip_prefix("unix:") {
        return Some(Address::Unix(reader.cx.resolve(path, host.span)));
    }
    let port = host
        .value
        .rsplit_once(':')
        .map(|(name, port)| (name, port.parse::<u16>()));
    match port {
        Some((name, Ok(_))) if !name.is_empty() => Some(Address::Tcp(host.value.clone())),
        _ => {
            let message = format!("`{}` is not `host:port` or `unix:PATH`", host.value);
            reader.bad_value(host.span, message);
            None
        }
    }
}

/// The names by which a listener may be asked for. Those of this machine stand for each other: no
/// foreign DNS answers for them.
fn names(address: &Address) -> Vec<String> {
    let Address::Tcp(text) = address else {
        return Vec::new();
    };
    let text = text.to_ascii_lowercase();
    let Some((_, port)) = text.rsplit_once(':') else {
        return vec![text];
    };
    if is_local(address) {
        ["localhost", "127.0.0.1", "[::1]"]
            .map(|name| format!("{name}:{port}"))
            .into()
    } else {
        vec![text]
    }
}

fn is_local(address: &Address) -> bool {
    match address {
        Address::Unix(_) => true,
        Address::Tcp(text) => {
            let name = text
                .rsplit_once(':')
                .map_or(text.as_str(), |(name, _)| name);
            is_loopback(name.trim_start_matches('[').trim_end_matches(']'))
        }
    }
}

/// What the file declares, as the admin API shows it.
pub(crate) fn declared(servers: &[Arc<Server>], consumers: &[Arc<server::Consumer>]) -> Declared {
    let mut declared = Declared {
        servers: servers
            .iter()
            .map(|server| declared_server(server))
            .collect(),
        consumers: consumers
            .iter()
            .map(|consumer| show_consumer(consumer))
            .collect(),
        clients: servers
            .iter()
            .flat_map(|server| {
                server
                    .clients
                    .values()
                    .map(|client| show_client(server, client))
            })
            .collect(),
        services: Vec::new(),
    };
    declared.consumers.sort_by_key(|consumer| consumer.id);
    declared.clients.sort_by_key(|client| client.id);
    declared
}

fn declared_server(server: &Server) -> DeclaredServer {
    let kong = server.dialect.name == "kong";
    DeclaredServer {
        label: server.label.to_string(),
        longest_token: server.ttl.longest(),
        scopes: server
            .scopes
            .iter()
            .map(|scope| scope.name.to_string())
            .collect(),
        any_http: kong,
        kong,
    }
}

fn list<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn metadata(value: &crate::expr::Value<'_>) -> Map<String, Value> {
    serde_json::from_slice(&value.to_json()).unwrap_or_default()
}

fn show_consumer(consumer: &server::Consumer) -> store::Consumer {
    store::Consumer {
        id: consumer.id,
        username: consumer.username.as_deref().map(str::to_owned),
        custom_id: consumer.custom_id.as_deref().map(str::to_owned),
        tags: list(&consumer.tags),
        groups: list(&consumer.groups),
        metadata: metadata(&consumer.metadata),
        source: Source::Hcl,
        created_at: Millis::default(),
        updated_at: Millis::default(),
        version: 0,
    }
}

fn show_client(server: &Server, client: &server::Client) -> store::Client {
    store::Client {
        id: client.pk,
        server: server.label.to_string(),
        client_id: client.id.to_string(),
        consumer: client.consumer.as_ref().map(|consumer| consumer.id),
        name: client
            .display
            .name
            .clone()
            .unwrap_or_else(|| client.id.to_string()),
        client_type: match client.method {
            AuthMethod::None => ClientType::Public,
            _ => ClientType::Confidential,
        },
        auth_method: Some(client.method.name().to_owned()),
        redirect_uris: client.redirect_uris.clone(),
        grant_types: client
            .grants
            .iter()
            .map(|grant| grant.name().to_owned())
            .collect(),
        scopes: (!client.any_scope).then(|| list(&client.scopes)),
        optional_scopes: (!client.any_scope).then(|| list(&client.optional_scopes)),
        audience: client.audience.clone().unwrap_or_default(),
        metadata: metadata(&client.metadata),
        tags: list(&client.tags),
        enabled: true,
        trusted: client.trusted,
        source: Source::Hcl,
        ..store::Client::default()
    }
}
