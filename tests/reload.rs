//! No request is lost by reloads and by the end: the real binary under requests that take their
//! time and clients that never pause.

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

use std::fmt::Write as _;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use support::case::Start;
use support::gateway::{Gateway, Printed};
use support::{Mismatch, eventually, ports};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
const RELOADS: usize = 20;
/// Requests that begin with each configuration: 300 with the first one's.
const EACH: usize = 15;

/// A gateway with files of its own.
struct Serving {
    folder: tempfile::TempDir,
    gateway: Gateway,
    printed: Printed,
    port: u16,
}

impl Serving {
    fn start(port: u16, configuration: &str, start: &Start) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let printed = Printed::default();
        let program = Path::new(env!("CARGO_BIN_EXE_gateway"));
        let gateway = Gateway::new(program, folder.path(), printed.clone());
        let mut serving = Self {
            folder,
            gateway,
            printed,
            port,
        };
        serving.write(configuration);
        serving.gateway.start(start, &[port]).expect("it serves");
        serving
    }

    fn write(&self, configuration: &str) {
        let file = self.folder.path().join("couper.hcl");
        std::fs::write(file, configuration).expect("written");
    }

    /// Reloads, and waits for an entry of the log.
    fn reload(&self, configuration: &str, told: &str) {
        let (first, _) = self.printed.marks();
        self.write(configuration);
        self.gateway.signal("HUP").expect("sent");
        eventually(PATIENCE, || {
            let lines = self.printed.lines_since(first);
            let found = lines.iter().any(|line| line.contains(told));
            found
                .then_some(())
                .ok_or_else(|| Mismatch::new(format!("no {told:?} in {lines:#?}")))
        })
        .expect("it is told");
    }

    /// Sends a request and leaves its answer for later.
    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        stream
    }
}

/// Reads an answer with a length: its status line and body.
fn answer(reader: &mut impl std::io::BufRead) -> std::io::Result<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    while reader.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    for line in head.lines() {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let status = head.lines().next().unwrap_or("").to_owned();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// An origin that takes requests and keeps their answers back.
fn holding_origin() -> (u16, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let (sender, held) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (port, held)
}

/// A client that sends one request after the other on one connection, and opens the next one when
/// it is told that this is the last answer. Returns how many were answered.
fn restless(port: u16, stop: &AtomicBool) -> Result<usize, Mismatch> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        for _ in 0..50 {
            write!(stream, "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            let (status, body) = answer(&mut reader)?;
            if status != "HTTP/1.1 200 OK" || body.parse::<usize>().is_err() {
                return Err(Mismatch::new(format!("{status}: {body:?}")));
            }
            answered += 1;
        }
    }
    Ok(answered)
}

/// The `version`th configuration: its ports come and go, its blocks change.
fn configuration(version: usize, origin: u16, ports: &[u16]) -> String {
    let mut text = String::new();
    let hosts: Vec<String> = ports.iter().map(|port| format!("\"*:{port}\"")).collect();
    let _ = write!(
        text,
        r#"server {{
  hosts = [{}]
  endpoint "/version" {{
    response {{
      body = "{version}"
    }}
  }}
  endpoint "/held" {{
    proxy {{
      backend {{
        origin = "http://127.0.0.1:{origin}"
        path   = "/{version}"
      }}
    }}
  }}
}}
"#,
        hosts.join(", ")
    );
    text
}

#[test]
fn nothing_is_lost() {
    let (origin, held) = holding_origin();
    let [port, other] = [(); 2].map(|()| ports::free().expect("a port"));
    let first = configuration(0, origin, &[port]);
    let mut serving = Serving::start(port, &first, &Start::default());
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || restless(port, &stop))
        })
        .collect();
    let mut waiting = Vec::new();
    for version in 1..=RELOADS {
        waiting.extend((0..EACH).map(|_| serving.ask("/held")));
        let with_other = [port, other];
        let ports = if version % 2 == 0 {
            &with_other[..1]
        } else {
            &with_other
        };
        if version % 5 == 0 {
            serving.reload("server {\n  nonsense = 1\n}\n", "reload failed");
        }
        let next = configuration(version, origin, ports);
        serving.reload(&next, "reloaded the configuration");
        let mut reader = BufReader::new(serving.ask("/version"));
        let (_, body) = answer(&mut reader).expect("an answer");
        assert_eq!(body, version.to_string());
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let answered = client.join().expect("no panic").expect("all answered");
        assert!(answered > 0);
    }
    let at_origin: Vec<TcpStream> = (0..RELOADS * EACH)
        .map(|_| held.recv_timeout(PATIENCE).expect("all arrive"))
        .collect();
    serving.gateway.signal("TERM").expect("sent");
    eventually(PATIENCE, || match TcpStream::connect(("127.0.0.1", port)) {
        Err(_) => Ok(()),
        Ok(_) => Err(Mismatch::new("it listens still")),
    })
    .expect("it stops listening");
    for mut stream in at_origin {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld")
            .expect("sent");
    }
    for stream in waiting {
        let (status, body) = answer(&mut BufReader::new(stream)).expect("an answer");
        assert_eq!(
            (status.as_str(), body.as_str()),
            ("HTTP/1.1 200 OK", "held")
        );
    }
    serving.gateway.expect_exit(0).expect("a good end");
}

#[test]
fn a_port_that_is_gone_answers_what_it_has_taken() {
    let (origin, held) = holding_origin();
    let [port, other] = [(); 2].map(|()| ports::free().expect("a port"));
    let both = configuration(1, origin, &[port, other]);
    let serving = Serving::start(port, &both, &Start::default());
    let mut on_other = TcpStream::connect(("127.0.0.1", other)).expect("connected");
    on_other.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(on_other, "GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut at_origin = held.recv_timeout(PATIENCE).expect("it arrives");
    let one = configuration(2, origin, &[port]);
    serving.reload(&one, "no longer serves");
    eventually(PATIENCE, || {
        match TcpStream::connect(("127.0.0.1", other)) {
            Err(_) => Ok(()),
            Ok(_) => Err(Mismatch::new("it listens still")),
        }
    })
    .expect("it stops listening");
    at_origin
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld")
        .expect("sent");
    let mut rest = String::new();
    on_other.read_to_string(&mut rest).expect("answer and end");
    assert!(rest.starts_with("HTTP/1.1 200 OK"), "{rest}");
    assert!(
        rest.to_ascii_lowercase().contains("connection: close"),
        "{rest}"
    );
    assert!(rest.ends_with("held"), "{rest}");
}

#[test]
fn a_port_that_cannot_be_had_changes_nothing() {
    let (origin, _held) = holding_origin();
    let port = ports::free().expect("a port");
    let start = Start {
        args: ["-watch-retries", "1", "-watch-retry-delay=50ms"]
            .map(str::to_owned)
            .to_vec(),
        ..Start::default()
    };
    let serving = Serving::start(port, &configuration(1, origin, &[port]), &start);
    let taken = TcpListener::bind("0.0.0.0:0").expect("bound");
    let foreign = taken.local_addr().expect("an address").port();
    let both = configuration(2, origin, &[port, foreign]);
    serving.reload(&both, "reload failed: cannot listen on");
    let (_, body) = answer(&mut BufReader::new(serving.ask("/version"))).expect("an answer");
    assert_eq!(body, "1");
    drop(taken);
    serving.reload(&both, "reloaded the configuration");
    let (_, body) = answer(&mut BufReader::new(serving.ask("/version"))).expect("an answer");
    assert_eq!(body, "2");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (origin, held) = holding_origin();
    let port = ports::free().expect("a port");
    let mut serving = Serving::start(port, &configuration(1, origin, &[port]), &Start::default());
    let _waiting = serving.ask("/held");
    held.recv_timeout(PATIENCE).expect("it arrives");
    let (first, _) = serving.printed.marks();
    serving.gateway.signal("TERM").expect("sent");
    eventually(PATIENCE, || {
        let lines = serving.printed.lines_since(first);
        let told = lines.iter().any(|line| line.contains("shutting down"));
        told.then_some(()).ok_or_else(|| Mismatch::new("not told"))
    })
    .expect("it is told");
    serving.gateway.signal("INT").expect("sent");
    serving.gateway.expect_exit(1).expect("status 1");
}
