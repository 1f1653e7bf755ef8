//! What all users of a backend share: connections, TLS, tokens, throttle and health.

use super::forward_proxy::EnvironmentProxies;
use super::health::Health;
use super::openapi::Checks;
use super::outbound::LazyTls;
use super::series::Series;
use super::throttle::Throttle;
use super::tls::TlsBlock;
use super::token_request::{TokenSource, Tokens};
use crate::blocks::Definitions;
use crate::blocks::fingerprint::Fingerprint;
use crate::blocks::oauth2::{self, OAuth2};
use crate::blocks::reader::Reader;
use crate::diagnostic::{Diagnostic, code};
use crate::expr::{Program, Text, Value};
use crate::upstream::{Limit, TlsSettings};
use rustls::ClientConfig;
use std::sync::Arc;

/// What all users of a backend share.
#[derive(Debug)]
pub struct Instance {
    pub(super) limit: Arc<Limit>,
    tls: Arc<LazyTls>,
    /// For a forward proxy that is itself spoken to by TLS.
    proxy_tls: Arc<LazyTls>,
    pub(super) proxies: Option<Arc<EnvironmentProxies>>,
    pub(super) disable_connection_reuse: bool,
    pub(super) http2_prior_knowledge: bool,
    /// Where tokens come from.
    pub oauth2: Option<Arc<OAuth2>>,
    /// Where further tokens come from.
    pub token_requests: Vec<TokenSource>,
    /// What requests and responses must be like.
    pub openapi: Option<Checks>,
    /// How many requests it gets.
    pub throttle: Option<Arc<Throttle>>,
    /// Whether it is well, if anybody looks.
    pub health: Option<Arc<Health>>,
    /// Where its requests are counted, if they are.
    pub(super) series: Option<Series>,
}

impl Instance {
    pub(super) fn read(
        reader: Reader<'_>,
        label: &Arc<str>,
        defined: bool,
        definitions: &Definitions<'_>,
    ) -> Option<Self> {
        let (cx, block, outbound) = (reader.cx, reader.block, definitions.outbound());
        let max = reader
            .number("max_connections")
            .map_or(0, |number| number.value);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let oauth2 = match reader.inner("oauth2") {
            None => None,
            Some(block) => {
                let inner = Reader::new(cx, block, &oauth2::SCHEMA);
                let owner = block_owner(reader);
                Some(Arc::new(OAuth2::read(inner, label, owner, definitions)?))
            }
        };
        let token_requests = TokenSource::read_all(reader, label, block_owner(reader), definitions);
        let disable_certificate_validation = disabled_validation(reader);
        let own = TlsBlock::read(reader, disable_certificate_validation);
        let tls = outbound.tls(
            cx,
            TlsSettings {
                extra_roots: own.authorities,
                client_certificate: own.client_certificate,
                disable_certificate_validation,
                http2: reader.boolean("http2").unwrap_or(false),
            },
        );
        if let Some(block) = reader.inner("tls")
            && let Err(error) = tls.make()
        {
            let message = format!("backend `{label}`: `tls` cannot be used: {error}");
            cx.report(Diagnostic::error(code::BAD_VALUE, block.header(), message));
        }
        let health = Health::read(reader, label, defined).map(|health| {
            // Whatever changes may change how the origin does.
            let identity = Fingerprint::of("health").block(block, definitions);
            cx.keep(identity, || health)
        });
        Some(Self {
            limit: limit(reader, max),
            tls,
            proxy_tls: outbound.tls(cx, TlsSettings::default()),
            proxies: outbound.proxies.clone(),
            disable_connection_reuse: reader.boolean("disable_connection_reuse").unwrap_or(false),
            http2_prior_knowledge: reader.boolean("http2_prior_knowledge").unwrap_or(false),
            oauth2,
            token_requests,
            openapi: Checks::of(reader),
            throttle: Throttle::read(reader, definitions),
            health,
            series: cx.metrics().map(|all| Series::new(all, label)),
        })
    }

    /// An instance for a place that names no backend at all.
    pub(super) fn plain(reader: Reader<'_>, label: &str, definitions: &Definitions<'_>) -> Self {
        let outbound = definitions.outbound();
        let tls = outbound.tls(reader.cx, TlsSettings::default());
        Self {
            limit: limit(reader, 0),
            proxy_tls: Arc::clone(&tls),
            tls,
            proxies: outbound.proxies.clone(),
            disable_connection_reuse: false,
            http2_prior_knowledge: false,
            oauth2: None,
            token_requests: Vec::new(),
            openapi: None,
            throttle: None,
            health: None,
            series: reader.cx.metrics().map(|all| Series::new(all, label)),
        }
    }

    /// The expressions of what fetches its tokens.
    pub(super) fn token_programs(&self) -> impl Iterator<Item = &Program> {
        let oauth2 = self.oauth2.iter();
        oauth2.flat_map(|oauth2| oauth2.client.programs()).chain(
            self.token_requests
                .iter()
                .flat_map(|source| source.request.programs()),
        )
    }

    /// All tokens of a request, if none of them is to be fetched.
    pub fn cached_tokens(&self) -> Option<Tokens> {
        let oauth2 = match &self.oauth2 {
            None => None,
            Some(oauth2) => {
                let entry = oauth2.shared()?;
                Some((entry.cached()?, Arc::clone(entry)))
            }
        };
        let sources = self.token_requests.iter();
        let requested = sources.map(|source| source.entry.cached());
        Some(Tokens {
            oauth2,
            requested: requested.collect::<Option<_>>()?,
        })
    }

    /// `beta_tokens` and `beta_token`: the tokens of a request, else those that are kept.
    pub(super) fn token_state(&self, tokens: &Tokens) -> Vec<(Text<'static>, Value<'static>)> {
        let oauth2 = self.oauth2.iter().filter_map(|oauth2| {
            let kept = oauth2.shared().and_then(|entry| entry.kept());
            let own = || tokens.oauth2.as_ref().map(|(token, _)| Arc::clone(token));
            Some(("oauth2", kept.or_else(own)?))
        });
        let sources = self.token_requests.iter().enumerate();
        let requested = sources.filter_map(|(at, source)| {
            let token = tokens.requested.get(at).cloned();
            Some((
                &*source.request.name,
                token.or_else(|| source.entry.kept())?,
            ))
        });
        let mut default = None;
        let mut all = Vec::new();
        for (name, token) in oauth2.chain(requested) {
            let value = Value::from(token.expose().to_owned());
            if name == "default" {
                default = Some(value.clone());
            }
            all.push((Text::from(name.to_owned()), value));
        }
        let mut state = Vec::new();
        if !all.is_empty() {
            state.push(("beta_tokens".into(), Value::map(all)));
        }
        state.extend(default.map(|value| ("beta_token".into(), value)));
        state
    }

    pub(super) fn tls_config(&self) -> Option<Arc<ClientConfig>> {
        self.tls.get()
    }

    /// The same for a forward proxy.
    pub(super) fn proxy_tls_config(&self) -> Option<Arc<ClientConfig>> {
        self.proxy_tls.get()
    }
}

/// How many connections a backend may have, kept over reloads. `reader` is at the backend's block, or
/// at that which names none.
fn limit(reader: Reader<'_>, max: usize) -> Arc<Limit> {
    let (block, cx) = (reader.block, reader.cx);
    // Without a label it is the origin that tells backends apart.
    let identity = match block_owner(reader) {
        "" => Fingerprint::of("origin").attributes(block, &["origin", "url"], cx),
        label => Fingerprint::of("backend").text(label),
    };
    let max = if max == 0 { Limit::DEFAULT } else { max };
    let limit = cx.keep(identity.text(&max.to_string()), || {
        Limit::new(max, Limit::DEFAULT)
    });
    Arc::clone(&limit)
}

/// The label of a backend's block, by which what belongs to it is known; empty without one, whatever
/// line it stands in.
fn block_owner(reader: Reader<'_>) -> &str {
    match reader.block.kind.text.as_str() {
        "backend" => reader.block.label(),
        _ => "",
    }
}

/// Whether any certificate is taken. It is never meant to stay, so it is told at each start.
fn disabled_validation(reader: Reader<'_>) -> bool {
    let name = "disable_certificate_validation";
    let disabled = reader.boolean(name).unwrap_or(false);
    if let Some(attribute) = reader.attribute(name).filter(|_| disabled) {
        let message = format!("`{name}`: the origin may be anybody");
        let span = attribute.name.span;
        reader
            .cx
            .report(Diagnostic::warning(code::SUSPICIOUS, span, message));
    }
    disabled
}
