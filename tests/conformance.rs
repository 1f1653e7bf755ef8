//! Runs the cases below `tests/conformance` against the real binary, each with a gateway of its own.
//!
//! `cargo test --test conformance -- [FILTER…] [--cases PATH]… [--jobs N] [--keep] [--list]`

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the support modules are shared between test programs"
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program talks to its user, blocks its own threads and never a worker"
)]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::{Mismatch, expectations, lock, run};

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| conformance(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(mismatch) => {
            eprintln!("error: {mismatch}");
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Default)]
struct Options {
    filters: Vec<String>,
    cases: Vec<PathBuf>,
    jobs: Option<usize>,
    exact: bool,
    keep: bool,
    list: bool,
    none: bool,
    verbose: bool,
}

impl Options {
    /// Reads the arguments; those of the standard harness that mean nothing here are passed over.
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, Mismatch> {
        let mut options = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value = || {
                let value = inline.clone().or_else(|| arguments.next());
                value.ok_or_else(|| Mismatch::new(format!("{name} needs a value")))
            };
            match name {
                "--cases" => options.cases.push(value()?.into()),
                "--jobs" | "-j" | "--test-threads" => {
                    let value = value()?;
                    let number = value.parse().ok().filter(|number| *number > 0);
                    let fault = || Mismatch::new(format!("{name} needs a number, not {value:?}"));
                    options.jobs = Some(number.ok_or_else(fault)?);
                }
                "--keep" => options.keep = true,
                "--list" => options.list = true,
                "--exact" => options.exact = true,
                "--ignored" => options.none = true,
                "--verbose" | "-v" => options.verbose = true,
                "--skip" | "--format" | "--color" | "--logfile" | "-Z" | "--report-time" => {
                    _ = value()?;
                }
                _ if name.starts_with('-') => {}
                _ => options.filters.push(argument),
            }
        }
        Ok(options)
    }

    /// Whether a case of this name is meant.
    fn selects(&self, name: &str) -> bool {
        let fits = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter.as_str())
            }
        };
        !self.none && (self.filters.is_empty() || self.filters.iter().any(fits))
    }
}

/// Runs the chosen cases; whether all passed.
fn conformance(options: &Options) -> Result<bool, Mismatch> {
    let cases = collect(options)?;
    if options.list {
        for (name, _) in &cases {
            println!("{name}: test");
        }
        return Ok(true);
    }
    let program = std::env::var_os("GATEWAY_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_gateway").into(), PathBuf::from);
    let program = std::path::absolute(program)?;
    let jobs = options
        .jobs
        .unwrap_or_else(|| 2 * thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()) {
            scope.spawn(|| {
                while let Some((name, path)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let fate = run::case(path, &program, options.keep);
                    let mut failed = lock(&failed); // one report at a time
                    match fate {
                        Ok(()) if options.verbose => println!("ok   {name}"),
                        Ok(()) => {}
                        Err(failure) => {
                            *failed += 1;
                            let reason = failure.reason.to_string();
                            println!("FAIL {name}: {}", reason.trim_end().replace('\n', " / "));
                            for line in failure.log {
                                println!("     | {line}");
                            }
                        }
                    }
                }
            });
        }
    });
    let failed = *lock(&failed);
    println!("{} passed, {failed} failed", cases.len() - failed);
    Ok(failed == 0)
}

/// The chosen cases, by name.
fn collect(options: &Options) -> Result<Vec<(String, PathBuf)>, Mismatch> {
    let own = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")];
    let roots = if options.cases.is_empty() {
        &own
    } else {
        &options.cases
    };
    let mut cases = Vec::new();
    for root in roots {
        let files = if root.is_dir() {
            expectations::files_below(root)?
        } else {
            vec![root.clone()]
        };
        for file in files
            .into_iter()
            .filter(|file| file.extension().is_some_and(|e| e == "toml"))
        {
            let relative = file
                .strip_prefix(root)
                .ok()
                .filter(|rest| !rest.as_os_str().is_empty());
            let name = relative.unwrap_or(&file).display().to_string();
            let name = name.strip_suffix(".toml").unwrap_or(&name).to_owned();
            if options.selects(&name) {
                cases.push((name, file));
            }
        }
    }
    Ok(cases)
}
