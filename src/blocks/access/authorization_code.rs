//! The authorization code flow that `beta_oauth2` and `oidc` share: the URL to log in, the checks
//! of the callback, and the token request.

use super::login::absolute;
use crate::blocks::backend::Backend;
use crate::blocks::client_authentication::ClientAuthentication;
use crate::blocks::form;
use crate::blocks::reader::Reader;
use crate::crypto::constant_time::secrets_equal;
use crate::error::{Error, Kind};
use crate::expr::{Fractions, Program, Scope, Value};
use crate::http::exchange::Exchange;
use crate::http::token;
use crate::oauth::client::authorization_code::{AuthorizationRequest, VerifierMethod, hashed};
use crate::oauth::client::token_request::{Grant, TokenForm, TokenRequest};
use crate::oauth::client::token_response::printable;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;

/// What both blocks configure alike.
#[derive(Debug)]
pub(super) struct Flow {
    label: Arc<str>,
    /// The client.
    pub(super) client: ClientAuthentication,
    redirect_uri: String,
    scope: String,
    verifier_value: Program,
    backend: Arc<Backend>,
}

/// A callback that belongs to the browser, as far as can be told before the token request.
#[derive(Debug)]
pub(super) struct Callback {
    code: SecretString,
    verifier: SecretString,
}

/// The fault of a callback; the reason is for the log alone.
pub(super) fn denied(why: impl Into<String>) -> Error {
    Error::new(Kind::OAuth2, why)
}

impl Flow {
    /// Reads what both blocks have; `backend` is that of the token endpoint.
    pub(super) fn read(reader: Reader<'_>, scope: String, backend: Arc<Backend>) -> Option<Self> {
        let client = ClientAuthentication::read(reader, "token_endpoint_auth_method");
        let verifier_value = reader.program("verifier_value");
        let redirect_uri = reader.required("redirect_uri");
        Some(Self {
            label: reader.block.label().trim().into(),
            client: client?,
            redirect_uri: redirect_uri?,
            scope,
            verifier_value: verifier_value?,
            backend,
        })
    }

    /// The URL where the user logs in.
    pub(super) fn url(
        &self,
        endpoint: &str,
        method: VerifierMethod,
        scope: &dyn Scope,
    ) -> Result<String, String> {
        let request = AuthorizationRequest {
            endpoint,
            client_id: &self.client.client_id,
            redirect_uri: &absolute(&self.redirect_uri, scope)?,
            scope: &self.scope,
            method,
            verifier: scope.verifier().ok_or("there is no request")?,
        };
        Ok(request.url())
    }

    /// Checks what came back by the browser. `issuer` is what a parameter `iss` must name
    /// (RFC 9207), where the server is known by a name.
    pub(super) fn callback(
        &self,
        exchange: &Exchange,
        method: VerifierMethod,
        issuer: Option<&str>,
    ) -> Result<Callback, Error> {
        if exchange.method != Method::GET {
            return Err(denied(format!(
                "the callback takes GET, found {}",
                exchange.method
            )));
        }
        let query = exchange.uri.query().unwrap_or("");
        if let Some(error) = param(query, "error")? {
            let mut why = format!("the authorization server says: error={}", printable(&error));
            if let Some(description) = param(query, "error_description")? {
                why.push_str(&format!(", error_description={}", printable(&description)));
            }
            return Err(denied(why));
        }
        let code = param(query, "code")?.filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| denied("missing code query parameter"))?;
        if let (Some(issuer), Some(given)) = (issuer, param(query, "iss")?)
            && given != issuer
        {
            return Err(denied("the parameter `iss` is not the provider's issuer"));
        }
        let verifier = self.verifier(exchange)?;
        if method == VerifierMethod::State {
            let state = param(query, "state")?;
            let state = state.ok_or_else(|| denied("missing state query parameter"))?;
            let wanted = hashed(verifier.expose_secret());
            if !secrets_equal(state.as_bytes(), wanted.as_bytes()) {
                return Err(denied("state mismatch"));
            }
        }
        Ok(Callback {
            code: code.into(),
            verifier,
        })
    }

    fn verifier(&self, exchange: &Exchange) -> Result<SecretString, Error> {
        let value = self
            .verifier_value
            .eval(exchange)
            .map_err(|error| denied(format!("`verifier_value`: {}", error.message)))?;
        let text = value.as_str().map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Err(denied("empty verifier_value"));
        }
        Ok(text.to_owned().into())
    }

    /// Exchanges the code for tokens; gives the whole answer.
    pub(super) async fn tokens(
        &self,
        endpoint: &str,
        method: VerifierMethod,
        callback: &Callback,
        exchange: &Exchange,
    ) -> Result<Value<'static>, Error> {
        let redirect_uri = absolute(&self.redirect_uri, exchange).map_err(denied)?;
        let pkce = method == VerifierMethod::Pkce;
        let form = TokenForm::of(Grant::AuthorizationCode {
            code: &callback.code,
            redirect_uri: &redirect_uri,
            code_verifier: pkce.then_some(&callback.verifier),
        });
        let request = self
            .client
            .with(Some(endpoint), |auth| TokenRequest::new(&form, auth))
            .map_err(denied)?;
        let call = token::CodeExchange {
            name: &self.label,
            endpoint,
            backend: &self.backend,
            secrets: [self.client.secret(), &callback.code, &callback.verifier],
        };
        let body = call.send(request, exchange).await;
        let body = body.map_err(|failure| denied(failure.to_string()))?;
        Value::from_json(&body, Fractions::Double)
            .map(Value::into_owned)
            .map_err(|_| denied(format!("the answer of {endpoint} is no JSON object")))
    }

    /// The expressions.
    pub(super) fn programs(&self) -> impl Iterator<Item = &Program> {
        std::iter::once(&self.verifier_value).chain(self.backend.programs())
    }

    /// The name of its requests in the log.
    pub(super) fn label(&self) -> &Arc<str> {
        &self.label
    }
}

impl Callback {
    /// What a claim `nonce` must be.
    pub(super) fn nonce(&self) -> String {
        hashed(self.verifier.expose_secret())
    }
}

/// A parameter, which must not be there twice (RFC 6749 §3.1).
fn param(query: &str, name: &str) -> Result<Option<String>, Error> {
    let mut found = None;
    for (key, value) in form::pairs(query.as_bytes(), true) {
        if key != name.as_bytes() {
            continue;
        }
        let value = String::from_utf8(value)
            .map_err(|_| denied(format!("the parameter `{name}` is no text")))?;
        if found.replace(value).is_some() {
            return Err(denied(format!("the parameter `{name}` is there twice")));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_once() {
        let query = "code=a%20b&code2=x&state=&code=c";
        assert_eq!(param("x&code=a+b", "code").unwrap().as_deref(), Some("a b"));
        assert_eq!(param(query, "state").unwrap().as_deref(), Some(""));
        assert_eq!(param(query, "iss").unwrap(), None);
        assert!(param(query, "code").is_err());
        assert!(param("code=%ff", "code").is_err());
    }
}
