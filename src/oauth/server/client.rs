//! Clients and consumers: who may ask for tokens, and what for.

use super::grant::Grant;
use crate::clock::UnixTime;
use crate::crypto::{Jwks, constant_time};
use crate::expr::{Program, Value};
use crate::store::vault::Candidate;
use aws_lc_rs::digest;
use secrecy::{ExposeSecret as _, SecretString};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// SHA-256 of a value.
pub type Digest = [u8; 32];

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
    }
    text
}

/// A person or program that owns clients.
#[derive(Debug)]
pub struct Consumer {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub username: Option<Box<str>>,
    /// Its id elsewhere.
    pub custom_id: Option<Box<str>>,
    /// Tags.
    pub tags: Vec<Box<str>>,
    /// Groups.
    pub groups: Vec<Box<str>>,
    /// What is granted beside the scope.
    pub permissions: Vec<String>,
    /// Free data.
    pub metadata: Value<'static>,
}

/// How a client authenticates (RFC 7591 §2, RFC 8705 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
    /// `client_secret_jwt`
    SecretJwt,
    /// `private_key_jwt`
    PrivateKeyJwt,
    /// `tls_client_auth`
    Tls,
    /// `self_signed_tls_client_auth`
    SelfSignedTls,
    /// `none`: a public client
    None,
}

impl AuthMethod {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Basic,
        Self::Post,
        Self::SecretJwt,
        Self::PrivateKeyJwt,
        Self::Tls,
        Self::SelfSignedTls,
        Self::None,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::SecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Tls => "tls_client_auth",
            Self::SelfSignedTls => "self_signed_tls_client_auth",
            Self::None => "none",
        }
    }

    /// The method of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// A secret, as it is kept.
#[derive(Clone, Debug)]
pub struct Secret {
    /// In which form.
    pub form: SecretForm,
    /// When it ends.
    pub not_after: Option<UnixTime>,
}

/// The forms that secrets are kept in.
#[derive(Clone, Debug)]
pub enum SecretForm {
    /// The secret itself, from the configuration, with its digest.
    Plain(SecretString, Digest),
    /// SHA-256, of values that were generated.
    Digest(Digest),
    /// A hash of any form that is at rest.
    Hashed(Candidate),
}

impl SecretForm {
    /// A secret in plain.
    pub fn plain(secret: SecretString) -> Self {
        let digest = sha256(secret.expose_secret().as_bytes());
        Self::Plain(secret, digest)
    }

    /// Whether a secret with this digest is the one; `None` where only its hash can tell.
    pub fn matches(&self, given: &Digest) -> Option<bool> {
        match self {
            Self::Plain(_, digest) | Self::Digest(digest) => {
                Some(constant_time::equal(digest, given))
            }
            Self::Hashed(_) => None,
        }
    }
}

/// What a client's certificate must hold (RFC 8705 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateRule {
    /// `tls_client_auth_subject_dn`
    SubjectDn(String),
    /// `tls_client_auth_san_dns`
    Dns(String),
    /// `tls_client_auth_san_uri`
    Uri(String),
    /// `tls_client_auth_san_ip`
    Ip(IpAddr),
    /// `tls_client_auth_san_email`
    Email(String),
}

/// Access tokens: signed, or looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 9068.
    Jwt,
    /// A reference.
    Opaque,
}

/// What a client may learn by introspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introspect {
    /// Its own tokens.
    Own,
    /// Also those that are for it.
    Audience,
    /// Everything.
    Any,
    /// Nothing.
    None,
}

/// Addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// `ADDRESS/BITS` or an address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = bits.unwrap_or(most);
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shared = |a: u128, b: u128, width: u32| {
            let drop = width - u32::from(self.prefix);
            a.checked_shr(drop).unwrap_or(0) == b.checked_shr(drop).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                shared(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => shared(own.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Lifetimes. `None` is without end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of access tokens of users.
    pub access_token: Option<Duration>,
    /// Of access tokens of clients.
    pub client_credentials: Option<Duration>,
    /// Of codes.
    pub authorization_code: Duration,
    /// Of refresh tokens.
    pub refresh_token: Duration,
    /// Of refresh tokens that nobody uses.
    pub refresh_token_idle: Duration,
    /// Of device codes.
    pub device_code: Duration,
    /// Of pushed requests.
    pub pushed_request: Duration,
    /// Of ID tokens.
    pub id_token: Duration,
    /// Of sessions of users.
    pub login_session: Duration,
    /// Access tokens by grant, over the above.
    pub by_grant: Vec<(Grant, Duration)>,
}

impl Lifetimes {
    /// Of an access token.
    pub fn access(&self, grant: Grant) -> Option<Duration> {
        let own = self.by_grant.iter().find(|(known, _)| *known == grant);
        match own {
            Some((_, lifetime)) => Some(*lifetime),
            None if grant == Grant::ClientCredentials => self.client_credentials,
            None => self.access_token,
        }
    }

    /// The longest of an access token.
    pub fn longest(&self) -> Duration {
        let fixed = [self.access_token, self.client_credentials];
        let fixed = fixed.into_iter().flatten();
        let all = fixed.chain(self.by_grant.iter().map(|(_, lifetime)| *lifetime));
        all.max().unwrap_or_default()
    }
}

/// At most so many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub per_period: u64,
    /// The time.
    pub period: Duration,
}

/// What users are shown about a client.
#[derive(Clone, Debug, Default)]
pub struct Display {
    /// Its name.
    pub name: Option<String>,
    /// Its logo.
    pub logo_uri: Option<String>,
    /// Its home page.
    pub client_uri: Option<String>,
    /// How it treats data.
    pub policy_uri: Option<String>,
    /// Its terms.
    pub tos_uri: Option<String>,
    /// Whom to ask.
    pub contacts: Vec<String>,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// `client_id`
    pub id: Arc<str>,
    /// The key of its row, or one made from its name.
    pub pk: Uuid,
    /// `sub` of tokens that it gets for itself.
    pub subject: Arc<str>,
    /// What users are shown.
    pub display: Display,
    /// Whose it is.
    pub consumer: Option<Arc<Consumer>>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// How it authenticates.
    pub method: AuthMethod,
    /// Whether basic and post do not stand in for each other.
    pub strict: bool,
    /// Keys of its assertions and request objects.
    pub keys: Option<Jwks>,
    /// Thumbprints of its certificates, where they are self-signed.
    pub certificates: Vec<Digest>,
    /// What its certificate must hold.
    pub certificate: Option<CertificateRule>,
    /// Where users may be sent.
    pub redirect_uris: Vec<String>,
    /// What it may ask by.
    pub grants: Vec<Grant>,
    /// Scopes that it gets without asking.
    pub scopes: Vec<Box<str>>,
    /// Scopes that it gets when it asks.
    pub optional_scopes: Vec<Box<str>>,
    /// Neither list was given: every declared scope may be asked for.
    pub any_scope: bool,
    /// `aud` of its tokens, over the server's.
    pub audience: Option<Vec<String>>,
    /// Resources it may ask for.
    pub allowed_resources: Vec<String>,
    /// Form of its access tokens.
    pub format: Format,
    /// Label of the key that signs its tokens.
    pub signing_key: Arc<str>,
    /// Lifetimes.
    pub ttl: Lifetimes,
    /// Further claims.
    pub claims: Option<Program>,
    /// What it may learn by introspection.
    pub introspect: Introspect,
    /// Names under which it is an audience.
    pub resource_uris: Vec<String>,
    /// Its tokens are bound to a key.
    pub dpop_bound: bool,
    /// Its tokens are bound to its certificate.
    pub mtls_bound: bool,
    /// Users are asked for consent.
    pub require_consent: bool,
    /// Users are not asked.
    pub trusted: bool,
    /// Where it may ask from; empty for everywhere.
    pub allowed_ips: Vec<Network>,
    /// How often it may ask for tokens.
    pub rate: Option<Rate>,
    /// Free data.
    pub metadata: Value<'static>,
    /// Tags.
    pub tags: Vec<Box<str>>,
    /// Whether it is an API key.
    pub api_key: bool,
    /// Whether its id alone is enough as an API key.
    pub client_id_only: bool,
    /// Digests of the values that stand for it as an API key.
    pub api_key_values: Vec<Digest>,
    /// Whether it runs on users' devices (RFC 8252).
    pub native: bool,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Made by someone the operator does not know.
    pub unverified: bool,
}

impl Client {
    /// Whether it cannot keep a secret.
    pub fn is_public(&self) -> bool {
        self.method == AuthMethod::None
    }

    /// Whether it may use a grant.
    pub fn may_use(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }

    /// Whether it may be asked from an address.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allowed_ips.is_empty()
            || self
                .allowed_ips
                .iter()
                .any(|network| network.contains(address))
    }

    /// Its secrets that are good at a time.
    pub fn live_secrets(&self, now: UnixTime) -> impl Iterator<Item = &Secret> {
        self.secrets
            .iter()
            .filter(move |secret| secret.not_after.is_none_or(|end| now < end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let has = |network: &str, address: &str| {
            Network::parse(network)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.1.2"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "1.2.3.4"));
        assert!(has("::/0", "::1"));
        assert!(!has("0.0.0.0/0", "::1"));
        assert!(has("127.0.0.1", "127.0.0.1"));
        assert!(has("fd00::/64", "fd00::1"));
        assert!(!has("fd00::/64", "fd00:0:0:1::1"));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "x"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
