//! `job`: requests sent again and again, without a client.
//!
//! ```hcl
//! job "ping" {
//!   interval = "1m"
//!   request {
//!     url = "http://localhost:8081/ping"
//!   }
//! }
//! ```

use super::endpoint::{Plan, Reads};
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use super::{Definitions, request};
use crate::diagnostic::{Diagnostic, code};
use crate::expr::Program;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "job",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("interval", Kind::Duration, "Time from one run to the next.")
            .required()
            .positive(),
        AttributeSchema::start(
            "startup_delay",
            Kind::Duration,
            "Time before the first run.",
        )
        .default("0s"),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[Child::many(&request::SCHEMA)],
    rules: &[Rule::AnyOf(&["request {}"])],
    docs: "Requests sent again and again, without a client.",
    example: r#"server {
  endpoint "/" {
    response {}
  }
}

definitions {
  job "ping" {
    interval = "1m"
    request {
      url = "http://localhost:8081/ping"
    }
  }
}
"#,
};

/// When a job without `startup_delay` runs first.
const FIRST: Duration = Duration::from_millis(50);

/// A job, ready to run.
#[derive(Debug)]
pub struct Job {
    /// Its label.
    pub name: Arc<str>,
    /// Time from the start to the first run.
    pub first: Duration,
    /// Time from one run to the next.
    pub interval: Duration,
    /// What a run sends.
    pub plan: Plan,
    /// `custom_log_fields`
    pub log_fields: Option<Arc<Program>>,
    claimed: AtomicBool,
}

impl Job {
    /// Reads the block; `None` when it is too broken to run (which has been reported then).
    pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let name: Arc<str> = reader.label().map_or("", |label| &label.text).into();
        let interval = duration(reader, "interval");
        if interval.is_some_and(|interval| interval.is_zero()) {
            report(reader, "interval", "it must be greater than zero");
        }
        let first = duration(reader, "startup_delay").filter(|delay| !delay.is_zero());
        let log_fields = reader.program("custom_log_fields").map(Arc::new);
        let plan = Plan::of_handler(reader, definitions);
        if reader.inner("request").is_none() {
            let message = format!("job `{name}` needs a `request` block");
            reader
                .cx
                .report(Diagnostic::error(code::INCOMPLETE, reader.span(), message));
        }
        let mut plan = plan?;
        plan.keep_what_is_read(&Reads::of_job(&plan, log_fields.as_deref()));
        Some(Self {
            name,
            first: first.unwrap_or(FIRST),
            interval: interval?,
            plan,
            log_fields,
            claimed: AtomicBool::new(false),
        })
    }

    /// Whether the caller is the first, who is to run it.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }
}

/// A duration, whose faults name the job.
fn duration(reader: Reader<'_>, name: &str) -> Option<Duration> {
    let text = reader.string(name)?;
    match super::duration::parse(&text.value) {
        Ok(duration) => Some(duration),
        Err(why) => {
            report(
                reader,
                name,
                &format!("`{}` is no duration: {why}", text.value),
            );
            None
        }
    }
}

fn report(reader: Reader<'_>, name: &str, why: &str) {
    let label = reader.label().map_or("", |label| &label.text);
    let span = reader
        .attribute(name)
        .map_or(reader.span(), |attribute| attribute.value_span);
    let message = format!("job `{label}`: `{name}`: {why}");
    reader.cx.report(
        Diagnostic::error(code::BAD_VALUE, span, message)
            .hint("durations look like `300ms`, `1.5s`, `1h30m`"),
    );
}
