//! Forward proxies: what stands between the gateway and an origin, and how it is asked for a tunnel.

use std::fmt;
use std::io;

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::target::Tls;
use crate::crypto::constant_time::secrets_equal;

/// Longest head of a proxy's answer to `CONNECT`.
const TUNNEL_HEAD: usize = 8 * 1024;

/// A proxy on the way to an origin. One that speaks HTTP gets requests to http origins in absolute
/// form and makes a tunnel (`CONNECT`) to https ones; one that speaks SOCKS makes a tunnel to both.
#[derive(Clone)]
pub struct ForwardProxy {
    /// Name or address, IPv6 without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Present if the proxy itself is spoken to by TLS.
    pub tls: Option<Tls>,
    /// What it speaks, with the credentials it wants.
    pub protocol: Protocol,
}

/// What a proxy speaks.
#[derive(Clone)]
pub enum Protocol {
    /// HTTP/1.1.
    Http {
        /// Value of `Proxy-Authorization`.
        authorization: Option<HeaderValue>,
    },
    /// SOCKS5 (RFC 1928); the proxy resolves names.
    Socks5 {
        /// User and password (RFC 1929).
        credentials: Option<(Box<str>, SecretString)>,
    },
}

impl ForwardProxy {
    /// Host and port, as they are logged.
    pub fn address(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl PartialEq for ForwardProxy {
    fn eq(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(a), Some(b)) => a.is_same(b),
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_tls
            && self.host == other.host
            && self.port == other.port
            && self.protocol == other.protocol
    }
}

impl Eq for ForwardProxy {}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http { authorization: a }, Self::Http { authorization: b }) => a == b,
            (Self::Socks5 { credentials: a }, Self::Socks5 { credentials: b }) => match (a, b) {
                (None, None) => true,
                (Some((user, password)), Some((other, second))) => {
                    let (a, b) = (password.expose_secret(), second.expose_secret());
                    user == other && secrets_equal(a.as_bytes(), b.as_bytes())
                }
                (Some(_), None) | (None, Some(_)) => false,
            },
            (Self::Http { .. }, Self::Socks5 { .. }) | (Self::Socks5 { .. }, Self::Http { .. }) => {
                false
            }
        }
    }
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForwardProxy({})", self.address())
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http { .. } => "Http",
            Self::Socks5 { .. } => "Socks5",
        })
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Asks the proxy at the other end of `stream` for a tunnel to `host:port`.
pub(super) async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    protocol: &Protocol,
    host: &str,
    port: u16,
) -> io::Result<()> {
    match protocol {
        Protocol::Http { authorization } => {
            connect(stream, &authority(host, port), authorization.as_ref()).await
        }
        Protocol::Socks5 { credentials } => {
            let target = (host, port);
            let asked = match credentials {
                None => tokio_socks::tcp::Socks5Stream::connect_with_socket(stream, target).await,
                Some((user, password)) => {
                    let password = password.expose_secret();
                    tokio_socks::tcp::Socks5Stream::connect_with_password_and_socket(
                        stream, target, user, password,
                    )
                    .await
                }
            };
            asked.map(drop).map_err(io::Error::other)
        }
    }
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> io::Result<()> {
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(value) = authorization {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head).await?;
    stream.flush().await?;
    // Byte by byte, so that nothing of the tunnel is taken; the head is short and this is rare.
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= TUNNEL_HEAD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer is too long",
            ));
        }
        answer.push(stream.read_u8().await?);
    }
    let status = answer
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(1..5));
    match status {
        Some([b' ', b'2', _, _]) => Ok(()),
        Some([b' ', status @ ..]) => Err(io::Error::other(format!(
            "the answer has the status {}",
            String::from_utf8_lossy(status)
        ))),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is no HTTP",
        )),
    }
}
