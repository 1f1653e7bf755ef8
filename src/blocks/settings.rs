//! `settings`: options of the process. Each can also be given by an option of the command line and
//! by an environment variable; variable goes before option before block before default.
//!
//! ```hcl
//! settings {
//!   default_port = 8080
//!   log_format   = "json"
//! }
//! ```

mod observe;

pub use observe::{Collector, MetricsExporter, Observe, Protocol, Traces};

use super::certificates::sound_certificates;
use super::fingerprint::Fingerprint;
use super::reader::Reader;
use super::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::diagnostic::{Diagnostic, Span, code};
use http::HeaderName;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The table of settings.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "settings",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "accept_forwarded_url",
            Kind::Strings,
            "Which of `proto`, `host` and `port` are taken from `X-Forwarded-…` for URL variables.",
        ),
        AttributeSchema::start(
            "bind_address",
            Kind::String,
            "Comma separated addresses to listen on.",
        )
        .default("*"),
        AttributeSchema::start(
            "ca_file",
            Kind::Path,
            "Certificates trusted for backends, too.",
        ),
        AttributeSchema::start(
            "default_port",
            Kind::Number,
            "Port of hosts that name none.",
        )
        .default("8080"),
        AttributeSchema::start("environment", Kind::String, "The chosen environment."),
        AttributeSchema::start("health_path", Kind::String, "Path of the health route.")
            .default("/healthz"),
        AttributeSchema::start(
            "https_dev_proxy",
            Kind::Strings,
            "TLS ports for development, each with the port it leads to: `8443:8080`.",
        ),
        AttributeSchema::start("log_format", Kind::String, "`common` or `json`.").default("common"),
        AttributeSchema::start("log_level", Kind::String, "Least level that is logged.")
            .default("info"),
        AttributeSchema::start("log_pretty", Kind::Bool, "Indented JSON."),
        AttributeSchema::start(
            "no_proxy_from_env",
            Kind::Bool,
            "Ignore HTTP_PROXY, HTTPS_PROXY and NO_PROXY.",
        ),
        AttributeSchema::start(
            "pprof",
            Kind::Bool,
            "Has no effect: profiles of this program are taken with `perf`.",
        ),
        AttributeSchema::start("pprof_port", Kind::Number, "Has no effect, like `pprof`.")
            .default("6060"),
        AttributeSchema::start(
            "request_id_accept_from_header",
            Kind::String,
            "Client header that holds the request id.",
        ),
        AttributeSchema::start(
            "request_id_backend_header",
            Kind::String,
            "Header that carries the request id to backends.",
        )
        .default("Couper-Request-ID"),
        AttributeSchema::start(
            "request_id_client_header",
            Kind::String,
            "Header that carries the request id to clients.",
        )
        .default("Couper-Request-ID"),
        AttributeSchema::start("request_id_format", Kind::String, "`common` or `uuid4`.")
            .default("common"),
        AttributeSchema::start(
            "secure_cookies",
            Kind::String,
            "`strip` cuts `Secure` off cookies.",
        ),
        AttributeSchema::start(
            "server_timing_header",
            Kind::Bool,
            "Tell clients in `Server-Timing` how long requests to backends took.",
        ),
        AttributeSchema::start(
            "beta_metrics",
            Kind::Bool,
            "Serve metrics for Prometheus, or send them to a collector.",
        ),
        AttributeSchema::start(
            "beta_metrics_port",
            Kind::Number,
            "Port at which Prometheus asks for metrics, on all addresses.",
        )
        .default("9090"),
        AttributeSchema::start(
            "beta_metrics_endpoint",
            Kind::String,
            "Collector for the exporter `otlp`: `host:port`, or a URL for OTLP over HTTP.",
        )
        .default("localhost:4317"),
        AttributeSchema::start(
            "beta_metrics_exporter",
            Kind::String,
            "`prometheus` (which asks) or `otlp` (which is sent to).",
        )
        .default("prometheus"),
        AttributeSchema::start(
            "beta_service_name",
            Kind::String,
            "Name of the service in metrics and traces.",
        )
        .default("couper"),
        AttributeSchema::start("beta_traces", Kind::Bool, "Send traces to a collector."),
        AttributeSchema::start(
            "beta_traces_endpoint",
            Kind::String,
            "Collector of traces: `host:port` for OTLP over gRPC, or a URL for OTLP over HTTP.",
        )
        .default("localhost:4317"),
        AttributeSchema::start(
            "beta_traces_trust_parent",
            Kind::Bool,
            "Continue the trace that a client's `traceparent` names.",
        ),
        AttributeSchema::start(
            "beta_traces_parent_only",
            Kind::Bool,
            "Trace only requests that come with a `traceparent`.",
        ),
        AttributeSchema::start(
            "xfh",
            Kind::Bool,
            "Choose the server by `X-Forwarded-Host`.",
        ),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Options of the process.",
    example: r#"server {
  endpoint "/" {
    response {}
  }
}

settings {
  default_port = 8080
  log_format   = "json"
}
"#,
};

/// Options of the command line, and variables, that are no attributes of the block.
pub static OPTIONS: [AttributeSchema; 3] = [
    AttributeSchema::start(
        "watch",
        Kind::Bool,
        "Take up changes of the files while running.",
    ),
    AttributeSchema::start(
        "watch_retries",
        Kind::Number,
        "How often a file or port that cannot be used is tried again in a reload.",
    )
    .default("5"),
    AttributeSchema::start(
        "watch_retry_delay",
        Kind::Duration,
        "Time between these attempts.",
    )
    .default("500ms"),
];

/// Variables that are no settings of the block, with what they default to.
const TIMING_IDLE: &str = "COUPER_TIMING_IDLE_TIMEOUT";
const TIMING_READ_HEADER: &str = "COUPER_TIMING_READ_HEADER_TIMEOUT";
const TIMING_SHUTDOWN_DELAY: &str = "COUPER_TIMING_SHUTDOWN_DELAY";
const TIMING_SHUTDOWN_TIMEOUT: &str = "COUPER_TIMING_SHUTDOWN_TIMEOUT";

/// Which parts of the request's URL come from `X-Forwarded-…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardedUrl {
    /// `X-Forwarded-Proto`.
    pub proto: bool,
    /// `X-Forwarded-Host`.
    pub host: bool,
    /// `X-Forwarded-Port`.
    pub port: bool,
}

/// How request ids look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestIdFormat {
    /// 20 characters, sortable by time.
    Common,
    /// RFC 4122 version 4.
    Uuid4,
}

/// Header fields that a kind of log entry shows.
#[derive(Clone, Debug)]
pub struct LogHeaders {
    /// Of requests.
    pub request: Vec<HeaderName>,
    /// Of responses.
    pub response: Vec<HeaderName>,
    /// The entry's `type`.
    pub kind: String,
}

/// How the process logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// JSON instead of text.
    pub json: bool,
    /// Indented.
    pub pretty: bool,
    /// Least level, as written.
    pub level: String,
    /// `COUPER_LOG_PARENT_FIELD`.
    pub parent_field: Option<String>,
    /// `COUPER_LOG_TYPE_VALUE`.
    pub type_value: Option<String>,
}

/// A TLS port for development.
#[derive(Clone, Debug)]
pub struct DevProxy {
    /// The port.
    pub tls_port: u16,
    /// The port it leads to.
    pub target: u16,
    /// Where it was set, for messages.
    pub origin: String,
    /// Its place in a file.
    pub span: Option<Span>,
    /// What it shows to clients.
    pub tls: Arc<ServerConfig>,
}

/// How the configuration is reloaded.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Whether changes of files are taken up by themselves.
    pub on: bool,
    /// How often a file or port that cannot be used is tried again.
    pub retries: u32,
    /// Time between these attempts.
    pub retry_delay: Duration,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `accept_forwarded_url`
    pub accept_forwarded_url: ForwardedUrl,
    /// `bind_address`; empty: all addresses.
    pub bind_addresses: Vec<IpAddr>,
    /// The authorities of `ca_file`, trusted for backends besides the system's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// `default_port`
    pub default_port: u16,
    /// `health_path`
    pub health_path: String,
    /// `https_dev_proxy`
    pub https_dev_proxy: Vec<DevProxy>,
    /// `log_…`
    pub log: LogSettings,
    /// `no_proxy_from_env`
    pub no_proxy_from_env: bool,
    /// `request_id_accept_from_header`
    pub request_id_accept: Option<HeaderName>,
    /// `request_id_backend_header`
    pub request_id_backend: Option<HeaderName>,
    /// `request_id_client_header`
    pub request_id_client: Option<HeaderName>,
    /// `request_id_format`
    pub request_id_format: RequestIdFormat,
    /// `secure_cookies = "strip"`
    pub strip_secure_cookies: bool,
    /// `server_timing_header`
    pub server_timing: bool,
    /// `-watch` and what belongs to it.
    pub watch: Watch,
    /// `beta_metrics…`, `beta_traces…`, `beta_service_name`
    pub observe: Observe,
    /// `xfh`
    pub xfh: bool,
    /// Idle time after which a kept-alive client connection is closed.
    pub idle_timeout: Duration,
    /// Time for a request's head.
    pub read_header_timeout: Duration,
    /// Time between the signal to end and the closing of listeners.
    pub shutdown_delay: Duration,
    /// Time that running requests have to end.
    pub shutdown_timeout: Duration,
    /// Fields of access entries.
    pub access_log: LogHeaders,
    /// Fields of backend entries.
    pub backend_log: LogHeaders,
}

/// Where settings come from besides the block.
#[derive(Clone, Copy, Debug)]
pub struct Overrides<'a> {
    /// Options of the command line, by the setting's name.
    pub options: &'a BTreeMap<String, String>,
    /// The process environment.
    pub env: &'a BTreeMap<String, String>,
}

impl<'a> Overrides<'a> {
    /// The name of a setting's variable.
    pub fn variable(name: &str) -> String {
        format!("COUPER_{}", name.to_ascii_uppercase())
    }

    /// The variable's or option's value for a setting; empty variables count as not set.
    fn get(self, name: &str) -> Option<(&'a str, String)> {
        let variable = Self::variable(name);
        if let Some(value) = self.env.get(&variable).filter(|value| !value.is_empty()) {
            return Some((value, variable));
        }
        let option = self.options.get(name)?;
        Some((option, format!("-{}", name.replace('_', "-"))))
    }

    fn variable_of(self, name: &str) -> Option<&'a str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The log settings that hold while there is no configuration.
    pub fn log(self) -> LogSettings {
        let text = |name| self.get(name).map(|(value, _)| value.to_owned());
        LogSettings {
            json: text("log_format").as_deref() == Some("json"),
            pretty: text("log_pretty").as_deref() == Some("true"),
            level: text("log_level").unwrap_or_else(|| "info".into()),
            parent_field: self
                .variable_of("COUPER_LOG_PARENT_FIELD")
                .map(str::to_owned),
            type_value: self.variable_of("COUPER_LOG_TYPE_VALUE").map(str::to_owned),
        }
    }
}

struct Lookup<'a> {
    reader: Reader<'a>,
    overrides: Overrides<'a>,
}

impl Lookup<'_> {
    fn refuse(&self, origin: &str, value: &str, span: Option<Span>, why: &str) {
        let message = format!("invalid value for {origin}: `{value}`: {why}");
        self.reader
            .cx
            .report(Diagnostic::error(code::SETTING, span, message));
    }

    /// Text with where it came from and its place in a file.
    fn text(&self, name: &str) -> Option<(String, String, Option<Span>)> {
        if let Some((value, origin)) = self.overrides.get(name) {
            return Some((value.to_owned(), origin, None));
        }
        let text = self.reader.string(name)?;
        Some((text.value, format!("`{name}`"), Some(text.span)))
    }

    fn bool(&self, name: &str) -> bool {
        match self.overrides.get(name) {
            Some((value, _)) => value == "true",
            None => self.reader.boolean(name).unwrap_or(false),
        }
    }

    fn port(&self, name: &str, default: u16) -> u16 {
        let Some((value, origin, span)) = self.text(name) else {
            return default;
        };
        value.parse().unwrap_or_else(|_| {
            self.refuse(&origin, &value, span, "it is no port number");
            default
        })
    }

    fn list(&self, name: &str) -> Vec<(String, String, Option<Span>)> {
        if let Some((value, origin)) = self.overrides.get(name) {
            return split(value)
                .map(|item| (item.to_owned(), origin.clone(), None))
                .collect();
        }
        let items = self
            .reader
            .strings(name)
            .map(|list| list.value)
            .unwrap_or_default();
        items
            .into_iter()
            .map(|i| (i.value, format!("`{name}`"), Some(i.span)))
            .collect()
    }

    fn header(&self, name: &str, default: Option<&'static str>) -> Option<HeaderName> {
        let Some((value, origin, span)) = self.text(name) else {
            return default.and_then(|name| name.parse().ok());
        };
        if value.is_empty() {
            return None;
        }
        let header = value.parse().ok();
        if header.is_none() {
            self.refuse(&origin, &value, span, "it is no header name");
        }
        header
    }

    fn timing(&self, variable: &str, default: Duration) -> Duration {
        let Some(value) = self.overrides.variable_of(variable) else {
            return default;
        };
        super::duration::parse(value).unwrap_or_else(|why| {
            self.refuse(variable, value, None, why);
            default
        })
    }

    fn log_headers(&self, prefix: &str, request: &str, response: &str, kind: &str) -> LogHeaders {
        let value = |what: &str, default: &str| {
            let variable = format!("COUPER_{prefix}_LOG_{what}");
            self.overrides
                .variable_of(&variable)
                .unwrap_or(default)
                .to_owned()
        };
        let names = |list: String| split(&list).filter_map(|name| name.parse().ok()).collect();
        LogHeaders {
            request: names(value("REQUEST_HEADERS", request)),
            response: names(value("RESPONSE_HEADERS", response)),
            kind: value("TYPE_VALUE", kind),
        }
    }
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

impl Settings {
    /// Reads the block and what goes before it.
    pub fn read(reader: Reader<'_>, overrides: Overrides<'_>) -> Self {
        let lookup = Lookup { reader, overrides };
        let block = overrides.log();
        let text = |name: &str| lookup.text(name).map(|(value, _, _)| value);
        warn_about_pprof(&lookup);
        let (request, response) = (
            "User-Agent,Accept,Referer",
            "Cache-Control,Content-Encoding,Content-Type,Location",
        );
        Self {
            accept_forwarded_url: forwarded_url(&lookup),
            bind_addresses: bind_addresses(&lookup),
            authorities: authorities(&lookup),
            default_port: lookup.port("default_port", 8080),
            health_path: health_path(text("health_path")),
            https_dev_proxy: dev_proxies(&lookup),
            log: LogSettings {
                json: text("log_format").as_deref() == Some("json"),
                pretty: lookup.bool("log_pretty"),
                level: text("log_level").unwrap_or_else(|| "info".into()),
                ..block
            },
            no_proxy_from_env: lookup.bool("no_proxy_from_env"),
            request_id_accept: lookup.header("request_id_accept_from_header", None),
            request_id_backend: lookup
                .header("request_id_backend_header", Some("couper-request-id")),
            request_id_client: lookup.header("request_id_client_header", Some("couper-request-id")),
            request_id_format: match text("request_id_format").as_deref() {
                Some("uuid4") => RequestIdFormat::Uuid4,
                _ => RequestIdFormat::Common,
            },
            strip_secure_cookies: strip_secure_cookies(&lookup),
            server_timing: lookup.bool("server_timing_header"),
            watch: watch(&lookup),
            observe: Observe::read(&lookup),
            xfh: lookup.bool("xfh"),
            idle_timeout: lookup.timing(TIMING_IDLE, Duration::from_secs(60)),
            read_header_timeout: lookup.timing(TIMING_READ_HEADER, Duration::from_secs(10)),
            shutdown_delay: lookup.timing(TIMING_SHUTDOWN_DELAY, Duration::ZERO),
            shutdown_timeout: lookup.timing(TIMING_SHUTDOWN_TIMEOUT, Duration::from_secs(30)),
            access_log: lookup.log_headers("ACCESS", request, response, "couper_access"),
            backend_log: lookup.log_headers("BACKEND", request, response, "couper_backend"),
        }
    }
}

/// Couper serves profiles of its own runtime, which this program does not have.
fn warn_about_pprof(lookup: &Lookup<'_>) {
    lookup.port("pprof_port", 6060);
    if lookup.bool("pprof") {
        let span = lookup.reader.attribute("pprof").map(|a| a.name.span);
        let message = "`pprof` has no effect: there is no profile of Go's runtime to serve";
        lookup.reader.cx.report(
            Diagnostic::warning(code::NO_EFFECT, span, message)
                .hint("`perf record -g -p PID` takes a profile of the running gateway"),
        );
    }
}

fn health_path(path: Option<String>) -> String {
    match path.unwrap_or_default() {
        path if path.is_empty() => "/healthz".into(),
        path if path.starts_with('/') => path,
        path => format!("/{path}"),
    }
}

fn forwarded_url(lookup: &Lookup<'_>) -> ForwardedUrl {
    let mut parts = ForwardedUrl::default();
    for (item, origin, span) in lookup.list("accept_forwarded_url") {
        match item.as_str() {
            "proto" => parts.proto = true,
            "host" => parts.host = true,
            "port" => parts.port = true,
            _ => lookup.refuse(&origin, &item, span, "it takes `proto`, `host` and `port`"),
        }
    }
    parts
}

fn bind_addresses(lookup: &Lookup<'_>) -> Vec<IpAddr> {
    let Some((value, origin, span)) = lookup.text("bind_address") else {
        return Vec::new();
    };
    let address = |text: &str| {
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        let address = bare.parse().ok();
        if address.is_none() {
            lookup.refuse(&origin, text, span, "it is no IP address");
        }
        address
    };
    let named = split(&value).filter(|address| *address != "*");
    let addresses: Vec<IpAddr> = named.filter_map(address).collect();
    if split(&value).any(|address| address == "*") {
        return Vec::new();
    }
    addresses
}

fn dev_proxies(lookup: &Lookup<'_>) -> Vec<DevProxy> {
    let cx = lookup.reader.cx;
    let given = lookup.list("https_dev_proxy");
    if given.is_empty() {
        return Vec::new();
    }
    let tls = cx.keep(
        Fingerprint::of("https_dev_proxy"),
        super::server::tls::dev::config,
    );
    let port = |text: &str| text.trim().parse().ok().filter(|port| *port > 0);
    let mut proxies: Vec<DevProxy> = Vec::new();
    for (value, origin, span) in given {
        let ports = value
            .split_once(':')
            .and_then(|(tls_port, target)| Some((port(tls_port)?, port(target)?)));
        let Some((tls_port, target)) = ports else {
            let why = "it takes a TLS port and the port it leads to: `8443:8080`";
            lookup.refuse(&origin, &value, span, why);
            continue;
        };
        if proxies.iter().any(|other| other.tls_port == tls_port) {
            lookup.refuse(&origin, &value, span, "the TLS port is there twice");
            continue;
        }
        proxies.push(DevProxy {
            tls_port,
            target,
            origin,
            span,
            tls: Arc::clone(&tls),
        });
    }
    proxies
}

fn watch(lookup: &Lookup<'_>) -> Watch {
    let get = |name: &str| lookup.overrides.get(name);
    let retries = get("watch_retries").and_then(|(value, origin)| {
        let retries = value.parse().ok();
        if retries.is_none() {
            lookup.refuse(&origin, value, None, "it is no whole number from 0 on");
        }
        retries
    });
    let delay = get("watch_retry_delay").and_then(|(value, origin)| {
        let refuse = |why: &&str| lookup.refuse(&origin, value, None, why);
        super::duration::parse(value).inspect_err(refuse).ok()
    });
    Watch {
        on: get("watch").is_some_and(|(value, _)| value == "true"),
        retries: retries.unwrap_or(5),
        retry_delay: delay.unwrap_or(Duration::from_millis(500)),
    }
}

fn authorities(lookup: &Lookup<'_>) -> Vec<CertificateDer<'static>> {
    let (path, origin, span) = match lookup.overrides.get("ca_file") {
        Some((value, origin)) => (PathBuf::from(value), origin, None),
        None => match lookup.reader.path("ca_file") {
            Some(path) => (path.value, "`ca_file`".to_owned(), Some(path.span)),
            None => return Vec::new(),
        },
    };
    lookup.reader.cx.watch(&path);
    let read = match std::fs::read(&path) {
        Ok(bytes) if bytes.is_empty() => Err("it is empty".to_owned()),
        Ok(bytes) => sound_certificates(&bytes),
        Err(error) => Err(error.to_string()),
    };
    read.unwrap_or_else(|why| {
        lookup.refuse(&origin, &path.display().to_string(), span, &why);
        Vec::new()
    })
}

fn strip_secure_cookies(lookup: &Lookup<'_>) -> bool {
    match lookup.text("secure_cookies") {
        Some((value, origin, span)) if !value.is_empty() && value != "strip" => {
            lookup.refuse(
                &origin,
                &value,
                span,
                "it takes `strip` or the empty string",
            );
            false
        }
        Some((value, _, _)) => value == "strip",
        None => false,
    }
}
