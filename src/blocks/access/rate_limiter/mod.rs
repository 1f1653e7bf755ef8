//! `beta_rate_limiter`: how many requests are let in for each key.
//!
//! ```hcl
//! beta_rate_limiter "limit" {
//!   period     = "1m"
//!   per_period = 60
//!   key        = request.remote_ip
//! }
//! ```

mod windows;

use super::{Authenticate, Verdict};
use crate::blocks::backend::text_of;
use crate::blocks::modifiers::evaluate;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::blocks::{Definitions, Fingerprint, error_handler};
use crate::clock::Clock;
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::Program;
use crate::http::exchange::Exchange;
use crate::telemetry::metrics::{Counter, families};
use aws_lc_rs::digest;
use http::{HeaderValue, header};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windows::{KeyDigest, Now, Windows};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_rate_limiter",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("period", Kind::Duration, "The period.")
            .required()
            .positive(),
        AttributeSchema::start(
            "per_period",
            Kind::Number,
            "Requests for each key in each period.",
        )
        .required()
        .positive(),
        AttributeSchema::start(
            "period_window",
            Kind::String,
            "Whether any period counts or one after the other by the clock.",
        )
        .one_of(&["sliding", "fixed"])
        .default("sliding"),
        AttributeSchema::request("key", Kind::String, "What is counted by.").required(),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[Child::many(&error_handler::SCHEMA)],
    rules: &[],
    docs: "How many requests are let in for each key.",
    example: r#"server {
  access_control = ["limit"]
  endpoint "/" {
    response {}
  }
}

definitions {
  beta_rate_limiter "limit" {
    period     = "1m"
    per_period = 60
    key        = request.remote_ip
  }
}
"#,
};

#[derive(Debug)]
struct RateLimiter {
    key: Program,
    windows: Arc<Windows>,
    /// Counts those that are refused.
    limited: Option<Arc<Counter>>,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    let (period, per_period, kind) = (period(reader), per_period(reader), window(reader));
    let key = reader.program("key")?;
    let (period, per_period, kind) = (period?, per_period?, kind?);
    // What was counted still counts after a reload.
    let identity = Fingerprint::of("rate limiter").block(reader.block, definitions);
    let windows = || Windows::new(period, per_period, kind);
    let windows = reader.cx.keep(identity, windows);
    let limited = reader.cx.metrics().map(|registry| {
        let label = [reader.block.label().trim()];
        let counted = Arc::downgrade(&windows);
        registry.read(&families::RATE_LIMITER_KEYS, &label, move || {
            #[allow(clippy::cast_precision_loss)]
            Some(counted.upgrade()?.keys() as f64)
        });
        registry.counter(&families::RATE_LIMITED, &label)
    });
    Some(Box::new(RateLimiter {
        key,
        windows,
        limited,
    }))
}

fn period(reader: Reader<'_>) -> Option<Duration> {
    let text = reader.string("period")?;
    let period = reader.duration("period");
    if text.value.is_empty() || period.as_ref().is_some_and(|period| period.value.is_zero()) {
        refuse(reader, text.span, "`period` must be greater than zero");
        return None;
    }
    period.map(|period| period.value)
}

fn per_period(reader: Reader<'_>) -> Option<usize> {
    let number = reader.value("per_period")?;
    let whole = number.value.to_number().and_then(|number| number.as_i64());
    match whole.and_then(|whole| usize::try_from(whole).ok()) {
        Some(whole) if whole > 0 => Some(whole),
        Some(_) | None => {
            let message = "`per_period` must be a whole number greater than zero";
            refuse(reader, number.span, message);
            None
        }
    }
}

fn window(reader: Reader<'_>) -> Option<windows::Kind> {
    let Some(name) = reader.filled("period_window") else {
        return Some(windows::Kind::Sliding);
    };
    match name.value.as_str() {
        "sliding" => Some(windows::Kind::Sliding),
        "fixed" => Some(windows::Kind::Fixed),
        other => {
            let message = format!("`period_window` is `{other}`, expected `sliding` or `fixed`");
            let hint = did_you_mean(other, ["sliding", "fixed"]);
            reader.cx.report(
                Diagnostic::error(code::BAD_VALUE, name.span, about(reader, &message))
                    .maybe_hint(hint),
            );
            None
        }
    }
}

fn refuse(reader: Reader<'_>, span: Span, why: &str) {
    reader.bad_value(span, about(reader, why));
}

/// What is said about the block, which labels tell apart.
fn about(reader: Reader<'_>, what: &str) -> String {
    let (block, label) = (SCHEMA.name, reader.block.label());
    format!("`{block}` `{label}`: {what}")
}

impl RateLimiter {
    fn check(&self, exchange: &Exchange) -> Result<(), Error> {
        let key = match evaluate(&self.key, exchange) {
            Ok(value) => text_of(value),
            Err(error) => {
                let message = format!("the key cannot be evaluated: {error}");
                return Err(Error::new(ErrorKind::RateLimiterKey, message).at(self.key.span()));
            }
        };
        let key = key.trim();
        if key.is_empty() {
            return Err(Error::new(ErrorKind::RateLimiterKey, "the key is empty"));
        }
        let mut hashed = KeyDigest::default();
        hashed.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = Now {
            instant: Clock::System.now(),
            unix_nanos: wall.map_or(0, |since| since.as_nanos()),
        };
        self.windows.admit(&hashed, now).map_err(|wait| {
            if let Some(limited) = &self.limited {
                limited.add(1);
            }
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Error::new(ErrorKind::RateLimiter, "too many requests for the key")
                .with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        })
    }
}

impl Authenticate for RateLimiter {
    fn authenticate<'a>(&'a self, _: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        Verdict::Now(self.check(exchange))
    }

    fn programs(&self) -> Vec<&Program> {
        vec![&self.key]
    }
}
