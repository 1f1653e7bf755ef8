//! The process under test.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::case::Start;
use super::value::{Table, Value};
use super::{Mismatch, POLL, eventually, lock, pattern};

/// How long the gateway may take to end when it is told to.
const END: Duration = Duration::from_secs(10);
/// How long a line that must be printed may take.
const LINE: Duration = Duration::from_secs(5);

/// All that the gateway printed, over its restarts.
#[derive(Clone, Debug, Default)]
pub struct Printed(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    entries: Vec<Table>,
}

impl Printed {
    /// How many lines, and how many of them are log entries.
    pub fn marks(&self) -> (usize, usize) {
        let lines = lock(&self.0);
        (lines.lines.len(), lines.entries.len())
    }

    /// The lines from this one on.
    pub fn lines_since(&self, first: usize) -> Vec<String> {
        lock(&self.0).lines.iter().skip(first).cloned().collect()
    }

    /// The log entries from this one on.
    pub fn entries_since(&self, first: usize) -> Vec<Table> {
        lock(&self.0).entries.iter().skip(first).cloned().collect()
    }

    /// The last lines, for a message.
    pub fn end(&self) -> String {
        let lines = self.lines_since(0);
        let text = lines.join(" | ");
        let start = text.char_indices().rev().nth(799).map_or(0, |(at, _)| at);
        text[start..].to_owned()
    }

    fn add(&self, line: String) {
        let mut lines = lock(&self.0);
        if let Some(Value::Table(entry)) = Value::from_json(&line) {
            lines.entries.push(entry);
        }
        lines.lines.push(line);
    }

    fn all_found(&self, patterns: &[String]) -> Result<(), Mismatch> {
        let flags = pattern::Flags {
            dot_all: true,
            any_case: true,
        };
        let text = self.lines_since(0).join("\n");
        for wanted in patterns {
            if !pattern::found(wanted, flags, &text)? {
                return Err(Mismatch::new(format!(
                    "output: want /{wanted}/, got {}",
                    self.end()
                )));
            }
        }
        Ok(())
    }
}

/// The gateway of one case.
#[derive(Debug)]
pub struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    printed: Printed,
    child: Option<Child>,
    reader: Option<JoinHandle<()>>,
}

impl Gateway {
    /// The gateway that will run in this folder.
    pub fn new(program: &Path, folder: &Path, printed: Printed) -> Self {
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Self {
            program,
            folder,
            printed,
            child: None,
            reader: None,
        }
    }

    /// Starts it and waits for its ports, or for its end where it must refuse its configuration.
    pub fn start(&mut self, start: &Start, ports: &[u16]) -> Result<(), Mismatch> {
        self.spawn(start)?;
        if start.fails || start.exit.is_some() {
            return self.check_refusal(start);
        }
        let patience = Duration::from_secs_f64(start.seconds.unwrap_or(15.0));
        let deadline = Instant::now() + patience;
        for port in ports {
            loop {
                if let Some(status) = self.poll()? {
                    self.read_all();
                    let end = self.printed.end();
                    return Err(Mismatch::new(format!(
                        "the gateway ended with {status}: {end}"
                    )));
                }
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                if TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok() {
                    break;
                }
                if Instant::now() > deadline {
                    let end = self.printed.end();
                    return Err(Mismatch::new(format!(
                        "nothing listens on port {port}: {end}"
                    )));
                }
                thread::sleep(POLL);
            }
        }
        eventually(LINE, || self.printed.all_found(&start.output))
    }

    fn spawn(&mut self, start: &Start) -> Result<(), Mismatch> {
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COUPER_") {
                command.env_remove(name);
            }
        }
        command
            .args(&start.verb)
            .arg("-f")
            .arg(self.folder.join("couper.hcl"))
            .args(&start.args)
            .current_dir(&self.folder)
            .env("COUPER_LOG_FORMAT", "json")
            .env(
                "COUPER_LOG_LEVEL",
                start.log_level.as_deref().unwrap_or("info"),
            )
            .envs(&start.env)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let child = command
            .spawn()
            .map_err(|error| Mismatch::new(format!("{}: {error}", self.program.display())))?;
        self.child = Some(child);
        let printed = self.printed.clone();
        self.reader = Some(thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line);
                printed.add(text.trim_end_matches(['\n', '\r']).to_owned());
                line.clear();
            }
        }));
        Ok(())
    }

    fn check_refusal(&mut self, start: &Start) -> Result<(), Mismatch> {
        let patience = Duration::from_secs_f64(start.seconds.unwrap_or(15.0));
        let refused = "it should have refused this configuration";
        let Some(status) = self.wait(patience)? else {
            return Err(Mismatch::new(format!("the gateway started; {refused}")));
        };
        if start.fails && status.success() {
            return Err(Mismatch::new(format!("exit status 0; {refused}")));
        }
        check_exit(start.exit, status).map_err(|m| m.within(self.printed.end()))?;
        self.printed.all_found(&start.output)
    }

    /// Its exit status, once it has ended.
    fn poll(&mut self) -> Result<Option<ExitStatus>, Mismatch> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?,
            None => None,
        })
    }

    /// Waits for its end and all that it printed.
    fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Mismatch> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.poll()? {
                self.read_all();
                return Ok(Some(status));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    /// Reads what is still in the pipe of a process that has ended.
    fn read_all(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(3);
        if let Some(reader) = self.reader.take() {
            while !reader.is_finished() && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
    }

    /// Sends a signal, named without SIG.
    pub fn signal(&self, name: &str) -> Result<(), Mismatch> {
        let signal = match name {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "QUIT" => Signal::QUIT,
            "KILL" => Signal::KILL,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            "TERM" => Signal::TERM,
            other => return Err(Mismatch::new(format!("unknown signal {other:?}"))),
        };
        let child = self
            .child
            .as_ref()
            .ok_or_else(|| Mismatch::new("the gateway does not run"))?;
        kill_process(Pid::from_child(child), signal)
            .map_err(|error| Mismatch::new(format!("SIG{name}: {error}")))
    }

    /// Ends it with a signal, if it runs.
    pub fn stop(&mut self, signal: &str) -> Result<(), Mismatch> {
        if self.child.is_none() || self.poll()?.is_some() {
            return Ok(());
        }
        self.signal(signal)?;
        if self.wait(END)?.is_none() {
            self.kill();
            return Err(Mismatch::new(format!(
                "the gateway did not end within 10 s of SIG{signal}"
            )));
        }
        Ok(())
    }

    /// Waits until it ends by itself, with this status.
    pub fn expect_exit(&mut self, wanted: i32) -> Result<(), Mismatch> {
        match self.wait(Duration::from_secs(15))? {
            Some(status) => check_exit(Some(wanted), status),
            None => Err(Mismatch::new("the gateway did not end within 15 s")),
        }
    }

    fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

fn check_exit(wanted: Option<i32>, status: ExitStatus) -> Result<(), Mismatch> {
    match wanted {
        Some(wanted) if status.code().or(status.signal().map(|s| -s)) != Some(wanted) => Err(
            Mismatch::new(format!("exit status: want {wanted}, got {status}")),
        ),
        _ => Ok(()),
    }
}
