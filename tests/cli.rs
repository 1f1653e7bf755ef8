//! The command line as a user meets it: the real binary, its exit status, what it prints, and how
//! it behaves when its surroundings fail.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the support modules are shared between test programs"
)]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may panic and block"
)]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::{Mismatch, eventually, lock, ports};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program without what the environment of the tests may say to it.
fn gateway(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COUPER_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself: exit status, standard output, standard error.
fn outcome(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = gateway(folder, arguments).output().expect("started");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A folder with this `couper.hcl`.
fn folder(configuration: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("couper.hcl"), configuration).expect("written");
    folder
}

fn free_port() -> u16 {
    ports::free().expect("a port")
}

/// A gateway that serves.
struct Serving {
    child: Child,
    port: u16,
    printed: Arc<Mutex<String>>,
}

impl Serving {
    fn start(folder: &Path, port: u16) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = gateway(folder, &["run", "-log-format", "json"]);
        command
            .stdout(writer.try_clone().expect("cloned"))
            .stderr(writer);
        let child = command.spawn().expect("started");
        drop(command); // with its ends of the pipe
        let printed = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&printed);
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let mut printed = lock(&lines);
                printed.push_str(&line);
                printed.push('\n');
            }
        });
        let mut serving = Self {
            child,
            port,
            printed,
        };
        eventually(PATIENCE, || {
            if let Some(status) = serving.child.try_wait()? {
                return Err(Mismatch::new(format!(
                    "ended with {status}: {}",
                    serving.printed()
                )));
            }
            TcpStream::connect(("127.0.0.1", port))
                .map(drop)
                .map_err(Mismatch::from)
        })
        .expect("it serves");
        serving
    }

    fn printed(&self) -> String {
        lock(&self.printed).clone()
    }

    fn await_line(&self, part: &str) {
        eventually(PATIENCE, || match self.printed() {
            text if text.contains(part) => Ok(()),
            text => Err(Mismatch::new(format!("no {part:?} in {text}"))),
        })
        .expect("the line");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("sent");
    }

    fn ended(&mut self) -> ExitStatus {
        eventually(PATIENCE, || {
            self.child
                .try_wait()?
                .ok_or_else(|| Mismatch::new("it runs still"))
        })
        .expect("it ends")
    }

    /// Status and everything else of an answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = self.ask(path);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.get(9..12).and_then(|code| code.parse().ok());
        (
            status.unwrap_or_else(|| panic!("no status in {answer:?}")),
            answer,
        )
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        stream
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A server that answers, and one endpoint that asks `origin`.
fn proxy(port: u16, origin: &str) -> String {
    format!(
        r#"server {{
  hosts = ["*:{port}"]
  endpoint "/" {{
    response {{
      body = "here"
    }}
  }}
  endpoint "/far" {{
    proxy {{
      backend {{
        origin = "{origin}"
      }}
    }}
  }}
}}
"#
    )
}

const FAULTY: &str =
    "server {\n  base_pth = \"/\"\n  endpoint \"/\" {\n    response {\n    }\n  }\n}\n";

#[test]
fn what_is_not_understood_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, named) in [
        (&["verfy"][..], "did you mean `verify`"),
        (&["run", "-log-fromat", "json"], "--log-fromat"),
        (&["verify", "stray"], "stray"),
        (&["verify", "-f"], "PATH"),
        (&["verify", "--format", "xml"], "xml"),
        (&["run", "-log-pretty=maybe"], "maybe"),
        (&[], "Usage"),
    ] {
        let (status, output, errors) = outcome(folder.path(), arguments);
        assert_eq!(status, Some(1), "{arguments:?}: {errors}");
        assert!(output.is_empty(), "{arguments:?}: {output}");
        assert!(errors.contains(named), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for verb in ["run", "verify"] {
        for (arguments, named) in [
            (&[verb][..], "`couper.hcl`"),
            (&[verb, "-f", "other.hcl"], "`other.hcl`"),
            (&[verb, "-d", "nowhere"], "`nowhere`"),
        ] {
            let (status, output, errors) = outcome(folder.path(), arguments);
            assert_eq!(status, Some(1), "{arguments:?}");
            let all = output + &errors;
            assert!(
                all.contains("E0101") && all.contains(named),
                "{arguments:?}: {all}"
            );
        }
    }
}

#[test]
fn verify_tells_by_its_status() {
    let sound = folder(&proxy(8080, "http://127.0.0.1:1"));
    let (status, output, errors) = outcome(sound.path(), &["verify"]);
    assert_eq!((status, output.as_str()), (Some(0), ""));
    assert!(errors.contains("the configuration is sound"), "{errors}");

    let faulty = folder(FAULTY);
    let (status, _, errors) = outcome(faulty.path(), &["verify", "--format", "text"]);
    assert_eq!(status, Some(1));
    let place = "couper.hcl:2:3";
    assert!(
        errors.contains(place) && errors.contains("^^^^^^^^"),
        "{errors}"
    );
}

#[test]
fn verify_writes_json_for_programs() {
    let sound = folder(&proxy(8080, "http://127.0.0.1:1"));
    let (status, output, _) = outcome(sound.path(), &["verify", "--format", "json"]);
    assert_eq!((status, output.as_str()), (Some(0), ""));

    let faulty = folder(FAULTY);
    let (status, output, errors) = outcome(faulty.path(), &["verify", "--format", "json"]);
    assert_eq!((status, errors.as_str()), (Some(1), ""));
    let finding: serde_json::Value = serde_json::from_str(&output).expect("one JSON object");
    let wanted = serde_json::json!({
        "code": "E0201",
        "severity": "error",
        "message": "unknown attribute `base_pth` in `server`",
        "place": { "file": "couper.hcl", "line": 2, "column": 3, "end_column": 11 },
        "related": [],
        "hint": "did you mean `base_path`?",
    });
    assert_eq!(finding, wanted);
}

#[test]
fn run_refuses_a_faulty_file_as_verify_does() {
    let faulty = folder(FAULTY);
    let (status, output, errors) = outcome(faulty.path(), &["run"]);
    assert_eq!(status, Some(1));
    assert!((output + &errors).contains("couper.hcl:2:3"));
}

#[test]
fn version_and_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let (status, output, errors) = outcome(folder.path(), &["version"]);
    assert_eq!(status, Some(0));
    assert!((output + &errors).contains(env!("CARGO_PKG_VERSION")));
    for arguments in [["help"], ["--help"], ["-h"]] {
        let (status, output, errors) = outcome(folder.path(), &arguments);
        assert_eq!((status, errors.as_str()), (Some(0), ""));
        for part in ["run", "verify", "healthcheck", "-f", "--log-format"] {
            assert!(output.contains(part), "{part} is not in {output}");
        }
    }
}

#[test]
fn a_port_in_use_is_told() {
    let port = free_port();
    let _holder = TcpListener::bind(("0.0.0.0", port)).expect("bound");
    let folder = folder(&proxy(port, "http://127.0.0.1:1"));
    let (status, output, errors) = outcome(folder.path(), &["run"]);
    let all = output + &errors;
    assert_eq!(status, Some(1), "{all}");
    let line = all.lines().find(|line| line.contains(&port.to_string()));
    let line = line.unwrap_or_else(|| panic!("no line names the port: {all}"));
    assert!(line.contains("in use"), "{line}");
    assert!(!all.contains("panicked"), "{all}");
}

#[test]
fn an_unreachable_backend_is_a_bad_gateway() {
    let (port, nobody) = (free_port(), free_port());
    let folder = folder(&proxy(port, &format!("http://127.0.0.1:{nobody}")));
    let serving = Serving::start(folder.path(), port);
    let (status, answer) = serving.get("/far");
    assert_eq!(status, 502, "{answer}");
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("couper-error: backend error"),
        "{answer}"
    );
    assert_eq!(serving.get("/").0, 200);
    assert!(
        !serving.printed().contains("panicked"),
        "{}",
        serving.printed()
    );
}

#[test]
fn a_dead_token_endpoint_is_a_bad_gateway() {
    let (port, nobody) = (free_port(), free_port());
    let oauth2 = format!(
        "\"\n        oauth2 {{\n          grant_type = \"client_credentials\"\n          token_endpoint = \"http://127.0.0.1:{nobody}/token\"\n          client_id = \"me\"\n          client_secret = \"very secret\"\n        }}\n"
    );
    let text = proxy(port, "http://127.0.0.1:1")
        .replace("127.0.0.1:1\"\n", &format!("127.0.0.1:1{oauth2}"));
    let folder = folder(&text);
    let serving = Serving::start(folder.path(), port);
    let (status, answer) = serving.get("/far");
    assert_eq!(status, 502, "{answer}");
    assert_eq!(serving.get("/").0, 200);
    let printed = serving.printed();
    assert!(
        !printed.contains("panicked") && !printed.contains("very secret"),
        "{printed}"
    );
}

/// An origin that tells when a request has come and answers when it is told to.
fn held_origin() -> (
    u16,
    std::sync::mpsc::Receiver<()>,
    std::sync::mpsc::Sender<()>,
) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let (arrived, arrival) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut head = BufReader::new(stream.try_clone().expect("cloned")).lines();
        while head
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        arrived.send(()).expect("told");
        if released.recv().is_ok() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate")
                .expect("answered");
        }
        _ = stream.shutdown(Shutdown::Both);
    });
    (port, arrival, release)
}

#[test]
fn a_signal_lets_running_requests_end() {
    let (origin, arrival, release) = held_origin();
    let port = free_port();
    let folder = folder(&proxy(port, &format!("http://127.0.0.1:{origin}")));
    let mut serving = Serving::start(folder.path(), port);
    let mut stream = serving.ask("/far");
    arrival.recv_timeout(PATIENCE).expect("the request came");
    serving.signal(Signal::TERM);
    serving.await_line("shutting down");
    assert_eq!(serving.child.try_wait().expect("asked"), None, "it waits");
    release.send(()).expect("told");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("late"),
        "{answer}"
    );
    assert_eq!(serving.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (origin, arrival, _release) = held_origin();
    let port = free_port();
    let folder = folder(&proxy(port, &format!("http://127.0.0.1:{origin}")));
    let mut serving = Serving::start(folder.path(), port);
    let _stream = serving.ask("/far");
    arrival.recv_timeout(PATIENCE).expect("the request came");
    serving.signal(Signal::TERM);
    serving.await_line("shutting down");
    serving.signal(Signal::INT);
    assert_eq!(serving.ended().code(), Some(1));
}

#[test]
fn after_a_kill_the_port_is_free_at_once() {
    let port = free_port();
    let folder = folder(&proxy(port, "http://127.0.0.1:1"));
    let mut serving = Serving::start(folder.path(), port);
    // A connection that is open at the end leaves the port in a state that must not matter.
    let mut open = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    open.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("sent");
    open.read_exact(&mut [0; 12]).expect("an answer");
    serving.signal(Signal::KILL);
    assert_eq!(serving.ended().code(), None);
    let serving = Serving::start(folder.path(), port);
    assert_eq!(serving.get("/").0, 200);
}

#[test]
fn healthcheck_asks_the_running_gateway() {
    let port = free_port();
    let folder = folder(&proxy(port, "http://127.0.0.1:1"));
    let argument = port.to_string();
    let check = ["healthcheck", "-p", &argument];
    let (status, _, errors) = outcome(folder.path(), &check);
    assert_eq!(status, Some(1));
    assert!(
        errors.contains(&format!("no answer on port {port}")),
        "{errors}"
    );

    let serving = Serving::start(folder.path(), port);
    assert_eq!(outcome(folder.path(), &check).0, Some(0));
    let unhealthy = ["healthcheck", "-p", &argument, "-health-path", "/nowhere"];
    let (status, _, errors) = outcome(folder.path(), &unhealthy);
    assert_eq!(status, Some(1));
    assert!(errors.contains("unhealthy"), "{errors}");
    drop(serving);
}
