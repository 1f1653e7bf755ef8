//! `jwt`: a signed token (RFC 7519) in a header, cookie or expression.
//!
//! ```hcl
//! jwt "token" {
//!   signature_algorithm = "HS256"
//!   key                 = "a secret of at least thirty-two bytes"
//! }
//! ```

mod cache;
mod dpop;
mod keys;
mod permissions;
mod source;
mod verify;

use super::introspection::{self, Introspection, Question, State};
use super::remote::{Document, Remote, Renew as _};
use super::{Authenticate, Verdict};
use crate::blocks::error_handler;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::blocks::{Definitions, Fingerprint, backend};
use crate::crypto::jwks::MAX_DOCUMENT_BYTES;
use crate::crypto::{Algorithm, Jwks};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::Program;
use crate::http::exchange::Exchange;
pub use cache::{Digest, digest_bytes};
use http::{HeaderValue, header};
use keys::{InForce, Keys};
use permissions::Permissions;
use source::Source;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "jwt",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("bearer", Kind::Bool, "Token from `Authorization: Bearer`."),
        AttributeSchema::start(
            "beta_dpop",
            Kind::Bool,
            "Token from `Authorization: DPoP`, with a proof for each request (RFC 9449).",
        ),
        AttributeSchema::start("header", Kind::String, "Token from this header, as it is."),
        AttributeSchema::start("cookie", Kind::String, "Token from this cookie."),
        AttributeSchema::request("token_value", Kind::String, "Token from an expression."),
        AttributeSchema::start(
            "signature_algorithm",
            Kind::String,
            "The algorithm of signatures.",
        )
        .one_of(&Algorithm::NAMES),
        AttributeSchema::start("key", Kind::String, "Secret, public key or certificate."),
        AttributeSchema::start("key_file", Kind::Path, "File with the key."),
        AttributeSchema::start("jwks_url", Kind::String, "URL or file of a key set."),
        AttributeSchema::start("jwks_ttl", Kind::Duration, "Lifetime of the set.").default("1h"),
        AttributeSchema::start(
            "jwks_max_stale",
            Kind::Duration,
            "Further lifetime while it cannot be renewed.",
        )
        .default("1h"),
        AttributeSchema::start("backend", Kind::String, "Backend of `jwks_url`.")
            .refers_to("backend"),
        AttributeSchema::request(
            "claims",
            Kind::Object,
            "Claims with the values they must have.",
        ),
        AttributeSchema::start(
            "required_claims",
            Kind::Strings,
            "Claims that must be there.",
        ),
        AttributeSchema::start("leeway", Kind::Duration, "Tolerance for `exp` and `nbf`.")
            .default("1s"),
        AttributeSchema::start(
            "disable_private_caching",
            Kind::Bool,
            "Do not add `Cache-Control: private`.",
        ),
        AttributeSchema::start("permissions_claim", Kind::String, "Claim with permissions."),
        AttributeSchema::start(
            "permissions_map",
            Kind::Object,
            "Permissions that permissions grant.",
        ),
        AttributeSchema::start("permissions_map_file", Kind::Path, "File with such a map."),
        AttributeSchema::start("roles_claim", Kind::String, "Claim with roles."),
        AttributeSchema::start("roles_map", Kind::Object, "Permissions that roles grant."),
        AttributeSchema::start("roles_map_file", Kind::Path, "File with such a map."),
        AttributeSchema::start(
            "signing_ttl",
            Kind::Duration,
            "Makes the label usable in `jwt_sign`.",
        ),
        AttributeSchema::start("signing_key", Kind::String, "Private key for that, as PEM."),
        AttributeSchema::start("signing_key_file", Kind::Path, "File with that key."),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::optional(&introspection::SCHEMA),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[],
    docs: "A signed token in a header, cookie or expression.",
    example: r#"server {
  access_control = ["token"]
  endpoint "/" {
    response {}
  }
}

definitions {
  jwt "token" {
    signature_algorithm = "HS256"
    key                 = "a secret of at least thirty-two bytes"
  }
}
"#,
};

#[derive(Debug)]
struct Jwt {
    source: Source,
    keys: Keys,
    claims: Option<Program>,
    required_claims: Vec<String>,
    leeway: Duration,
    permissions: Permissions,
    private: bool,
    cache: Arc<cache::Verified>,
    introspection: Option<Introspection>,
    proofs: Option<Arc<dpop::Proofs>>,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    let source = Source::read(reader);
    let claims = reader.program("claims");
    if let Some(claims) = &claims {
        verify::check_literal_claims(reader, claims);
    }
    let required_claims = reader.strings("required_claims").map(|list| list.value);
    let permissions = Permissions::read(reader);
    let leeway = reader
        .duration("leeway")
        .map_or(Duration::from_secs(1), |d| d.value);
    let private = !reader.boolean("disable_private_caching").unwrap_or(false);
    let keys = Keys::read(reader, definitions);
    let introspection = match reader.inner("beta_introspection") {
        None => None,
        Some(block) => {
            let inner = Reader::new(reader.cx, block, &introspection::SCHEMA);
            Some(Introspection::read(inner, definitions)?)
        }
    };
    let source = source?;
    Some(Box::new(Jwt {
        proofs: source.is_dpop().then(|| {
            // A proof is good once, whatever else changes.
            let identity = Fingerprint::of("proofs").text(reader.block.label());
            reader.cx.keep(identity, dpop::Proofs::default)
        }),
        source,
        keys: keys?,
        claims,
        required_claims: required_claims
            .into_iter()
            .flatten()
            .map(|name| name.value)
            .collect(),
        leeway,
        permissions,
        private,
        cache: reader.cx.keep(
            Fingerprint::of("verified").block(reader.block, definitions),
            cache::Verified::default,
        ),
        introspection,
    }))
}

/// The challenge of a scheme (RFC 6750 §3, RFC 9449 §7.1), for tokens from `Authorization`.
macro_rules! challenges {
    ($kind:expr, $first:expr, $separator:literal) => {
        match $kind {
            ErrorKind::JwtTokenMissing => Some($first),
            ErrorKind::JwtTokenInvalid => {
                Some(concat!($first, $separator, "error=\"invalid_token\""))
            }
            ErrorKind::JwtTokenExpired => Some(concat!(
                $first,
                $separator,
                "error=\"invalid_token\", error_description=\"The access token expired\""
            )),
            ErrorKind::JwtTokenInactive => Some(concat!(
                $first,
                $separator,
                "error=\"invalid_token\", error_description=\"The access token is inactive\""
            )),
            _ => None,
        }
    };
}

/// The scheme of proofs of possession with what it says of itself.
macro_rules! dpop {
    () => {
        "DPoP algs=\"RS256 RS384 RS512 ES256 ES384 ES512\""
    };
}

fn challenge(source: &Source, kind: ErrorKind) -> Option<&'static str> {
    match source {
        Source::Bearer => challenges!(kind, "Bearer", " "),
        Source::Dpop => challenges!(kind, dpop!(), ", "),
        Source::Header(_) | Source::Cookie(_) | Source::Value(_) => None,
    }
}

/// What a challenge begins with if the token is good but grants too little.
fn scope_challenge(source: &Source) -> Option<&'static str> {
    match source {
        Source::Bearer => Some("Bearer "),
        Source::Dpop => Some(concat!(dpop!(), ", ")),
        Source::Header(_) | Source::Cookie(_) | Source::Value(_) => None,
    }
}

/// A token that passed all checks that need no waiting.
struct Passed {
    verified: Arc<verify::Verified>,
    /// What is still to be asked about it.
    question: Option<Question>,
}

/// Why a token is not verified yet.
enum Obstacle {
    /// It never will be.
    Denied(Error),
    /// The first fetch of the key set is under way.
    KeysPending,
    /// The set lacks the key that the token names; a newer one may have it.
    UnknownKey(Error),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self::Denied(error)
    }
}

impl Jwt {
    /// The token, verified without waiting.
    fn verified(&self, exchange: &Exchange) -> Result<Passed, Obstacle> {
        let token = self.source.token(exchange)?;
        let clock = crate::clock::Clock::System;
        let (now, monotonic) = (clock.unix().seconds_f64(), clock.now());
        let keys = match (self.keys.in_force(monotonic), &self.keys) {
            (Some(keys), _) => keys,
            (None, Keys::Url(set)) if set.is_settled() => {
                return Err(no_key_set(set, monotonic).into());
            }
            (None, _) => return Err(Obstacle::KeysPending),
        };
        let key = (keys.generation(), cache::digest(&token));
        let verified = match self.cache.get(&key) {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(self.verify(&token, &keys)?);
                verified.check_times(now, self.leeway)?;
                self.cache.insert(key, Arc::clone(&verified));
                verified
            }
        };
        verified.check_times(now, self.leeway)?;
        verify::check_claims(self.claims.as_ref(), exchange, &verified)?;
        if let Some(proofs) = &self.proofs {
            proofs.check(exchange, &key.1, &verified, self.leeway)?;
        }
        let question = match &self.introspection {
            None => None,
            Some(introspection) => match introspection.known(&key.1) {
                Some(State::Active) => None,
                Some(State::Inactive) => return Err(inactive().into()),
                None => Some(Question {
                    token: token.into_owned().into(),
                    digest: key.1,
                    exp: verified.exp,
                    nbf: verified.nbf,
                }),
            },
        };
        Ok(Passed { verified, question })
    }

    /// Asks what is still to be asked.
    async fn introspected(&self, exchange: &Exchange, passed: Passed) -> Result<Passed, Error> {
        if let (Some(introspection), Some(question)) = (&self.introspection, &passed.question) {
            let asking = introspection.ask(question, exchange.id, &exchange.worker);
            if asking.await? == State::Inactive {
                return Err(inactive());
            }
        }
        Ok(passed)
    }

    /// What does not depend on the request, once for each token.
    fn verify(&self, token: &str, keys: &InForce<'_>) -> Result<verify::Verified, Obstacle> {
        let mut verified = verify::verify(token, keys, &self.required_claims)?;
        verified.permissions = self.permissions.of(&verified.claims);
        Ok(verified)
    }

    /// The same, after what there is to wait for.
    async fn verified_later(
        &self,
        exchange: &Exchange,
        mut obstacle: Obstacle,
    ) -> Result<Passed, Error> {
        let Keys::Url(set) = &self.keys else {
            return self.verified(exchange).map_err(Obstacle::into_error);
        };
        if matches!(obstacle, Obstacle::KeysPending) {
            set.settle().await;
            obstacle = match self.verified(exchange) {
                Ok(verified) => return Ok(verified),
                Err(Obstacle::KeysPending) => {
                    return Err(no_key_set(set, crate::clock::Clock::System.now()));
                }
                Err(obstacle) => obstacle,
            };
        }
        if let Obstacle::UnknownKey(error) = obstacle {
            if !set.fetch_early(crate::clock::Clock::System.now()).await {
                return Err(error);
            }
            return self.verified(exchange).map_err(Obstacle::into_error);
        }
        Err(obstacle.into_error())
    }

    /// Lets a request with a verified token in.
    fn admit(&self, label: &Arc<str>, exchange: &mut Exchange, verified: &verify::Verified) {
        exchange.set_context(label, Arc::clone(&verified.claims));
        if let Some(beginning) = scope_challenge(&self.source) {
            exchange.scope_challenge.get_or_insert(beginning);
        }
        if self.permissions.grants() {
            exchange.grant(&verified.permissions);
        }
    }

    fn with_challenge(&self, error: Error) -> Error {
        match challenge(&self.source, error.kind()) {
            Some(text) => {
                error.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(text))
            }
            None => error,
        }
    }
}

/// A key set at a URL.
pub type KeySet = Remote<Jwks>;

impl Document for Jwks {
    const WHAT: &'static str = "key set";
    const ERROR_TYPE: &'static str = "jwks";
    const ACCEPT: &'static str = "application/jwk-set+json, application/json";
    const MAX_BYTES: u64 = MAX_DOCUMENT_BYTES as u64;

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        Self::parse(bytes).map_err(|error| error.to_string())
    }

    fn remark(&self) -> Option<String> {
        let skipped = self.skipped();
        (skipped > 0).then(|| format!("{skipped} keys of the set cannot be used"))
    }
}

/// The error of a request that finds no set: the fault is not the token's.
fn no_key_set(set: &KeySet, now: Instant) -> Error {
    let url = set.settings().location.url().unwrap_or_default();
    let message = format!("no usable key set from {url}");
    unavailable(message, set.next_attempt(now))
}

/// `jwt_unavailable` with the time after which another attempt makes sense.
pub fn unavailable(message: String, wait: Duration) -> Error {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Error::new(ErrorKind::JwtUnavailable, message)
        .with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

fn inactive() -> Error {
    Error::new(ErrorKind::JwtTokenInactive, "token is not active")
}

impl Obstacle {
    fn into_error(self) -> Error {
        match self {
            Self::Denied(error) | Self::UnknownKey(error) => error,
            Self::KeysPending => unavailable("no key set yet".to_owned(), Duration::from_secs(1)),
        }
    }
}

impl Authenticate for Jwt {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        match self.verified(exchange) {
            Ok(Passed {
                verified,
                question: None,
            }) => {
                self.admit(label, exchange, &verified);
                Verdict::Now(Ok(()))
            }
            Err(Obstacle::Denied(error)) => Verdict::Now(Err(self.with_challenge(error))),
            outcome => Verdict::Later(Box::pin(async move {
                let passed = match outcome {
                    Ok(passed) => Ok(passed),
                    Err(obstacle) => self.verified_later(exchange, obstacle).await,
                };
                let passed = match passed {
                    Ok(passed) => self.introspected(exchange, passed).await,
                    Err(error) => Err(error),
                };
                let passed = passed.map_err(|error| self.with_challenge(error))?;
                self.admit(label, exchange, &passed.verified);
                Ok(())
            })),
        }
    }

    fn makes_private(&self) -> bool {
        self.private
    }

    fn default_types(&self) -> &'static [ErrorKind] {
        if !self.source.is_bearer() && !self.source.is_dpop() {
            return &[];
        }
        &[
            ErrorKind::JwtTokenMissing,
            ErrorKind::JwtTokenInvalid,
            ErrorKind::JwtTokenExpired,
            ErrorKind::JwtTokenInactive,
        ]
    }

    fn programs(&self) -> Vec<&Program> {
        self.claims.iter().chain(self.source.program()).collect()
    }
}
