//! Traces: which requests are recorded, and the spans on their way to the exporter.
//!
//! Whether a request is recorded is decided when it arrives; without that, no span is made. A span
//! is handed over when it has ended, without waiting: while the collector does not take spans they
//! are dropped and counted.

mod context;

pub use context::{SpanId, TraceContext};

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::SystemTime;

use tokio::sync::mpsc;

use super::metrics::Counter;

/// Spans that may wait for the exporter.
const QUEUE: usize = 16 * 1024;

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Something of the gateway's own.
    Internal,
    /// A request of a client.
    Server,
    /// A request to a backend.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for AttributeValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// Something that took time, as the collector is told of it.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its place.
    pub context: TraceContext,
    /// What it is a part of.
    pub parent: Option<SpanId>,
    /// Its side.
    pub kind: SpanKind,
    /// Its name.
    pub name: Cow<'static, str>,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// Why it failed, if it did; empty where there is nothing to say.
    pub error: Option<String>,
}

/// A request that is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The place of its span.
    pub context: TraceContext,
    /// The client's span, if its trace is continued.
    pub parent: Option<SpanId>,
}

/// Decides what is recorded, and takes spans that have ended.
#[derive(Debug)]
pub struct Tracer {
    trust_parent: bool,
    parent_only: bool,
    spans: mpsc::Sender<Span>,
    dropped: Counter,
}

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// The process's tracer, if traces are on.
pub fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

/// Switches traces on for the process and gives out the exporter's end of the queue; `None` if they
/// were on.
pub fn switch_on(trust_parent: bool, parent_only: bool) -> Option<mpsc::Receiver<Span>> {
    let (tracer, spans) = Tracer::new(trust_parent, parent_only);
    TRACER.set(tracer).ok()?;
    Some(spans)
}

impl Tracer {
    fn new(trust_parent: bool, parent_only: bool) -> (Self, mpsc::Receiver<Span>) {
        let (spans, queue) = mpsc::channel(QUEUE);
        let tracer = Self {
            trust_parent,
            parent_only,
            spans,
            dropped: Counter::default(),
        };
        (tracer, queue)
    }

    /// Whether a client's trace is continued.
    pub fn trusts_parents(&self) -> bool {
        self.trust_parent
    }

    /// Begins the trace of a request that came with this `traceparent`; `None` if it is not traced.
    pub fn begin(&self, traceparent: Option<&[u8]>) -> Option<Begun> {
        let parent = traceparent.and_then(TraceContext::parse);
        match parent {
            None if self.parent_only => None,
            Some(parent) if self.trust_parent => Some(Begun {
                // Of a trace that is not recorded there are no spans: the client's stands for ours.
                context: if parent.sampled {
                    parent.child()?
                } else {
                    parent
                },
                parent: Some(parent.span_id),
            }),
            _ => Some(Begun {
                context: TraceContext::root()?,
                parent: None,
            }),
        }
    }

    /// Hands a span over that has ended. Does not wait.
    pub fn end(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.dropped.add(1);
        }
    }

    /// How many spans were dropped because the exporter did not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn begin(trust: bool, only: bool, parent: Option<&[u8]>) -> Option<Begun> {
        Tracer::new(trust, only).0.begin(parent)
    }

    #[test]
    fn a_parent_counts_where_it_is_trusted() {
        let parent = TraceContext::parse(PARENT).unwrap();
        let begun = begin(true, false, Some(PARENT)).unwrap();
        assert_eq!(begun.parent, Some(parent.span_id));
        assert_eq!(begun.context.trace_id, parent.trace_id);
        assert_ne!(begun.context.span_id, parent.span_id);
        let begun = begin(false, false, Some(PARENT)).unwrap();
        assert_eq!(begun.parent, None);
        assert_ne!(begun.context.trace_id, parent.trace_id);
        assert!(begun.context.sampled);
    }

    #[test]
    fn a_trusted_parent_decides_what_is_recorded() {
        let begun = begin(true, false, Some(UNSAMPLED)).unwrap();
        assert!(!begun.context.sampled);
        assert!(
            begin(false, false, Some(UNSAMPLED))
                .unwrap()
                .context
                .sampled
        );
    }

    #[test]
    fn requests_without_a_parent_may_be_left_out() {
        assert_eq!(begin(false, true, None), None);
        assert_eq!(begin(true, true, Some(b"nonsense")), None);
        assert!(begin(false, true, Some(PARENT)).is_some());
        assert!(begin(true, false, None).is_some());
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (tracer, queue) = Tracer::new(false, false);
        let span = Span {
            context: TraceContext::root().unwrap(),
            parent: None,
            kind: SpanKind::Internal,
            name: "x".into(),
            start: SystemTime::now(),
            end: SystemTime::now(),
            attributes: Vec::new(),
            error: None,
        };
        for _ in 0..QUEUE + 3 {
            tracer.end(span.clone());
        }
        assert_eq!(tracer.dropped(), 3);
        drop(queue);
    }
}
