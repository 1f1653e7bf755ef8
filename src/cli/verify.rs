//! `gateway verify`: loads everything that `run` loads, and listens on nothing.

use super::{ReportFormat, report, run};
use crate::config::{self, Options};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// `verify --print`: the effective configuration on standard output, if there are no faults.
pub(super) fn print(options: &Options) -> ExitCode {
    let loaded = config::load(options);
    report::findings(&loaded, ReportFormat::Text);
    let text = loaded.tree.and_then(|_| config::effective(options));
    match text.map(|text| std::io::stdout().write_all(text.as_bytes())) {
        Some(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

pub(super) fn verify(options: &Options, format: ReportFormat) -> ExitCode {
    let loaded = config::load(options);
    let sink = run::open_log(&loaded.log);
    let format = match format {
        ReportFormat::Log => report::default_format(&loaded),
        chosen => chosen,
    };
    report::findings(&loaded, format);
    let sound = loaded.tree.is_some();
    if sound && format == ReportFormat::Text {
        let _ = writeln!(std::io::stderr(), "the configuration is sound");
    }
    run::close_log(sink, Duration::from_secs(5));
    if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
