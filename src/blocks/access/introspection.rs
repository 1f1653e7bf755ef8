//! `beta_introspection`: asks the issuer whether a token is still active (RFC 7662).
//!
//! ```hcl
//! beta_introspection {
//!   endpoint      = "http://localhost:8082/introspect"
//!   ttl           = "10s"
//!   client_id     = "my-client"
//!   client_secret = "my-secret"
//! }
//! ```

use super::jwt::{Digest, unavailable};
use crate::blocks::backend::{self, Backend};
use crate::blocks::client_authentication::{self, ClientAuthentication};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::blocks::{Definitions, Fingerprint, jwt_signing_profile};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, code};
use crate::error::Error;
use crate::http::fetch::{Answer, Fetch};
use crate::http::request_id::RequestId;
use crate::http::worker::Worker;
use crate::oauth::client::token_request::introspection_form;
use http::{Method, StatusCode};
use quick_cache::sync::Cache;
use secrecy::SecretString;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_introspection",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "endpoint",
            Kind::String,
            "URL of the introspection endpoint.",
        )
        .required(),
        AttributeSchema::start(
            "ttl",
            Kind::Duration,
            "How long an answer is kept; `0s` asks every time.",
        )
        .required(),
        AttributeSchema::start("client_id", Kind::String, "Client identifier.").required(),
        AttributeSchema::start("client_secret", Kind::String, "Client secret."),
        AttributeSchema::start(
            "endpoint_auth_method",
            Kind::String,
            "How the client authenticates.",
        )
        .one_of(&client_authentication::METHODS)
        .default(client_authentication::METHODS[0]),
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend.")
            .refers_to("backend"),
    ],
    groups: &[],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::optional(&jwt_signing_profile::SCHEMA),
    ],
    rules: &[Rule::OneOf(&["backend", "backend {}"])],
    docs: "Asks the issuer whether a token is still active (RFC 7662).",
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
    beta_introspection {
      endpoint      = "http://localhost:8082/introspect"
      ttl           = "10s"
      client_id     = "my-client"
      client_secret = "my-secret"
    }
  }
}
"#,
};

/// Longest answer.
const MAX_BYTES: u64 = 256 * 1024;
/// Longest wait, also for an answer that somebody else has asked for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Answers kept for one block.
const CAPACITY: usize = 8192;
/// When to come back after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Asks an endpoint about tokens.
///
/// Answers are kept for this block alone, by the digest of the token: what one authorization
/// server says must not open what another one guards.
pub struct Introspection {
    endpoint: String,
    ttl: Duration,
    client: ClientAuthentication,
    backend: Arc<Backend>,
    cache: Arc<Cache<Digest, Known>>,
}

/// A kept answer.
#[derive(Clone, Copy, Debug)]
struct Known {
    state: State,
    until: Instant,
}

/// What the endpoint says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is good.
    Active,
    /// It is not.
    Inactive,
}

/// What there is to ask, and what the token says about its times.
#[derive(Debug)]
pub struct Question {
    /// The token.
    pub token: SecretString,
    /// Its digest.
    pub digest: Digest,
    /// Its `exp`.
    pub exp: Option<f64>,
    /// Its `nbf`.
    pub nbf: Option<f64>,
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection")
            .field("endpoint", &self.endpoint)
            .field("answers", &self.cache.len())
            .finish_non_exhaustive()
    }
}

impl Introspection {
    /// Reads the block.
    pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let cx = reader.cx;
        let backend = Backend::of(reader, definitions);
        let client = ClientAuthentication::read(reader, "endpoint_auth_method");
        let endpoint = reader.string("endpoint");
        if let Some(url) = endpoint.as_ref().filter(|url| url.value.is_empty()) {
            let message = "`beta_introspection`: `endpoint` must not be empty";
            cx.report(Diagnostic::error(code::MISSING, url.span, message));
        }
        let identity = Fingerprint::of("introspection").block(reader.block, definitions);
        Some(Self {
            ttl: reader.duration("ttl")?.value,
            endpoint: endpoint.filter(|url| !url.value.is_empty())?.value,
            client: client?,
            backend: backend?,
            cache: cx.keep(identity, || Cache::new(CAPACITY)),
        })
    }

    /// The answer at hand.
    pub fn known(&self, digest: &Digest) -> Option<State> {
        if self.ttl.is_zero() {
            return None;
        }
        let known = self.cache.get(digest)?;
        known.is_fresh(Clock::System.now()).then_some(known.state)
    }

    /// Asks, once for all who wait for the same token. Failures are not kept.
    pub async fn ask(
        &self,
        question: &Question,
        uid: RequestId,
        worker: &Rc<Worker>,
    ) -> Result<State, Error> {
        let asking = async {
            if self.ttl.is_zero() {
                return self
                    .fetch(question, uid, worker)
                    .await
                    .map(|known| known.state);
            }
            loop {
                let entry = self.cache.get_value_or_guard_async(&question.digest).await;
                match entry {
                    Ok(known) if known.is_fresh(Clock::System.now()) => return Ok(known.state),
                    Ok(_) => {
                        let now = Clock::System.now();
                        self.cache
                            .remove_if(&question.digest, |known| !known.is_fresh(now));
                    }
                    Err(guard) => {
                        let known = self.fetch(question, uid, worker).await?;
                        // It fails when the entry was evicted meanwhile, which does no harm.
                        let _ = guard.insert(known);
                        return Ok(known.state);
                    }
                }
            }
        };
        match tokio::time::timeout(TIMEOUT, Box::pin(asking)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.failed(&"no answer within 10 s")),
        }
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> Error {
        let message = format!("introspection at {} failed: {why}", self.endpoint);
        unavailable(message, RETRY_AFTER)
    }

    async fn fetch(
        &self,
        question: &Question,
        uid: RequestId,
        worker: &Rc<Worker>,
    ) -> Result<Known, Error> {
        // Whom an assertion addresses only its profile can say.
        let form = self
            .client
            .with(None, |auth| introspection_form(&question.token, auth));
        let (headers, body) = form.map_err(|why| self.failed(&why))?;
        let fetch = Fetch {
            name: "introspection",
            url: &self.endpoint,
            method: Method::POST,
            headers,
            body: body.into(),
            max_bytes: MAX_BYTES,
            timeout: TIMEOUT,
        };
        let answer = fetch
            .send(&self.backend, Some(uid), worker)
            .await
            .map_err(|error| self.failed(&error))?;
        let (state, exp) = read(&answer).map_err(|why| self.failed(&why))?;
        Ok(self.keep(question, state, exp))
    }

    /// How long an answer is kept: never past the token's end.
    fn keep(&self, question: &Question, state: State, exp: Option<f64>) -> Known {
        let (now, monotonic) = (Clock::System.unix().seconds_f64(), Clock::System.now());
        let rest = question.exp.or(exp).map(|exp| {
            // A time too far away to be counted has no effect.
            Duration::try_from_secs_f64((exp - now).max(0.0)).unwrap_or(Duration::MAX)
        });
        let begun = question.nbf.is_none_or(|nbf| nbf <= now);
        let lifetime = match (state, rest) {
            // What has ended once does not come back.
            (State::Inactive, Some(rest)) if begun => rest,
            (_, rest) => rest.map_or(self.ttl, |rest| rest.min(self.ttl)),
        };
        let until = monotonic.checked_add(lifetime);
        Known {
            state,
            until: until.unwrap_or(monotonic + Duration::from_secs(86_400)),
        }
    }
}

impl Known {
    fn is_fresh(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// `active` and `exp` of an answer (RFC 7662 §2.2).
fn read(answer: &Answer) -> Result<(State, Option<f64>), String> {
    if answer.status != StatusCode::OK {
        return Err(format!("status {}, expected 200", answer.status));
    }
    if !answer.is_json() {
        return Err("the answer is not declared as JSON".to_owned());
    }
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&answer.body)
        .map_err(|_| "the answer is no JSON object".to_owned())?;
    let state = match members.get("active") {
        Some(serde_json::Value::Bool(true)) => State::Active,
        _ => State::Inactive,
    };
    Ok((
        state,
        members.get("exp").and_then(serde_json::Value::as_f64),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header};

    fn answer(status: u16, content_type: &'static str, body: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn only_true_is_active() {
        let json = |body| read(&answer(200, "application/json; charset=utf-8", body));
        assert_eq!(
            json(r#"{"active":true,"exp":7}"#),
            Ok((State::Active, Some(7.0)))
        );
        for body in [r#"{"active":"true"}"#, r#"{"active":1}"#, "{}"] {
            assert_eq!(json(body), Ok((State::Inactive, None)), "{body}");
        }
        for body in ["", "true", "[]", r#"{"active":true"#] {
            assert!(json(body).is_err(), "{body}");
        }
        assert!(read(&answer(200, "text/html", r#"{"active":true}"#)).is_err());
        assert!(read(&answer(201, "application/json", r#"{"active":true}"#)).is_err());
    }
}
