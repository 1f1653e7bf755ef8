//! Telling findings: as log entries, as text with carets, or as JSON.

use super::ReportFormat;
use crate::config::Loaded;
use crate::diagnostic::{Severity, render};
use std::io::{IsTerminal as _, Write as _};

/// Writes all findings of a load.
pub(super) fn findings(loaded: &Loaded, format: ReportFormat) {
    let sources = &loaded.sources;
    for finding in loaded.diagnostics.sorted() {
        match format {
            ReportFormat::Log => {
                let text = render::concise(finding, sources);
                match finding.severity {
                    Severity::Error => tracing::error!(code = finding.code.0, "{text}"),
                    Severity::Warning => tracing::warn!(code = finding.code.0, "{text}"),
                }
            }
            ReportFormat::Text => {
                let mut stderr = std::io::stderr();
                let text = render::full(finding, sources, stderr.is_terminal());
                let _ = writeln!(stderr, "{text}\n");
            }
            ReportFormat::Json => {
                let _ = writeln!(std::io::stdout(), "{}", render::json(finding, sources));
            }
        }
    }
}

/// For people by default: a log in JSON is read by programs, one in text by people.
pub(super) fn default_format(loaded: &Loaded) -> ReportFormat {
    if loaded.log.json {
        ReportFormat::Log
    } else {
        ReportFormat::Text
    }
}
