//! `throttle`: how many requests an origin gets in a period.
//!
//! ```hcl
//! throttle {
//!   period     = "1s"
//!   per_period = 50
//!   mode       = "block"
//! }
//! ```

use crate::blocks::fingerprint::Fingerprint;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::blocks::{Definitions, pending};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "throttle",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("period", Kind::Duration, "The period.")
            .required()
            .positive(),
        AttributeSchema::start("per_period", Kind::Number, "Requests in each period.")
            .required()
            .positive(),
        AttributeSchema::start(
            "period_window",
            Kind::String,
            "Whether any period counts or one after the other.",
        )
        .one_of(&["sliding", "fixed"])
        .default("sliding"),
        AttributeSchema::start(
            "mode",
            Kind::String,
            "Whether further requests wait or fail with `backend_throttle_exceeded`.",
        )
        .one_of(&["wait", "block"])
        .default("wait"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "How many requests an origin gets in a period. It stands in labelled backends of `definitions` only; several blocks of different periods add up.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
    throttle {
      period     = "1s"
      per_period = 50
      mode       = "block"
    }
  }
}
"#,
};

/// The limits of a backend, shared by all who use it.
#[derive(Debug)]
pub struct Throttle {
    limits: Mutex<Vec<Limit>>,
    /// Who waits, in order. The holder waits for its time; one who leaves makes room for the next.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Limit {
    period: Duration,
    per_period: usize,
    block: bool,
    window: Window,
}

/// What has been admitted.
#[derive(Debug)]
enum Window {
    /// When each of the last period's requests was.
    Sliding(VecDeque<Instant>),
    /// Since when the present period runs, and how many it had.
    Fixed(Option<Instant>, usize),
}

/// A limit of mode `block` is exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the throttle is exhausted")]
pub struct Exhausted;

impl Throttle {
    /// Reads the blocks of a backend; `None` without any.
    pub(super) fn read(backend: Reader<'_>, definitions: &Definitions<'_>) -> Option<Arc<Self>> {
        let limits: Vec<Limit> = backend
            .blocks("throttle")
            .filter_map(|block| {
                pending::check(backend.cx, block, &SCHEMA);
                let reader = Reader::quiet(backend.cx, block, &SCHEMA);
                let text = |name: &str| reader.filled(name).map(|text| text.value);
                let sliding = text("period_window").is_none_or(|window| window != "fixed");
                Some(Limit {
                    period: reader.duration("period")?.value,
                    per_period: usize::try_from(reader.number("per_period")?.value).ok()?,
                    block: text("mode").is_some_and(|mode| mode == "block"),
                    window: if sliding {
                        Window::Sliding(VecDeque::new())
                    } else {
                        Window::Fixed(None, 0)
                    },
                })
            })
            .collect();
        if limits.is_empty() {
            return None;
        }
        let identity = Fingerprint::of("throttle").text(backend.block.label());
        let identity = backend
            .blocks("throttle")
            .fold(identity, |identity, block| {
                identity.block(block, definitions)
            });
        // What was counted still counts after a reload.
        Some(backend.cx.keep(identity, || Self {
            limits: Mutex::new(limits),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// Waits until a request may be sent, and counts it.
    pub async fn admit(&self) -> Result<(), Exhausted> {
        if self.is_blocked(Instant::now()) {
            return Err(Exhausted);
        }
        // Only who waits in order may pass those who came before.
        let _turn = self.turn.lock().await;
        loop {
            let wait = self.attempt(Instant::now())?;
            if wait.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn is_blocked(&self, now: Instant) -> bool {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits
            .iter_mut()
            .any(|limit| limit.block && !limit.wait(now).is_zero())
    }

    /// Counts a request, or tells how long it has to wait.
    fn attempt(&self, now: Instant) -> Result<Duration, Exhausted> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest = Duration::ZERO;
        for limit in limits.iter_mut() {
            let wait = limit.wait(now);
            if limit.block && !wait.is_zero() {
                return Err(Exhausted);
            }
            longest = longest.max(wait);
        }
        if longest.is_zero() {
            limits.iter_mut().for_each(|limit| limit.count(now));
        }
        Ok(longest)
    }
}

impl Limit {
    fn wait(&mut self, now: Instant) -> Duration {
        match &mut self.window {
            Window::Sliding(times) => {
                while times.front().is_some_and(|time| now >= *time + self.period) {
                    times.pop_front();
                }
                match times.front() {
                    Some(first) if times.len() >= self.per_period => *first + self.period - now,
                    _ => Duration::ZERO,
                }
            }
            Window::Fixed(None, _) => Duration::ZERO,
            Window::Fixed(Some(start), count) => {
                while now >= *start + self.period {
                    let over = (now - *start).as_nanos() / self.period.as_nanos().max(1);
                    *start += self.period * u32::try_from(over).unwrap_or(u32::MAX);
                    *count = 0;
                }
                if *count < self.per_period {
                    Duration::ZERO
                } else {
                    *start + self.period - now
                }
            }
        }
    }

    fn count(&mut self, now: Instant) {
        match &mut self.window {
            Window::Sliding(times) => times.push_back(now),
            Window::Fixed(start, count) => {
                start.get_or_insert(now);
                *count += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(window: Window, per_period: usize, block: bool) -> Throttle {
        let period = Duration::from_secs(10);
        Throttle {
            limits: Mutex::new(vec![Limit {
                period,
                per_period,
                block,
                window,
            }]),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sliding_windows_look_back_from_each_request() {
        let throttle = throttle(Window::Sliding(VecDeque::new()), 2, false);
        let start = Instant::now();
        let at = |seconds| throttle.attempt(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Ok(Duration::ZERO));
        assert_eq!(at(9), Ok(Duration::ZERO));
        assert_eq!(at(9), Ok(Duration::from_secs(1)));
        assert_eq!(at(10), Ok(Duration::ZERO));
        assert_eq!(at(11), Ok(Duration::from_secs(8)));
    }

    #[tokio::test(start_paused = true)]
    async fn fixed_windows_follow_one_another() {
        let throttle = throttle(Window::Fixed(None, 0), 2, false);
        let start = Instant::now();
        let at = |seconds| throttle.attempt(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Ok(Duration::ZERO));
        assert_eq!(at(9), Ok(Duration::ZERO));
        assert_eq!(at(9), Ok(Duration::from_secs(1)));
        assert_eq!(at(35), Ok(Duration::ZERO));
        assert_eq!(at(35), Ok(Duration::ZERO));
        assert_eq!(at(38), Ok(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_in_order_and_leave_room() {
        let throttle = throttle(Window::Sliding(VecDeque::new()), 1, false);
        let start = Instant::now();
        throttle.admit().await.unwrap();
        let second = Duration::from_secs(1);
        // Those who give up do not cost the next one anything.
        assert!(
            tokio::time::timeout(second, throttle.admit())
                .await
                .is_err()
        );
        assert!(
            tokio::time::timeout(second, throttle.admit())
                .await
                .is_err()
        );
        throttle.admit().await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn block_refuses_at_once() {
        let throttle = throttle(Window::Sliding(VecDeque::new()), 1, true);
        throttle.admit().await.unwrap();
        assert_eq!(throttle.admit().await, Err(Exhausted));
    }
}
