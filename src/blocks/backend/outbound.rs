//! What all backends of a configuration have in common: whom they trust, and which proxies the
//! environment names.

use super::forward_proxy::EnvironmentProxies;
use crate::blocks::context::Context;
use crate::blocks::fingerprint::Fingerprint;
use crate::blocks::settings::Settings;
use crate::diagnostic::{Diagnostic, code};
use crate::runtime::kept::Identity;
use crate::upstream::{TlsSettings, client_config};
use base64::Engine as _;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

/// See the module. One for each load.
#[derive(Debug, Default)]
pub struct Outbound {
    authorities: Vec<CertificateDer<'static>>,
    /// The proxies of the environment, if they are obeyed.
    pub(super) proxies: Option<Arc<EnvironmentProxies>>,
    /// Backends with the same settings share them, and with them resumable sessions.
    tls: RefCell<HashMap<Identity, Arc<LazyTls>>>,
}

/// TLS of backends, made when it is first needed: the system's authorities are read for backends that
/// speak TLS only.
#[derive(Debug)]
pub(super) struct LazyTls {
    settings: TlsSettings,
    made: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Outbound {
    /// Takes what matters from settings and environment.
    pub fn new(cx: &Context<'_>, settings: &Settings, env: &BTreeMap<String, String>) -> Self {
        let proxies = if settings.no_proxy_from_env {
            None
        } else {
            match EnvironmentProxies::read(env) {
                Ok(proxies) => Some(Arc::new(proxies)),
                Err(name) => {
                    let message = format!(
                        "the variable `{name}` names no proxy: it takes a URL of the form \
                         `http://HOST:PORT`, `https://…` or `socks5://…`"
                    );
                    cx.report(Diagnostic::error(code::SETTING, None, message));
                    None
                }
            }
        };
        Self {
            authorities: settings.authorities.clone(),
            proxies,
            tls: RefCell::default(),
        }
    }

    /// The TLS of a backend with these settings of its own.
    pub(super) fn tls(&self, cx: &Context<'_>, mut settings: TlsSettings) -> Arc<LazyTls> {
        settings
            .extra_roots
            .extend(self.authorities.iter().cloned());
        let fingerprint = fingerprint(&settings);
        let mut known = self.tls.borrow_mut();
        let made = || {
            cx.keep(fingerprint.clone(), || LazyTls {
                settings,
                made: OnceLock::new(),
            })
        };
        Arc::clone(
            known
                .entry(fingerprint.clone().finish())
                .or_insert_with(made),
        )
    }
}

fn fingerprint(settings: &TlsSettings) -> Fingerprint {
    let der = |fingerprint: Fingerprint, der: &[u8]| {
        fingerprint.text(&base64::engine::general_purpose::STANDARD.encode(der))
    };
    let flags = [settings.disable_certificate_validation, settings.http2];
    let fingerprint = Fingerprint::of("tls").text(&format!("{flags:?}"));
    let roots = settings.extra_roots.iter().map(AsRef::as_ref);
    let fingerprint = roots.fold(fingerprint, der).text("own");
    match &settings.client_certificate {
        None => fingerprint,
        Some(own) => {
            let chain = own.chain.iter().map(AsRef::as_ref);
            chain.chain([own.key.secret_der()]).fold(fingerprint, der)
        }
    }
}

impl LazyTls {
    /// Makes it; the error says what cannot be used.
    pub(super) fn make(&self) -> Result<(), rustls::Error> {
        if self.made.get().is_none() {
            let made = client_config(self.settings.clone())?;
            let _ = self.made.set(Some(made));
        }
        Ok(())
    }

    pub(super) fn get(&self) -> Option<Arc<ClientConfig>> {
        let make = || client_config(self.settings.clone()).ok();
        self.made.get_or_init(make).clone()
    }
}
