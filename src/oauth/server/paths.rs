//! The addresses of a server's endpoints: presets, and what the configuration puts in their place.

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// RFC 6749 §3.2
    Token,
    /// RFC 6749 §3.1
    Authorize,
    /// RFC 7662
    Introspect,
    /// RFC 7009
    Revoke,
    /// RFC 7517
    Jwks,
    /// RFC 9126
    Par,
    /// RFC 8628 §3.1
    Device,
    /// Where users enter codes of devices.
    DevicePage,
    /// OpenID Connect Core §5.3
    Userinfo,
    /// RFC 7591
    Register,
    /// The login page.
    Login,
    /// The consent page.
    Consent,
    /// RFC 8414
    Discovery,
}

impl Endpoint {
    /// Those with an address of their own, in the order of the reference.
    pub const ALL: [Self; 12] = [
        Self::Token,
        Self::Authorize,
        Self::Introspect,
        Self::Revoke,
        Self::Jwks,
        Self::Par,
        Self::Device,
        Self::DevicePage,
        Self::Userinfo,
        Self::Register,
        Self::Login,
        Self::Consent,
    ];

    /// Its name in `endpoints`.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Authorize => "authorize",
            Self::Introspect => "introspect",
            Self::Revoke => "revoke",
            Self::Jwks => "jwks",
            Self::Par => "par",
            Self::Device => "device",
            Self::DevicePage => "device_page",
            Self::Userinfo => "userinfo",
            Self::Register => "register",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::Discovery => "discovery",
        }
    }

    /// Its name in messages.
    pub fn words(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Authorize => "authorization",
            Self::Introspect => "introspection",
            Self::Revoke => "revocation",
            Self::Jwks => "jwks",
            Self::Par => "pushed_authorization_request",
            Self::Device => "device_authorization",
            Self::DevicePage => "device",
            Self::Userinfo => "userinfo",
            Self::Register => "registration",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::Discovery => "discovery",
        }
    }

    /// What it may be asked with besides `OPTIONS`.
    pub fn methods(self) -> &'static str {
        match self {
            Self::Token
            | Self::Introspect
            | Self::Revoke
            | Self::Par
            | Self::Device
            | Self::Register => "POST",
            Self::Jwks | Self::Discovery => "GET",
            Self::Authorize | Self::Userinfo | Self::DevicePage | Self::Login | Self::Consent => {
                "GET, POST"
            }
        }
    }
}

/// A preset of addresses.
#[derive(Debug)]
pub struct Layout {
    /// Its name in the configuration.
    pub name: &'static str,
    paths: [&'static str; 12],
}

/// The presets. An empty path is an endpoint that the preset lacks.
pub static LAYOUTS: [Layout; 4] = [
    Layout {
        name: "default",
        paths: [
            "/token",
            "/authorize",
            "/introspect",
            "/revoke",
            "/jwks.json",
            "/par",
            "/device_authorization",
            "/device",
            "/userinfo",
            "/register",
            "/login",
            "/consent",
        ],
    },
    Layout {
        name: "kong",
        paths: [
            "/oauth2/token",
            "/oauth2/authorize",
            "/oauth2/introspect",
            "/oauth2/revoke",
            "/oauth2/jwks.json",
            "/oauth2/par",
            "/oauth2/device_authorization",
            "/oauth2/device",
            "/oauth2/userinfo",
            "/oauth2/register",
            "/oauth2/login",
            "/oauth2/consent",
        ],
    },
    Layout {
        name: "otoroshi",
        paths: [
            "/.well-known/otoroshi/oauth/token",
            "",
            "/.well-known/otoroshi/oauth/token/introspect",
            "/.well-known/otoroshi/oauth/token/revoke",
            "/.well-known/otoroshi/oauth/jwks.json",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
        ],
    },
    Layout {
        name: "keycloak",
        paths: [
            "/protocol/openid-connect/token",
            "/protocol/openid-connect/auth",
            "/protocol/openid-connect/token/introspect",
            "/protocol/openid-connect/revoke",
            "/protocol/openid-connect/certs",
            "/protocol/openid-connect/ext/par/request",
            "/protocol/openid-connect/auth/device",
            "/device",
            "/protocol/openid-connect/userinfo",
            "/clients-registrations/openid-connect",
            "/login-actions/authenticate",
            "/login-actions/consent",
        ],
    },
];

impl Layout {
    /// The preset of a name.
    pub fn of(name: &str) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| layout.name == name)
    }

    /// The path of an endpoint, relative to the base path.
    pub fn path(&self, endpoint: Endpoint) -> Option<&'static str> {
        let at = Endpoint::ALL.iter().position(|known| *known == endpoint)?;
        self.paths.get(at).copied().filter(|path| !path.is_empty())
    }
}

/// The addresses of a server.
#[derive(Debug, Default)]
pub struct Paths {
    entries: Vec<(Endpoint, String)>,
}

impl Paths {
    /// Adds an address; the first one of an endpoint is advertised.
    pub fn add(&mut self, endpoint: Endpoint, path: String) {
        self.entries.push((endpoint, path));
    }

    /// All addresses.
    pub fn iter(&self) -> impl Iterator<Item = (Endpoint, &str)> {
        self.entries
            .iter()
            .map(|(endpoint, path)| (*endpoint, path.as_str()))
    }

    /// The address that others are told.
    pub fn advertised(&self, endpoint: Endpoint) -> Option<&str> {
        let found = self.entries.iter().find(|(known, _)| *known == endpoint);
        found.map(|(_, path)| path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets() {
        let path = |layout, endpoint| Layout::of(layout).unwrap().path(endpoint);
        assert_eq!(path("default", Endpoint::Consent), Some("/consent"));
        assert_eq!(
            path("keycloak", Endpoint::Jwks),
            Some("/protocol/openid-connect/certs")
        );
        assert_eq!(path("otoroshi", Endpoint::Authorize), None);
    }
}
