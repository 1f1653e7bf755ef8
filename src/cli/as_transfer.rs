//! `gateway as export` and `gateway as import`.

use super::as_task::Place;
use crate::admin::MAX_LINE;
use crate::clock::Clock;
use crate::store::foreign::{self, Product, Target};
use crate::store::transfer::{self, Imported, Line, Mode};
use crate::store::{Millis, Store};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::path::Path;

/// How an import is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) server: Option<&'a str>,
    pub(super) mode: Mode,
    pub(super) dry_run: bool,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

pub(super) fn export(place: &Place, to: &Path) -> Result<String, String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let store = place.storage.database.open().map_err(text)?;
    let mut out: Box<dyn Write> = if is_standard(to) {
        Box::new(std::io::stdout())
    } else {
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(to);
        Box::new(file.map_err(|error| format!("cannot write {}: {error}", to.display()))?)
    };
    let (mut count, mut failed) = (0_u64, None);
    let mut write = |line: &Line| {
        let written = serde_json::to_writer(&mut out, line)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"));
        count += 1;
        failed = written.err();
        failed.is_none()
    };
    transfer::export(&*store, &mut write).map_err(text)?;
    match failed {
        Some(error) => Err(format!("cannot write {}: {error}", to.display())),
        None => Ok(format!(
            "{count} entities; signing keys are only in a backup"
        )),
    }
}

pub(super) fn import(
    place: &Place,
    product: Option<Product>,
    file: &Path,
    wanted: Wanted<'_>,
) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    let input: Box<dyn Read> = if is_standard(file) {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(unreadable)?)
    };
    let mut input = BufReader::new(input);
    let store = place.storage.database.open().map_err(text)?;
    let mut imported = Imported::default();
    let taken = |line: Line, imported: &mut Imported| take(&*store, line, wanted, imported);
    if let Some(product) = product {
        let mut given = String::new();
        input.read_to_string(&mut given).map_err(unreadable)?;
        let label = place.server(wanted.server)?;
        let target = Target {
            server: &label,
            vault: &place.storage.vault,
            now: Millis::now(&Clock::System),
        };
        let converted = foreign::convert(product, &given, target)?;
        for line in converted.lines {
            taken(line, &mut imported)?;
        }
        imported.problems.extend(converted.left_out);
    } else {
        let mut given = Vec::new();
        let mut number = 0;
        loop {
            given.clear();
            let most = MAX_LINE as u64 + 1;
            let read = input.by_ref().take(most).read_until(b'\n', &mut given);
            if read.map_err(unreadable)? == 0 {
                break;
            }
            number += 1;
            if given.len() > MAX_LINE {
                return Err(format!("line {number} is longer than 1 MiB"));
            }
            if given.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Line>(&given) {
                Ok(line) => taken(line, &mut imported)?,
                Err(error) => imported.problem(number, &error.to_string()),
            }
        }
    }
    let mut told = format!(
        "{}{} created, {} replaced, {} left as they were, {} not taken over",
        if wanted.dry_run { "would be: " } else { "" },
        imported.created,
        imported.changed,
        imported.unchanged,
        imported.problems.len()
    );
    for problem in &imported.problems {
        told.push_str("\n  ");
        told.push_str(problem);
    }
    Ok(told)
}

/// Takes over one line. There is no runtime here; what a store answers is waited for.
fn take(
    store: &dyn Store,
    line: Line,
    wanted: Wanted<'_>,
    imported: &mut Imported,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(text)?;
    let taking = transfer::import(store, line, wanted.mode, wanted.dry_run, imported);
    runtime.block_on(taking).map_err(text)
}
