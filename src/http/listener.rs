//! Listening sockets and accepting connections.
//!
//! Each worker has a socket of its own on each port (`SO_REUSEPORT`), so that the kernel spreads
//! connections and workers share nothing.

use super::connection;
use super::worker::Worker;
use crate::runtime::Tree;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const BACKLOG: i32 = 1024;
/// Pause after a failed accept, such as with no file descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound socket.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub socket: TcpListener,
    /// Its port.
    pub port: u16,
    /// TLS, if the port speaks it.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// Address and port.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Binds every port for every worker: one list a worker.
pub fn bind(tree: &Tree, workers: usize) -> Result<Vec<Vec<Bound>>, BindError> {
    let mut sockets: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in &tree.listeners {
        for address in addresses(&tree.settings.bind_addresses) {
            let address = SocketAddr::new(address, listener.port);
            // With SO_REUSEPORT a port that another process listens on could be shared unnoticed. The
            // trial only binds: had it listened, early clients would be reset with it.
            drop(reserve(address, false)?);
            for list in &mut sockets {
                list.push(Bound {
                    socket: listen(address)?,
                    port: listener.port,
                    tls: listener.tls.clone(),
                });
            }
            tracing::info!("couper is serving: {address}");
        }
    }
    Ok(sockets)
}

/// The configured addresses; all of both families by default, IPv4 alone where there is no IPv6.
fn addresses(configured: &[IpAddr]) -> Vec<IpAddr> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    match reserve(any, false) {
        Ok(_) => vec![Ipv6Addr::UNSPECIFIED.into()],
        Err(_) => vec![Ipv4Addr::UNSPECIFIED.into()],
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    let socket = reserve(address, true)?;
    socket
        .listen(BACKLOG)
        .map_err(|source| BindError { address, source })?;
    Ok(socket.into())
}

/// A socket bound to an address, which does not listen yet.
fn reserve(address: SocketAddr, shared: bool) -> Result<Socket, BindError> {
    let attempt = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        if shared {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    attempt().map_err(|source| BindError { address, source })
}

/// Accepts connections until the task is ended.
pub async fn accept(bound: Bound, worker: Rc<Worker>) {
    let listener = match tokio::net::TcpListener::from_std(bound.socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("cannot accept connections on port {}: {error}", bound.port);
            return;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                connection::spawn(stream, peer, bound.port, bound.tls.clone(), &worker);
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{listen, reserve};
    use std::io;
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    #[test]
    fn a_trial_takes_no_connections() {
        let socket = reserve(loopback(0), false).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_trial_fails_where_another_gateway_listens() {
        let other = listen(loopback(0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let error = reserve(loopback(port), false).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }
}
