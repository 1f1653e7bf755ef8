//! Time limits that are known at start, or come from expressions.

use super::Backend;
use crate::blocks::backend::text_of;
use crate::blocks::duration;
use crate::blocks::reader::Reader;
use crate::diagnostic::{Diagnostic, code};
use crate::expr::{Program, Scope};
use crate::upstream::Limits;
use std::time::Duration;

/// A duration that is known at start, or an expression with the default for when it is none.
#[derive(Debug)]
pub(in crate::blocks) enum Timeout {
    Fixed(Duration),
    Dynamic(Program, Duration),
}

impl Timeout {
    pub(in crate::blocks) fn read(reader: Reader<'_>, name: &str, default: Duration) -> Self {
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
        match duration::parse(&text) {
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
    pub(in crate::blocks) fn program(&self) -> Option<&Program> {
        match self {
            Self::Fixed(_) => None,
            Self::Dynamic(program, _) => Some(program),
        }
    }

    /// The value for a request.
    pub(in crate::blocks) fn get(&self, scope: &dyn Scope, label: &str) -> Duration {
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
                duration::parse(&text).unwrap_or_else(|why| {
                    tracing::warn!(backend = label, "a timeout is no duration: {why}");
                    *default
                })
            }
        }
    }
}

impl Backend {
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
}
