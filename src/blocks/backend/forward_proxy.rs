//! Forward proxies: the attribute `proxy`, and `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the
//! environment. Local origins are never reached by one.

use super::origin::{Origin, Scheme};
use crate::blocks::form;
use crate::upstream::{ForwardProxy, Protocol, Tls};
use base64::Engine as _;
use http::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A proxy's URL, taken apart.
#[derive(Clone, Debug)]
pub(super) struct ProxyUrl {
    proxy: ForwardProxy,
    /// Whether the proxy itself is spoken to by TLS.
    secure: bool,
}

/// A text that names no proxy which can be used. The text itself may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no URL of the form `http://HOST:PORT`, `https://…` or `socks5://…`")]
pub(super) struct UnusableProxy;

impl ProxyUrl {
    /// Parses `[SCHEME://][USER:PASSWORD@]HOST[:PORT]`; without a scheme it is `http`.
    pub(super) fn parse(text: &str) -> Result<Self, UnusableProxy> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (socks, secure, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, false, 80),
            "https" => (false, true, 443),
            "socks5" | "socks5h" => (true, false, 1080),
            _ => return Err(UnusableProxy),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        let host: http::uri::Authority = host.parse().map_err(|_| UnusableProxy)?;
        let has_port = host.as_str().len() > host.host().len();
        let port = match host.port_u16() {
            None if has_port => return Err(UnusableProxy),
            port => port.unwrap_or(usual_port),
        };
        let name = host.host().trim_matches(['[', ']']).to_ascii_lowercase();
        if name.is_empty() || port == 0 {
            return Err(UnusableProxy);
        }
        let credentials = user_info.map(|user_info| {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            let plain = |text: &str| {
                String::from_utf8_lossy(&form::decode(text.as_bytes(), false)).into_owned()
            };
            (plain(user), plain(password))
        });
        let protocol = if socks {
            Protocol::Socks5 {
                credentials: credentials.map(|(user, password)| (user.into(), password.into())),
            }
        } else {
            Protocol::Http {
                authorization: credentials.as_ref().map(basic),
            }
        };
        let proxy = ForwardProxy {
            host: name.into(),
            port,
            tls: None,
            protocol,
        };
        Ok(Self { proxy, secure })
    }

    /// The proxy, ready to be used. `tls` makes the settings of one that is spoken to by TLS.
    pub(super) fn forward_proxy(
        &self,
        tls: impl FnOnce() -> Option<Arc<ClientConfig>>,
    ) -> Result<Arc<ForwardProxy>, UnusableProxy> {
        let mut proxy = self.proxy.clone();
        if self.secure {
            let name = ServerName::try_from(proxy.host.to_string()).map_err(|_| UnusableProxy)?;
            proxy.tls = Some(Tls {
                config: tls().ok_or(UnusableProxy)?,
                server_name: name,
            });
        }
        Ok(Arc::new(proxy))
    }
}

fn basic((user, password): &(String, String)) -> HeaderValue {
    let encoded =
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}").as_bytes());
    // Base64 is always a legal header value.
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// Whether an origin is on this machine.
pub(super) fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The proxies that the environment names.
#[derive(Clone, Debug, Default)]
pub(super) struct EnvironmentProxies {
    http: Option<ProxyUrl>,
    https: Option<ProxyUrl>,
    exceptions: Vec<Exception>,
}

/// One item of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    Network(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    /// A domain with a leading dot; whether the name without the dot is meant, too.
    Domain(String, bool, Option<u16>),
}

impl EnvironmentProxies {
    /// Reads the variables, names in capitals first. The error is the name of an unusable one.
    pub(super) fn read(env: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let get = |name: &str| {
            let lower = name.to_ascii_lowercase();
            let value = env.get(name).filter(|value| !value.is_empty());
            value.or_else(|| env.get(&lower).filter(|value| !value.is_empty()))
        };
        let proxy = |name: &'static str| {
            let parsed = get(name).map(|text| ProxyUrl::parse(text));
            parsed.transpose().map_err(|UnusableProxy| name)
        };
        let exceptions = get("NO_PROXY").map_or("", String::as_str);
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            exceptions: exceptions.split(',').filter_map(Exception::parse).collect(),
        })
    }

    /// The proxy for an origin.
    pub(super) fn of(&self, origin: &Origin) -> Option<&ProxyUrl> {
        let proxy = match origin.scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }?;
        let host = origin.host.trim_matches(['[', ']']);
        let excepted = |exception: &Exception| exception.holds(host, origin.port);
        (!is_local(host) && !self.exceptions.iter().any(excepted)).then_some(proxy)
    }
}

impl Exception {
    fn parse(item: &str) -> Option<Self> {
        let item = item.trim().to_ascii_lowercase();
        if item.is_empty() {
            return None;
        }
        if item == "*" {
            return Some(Self::All);
        }
        if let Some((address, bits)) = item.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
            return Some(Self::Network(address, bits));
        }
        if let Ok(address) = item.parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match item.rsplit_once(':') {
            None => (item.as_str(), None),
            Some((host, port)) => (host, Some(port.parse().ok()?)),
        };
        let host = host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse() {
            return Some(Self::Address(address, port));
        }
        let host = host.strip_prefix('*').unwrap_or(host);
        match host.strip_prefix('.') {
            Some("") => None,
            Some(_) => Some(Self::Domain(host.to_owned(), false, port)),
            None if host.is_empty() => None,
            None => Some(Self::Domain(format!(".{host}"), true, port)),
        }
    }

    fn holds(&self, host: &str, port: u16) -> bool {
        let here = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        let address = || host.parse::<IpAddr>().ok();
        match self {
            Self::All => true,
            Self::Network(network, bits) => {
                address().is_some_and(|address| is_within(address, *network, *bits))
            }
            Self::Address(wanted, port) => address() == Some(*wanted) && here(port),
            Self::Domain(domain, itself, port) => {
                let matches = host.ends_with(domain.as_str()) || (*itself && host == &domain[1..]);
                matches && here(port)
            }
        }
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let shared = |a: u128, b: u128, width: u32| {
        let rest = width - u32::from(bits);
        a.checked_shr(rest).unwrap_or(0) == b.checked_shr(rest).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => shared(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => shared(a.to_bits(), b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(env: &[(&str, &str)]) -> EnvironmentProxies {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        EnvironmentProxies::read(&env.collect()).unwrap()
    }

    fn of(proxies: &EnvironmentProxies, url: &str) -> Option<String> {
        let proxy = proxies.of(&Origin::parse(url).unwrap())?;
        Some(proxy.proxy.address())
    }

    #[test]
    fn urls_of_proxies() {
        let parsed = |text| ProxyUrl::parse(text).map(|url| (url.proxy.address(), url.secure));
        assert_eq!(parsed("http://p:3128"), Ok(("p:3128".into(), false)));
        assert_eq!(parsed("P.example"), Ok(("p.example:80".into(), false)));
        assert_eq!(parsed("https://p/"), Ok(("p:443".into(), true)));
        assert_eq!(parsed("socks5://[::1]"), Ok(("[::1]:1080".into(), false)));
        for text in [
            "",
            "ftp://p",
            "http://",
            "http://p:x",
            "http://p:99999",
            "p:0",
        ] {
            assert_eq!(parsed(text), Err(UnusableProxy), "{text}");
        }
    }

    #[test]
    fn credentials_are_unescaped_and_not_shown() {
        let url = ProxyUrl::parse("http://me:p%40ss@p:1").unwrap();
        assert!(!format!("{url:?}").contains("ss"));
        let Protocol::Http { authorization } = &url.proxy.protocol else {
            panic!("{url:?}");
        };
        let encoded = base64::engine::general_purpose::STANDARD.encode("me:p@ss");
        let value = authorization.as_ref().unwrap();
        assert_eq!(value.to_str().unwrap(), format!("Basic {encoded}"));
        assert!(value.is_sensitive());
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let found = proxies(&[("HTTP_PROXY", "http://a:1"), ("https_proxy", "b:2")]);
        assert_eq!(of(&found, "http://x").as_deref(), Some("a:1"));
        assert_eq!(of(&found, "https://x").as_deref(), Some("b:2"));
        for local in ["http://localhost", "http://127.1.2.3:80", "http://[::1]:81"] {
            assert_eq!(of(&found, local), None, "{local}");
        }
        assert_eq!(of(&proxies(&[("HTTP_PROXY", "")]), "http://x"), None);
        let env = BTreeMap::from([("HTTPS_PROXY".to_owned(), "gopher://x".to_owned())]);
        assert_eq!(EnvironmentProxies::read(&env).err(), Some("HTTPS_PROXY"));
    }

    #[test]
    fn exceptions() {
        let list =
            "a.example, .b.example,*.c.example,10.0.0.0/8,192.168.1.1,d.example:81,fd00::/8,x/y,:8";
        let found = proxies(&[("HTTP_PROXY", "p"), ("NO_PROXY", list)]);
        for direct in [
            "http://a.example",
            "http://sub.A.example",
            "http://x.b.example",
            "http://x.c.example",
            "http://10.9.8.7",
            "http://192.168.1.1:8080",
            "http://d.example:81",
            "http://[fd00::1]",
        ] {
            assert_eq!(of(&found, direct), None, "{direct}");
        }
        for proxied in [
            "http://xa.example",
            "http://b.example",
            "http://c.example",
            "http://11.0.0.1",
            "http://d.example",
            "http://[fe80::1]",
        ] {
            assert!(of(&found, proxied).is_some(), "{proxied}");
        }
        let none = proxies(&[("HTTP_PROXY", "p"), ("no_proxy", "*")]);
        assert_eq!(of(&none, "http://x"), None);
    }
}
