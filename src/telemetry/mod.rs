//! What the process says about itself on standard output.
//!
//! Every entry, of a request or of the daemon, is built by [`entry`] straight into the byte buffer
//! of the thread it arises on, and leaves through the one [`sink`]. No entry is ever built twice,
//! and no thread that serves traffic ever waits for the reader of the log.

pub mod daemon;
pub mod entry;
pub mod metrics;
pub mod otlp;
pub mod redact;
pub mod reloads;
pub mod sink;
pub mod trace;

pub use entry::{Entry, Format, Layout, Level};
pub use redact::redact;
pub use reloads::Reloads;
pub use sink::Sink;
