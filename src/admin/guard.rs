//! Who may use the admin API, and for what.

use super::Reply;
use crate::store::{Digest, Millis};
use crate::telemetry::{Level, sink};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use std::time::SystemTime;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Consumers.
    Consumers,
    /// Applications, their secrets and keys.
    Applications,
    /// Tokens, grants, revocations.
    Tokens,
    /// Signing keys.
    Keys,
    /// End users.
    Users,
    /// The audit chain.
    Audit,
    /// How things are.
    Status,
    /// Everything at once: export and import.
    Everything,
}

impl Resource {
    const NAMES: [(&str, Self); 7] = [
        ("consumers", Self::Consumers),
        ("applications", Self::Applications),
        ("tokens", Self::Tokens),
        ("keys", Self::Keys),
        ("users", Self::Users),
        ("audit", Self::Audit),
        ("status", Self::Status),
    ];

    /// What a path is about.
    pub(super) fn of(path: &[&str]) -> Option<Self> {
        match path {
            ["consumers", _, "oauth2", ..] => Some(Self::Applications),
            ["consumers", ..] => Some(Self::Consumers),
            ["oauth2" | "clients" | "api_keys" | "scopes", ..] => Some(Self::Applications),
            ["oauth2_tokens" | "grants" | "revocations", ..] => Some(Self::Tokens),
            ["signing_keys", ..] => Some(Self::Keys),
            ["users", ..] => Some(Self::Users),
            ["audit"] => Some(Self::Audit),
            ["status" | "services" | "routes" | "plugins" | "openapi.json"] => Some(Self::Status),
            ["export" | "import"] => Some(Self::Everything),
            _ => None,
        }
    }
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Looking at a resource.
    Read(Resource),
    /// Looking at and changing a resource.
    Write(Resource),
}

impl Scope {
    /// The scope of a name: `admin`, or a resource with `:read` or `:write`.
    pub fn of(name: &str) -> Option<Self> {
        if name == "admin" {
            return Some(Self::Admin);
        }
        let (resource, right) = name.split_once(':')?;
        let found = Resource::NAMES.iter().find(|(known, _)| *known == resource);
        let (_, resource) = *found?;
        match right {
            "read" => Some(Self::Read(resource)),
            "write" => Some(Self::Write(resource)),
            _ => None,
        }
    }

    /// The names of all scopes, for messages.
    pub fn names() -> Vec<String> {
        let both = |(name, _): &(&str, Resource)| [format!("{name}:read"), format!("{name}:write")];
        let mut names: Vec<String> = Resource::NAMES.iter().flat_map(both).collect();
        names.push("admin".into());
        names
    }
}

/// Whether scopes allow a request.
pub(super) fn allows(scopes: &[Scope], resource: Resource, writes: bool) -> bool {
    scopes.iter().any(|scope| match scope {
        Scope::Admin => true,
        Scope::Write(of) => *of == resource,
        Scope::Read(of) => *of == resource && !writes,
    })
}

/// The `admin_token` definition.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its label.
    pub label: String,
    /// SHA-256 of its value.
    pub hash: Digest,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub not_after: Option<Millis>,
}

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// `host:port` names that the listener answers to, in lower case.
    pub hosts: Vec<String>,
    /// Origins of browser programs that may ask.
    pub origins: Vec<String>,
    /// Tokens, one of which is needed; without any everybody on this machine may ask for everything.
    pub tokens: Vec<Token>,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) scopes: Vec<Scope>,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The request is for another host: a foreign name may lead here.
    Host,
    /// A page of another site asks.
    Origin,
    /// There is no token.
    Missing,
    /// The token is none of ours, or its time is over.
    Token,
}

impl From<Refused> for Reply {
    fn from(refused: Refused) -> Self {
        let (status, message) = match refused {
            Refused::Host => (StatusCode::MISDIRECTED_REQUEST, "no such host here"),
            Refused::Origin => (StatusCode::FORBIDDEN, "the origin is not allowed"),
            Refused::Missing | Refused::Token => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        };
        let mut reply = Self::json(status, &json!({"message": message}));
        match refused {
            Refused::Missing => {
                reply.header(header::WWW_AUTHENTICATE, "Bearer realm=\"admin\"");
            }
            Refused::Token => reply.header(
                header::WWW_AUTHENTICATE,
                "Bearer realm=\"admin\", error=\"invalid_token\"",
            ),
            Refused::Host | Refused::Origin => {}
        }
        reply
    }
}

impl Guard {
    /// Lets somebody in, or not. Host and origin come before credentials (AS-ADM-2).
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        by_socket: bool,
        now: Millis,
    ) -> Result<Actor, Refused> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or("").to_ascii_lowercase();
        if !by_socket && !self.hosts.contains(&host) {
            return Err(Refused::Host);
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = text(header::ORIGIN).unwrap_or("");
            if !self.origins.iter().any(|known| known == origin) {
                return Err(Refused::Origin);
            }
        }
        if self.tokens.is_empty() {
            return Ok(Actor {
                name: "admin:local".into(),
                scopes: vec![Scope::Admin],
            });
        }
        let given = text(header::AUTHORIZATION).ok_or(Refused::Missing)?;
        let token = given
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(Refused::Missing)?;
        let hash = Digest::of(token);
        // Digests are of one length, and which of them fits is no secret.
        let fits = |known: &&Token| {
            crate::crypto::constant_time::equal(&known.hash.0, &hash.0)
                && known.not_after.is_none_or(|end| now < end)
        };
        match self.tokens.iter().find(fits) {
            Some(token) => Ok(Actor {
                name: format!("admin:{}", token.label),
                scopes: token.scopes.clone(),
            }),
            None => {
                event("admin_login_failed", &[("token_ref", &hash.reference())]);
                Err(Refused::Token)
            }
        }
    }
}

/// A line of type `as_event`.
pub(super) fn event(name: &str, fields: &[(&str, &str)]) {
    if !sink::enabled(Level::Info) {
        return;
    }
    sink::write("as_event", Level::Info, SystemTime::now(), b"", |entry| {
        entry.string("event", name.as_bytes());
        for (name, value) in fields {
            entry.string(name, value.as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard {
            hosts: vec!["localhost:8001".into()],
            origins: vec!["https://ops.example".into()],
            tokens: vec![Token {
                label: "ops".into(),
                hash: Digest::of("good"),
                scopes: vec![Scope::of("consumers:write").unwrap()],
                not_after: Some(Millis(100)),
            }],
        }
    }

    fn admit(
        guard: &Guard,
        headers: &[(&'static str, &'static str)],
        now: i64,
    ) -> Result<String, Refused> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect();
        guard
            .admit(&headers, false, Millis(now))
            .map(|actor| actor.name)
    }

    #[test]
    fn host_then_origin_then_token() {
        let guard = guard();
        let host = ("host", "localhost:8001");
        let good = ("authorization", "bearer good");
        let refused = |headers: &[_]| admit(&guard, headers, 0).unwrap_err();
        assert_eq!(refused(&[("host", "evil.example"), good]), Refused::Host);
        assert_eq!(refused(&[good]), Refused::Host);
        let foreign = ("origin", "https://evil.example");
        assert_eq!(refused(&[host, foreign, good]), Refused::Origin);
        assert_eq!(refused(&[host]), Refused::Missing);
        assert_eq!(
            refused(&[host, ("authorization", "Basic good")]),
            Refused::Missing
        );
        assert_eq!(
            refused(&[host, ("authorization", "Bearer bad")]),
            Refused::Token
        );
        let own = ("origin", "https://ops.example");
        assert_eq!(admit(&guard, &[host, own, good], 0), Ok("admin:ops".into()));
        assert_eq!(admit(&guard, &[host, good], 100), Err(Refused::Token));
    }

    #[test]
    fn scopes_allow_their_resource() {
        let scope = |name| Scope::of(name).unwrap();
        let (write, read) = (scope("consumers:write"), scope("consumers:read"));
        assert!(allows(&[write], Resource::Consumers, true));
        assert!(allows(&[write], Resource::Consumers, false));
        assert!(!allows(&[write], Resource::Tokens, false));
        assert!(allows(&[read], Resource::Consumers, false));
        assert!(!allows(&[read], Resource::Consumers, true));
        assert!(allows(&[Scope::Admin], Resource::Everything, true));
        assert!(!allows(&[write], Resource::Everything, false));
        for name in Scope::names() {
            assert!(Scope::of(&name).is_some(), "{name}");
        }
        assert_eq!(Scope::of("consumers"), None);
        assert_eq!(Scope::of("nothing:read"), None);
    }
}
