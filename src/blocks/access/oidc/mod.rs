//! `oidc`: the callback of a log-in with a provider of `OpenID`.
//!
//! ```hcl
//! oidc "login" {
//!   configuration_url = "https://as.example/.well-known/openid-configuration"
//!   client_id         = "my-client"
//!   client_secret     = "my-secret"
//!   redirect_uri      = "/callback"
//!   verifier_value    = request.cookies.verifier
//! }
//! ```

mod configuration;
mod id_token;

use super::authorization_code::{Callback, Flow, denied};
use super::jwt::KeySet;
use super::login::{Login, Protocol};
use super::remote::{Generation, HOUR, Location, Remote, Renew as _, Settings};
use super::{Authenticate, Verdict};
use crate::blocks::backend::{self, Backend, Origin};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::blocks::{
    Definitions, Fingerprint, client_authentication, error_handler, jwt_signing_profile,
};
use crate::clock::Clock;
use crate::error::Error;
use crate::expr::{Fractions, Program, Scope, Value};
use crate::http::exchange::Exchange;
use crate::http::fetch::Fetch;
use crate::oauth::client::authorization_code::VerifierMethod;
use bytes::Bytes;
use configuration::Configuration;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use id_token::{Expected, Fault, IdToken};
use std::sync::Arc;
use std::time::Duration;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "oidc",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("configuration_url", Kind::String, "URL of the configuration document.").required(),
        AttributeSchema::start("configuration_ttl", Kind::Duration, "Lifetime of the document.").default("1h"),
        AttributeSchema::start("configuration_max_stale", Kind::Duration, "Further lifetime while it cannot be renewed.").default("1h"),
        AttributeSchema::start("jwks_ttl", Kind::Duration, "Lifetime of the key set.").default("1h"),
        AttributeSchema::start("jwks_max_stale", Kind::Duration, "Further lifetime while it cannot be renewed.").default("1h"),
        AttributeSchema::start("client_id", Kind::String, "Client identifier.").required(),
        AttributeSchema::start("client_secret", Kind::String, "Client secret."),
        AttributeSchema::start("token_endpoint_auth_method", Kind::String, "How the client authenticates.").one_of(&client_authentication::METHODS).default("client_secret_basic"),
        AttributeSchema::start("redirect_uri", Kind::String, "URL of the callback, or its path.").required(),
        AttributeSchema::start("scope", Kind::String, "Scopes beside `openid`, separated by blanks."),
        AttributeSchema::start("verifier_method", Kind::String, "What ties the callback to the browser that began; by default what the provider supports.").one_of(&["ccm_s256", "nonce"]),
        AttributeSchema::request("verifier_value", Kind::String, "The verifier, usually from a cookie.").required(),
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend, for all requests to the provider.").refers_to("backend"),
        AttributeSchema::start("configuration_backend", Kind::String, "Backend of the configuration document.").refers_to("backend"),
        AttributeSchema::start("jwks_uri_backend", Kind::String, "Backend of the key set.").refers_to("backend"),
        AttributeSchema::start("token_backend", Kind::String, "Backend of the token endpoint.").refers_to("backend"),
        AttributeSchema::start("userinfo_backend", Kind::String, "Backend of the userinfo endpoint.").refers_to("backend"),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[Child::optional(&backend::SCHEMA), Child::optional(&jwt_signing_profile::SCHEMA), Child::many(&error_handler::SCHEMA)],
    rules: &[Rule::OneOf(&["backend", "backend {}"])],
    docs: "The callback of a log-in with an OpenID provider, whose endpoints and keys come from its configuration document.",
    example: r#"server {
  access_control = ["login"]
  endpoint "/" {
    response {}
  }
}

definitions {
  oidc "login" {
    configuration_url = "https://as.example/.well-known/openid-configuration"
    client_id         = "my-client"
    client_secret     = "my-secret"
    redirect_uri      = "/callback"
    verifier_value    = request.cookies.verifier
  }
}
"#,
};

/// Longest answer of the userinfo endpoint.
const MAX_USERINFO_BYTES: u64 = 1024 * 1024;
/// Longest wait for it.
const USERINFO_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of a provider.
#[derive(Debug)]
struct Provider {
    flow: Flow,
    /// `verifier_method`; without it the document decides.
    method: Option<VerifierMethod>,
    configuration: Arc<Remote<Configuration>>,
    keys: Arc<KeySet>,
    userinfo_backend: Arc<Backend>,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    let general = Backend::of(reader, definitions);
    let backend = |name: &str| match reader.filled(name) {
        Some(label) => definitions.backend(&label),
        None => general.clone(),
    };
    let configuration_backend = backend("configuration_backend");
    let (keys_backend, userinfo_backend) =
        (backend("jwks_uri_backend"), backend("userinfo_backend"));
    let token_backend = backend("token_backend");
    let method = match reader.choice("verifier_method") {
        None if reader.filled("verifier_method").is_some() => return None,
        method => method.and_then(VerifierMethod::of),
    };
    let duration = |name: &str| reader.duration(name).map_or(HOUR, |time| time.value);
    let url = reader.required("configuration_url")?;
    let given = reader.has("backend") || reader.inner("backend").is_some();
    if Origin::parse(&url).is_none() && !given && !reader.has("configuration_backend") {
        let span = reader.attribute("configuration_url")?.value_span;
        let message = format!("`configuration_url`: `{url}` is no usable URL");
        reader.bad_value(span, message);
        return None;
    }
    let scope = reader.string("scope").map(|scope| scope.value);
    let flow = Flow::read(reader, scopes(scope.as_deref()), token_backend?)?;
    let label = flow.label();
    let identity = |what| Fingerprint::of(what).block(reader.block, definitions);
    let settings = Settings {
        label: Arc::clone(label),
        name: Arc::clone(label),
        location: Location::Fixed(url),
        backend: configuration_backend?,
        ttl: duration("configuration_ttl"),
        max_stale: duration("configuration_max_stale"),
    };
    let cx = reader.cx;
    let configuration: Arc<Remote<Configuration>> =
        cx.keep(identity("provider"), || Remote::new(settings));
    let settings = Settings {
        label: Arc::clone(label),
        name: "jwks".into(),
        location: Location::In(Arc::clone(&configuration) as _),
        backend: keys_backend?,
        ttl: duration("jwks_ttl"),
        max_stale: duration("jwks_max_stale"),
    };
    let keys: Arc<KeySet> = cx.keep(identity("provider's keys"), || Remote::new(settings));
    definitions.add_remote(Arc::clone(&configuration) as _);
    definitions.add_remote(Arc::clone(&keys) as _);
    let provider = Arc::new(Provider {
        method,
        configuration,
        keys,
        userinfo_backend: userinfo_backend?,
        flow,
    });
    definitions.add_login(
        Protocol::OAuth2,
        provider.flow.label(),
        Arc::clone(&provider) as _,
    );
    Some(Box::new(Oidc(provider)))
}

/// `openid`, which is always asked for, and what else is.
fn scopes(configured: Option<&str>) -> String {
    let configured = configured.unwrap_or_default().split_ascii_whitespace();
    let others = configured.filter(|scope| *scope != "openid");
    let all: Vec<&str> = std::iter::once("openid").chain(others).collect();
    all.join(" ")
}

impl Provider {
    fn method(&self, configuration: &Configuration) -> VerifierMethod {
        self.method
            .unwrap_or_else(|| configuration.verifier_method())
    }

    fn no_configuration(&self) -> String {
        let url = self.configuration.settings().location.url();
        let url = url.unwrap_or_default();
        format!("the configuration of the provider cannot be had from {url}")
    }

    async fn configuration(&self) -> Result<Arc<Generation<Configuration>>, Error> {
        if !self.configuration.is_settled() {
            self.configuration.settle().await;
        }
        let current = self.configuration.current(Clock::System.now());
        current.ok_or_else(|| denied(self.no_configuration()))
    }

    /// Checks an ID token, if need be with keys that are fetched for it.
    async fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<IdToken, Error> {
        if !self.keys.is_settled() {
            self.keys.settle().await;
        }
        for fetched in [false, true] {
            let now = Clock::System.now();
            let Some(keys) = self.keys.current(now) else {
                let url = self.keys.settings().location.url().unwrap_or_default();
                return Err(denied(format!("no usable key set from {url}")));
            };
            match id_token::verify(token, &keys.content, expected) {
                Ok(token) => return Ok(token),
                Err(Fault::Invalid(why)) => return Err(denied(why)),
                Err(Fault::UnknownKey) => {}
            }
            if fetched || !self.keys.fetch_early(now).await {
                break;
            }
        }
        Err(denied("ID token: no key for the token's `kid` and `alg`"))
    }

    /// Claims about the user, who must be the one of the ID token (`OpenID` Connect Core 1.0 §5.3.2).
    async fn userinfo(
        &self,
        endpoint: &str,
        access_token: &str,
        subject: &str,
        exchange: &Exchange,
    ) -> Result<Value<'static>, Error> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {access_token}"))
            .map_err(|_| denied("the access token is no header value"))?;
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let fetch = Fetch {
            name: self.flow.label(),
            url: endpoint,
            method: Method::GET,
            headers,
            body: Bytes::new(),
            max_bytes: MAX_USERINFO_BYTES,
            timeout: USERINFO_TIMEOUT,
        };
        let failed = |why: &dyn std::fmt::Display| {
            denied(format!("userinfo request to {endpoint} failed: {why}"))
        };
        let (uid, worker) = (Some(exchange.id), &exchange.worker);
        let answer = fetch.send_for(&self.userinfo_backend, uid, exchange, worker);
        let answer = answer.await.map_err(|error| failed(&error))?;
        if answer.status != StatusCode::OK {
            return Err(failed(&format!("status {}, expected 200", answer.status)));
        }
        let claims = Value::from_json(&answer.body, Fractions::Double)
            .map_err(|_| failed(&"the answer is no JSON"))?
            .into_owned();
        match text(&claims, b"sub") {
            Some(found) if found == subject => Ok(claims),
            Some(_) => Err(failed(&"`sub` is not that of the ID token")),
            None => Err(failed(&"there is no `sub`")),
        }
    }

    /// Lets a callback in: gives what is known of the user.
    async fn admit(&self, exchange: &Exchange) -> Result<Value<'static>, Error> {
        let generation = self.configuration().await?;
        let configuration = &*generation.content;
        let method = self.method(configuration);
        let callback: Callback =
            self.flow
                .callback(exchange, method, Some(&configuration.issuer))?;
        let endpoint = &configuration.token_endpoint;
        let answer = self.flow.tokens(endpoint, method, &callback, exchange);
        let answer = answer.await?;
        let id_token = text(&answer, b"id_token");
        let id_token = id_token.ok_or_else(|| denied("the token response has no `id_token`"))?;
        let nonce = (method == VerifierMethod::Nonce).then(|| callback.nonce());
        let expected = Expected {
            issuer: &configuration.issuer,
            client_id: &self.flow.client.client_id,
            nonce: nonce.as_deref(),
            now: Clock::System.unix().seconds_f64(),
        };
        let id_token = self.verify(id_token, &expected).await?;
        let userinfo = match &configuration.userinfo_endpoint {
            None => None,
            Some(endpoint) => {
                let token = text(&answer, b"access_token").unwrap_or_default();
                let asked = self.userinfo(endpoint, token, &id_token.subject, exchange);
                Some(asked.await?)
            }
        };
        let mut members = match answer {
            Value::Object(fields) => fields.into_vec(),
            _ => Vec::new(),
        };
        members.retain(|(name, _)| !matches!(name.as_bytes(), b"id_token_claims" | b"userinfo"));
        members.push(("id_token_claims".into(), id_token.claims));
        members.extend(userinfo.map(|claims| ("userinfo".into(), claims)));
        Ok(Value::object(members))
    }
}

/// A member that is a string.
fn text<'v>(object: &'v Value<'_>, name: &[u8]) -> Option<&'v str> {
    object.as_fields()?.get(name)?.as_str()
}

impl Login for Provider {
    fn url(&self, scope: &dyn Scope) -> Result<String, String> {
        let current = self.configuration.current(Clock::System.now());
        let configuration = &current.ok_or_else(|| self.no_configuration())?.content;
        let method = self.method(configuration);
        self.flow
            .url(&configuration.authorization_endpoint, method, scope)
    }
}

/// The callback: who comes there with a code is let in.
#[derive(Debug)]
struct Oidc(Arc<Provider>);

impl Authenticate for Oidc {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        Verdict::Later(Box::pin(async move {
            let user = self.0.admit(exchange).await?;
            exchange.set_context(label, Arc::new(user));
            Ok(())
        }))
    }

    fn programs(&self) -> Vec<&Program> {
        let userinfo = self.0.userinfo_backend.programs();
        self.0.flow.programs().chain(userinfo).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::scopes;

    #[test]
    fn openid_is_always_asked_for_once() {
        assert_eq!(scopes(None), "openid");
        assert_eq!(scopes(Some("email  profile")), "openid email profile");
        assert_eq!(scopes(Some("email openid")), "openid email");
    }
}
