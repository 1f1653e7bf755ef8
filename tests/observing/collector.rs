//! An OpenTelemetry collector that keeps what it is sent.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::support::{Mismatch, eventually, lock};

/// What a collector speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Grpc,
    Http,
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    /// Names of metrics.
    metrics: Vec<String>,
    /// All messages as they came, for what must not be in them.
    bytes: Vec<u8>,
}

/// A collector. It runs until the test program ends.
#[derive(Clone)]
pub struct Collector(Arc<Mutex<Taken>>);

impl Collector {
    /// One at this port, from now on.
    pub fn start(port: u16, speaks: Speaks) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let collector = Self(Arc::default());
        let taken = collector.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(taken.accept(listener, speaks));
        });
        collector
    }

    async fn accept(self, listener: TcpListener, speaks: Speaks) {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let collector = self.clone();
            let service = service_fn(move |request| {
                let collector = collector.clone();
                async move { Ok::<_, Infallible>(collector.take(request, speaks).await) }
            });
            let io = TokioIo::new(stream);
            tokio::spawn(async move {
                // The gateway ends connections as it likes.
                let _ = match speaks {
                    Speaks::Grpc => {
                        let executor = hyper_util::rt::TokioExecutor::new();
                        hyper::server::conn::http2::Builder::new(executor)
                            .serve_connection(io, service)
                            .await
                    }
                    Speaks::Http => {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .await
                    }
                };
            });
        }
    }

    async fn take(
        &self,
        request: Request<Incoming>,
        speaks: Speaks,
    ) -> Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>> {
        let path = request.uri().path().to_owned();
        let kind = request.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let te = request.headers().get("te").cloned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let message = match speaks {
            Speaks::Http => {
                assert_eq!(kind, "application/x-protobuf");
                body
            }
            Speaks::Grpc => {
                assert_eq!(kind, "application/grpc");
                assert_eq!(te.unwrap(), "trailers");
                let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
                assert_eq!((body[0], length as usize), (0, body.len() - 5));
                body.slice(5..)
            }
        };
        self.keep(&path, &message);
        let body = match speaks {
            Speaks::Http => Full::new(Bytes::new()).boxed_unsync(),
            Speaks::Grpc => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Full::new(Bytes::from_static(&[0; 5]))
                    .with_trailers(async { Some(Ok(trailers)) })
                    .boxed_unsync()
            }
        };
        let mut response = Response::new(body);
        let kind = HeaderValue::try_from(kind).unwrap();
        response.headers_mut().insert("content-type", kind);
        response
    }

    fn keep(&self, path: &str, message: &[u8]) {
        let mut taken = lock(&self.0);
        taken.bytes.extend_from_slice(message);
        match path {
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" | "/v1/traces" => {
                let request = ExportTraceServiceRequest::decode(message).unwrap();
                let scopes = request
                    .resource_spans
                    .into_iter()
                    .flat_map(|r| r.scope_spans);
                taken.spans.extend(scopes.flat_map(|scope| scope.spans));
            }
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" | "/v1/metrics" => {
                let request = ExportMetricsServiceRequest::decode(message).unwrap();
                let resources = request.resource_metrics.into_iter();
                let scopes = resources.flat_map(|r| r.scope_metrics);
                let metrics = scopes.flat_map(|scope| scope.metrics);
                taken.metrics.extend(metrics.map(|metric| metric.name));
            }
            other => panic!("{other}"),
        }
    }

    /// The spans, as soon as there are so many.
    pub fn spans(&self, count: usize) -> Vec<Span> {
        let spans = eventually(Duration::from_secs(20), || {
            let spans = lock(&self.0).spans.clone();
            if spans.len() >= count {
                return Ok(spans);
            }
            Err(Mismatch::new(format!("{} spans", spans.len())))
        });
        spans.unwrap()
    }

    /// Names of the metrics so far.
    pub fn metrics(&self) -> Vec<String> {
        lock(&self.0).metrics.clone()
    }

    /// All messages so far.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.0).bytes.clone()
    }
}

/// A text attribute of a span.
pub fn attribute<'s>(span: &'s Span, name: &str) -> Option<&'s str> {
    let found = span.attributes.iter().find(|pair| pair.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The span of this name.
pub fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| {
        panic!(
            "{name}: {:?}",
            spans.iter().map(|s| &s.name).collect::<Vec<_>>()
        )
    })
}
