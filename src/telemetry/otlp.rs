//! Spans and metrics as OTLP messages.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValueKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as WireKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan, Status};
use prost::Message as _;

use super::trace::{AttributeValue, Span, SpanKind};
use crate::telemetry::metrics::families::Kind;
use crate::telemetry::metrics::{Sample, Value};

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, AnyValueKind::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: AnyValueKind) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", service),
            text("service.version", crate::VERSION),
        ],
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: crate::VERSION.to_owned(),
        ..InstrumentationScope::default()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The message that brings spans to a collector.
pub fn spans(service: &str, spans: &[Span]) -> Vec<u8> {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: spans.iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

fn span(span: &Span) -> WireSpan {
    let kind = match span.kind {
        SpanKind::Internal => WireKind::Internal,
        SpanKind::Server => WireKind::Server,
        SpanKind::Client => WireKind::Client,
    };
    let attributes = span.attributes.iter().map(|(key, value)| match value {
        AttributeValue::Text(value) => text(key, value),
        AttributeValue::Number(number) => attribute(key, AnyValueKind::IntValue(*number)),
    });
    WireSpan {
        trace_id: span.context.trace_id.to_vec(),
        span_id: span.context.span_id.to_vec(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        flags: u32::from(span.context.sampled),
        name: span.name.to_string(),
        kind: kind.into(),
        start_time_unix_nano: nanos(span.start),
        // A clock that is set back must not make a span that ends before it begins.
        end_time_unix_nano: nanos(span.end).max(nanos(span.start)),
        attributes: attributes.collect(),
        status: span.error.as_ref().map(|message| Status {
            message: message.clone(),
            code: StatusCode::Error.into(),
        }),
        ..WireSpan::default()
    }
}

/// The message that brings metrics, counted since `since`, to a collector.
pub fn metrics(service: &str, samples: &[Sample], since: SystemTime) -> Vec<u8> {
    let now = nanos(SystemTime::now());
    let since = nanos(since);
    let families = samples.chunk_by(|a, b| a.family.name == b.family.name);
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(service)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: families.filter_map(|all| metric(all, since, now)).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    request.encode_to_vec()
}

fn labels(sample: &Sample) -> Vec<KeyValue> {
    let labels = sample.labels.iter();
    labels.map(|(name, value)| text(name, value)).collect()
}

/// The samples of one family.
fn metric(samples: &[Sample], since: u64, now: u64) -> Option<Metric> {
    let family = samples.first()?.family;
    let numbers = samples.iter().filter_map(|sample| match &sample.value {
        Value::Number(number) => Some(NumberDataPoint {
            attributes: labels(sample),
            start_time_unix_nano: since,
            time_unix_nano: now,
            value: Some(PointValue::AsDouble(*number)),
            ..NumberDataPoint::default()
        }),
        Value::Distribution(_) => None,
    });
    let histograms = samples.iter().filter_map(|sample| match &sample.value {
        Value::Distribution(value) => {
            let finite = value.buckets.iter().map(|(bound, _)| *bound);
            Some(HistogramDataPoint {
                attributes: labels(sample),
                start_time_unix_nano: since,
                time_unix_nano: now,
                count: value.count(),
                sum: Some(value.sum),
                bucket_counts: value.buckets.iter().map(|(_, count)| *count).collect(),
                explicit_bounds: finite.filter(|bound| bound.is_finite()).collect(),
                ..HistogramDataPoint::default()
            })
        }
        Value::Number(_) => None,
    });
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers.collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge => metric::Data::Gauge(Gauge {
            data_points: numbers.collect(),
        }),
        Kind::Histogram(_) => metric::Data::Histogram(Histogram {
            data_points: histograms.collect(),
            aggregation_temporality: cumulative,
        }),
    };
    let seconds = family.name.contains("_seconds");
    Some(Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: if seconds { "s" } else { "" }.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Registry, families};
    use crate::telemetry::trace::TraceContext;
    use std::time::Duration;

    #[test]
    fn spans_survive_the_wire() {
        let context = TraceContext::root().unwrap();
        let start = UNIX_EPOCH + Duration::from_secs(5);
        let bytes = spans(
            "svc",
            &[Span {
                context,
                parent: Some([7; 8]),
                kind: SpanKind::Client,
                name: "backend.be".into(),
                start,
                end: UNIX_EPOCH,
                attributes: vec![("http.response.status_code", 502.into())],
                error: Some("gone".into()),
            }],
        );
        let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
        let resource = request.resource_spans[0].resource.as_ref().unwrap();
        assert_eq!(resource.attributes[0], text("service.name", "svc"));
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(span.trace_id, context.trace_id);
        assert_eq!(span.parent_span_id, [7; 8]);
        assert_eq!(span.kind(), WireKind::Client);
        assert_eq!(span.end_time_unix_nano, 5_000_000_000);
        assert_eq!(span.status.as_ref().unwrap().message, "gone");
    }

    #[test]
    fn metrics_survive_the_wire() {
        let registry = Registry::default();
        let histogram = registry.histogram(&families::ACCESS_CONTROL_DURATION, &["a", "jwt"]);
        histogram.record(Duration::from_millis(7));
        registry.count(&families::LIMIT, &["x"]);
        let bytes = metrics("svc", &registry.collect(), UNIX_EPOCH);
        let request = ExportMetricsServiceRequest::decode(&*bytes).unwrap();
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!(metrics.len(), 2);
        let Some(metric::Data::Histogram(histogram)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.count, 1);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        let Some(metric::Data::Sum(sum)) = &metrics[1].data else {
            panic!("{metrics:?}");
        };
        assert!(sum.is_monotonic);
    }
}
