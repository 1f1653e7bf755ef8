//! Settings of metrics and traces, and where they are sent.

use super::Lookup;
use crate::blocks::backend::{Origin, Scheme};
use crate::diagnostic::Span;

/// The variable of OpenTelemetry that goes before the settings of endpoints.
const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// `grpc` or `http/protobuf`; without it the address decides.
const OTLP_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
/// By convention collectors speak gRPC on 4317 and HTTP on this port.
const OTLP_HTTP_PORT: u16 = 4318;
const DEFAULT_ENDPOINT: &str = "localhost:4317";

/// Metrics and traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observe {
    /// `beta_service_name`
    pub service_name: String,
    /// `beta_metrics`, unless it is off.
    pub metrics: Option<MetricsExporter>,
    /// `beta_traces`, unless it is off.
    pub traces: Option<Traces>,
}

/// How metrics leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsExporter {
    /// Prometheus asks for them at this port.
    Prometheus(u16),
    /// They are sent to a collector.
    Otlp(Collector),
}

/// Traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Where spans are sent.
    pub collector: Collector,
    /// `beta_traces_trust_parent`: the client's trace is continued.
    pub trust_parent: bool,
    /// `beta_traces_parent_only`: requests without a trace of the client are not traced.
    pub parent_only: bool,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, with protobuf bodies.
    Http,
}

/// An OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Where it is.
    pub origin: Origin,
    /// What stands in front of the paths of OTLP, without a slash at the end.
    pub path: String,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Collector {
    /// From `host:port` or a URL, and the protocol if it is given.
    fn parse(endpoint: &str, protocol: Option<Protocol>) -> Option<Self> {
        let url = if endpoint.contains("://") {
            endpoint.to_owned()
        } else {
            format!("http://{endpoint}")
        };
        let (origin, path) = Origin::split(&url)?;
        let path = path.trim_end_matches('/');
        if path.contains(['?', '#']) {
            return None;
        }
        let by_address = if origin.port == OTLP_HTTP_PORT || !path.is_empty() {
            Protocol::Http
        } else {
            Protocol::Grpc
        };
        Some(Self {
            path: path.to_owned(),
            protocol: protocol.unwrap_or(by_address),
            origin,
        })
    }

    /// Host and port, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.origin.host, self.origin.port)
    }

    /// Whether by TLS.
    pub fn tls(&self) -> bool {
        self.origin.scheme == Scheme::Https
    }
}

impl Observe {
    pub(super) fn read(lookup: &Lookup<'_>) -> Self {
        let text = |name: &str| lookup.text(name).map(|(value, _, _)| value);
        let metrics = match lookup.text("beta_metrics_exporter") {
            Some((value, _, _)) if value == "otlp" => {
                collector(lookup, "beta_metrics_endpoint").map(MetricsExporter::Otlp)
            }
            given => {
                if let Some((value, origin, span)) = &given
                    && !["", "prometheus"].contains(&value.as_str())
                {
                    lookup.refuse(origin, value, *span, "it takes `prometheus` or `otlp`");
                }
                let port = lookup.port("beta_metrics_port", 9090);
                Some(MetricsExporter::Prometheus(port))
            }
        };
        let traces = collector(lookup, "beta_traces_endpoint").map(|collector| Traces {
            collector,
            trust_parent: lookup.bool("beta_traces_trust_parent"),
            parent_only: lookup.bool("beta_traces_parent_only"),
        });
        Self {
            service_name: text("beta_service_name")
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "couper".into()),
            metrics: metrics.filter(|_| lookup.bool("beta_metrics")),
            traces: traces.filter(|_| lookup.bool("beta_traces")),
        }
    }
}

/// The collector of a setting; OpenTelemetry's own variable goes before it.
fn collector(lookup: &Lookup<'_>, name: &str) -> Option<Collector> {
    let env = |name: &str| lookup.overrides.variable_of(name).map(str::to_owned);
    let protocol = env(OTLP_PROTOCOL).and_then(|value| {
        let known = match value.as_str() {
            "grpc" => Some(Protocol::Grpc),
            "http/protobuf" => Some(Protocol::Http),
            _ => None,
        };
        if known.is_none() {
            let why = "it takes `grpc` or `http/protobuf`";
            lookup.refuse(OTLP_PROTOCOL, &value, None, why);
        }
        known
    });
    let given: Option<(String, String, Option<Span>)> = match env(OTLP_ENDPOINT) {
        Some(value) => Some((value, OTLP_ENDPOINT.to_owned(), None)),
        None => lookup.text(name).filter(|(value, _, _)| !value.is_empty()),
    };
    let Some((value, origin, span)) = given else {
        return Collector::parse(DEFAULT_ENDPOINT, protocol);
    };
    let collector = Collector::parse(&value, protocol);
    if collector.is_none() {
        let why = "it takes `host:port` or an http or https URL";
        lookup.refuse(&origin, &value, span, why);
    }
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_tells_the_protocol() {
        let parse = |text| Collector::parse(text, None).map(|c| (c.address(), c.path, c.protocol));
        let grpc = |address: &str| Some((address.into(), String::new(), Protocol::Grpc));
        assert_eq!(parse("localhost:4317"), grpc("localhost:4317"));
        assert_eq!(parse("http://collector:4317/"), grpc("collector:4317"));
        assert_eq!(parse("[::1]:4317"), grpc("[::1]:4317"));
        let http = |address: &str, path: &str| Some((address.into(), path.into(), Protocol::Http));
        assert_eq!(parse("localhost:4318"), http("localhost:4318", ""));
        assert_eq!(parse("https://h/otlp/"), http("h:443", "/otlp"));
        for wrong in ["", "ftp://h", "http://h:x", "h:80?x", "a b"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let forced = Collector::parse("h:4318", Some(Protocol::Grpc)).unwrap();
        assert_eq!(forced.protocol, Protocol::Grpc);
    }
}
