//! Grant types: the ways to a token (RFC 6749 §1.3 and its extensions).

/// A grant type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grant {
    /// RFC 6749 §4.4
    ClientCredentials,
    /// RFC 6749 §4.1
    AuthorizationCode,
    /// RFC 6749 §6
    RefreshToken,
    /// RFC 6749 §4.3
    Password,
    /// RFC 6749 §4.2; has no part in the token endpoint.
    Implicit,
    /// RFC 8628
    DeviceCode,
    /// RFC 8693
    TokenExchange,
    /// RFC 7523 §2.1
    JwtBearer,
}

impl Grant {
    /// All, in the order in which documents list them.
    pub const ALL: [Self; 8] = [
        Self::ClientCredentials,
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::DeviceCode,
        Self::TokenExchange,
        Self::JwtBearer,
        Self::Password,
        Self::Implicit,
    ];

    /// What a server serves that names none.
    pub const DEFAULT: [Self; 4] = [
        Self::ClientCredentials,
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::DeviceCode,
    ];

    /// The value of `grant_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::Password => "password",
            Self::Implicit => "implicit",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// The grant of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.name() == name)
    }

    /// Whether it is deprecated (RFC 9700 §2.1.2, §2.4).
    pub fn is_deprecated(self) -> bool {
        matches!(self, Self::Password | Self::Implicit)
    }

    /// Whether it cannot be served without a store.
    pub fn needs_store(self) -> bool {
        match self {
            Self::AuthorizationCode | Self::RefreshToken | Self::DeviceCode => true,
            Self::ClientCredentials
            | Self::Password
            | Self::Implicit
            | Self::TokenExchange
            | Self::JwtBearer => false,
        }
    }

    /// Whether a user stands behind its tokens.
    pub fn has_user(self) -> bool {
        !matches!(self, Self::ClientCredentials)
    }
}
