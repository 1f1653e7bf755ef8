//! Sends spans and metrics to an OpenTelemetry collector, over gRPC or HTTP.
//!
//! A thread of its own gathers and sends. A collector that is away costs spans, never a request: a
//! batch is kept and tried again after a growing pause; what comes meanwhile waits in a queue with an
//! end. The first failure is logged, then one a minute, then that it works again.

use super::tell;
use crate::blocks::settings::{Collector, MetricsExporter, Observe, Protocol};
use crate::telemetry::Level;
use crate::telemetry::metrics::{families, registry};
use crate::telemetry::otlp;
use crate::telemetry::trace::{self, Span};
use crate::upstream::{
    Limit, Limits, RequestBody, Target, TargetSettings, Tls, TlsSettings, Upstream, client_config,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use std::io;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot};

/// How long spans are gathered.
const GATHER: Duration = Duration::from_millis(250);
/// Spans sent at once.
const BATCH: usize = 2048;
/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two log entries about the same trouble.
const QUIET: Duration = Duration::from_secs(60);
/// Longest answer of a collector.
const MAX_ANSWER: usize = 64 << 10;
const LIMITS: Limits = Limits {
    connect_timeout: Duration::from_secs(3),
    ttfb_timeout: Duration::from_secs(10),
    timeout: Duration::from_secs(10),
};

/// What is sent: where to, by either protocol.
#[derive(Clone, Copy, Debug)]
struct Signal {
    name: &'static str,
    grpc: &'static str,
    http: &'static str,
}

const TRACES: Signal = Signal {
    name: "traces",
    grpc: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    http: "/v1/traces",
};
const METRICS: Signal = Signal {
    name: "metrics",
    grpc: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    http: "/v1/metrics",
};

/// Why something was not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{0}")]
    Unreachable(String),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("gRPC status {0}")]
    Grpc(u16),
}

impl ExportError {
    /// Whether the same may be taken later.
    fn is_momentary(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status(status) => [429, 502, 503, 504].contains(&status.as_u16()),
            // Of OTLP's list: cancelled, deadline, exhausted, aborted, out of range, unavailable,
            // data loss.
            Self::Grpc(code) => [1, 4, 8, 10, 11, 14, 15].contains(code),
        }
    }
}

/// The exporter's thread.
#[derive(Debug)]
pub(super) struct Exporter {
    finish: oneshot::Sender<Duration>,
    finished: blocking::Receiver<()>,
}

impl Exporter {
    /// Starts it, if the settings ask for one.
    pub(super) fn start(settings: &Observe) -> io::Result<Option<Self>> {
        let mut jobs = Vec::new();
        let service = settings.service_name.clone();
        if let Some(MetricsExporter::Otlp(collector)) = &settings.metrics {
            jobs.push(Job::Metrics(Destination::new(collector, METRICS)?));
        }
        if let Some(traces) = &settings.traces
            && let Some(spans) = trace::switch_on(traces.trust_parent, traces.parent_only)
        {
            registry().read(&families::TRACE_DROPPED, &[], || {
                #[allow(clippy::cast_precision_loss)]
                Some(trace::tracer()?.dropped() as f64)
            });
            let destination = Destination::new(&traces.collector, TRACES)?;
            jobs.push(Job::Traces(destination, spans));
        }
        if jobs.is_empty() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()?;
        let (finish, ending) = oneshot::channel();
        let (ended, finished) = blocking::channel();
        std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, run(jobs, service, ending));
                // Nobody waits any more when it took too long.
                let _ = ended.send(());
            })?;
        Ok(Some(Self { finish, finished }))
    }

    /// Sends what there is, and waits for that so long at most.
    pub(super) fn finish(self, limit: Duration) {
        if self.finish.send(limit).is_ok() {
            let _ = self.finished.recv_timeout(limit);
        }
    }
}

enum Job {
    Metrics(Destination),
    Traces(Destination, mpsc::Receiver<Span>),
}

async fn run(jobs: Vec<Job>, service: String, ending: oneshot::Receiver<Duration>) {
    let upstream = Upstream::default();
    let mut metrics = None;
    let mut traces = None;
    for job in jobs {
        match job {
            Job::Metrics(destination) => metrics = Some(Pusher::new(destination, &upstream)),
            Job::Traces(destination, spans) => {
                traces = Some((Pusher::new(destination, &upstream), Spans::new(spans)));
            }
        }
    }
    let since = SystemTime::now();
    let mut metrics_due = Instant::now() + METRICS_EVERY;
    let mut ending = ending;
    loop {
        let last = tokio::select! {
            () = tokio::time::sleep(GATHER) => None,
            // Without a word the process has no use for what is left.
            limit = &mut ending => Some(limit.unwrap_or_default()),
        };
        let round = async {
            if let Some((pusher, spans)) = &mut traces {
                spans.push(pusher, &service, last.is_some()).await;
            }
            if let Some(pusher) = &mut metrics
                && (last.is_some() || Instant::now() >= metrics_due)
            {
                metrics_due = Instant::now() + METRICS_EVERY;
                let samples = registry().collect();
                let message = otlp::metrics(&service, &samples, since);
                // Cumulative: what is not taken now is in the next one.
                let _ = pusher.push(message.into()).await;
            }
        };
        match last {
            None => round.await,
            Some(limit) => {
                let _ = tokio::time::timeout(limit, round).await;
                return;
            }
        }
    }
}

/// Spans that wait to be sent.
struct Spans {
    queue: mpsc::Receiver<Span>,
    batch: Vec<Span>,
    /// No attempt before.
    pause: Option<(Instant, Duration)>,
}

impl Spans {
    fn new(queue: mpsc::Receiver<Span>) -> Self {
        Self {
            queue,
            batch: Vec::new(),
            pause: None,
        }
    }

    /// Sends what has gathered; the last time all of it.
    async fn push(&mut self, pusher: &mut Pusher, service: &str, last: bool) {
        loop {
            while self.batch.len() < BATCH {
                match self.queue.try_recv() {
                    Ok(span) => self.batch.push(span),
                    Err(_) => break,
                }
            }
            let waits = self.pause.is_some_and(|(until, _)| Instant::now() < until);
            if self.batch.is_empty() || (waits && !last) {
                return;
            }
            let message = otlp::spans(service, &self.batch);
            match pusher.push(message.into()).await {
                Err(error) if error.is_momentary() => {
                    let pause = self.pause.map_or(FIRST_PAUSE, |(_, pause)| pause * 2);
                    let pause = pause.min(LONGEST_PAUSE);
                    self.pause = Some((Instant::now() + pause, pause));
                    return;
                }
                Ok(()) => self.pause = None,
                // It would be refused again.
                Err(_) => {}
            }
            self.batch.clear();
        }
    }
}

/// A collector for one signal.
struct Destination {
    target: Arc<Target>,
    address: String,
    path: String,
    protocol: Protocol,
    signal: Signal,
}

impl Destination {
    fn new(collector: &Collector, signal: Signal) -> io::Result<Self> {
        let grpc = collector.protocol == Protocol::Grpc;
        let unusable = |why: String| io::Error::other(format!("{}: {why}", collector.address()));
        let host = collector.origin.host.trim_matches(['[', ']']);
        let tls = if collector.tls() {
            let config = client_config(TlsSettings {
                http2: grpc,
                ..TlsSettings::default()
            });
            Some(Tls {
                config: config.map_err(|error| unusable(error.to_string()))?,
                server_name: rustls::pki_types::ServerName::try_from(host.to_owned())
                    .map_err(|error| unusable(error.to_string()))?,
            })
        } else {
            None
        };
        let target = Target::new(TargetSettings {
            host: host.into(),
            port: collector.origin.port,
            http2_prior_knowledge: grpc && tls.is_none(),
            tls,
            proxy: None,
            disable_connection_reuse: false,
            limit: Limit::new(2, 2),
            series: None,
        });
        Ok(Self {
            target: target.map_err(|error| unusable(error.to_string()))?,
            address: collector.address(),
            path: match collector.protocol {
                Protocol::Grpc => signal.grpc.to_owned(),
                Protocol::Http => format!("{}{}", collector.path, signal.http),
            },
            protocol: collector.protocol,
            signal,
        })
    }

    fn request(&self, message: Bytes) -> Result<Request<RequestBody>, ExportError> {
        let (kind, body) = match self.protocol {
            Protocol::Http => ("application/x-protobuf", message),
            Protocol::Grpc => {
                // Not compressed, then the length.
                let mut framed = BytesMut::with_capacity(message.len() + 5);
                framed.put_u8(0);
                framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
                framed.extend_from_slice(&message);
                ("application/grpc", framed.freeze())
            }
        };
        let mut request = Request::new(RequestBody::full(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = (self.path.parse())
            .map_err(|_| ExportError::Unreachable("the path is unusable".to_owned()))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let agent = HeaderValue::from_static(concat!("gateway/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, agent);
        if self.protocol == Protocol::Grpc {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        Ok(request)
    }

    async fn send(&self, upstream: &Upstream, message: Bytes) -> Result<(), ExportError> {
        let unreachable = |error: &(dyn std::error::Error + 'static)| {
            ExportError::Unreachable(crate::telemetry::daemon::chain(error))
        };
        let request = self.request(message)?;
        let sent = upstream.send(&self.target, request, &LIMITS).await;
        let response = sent.map_err(|error| unreachable(&error))?.response;
        let status = response.status();
        if !status.is_success() {
            return Err(ExportError::Status(status));
        }
        let at_once = grpc_status(response.headers());
        let answer = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        let answer =
            answer.map_err(|_| ExportError::Unreachable("the answer broke off".to_owned()))?;
        let code = at_once.or_else(|| grpc_status(answer.trailers()?));
        match (self.protocol, code) {
            (Protocol::Http, _) | (Protocol::Grpc, Some(0)) => Ok(()),
            // 2: unknown, as gRPC has it for answers without a status.
            (Protocol::Grpc, code) => Err(ExportError::Grpc(code.unwrap_or(2))),
        }
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    static NAME: HeaderName = HeaderName::from_static("grpc-status");
    headers.get(&NAME)?.to_str().ok()?.parse().ok()
}

/// Sends to a collector and tells how it goes.
struct Pusher {
    destination: Destination,
    upstream: Upstream,
    told: Option<Instant>,
}

impl Pusher {
    fn new(destination: Destination, upstream: &Upstream) -> Self {
        Self {
            destination,
            upstream: upstream.clone(),
            told: None,
        }
    }

    async fn push(&mut self, message: Bytes) -> Result<(), ExportError> {
        let outcome = self.destination.send(&self.upstream, message).await;
        let (name, address) = (self.destination.signal.name, &self.destination.address);
        let result = match &outcome {
            Ok(()) => {
                if self.told.take().is_some() {
                    tell(Level::Info, &format!("{name} are sent to {address} again"));
                }
                "success"
            }
            Err(error) => {
                if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
                    self.told = Some(Instant::now());
                    let text = format!("{name} cannot be sent to {address}: {error}");
                    tell(Level::Error, &text);
                }
                "failure"
            }
        };
        if self.destination.signal.name == TRACES.name {
            registry().count(&families::TRACE_EXPORTS, &[result]);
        }
        outcome
    }
}
