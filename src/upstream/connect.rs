//! From a host name to a TCP connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long addresses are used without asking again.
const FRESH: Duration = Duration::from_secs(5);

/// How long they are used when asking fails.
const STALE: Duration = Duration::from_mins(5);

/// Names kept at most. Origins can come from expressions, so their number has a bound.
const NAMES: usize = 1024;

/// An address gets this head start before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

type Addresses = Rc<[IpAddr]>;

/// Addresses of names, from the system's resolver on the blocking pool.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    known: RefCell<HashMap<Box<str>, (Instant, Addresses), foldhash::fast::RandomState>>,
}

impl Resolver {
    pub(super) async fn resolve(&self, host: &str) -> io::Result<Addresses> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Rc::new([address]));
        }
        let now = Instant::now();
        let known = self.known.borrow().get(host).cloned();
        if let Some((asked, addresses)) = &known
            && now.duration_since(*asked) < FRESH
        {
            return Ok(Rc::clone(addresses));
        }
        let fault = match tokio::net::lookup_host((host, 0)).await {
            Ok(found) => {
                let addresses: Addresses = found.map(|address| address.ip()).collect();
                if !addresses.is_empty() {
                    let mut known = self.known.borrow_mut();
                    if known.len() >= NAMES {
                        known.clear();
                    }
                    known.insert(host.into(), (Instant::now(), Rc::clone(&addresses)));
                    return Ok(addresses);
                }
                io::Error::new(io::ErrorKind::NotFound, "the name has no address")
            }
            Err(error) => error,
        };
        match known {
            Some((asked, addresses)) if now.duration_since(asked) < STALE => Ok(addresses),
            _ => Err(fault),
        }
    }
}

/// Connects to the first address that answers. Each has a head start over the next.
pub(super) async fn dial(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().map(|&ip| SocketAddr::new(ip, port));
    let mut attempts = FuturesUnordered::new();
    let mut fault = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    attempts.extend(waiting.next().map(TcpStream::connect));
    loop {
        let more = waiting.len() > 0;
        let mut pause = pin!(tokio::time::sleep(HEAD_START));
        tokio::select! {
            biased;
            result = attempts.next() => match result {
                Some(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Some(Err(error)) => {
                    fault = error;
                    attempts.extend(waiting.next().map(TcpStream::connect));
                }
                None => return Err(fault),
            },
            () = &mut pause, if more => {
                attempts.extend(waiting.next().map(TcpStream::connect));
            }
        }
    }
}
