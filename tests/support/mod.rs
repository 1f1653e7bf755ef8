//! What the black-box tests share: scripted peers, a client that writes exact bytes, the gateway's
//! process, and the comparison of what came with what a case wants.

pub mod case;
pub mod certificates;
pub mod client;
pub mod encoding;
pub mod expectations;
pub mod forms;
pub mod gateway;
pub mod keys;
pub mod matching;
pub mod message;
pub mod origin;
pub mod pattern;
pub mod placeholders;
pub mod ports;
pub mod run;
pub mod stream;
pub mod tokens;
pub mod value;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why a case fails.
#[derive(Clone, Debug)]
pub struct Mismatch(String);

impl Mismatch {
    /// A mismatch with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The same, told to have happened in `place`.
    #[must_use]
    pub fn within(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

macro_rules! causes {
    ($($kind:ty),* $(,)?) => {
        $(impl From<$kind> for Mismatch {
            fn from(error: $kind) -> Self {
                Self(error.to_string())
            }
        })*
    };
}

causes!(
    std::io::Error,
    toml::de::Error,
    rcgen::Error,
    rustls::Error,
    aws_lc_rs::error::Unspecified,
    url::ParseError,
);

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(5);

/// Tries until it succeeds or `patience` has passed; the last fault is the answer then.
pub fn eventually<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, Mismatch>,
) -> Result<T, Mismatch> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(fault) if Instant::now() >= deadline => return Err(fault),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// Locks, whatever happened to another thread that held it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pause that the case itself asks for.
pub fn pause(seconds: f64) {
    if seconds > 0.0 {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
}
