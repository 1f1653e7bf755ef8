//! `gateway schema`: the language as JSON, for editors.

use std::io::Write as _;
use std::process::ExitCode;

pub(super) fn print() -> ExitCode {
    let schema = crate::reference::editor_schema();
    match writeln!(std::io::stdout(), "{schema:#}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
