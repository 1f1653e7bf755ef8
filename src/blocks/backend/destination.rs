//! Where a request through a backend goes: the origin's target, by a forward proxy or directly.

use super::forward_proxy::{ProxyUrl, is_local};
use super::{Backend, Origin, Scheme, text_of};
use crate::blocks::modifiers::evaluate;
use crate::blocks::reader::Reader;
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind};
use crate::expr::{Program, Scope, Value};
use crate::upstream::{ForwardProxy, Target, TargetSettings, Tls};
use http::HeaderValue;
use std::sync::Arc;

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The origin's connections.
    pub target: Arc<Target>,
    /// The `Host` header, if it is not the origin's.
    pub host: Option<HeaderValue>,
}

impl Backend {
    /// The origin that a URL of the same backend may name, when it is known at start.
    pub(in crate::blocks) fn literal_origin(&self) -> Option<Origin> {
        Origin::parse(self.origin.as_ref()?.constant()?.as_str()?)
    }

    /// Where a request goes. `url` is the origin of the request's own URL: it counts for a backend
    /// without `origin` alone.
    pub fn destination(
        &self,
        scope: &dyn Scope,
        url: Option<&Origin>,
    ) -> Result<Destination, Error> {
        let hostname = match &self.hostname {
            None => String::new(),
            Some(program) => text_of(evaluate(program, scope)?),
        };
        let host = (!hostname.is_empty())
            .then(|| HeaderValue::try_from(&hostname).ok())
            .flatten();
        if let Some(target) = &self.fixed {
            return Ok(Destination {
                target: Arc::clone(target),
                host,
            });
        }
        let given = match &self.origin {
            None => String::new(),
            Some(program) => text_of(evaluate(program, scope)?),
        };
        let parsed;
        let origin = if given.is_empty() {
            url.ok_or_else(|| {
                self.unusable("the backend has no origin and the url is not absolute")
            })?
        } else {
            parsed = Origin::parse(&given)
                .ok_or_else(|| self.unusable("the origin is no absolute URL"))?;
            &parsed
        };
        let proxy = self.forward_proxy(origin, scope)?;
        let target = self
            .target(origin, &hostname, proxy)
            .ok_or_else(|| self.unusable("unusable origin"))?;
        Ok(Destination { target, host })
    }

    /// The proxy on the way to an origin: that of the attribute, else that of the environment.
    fn forward_proxy(
        &self,
        origin: &Origin,
        scope: &dyn Scope,
    ) -> Result<Option<Arc<ForwardProxy>>, Error> {
        if is_local(&origin.host) {
            return Ok(None);
        }
        let named = match &self.proxy {
            None => String::new(),
            Some(program) => text_of(evaluate(program, scope)?),
        };
        let unusable = |why| self.unusable(&format!("forward proxy: {why}"));
        let parsed;
        let url = if named.is_empty() {
            let environment = self.instance.proxies.as_ref();
            environment.and_then(|proxies| proxies.of(origin))
        } else {
            parsed = ProxyUrl::parse(&named).map_err(unusable)?;
            Some(&parsed)
        };
        url.map(|url| url.forward_proxy(|| self.instance.proxy_tls_config()))
            .transpose()
            .map_err(unusable)
    }

    fn unusable(&self, why: &str) -> Error {
        Error::new(Kind::Configuration, why.to_owned()).in_block(&self.label)
    }

    /// What no request can change about `proxy` is checked at start.
    pub(super) fn check_proxy(&self, reader: Reader<'_>) {
        let Some(program) = &self.proxy else { return };
        let Some(value) = program.constant() else {
            return;
        };
        let text = text_of(value.borrowed());
        if !text.is_empty()
            && let Err(why) = ProxyUrl::parse(&text)
        {
            reader.bad_value(program.span(), format!("`proxy`: {why}"));
        }
    }

    fn target(
        &self,
        origin: &Origin,
        hostname: &str,
        proxy: Option<Arc<ForwardProxy>>,
    ) -> Option<Arc<Target>> {
        let instance = &self.instance;
        let tls = match origin.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let name = if hostname.is_empty() {
                    origin.host.as_str()
                } else {
                    without_port(hostname)
                };
                let name = name.trim_start_matches('[').trim_end_matches(']');
                let server_name = rustls::pki_types::ServerName::try_from(name.to_owned()).ok()?;
                Some(Tls {
                    config: instance.tls_config()?,
                    server_name,
                })
            }
        };
        Target::new(TargetSettings {
            host: origin.host.as_str().into(),
            port: origin.port,
            http2_prior_knowledge: instance.http2_prior_knowledge && tls.is_none(),
            tls,
            disable_connection_reuse: instance.disable_connection_reuse,
            proxy,
            limit: Arc::clone(&instance.limit),
            series: (instance.series.as_ref()).map(|series| series.of(origin, hostname)),
        })
        .ok()
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host.ends_with(']') => &host[..at],
        _ => host,
    }
}

/// Warns where a literal URL names another origin than the backend: the backend's wins.
pub(in crate::blocks) fn warn_about_url(
    reader: Reader<'_>,
    url: Option<&Program>,
    backend: Option<&Backend>,
) {
    let url = url
        .and_then(Program::constant)
        .and_then(Value::as_str)
        .and_then(Origin::parse);
    let (Some(url), Some(origin)) = (url, backend.and_then(Backend::literal_origin)) else {
        return;
    };
    if url != origin
        && let Some(attribute) = reader.attribute("url")
    {
        let message = "the url names another origin than the backend, whose origin counts";
        let span = attribute.value_span;
        reader
            .cx
            .report(Diagnostic::warning(code::SUSPICIOUS, span, message));
    }
}
