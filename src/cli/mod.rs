//! The command line: `as`, `run`, `verify`, `fmt`, `schema`, `version`, `help`, `healthcheck`.

mod arguments;
mod as_store;
mod as_task;
mod as_transfer;
mod fmt;
mod healthcheck;
mod reload;
mod report;
mod run;
mod schema;
mod verify;
mod watch;

pub use arguments::{Arguments, Command, ReportFormat, commands};

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the program with its arguments (without the program's name) and environment.
pub fn main(arguments: Vec<String>, env: BTreeMap<String, String>) -> ExitCode {
    let arguments = match Arguments::parse(arguments, env) {
        Ok(arguments) => arguments,
        Err(message) => {
            let _ = write!(std::io::stderr(), "{message}");
            return ExitCode::FAILURE;
        }
    };
    match arguments.command {
        Command::Run => run::run(&arguments.options),
        Command::Verify(format) => verify::verify(&arguments.options, format),
        Command::Print => verify::print(&arguments.options),
        Command::Schema => schema::print(),
        Command::Fmt { files, check } => fmt::fmt(&files, check),
        Command::As(task) => as_task::run(&arguments.options, &task),
        Command::Healthcheck => healthcheck::check(&arguments.options),
        Command::Version => {
            let build = option_env!("GATEWAY_BUILD").unwrap_or("dev");
            let _ = writeln!(
                std::io::stderr(),
                "gateway {} (build {build})",
                crate::VERSION
            );
            ExitCode::SUCCESS
        }
        Command::Help => {
            let _ = write!(std::io::stdout(), "{}", arguments::help());
            ExitCode::SUCCESS
        }
    }
}
