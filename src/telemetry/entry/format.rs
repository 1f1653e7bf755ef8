//! What all entries of the process have in common, and how each begins.

use super::time::with_time;
use super::{Entry, Level};
use std::time::SystemTime;

/// The outer form of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object a line.
    Json,
    /// Indented JSON, for people.
    PrettyJson,
    /// `time="…" level=info msg="…" key=value`, nested names joined by dots.
    Common,
}

/// What all entries of the process have in common.
#[derive(Clone, Debug)]
pub struct Format {
    /// The outer form.
    pub layout: Layout,
    /// Whether keys and levels are coloured; only where the output is a terminal.
    pub color: bool,
    /// In JSON, the object that holds all fields but time, level and message.
    pub parent_field: Option<Box<str>>,
    /// The `build` field.
    pub build: Box<str>,
    /// The `version` field.
    pub version: Box<str>,
}

impl Format {
    /// A format without colours and parent field, with the build facts of this binary.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            color: false,
            parent_field: None,
            build: option_env!("GATEWAY_BUILD").unwrap_or("dev").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Begins an entry of the type `kind` at the end of `out`.
    pub fn begin<'a>(
        &'a self,
        out: &'a mut Vec<u8>,
        kind: &str,
        level: Level,
        time: SystemTime,
        message: &[u8],
    ) -> Entry<'a> {
        let mut entry = Entry {
            start: out.len(),
            out,
            format: self,
            level,
            depth: 0,
            skipped: 0,
            comma: false,
            truncated: false,
            lists: 0,
            prefix: smallvec::SmallVec::new(),
            marks: smallvec::SmallVec::new(),
        };
        match self.layout {
            Layout::Json | Layout::PrettyJson => {
                entry.out.push(b'{');
                entry.depth = 1;
                with_time(time, |text| entry.string("timestamp", text));
                entry.string("level", level.as_str().as_bytes());
                entry.string("message", message);
                if let Some(parent) = &self.parent_field {
                    entry.begin_object(parent);
                }
            }
            Layout::Common => {
                with_time(time, |text| entry.string("time", text));
                entry.string("level", level.as_str().as_bytes());
                entry.string("msg", message);
            }
        }
        entry.string("type", kind.as_bytes());
        entry.string("build", self.build.as_bytes());
        entry.string("version", self.version.as_bytes());
        entry
    }
}
