//! What others see of the gateway: traces and metrics at a collector, metrics for Prometheus, the log
//! while nobody reads it, and the dashboard that goes with them.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the support modules are shared between test programs"
)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test program fails loudly and blocks its own threads only"
)]

#[path = "observing/collector.rs"]
mod collector;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use collector::{Collector, Speaks, attribute, named};
use gateway::telemetry::metrics::families::{self, Kind};
use regex::Regex;
use support::case::Start;
use support::gateway::{Gateway, Printed};
use support::value::Value;
use support::{Mismatch, eventually, lock, ports};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gateway"))
}

/// An origin that answers every request with 200 and keeps the heads.
struct Origin {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { port, heads }
    }

    fn last_head(&self) -> String {
        lock(&self.heads).last().unwrap().clone()
    }
}

fn serve(stream: TcpStream, heads: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = String::new();
        loop {
            let before = head.len();
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
            if head[before..].trim().is_empty() {
                break;
            }
        }
        lock(heads).push(head);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// A gateway with a configuration, in a folder of its own.
struct Running {
    gateway: Gateway,
    printed: Printed,
    _folder: tempfile::TempDir,
}

fn run(configuration: &str, ports: &[u16]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("couper.hcl"), configuration).unwrap();
    let printed = Printed::default();
    let mut gateway = Gateway::new(program(), folder.path(), printed.clone());
    gateway.start(&Start::default(), ports).unwrap();
    Running {
        gateway,
        printed,
        _folder: folder,
    }
}

/// One request, one connection: the whole answer.
fn ask(port: u16, path: &str, fields: &[(&str, &str)]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n");
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all((request + "\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The value of a header field in a head.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn traced(port: u16, origin: u16, settings: &str) -> String {
    format!(
        r#"server "main" {{
  hosts = ["*:{port}"]
  api {{
    endpoint "/x/{{id}}" {{
      access_control = ["door"]
      proxy {{
        backend = "be"
      }}
    }}
    endpoint "/own" {{
      request {{
        url = "/own"
        backend = "be"
      }}
    }}
  }}
}}
definitions {{
  backend "be" {{
    origin = "http://127.0.0.1:{origin}"
  }}
  basic_auth "door" {{
    password = "secret-password"
  }}
}}
settings {{
  beta_traces = true
  {settings}
}}
"#
    )
}

#[test]
fn a_request_is_one_trace() {
    let (port, collecting) = (ports::free().unwrap(), ports::free().unwrap());
    let collector = Collector::start(collecting, Speaks::Grpc);
    let origin = Origin::start();
    let settings = format!("beta_traces_endpoint = \"127.0.0.1:{collecting}\"");
    let running = run(&traced(port, origin.port, &settings), &[port]);
    let credentials = "Basic OnNlY3JldC1wYXNzd29yZA==";
    let fields = [
        ("Authorization", credentials),
        ("Cookie", "sid=secret-cookie"),
        ("traceparent", PARENT),
        ("tracestate", "vendor=1"),
    ];
    let answer = ask(port, "/x/1?code=secret-code&a=b", &fields);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let spans = collector.spans(3);
    assert_eq!(spans.len(), 3);
    let server = named(&spans, "/x/1");
    let (control, call) = (
        named(&spans, "access_control.door"),
        named(&spans, "backend.be"),
    );
    assert!(server.parent_span_id.is_empty());
    for part in [control, call] {
        assert_eq!(part.trace_id, server.trace_id);
        assert_eq!(part.parent_span_id, server.span_id);
    }
    let uid = field(&answer, "couper-request-id").unwrap();
    assert_eq!(attribute(server, "couper.uid"), Some(uid));
    assert_eq!(attribute(server, "couper.endpoint"), Some("/x/{id}"));
    assert_eq!(attribute(server, "http.route"), Some("/x/{id}"));
    assert_eq!(attribute(server, "url.query"), Some("code=[redacted]&a=b"));
    let address = format!("127.0.0.1:{}", origin.port);
    assert_eq!(attribute(call, "couper.origin"), Some(&*address));

    // The client learns of the server's span, the origin of the call's.
    let place = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
        format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
    };
    assert_eq!(field(&answer, "traceparent"), Some(&*place(server)));
    let head = origin.last_head();
    assert_eq!(field(&head, "traceparent"), Some(&*place(call)));
    // The client's own trace is not trusted.
    assert_ne!(hex(&server.trace_id), &PARENT[3..35]);
    assert_eq!(field(&head, "tracestate"), None);

    let trace_id = Value::Text(hex(&server.trace_id));
    let logged = || {
        let entries = running.printed.entries_since(0);
        let ours = entries
            .iter()
            .filter(|entry| entry.get("trace_id") == Some(&trace_id));
        match ours.count() {
            2 => Ok(()),
            count => Err(Mismatch::new(format!(
                "{count} entries: {}",
                running.printed.end()
            ))),
        }
    };
    eventually(Duration::from_secs(5), logged).unwrap();
    let bytes = collector.bytes();
    for secret in [
        "secret-password",
        "secret-cookie",
        "secret-code",
        credentials,
    ] {
        let mut parts = bytes.windows(secret.len());
        assert!(!parts.any(|part| part == secret.as_bytes()), "{secret}");
    }
}

#[test]
fn a_trusted_trace_goes_on() {
    let (port, collecting) = (ports::free().unwrap(), ports::free().unwrap());
    let collector = Collector::start(collecting, Speaks::Http);
    let origin = Origin::start();
    let settings = format!(
        "beta_traces_endpoint = \"http://127.0.0.1:{collecting}/\"
         beta_traces_trust_parent = true
         beta_traces_parent_only = true"
    );
    let configuration = traced(port, origin.port, &settings);
    let mut running = start_with(
        &configuration,
        port,
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
    );
    // Without a parent there is no trace.
    let answer = ask(port, "/own", &[]);
    assert_eq!(field(&answer, "traceparent"), None);
    assert_eq!(field(&origin.last_head(), "traceparent"), None);
    let fields = [
        ("traceparent", PARENT),
        ("tracestate", "vendor=1"),
        ("baggage", "k=v"),
    ];
    ask(port, "/own", &fields);
    let head = origin.last_head();
    assert_eq!(&field(&head, "traceparent").unwrap()[3..35], &PARENT[3..35]);
    assert_eq!(field(&head, "tracestate"), Some("vendor=1"));
    assert_eq!(field(&head, "baggage"), Some("k=v"));
    // A parent that is not recorded is handed on, and nothing is recorded here.
    let unsampled = PARENT.replace("-01", "-00");
    ask(port, "/own", &[("traceparent", &*unsampled)]);
    assert_eq!(field(&origin.last_head(), "traceparent"), Some(&*unsampled));
    // The last spans leave with the process.
    running.gateway.stop("TERM").unwrap();
    let spans = collector.spans(2);
    assert_eq!(spans.len(), 2);
    let server = named(&spans, "/own");
    assert_eq!(hex(&server.trace_id), &PARENT[3..35]);
    assert_eq!(hex(&server.parent_span_id), &PARENT[36..52]);
}

fn start_with(configuration: &str, port: u16, variable: &str, value: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("couper.hcl"), configuration).unwrap();
    let printed = Printed::default();
    let mut gateway = Gateway::new(program(), folder.path(), printed.clone());
    let mut start = Start::default();
    start.env.insert(variable.to_owned(), value.to_owned());
    gateway.start(&start, &[port]).unwrap();
    Running {
        gateway,
        printed,
        _folder: folder,
    }
}

#[test]
fn a_collector_may_come_late() {
    let (port, collecting) = (ports::free().unwrap(), ports::free().unwrap());
    let origin = Origin::start();
    let settings = format!("beta_traces_endpoint = \"127.0.0.1:{collecting}\"");
    let running = run(&traced(port, origin.port, &settings), &[port]);
    ask(port, "/own", &[]);
    let told = |wanted: &str| {
        let lines = running.printed.lines_since(0);
        if lines
            .iter()
            .any(|line| line.contains("couper_telemetry") && line.contains(wanted))
        {
            return Ok(());
        }
        Err(Mismatch::new(running.printed.end()))
    };
    eventually(Duration::from_secs(10), || told("traces cannot be sent to")).unwrap();
    let collector = Collector::start(collecting, Speaks::Grpc);
    assert_eq!(collector.spans(2).len(), 2);
    eventually(Duration::from_secs(10), || told("again")).unwrap();
}

#[test]
fn metrics_can_be_sent() {
    let (port, collecting) = (ports::free().unwrap(), ports::free().unwrap());
    let collector = Collector::start(collecting, Speaks::Grpc);
    let configuration = format!(
        r#"server {{
  hosts = ["*:{port}"]
  endpoint "/" {{
    response {{}}
  }}
}}
settings {{
  beta_metrics = true
  beta_metrics_exporter = "otlp"
  beta_metrics_endpoint = "127.0.0.1:{collecting}"
}}
"#
    );
    let mut running = run(&configuration, &[port]);
    ask(port, "/", &[]);
    running.gateway.stop("TERM").unwrap();
    let metrics = collector.metrics();
    for wanted in [
        "couper_client_request_total",
        "couper_client_request_duration_seconds",
    ] {
        assert!(metrics.iter().any(|name| name == wanted), "{metrics:?}");
    }
}

#[test]
fn a_taken_metrics_port_ends_the_start() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let metrics = taken.local_addr().unwrap().port();
    let port = ports::free().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        "server {{\n  hosts = [\"*:{port}\"]\n  endpoint \"/\" {{\n    response {{}}\n  }}\n}}\nsettings {{\n  beta_metrics = true\n  beta_metrics_port = {metrics}\n}}\n"
    );
    fs::write(folder.path().join("couper.hcl"), configuration).unwrap();
    let mut gateway = Gateway::new(program(), folder.path(), Printed::default());
    let start = Start {
        exit: Some(1),
        output: vec!["metrics: cannot listen on".to_owned()],
        ..Start::default()
    };
    gateway.start(&start, &[]).unwrap();
}

/// The value of a series without labels of its own.
fn number(metrics: u16, name: &str) -> f64 {
    let text = ask(metrics, "/metrics", &[]);
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value
        .unwrap_or_else(|| panic!("{name}: {text}"))
        .parse()
        .unwrap()
}

#[test]
fn a_stuck_reader_of_the_log_stops_nothing() {
    /// More than the queue holds, at a kibibyte and more for each line.
    const REQUESTS: usize = 9000;
    let (port, metrics) = (ports::free().unwrap(), ports::free().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        r#"server {{
  hosts = ["*:{port}"]
  endpoint "/**" {{
    response {{}}
  }}
}}
settings {{
  beta_metrics = true
  beta_metrics_port = {metrics}
  log_format = "json"
}}
"#
    );
    fs::write(folder.path().join("couper.hcl"), configuration).unwrap();
    let mut child = Command::new(program())
        .args(["-f", "couper.hcl"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", port)).map_err(Mismatch::from);
    let stream = eventually(Duration::from_secs(15), connect).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();

    // Nobody reads the log, and all requests are answered.
    let mut writer = stream.try_clone().unwrap();
    let long = "x".repeat(700);
    let request = format!("GET /{long} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    let sending = thread::spawn(move || {
        for _ in 0..REQUESTS {
            writer.write_all(request.as_bytes()).unwrap();
        }
    });
    let mut answers = BufReader::new(stream).lines();
    let mut answered = 0;
    while answered < REQUESTS {
        let line = answers.next().unwrap().unwrap();
        answered += usize::from(line.starts_with("HTTP/1.1 200"));
    }
    sending.join().unwrap();
    let dropped = number(metrics, "gateway_log_lines_dropped_total");
    assert!(dropped > 0.0);

    // As soon as somebody reads, the log says how many lines are missing.
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let (mut lines, mut told) = (0, 0);
    let mut line = String::new();
    while lines + told < REQUESTS {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "{lines} and {told}");
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
        if entry["type"] == "couper_access" {
            lines += 1;
        }
        told += usize::try_from(entry["dropped"].as_u64().unwrap_or(0)).unwrap();
    }
    assert_eq!(lines + told, REQUESTS);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let drain = thread::spawn(move || log.read_to_end(&mut Vec::new()));
    assert!(child.wait().unwrap().success());
    drain.join().unwrap().unwrap();
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/grafana.json");
    let dashboard: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut known = Vec::new();
    for family in families::ALL {
        match family.kind {
            Kind::Histogram(_) => {
                let parts = ["bucket", "sum", "count"];
                known.extend(parts.map(|part| format!("{}_{part}", family.name)));
            }
            Kind::Counter | Kind::Gauge => known.push(family.name.to_owned()),
        }
    }
    let metric = Regex::new(r"\b(?:couper|gateway|as)_[a-z_]+").unwrap();
    let label = Regex::new(r"[{,]\s*([a-z_]+)\s*(?:=|!)").unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = 0;
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(
            panel["title"].is_string() && panel["gridPos"].is_object(),
            "{panel}"
        );
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            for found in metric.find_iter(expression) {
                shown += 1;
                let name = found.as_str().to_owned();
                assert!(known.contains(&name), "{name} in {expression}");
            }
            for found in label.captures_iter(expression) {
                let name = &found[1];
                let common = ["service_name", "service_version", "le"].contains(&name);
                let own = families::ALL
                    .iter()
                    .any(|family| family.labels.contains(&name));
                assert!(common || own, "{name} in {expression}");
            }
        }
    }
    assert!(shown > 20, "{shown}");
}
