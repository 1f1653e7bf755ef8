//! How grave an entry is.

use std::fmt;
use std::str::FromStr;

/// How grave an entry is. The names are those of Couper's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The process is in a state that must not occur.
    Panic,
    /// The process ends.
    Fatal,
    /// Something failed.
    Error,
    /// Something deserves attention.
    Warning,
    /// Ordinary events.
    Info,
    /// For whoever looks into a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The name as it stands in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    pub(super) const fn color(self) -> &'static str {
        match self {
            Self::Panic | Self::Fatal | Self::Error => "\x1b[31m",
            Self::Warning => "\x1b[33m",
            Self::Info => "\x1b[36m",
            Self::Debug | Self::Trace => "\x1b[37m",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        const NAMES: [(&str, Level); 8] = [
            ("panic", Level::Panic),
            ("fatal", Level::Fatal),
            ("error", Level::Error),
            ("warn", Level::Warning),
            ("warning", Level::Warning),
            ("info", Level::Info),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ];
        NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|&(_, level)| level)
            .ok_or(UnknownLevel)
    }
}
