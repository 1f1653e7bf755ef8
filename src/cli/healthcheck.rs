//! `gateway healthcheck`: asks the gateway on this machine for its health, for containers without
//! a shell. Port and path come from the same options and variables as for `run`.

use crate::config::Options;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn check(options: &Options) -> ExitCode {
    let setting = |name: &str, variable: &str, default: &str| {
        let variable = options.env.get(variable).filter(|value| !value.is_empty());
        let value = variable.or_else(|| options.settings.get(name));
        value.map_or_else(|| default.to_owned(), Clone::clone)
    };
    let port = setting("default_port", "COUPER_DEFAULT_PORT", "8080");
    let path = setting("health_path", "COUPER_HEALTH_PATH", "/healthz");
    let result = port
        .parse()
        .map_err(|_| format!("`{port}` is no port number"))
        .and_then(|port| ask(port, &path).map_err(|error| error.to_string()));
    match result {
        Ok(status) if status.contains(" 200 ") => ExitCode::SUCCESS,
        Ok(status) => fail(&format!("unhealthy: {status}")),
        Err(error) => fail(&format!("no answer on port {port}: {error}")),
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::FAILURE
}

/// The status line of the health route.
fn ask(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut head = Vec::new();
    stream.take(4096).read_to_end(&mut head)?;
    let text = String::from_utf8_lossy(&head);
    Ok(text.lines().next().unwrap_or("").to_owned())
}
