//! Documents keep their word: in each, `hcl` blocks become the configuration, commands that start the
//! gateway start the real binary, any other `$ ` line of a `sh` block gives the output below it, and
//! every line of a `json` block is part of a log entry.
//!
//! Ports are replaced by free ones. Dates, ids, tokens and lengths may differ.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the support modules are shared between test programs"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test program fails loudly and blocks its own threads only"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use regex::Regex;
use support::case::Start;
use support::gateway::{Gateway, Printed};
use support::value::{Table, Value};
use support::{Mismatch, eventually, ports};
use tempfile::TempDir;

/// A fenced block: its language and its text.
fn blocks(markdown: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = markdown;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').unwrap();
        let (text, after) = after.split_once("\n```").unwrap();
        blocks.push((language, text));
        rest = after;
    }
    blocks
}

/// What may differ from run to run, made equal.
fn loose(output: &str) -> String {
    let mut output = output.trim_end().replace('\r', "");
    for (pattern, stand_in) in [
        (r"(?m)^date: .*$", "date: DATE"),
        (r"(?m)^content-length: .*$", "content-length: LENGTH"),
        (r"\b[0-9a-v]{20}\b", "ID"),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "TOKEN"),
    ] {
        output = Regex::new(pattern)
            .unwrap()
            .replace_all(&output, stand_in)
            .into_owned();
    }
    output
}

fn entry_is_logged(wanted: &str, printed: &Printed) -> Result<(), Mismatch> {
    let Some(Value::Table(wanted)) = Value::from_json(wanted) else {
        return Err(Mismatch::new(format!("not a JSON object: {wanted}")));
    };
    let fits = |entry: &Table| {
        wanted
            .iter()
            .all(|(name, value)| entry.get(name) == Some(value))
    };
    if printed.entries_since(0).iter().any(fits) {
        return Ok(());
    }
    Err(Mismatch::new(format!(
        "no entry has {wanted:?}; the last ones: {}",
        printed.end()
    )))
}

/// A document under test, and where it keeps its files meanwhile.
struct Walk {
    document: String,
    ports: BTreeMap<u16, u16>,
    folder: TempDir,
    printed: Printed,
    gateway: Gateway,
}

impl Walk {
    /// Reads a document that uses these ports.
    fn of(document: &str, ports_used: &[u16]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let printed = Printed::default();
        let mut walk = Self {
            document: String::new(),
            ports: ports_used
                .iter()
                .map(|port| (*port, ports::free().unwrap()))
                .collect(),
            gateway: Gateway::new(program(), folder.path(), printed.clone()),
            folder,
            printed,
        };
        walk.document = walk.read(document);
        walk
    }

    /// A file of the repository with free ports in it.
    fn read(&self, file: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let mut text = fs::read_to_string(path).unwrap();
        for (port, free) in &self.ports {
            text = text.replace(&port.to_string(), &free.to_string());
        }
        text
    }

    fn configure(&self, text: &str) {
        fs::write(self.folder.path().join("couper.hcl"), text).unwrap();
    }

    /// Starts the gateway anew; it listens where its configuration says.
    fn start(&mut self) {
        self.gateway.stop("TERM").unwrap();
        let text = fs::read_to_string(self.folder.path().join("couper.hcl")).unwrap();
        let used = |port: &&u16| text.contains(&port.to_string());
        let listened: Vec<u16> = self.ports.values().filter(used).copied().collect();
        self.gateway.start(&Start::default(), &listened).unwrap();
    }

    /// What a command prints, errors included.
    fn run(&self, command: &str) -> String {
        let folder = program().parent().unwrap().display();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("exec 2>&1; {command}"))
            .current_dir(self.folder.path())
            .env("PATH", format!("{folder}:{}", path.to_string_lossy()))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Does what the document says, block by block.
    fn through(&mut self) {
        for (language, text) in blocks(&self.document.clone()) {
            match language {
                "hcl" => self.configure(text),
                "json" => {
                    for line in text.lines() {
                        let logged = || entry_is_logged(line, &self.printed);
                        eventually(Duration::from_secs(5), logged).unwrap();
                    }
                }
                "sh" => {
                    let (command, expected) = text.split_once('\n').unwrap_or((text, ""));
                    let command = command.strip_prefix("$ ").unwrap();
                    if command == "gateway run" {
                        self.start();
                    } else if let Some((_, file)) = command.split_once("cargo run --release -- -f ")
                    {
                        self.configure(&self.read(file));
                        self.start();
                    } else {
                        let output = self.run(command);
                        assert_eq!(loose(&output), loose(expected), "{command}");
                    }
                }
                _ => {}
            }
        }
        self.gateway.stop("TERM").unwrap();
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gateway"))
}

#[test]
fn client_credentials() {
    let readme = "examples/client-credentials/README.md";
    let mut walk = Walk::of(readme, &[8080, 8081, 8082]);
    walk.through();
    // The last configuration shown is for copying, too.
    let verify = "CLIENT_ID=my-client CLIENT_SECRET=secret gateway verify";
    assert_eq!(walk.run(verify), "the configuration is sound\n");
}

/// With users and providers these are tried in `tests/real`.
#[test]
fn logins() {
    for document in [
        "docs/login.md",
        "examples/login-openid/README.md",
        "examples/login-saml/README.md",
    ] {
        Walk::of(document, &[8080]).through();
    }
}

#[test]
fn protected_api() {
    Walk::of("examples/protected-api/README.md", &[8080, 8081, 8082]).through();
}

#[test]
fn protecting_apis() {
    Walk::of("docs/protecting-apis.md", &[8080]).through();
}

#[test]
fn guides_to_serving() {
    for document in ["docs/websites.md", "docs/websockets.md", "docs/openapi.md"] {
        Walk::of(document, &[8080, 8081]).through();
    }
}

#[test]
fn getting_started() {
    Walk::of("docs/getting-started.md", &[8080, 8081]).through();
}

#[test]
fn observing() {
    Walk::of("docs/observing.md", &[8080, 8081, 9090]).through();
    Walk::of("examples/observing/README.md", &[8080, 8081, 9090]).through();
}

#[test]
fn readme() {
    Walk::of("README.md", &[8080, 8081, 8082]).through();
}
