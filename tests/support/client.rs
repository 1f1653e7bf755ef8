//! The client: HTTP/1 requests whose every byte and order the case decides, and raw exchanges.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use url::Url;

use super::case::{Act, Step, Tls};
use super::encoding::{form, from_latin1, to_latin1};
use super::forms::forms;
use super::matching::shortened;
use super::message::{self, Head, invalid};
use super::placeholders::Names;
use super::stream::{self, Stream};
use super::value::{Table, Value};
use super::{Mismatch, lock, pattern};

/// How many redirects are followed.
const MOST_HOPS: usize = 10;

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status; 0 where there is none.
    pub status: u16,
    /// The header fields; several lines of one name are a list.
    pub headers: Table,
    /// The body as text; of a raw exchange all that came.
    pub body: String,
    /// The body as JSON.
    pub json: Option<Value>,
    /// Seconds to its end.
    pub seconds: f64,
    /// Seconds to the first byte of the body.
    pub first_seconds: f64,
    /// How a raw exchange ended.
    pub end: Option<&'static str>,
}

impl Answer {
    /// The value at a path of the JSON body.
    pub fn member(&self, path: &str) -> Result<&Value, Mismatch> {
        self.json
            .as_ref()
            .and_then(|json| json.at(path))
            .ok_or_else(|| {
                Mismatch::new(format!(
                    "no {path} in the answer: {}",
                    shortened(&self.body, 300)
                ))
            })
    }
}

/// What a browser would remember between requests.
#[derive(Debug, Default)]
pub struct Client {
    cookies: Mutex<BTreeMap<String, String>>,
    page: Mutex<Option<(Url, String)>>,
}

impl Client {
    /// Makes the step's exchange.
    pub fn exchange(&self, step: &Step, names: &Names) -> Result<Answer, Mismatch> {
        if step.raw.is_some() {
            raw_exchange(step, names)
        } else if let Some(request) = &step.request {
            self.send(step, request, names, 0)
        } else {
            self.submit(step, names)
        }
    }

    /// Fills a form of the last page and sends it as a browser of the same origin would.
    fn submit(&self, step: &Step, names: &Names) -> Result<Answer, Mismatch> {
        let wanted = step.submit.as_ref().map(|submit| &submit.fields);
        let Some(wanted) = wanted else {
            return Err(Mismatch::new("nothing to send"));
        };
        let Some((page, text)) = lock(&self.page).clone() else {
            return Err(Mismatch::new("no page to submit a form of"));
        };
        let forms = forms(&text);
        let chosen = forms
            .iter()
            .find(|form| wanted.iter().all(|(name, _)| form.names.contains(name)))
            .or(forms.first())
            .ok_or_else(|| {
                Mismatch::new(format!(
                    "the page at {page} has no form: {}",
                    shortened(&text, 300)
                ))
            })?;
        let mut target = page.join(&chosen.action)?;
        let mut fields = chosen.fields.clone();
        for (name, value) in wanted.iter() {
            fields.set(name, value.clone());
        }
        fields.retain(|_, value| *value != Value::Bool(false));
        let mut sent = Step {
            cookies: true,
            headers: Table::default(),
            ..step.clone()
        };
        sent.headers
            .set("origin", page.origin().ascii_serialization());
        sent.headers.set("sec-fetch-site", "same-origin");
        for (name, value) in step.headers.iter() {
            sent.headers.set(name.to_ascii_lowercase(), value.clone());
        }
        if chosen.method == "POST" {
            sent.form = Some(fields);
        } else {
            target.set_query(Some(&form(&fields)));
        }
        self.send(
            &sent,
            &format!("{} {}", chosen.method, path_and_query(&target)),
            names,
            0,
        )
    }

    fn send(
        &self,
        step: &Step,
        request: &str,
        names: &Names,
        hops: usize,
    ) -> Result<Answer, Mismatch> {
        let (method, target) = request.split_once(' ').unwrap_or((request, ""));
        let port = names.port_of_step(step.port.as_deref())?;
        let cookies = (step.cookies || hops > 0)
            .then(|| self.cookie_header())
            .flatten();
        let bytes = request_bytes(step, method, target, port, cookies)?;
        let patience = Some(Duration::from_secs_f64(step.timeout.unwrap_or(15.0)));
        let mut stream = connect(&step.tls, port, &names.folder)?;
        stream.set_patience(patience)?;
        stream.socket().set_write_timeout(patience)?;
        let begun = Instant::now();
        let written = stream.write_all(&bytes).and_then(|()| stream.flush());
        let mut stream = BufReader::new(stream);
        // a peer that takes no more may have answered before
        let (head, body, first) = read_answer(&mut stream, method, begun)
            .map_err(|error| written.err().unwrap_or(error))?;
        let answer = answer(&head, &body, begun, first)?;
        self.remember_cookies(&head);
        let scheme = if matches!(step.tls, Tls::Off) {
            "http"
        } else {
            "https"
        };
        let url = Url::parse(&format!("{scheme}://localhost:{port}"))?.join(target);
        let Ok(url) = url else { return Ok(answer) };
        if head
            .first("content-type")
            .is_some_and(|media| media.contains("html"))
        {
            *lock(&self.page) = Some((url.clone(), answer.body.clone()));
        }
        match redirected(step, &answer, &head, &url, names) {
            Some((port, target)) if hops < MOST_HOPS => {
                let further = Step {
                    port: Some(port),
                    form: None,
                    json: None,
                    body: None,
                    fill_body: None,
                    ..step.clone()
                };
                self.send(&further, &format!("GET {target}"), names, hops + 1)
            }
            _ => Ok(answer),
        }
    }

    fn cookie_header(&self) -> Option<String> {
        let cookies = lock(&self.cookies);
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn remember_cookies(&self, head: &Head) {
        let mut cookies = lock(&self.cookies);
        for (_, line) in head.fields.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = line.split_once('=').unwrap_or((line, ""));
            let value = rest.split(';').next().unwrap_or_default();
            cookies.insert(name.trim().to_owned(), value.to_owned());
        }
    }
}

fn path_and_query(url: &Url) -> String {
    url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
}

fn connect(tls: &Tls, port: u16, folder: &Path) -> Result<Stream, Mismatch> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nodelay(true)?;
    match tls {
        Tls::Off => Ok(Stream::Plain(socket)),
        Tls::On(options) => stream::connect_tls(socket, folder, options),
    }
}

/// Head and body as they are sent.
fn request_bytes(
    step: &Step,
    method: &str,
    target: &str,
    port: u16,
    cookies: Option<String>,
) -> Result<Vec<u8>, Mismatch> {
    let mut headers: Table = step
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    let mut default = |name: &str, value: String| {
        if headers.get(name).is_none() {
            headers.set(name, value);
        }
    };
    let mut body = step
        .body
        .clone()
        .filter(|body| !body.is_empty())
        .map(String::into_bytes);
    if let Some(json) = &step.json {
        body = Some(json.to_string().into_bytes());
        default("content-type", "application/json".to_owned());
    }
    if let Some(fields) = &step.form {
        body = Some(form(fields).into_bytes());
        default(
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        );
    }
    if let Some(length) = step.fill_body {
        body = Some(vec![b'x'; length]);
    }
    if let Some(cookies) = cookies {
        default("cookie", cookies);
    }
    default(
        "host",
        step.host
            .clone()
            .unwrap_or_else(|| format!("localhost:{port}")),
    );
    let chunked = step.chunked && body.is_some();
    if let Some(body) = &body
        && !chunked
    {
        default("content-length", body.len().to_string());
    }
    if chunked {
        headers.set("transfer-encoding", "chunked");
    }
    headers.retain(|name, value| name != "host" || value.text() != Some(""));
    let version = match step.version.as_deref() {
        None | Some("1.1") => "1.1",
        Some("1.0") => "1.0",
        Some(other) => {
            return Err(Mismatch::new(format!(
                "this client does not speak HTTP/{other}"
            )));
        }
    };
    let mut head = format!("{method} {target} HTTP/{version}\r\n");
    for (name, value) in headers.iter() {
        let values = if let Value::List(values) = value {
            values
        } else {
            std::slice::from_ref(value)
        };
        for value in values {
            head.extend([name, ": ", &value.plain(), "\r\n"]);
        }
    }
    let mut bytes = to_latin1(&(head + "\r\n"));
    match body {
        Some(body) if chunked => {
            bytes.extend(format!("{:x}\r\n", body.len()).bytes());
            bytes.extend(body);
            bytes.extend(b"\r\n0\r\n\r\n");
        }
        Some(body) => bytes.extend(body),
        None => {}
    }
    Ok(bytes)
}

/// Reads the final answer; when the body's first byte came, in seconds.
fn read_answer(
    from: &mut impl BufRead,
    method: &str,
    begun: Instant,
) -> io::Result<(Head, Vec<u8>, Option<f64>)> {
    let (head, status) = loop {
        let head = message::head(from)?
            .ok_or_else(|| invalid("the gateway closed the connection without an answer"))?;
        let status =
            status(&head.line).ok_or_else(|| invalid(&format!("status line {:?}", head.line)))?;
        if !(100..200).contains(&status) || status == 101 {
            break (head, status);
        }
    };
    let mut first = None;
    let mut came = || {
        first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
    };
    let body = if method == "HEAD" || matches!(status, 101 | 204 | 304) {
        Vec::new()
    } else if head.chunked() {
        message::chunks(from, came)?.0
    } else if let Some(length) = head.length()? {
        let mut body = Vec::new();
        message::exactly(from, length as u64, &mut body, &mut came)?;
        body
    } else {
        message::to_the_end(from, came)?
    };
    Ok((head, body, first))
}

fn status(line: &str) -> Option<u16> {
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    rest.split(' ').next()?.parse().ok()
}

fn answer(
    head: &Head,
    body: &[u8],
    begun: Instant,
    first: Option<f64>,
) -> Result<Answer, Mismatch> {
    let seconds = begun.elapsed().as_secs_f64();
    let body = if head.first("content-encoding") == Some("gzip") && !body.is_empty() {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(body).read_to_end(&mut plain)?;
        String::from_utf8_lossy(&plain).into_owned()
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    Ok(Answer {
        status: status(&head.line).unwrap_or_default(),
        headers: head.table(),
        json: Value::from_json(&body),
        body,
        seconds,
        first_seconds: first.unwrap_or(seconds),
        end: None,
    })
}

/// The port's name and the target of a redirect that leads to the gateway itself.
fn redirected(
    step: &Step,
    answer: &Answer,
    head: &Head,
    from: &Url,
    names: &Names,
) -> Option<(String, String)> {
    if !step.follow || !matches!(answer.status, 301..=303) {
        return None;
    }
    let to = from.join(head.first("location")?).ok()?;
    let (port, _) = names
        .ports()
        .into_iter()
        .find(|(_, port)| Some(*port) == to.port())?;
    matches!(to.host_str(), Some("localhost" | "127.0.0.1")).then(|| (port, path_and_query(&to)))
}

/// Sends the step's bytes as they stand and reads until the peer closes or is silent for too long.
fn raw_exchange(step: &Step, names: &Names) -> Result<Answer, Mismatch> {
    let port = names.port_of_step(step.port.as_deref())?;
    let begun = Instant::now();
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nodelay(true)?;
    let patience = Some(Duration::from_secs_f64(step.raw_seconds.unwrap_or(1.0)));
    socket.set_read_timeout(patience)?;
    let mut data = Vec::new();
    let end = match raw_script(step, &mut socket, patience, &mut data) {
        Ok(()) => "close",
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timeout",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
            _ => return Err(error.into()),
        },
    };
    let body = from_latin1(&data);
    let head = body.split("\r\n").next().unwrap_or_default();
    Ok(Answer {
        status: status(head).unwrap_or_default(),
        seconds: begun.elapsed().as_secs_f64(),
        end: Some(end),
        body,
        ..Answer::default()
    })
}

fn raw_script(
    step: &Step,
    socket: &mut TcpStream,
    patience: Option<Duration>,
    data: &mut Vec<u8>,
) -> io::Result<()> {
    let acts = step.raw.iter().flat_map(|script| &script.0);
    let sending = || -> io::Result<()> {
        for act in acts {
            match act {
                Act::Send(text) => socket.write_all(&to_latin1(text))?,
                Act::Pause(seconds) => {
                    let until = Instant::now() + Duration::from_secs_f64(*seconds);
                    read_during(socket, until, data)?;
                    socket.set_read_timeout(patience)?;
                }
                Act::Await(text) => {
                    let text = to_latin1(text);
                    while memchr::memmem::find(data, &text).is_none()
                        && read_some(socket, data)? > 0
                    {}
                }
            }
        }
        if step.half_close {
            socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    };
    match sending() {
        // the peer takes no more; what it said before can still be read
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) =>
        {
            return Err(error);
        }
        _ => {}
    }
    while read_some(socket, data)? > 0 {}
    Ok(())
}

fn read_some(socket: &mut TcpStream, data: &mut Vec<u8>) -> io::Result<usize> {
    let mut bytes = [0; 8192];
    let read = socket.read(&mut bytes)?;
    data.extend_from_slice(&bytes[..read]);
    Ok(read)
}

/// Reads what comes until then.
fn read_during(socket: &mut TcpStream, until: Instant, data: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(rest))?;
        match read_some(socket, data) {
            Ok(0) => super::pause(
                until
                    .saturating_duration_since(Instant::now())
                    .as_secs_f64(),
            ),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What `save` takes from an answer.
pub fn saved(source: &str, answer: &Answer) -> Result<String, Mismatch> {
    let (kind, rest) = source.split_once(':').unwrap_or((source, ""));
    match kind {
        "json" => answer.member(rest).map(Value::plain),
        "header" => {
            let (header, wanted) = rest.split_once('~').unwrap_or((rest, ""));
            let value = answer.headers.get(&header.to_ascii_lowercase());
            let value =
                value.ok_or_else(|| Mismatch::new(format!("no header {header} in the answer")))?;
            match wanted {
                "" => Ok(value.plain()),
                wanted => pattern::caught(wanted, pattern::Flags::default(), &value.plain()),
            }
        }
        "jwt" => {
            let (path, member) = rest.split_once(' ').unwrap_or((rest, ""));
            let (header, claims) = super::tokens::open(&answer.member(path)?.plain())?;
            let token = Value::Table(
                [("header", header), ("claims", claims)]
                    .into_iter()
                    .collect(),
            );
            let value = token.at(member);
            value
                .map(Value::plain)
                .ok_or_else(|| Mismatch::new(format!("no {member} in the token")))
        }
        "body" => pattern::caught(rest.trim_start_matches('~'), pattern::DOT_ALL, &answer.body),
        other => Err(Mismatch::new(format!(
            "nothing can be saved from {other:?}"
        ))),
    }
}
