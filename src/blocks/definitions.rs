//! `definitions`: blocks that others refer to by their label.
//!
//! ```hcl
//! definitions {
//!   backend "origin" { origin = "http://localhost:8081" }
//! }
//! ```

use super::access::login::{self, Login};
use super::access::remote::Renew;
use super::access::{self, Control};
use super::authorization_server::{self, Defined, consumer};
use super::backend::{self, Backend, Outbound};
use super::context::Context;
use super::job::{self, Job};
use super::jwt_signing_profile::{self, Profiles};
use super::proxy::{self, Proxy};
use super::reader::{Reader, Spanned, check_body};
use super::schema::{self, BlockSchema, Child, Labels};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, SourceId, Span, code};
use crate::hcl::{Block, Body, Document};
use crate::oauth::server::{Backing, Consumer, Server};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "definitions",
    labels: Labels::None,
    attributes: &[],
    groups: &[],
    blocks: &ALL_BLOCKS,
    rules: &[],
    docs: "Blocks that others refer to by their label.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
  }
}
"#,
};

const OWN_BLOCKS: &[Child] = &[
    Child::many(&backend::SCHEMA),
    Child::many(&proxy::SCHEMA),
    Child::many(&jwt_signing_profile::SCHEMA),
    Child::many(&job::SCHEMA),
    Child::many(&authorization_server::SCHEMA),
    Child::many(&consumer::SCHEMA),
    Child::many(&authorization_server::admin_token::SCHEMA),
];

static ALL_BLOCKS: [Child; OWN_BLOCKS.len() + access::BLOCKS.len()] =
    schema::join(OWN_BLOCKS, access::BLOCKS);

/// Labels that name something else in `request.context`.
const RESERVED: [&str; 2] = ["granted_permissions", "required_permission"];

enum State<T> {
    Reading,
    Done(Option<Arc<T>>),
}

/// The content of all `definitions`, read when it is first referred to.
pub struct Definitions<'a> {
    /// What is known while loading.
    pub cx: &'a Context<'a>,
    body: &'a Body,
    outbound: &'a Outbound,
    backends: RefCell<BTreeMap<String, State<Backend>>>,
    path: RefCell<Vec<String>>,
    controls: RefCell<BTreeMap<String, Option<Arc<Control>>>>,
    /// Labels of the controls that are being read.
    opened: RefCell<Vec<String>>,
    remotes: RefCell<Vec<Arc<dyn Renew>>>,
    logins: RefCell<login::Table>,
    pub(super) servers: Defined<'a>,
}

impl std::fmt::Debug for Definitions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definitions").finish_non_exhaustive()
    }
}

impl<'a> Definitions<'a> {
    /// Checks labels; nothing is read yet.
    pub fn new(
        cx: &'a Context<'a>,
        document: &'a Document,
        default_port: u16,
        outbound: &'a Outbound,
    ) -> Self {
        let body = &document.definitions;
        let start = Span::new(SourceId(0), 0..0);
        let header = body.blocks.first().map_or(start, Block::header);
        // Attributes are only warned about, elsewhere.
        let blocks = Body {
            attributes: Vec::new(),
            blocks: body.blocks.clone(),
        };
        let labels = body.blocks_of("backend").map(|b| b.label().to_owned());
        cx.know_labels("backend", labels.collect());
        check_body(cx, &blocks, &SCHEMA, header);
        let definitions = Self {
            cx,
            body,
            outbound,
            backends: RefCell::default(),
            path: RefCell::default(),
            controls: RefCell::default(),
            opened: RefCell::default(),
            remotes: RefCell::default(),
            logins: RefCell::default(),
            servers: Defined::new(cx, body, &document.singles, &document.servers, default_port),
        };
        definitions.check_labels();
        definitions
    }

    /// What all backends have in common.
    pub(super) fn outbound(&self) -> &'a Outbound {
        self.outbound
    }

    /// The defined backends, by label.
    pub fn backends(&self) -> BTreeMap<String, Arc<Backend>> {
        let known = self.backends.borrow();
        let done = known.iter().filter_map(|(label, state)| match state {
            State::Done(Some(backend)) => Some((label.clone(), Arc::clone(backend))),
            State::Done(None) | State::Reading => None,
        });
        done.collect()
    }

    /// The jobs.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        let blocks = self.body.blocks_of("job");
        blocks
            .map(|block| Reader::new(self.cx, block, &job::SCHEMA))
            .filter_map(|reader| Job::read(reader, self))
            .map(Arc::new)
            .collect()
    }

    /// Reads what nobody referred to, too, so that its faults are found.
    pub fn read_all(&self, profiles: &Profiles) {
        for block in self.body.blocks_of("backend") {
            if let Some(label) = block.labels.first() {
                self.backend(&Spanned {
                    value: label.text.clone(),
                    span: label.span,
                });
            }
        }
        for block in self.body.blocks_of("proxy") {
            Proxy::read(Reader::new(self.cx, block, &proxy::SCHEMA), self);
        }
        for block in self.access_blocks() {
            if let Some(label) = block.labels.first() {
                self.access_control(&Spanned {
                    value: label.text.clone(),
                    span: label.span,
                });
            }
        }
        for block in self.body.blocks_of(authorization_server::SCHEMA.name) {
            if let Some(label) = block.labels.first() {
                self.authorization_server(&Spanned {
                    value: label.text.clone(),
                    span: label.span,
                });
            }
        }
        profiles.fill(self.cx, self.body);
    }

    /// The authorization server of a label; an undefined one is a finding.
    pub fn authorization_server(&self, name: &Spanned<String>) -> Option<Arc<Server>> {
        self.servers.server(self, self.body, name)
    }

    /// The consumer of a label; an undefined one is a finding.
    pub fn consumer(&self, name: &Spanned<String>) -> Option<Arc<Consumer>> {
        self.servers.consumer(name)
    }

    /// All consumers.
    pub fn consumers(&self) -> Vec<Arc<Consumer>> {
        self.servers.consumers()
    }

    /// All authorization servers that were read.
    pub fn authorization_servers(&self) -> Vec<Arc<Server>> {
        self.servers.all()
    }

    /// `admin`, if there is one; asked for when everything else has been read.
    pub fn admin(&self) -> Option<authorization_server::admin::Block> {
        self.servers.admin()
    }

    /// What authorization servers keep.
    pub fn backing(&self) -> Arc<Backing> {
        Arc::clone(self.servers.backing())
    }

    /// The consumer of callers without credentials; an undefined one is a finding.
    pub fn anonymous_consumer(&self, name: &Spanned<String>) -> Option<Arc<Consumer>> {
        self.servers.anonymous(name)
    }

    fn access_blocks(&self) -> impl Iterator<Item = &'a Block> {
        let blocks = self.body.blocks.iter();
        blocks.filter(|block| access::is_type(&block.kind.text))
    }

    fn check_labels(&self) {
        self.unique(self.body.blocks_of("backend"), "backend labels");
        self.unique(self.body.blocks_of("proxy"), "proxy labels");
        self.unique(self.body.blocks_of("consumer"), "consumer labels");
        self.unique(self.body.blocks_of("admin_token"), "labels of admin tokens");
        self.unique(
            self.body.blocks_of(authorization_server::SCHEMA.name),
            "labels of authorization servers",
        );
        self.unique(self.access_blocks(), "labels of access controls");
        let signs = |block: &&Block| {
            block.kind.text == "jwt_signing_profile"
                || (block.kind.text == "jwt" && block.body.attribute("signing_ttl").is_some())
        };
        self.unique(
            self.body.blocks.iter().filter(signs),
            "labels of signing profiles",
        );
        for block in &self.body.blocks {
            let needs_label = SCHEMA.block(&block.kind.text).is_some();
            if block.labels.is_empty() && needs_label {
                let message = format!("`{}` in `definitions` needs a label", block.kind.text);
                self.cx
                    .report(Diagnostic::error(code::LABELS, block.header(), message));
            }
        }
        for label in self
            .body
            .blocks_of("backend")
            .filter_map(|block| block.labels.first())
        {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if label.text.is_empty() || !label.text.bytes().all(plain) {
                let message = format!(
                    "backend label `{}` may hold letters, digits and `_` only",
                    label.text
                );
                self.cx
                    .report(Diagnostic::error(code::LABELS, label.span, message));
            } else if label.text.starts_with("anonymous_") {
                let message = format!(
                    "backend label `{}` must not start with `anonymous_`",
                    label.text
                );
                self.cx
                    .report(Diagnostic::error(code::LABELS, label.span, message));
            }
        }
        for label in self
            .access_blocks()
            .filter_map(|block| block.labels.first())
        {
            if label.text.trim().is_empty() || RESERVED.contains(&label.text.as_str()) {
                let message = format!("access control label `{}` is reserved or empty", label.text);
                self.cx
                    .report(Diagnostic::error(code::LABELS, label.span, message));
            }
        }
    }

    fn unique(&self, blocks: impl Iterator<Item = &'a Block>, what: &str) {
        let mut seen: Vec<&Block> = Vec::new();
        for block in blocks.filter(|block| !block.labels.is_empty()) {
            match seen.iter().find(|other| other.label() == block.label()) {
                None => seen.push(block),
                Some(first) => {
                    let message = format!("{what} must be unique, found `{}` twice", block.label());
                    self.cx.report(
                        Diagnostic::error(code::DUPLICATE, block.header(), message)
                            .related(first.header(), "first one"),
                    );
                }
            }
        }
    }

    fn find(&self, kind: &str, label: &str) -> Option<&'a Block> {
        self.body
            .blocks
            .iter()
            .find(|b| b.kind.text == kind && b.label() == label)
    }

    fn undefined(&self, what: &str, kind: &'a str, name: &Spanned<String>) {
        let known = self.body.blocks_of(kind).map(Block::label);
        let message = format!("{what} `{}` is not defined", name.value);
        self.cx.report(
            Diagnostic::error(code::UNDEFINED, name.span, message)
                .maybe_hint(did_you_mean(&name.value, known)),
        );
    }

    /// The block of a defined backend.
    pub(super) fn backend_block(&self, label: &str) -> Option<&'a Block> {
        self.find("backend", label)
    }

    /// The backend of a label; an undefined one and circles are findings.
    pub fn backend(&self, name: &Spanned<String>) -> Option<Arc<Backend>> {
        let Some(block) = self.find("backend", &name.value) else {
            self.undefined("referenced backend", "backend", name);
            return None;
        };
        match self.backends.borrow().get(&name.value) {
            Some(State::Done(backend)) => return backend.clone(),
            Some(State::Reading) => {
                let path = self.path.borrow();
                let start = path
                    .iter()
                    .position(|label| *label == name.value)
                    .unwrap_or(0);
                let circle = [&path[start..], std::slice::from_ref(&name.value)].concat();
                let message = format!("circular backend reference: {}", circle.join(" → "));
                self.cx
                    .report(Diagnostic::error(code::CIRCLE, name.span, message));
                return None;
            }
            None => {}
        }
        self.backends
            .borrow_mut()
            .insert(name.value.clone(), State::Reading);
        self.path.borrow_mut().push(name.value.clone());
        let reader = Reader::new(self.cx, block, &backend::SCHEMA);
        let backend = Backend::defined(reader, self).map(Arc::new);
        self.path.borrow_mut().pop();
        let done = State::Done(backend.clone());
        self.backends.borrow_mut().insert(name.value.clone(), done);
        backend
    }

    /// The defined proxy of a label with the name of its request.
    pub fn proxy(&self, name: &Spanned<String>) -> Option<(String, Option<Proxy>)> {
        let Some(block) = self.find("proxy", &name.value) else {
            self.undefined("referenced proxy", "proxy", name);
            return None;
        };
        let reader = Reader::new(self.cx, block, &proxy::SCHEMA);
        let request = reader
            .string("name")
            .map_or_else(|| "default".into(), |name| name.value);
        Some((request, Proxy::read(reader, self)))
    }

    /// Remembers a document that is to be fetched.
    pub(super) fn add_remote(&self, remote: Arc<dyn Renew>) {
        self.remotes.borrow_mut().push(remote);
    }

    /// The documents that are to be fetched.
    pub fn remotes(&self) -> Vec<Arc<dyn Renew>> {
        self.remotes.borrow().clone()
    }

    /// Remembers an access control that a function is about.
    pub(super) fn add_login(&self, protocol: login::Protocol, label: &str, login: Arc<dyn Login>) {
        let key = (protocol, label.to_owned());
        self.logins.borrow_mut().insert(key, login);
    }

    /// The access controls that functions are about.
    pub fn logins(&self) -> login::Table {
        self.logins.borrow().clone()
    }

    /// The access control of a name; an undefined one is a finding.
    pub fn access_control(&self, name: &Spanned<String>) -> Option<Arc<Control>> {
        let label = name.value.trim();
        if let Some(control) = self.controls.borrow().get(label) {
            return control.clone();
        }
        let Some(block) = self.access_blocks().find(|block| block.label() == label) else {
            if self
                .body
                .blocks
                .iter()
                .any(|b| b.label() == label && SCHEMA.block(&b.kind.text).is_none())
            {
                // Of a type that is not known, which has been reported.
                return None;
            }
            let known = self.access_blocks().map(Block::label);
            let message = format!("referenced access control `{label}` is not defined");
            self.cx.report(
                Diagnostic::error(code::UNDEFINED, name.span, message)
                    .maybe_hint(did_you_mean(label, known)),
            );
            return None;
        };
        if self.opened.borrow().iter().any(|open| open == label) {
            let message = format!("access control `{label}` refers to itself");
            self.cx
                .report(Diagnostic::error(code::CIRCLE, name.span, message));
            return None;
        }
        self.opened.borrow_mut().push(label.to_owned());
        let control = Control::read(self.cx, block, self).map(Arc::new);
        self.opened.borrow_mut().pop();
        self.controls
            .borrow_mut()
            .insert(label.to_owned(), control.clone());
        control
    }
}
