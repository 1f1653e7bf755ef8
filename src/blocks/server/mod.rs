//! `server`: what is served on some hosts and ports.
//!
//! ```hcl
//! server "example" {
//!   hosts = ["localhost:8080"]
//!   endpoint "/" {
//!     response { body = "hello" }
//!   }
//! }
//! ```

use super::Definitions;
use super::api::{self, Api};
use super::authorization_server::{self, Mount};
use super::cors::{self, Cors};
use super::endpoint::{self, AccessList, Endpoint, Surroundings};
use super::error_file;
use super::files::{self, Files};
use super::modifiers::HeaderModifiers;
use super::reader::{Reader, Spanned};
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use super::settings::Settings;
use super::spa::{self, Spa};
use crate::diagnostic::{Diagnostic, Span, code};
use crate::error::page::Page;
use crate::expr::Program;
use std::sync::Arc;

pub(crate) mod tls;

pub use tls::ServerTls;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "server",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start(
            "hosts",
            Kind::Strings,
            "Hosts and ports: `host`, `host:port`, `*`, `*:port`.",
        )
        .default("[\"*:DEFAULT_PORT\"]"),
        AttributeSchema::start(
            "base_path",
            Kind::String,
            "Path in front of everything inside.",
        ),
        AttributeSchema::start("error_file", Kind::Path, "Template of error pages."),
        AttributeSchema::start(
            "authorization_server",
            Kind::StringOrStrings,
            "Labels of authorization servers that are served here.",
        ),
    ],
    groups: &[
        schema::ACCESS_CONTROL,
        schema::RESPONSE_HEADERS,
        schema::LOG_FIELDS,
    ],
    blocks: &[
        Child::many(&api::SCHEMA),
        Child::many(&endpoint::SCHEMA),
        Child::optional(&tls::SCHEMA),
        Child::many(&files::SCHEMA),
        Child::many(&spa::SCHEMA),
        Child::optional(&cors::SCHEMA),
        Child::optional(&authorization_server::SCHEMA),
    ],
    rules: &[],
    docs: "What is served on some hosts and ports.",
    example: r#"server "example" {
  hosts = ["localhost:8080"]
  endpoint "/" {
    response { body = "hello" }
  }
}
"#,
};

/// A host name or any, with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Lower-case name; `None` for `*`.
    pub name: Option<String>,
    /// Port.
    pub port: u16,
    /// Its place.
    pub span: Span,
}

/// A server with all that is in it.
#[derive(Debug)]
pub struct Server {
    /// Its label, empty without.
    pub label: Arc<str>,
    /// Where it is served.
    pub hosts: Vec<Host>,
    /// Its base path.
    pub base_path: String,
    /// Its apis.
    pub apis: Vec<Api>,
    /// Endpoints outside of apis.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Its folders of files.
    pub files: Vec<Arc<Files>>,
    /// Its spas.
    pub spas: Vec<Arc<Spa>>,
    /// The authorization servers that it mounts, those of its apis included.
    pub mounts: Vec<Mount>,
    /// Whether everything but an authorization server needs a client certificate.
    pub wants_certificate: bool,
    /// Modifiers of its responses.
    pub response_headers: Vec<Arc<HeaderModifiers>>,
    /// Its `cors`.
    pub cors: Option<Arc<Cors>>,
    /// TLS, when it has a `tls` block.
    pub tls: Option<ServerTls>,
    /// Page of errors.
    pub page: Page,
    /// Its `custom_log_fields`.
    pub log_fields: Vec<Arc<Program>>,
}

impl Server {
    /// Reads the block. `alone` is false when there are several servers: `hosts` is needed then.
    pub fn read(
        reader: Reader<'_>,
        settings: &Settings,
        definitions: &Definitions<'_>,
        alone: bool,
    ) -> Self {
        let base = reader.string("base_path");
        check_base_path(reader, base.as_ref());
        let label: Arc<str> = reader
            .label()
            .map_or("", |label| label.text.as_str())
            .into();
        let access = AccessList::default().inside(reader, definitions);
        let around = Surroundings {
            server: Arc::clone(&label),
            api: None,
            in_api: false,
            base_path: super::path::join(base.as_ref().map_or("", |base| &base.value), ""),
            allowed_methods: None,
            required_permission: None,
            page: error_file::read(reader).unwrap_or(Page::Html),
            cors: Cors::inside(reader, None),
            handlers: None,
            response_headers: vec![Arc::new(HeaderModifiers::response(reader))],
            log_fields: access.log_fields(reader, &AccessList::default(), &[]),
            access,
        };
        let apis = reader
            .blocks("api")
            .map(|block| {
                Api::read(
                    Reader::new(reader.cx, block, &api::SCHEMA),
                    &around,
                    definitions,
                )
            })
            .collect();
        let endpoints = reader
            .blocks("endpoint")
            .filter_map(|block| {
                let inner = Reader::new(reader.cx, block, &endpoint::SCHEMA);
                Endpoint::read(inner, &around, definitions).map(Arc::new)
            })
            .collect();
        let mut mounts = definitions
            .servers
            .mounts(reader, definitions, reader.block, &label);
        for api in reader.blocks("api") {
            let inner = Reader::quiet(reader.cx, api, &api::SCHEMA);
            let name = format!("{label}/{}", api.label());
            mounts.extend(
                definitions
                    .servers
                    .mounts(inner, definitions, reader.block, &name),
            );
        }
        let tls = reader.inner("tls").and_then(|block| {
            let inner = Reader::new(reader.cx, block, &tls::SCHEMA);
            ServerTls::read(inner, definitions, !mounts.is_empty())
        });
        let files = reader
            .blocks("files")
            .filter_map(|block| {
                let inner = Reader::new(reader.cx, block, &files::SCHEMA);
                Files::read(inner, &around, definitions).map(Arc::new)
            })
            .collect();
        let spas = reader
            .blocks("spa")
            .filter_map(|block| {
                let inner = Reader::new(reader.cx, block, &spa::SCHEMA);
                Spa::read(inner, &around, definitions).map(Arc::new)
            })
            .collect();
        Self {
            files,
            spas,
            wants_certificate: tls.as_ref().is_some_and(|tls| tls.verifies_clients),
            mounts,
            response_headers: around.response_headers.clone(),
            cors: around.cors.clone(),
            hosts: hosts(reader, settings, alone),
            base_path: around.base_path.clone(),
            apis,
            endpoints,
            tls,
            page: around.page,
            log_fields: around.log_fields,
            label,
        }
    }
}

impl Server {
    /// The endpoint or spa that has exactly this path.
    pub fn taken(&self, shape: &str) -> Option<Span> {
        let same = |pattern: &str| crate::runtime::router::shape(pattern) == shape;
        let of_apis = self.apis.iter().flat_map(|api| &api.endpoints);
        let endpoint = self
            .endpoints
            .iter()
            .chain(of_apis)
            .find(|endpoint| same(&endpoint.pattern));
        let spas = self.spas.iter().flat_map(|spa| &spa.patterns);
        let spa = spas.into_iter().find(|pattern| same(&pattern.value));
        endpoint
            .map(|endpoint| endpoint.span)
            .or(spa.map(|pattern| pattern.span))
    }
}

/// A `base_path` has no dot segments and no parameters.
pub(super) fn check_base_path(reader: Reader<'_>, base: Option<&Spanned<String>>) {
    let Some(base) = base else { return };
    if super::path::has_dot_segment(&base.value) {
        let message = format!("`base_path` `{}` has a `.` or `..` segment", base.value);
        reader.bad_value(base.span, message);
    }
    if base.value.contains("**") {
        let message = format!("`base_path` `{}` cannot hold `**`", base.value);
        reader.bad_value(base.span, message);
    }
}

fn hosts(reader: Reader<'_>, settings: &Settings, alone: bool) -> Vec<Host> {
    let given = reader
        .strings("hosts")
        .filter(|list| !list.value.is_empty());
    let Some(list) = given else {
        if !alone {
            let label = reader.label().map_or("", |label| &label.text);
            let message = format!("server `{label}` needs `hosts`, as there are several servers");
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, reader.span(), message));
        }
        return vec![Host {
            name: None,
            port: settings.default_port,
            span: reader.span(),
        }];
    };
    list.value
        .iter()
        .filter_map(|host| parse_host(reader, host, settings.default_port))
        .collect()
}

fn parse_host(reader: Reader<'_>, host: &Spanned<String>, default_port: u16) -> Option<Host> {
    let refuse = |why: &str| {
        let message = format!("host `{}` is not `host` or `host:port`: {why}", host.value);
        reader.bad_value(host.span, message);
        None
    };
    let text = host.value.trim();
    let (name, port) = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => (&text[..at], &text[at + 1..]),
        _ => (text, ""),
    };
    let port = match port {
        "" | "*" => default_port,
        port => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return refuse("the port is no number from 1 to 65535"),
        },
    };
    let bracketed = name.starts_with('[') && name.ends_with(']');
    if name.is_empty() {
        return refuse("the name is missing");
    }
    if !bracketed && name.contains([':', '/', ' ', '@']) {
        return refuse("the name holds a character that host names do not have");
    }
    let name = (name != "*").then(|| name.to_ascii_lowercase());
    Some(Host {
        name,
        port,
        span: host.span,
    })
}
