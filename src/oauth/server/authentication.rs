//! Client authentication (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2): who asks.

use super::answer::{Notes, Request};
use super::backing::{known, millis};
use super::client::{AuthMethod, Client, Digest, SecretForm, sha256};
use super::fault::{Condition, Fault};
use super::limits::Consequence;
use super::parameters::{Parameters, decode};
use super::paths::Endpoint;
use super::{Server, event, now};
use crate::crypto::jws::{self, Parsed};
use crate::crypto::{Algorithm, VerifyingKey};
use crate::store::Millis;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use secrecy::{ExposeSecret as _, SecretString};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The one type of client assertions.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest assertion.
const MAX_ASSERTION: usize = 8 << 10;
/// How far ahead an assertion may end, and how long ago it may have been made.
const ASSERTION_AGE: f64 = 300.0;
/// How far clocks may differ.
const SKEW: f64 = 30.0;

/// A client that has proven who it is; public clients only claim it.
#[derive(Debug)]
pub struct Caller {
    /// Who.
    pub client: Arc<Client>,
    /// How.
    pub method: AuthMethod,
    /// Thumbprint of the certificate that was shown.
    pub certificate: Option<Digest>,
}

/// What a request says about its client.
enum Claim<'r> {
    Assertion(&'r str),
    /// Id and secret, decoded, and as they came where that differs.
    Basic(Pair<'r>, Option<Pair<'r>>),
    Post(Pair<'r>),
    Id(&'r str),
}

type Pair<'r> = (Cow<'r, str>, Cow<'r, str>);

/// Whether a request has an `Authorization` of a scheme.
fn has_scheme(request: &Request<'_>, scheme: &str) -> bool {
    let value = request.headers.get(header::AUTHORIZATION);
    value.is_some_and(|value| {
        let given = value.as_bytes().split(|byte| *byte == b' ').next();
        given.is_some_and(|given| given.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}

/// Whether credentials came in a header.
pub(super) fn in_header(request: &Request<'_>) -> bool {
    has_scheme(request, "Basic")
}

/// User and password of a `Basic` value, without and with form decoding.
fn basic(value: &[u8]) -> Option<(Pair<'static>, Option<Pair<'static>>)> {
    let text = STANDARD.decode(value.get(6..)?.trim_ascii()).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    let raw = (Cow::Owned(id.to_owned()), Cow::Owned(secret.to_owned()));
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    match (decode(id.as_bytes()), decode(secret.as_bytes())) {
        (Ok(id), Ok(secret)) => {
            let decoded = (own(id), own(secret));
            let differs = decoded != raw;
            Some((decoded, differs.then_some(raw)))
        }
        _ => Some((raw, None)),
    }
}

/// Finds the one claim of a request (AS-CA-1).
fn claim<'r>(
    server: &Server,
    request: &Request<'_>,
    parameters: &'r Parameters<'_>,
) -> Result<Option<Claim<'r>>, Fault> {
    let id = parameters.get("client_id");
    let secret = parameters.get("client_secret");
    let assertion = parameters.get("client_assertion");
    let mut fields = request.headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Fault::about(
            Condition::Parameter,
            "more than one Authorization field",
        ));
    }
    let header = field.filter(|_| in_header(request));
    let post = id.zip(secret);
    let count = usize::from(assertion.is_some())
        + usize::from(header.is_some())
        + usize::from(secret.is_some());
    let pair = |(id, secret): (&'r str, &'r str)| (Cow::Borrowed(id), Cow::Borrowed(secret));
    if server.dialect.body_wins
        && let Some(post) = post
    {
        return Ok(Some(Claim::Post(pair(post))));
    }
    if count > 1 {
        return Err(Fault::new(Condition::ClientTwice));
    }
    if let Some(assertion) = assertion {
        return match parameters.get("client_assertion_type") {
            Some(ASSERTION_TYPE) => Ok(Some(Claim::Assertion(assertion))),
            Some(_) => Err(Fault::about(
                Condition::Parameter,
                "client_assertion_type is not supported",
            )),
            None => Err(Fault::about(
                Condition::ParameterMissing,
                "client_assertion_type",
            )),
        };
    }
    if let Some(value) = header {
        let Some((decoded, raw)) = basic(value.as_bytes()) else {
            return Err(Fault::new(Condition::ClientHeader).because("malformed credentials"));
        };
        if let Some(id) = id
            && id != decoded.0
            && raw.as_ref().is_none_or(|raw| raw.0 != id)
        {
            return Err(Fault::new(Condition::ClientDiffers));
        }
        return Ok(Some(Claim::Basic(decoded, raw)));
    }
    Ok(match (post, id) {
        (Some(post), _) => Some(Claim::Post(pair(post))),
        (None, Some(id)) => Some(Claim::Id(id)),
        (None, None) => None,
    })
}

impl Server {
    /// Who asks, or why that is not known.
    pub(super) async fn authenticate(
        &self,
        request: &Request<'_>,
        parameters: &Parameters<'_>,
        notes: &mut Notes,
    ) -> Result<Caller, Fault> {
        let Some(claim) = claim(self, request, parameters)? else {
            return Err(Fault::new(Condition::ClientMissing));
        };
        let failure = match claim {
            Claim::Basic(..) => Condition::ClientHeader,
            Claim::Assertion(_) | Claim::Post(_) | Claim::Id(_) => Condition::ClientBody,
        };
        let parsed = match &claim {
            Claim::Assertion(text) => Some(parse_assertion(text, failure)?),
            Claim::Basic(..) | Claim::Post(_) | Claim::Id(_) => None,
        };
        let id: Cow<'_, str> = match (&claim, &parsed) {
            (Claim::Basic(pair, _) | Claim::Post(pair), _) => Cow::Borrowed(&pair.0),
            (Claim::Id(id), _) => Cow::Borrowed(id),
            (Claim::Assertion(_), parsed) => {
                let subject = parsed.as_ref().and_then(|token| text(token, "sub"));
                let subject = subject.ok_or_else(|| Fault::new(failure).because("no subject"))?;
                if parameters.get("client_id").is_some_and(|id| id != subject) {
                    return Err(Fault::new(Condition::ClientDiffers));
                }
                Cow::Borrowed(subject)
            }
        };
        notes.client_id = Some(id.chars().take(255).collect());
        let monotonic = crate::clock::Clock::System.now();
        self.not_blocked(&id, request, monotonic)?;
        let outcome = match &claim {
            Claim::Assertion(_) => {
                let client = self.client(&id).await?;
                self.by_assertion(request, client, parsed.as_ref()).await?
            }
            Claim::Basic(pair, raw) => {
                self.by_secret(AuthMethod::Basic, pair, raw.as_ref())
                    .await?
            }
            Claim::Post(pair) => self.by_secret(AuthMethod::Post, pair, None).await?,
            Claim::Id(id) => {
                let client = self.client(id).await?;
                by_name(request, client)
            }
        };
        let outcome = outcome.and_then(|(client, method)| {
            if !client.allows(request.peer.address) {
                return Err(Why::Failed("the address is not one of `allowed_ips`"));
            }
            Ok((client, method))
        });
        match outcome {
            Ok((client, method)) => {
                notes.client_id = Some(client.id.to_string());
                notes.auth_method = Some(method.name());
                notes.authenticated = true;
                Ok(Caller {
                    client,
                    method,
                    certificate: request.peer.certificate.as_deref().map(sha256),
                })
            }
            Err(Why::PublicSecret) => Err(Fault::new(Condition::ClientPublicSecret)),
            Err(Why::Failed(detail)) => {
                self.note_failure(&id, request, monotonic).await;
                Err(Fault::new(failure).because(detail))
            }
        }
    }

    fn not_blocked(&self, id: &str, request: &Request<'_>, at: Instant) -> Result<(), Fault> {
        match self.state.failures.blocked(id, request.peer.address, at) {
            None => Ok(()),
            Some(wait) => Err(too_many(wait)),
        }
    }

    async fn note_failure(&self, id: &str, request: &Request<'_>, at: Instant) {
        let address = request.peer.address;
        event::client_auth_failed(self, id, &address.to_string());
        match self.state.failures.failed(id, address, at) {
            Consequence::None => {}
            Consequence::Delay(wait) => {
                event::write(self, "client_auth_bruteforce", &[("client_id", id)]);
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// Id and secret; where they do not fit, once more as they came on the wire.
    async fn by_secret(
        &self,
        method: AuthMethod,
        pair: &Pair<'_>,
        raw: Option<&Pair<'_>>,
    ) -> Result<Outcome, Fault> {
        let first = self.with_secret(method, pair).await?;
        match (first, raw) {
            (Err(Why::Failed(_)), Some(raw)) => self.with_secret(method, raw).await,
            (first, _) => Ok(first),
        }
    }

    async fn with_secret(
        &self,
        method: AuthMethod,
        (id, secret): &Pair<'_>,
    ) -> Result<Outcome, Fault> {
        let client = self.client(id).await?;
        let Some(client) = client.filter(|client| client.enabled) else {
            self.waste_time(secret).await?;
            return Ok(Err(Why::Failed("unknown or disabled client")));
        };
        let accepted = match client.method {
            AuthMethod::Basic | AuthMethod::Post => client.method == method || !client.strict,
            AuthMethod::None if secret.is_empty() => return Ok(Ok((client, AuthMethod::None))),
            AuthMethod::None => return Ok(Err(Why::PublicSecret)),
            AuthMethod::SecretJwt
            | AuthMethod::PrivateKeyJwt
            | AuthMethod::Tls
            | AuthMethod::SelfSignedTls => false,
        };
        // The same work in every case.
        let right = self.verify_secret(&client, secret).await?;
        Ok(match (accepted, right) {
            (true, true) => Ok((client, method)),
            (false, true) => Err(Why::Failed("not the client's method")),
            (_, false) => Err(Why::Failed("wrong secret")),
        })
    }

    /// Whether a secret is one of the client's.
    pub(crate) async fn verify_secret(&self, client: &Client, secret: &str) -> Result<bool, Fault> {
        let digest = sha256(secret.as_bytes());
        let mut right = false;
        let mut hashed = Vec::new();
        for known in client.live_secrets(now()) {
            match (known.form.matches(&digest), &known.form) {
                (Some(matches), _) => right |= matches,
                (None, SecretForm::Hashed(candidate)) => hashed.push(candidate.clone()),
                (None, SecretForm::Plain(..) | SecretForm::Digest(_)) => {}
            }
        }
        if right || hashed.is_empty() {
            return Ok(right);
        }
        let presented = SecretString::from(secret);
        let vault = self.backing.vault();
        let found = vault.recognise(client.pk, &hashed, &presented).await;
        let Some(found) = found.map_err(Fault::from)? else {
            return Ok(false);
        };
        if let Some(store) = self.backing.store() {
            if let Some(hash) = found.rehash {
                known(store.rehash_secret(found.id, hash)).await?;
            }
            known(store.touch_client(client.pk, Some(found.id), millis())).await?;
        }
        Ok(true)
    }

    /// A signed assertion (RFC 7523 §3).
    async fn by_assertion(
        &self,
        request: &Request<'_>,
        client: Option<Arc<Client>>,
        token: Option<&Parsed<'_>>,
    ) -> Result<Outcome, Fault> {
        let once = match self.judge_assertion(request, client, token) {
            Ok(once) => once,
            Err(why) => return Ok(Err(why)),
        };
        let first = self.backing.first_use(once.digest, once.until).await?;
        Ok(if first {
            Ok((once.client, once.method))
        } else {
            Err(Why::Failed("assertion: its `jti` was used before"))
        })
    }

    fn judge_assertion(
        &self,
        request: &Request<'_>,
        client: Option<Arc<Client>>,
        token: Option<&Parsed<'_>>,
    ) -> Result<Once, Why> {
        let (Some(client), Some(token)) = (client.filter(|client| client.enabled), token) else {
            return Err(Why::Failed("unknown or disabled client"));
        };
        let method = client.method;
        match method {
            AuthMethod::PrivateKeyJwt => {
                let keys = client.keys.as_ref().ok_or(Why::Failed("no keys"))?;
                keys.verify(token, &Algorithm::ASYMMETRIC)
                    .map_err(|_| Why::Failed("assertion: no key of the client verifies it"))?;
            }
            AuthMethod::SecretJwt => verify_by_secret(&client, token)?,
            AuthMethod::Basic
            | AuthMethod::Post
            | AuthMethod::Tls
            | AuthMethod::SelfSignedTls
            | AuthMethod::None => return Err(Why::Failed("not the client's method")),
        }
        let (digest, until) = self.check_assertion(request, &client, token)?;
        Ok(Once {
            client,
            method,
            digest,
            until,
        })
    }

    fn check_assertion(
        &self,
        request: &Request<'_>,
        client: &Client,
        token: &Parsed<'_>,
    ) -> Result<(Digest, Millis), Why> {
        if token.header.typ().is_some_and(is_other_type) {
            return Err(Why::Failed("assertion: a token of another type"));
        }
        if text(token, "iss") != Some(&client.id) || text(token, "sub") != Some(&client.id) {
            return Err(Why::Failed("assertion: `iss` and `sub` must be the client"));
        }
        let audience =
            single_audience(token).ok_or(Why::Failed("assertion: `aud` must be a single value"))?;
        if !self.is_assertion_audience(audience, request) {
            return Err(Why::Failed("assertion: `aud` is another server"));
        }
        let now = now();
        let (at, time) = (now.seconds_f64(), |name| number(token, name));
        let exp = time("exp").ok_or(Why::Failed("assertion: `exp` is missing"))?;
        if at >= exp || exp > at + ASSERTION_AGE + SKEW {
            return Err(Why::Failed("assertion: `exp` is past or too far ahead"));
        }
        if time("iat").is_some_and(|iat| iat > at + SKEW || iat < at - ASSERTION_AGE)
            || time("nbf").is_some_and(|nbf| nbf > at + SKEW)
        {
            return Err(Why::Failed("assertion: made too long ago or not yet"));
        }
        let jti = text(token, "jti").filter(|jti| !jti.is_empty());
        let jti = jti.ok_or(Why::Failed("assertion: `jti` is missing"))?;
        let once = sha256(format!("assertion\0{}\0{jti}", client.id).as_bytes());
        let until = millis().plus(Duration::from_secs_f64((exp - at).max(0.0)));
        Ok((once, until))
    }

    pub(super) fn is_assertion_audience(&self, audience: &str, request: &Request<'_>) -> bool {
        if audience == self.issuer {
            return true;
        }
        !self.strict_assertion_audience
            && (self.url(Endpoint::Token).as_deref() == Some(audience)
                || self.url(request.endpoint).as_deref() == Some(audience))
    }
}

/// An assertion that is good, if it is used for the first time.
struct Once {
    client: Arc<Client>,
    method: AuthMethod,
    digest: Digest,
    until: Millis,
}

/// Why a client is not who it says.
enum Why {
    Failed(&'static str),
    PublicSecret,
}

type Outcome = Result<(Arc<Client>, AuthMethod), Why>;

/// A client that only names itself: a public one, or one with a certificate.
fn by_name(request: &Request<'_>, client: Option<Arc<Client>>) -> Outcome {
    let Some(client) = client.filter(|client| client.enabled) else {
        return Err(Why::Failed("unknown or disabled client"));
    };
    match client.method {
        AuthMethod::None => Ok((client, AuthMethod::None)),
        method @ (AuthMethod::Tls | AuthMethod::SelfSignedTls) => {
            let Some(shown) = &request.peer.certificate else {
                return Err(Why::Failed("no client certificate"));
            };
            if super::certificate::fits(&client, shown) {
                Ok((client, method))
            } else {
                Err(Why::Failed("another certificate"))
            }
        }
        AuthMethod::Basic
        | AuthMethod::Post
        | AuthMethod::SecretJwt
        | AuthMethod::PrivateKeyJwt => Err(Why::Failed("no credentials")),
    }
}

/// Too many requests; when to come back.
pub(super) fn too_many(wait: Duration) -> Fault {
    let mut fault = Fault::new(Condition::RateLimited);
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(60);
    fault.retry_after = Some(seconds.saturating_add(1));
    fault
}

fn parse_assertion(text: &str, failure: Condition) -> Result<Parsed<'_>, Fault> {
    if text.len() > MAX_ASSERTION {
        return Err(Fault::about(
            Condition::Parameter,
            "client_assertion is too long",
        ));
    }
    jws::parse(text).map_err(|error| Fault::new(failure).because(error.to_string()))
}

/// Types of tokens that are no assertions (RFC 8725 §3.11).
pub(super) fn is_other_type(typ: &str) -> bool {
    let typ = typ.strip_prefix("application/").unwrap_or(typ);
    [
        "at+jwt",
        "dpop+jwt",
        "oauth-authz-req+jwt",
        "token-introspection+jwt",
        "logout+jwt",
    ]
    .iter()
    .any(|known| typ.eq_ignore_ascii_case(known))
}

pub(super) fn text<'t>(token: &'t Parsed<'_>, name: &str) -> Option<&'t str> {
    token.claims.get(name)?.as_str()
}

pub(super) fn number(token: &Parsed<'_>, name: &str) -> Option<f64> {
    token.claims.get(name)?.as_f64()
}

/// `aud`, if it is one value.
pub(super) fn single_audience<'t>(token: &'t Parsed<'_>) -> Option<&'t str> {
    match token.claims.get("aud")? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Array(items) => match items.as_slice() {
            [only] => only.as_str(),
            _ => None,
        },
        _ => None,
    }
}

fn verify_by_secret(client: &Client, token: &Parsed<'_>) -> Result<(), Why> {
    let algorithms = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
    let algorithm = token
        .header
        .algorithm_among(&algorithms)
        .map_err(|_| Why::Failed("assertion: not an HMAC"))?;
    for secret in client.live_secrets(now()) {
        let SecretForm::Plain(secret, _) = &secret.form else {
            continue;
        };
        let key = VerifyingKey::from_secret(algorithm, secret.expose_secret().as_bytes());
        if key.is_ok_and(|key| token.verify(&key).is_ok()) {
            return Ok(());
        }
    }
    Err(Why::Failed("assertion: the signature is not the secret's"))
}

impl Server {
    /// Takes as long over an unknown client as over a known one, where any has a slow hash.
    async fn waste_time(&self, secret: &str) -> Result<(), Fault> {
        let hashed = |client: &Arc<Client>| {
            let mut secrets = client.secrets.iter();
            secrets.any(|secret| matches!(secret.form, SecretForm::Hashed(_)))
        };
        if !self.backing.has_store() && !self.clients.values().any(hashed) {
            return Ok(());
        }
        let presented = SecretString::from(secret);
        let vault = self.backing.vault();
        vault
            .recognise_nobody(&presented)
            .await
            .map_err(Fault::from)
    }
}
