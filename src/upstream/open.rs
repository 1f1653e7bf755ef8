//! A new connection to a target: name, TCP, perhaps a tunnel through a proxy, TLS, HTTP.

use super::error::UpstreamError;
use super::permitted::Permitted;
use super::pool::{Connection, Pool};
use super::proxy::{self, Protocol};
use super::watch::{Open, OpenedFor};
use super::{Limits, Target, Timings, connect};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// The head of a response, and what is read of a body at once, has this size at most. What a slow
/// client has not taken yet is a multiple of it.
const MAX_BUFFER: usize = 64 << 10;

/// A TLS handshake takes no longer, whatever the connect timeout.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is for.
pub(super) struct Purpose {
    /// It is to change its protocol, so it speaks HTTP/1.1.
    pub(super) upgrade: bool,
    /// The request, where connections are logged.
    pub(super) opened_for: Option<OpenedFor>,
}

/// Opens a connection, waiting for a place first.
pub(super) async fn open(
    resolver: &connect::Resolver,
    target: &Target,
    pool: &Pool,
    limits: &Limits,
    timings: &mut Timings,
    purpose: Purpose,
) -> Result<Connection, UpstreamError> {
    let Purpose {
        upgrade,
        opened_for,
    } = purpose;
    let settings = &target.settings;
    let permit = settings.limit.acquire().await?;
    let secure_proxy = settings.proxy.as_ref().and_then(|proxy| proxy.tls.as_ref());
    let limit = limits.connect_timeout;
    let Some(proxy_tls) = secure_proxy else {
        let dialing = async {
            let mut stream = dial(resolver, target, timings).await?;
            let held = Open::new(target, permit, &stream, opened_for);
            tunnel(&mut stream, target).await?;
            Ok((stream, held))
        };
        let (stream, held) = limited(limit, dialing).await?;
        return speak(stream, target, pool, held, timings, upgrade).await;
    };
    let dialing = async {
        let stream = dial(resolver, target, timings).await?;
        let held = Open::new(target, permit, &stream, opened_for);
        let (config, name) = (&proxy_tls.config, &proxy_tls.server_name);
        let mut stream = shake_hands(Arc::clone(config), name.clone(), stream)
            .await
            .map_err(UpstreamError::Proxy)?;
        tunnel(&mut stream, target).await?;
        Ok((stream, held))
    };
    // Boxed: rare, and large.
    let (stream, held) = Box::pin(limited(limit, dialing)).await?;
    Box::pin(speak(stream, target, pool, held, timings, upgrade)).await
}

async fn limited<T>(
    limit: Duration,
    task: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    if limit.is_zero() {
        return task.await;
    }
    tokio::time::timeout(limit, task)
        .await
        .unwrap_or(Err(UpstreamError::ConnectTimeout(limit)))
}

async fn dial(
    resolver: &connect::Resolver,
    target: &Target,
    timings: &mut Timings,
) -> Result<TcpStream, UpstreamError> {
    let start = Instant::now();
    let (host, port) = target.next_hop();
    let addresses = resolver
        .resolve(host)
        .await
        .map_err(|source| UpstreamError::Resolve {
            host: host.into(),
            source,
        })?;
    let resolved = Instant::now();
    let stream =
        connect::dial(&addresses, port)
            .await
            .map_err(|source| UpstreamError::Connect {
                host: format!("{host}:{port}").into(),
                source,
            })?;
    timings.dns = Some(resolved - start);
    timings.tcp = Some(resolved.elapsed());
    Ok(stream)
}

/// Asks the proxy for a tunnel, if there is one and the request needs it.
async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &Target,
) -> Result<(), UpstreamError> {
    let settings = &target.settings;
    let Some(proxy) = &settings.proxy else {
        return Ok(());
    };
    let by_request = matches!(proxy.protocol, Protocol::Http { .. }) && settings.tls.is_none();
    if by_request {
        return Ok(());
    }
    proxy::tunnel(stream, &proxy.protocol, &settings.host, settings.port)
        .await
        .map_err(UpstreamError::Proxy)
}

async fn shake_hands<S>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: S,
) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connector = tokio_rustls::TlsConnector::from(config);
    connector.connect(name, stream).await
}

/// TLS if the origin wants it, then HTTP in the version agreed on.
async fn speak<S>(
    stream: S,
    target: &Target,
    pool: &Pool,
    held: Open,
    timings: &mut Timings,
    upgrade: bool,
) -> Result<Connection, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = &target.settings;
    let Some(tls) = &settings.tls else {
        let http2 = settings.http2_prior_knowledge && settings.proxy.is_none() && !upgrade;
        return handshake(stream, http2, pool, held, target).await;
    };
    let start = Instant::now();
    let mut config = Arc::clone(&tls.config);
    if upgrade && !config.alpn_protocols.is_empty() {
        // HTTP/2 is not on offer.
        Arc::make_mut(&mut config).alpn_protocols.clear();
    }
    let name = tls.server_name.clone();
    let stream = match tokio::time::timeout(TLS_TIMEOUT, shake_hands(config, name, stream)).await {
        Ok(stream) => stream.map_err(UpstreamError::Tls)?,
        Err(_) => return Err(UpstreamError::ConnectTimeout(TLS_TIMEOUT)),
    };
    timings.tls = Some(start.elapsed());
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    handshake(stream, http2, pool, held, target).await
}

/// Tasks of a worker stay on its thread.
#[derive(Clone)]
pub(super) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// Speaks HTTP on a fresh connection, which is `held` open until it is closed.
async fn handshake<S>(
    stream: S,
    http2: bool,
    pool: &Pool,
    held: Open,
    target: &Target,
) -> Result<Connection, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // It goes where the connection goes, also after a change of protocol.
    let io = TokioIo::new(Permitted::new(stream, held));
    if http2 {
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_header_list_size(64 * 1024)
            .handshake(io)
            .await
            .map_err(UpstreamError::Dropped)?;
        tokio::task::spawn_local(async move {
            // What ended it reaches the requests on it.
            let _ = connection.await;
        });
        if !target.settings.disable_connection_reuse {
            pool.share(sender.clone());
        }
        Ok(Connection::H2(sender))
    } else {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(io)
            .await
            .map_err(UpstreamError::Dropped)?;
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        sender.ready().await.map_err(UpstreamError::Dropped)?;
        Ok(Connection::H1(sender, Instant::now()))
    }
}
