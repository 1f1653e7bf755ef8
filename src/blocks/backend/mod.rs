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

pub mod health;
pub mod openapi;
mod origin;
mod reference;
mod series;
pub mod throttle;
pub mod tls;
pub mod token_request;

pub use origin::{Origin, Scheme};

use series::Series;
use throttle::Throttle;

use super::Definitions;
use super::fingerprint::Fingerprint;
use super::modifiers::{HeaderModifiers, RequestModifiers, evaluate};
use super::oauth2::{self, OAuth2};
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::diagnostic::{Diagnostic, Span, code};
use crate::error::Error;
use crate::expr::{Program, Scope, Text, Value, Variable};
use crate::upstream::{Limit, Limits, Target, TargetSettings, Tls, TlsSettings, client_config};
use base64::Engine as _;
use http::HeaderValue;
use rustls::ClientConfig;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use token_request::{TokenRequest, Tokens};

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
        AttributeSchema::request("proxy", Kind::String, "URL of a forward proxy.").unavailable(),
        AttributeSchema::request("connect_timeout", Kind::Duration, "Limit of connecting.")
            .default("10s"),
        AttributeSchema::request("ttfb_timeout", Kind::Duration, "Limit of the first byte.")
            .default("60s"),
        AttributeSchema::request("timeout", Kind::Duration, "Limit of the whole exchange.")
            .default("300s"),
        AttributeSchema::request("set_response_status", Kind::Number, "Replaces the status."),
        AttributeSchema::request("use_when_unhealthy", Kind::Bool, "Send even if unhealthy.")
            .unavailable(),
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
        Child::optional(&health::SCHEMA).unavailable(),
        Child::optional(&openapi::SCHEMA).unavailable(),
        Child::many(&throttle::SCHEMA),
        Child::optional(&tls::SCHEMA).unavailable(),
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

/// TLS of a backend, made on first use.
type LazyTls = OnceLock<Option<Arc<ClientConfig>>>;

/// What all users of a backend share.
#[derive(Debug)]
pub struct Instance {
    limit: Arc<Limit>,
    tls: Arc<LazyTls>,
    disable_certificate_validation: bool,
    disable_connection_reuse: bool,
    http2: bool,
    http2_prior_knowledge: bool,
    /// Where tokens come from.
    pub oauth2: Option<Arc<OAuth2>>,
    /// Where further tokens come from.
    pub token_requests: Vec<Arc<TokenRequest>>,
    /// How many requests it gets.
    pub throttle: Option<Arc<Throttle>>,
    /// Where its requests are counted, if they are.
    series: Option<Series>,
}

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

/// A duration that is known at start, or an expression with the default for when it is none.
#[derive(Debug)]
pub(super) enum Timeout {
    Fixed(Duration),
    Dynamic(Program, Duration),
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The origin's connections.
    pub target: Arc<Target>,
    /// The `Host` header, if it is not the origin's.
    pub host: Option<HeaderValue>,
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
        let instance = Arc::new(Instance::read(reader, &label, definitions)?);
        Some(Self::read(reader, label, true, instance))
    }

    /// Reads an anonymous block.
    fn anonymous(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let label = anonymous_label(reader, "");
        let instance = Arc::new(Instance::read(reader, &label, definitions)?);
        Some(Self::read(reader, label, false, instance))
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
            self.fixed_limits = Some(self.limits(&crate::expr::Nothing));
        }
        let origin = self.origin.as_ref().and_then(Program::constant);
        let hostname = self.hostname.as_ref().map(Program::constant);
        if let (Some(origin), Some(Some(_)) | None) = (origin, hostname) {
            match self.destination(&crate::expr::Nothing, None) {
                Ok(destination) => {
                    if let Some(series) = &self.instance.series {
                        series.show_health(&self.instance, &destination);
                    }
                    self.fixed = Some(destination.target);
                }
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

    /// The state that `backends.LABEL` shows.
    pub fn state(&self) -> Value<'_> {
        self.state_with(&Tokens::default())
    }

    /// The state as a request with these tokens sees it.
    pub fn state_with(&self, tokens: &Tokens) -> Value<'_> {
        let mut state = self.settings_state();
        state.extend(self.instance.token_state(tokens));
        Value::object(state)
    }

    /// The connection settings, as far as they are known without a request, and the health, which is
    /// good where nobody looks.
    fn settings_state(&self) -> Vec<(Text<'_>, Value<'_>)> {
        let known = |program: &Option<Program>| {
            let value = program.as_ref().and_then(Program::constant);
            value.map_or_else(String::new, |value| text_of(value.borrowed()))
        };
        let address = self.fixed.as_ref().map(|target| {
            let settings = target.settings();
            format!("{}:{}", settings.host, settings.port)
        });
        let hostname = match known(&self.hostname) {
            name if name.is_empty() => {
                let authority = self.fixed.as_ref().map(|target| target.authority());
                authority.unwrap_or_default().to_owned()
            }
            name => name,
        };
        let time = |timeout: &Timeout| match timeout {
            Timeout::Fixed(duration) => super::duration::show(*duration),
            Timeout::Dynamic(_, default) => super::duration::show(*default),
        };
        let [connect, ttfb, total] = &self.timeouts;
        let health = Value::object(vec![
            ("healthy".into(), Value::Bool(true)),
            ("state".into(), Value::from("healthy")),
            ("error".into(), Value::from("")),
        ]);
        vec![
            ("name".into(), Value::from(&*self.label)),
            ("origin".into(), Value::from(address.unwrap_or_default())),
            ("hostname".into(), Value::from(hostname)),
            ("connect_timeout".into(), Value::from(time(connect))),
            ("ttfb_timeout".into(), Value::from(time(ttfb))),
            ("timeout".into(), Value::from(time(total))),
            ("health".into(), health),
        ]
    }

    /// The origin that a URL of the same backend may name, when it is known at start.
    pub(super) fn literal_origin(&self) -> Option<Origin> {
        Origin::parse(self.origin.as_ref()?.constant()?.as_str()?)
    }

    /// Where a request goes. `url` is the origin of the request's own URL: it counts for a backend
    /// without `origin` alone.
    pub fn destination(
        &self,
        scope: &dyn Scope,
        url: Option<&Origin>,
    ) -> Result<Destination, Error> {
        let hostname = match &self.hostname {
            None => String::new(),
            Some(program) => text_of(evaluate(program, scope)?),
        };
        let host = (!hostname.is_empty())
            .then(|| HeaderValue::try_from(&hostname).ok())
            .flatten();
        if let Some(target) = &self.fixed {
            return Ok(Destination {
                target: Arc::clone(target),
                host,
            });
        }
        let given = match &self.origin {
            None => String::new(),
            Some(program) => text_of(evaluate(program, scope)?),
        };
        let unusable = |why: &str| {
            Error::new(crate::error::Kind::Configuration, why.to_owned()).in_block(&self.label)
        };
        let parsed;
        let origin = if given.is_empty() {
            url.ok_or_else(|| unusable("the backend has no origin and the url is not absolute"))?
        } else {
            parsed =
                Origin::parse(&given).ok_or_else(|| unusable("the origin is no absolute URL"))?;
            &parsed
        };
        let target = self
            .target(origin, &hostname)
            .ok_or_else(|| unusable("unusable origin"))?;
        Ok(Destination { target, host })
    }

    fn target(&self, origin: &Origin, hostname: &str) -> Option<Arc<Target>> {
        let instance = &self.instance;
        let tls = match origin.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let name = if hostname.is_empty() {
                    origin.host.as_str()
                } else {
                    without_port(hostname)
                };
                let name = name.trim_start_matches('[').trim_end_matches(']');
                let server_name = rustls::pki_types::ServerName::try_from(name.to_owned()).ok()?;
                Some(Tls {
                    config: instance.tls_config()?,
                    server_name,
                })
            }
        };
        Target::new(TargetSettings {
            host: origin.host.as_str().into(),
            port: origin.port,
            http2_prior_knowledge: instance.http2_prior_knowledge && tls.is_none(),
            tls,
            disable_connection_reuse: instance.disable_connection_reuse,
            proxy: None,
            limit: Arc::clone(&instance.limit),
            series: (instance.series.as_ref()).map(|series| series.of(origin, hostname)),
        })
        .ok()
    }

    /// The time limits of a request.
    pub fn limits(&self, scope: &dyn Scope) -> Limits {
        if let Some(limits) = self.fixed_limits {
            return limits;
        }
        let [connect, ttfb, total] = &self.timeouts;
        Limits {
            connect_timeout: connect.get(scope, &self.label),
            ttfb_timeout: ttfb.get(scope, &self.label),
            timeout: total.get(scope, &self.label),
        }
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

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host.ends_with(']') => &host[..at],
        _ => host,
    }
}

fn anonymous_label(reader: Reader<'_>, suffix: &str) -> Arc<str> {
    let at = reader.cx.sources.locate(reader.block.kind.span);
    format!("anonymous_{}_{}{suffix}", at.line, at.column).into()
}

impl Instance {
    fn read(reader: Reader<'_>, label: &Arc<str>, definitions: &Definitions<'_>) -> Option<Self> {
        let max = reader
            .number("max_connections")
            .map_or(0, |number| number.value);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let oauth2 = match reader.inner("oauth2") {
            None => None,
            Some(block) => {
                let inner = Reader::new(reader.cx, block, &oauth2::SCHEMA);
                Some(Arc::new(OAuth2::read(inner, label, definitions)?))
            }
        };
        let token_requests = TokenRequest::read_all(reader, label, definitions);
        let (limit, tls) = connections(reader, definitions, max);
        Some(Self {
            limit,
            tls,
            disable_certificate_validation: reader
                .boolean("disable_certificate_validation")
                .unwrap_or(false),
            disable_connection_reuse: reader.boolean("disable_connection_reuse").unwrap_or(false),
            http2: reader.boolean("http2").unwrap_or(false),
            http2_prior_knowledge: reader.boolean("http2_prior_knowledge").unwrap_or(false),
            oauth2,
            token_requests,
            throttle: Throttle::read(reader, definitions),
            series: reader.cx.metrics().map(|all| Series::new(all, label)),
        })
    }

    fn token_programs(&self) -> impl Iterator<Item = &Program> {
        let oauth2 = self.oauth2.iter();
        oauth2
            .flat_map(|oauth2| oauth2.backend.programs().chain(oauth2.assertion()))
            .chain(
                self.token_requests
                    .iter()
                    .flat_map(|request| request.programs()),
            )
    }

    /// All tokens of a request, if none of them is to be fetched.
    pub fn cached_tokens(&self) -> Option<Tokens> {
        let oauth2 = match &self.oauth2 {
            None => None,
            Some(oauth2) => Some(oauth2.entry.cached()?),
        };
        let requests = self.token_requests.iter();
        let requested = requests.map(|request| request.entry.cached());
        Some(Tokens {
            oauth2,
            requested: requested.collect::<Option<_>>()?,
        })
    }

    /// `beta_tokens` and `beta_token`: the tokens of a request, else those that are kept.
    fn token_state(&self, tokens: &Tokens) -> Vec<(Text<'static>, Value<'static>)> {
        let oauth2 = self.oauth2.iter().filter_map(|oauth2| {
            let token = oauth2.entry.kept().or_else(|| tokens.oauth2.clone())?;
            Some(("oauth2", token))
        });
        let requests = self.token_requests.iter().enumerate();
        let requested = requests.filter_map(|(at, request)| {
            let token = tokens.requested.get(at).cloned();
            Some((&*request.name, token.or_else(|| request.entry.kept())?))
        });
        let mut default = None;
        let mut all = Vec::new();
        for (name, token) in oauth2.chain(requested) {
            let value = Value::from(token.expose().to_owned());
            if name == "default" {
                default = Some(value.clone());
            }
            all.push((Text::from(name.to_owned()), value));
        }
        let mut state = Vec::new();
        if !all.is_empty() {
            state.push(("beta_tokens".into(), Value::map(all)));
        }
        state.extend(default.map(|value| ("beta_token".into(), value)));
        state
    }

    /// An instance for a place that names no backend at all.
    fn plain(reader: Reader<'_>, label: &str, definitions: &Definitions<'_>) -> Self {
        let (limit, tls) = connections(reader, definitions, 0);
        Self {
            series: reader.cx.metrics().map(|all| Series::new(all, label)),
            limit,
            tls,
            disable_certificate_validation: false,
            disable_connection_reuse: false,
            http2: false,
            http2_prior_knowledge: false,
            oauth2: None,
            token_requests: Vec::new(),
            throttle: None,
        }
    }

    /// Made on first use: the system's certificates are read for backends that need them only.
    fn tls_config(&self) -> Option<Arc<ClientConfig>> {
        let make = || {
            client_config(TlsSettings {
                disable_certificate_validation: self.disable_certificate_validation,
                http2: self.http2,
                ..TlsSettings::default()
            })
            .ok()
        };
        self.tls.get_or_init(make).clone()
    }
}

/// What the connections of a backend depend on, kept over reloads: how many there may be, and TLS.
/// `reader` is at the backend's block, or at that which names none.
fn connections(
    reader: Reader<'_>,
    definitions: &Definitions<'_>,
    max: usize,
) -> (Arc<Limit>, Arc<LazyTls>) {
    let (block, cx) = (reader.block, reader.cx);
    // Without a label it is the origin that tells backends apart.
    let identity = match block.labels.first() {
        Some(label) if block.kind.text == SCHEMA.name => {
            Fingerprint::of("backend").text(&label.text)
        }
        _ => Fingerprint::of("origin").attributes(block, &["origin", "url"], cx),
    };
    let max = if max == 0 { Limit::DEFAULT } else { max };
    let limit = identity.clone().text(&max.to_string());
    let limit = cx.keep(limit, || Limit::new(max, Limit::DEFAULT));
    let tls = identity.attributes(block, &["disable_certificate_validation", "http2"], cx);
    let tls = block
        .body
        .blocks_of("tls")
        .fold(tls, |identity, block| identity.block(block, definitions));
    (Arc::clone(&limit), cx.keep(tls, OnceLock::new))
}

impl Timeout {
    pub(super) fn read(reader: Reader<'_>, name: &str, default: Duration) -> Self {
        let Some(program) = reader.program(name) else {
            return Self::Fixed(default);
        };
        let Some(value) = program.constant() else {
            return Self::Dynamic(program, default);
        };
        let text = text_of(value.borrowed());
        if text.is_empty() && value.is_null() {
            return Self::Fixed(default);
        }
        match super::duration::parse(&text) {
            Ok(duration) => Self::Fixed(duration),
            Err(_) if text.is_empty() && value.as_str().is_some() => Self::Fixed(default),
            Err(why) => {
                let span = program.span();
                let message = format!("`{name}`: `{text}` is no duration: {why}");
                reader.cx.report(
                    Diagnostic::error(code::BAD_VALUE, span, message)
                        .hint("durations look like `300ms`, `1.5s`, `1h30m`"),
                );
                Self::Fixed(default)
            }
        }
    }

    /// The expression, if there is one to evaluate.
    pub(super) fn program(&self) -> Option<&Program> {
        match self {
            Self::Fixed(_) => None,
            Self::Dynamic(program, _) => Some(program),
        }
    }

    pub(super) fn get(&self, scope: &dyn Scope, label: &str) -> Duration {
        match self {
            Self::Fixed(duration) => *duration,
            Self::Dynamic(program, default) => {
                let Ok(value) = program.eval(scope) else {
                    return *default;
                };
                let text = text_of(value);
                if text.is_empty() {
                    return *default;
                }
                super::duration::parse(&text).unwrap_or_else(|why| {
                    tracing::warn!(backend = label, "a timeout is no duration: {why}");
                    *default
                })
            }
        }
    }
}

/// Warns where a literal URL names another origin than the backend: the backend's wins.
pub(super) fn warn_about_url(reader: Reader<'_>, url: Option<&Program>, backend: Option<&Backend>) {
    let url = url
        .and_then(Program::constant)
        .and_then(Value::as_str)
        .and_then(Origin::parse);
    let (Some(url), Some(origin)) = (url, backend.and_then(Backend::literal_origin)) else {
        return;
    };
    if url != origin
        && let Some(attribute) = reader.attribute("url")
    {
        let message = "the url names another origin than the backend, whose origin counts";
        let span = attribute.value_span;
        reader
            .cx
            .report(Diagnostic::warning(code::SUSPICIOUS, span, message));
    }
}
