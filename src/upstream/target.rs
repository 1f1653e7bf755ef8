//! Where requests go, and the facts that decide which connections can be shared.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use http::uri::{Authority, Scheme};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::UpstreamError;
use super::proxy::ForwardProxy;
use super::watch::TargetSeries;

/// TLS towards one origin.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Roots, client certificate and ALPN. Targets share connections only if they share this.
    pub config: Arc<ClientConfig>,
    /// The name sent as SNI and looked for in the certificate.
    pub server_name: ServerName<'static>,
}

impl Tls {
    /// Whether connections can be shared.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.server_name == other.server_name
    }
}

/// What a [`Target`] is made of.
#[derive(Clone, Debug)]
pub struct TargetSettings {
    /// Name or address, IPv6 with or without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Present for https.
    pub tls: Option<Tls>,
    /// HTTP/2 without TLS and without asking.
    pub http2_prior_knowledge: bool,
    /// Not connected to directly, if set; switches prior knowledge off.
    pub proxy: Option<Arc<ForwardProxy>>,
    /// One request a connection.
    pub disable_connection_reuse: bool,
    /// Shared by all targets of one backend and by all workers.
    pub limit: Arc<Limit>,
    /// What is counted of its requests and connections, if anything is.
    pub series: Option<Arc<TargetSeries>>,
}

/// The host and port make no valid origin.
#[derive(Debug, thiserror::Error)]
#[error("unusable host")]
pub struct InvalidTarget;

/// An origin with everything needed to reach it. Finding its connections allocates nothing.
pub struct Target {
    pub(super) settings: TargetSettings,
    pub(super) authority: Authority,
    pub(super) host_header: HeaderValue,
    hash: u64,
}

impl Target {
    /// Checks the host and computes the pool key.
    pub fn new(mut settings: TargetSettings) -> Result<Arc<Self>, InvalidTarget> {
        if let Some(bare) = settings
            .host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
        {
            settings.host = bare.into();
        }
        settings.host.make_ascii_lowercase();
        let host = &settings.host;
        let shown = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_string()
        };
        let usual = if settings.tls.is_some() { 443 } else { 80 };
        let text = if settings.port == usual {
            shown
        } else {
            format!("{shown}:{}", settings.port)
        };
        let authority: Authority = text.parse().map_err(|_| InvalidTarget)?;
        if authority.host().is_empty() || text.contains('@') {
            return Err(InvalidTarget);
        }
        let host_header = HeaderValue::try_from(text).map_err(|_| InvalidTarget)?;
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        settings.host.hash(&mut hasher);
        settings.port.hash(&mut hasher);
        if let Some(tls) = &settings.tls {
            tls.server_name.hash(&mut hasher);
            Arc::as_ptr(&tls.config).hash(&mut hasher);
        }
        Arc::as_ptr(&settings.limit).hash(&mut hasher);
        let hash = hasher.finish();
        Ok(Arc::new(Self {
            settings,
            authority,
            host_header,
            hash,
        }))
    }

    /// Host and port (the latter unless it is the scheme's own), as in a `Host` field.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// `scheme://host[:port]`
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        if self.settings.tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        }
    }

    /// Where the TCP connection goes.
    pub(super) fn next_hop(&self) -> (&str, u16) {
        match &self.settings.proxy {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&self.settings.host, self.settings.port),
        }
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &TargetSettings {
        &self.settings
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.settings, &other.settings);
        self.hash == other.hash
            && a.port == b.port
            && a.host == b.host
            && Arc::ptr_eq(&a.limit, &b.limit)
            && a.proxy == b.proxy
            && a.http2_prior_knowledge == b.http2_prior_knowledge
            && a.disable_connection_reuse == b.disable_connection_reuse
            && match (&a.tls, &b.tls) {
                (None, None) => true,
                (Some(a), Some(b)) => a.is_same(b),
                (Some(_), None) | (None, Some(_)) => false,
            }
    }
}

impl Eq for Target {}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}://{})", self.scheme(), self.authority)
    }
}

/// How many connections all workers together may hold to one backend, and how many requests may
/// wait for one.
#[derive(Debug)]
pub struct Limit {
    connections: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    /// Pools, of all workers, that keep idle connections.
    keeping: AtomicUsize,
}

impl Limit {
    /// The limit of backends without `max_connections`, and of waiting requests everywhere.
    pub const DEFAULT: usize = 1024;

    /// At most `connections` connections and `max_waiting` waiting requests.
    pub fn new(connections: usize, max_waiting: usize) -> Arc<Self> {
        let connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(connections)),
            waiting: AtomicUsize::new(0),
            max_waiting,
            keeping: AtomicUsize::new(0),
        })
    }

    /// Requests that wait for a connection now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Connections that could be opened now.
    pub fn available(&self) -> usize {
        self.connections.available_permits()
    }

    /// Pools, of all workers, that keep idle connections. Each worker updates it when its own begins
    /// or ceases to, not with each request.
    pub(super) fn keeping(&self) -> &AtomicUsize {
        &self.keeping
    }

    pub(super) async fn acquire(&self) -> Result<OwnedSemaphorePermit, UpstreamError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }

        if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.max_waiting {
            return Err(UpstreamError::Queue);
        }
        // The semaphore is never closed.
        Arc::clone(&self.connections)
            .acquire_owned()
            .await
            .map_err(|_| UpstreamError::Queue)
    }
}
