//! Scripted peers: HTTP/1.1 servers whose every answer is in the case.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::case::{self, Act, Reply};
use super::encoding::{from_latin1, parse_form, to_latin1};
use super::message::{self, Head, invalid};
use super::stream::{self, Stream};
use super::value::{Table, Value};
use super::{Mismatch, lock, matching, pattern};

/// A running origin; it ends when it is dropped.
#[derive(Debug)]
pub struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Shared {
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    replies: Vec<(Reply, u64)>,
    mode: String,
    seen: Vec<Table>,
}

type Connection = BufReader<Stream>;

impl Origin {
    /// Starts one that answers nothing yet.
    pub fn start(spec: &case::Origin, folder: &Path) -> Result<Self, Mismatch> {
        let tls = match &spec.cert {
            None => None,
            Some(cert) => Some(stream::server_config(
                folder,
                cert,
                spec.client_ca.as_deref(),
            )?),
        };
        let listener = TcpListener::bind((spec.host.as_deref().unwrap_or("127.0.0.1"), 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            tls,
            state: Mutex::default(),
        });
        let ended = Arc::new(AtomicBool::new(false));
        let (of_thread, end) = (Arc::clone(&shared), Arc::clone(&ended));
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                // a connection that breaks is the case's own doing
                thread::spawn(move || _ = shared.serve(socket));
            }
        });
        Ok(Self {
            shared,
            address,
            ended,
        })
    }

    /// Host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Gives it its replies.
    pub fn script(&self, replies: Option<Vec<Reply>>) {
        let echo = || {
            vec![Reply {
                echo: true,
                ..Reply::default()
            }]
        };
        let replies = replies.unwrap_or_else(echo);
        lock(&self.shared.state).replies = replies.into_iter().map(|reply| (reply, 0)).collect();
    }

    /// Sets its mode.
    pub fn set_mode(&self, mode: &str) {
        mode.clone_into(&mut lock(&self.shared.state).mode);
    }

    /// How many requests it has seen.
    pub fn count(&self) -> usize {
        lock(&self.shared.state).seen.len()
    }

    /// The requests from this one on.
    pub fn seen_since(&self, first: usize) -> Vec<Table> {
        lock(&self.shared.state)
            .seen
            .iter()
            .skip(first)
            .cloned()
            .collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)); // wakes the listener
    }
}

impl Shared {
    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                socket.set_read_timeout(Some(Duration::from_secs(5)))?;
                let connection = ServerConnection::new(Arc::clone(config))
                    .map_err(|e| invalid(&e.to_string()))?;
                Stream::Server(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        let mut connection = BufReader::new(stream);
        while self.exchange(&mut connection)? {}
        if connection.get_ref().is_tls() {
            connection.get_mut().finish()?;
        }
        Ok(())
    }

    /// One request and its answer; whether the connection may be used further.
    fn exchange(&self, connection: &mut Connection) -> io::Result<bool> {
        let Some(head) = message::head(connection)? else {
            return Ok(false);
        };
        let mut start = head.line.splitn(3, ' ');
        let (Some(method), Some(target), Some(version)) =
            (start.next(), start.next(), start.next())
        else {
            return Err(invalid("request line"));
        };
        let (path, query) = path_and_query(target);
        let reply = self.choose(method, path, &head.table());
        if head
            .first("expect")
            .is_some_and(|e| e.eq_ignore_ascii_case("100-continue"))
            && !reply.early
        {
            connection
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (body, trailers) = if reply.early {
            (Vec::new(), Vec::new())
        } else if head.chunked() {
            message::chunks(connection, || {})?
        } else {
            let mut body = Vec::new();
            let length = head.length()?.unwrap_or(0);
            message::exactly(connection, length as u64, &mut body, || {})?;
            (body, Vec::new())
        };
        let mut request: Table = [
            ("method", Value::from(method)),
            ("target", target.into()),
            ("path", path.into()),
            ("query", query.into()),
            ("headers", head.table().into()),
            ("body", String::from_utf8_lossy(&body).into_owned().into()),
            ("version", version.into()),
        ]
        .into_iter()
        .collect();
        describe_body(&mut request, &head, &body, trailers);
        let index = {
            let mut state = lock(&self.state);
            state.seen.push(request.clone());
            state.seen.len() - 1
        };
        let keep = self.answer(connection, &reply, &request, &head, index)?;
        if reply.early {
            // a polite end: nothing more is sent, what still comes is read away
            connection.get_mut().finish()?;
            connection
                .get_ref()
                .set_patience(Some(Duration::from_secs(3)))?;
            message::to_the_end(connection, || {})?;
            return Ok(false);
        }
        Ok(keep)
    }

    fn choose(&self, method: &str, path: &str, headers: &Table) -> Reply {
        let mut state = lock(&self.state);
        let State { replies, mode, .. } = &mut *state;
        let fits = |reply: &Reply, used: u64| {
            let whole = |pattern: &str| format!("^(?:{pattern})\\Z");
            let on_path = reply.path.as_deref().is_none_or(|wanted| {
                pattern::found(&whole(wanted), pattern::Flags::default(), path).unwrap_or(false)
            });
            on_path
                && reply
                    .method
                    .as_deref()
                    .is_none_or(|wanted| wanted == method)
                && reply.times.is_none_or(|times| used < times)
                && matching::compare_tables(&reply.if_headers, headers, "").is_ok()
                && reply.mode.as_ref().is_none_or(|wanted| wanted == mode)
        };
        match replies.iter_mut().find(|(reply, used)| fits(reply, *used)) {
            Some((reply, used)) => {
                *used += 1;
                reply.clone()
            }
            None => Reply {
                status: Some(404),
                body: Some("no reply is scripted for this request".to_owned()),
                ..Reply::default()
            },
        }
    }

    /// Notes something of the request that is being answered.
    fn note(&self, index: usize, name: &str, value: impl Into<Value>) {
        if let Some(request) = lock(&self.state).seen.get_mut(index) {
            request.set(name, value);
        }
    }

    /// Waits, and notes when the caller leaves meanwhile.
    fn pause(&self, connection: &Connection, seconds: f64, index: usize) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let stream = connection.get_ref();
        let mut watched = !stream.is_tls();
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(());
            }
            if !watched {
                thread::sleep(rest);
                continue;
            }
            let moment = rest.min(Duration::from_millis(100));
            stream.set_patience(Some(moment))?;
            let peeked = stream.socket().peek(&mut [0]);
            stream.set_patience(None)?;
            match peeked {
                Ok(0) => {
                    self.note(index, "gone", true);
                    watched = false;
                }
                Ok(_) => thread::sleep(moment), // more bytes, not an end
                Err(error) if waits(&error) => {}
                Err(_) => {
                    self.note(index, "gone", true);
                    watched = false;
                }
            }
        }
    }

    fn answer(
        &self,
        connection: &mut Connection,
        reply: &Reply,
        request: &Table,
        head: &Head,
        index: usize,
    ) -> io::Result<bool> {
        if let Some(seconds) = reply.delay {
            self.pause(connection, seconds, index)?;
        }
        if reply.close {
            return Ok(false);
        }
        if let Some(script) = &reply.raw {
            for act in &script.0 {
                self.act(connection, act, index)?;
            }
            return Ok(!reply.then_close.unwrap_or(true));
        }
        let mut headers: Table = reply
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        let body = if reply.echo {
            set_default(&mut headers, "content-type", "application/json");
            Value::Table(request.clone()).to_string().into_bytes()
        } else if let Some(json) = &reply.json {
            set_default(&mut headers, "content-type", "application/json");
            json.to_string().into_bytes()
        } else {
            reply
                .body
                .as_deref()
                .unwrap_or_default()
                .repeat(reply.times_body.unwrap_or(1))
                .into_bytes()
        };
        let status = reply.status.unwrap_or(200);
        let reason = http::StatusCode::from_u16(status)
            .ok()
            .and_then(|s| s.canonical_reason());
        let mut lines = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Unknown"));
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        if !bodiless {
            set_default(&mut headers, "content-length", &body.len().to_string());
        }
        for (name, value) in headers.iter() {
            let values = if let Value::List(values) = value {
                values
            } else {
                std::slice::from_ref(value)
            };
            for value in values {
                lines.extend([name, ": ", &value.plain(), "\r\n"]);
            }
        }
        lines += "\r\n";
        let mut bytes = to_latin1(&lines);
        if !bodiless && request.get("method").and_then(Value::text) != Some("HEAD") {
            bytes.extend(body);
        }
        connection.get_mut().write_all(&bytes)?;
        connection.get_mut().flush()?;
        let closes = head
            .first("connection")
            .is_some_and(|c| c.contains("close"));
        Ok(!closes && !reply.then_close.unwrap_or(false))
    }

    fn act(&self, connection: &mut Connection, act: &Act, index: usize) -> io::Result<()> {
        match act {
            Act::Send(text) => {
                connection.get_mut().write_all(&to_latin1(text))?;
                connection.get_mut().flush()
            }
            Act::Pause(seconds) => self.pause(connection, *seconds, index),
            Act::Await(text) => {
                let mut tunnel = lock(&self.state)
                    .seen
                    .get(index)
                    .and_then(|request| request.get("tunnel"))
                    .map(Value::plain)
                    .unwrap_or_default();
                while !tunnel.contains(text) {
                    let mut bytes = [0; 8192];
                    let read = connection.read(&mut bytes)?;
                    if read == 0 {
                        self.note(index, "eof", true);
                        break;
                    }
                    tunnel += &from_latin1(&bytes[..read]);
                    self.note(index, "tunnel", &tunnel);
                }
                Ok(())
            }
        }
    }
}

/// Whether nothing has come within the time given.
fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn set_default(headers: &mut Table, name: &str, value: &str) {
    if headers.get(name).is_none() {
        headers.set(name, value);
    }
}

/// Path and query of a request target, also of an absolute one.
fn path_and_query(target: &str) -> (&str, &str) {
    let target = target.split('#').next().unwrap_or_default();
    let target = match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            rest.find(['/', '?']).map_or("", |start| &rest[start..])
        }
        _ => target,
    };
    target.split_once('?').unwrap_or((target, ""))
}

/// Adds trailers and the parsed body.
fn describe_body(request: &mut Table, head: &Head, body: &[u8], trailers: Vec<(String, String)>) {
    if !trailers.is_empty() {
        request.set("trailers", trailers.into_iter().collect::<Table>());
    }
    let media = head.first("content-type").unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    if media.contains("x-www-form-urlencoded") {
        request.set("form", parse_form(&text));
    }
    if media.contains("json")
        && let Some(json) = Value::from_json(&text)
    {
        request.set("json", json);
    }
}
