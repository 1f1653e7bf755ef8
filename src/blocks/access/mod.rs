//! Access controls: blocks of `definitions` that decide who may come in.
//!
//! To add one write its file (schema, `read`, `Authenticate`), declare the module and name it in the
//! registry below.

pub mod access_token;
pub mod any_of;
pub mod api_key;
mod authorization_code;
pub mod basic_auth;
pub mod external_authz;
mod identity;
pub mod introspection;
pub mod jwt;
pub mod login;
pub mod oauth2;
pub mod oidc;
pub mod rate_limiter;
pub mod remote;
pub mod saml;

use super::Definitions;
use super::context::Context;
use super::error_handler::{Handlers, Place};
use super::reader::Reader;
use super::schema::{BlockSchema, Child};
use crate::error::{Error, Kind};
use crate::expr::Program;
use crate::hcl::Block;
use crate::http::exchange::Exchange;
use crate::http::trace;
use crate::telemetry::metrics::{self, families};
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use std::time::Instant;

/// A type of access control.
#[derive(Debug)]
pub struct Type {
    /// Its table.
    pub schema: &'static BlockSchema,
    /// Reads a block.
    pub read: fn(Reader<'_>, &Definitions<'_>) -> Option<Box<dyn Authenticate>>,
}

/// Makes the tables below from one list, so that a type is named in one place.
macro_rules! access_controls {
    ($($name:ident)*) => {
        /// All types.
        pub static TYPES: &[Type] = &[
            $(Type { schema: &$name::SCHEMA, read: $name::read },)*
        ];

        /// The same as blocks of `definitions`.
        pub(super) const BLOCKS: &[Child] = &[
            $(Child::many(&$name::SCHEMA),)*
        ];
    };
}

// The registry.
access_controls! {
    access_token any_of api_key basic_auth external_authz jwt oauth2 oidc rate_limiter saml
}

/// Whether a block of `definitions` is an access control.
pub fn is_type(name: &str) -> bool {
    BLOCKS.iter().any(|child| child.name() == name)
}

/// Decides about a request.
pub trait Authenticate: Send + Sync + std::fmt::Debug {
    /// Lets the request in, or says why not.
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a>;

    /// Whether it looks for credentials in a form.
    fn reads_form(&self) -> bool {
        false
    }

    /// Whether responses behind it are private: they get `Cache-Control: private`.
    fn makes_private(&self) -> bool {
        false
    }

    /// The types of error with an answer of their own, such as a challenge.
    fn default_types(&self) -> &'static [Kind] {
        &[]
    }

    /// Whether it reads the request's body.
    fn reads_body(&self) -> bool {
        false
    }

    /// Its expressions, for the analysis of what they read.
    fn programs(&self) -> Vec<&Program> {
        Vec::new()
    }
}

/// What an access control found, at once or after asking someone.
pub enum Verdict<'a> {
    /// Decided without waiting; nothing is allocated.
    Now(Result<(), Error>),
    /// To be awaited.
    Later(LocalBoxFuture<'a, Result<(), Error>>),
}

impl std::fmt::Debug for Verdict<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(result) => f.debug_tuple("Now").field(result).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// An access control with its label.
#[derive(Debug)]
pub struct Control {
    label: Arc<str>,
    kind: &'static str,
    log_fields: Option<Arc<Program>>,
    handlers: Handlers,
    authenticate: Box<dyn Authenticate>,
    series: Option<Series>,
}

/// What is counted of a control.
#[derive(Debug)]
struct Series {
    granted: Arc<metrics::Counter>,
    denied: Arc<metrics::Counter>,
    duration: Arc<metrics::Histogram>,
}

impl Series {
    fn new(registry: &metrics::Registry, label: &str, kind: &str) -> Self {
        let decisions =
            |status| registry.counter(&families::ACCESS_CONTROL, &[label, kind, status]);
        Self {
            granted: decisions("granted"),
            denied: decisions("denied"),
            duration: registry.histogram(&families::ACCESS_CONTROL_DURATION, &[label, kind]),
        }
    }

    fn record(&self, granted: bool, begun: Instant) {
        self.duration.record(begun.elapsed());
        let decisions = if granted { &self.granted } else { &self.denied };
        decisions.add(1);
    }
}

impl Control {
    /// Reads a block of one of [`TYPES`].
    pub(super) fn read(
        cx: &Context<'_>,
        block: &Block,
        definitions: &Definitions<'_>,
    ) -> Option<Self> {
        let kind = TYPES
            .iter()
            .find(|kind| kind.schema.name == block.kind.text)?;
        let reader = Reader::new(cx, block, kind.schema);
        let authenticate = (kind.read)(reader, definitions);
        let log_fields = reader.program("custom_log_fields").map(Arc::new);
        let handlers = Handlers::read(
            reader,
            definitions,
            Place::AccessControl(kind.schema.name),
            authenticate.as_ref().map_or(&[], |a| a.default_types()),
            log_fields.as_slice(),
        );
        let label = block.label().trim();
        let name = kind.schema.name;
        Some(Self {
            series: cx.metrics().map(|all| Series::new(all, label, name)),
            label: label.into(),
            kind: name,
            log_fields,
            handlers,
            authenticate: authenticate?,
        })
    }

    /// Its label.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Its block type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// `custom_log_fields`
    pub fn log_fields(&self) -> Option<&Arc<Program>> {
        self.log_fields.as_ref()
    }

    /// Its error handlers.
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// Whether it looks for credentials in a form.
    pub fn reads_form(&self) -> bool {
        self.authenticate.reads_form()
    }

    /// Whether responses behind it are private.
    pub fn makes_private(&self) -> bool {
        self.authenticate.makes_private()
    }

    /// Whether it reads the request's body.
    pub fn reads_body(&self) -> bool {
        self.authenticate.reads_body()
    }

    /// Its expressions.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.log_fields
            .iter()
            .map(Arc::as_ref)
            .chain(self.authenticate.programs())
    }

    /// Lets the request in, or says why not.
    pub async fn check(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let span = trace::Part::begin(exchange.id.trace());
        let begun = self.series.as_ref().map(|series| (series, Instant::now()));
        let verdict = match self.authenticate.authenticate(&self.label, exchange) {
            Verdict::Now(result) => result,
            Verdict::Later(future) => future.await,
        };
        if let Some((series, begun)) = begun {
            series.record(verdict.is_ok(), begun);
        }
        if let Some(span) = span {
            let denial = verdict.as_ref().err();
            trace::end_of_control(span, &self.label, self.kind, denial);
        }
        verdict.map_err(|error| error.in_block(&self.label))
    }
}
