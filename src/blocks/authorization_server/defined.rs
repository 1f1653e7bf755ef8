//! The authorization servers and consumers of a configuration, read when they are first referred to.

use super::{Mounted, SCHEMA, Surroundings, consumer, storage};
use crate::blocks::Definitions;
use crate::blocks::context::Context;
use crate::blocks::fingerprint::Fingerprint;
use crate::blocks::reader::{Reader, Spanned};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::hcl::{Block, Body};
use crate::oauth::server::{Backing, Consumer, Server};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is defined, and what has been read of it.
pub(crate) struct Defined<'a> {
    cx: &'a Context<'a>,
    servers: &'a [Block],
    default_port: u16,
    admin: Option<&'a Block>,
    definitions: &'a Body,
    backing: Arc<Backing>,
    stores: bool,
    consumers: BTreeMap<String, Arc<Consumer>>,
    read: RefCell<Vec<(String, Option<Arc<Server>>)>>,
    inline: RefCell<Vec<Arc<Server>>>,
}

impl std::fmt::Debug for Defined<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Defined").finish_non_exhaustive()
    }
}

/// A place that mounts a server.
#[derive(Debug)]
pub struct Mount {
    /// The server.
    pub server: Arc<Server>,
    /// What tokens that are good only here carry.
    pub name: Arc<str>,
    /// Where it is mounted.
    pub span: Span,
}

impl Mount {
    /// Every address, with what answers there.
    pub fn routes(&self) -> impl Iterator<Item = (&str, Mounted)> {
        self.server.paths.iter().map(|(endpoint, path)| {
            let mounted = Mounted {
                server: Arc::clone(&self.server),
                endpoint,
                mount: Arc::clone(&self.name),
            };
            (path, mounted)
        })
    }
}

impl<'a> Defined<'a> {
    /// Reads the consumers and `storage`.
    pub(crate) fn new(
        cx: &'a Context<'a>,
        definitions: &'a Body,
        singles: &'a [Block],
        servers: &'a [Block],
        default_port: u16,
    ) -> Self {
        let labels = |kind: &str| -> Vec<String> {
            let blocks = definitions.blocks_of(kind);
            blocks.map(|block| block.label().to_owned()).collect()
        };
        cx.know_labels("consumer", labels("consumer"));
        cx.know_labels("authorization_server", labels("authorization_server"));
        let consumers = definitions.blocks_of("consumer").map(|block| {
            let reader = Reader::new(cx, block, &consumer::SCHEMA);
            (block.label().to_owned(), Arc::new(consumer::read(reader)))
        });
        let storage = singles.iter().find(|block| block.kind.text == "storage");
        let stored = storage.and_then(|block| {
            let storage = storage::read(Reader::new(cx, block, &storage::SCHEMA))?;
            let identity = Fingerprint::of("storage").attributes(block, &storage::NAMES, cx);
            Some(cx.keep(identity, || Backing::new(Some(storage))))
        });
        let nothing = || cx.keep(Fingerprint::of("no storage"), || Backing::new(None));
        Self {
            cx,
            servers,
            default_port,
            admin: singles.iter().find(|block| block.kind.text == "admin"),
            definitions,
            stores: storage.is_some(),
            backing: stored.unwrap_or_else(nothing),
            consumers: consumers.collect(),
            read: RefCell::default(),
            inline: RefCell::default(),
        }
    }

    /// What servers keep.
    pub(crate) fn backing(&self) -> &Arc<Backing> {
        &self.backing
    }

    /// The consumer of a label, custom id or id, for callers without credentials.
    pub(crate) fn anonymous(&self, name: &Spanned<String>) -> Option<Arc<Consumer>> {
        let named = |consumer: &&Arc<Consumer>| {
            consumer.id.to_string() == name.value
                || consumer.custom_id.as_deref() == Some(name.value.as_str())
        };
        if self.consumers.contains_key(&name.value) {
            return self.consumer(name);
        }
        let found = self.consumers.values().find(named).cloned();
        found.or_else(|| self.consumer(name))
    }

    /// `admin`, if there is one; asked for when all servers have been read.
    pub(crate) fn admin(&self) -> Option<super::admin::Block> {
        let block = self.admin?;
        let declared = super::admin::declared(&self.all(), &self.consumers());
        super::admin::read(
            Reader::new(self.cx, block, &super::admin::SCHEMA),
            self.definitions,
            self.stores,
            declared,
        )
    }

    /// All consumers.
    pub(crate) fn consumers(&self) -> Vec<Arc<Consumer>> {
        self.consumers.values().cloned().collect()
    }

    /// The consumer of a label; an undefined one is a finding.
    pub(crate) fn consumer(&self, name: &Spanned<String>) -> Option<Arc<Consumer>> {
        if let Some(consumer) = self.consumers.get(&name.value) {
            return Some(Arc::clone(consumer));
        }
        let message = format!("referenced consumer `{}` is not defined", name.value);
        let known = self.consumers.keys().map(String::as_str);
        self.cx.report(
            Diagnostic::error(code::UNDEFINED, name.span, message)
                .maybe_hint(did_you_mean(&name.value, known)),
        );
        None
    }

    /// Every server that was read.
    pub(crate) fn all(&self) -> Vec<Arc<Server>> {
        let read = self.read.borrow();
        let defined = read.iter().filter_map(|(_, server)| server.clone());
        defined
            .chain(self.inline.borrow().iter().cloned())
            .collect()
    }

    /// The server of a label; an undefined one is a finding.
    pub(crate) fn server(
        &self,
        definitions: &Definitions<'_>,
        blocks: &Body,
        name: &Spanned<String>,
    ) -> Option<Arc<Server>> {
        let label = name.value.as_str();
        if let Some((_, server)) = self.read.borrow().iter().find(|(known, _)| known == label) {
            return server.clone();
        }
        let block = blocks
            .blocks_of(SCHEMA.name)
            .find(|block| block.label() == label);
        let Some(block) = block else {
            let known = blocks.blocks_of(SCHEMA.name).map(Block::label);
            let message = format!("referenced authorization server `{label}` is not defined");
            self.cx.report(
                Diagnostic::error(code::UNDEFINED, name.span, message)
                    .maybe_hint(did_you_mean(label, known)),
            );
            return None;
        };
        let around = Surroundings {
            mounts: self.mounts_of(label),
            storage: self.stores,
            backing: Arc::clone(&self.backing),
            definitions,
        };
        let reader = Reader::new(self.cx, block, &SCHEMA);
        let server = super::read(reader, &around).map(Arc::new);
        self.read
            .borrow_mut()
            .push((label.to_owned(), server.clone()));
        server
    }

    /// What a `server` or `api` mounts: by labels, or by a block of its own.
    pub(crate) fn mounts(
        &self,
        reader: Reader<'_>,
        definitions: &Definitions<'_>,
        server: &Block,
        name: &str,
    ) -> Vec<Mount> {
        let labels = reader
            .strings("authorization_server")
            .map(|list| list.value);
        let mut mounts = Vec::new();
        for label in labels.into_iter().flatten() {
            if let Some(server) = definitions.authorization_server(&label) {
                mounts.push(Mount {
                    server,
                    name: name.into(),
                    span: label.span,
                });
            }
        }
        if reader.schema().block("authorization_server").is_some()
            && let Some(block) = reader.inner("authorization_server")
        {
            let around = Surroundings {
                mounts: origins(self.cx, server, self.default_port),
                storage: self.stores,
                backing: Arc::clone(&self.backing),
                definitions,
            };
            let inner = Reader::new(self.cx, block, &SCHEMA);
            if let Some(server) = super::read(inner, &around).map(Arc::new) {
                self.inline.borrow_mut().push(Arc::clone(&server));
                mounts.push(Mount {
                    server,
                    name: name.into(),
                    span: block.header(),
                });
            }
        }
        mounts
    }

    /// Origins of the hosts that mount a server.
    fn mounts_of(&self, label: &str) -> Vec<String> {
        let names = |body: &Body| {
            let value = body.attribute(SCHEMA.name);
            let value = value.and_then(|attribute| self.cx.start_value_quietly(attribute));
            value.is_some_and(|value| {
                let is = |value: &crate::expr::Value<'_>| value.as_str() == Some(label);
                is(&value) || value.as_items().is_some_and(|items| items.iter().any(is))
            })
        };
        let mounting = self.servers.iter().filter(|server| {
            names(&server.body) || server.body.blocks_of("api").any(|api| names(&api.body))
        });
        mounting
            .flat_map(|server| origins(self.cx, server, self.default_port))
            .collect()
    }
}

/// `scheme://host:port` of each host of a `server` block.
fn origins(cx: &Context<'_>, server: &Block, default_port: u16) -> Vec<String> {
    let tls = server.body.blocks_of("tls").next().is_some();
    let scheme = if tls { "https" } else { "http" };
    let hosts = server.body.attribute("hosts");
    let hosts = hosts.and_then(|attribute| cx.start_value_quietly(attribute));
    let hosts: Vec<String> = hosts
        .as_ref()
        .and_then(|value| value.as_items())
        .map(|items| {
            let texts = items.iter().filter_map(|item| item.as_str());
            texts.map(str::to_owned).collect()
        })
        .unwrap_or_default();
    if hosts.is_empty() {
        return vec![format!("{scheme}://*:{default_port}")];
    }
    let origin = |host: &String| match host.rfind(':') {
        Some(at) if !host.ends_with(']') && !host.ends_with(":*") => {
            format!("{scheme}://{}{}", &host[..at], &host[at..])
        }
        _ => format!("{scheme}://{}:{default_port}", host.trim_end_matches(":*")),
    };
    hosts.iter().map(origin).collect()
}
