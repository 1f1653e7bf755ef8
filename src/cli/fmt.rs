//! `gateway fmt`: brings configuration files into one layout.

use crate::diagnostic::Diagnostics;
use crate::hcl::format::format;
use crate::hcl::{Input, read};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Formats files in place, `-` from standard input to standard output. With `check` nothing is
/// written, and a file that would change gives exit status 1.
pub(super) fn fmt(files: &[String], check: bool) -> ExitCode {
    let mut sound = true;
    for name in files {
        sound &= match name.as_str() {
            "-" => standard_input(check),
            name => {
                let paths = paths(Path::new(name));
                // All of them, also after one that fails.
                paths.iter().filter(|path| !file(path, check)).count() == 0
            }
        };
    }
    if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn fail(name: &str, why: &dyn std::fmt::Display) -> bool {
    let _ = writeln!(std::io::stderr(), "{name}: {why}");
    false
}

/// The file itself, or the `*.hcl` files of a folder.
fn paths(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let files = read(
        &[Input::Folder(path.to_owned())],
        &mut Diagnostics::default(),
    );
    files.into_iter().map(|(name, ..)| name.into()).collect()
}

fn file(path: &Path, check: bool) -> bool {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return fail(&name, &error),
    };
    match format(&text) {
        Err(error) => fail(&name, &error),
        Ok(formatted) if formatted == text => true,
        Ok(formatted) => {
            let _ = writeln!(std::io::stdout(), "{name}");
            if check {
                return false;
            }
            std::fs::write(path, formatted).map_or_else(|error| fail(&name, &error), |()| true)
        }
    }
}

fn standard_input(check: bool) -> bool {
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        return fail("standard input", &error);
    }
    match format(&text) {
        Err(error) => fail("standard input", &error),
        Ok(formatted) if check => formatted == text,
        Ok(formatted) => std::io::stdout().write_all(formatted.as_bytes()).is_ok(),
    }
}
