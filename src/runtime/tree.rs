//! What a configuration becomes: listeners, routes and all that they need, immutable.

use super::kept::Kept;
use super::router::Router;
use super::series::{ClientSeries, HostSeries};
use crate::admin::Admin;
use crate::blocks::access::remote::Renew;
use crate::blocks::api::Api;
use crate::blocks::authorization_server::{Mounted, admin};
use crate::blocks::backend::Backend;
use crate::blocks::cors::Cors;
use crate::blocks::endpoint::Endpoint;
use crate::blocks::files::Files;
use crate::blocks::job::Job;
use crate::blocks::modifiers::HeaderModifiers;
use crate::blocks::server::Server;
use crate::blocks::settings::{DevProxy, Settings};
use crate::blocks::spa::Spa;
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Diagnostics, SourceMap, Span, code};
use crate::error::page::Page;
use crate::expr::{Program, Value};
use crate::oauth::server::keys::KeysError;
use crate::oauth::server::{Backing, Server as AuthorizationServer};
use crate::store::{Storage, sqlite};
use crate::telemetry::metrics::Requests;
use foldhash::HashMap;
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A compiled configuration.
#[derive(Debug)]
pub struct Tree {
    /// The settings.
    pub settings: Settings,
    /// Ports with their servers.
    pub listeners: Vec<Listener>,
    /// What is to be sent without a client.
    pub jobs: Vec<Arc<Job>>,
    /// Documents that are to be fetched, such as key sets.
    pub remotes: Vec<Arc<dyn Renew>>,
    /// What authorization servers keep.
    pub backing: Option<Arc<Backing>>,
    /// Authorization servers.
    pub authorization_servers: Vec<Arc<AuthorizationServer>>,
    /// The admin API.
    pub admin: Option<admin::Block>,
    /// Defined backends, by label.
    pub backends: BTreeMap<String, Arc<Backend>>,
    /// State that the next load may take over.
    pub kept: Kept,
    /// What is counted of all clients, if anything is.
    pub series: Option<ClientSeries>,
    /// The texts, for places in log messages.
    sources: SourceMap,
}

/// Why a configuration that is sound in itself cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Signing keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database cannot be had.
    #[error("cannot open the storage: {0}")]
    Storage(#[from] sqlite::OpenError),
}

/// A port.
#[derive(Debug)]
pub struct Listener {
    /// Its number.
    pub port: u16,
    /// TLS, if the port speaks it.
    pub tls: Option<Arc<ServerConfig>>,
    hosts: HashMap<String, Arc<ServerRoutes>>,
    any: Option<Arc<ServerRoutes>>,
    series: Option<HostSeries>,
}

/// A server's routes.
#[derive(Debug)]
pub struct ServerRoutes {
    /// Its label.
    pub label: Arc<str>,
    /// Page of errors.
    pub page: Page,
    /// Its `custom_log_fields`.
    pub log_fields: Vec<Arc<Program>>,
    /// Its `cors`.
    pub cors: Option<Arc<Cors>>,
    /// Modifiers of its responses.
    pub response_headers: Vec<Arc<HeaderModifiers>>,
    /// Whether everything but an authorization server needs a client certificate.
    pub wants_certificate: bool,
    endpoints: Router<Route>,
    unknown_in_api: Router<Arc<Api>>,
    sites: Sites,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub enum Route {
    /// The health route.
    Health,
    /// An endpoint.
    Endpoint(Arc<Endpoint>),
    /// An unknown path of an api with access control: the controls come first, then a 404.
    Guarded(Arc<Api>),
    /// What may answer for a path that no endpoint has.
    Site(Candidates),
    /// An endpoint of an authorization server.
    AuthorizationServer(Arc<Mounted>),
}

impl Tree {
    /// Builds routes and listeners; conflicts between servers are findings.
    pub fn build(
        settings: Settings,
        servers: Vec<Server>,
        sources: SourceMap,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut listeners: Vec<Listener> = Vec::new();
        let mut taken: Vec<(Option<String>, u16, Span)> = Vec::new();
        for mut server in servers {
            let hosts = std::mem::take(&mut server.hosts);
            let tls = server.tls.as_ref().map(|tls| Arc::clone(&tls.config));
            let routes = Arc::new(ServerRoutes::build(server, &settings, diagnostics));
            for host in hosts {
                let earlier = taken
                    .iter()
                    .find(|(name, port, _)| *name == host.name && *port == host.port);
                if let Some((_, _, span)) = earlier {
                    let name = host.name.as_deref().unwrap_or("*");
                    let message = format!(
                        "conflict: host \"{name}\" already defined for port: {}",
                        host.port
                    );
                    diagnostics.push(
                        Diagnostic::error(code::DUPLICATE, host.span, message)
                            .related(*span, "first one"),
                    );
                    continue;
                }
                taken.push((host.name.clone(), host.port, host.span));
                let at = listeners
                    .iter()
                    .position(|l| l.port == host.port)
                    .unwrap_or_else(|| {
                        listeners.push(Listener {
                            port: host.port,
                            tls: None,
                            hosts: HashMap::default(),
                            any: None,
                            series: None,
                        });
                        listeners.len() - 1
                    });
                let listener = &mut listeners[at];
                if listener.tls.is_none() {
                    listener.tls.clone_from(&tls);
                }
                match host.name {
                    None => listener.any = Some(Arc::clone(&routes)),
                    Some(name) => {
                        listener.hosts.insert(name, Arc::clone(&routes));
                    }
                }
            }
        }
        check_dev_proxies(&settings, &listeners, diagnostics);
        let metrics = settings.observe.metrics.is_some();
        let series = metrics.then(ClientSeries::new);
        for listener in listeners.iter_mut().filter(|_| metrics) {
            let names = listener.hosts.keys().map(String::as_str);
            listener.series = Some(HostSeries::new(listener.port, names));
        }
        Self {
            settings,
            listeners,
            series,
            jobs: Vec::new(),
            remotes: Vec::new(),
            backing: None,
            authorization_servers: Vec::new(),
            admin: None,
            backends: BTreeMap::new(),
            kept: Kept::default(),
            sources,
        }
    }

    /// The listener of a port.
    pub fn listener(&self, port: u16) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.port == port)
    }

    /// Where a request to a port and host is counted, if it is; `host` as below.
    pub fn requests(&self, port: u16, host: &str) -> Option<&Requests> {
        Some(self.listener(port)?.series.as_ref()?.requests(host))
    }

    /// The mapping of a TLS port for development.
    pub fn dev_proxy(&self, port: u16) -> Option<&DevProxy> {
        let proxies = &self.settings.https_dev_proxy;
        proxies.iter().find(|proxy| proxy.tls_port == port)
    }

    /// All ports that are listened on.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let proxies = self.settings.https_dev_proxy.iter();
        let listeners = self.listeners.iter().map(|listener| listener.port);
        listeners.chain(proxies.map(|proxy| proxy.tls_port))
    }

    /// Where what must survive a restart is kept, if it is.
    pub fn storage(&self) -> Option<&Storage> {
        self.backing.as_ref()?.storage()
    }

    /// Opens what the configuration names and loading did not touch: the store and signing keys.
    /// Blocks.
    pub fn open(&self) -> Result<(), OpenError> {
        if let Some(backing) = &self.backing {
            backing.open()?;
            if let (Some(admin), Some(store)) = (&self.admin, backing.store()) {
                admin.api.get_or_init(|| {
                    Arc::new(Admin {
                        store: Arc::clone(store),
                        vault: Arc::clone(backing.vault()),
                        settings: admin.settings.clone(),
                        declared: admin.declared.clone(),
                        clock: Clock::System,
                    })
                });
            }
        }
        let now = Clock::System.unix();
        for server in &self.authorization_servers {
            server.keys.open(now)?;
        }
        Ok(())
    }

    /// The server of a host and port; `host` without port, in any case.
    pub fn server(&self, port: u16, host: &str) -> Option<&Arc<ServerRoutes>> {
        let listener = self.listener(port)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        if listener.hosts.is_empty() {
            return listener.any.as_ref();
        }
        let found = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            listener.hosts.get(&host.to_ascii_lowercase())
        } else {
            listener.hosts.get(host)
        };
        found.or(listener.any.as_ref())
    }

    /// Waits for the first attempts to fetch what is fetched in the background, but not for ever.
    pub async fn settle(&self) {
        let open = self.remotes.iter().filter(|remote| !remote.is_settled());
        futures_util::future::join_all(open.map(|remote| remote.settle())).await;
    }

    /// `FILE:LINE:COLUMN` of a place in the configuration.
    pub fn place(&self, span: Span) -> String {
        self.sources.place(span)
    }

    /// The variable `backends`.
    pub fn backend_states(&self) -> Value<'_> {
        let states = self.backends.iter();
        Value::object(
            states
                .map(|(label, backend)| (label.as_str().into(), backend.state()))
                .collect(),
        )
    }

    /// The variable `backends.LABEL`.
    pub fn backend_state(&self, label: &str) -> Value<'_> {
        let backend = self.backends.get(label);
        backend.map_or(Value::Absent, |backend| backend.state())
    }
}

/// The target of each is a port that is served without TLS, its own port is free.
fn check_dev_proxies(settings: &Settings, listeners: &[Listener], diagnostics: &mut Diagnostics) {
    let find = |port| listeners.iter().find(|listener| listener.port == port);
    for proxy in &settings.https_dev_proxy {
        let (port, target) = (proxy.tls_port, proxy.target);
        let why = if find(port).is_some() {
            format!("port {port} is that of a server")
        } else {
            match find(target) {
                None => format!("port {target} is not served"),
                Some(Listener { tls: Some(_), .. }) => format!("port {target} speaks TLS itself"),
                Some(Listener { tls: None, .. }) => continue,
            }
        };
        let message = format!(
            "invalid value for {}: `{port}:{target}`: {why}",
            proxy.origin
        );
        diagnostics.push(Diagnostic::error(code::SETTING, proxy.span, message));
    }
}

impl ServerRoutes {
    fn build(server: Server, settings: &Settings, diagnostics: &mut Diagnostics) -> Self {
        let mut endpoints = Router::default();
        // Nothing can stand at the very same path yet.
        let _ = endpoints.insert(&settings.health_path, Route::Health);
        let mut known: Vec<(String, Span)> = Vec::new();
        for mount in &server.mounts {
            for (path, mounted) in mount.routes() {
                let shape = super::router::shape(path);
                let place = &mount.server.label;
                if let Some((_, first)) = known.iter().find(|(other, _)| *other == shape) {
                    let message = format!(
                        "authorization server `{place}` cannot have its {} endpoint at `{path}`: that path is taken",
                        mounted.endpoint.words()
                    );
                    diagnostics.push(
                        Diagnostic::error(code::DUPLICATE, mount.span, message)
                            .related(*first, "taken here"),
                    );
                    continue;
                }
                if let Some(taken) = server.taken(&shape) {
                    let message = format!(
                        "`{path}` is the {} endpoint of authorization server `{place}`, which is mounted here, too",
                        mounted.endpoint.words()
                    );
                    diagnostics.push(
                        Diagnostic::error(code::DUPLICATE, taken, message)
                            .related(mount.span, format!("`{place}` is mounted here")),
                    );
                    continue;
                }
                known.push((shape, mount.span));
                let _ = endpoints.insert(path, Route::AuthorizationServer(Arc::new(mounted)));
            }
        }
        let mut add = |endpoint: &Arc<Endpoint>, diagnostics: &mut Diagnostics| {
            let shape = super::router::shape(&endpoint.pattern);
            if let Some((_, first)) = known.iter().find(|(other, _)| *other == shape) {
                let message = format!("duplicate endpoint `{}`", endpoint.pattern);
                diagnostics.push(
                    Diagnostic::error(code::DUPLICATE, endpoint.span, message)
                        .related(*first, "first one"),
                );
                return;
            }
            known.push((shape, endpoint.span));
            // An endpoint at the health path is hidden by it, as documented.
            let _ = endpoints.insert(&endpoint.pattern, Route::Endpoint(Arc::clone(endpoint)));
        };
        for endpoint in server
            .endpoints
            .iter()
            .chain(server.apis.iter().flat_map(|a| &a.endpoints))
        {
            add(endpoint, diagnostics);
        }
        let sites = Sites::build(&server.files, &server.spas, diagnostics);
        let mut unknown_in_api = Router::default();
        for api in server.apis {
            let everything = format!("{}/**", api.base_path.trim_end_matches('/'));
            let api = Arc::new(api);
            if !api.access.is_empty() && !sites.is_base(&api.base_path) {
                // Fails where the api has an endpoint for everything of its own.
                let _ = endpoints.insert(&everything, Route::Guarded(Arc::clone(&api)));
            }
            let _ = unknown_in_api.insert(&everything, api);
        }
        Self {
            label: server.label,
            page: server.page,
            log_fields: server.log_fields,
            cors: server.cors,
            response_headers: server.response_headers,
            wants_certificate: server.wants_certificate,
            endpoints,
            unknown_in_api,
            sites,
        }
    }

    /// What a decoded path leads to.
    pub fn find(&self, path: &str) -> Option<super::router::Match<'_, Route>> {
        self.endpoints.find(path).filter(|found| match found.value {
            // It must not hide files and spas below a longer base path.
            Route::Guarded(api) => self.sites.depth(path) <= Some(depth(&api.base_path)),
            Route::Health | Route::Endpoint(_) | Route::Site(_) | Route::AuthorizationServer(_) => {
                true
            }
        })
    }

    /// Who answers for a decoded path that no endpoint has.
    ///
    /// Deviation: in Couper an api hides files and spas with a longer base path.
    pub fn unknown(&self, path: &str) -> Unknown<'_> {
        let api = self.unknown_in_api.find(path).map(|found| found.value);
        let least = api.map_or(0, |api| depth(&api.base_path));
        let candidates = self.sites.candidates(path, least);
        if candidates.files.is_some() || candidates.spa.is_some() {
            return Unknown::Site(candidates);
        }
        match api.filter(|_| self.sites.depth(path) < Some(least)) {
            Some(api) => Unknown::Api(api),
            None => Unknown::Nothing,
        }
    }
}

/// Who answers for a path that no endpoint has.
#[derive(Debug)]
pub enum Unknown<'t> {
    /// The api whose base path it is below.
    Api(&'t Arc<Api>),
    /// Files or a spa, if they have it.
    Site(Candidates),
    /// Nobody.
    Nothing,
}

/// Files and a spa whose patterns a path matches.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// A folder, with the index in the path at which the part below its base path begins.
    pub files: Option<(Arc<Files>, usize)>,
    /// A spa.
    pub spa: Option<Arc<Spa>>,
}

/// Files and spas of a server.
#[derive(Debug, Default)]
struct Sites {
    files: Router<Arc<Files>>,
    spas: Router<Arc<Spa>>,
    /// Everything below a base path of either, with that path's depth.
    bases: Router<usize>,
}

/// How many segments a base path has.
fn depth(base_path: &str) -> usize {
    base_path.split('/').filter(|s| !s.is_empty()).count()
}

impl Sites {
    fn build(files: &[Arc<Files>], spas: &[Arc<Spa>], diagnostics: &mut Diagnostics) -> Self {
        let mut sites = Self::default();
        for files in files {
            let site = &files.site;
            if sites
                .files
                .insert(&site.everything(), Arc::clone(files))
                .is_err()
            {
                let message = format!(
                    "duplicate route found: several `files` have the base path `{}`",
                    site.base_path
                );
                diagnostics.push(Diagnostic::error(code::DUPLICATE, site.span, message));
            }
        }
        for spa in spas {
            for pattern in &spa.patterns {
                if sites.spas.insert(&pattern.value, Arc::clone(spa)).is_err() {
                    let message = format!("duplicate path `{}` of a `spa`", pattern.value);
                    diagnostics.push(Diagnostic::error(code::DUPLICATE, pattern.span, message));
                }
            }
        }
        let all = files.iter().map(|files| &files.site);
        for site in all.chain(spas.iter().map(|spa| &spa.site)) {
            // Several may share one.
            let _ = sites
                .bases
                .insert(&site.everything(), depth(&site.base_path));
        }
        sites
    }

    /// Depth of the longest base path that a path is below.
    fn depth(&self, path: &str) -> Option<usize> {
        self.bases.find(path).map(|found| *found.value)
    }

    fn is_base(&self, base_path: &str) -> bool {
        self.depth(base_path) == Some(depth(base_path))
    }

    /// Those that match a path, unless their base path has fewer than `least` segments.
    fn candidates(&self, path: &str, least: usize) -> Candidates {
        let deep = |base_path: &str| depth(base_path) >= least;
        let files = self.files.find(path);
        let spa = self.spas.find(path).map(|found| found.value);
        Candidates {
            files: files
                .filter(|found| deep(&found.value.site.base_path))
                .map(|found| (Arc::clone(found.value), found.wildcard.unwrap_or(0))),
            spa: spa.filter(|spa| deep(&spa.site.base_path)).map(Arc::clone),
        }
    }
}
