//! `backend`: an origin with its connection settings, modifiers and tokens.
//!
//! ```hcl
//! backend {
//!   origin = "http://localhost:8081"
//!   path   = "/resource"
//! }
//! ```
//!
//! It stands in `definitions` under a label, or anonymous where it is used. `backend "x" { … }` at
//! a place of use refines the defined one: attributes evaluated per request replace those of the
//! definition, while the connection pool and the token are shared.

mod destination;
mod forward_proxy;
pub mod health;
mod instance;
pub mod openapi;
mod origin;
mod outbound;
mod reference;
pub(in crate::blocks) mod series;
mod state;
#[cfg(test)]
mod tests;
pub mod throttle;
mod timeouts;
pub mod tls;
pub mod token_request;

pub(super) use super::Definitions;
use super::modifiers::{HeaderModifiers, RequestModifiers, evaluate};
use super::oauth2;
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::diagnostic::{Diagnostic, Span, code};
use crate::error::Error;
use crate::expr::{Nothing, Program, Scope, Value, Variable};
use crate::upstream::{Limits, Target};
use base64::Engine as _;
pub use destination::Destination;
pub(super) use destination::warn_about_url;
use http::HeaderValue;
pub use instance::Instance;
pub use origin::{Origin, Scheme};
pub use outbound::Outbound;
use std::sync::Arc;
use std::time::Duration;
pub(super) use timeouts::Timeout;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "backend",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::request("origin", Kind::String, "Absolute URL: scheme, host, port."),
        AttributeSchema::request("hostname", Kind::String, "Value of the `Host` header.")
            .default("host of the origin"),
        AttributeSchema::request("path", Kind::String, "Replaces the request's path."),
        AttributeSchema::request("path_prefix", Kind::String, "Goes in front of the path."),
        AttributeSchema::request("basic_auth", Kind::String, "`user:password` to send."),
        AttributeSchema::request("proxy", Kind::String, "URL of a forward proxy.")
            .default("that of the environment"),
        AttributeSchema::request("connect_timeout", Kind::Duration, "Limit of connecting.")
            .default("10s"),
        AttributeSchema::request("ttfb_timeout", Kind::Duration, "Limit of the first byte.")
            .default("60s"),
        AttributeSchema::request("timeout", Kind::Duration, "Limit of the whole exchange.")
            .default("300s"),
        AttributeSchema::request("set_response_status", Kind::Number, "Replaces the status."),
        AttributeSchema::request("use_when_unhealthy", Kind::Bool, "Send even if unhealthy."),
        AttributeSchema::start(
            "disable_certificate_validation",
            Kind::Bool,
            "Take any certificate of the origin.",
        ),
        AttributeSchema::start(
            "disable_connection_reuse",
            Kind::Bool,
            "One request a connection.",
        ),
        AttributeSchema::start("http2", Kind::Bool, "Offer HTTP/2 to https origins."),
        AttributeSchema::start(
            "http2_prior_knowledge",
            Kind::Bool,
            "HTTP/2 to http origins without asking.",
        ),
        AttributeSchema::start(
            "max_connections",
            Kind::Number,
            "Connections to the origin.",
        )
        .default("0"),
    ],
    groups: &[
        schema::REQUEST_HEADERS,
        schema::RESPONSE_HEADERS,
        schema::QUERY_PARAMS,
        schema::FORM_PARAMS,
        schema::LOG_FIELDS,
    ],
    blocks: &[
        Child::optional(&oauth2::SCHEMA),
        Child::many(&token_request::SCHEMA),
        Child::optional(&health::SCHEMA),
        Child::optional(&openapi::SCHEMA),
        Child::many(&throttle::SCHEMA),
        Child::optional(&tls::SCHEMA),
    ],
    rules: &[],
    docs: "An origin with its connection settings, modifiers and tokens.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
    path   = "/resource"
  }
}
"#,
};

/// Attributes that belong to the connection pool, which a refinement shares.
const SHARED_ATTRIBUTES: [&str; 5] = [
    "disable_certificate_validation",
    "disable_connection_reuse",
    "http2",
    "http2_prior_knowledge",
    "max_connections",
];

/// A backend as one place uses it.
#[derive(Debug)]
pub struct Backend {
    /// Its label, generated for anonymous ones.
    pub label: Arc<str>,
    /// Whether it stands in `definitions`.
    pub defined: bool,
    /// What all its users share.
    pub instance: Arc<Instance>,
    origin: Option<Program>,
    fixed: Option<Arc<Target>>,
    hostname: Option<Program>,
    /// `path`
    pub path: Option<Program>,
    /// `path_prefix`
    pub path_prefix: Option<Program>,
    basic_auth: Option<Program>,
    proxy: Option<Program>,
    use_when_unhealthy: Option<Program>,
    timeouts: [Timeout; 3],
    fixed_limits: Option<Limits>,
    /// Request modifiers.
    pub request_modifiers: RequestModifiers,
    /// Response modifiers.
    pub response_headers: HeaderModifiers,
    /// `set_response_status`
    pub set_response_status: Option<Program>,
    /// `custom_log_fields`
    pub log_fields: Option<Program>,
    reads_pair: bool,
    span: Span,
}

impl Backend {
    /// The backend of a block that takes `backend = "x"`, `backend { … }` or `backend "x" { … }`;
    /// without any an anonymous one, whose origin comes from the URL.
    pub fn of(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Arc<Self>> {
        reference::resolve(reader, definitions)
    }

    /// Reads a block of `definitions`.
    pub fn defined(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let label: Arc<str> = reader.label()?.text.as_str().into();
        let instance = Instance::read(reader, &label, true, definitions)?;
        Some(Self::read(reader, label, true, Arc::new(instance)))
    }

    /// Reads an anonymous block.
    fn anonymous(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let label = anonymous_label(reader, "");
        let instance = Instance::read(reader, &label, false, definitions)?;
        Some(Self::read(reader, label, false, Arc::new(instance)))
    }

    fn read(reader: Reader<'_>, label: Arc<str>, defined: bool, instance: Arc<Instance>) -> Self {
        let timeout =
            |name: &str, seconds| Timeout::read(reader, name, Duration::from_secs(seconds));
        let mut backend = Self {
            label,
            defined,
            origin: reader.program("origin"),
            fixed: None,
            hostname: reader.program("hostname"),
            path: reader.program("path"),
            path_prefix: reader.program("path_prefix"),
            basic_auth: reader.program("basic_auth"),
            proxy: reader.program("proxy"),
            use_when_unhealthy: reader.program("use_when_unhealthy"),
            timeouts: [
                timeout("connect_timeout", 10),
                timeout("ttfb_timeout", 60),
                timeout("timeout", 300),
            ],
            fixed_limits: None,
            request_modifiers: RequestModifiers::read(reader),
            response_headers: HeaderModifiers::response(reader),
            set_response_status: reader.program("set_response_status"),
            log_fields: reader.program("custom_log_fields"),
            reads_pair: false,
            span: reader.span(),
            instance,
        };
        backend.prepare(reader);
        backend
    }

    /// Does at start what no request can change.
    fn prepare(&mut self, reader: Reader<'_>) {
        let reads_pair = self
            .own_programs()
            .flat_map(Program::variables)
            .any(|variable| {
                matches!(
                    variable,
                    Variable::CurrentBackendRequest(_) | Variable::CurrentBackendResponse(_)
                )
            });
        self.reads_pair = reads_pair;
        if self.timeouts.iter().all(|t| matches!(t, Timeout::Fixed(_))) {
            self.fixed_limits = Some(self.limits(&Nothing));
        }
        self.check_proxy(reader);
        self.find_target(reader);
        if self.instance.health.is_some()
            && self.fixed.is_none()
            && let Some(block) = reader.inner("beta_health")
        {
            let message = format!(
                "backend `{}`: missing origin: `beta_health` needs one that is known at start",
                self.label
            );
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, block.header(), message));
        }
    }

    /// The target, if all that makes it is known at start.
    fn find_target(&mut self, reader: Reader<'_>) {
        let known = |program: &Option<Program>| {
            let program = program.as_ref();
            program.is_none_or(|program| program.constant().is_some())
        };
        let Some(origin) = self.origin.as_ref().and_then(Program::constant) else {
            return;
        };
        if !known(&self.hostname) || !known(&self.proxy) {
            return;
        }
        match self.destination(&Nothing, None) {
            Ok(destination) => {
                if let Some(series) = &self.instance.series {
                    series.show_health(&self.instance, &destination);
                }
                self.fixed = Some(destination.target);
            }
            Err(_) if self.proxy.is_some() && self.literal_origin().is_some() => {}
            Err(_) => {
                let shown = origin.as_str().unwrap_or_default();
                let span = reader
                    .attribute("origin")
                    .map_or(self.span, |a| a.value_span);
                let message = format!(
                    "backend `{}`: origin `{shown}` is not an absolute http or https URL",
                    self.label
                );
                reader
                    .cx
                    .report(Diagnostic::warning(code::SUSPICIOUS, span, message));
            }
        }
    }

    /// The expressions, those of its token requests included.
    pub fn programs(&self) -> Box<dyn Iterator<Item = &Program> + '_> {
        // Boxed: the backend of a token request has expressions of its own.
        Box::new(self.own_programs().chain(self.instance.token_programs()))
    }

    fn own_programs(&self) -> impl Iterator<Item = &Program> {
        let timeouts = self.timeouts.iter().filter_map(Timeout::program);
        self.origin
            .iter()
            .chain(&self.hostname)
            .chain(&self.path)
            .chain(&self.path_prefix)
            .chain(&self.basic_auth)
            .chain(&self.proxy)
            .chain(&self.use_when_unhealthy)
            .chain(timeouts)
            .chain(self.request_modifiers.programs())
            .chain(self.response_headers.programs())
            .chain(&self.set_response_status)
            .chain(&self.log_fields)
    }

    /// Whether an expression of the block reads the current request or response.
    pub fn reads_pair(&self) -> bool {
        self.reads_pair
    }

    /// Whether a request is sent although the origin is known to be unwell.
    pub fn use_when_unhealthy(&self, scope: &dyn Scope) -> Result<bool, Error> {
        match &self.use_when_unhealthy {
            None => Ok(false),
            Some(program) => Ok(evaluate(program, scope)?.to_bool().unwrap_or(false)),
        }
    }

    /// Its target, if it is known without a request.
    pub fn fixed_target(&self) -> Option<&Arc<Target>> {
        self.fixed.as_ref()
    }

    /// `Authorization` of `basic_auth`, if it yields anything.
    pub fn authorization(&self, scope: &dyn Scope) -> Result<Option<HeaderValue>, Error> {
        let Some(program) = &self.basic_auth else {
            return Ok(None);
        };
        let credentials = text_of(evaluate(program, scope)?);
        if credentials.is_empty() {
            return Ok(None);
        }
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok();
        if let Some(value) = &mut value {
            value.set_sensitive(true);
        }
        Ok(value)
    }
}

/// The string of an expression: a number its text, anything else and blanks alone are empty.
pub fn text_of(value: Value<'_>) -> String {
    match value {
        Value::String(_) | Value::Number(_) => value
            .to_text()
            .map(|text| text.to_str_lossy().into_owned())
            .filter(|text| !text.trim().is_empty())
            .unwrap_or_default(),
        _ => String::new(),
    }
}

fn anonymous_label(reader: Reader<'_>, suffix: &str) -> Arc<str> {
    let at = reader.cx.sources.locate(reader.block.kind.span);
    format!("anonymous_{}_{}{suffix}", at.line, at.column).into()
}
