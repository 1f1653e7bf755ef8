//! `gateway healthcheck`: asks the gateway on this machine for its health, for containers without
//! a shell. Port, path and address come from the same options, variables and `settings` as for `run`.

use crate::config::{self, Options};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn check(options: &Options) -> ExitCode {
    let Some(settings) = config::settings(options) else {
        return fail("the settings cannot be read: `gateway verify` tells why");
    };
    let bound = settings.bind_addresses.iter().copied();
    let address = bound.filter(|ip| !ip.is_unspecified()).min();
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::new(address, settings.default_port);
    match ask(address, &settings.health_path) {
        Ok(status) if status.contains(" 200 ") => ExitCode::SUCCESS,
        Ok(status) => fail(&format!("unhealthy: {status}")),
        Err(error) => fail(&format!(
            "no answer on port {} of {}: {error}",
            address.port(),
            address.ip()
        )),
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::FAILURE
}

/// The status line of the health route.
fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
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
