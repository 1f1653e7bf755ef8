//! Origins: scheme, host and port of an absolute URL.

/// The scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The scheme.
    pub scheme: Scheme,
    /// Host name or address, lower-case; IPv6 in brackets.
    pub host: String,
    /// The port, the scheme's own if none is named.
    pub port: u16,
}

impl Origin {
    /// The origin of an absolute http or https URL; path, query and fragment do not count.
    pub fn parse(url: &str) -> Option<Self> {
        Self::split(url).map(|(origin, _)| origin)
    }

    /// The origin of an absolute URL, and what follows it (path, query, fragment).
    pub fn split(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let authority: http::uri::Authority = authority.parse().ok()?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') || authority.host() == authority.as_str() => {
                match scheme {
                    Scheme::Http => 80,
                    Scheme::Https => 443,
                }
            }
            None => return None,
        };
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() || port == 0 {
            return None;
        }
        Some((Self { scheme, host, port }, rest))
    }

    /// Host and port, the latter unless it is the scheme's own.
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_urls() {
        let origin = |url| Origin::parse(url).map(|o| (o.scheme, o.host, o.port));
        assert_eq!(
            origin("http://Example/x?y"),
            Some((Scheme::Http, "example".into(), 80))
        );
        assert_eq!(
            origin("https://a.b:8443"),
            Some((Scheme::Https, "a.b".into(), 8443))
        );
        assert_eq!(
            origin("http://[::1]:81/"),
            Some((Scheme::Http, "[::1]".into(), 81))
        );
        assert_eq!(origin("http://u:p@h"), Some((Scheme::Http, "h".into(), 80)));
        for url in [
            "",
            "/x",
            "h:80",
            "ftp://h",
            "http://",
            "http:///x",
            "http://h:99999",
            "http://h:x",
        ] {
            assert_eq!(origin(url), None, "{url}");
        }
    }
}
