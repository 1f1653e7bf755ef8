//! Listening sockets and accepting connections.
//!
//! Each worker has a socket of its own on each port (`SO_REUSEPORT`), so that the kernel spreads
//! connections and workers share nothing.

use super::connection;
use super::worker::Worker;
use crate::runtime::Tree;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const BACKLOG: i32 = 1024;
/// Pause after a failed accept, such as with no file descriptor left.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound socket.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub socket: TcpListener,
    /// Its address and port.
    pub address: SocketAddr,
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

/// Where a configuration listens.
pub(super) fn addresses(tree: &Tree) -> BTreeSet<SocketAddr> {
    let configured = every_address(&tree.settings.bind_addresses);
    tree.ports()
        .flat_map(|port| configured.iter().map(move |ip| SocketAddr::new(*ip, port)))
        .collect()
}

/// Listens on addresses for every worker: one list of sockets a worker. `own` are addresses that
/// this process listens on already.
pub(super) fn bind(
    addresses: &BTreeSet<SocketAddr>,
    own: &BTreeSet<SocketAddr>,
    workers: usize,
) -> Result<Vec<Vec<Bound>>, BindError> {
    let mut sockets: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    for &address in addresses {
        // With SO_REUSEPORT a port that another process listens on could be shared unnoticed. The
        // trial only binds: had it listened, early clients would be reset with it. It would fail
        // at a port that this process has at another address.
        if !own.iter().any(|other| other.port() == address.port()) {
            drop(reserve(address, false)?);
        }
        for list in &mut sockets {
            list.push(Bound {
                socket: listen(address)?,
                address,
            });
        }
    }
    for address in addresses {
        tracing::info!("couper is serving: {address}");
    }
    Ok(sockets)
}

/// Sockets on a port of all addresses that nobody else listens on.
pub fn exclusive(port: u16) -> Result<Vec<TcpListener>, BindError> {
    let sockets = every_address(&[]).into_iter().map(|address| {
        let address = SocketAddr::new(address, port);
        let socket = reserve(address, false)?;
        socket
            .listen(BACKLOG)
            .map_err(|source| BindError { address, source })?;
        Ok(socket.into())
    });
    sockets.collect()
}

/// The configured addresses; all of both families by default, IPv4 alone where there is no IPv6.
fn every_address(configured: &[IpAddr]) -> Vec<IpAddr> {
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

/// The listening sockets of a worker.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    all: HashMap<SocketAddr, Listening>,
}

#[derive(Debug)]
struct Listening {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listeners {
    /// Accepts connections from sockets.
    pub(super) fn open(&mut self, sockets: Vec<Bound>, worker: &Rc<Worker>) {
        for bound in sockets {
            let (stop, stopped) = oneshot::channel();
            let address = bound.address;
            let task = tokio::task::spawn_local(accept(bound, Rc::clone(worker), stopped));
            self.all.insert(address, Listening { stop, task });
        }
    }

    /// Closes sockets. Who is connected already is served.
    pub(super) async fn close(&mut self, addresses: &[SocketAddr]) {
        for address in addresses {
            if let Some(listening) = self.all.remove(address) {
                listening.end().await;
            }
        }
    }

    /// Closes all.
    pub(super) async fn close_all(&mut self) {
        let addresses: Vec<SocketAddr> = self.all.keys().copied().collect();
        self.close(&addresses).await;
    }
}

impl Listening {
    async fn end(self) {
        // Gone if the socket could not be used, which has been told.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Accepts connections until it is told to stop.
async fn accept(bound: Bound, worker: Rc<Worker>, mut stopped: oneshot::Receiver<()>) {
    let port = bound.address.port();
    let listener = match tokio::net::TcpListener::from_std(bound.socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("cannot accept connections on port {port}: {error}");
            return;
        }
    };
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => connection::spawn(stream, peer, port, &worker),
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
    take_rest(listener, port, &worker);
}

/// Takes those who are connected and wait: closing the socket would reset them.
fn take_rest(listener: tokio::net::TcpListener, port: u16, worker: &Rc<Worker>) {
    let Ok(listener) = listener.into_std() else {
        return;
    };
    for _ in 0..BACKLOG {
        let accepted = listener.accept().and_then(|(stream, peer)| {
            stream.set_nonblocking(true)?;
            Ok((TcpStream::from_std(stream)?, peer))
        });
        match accepted {
            Ok((stream, peer)) => connection::spawn(stream, peer, port, worker),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // Of one connection, such as one that its client has given up.
            Err(_) => {}
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
