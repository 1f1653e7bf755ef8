//! The authorization code flow as plain data: the URL where the user logs in, and what comes back
//! (RFC 6749 §4.1, RFC 7636, `OpenID` Connect Core 1.0 §3.1).
//!
//! One secret, the verifier, ties the two together. It stays with the browser, usually in a cookie;
//! what others see is its SHA-256.

use super::token_request::encode_form;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What ties an answer to the browser that began the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifierMethod {
    /// `ccm_s256`: PKCE, checked by the token endpoint.
    Pkce,
    /// The parameter `state` of the answer.
    State,
    /// The claim `nonce` of the ID token.
    Nonce,
}

impl VerifierMethod {
    /// The method of a name in the configuration.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "ccm_s256" => Some(Self::Pkce),
            "state" => Some(Self::State),
            "nonce" => Some(Self::Nonce),
            _ => None,
        }
    }
}

/// What is sent, and compared, in place of a verifier: base64url of its SHA-256, 43 characters.
pub fn hashed(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// What the authorization endpoint is asked for.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The endpoint; a query of its own is kept.
    pub endpoint: &'a str,
    /// Client identifier.
    pub client_id: &'a str,
    /// Absolute URL of the callback.
    pub redirect_uri: &'a str,
    /// Sent unless empty.
    pub scope: &'a str,
    /// How the answer is tied to the browser.
    pub method: VerifierMethod,
    /// The verifier.
    pub verifier: &'a str,
}

impl AuthorizationRequest<'_> {
    /// The URL to send the browser to.
    pub fn url(&self) -> String {
        let hash = hashed(self.verifier);
        let mut params = vec![
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
        ];
        if !self.scope.is_empty() {
            params.push(("scope", self.scope));
        }
        match self.method {
            VerifierMethod::Pkce => {
                params.push(("code_challenge_method", "S256"));
                params.push(("code_challenge", &hash));
            }
            VerifierMethod::State => params.push(("state", &hash)),
            VerifierMethod::Nonce => params.push(("nonce", &hash)),
        }
        with_params(self.endpoint, &params)
    }
}

/// A URL with parameters added to those of its own. A fragment has no place in it.
pub fn with_params(url: &str, params: &[(&str, &str)]) -> String {
    let mut url = url.split('#').next().unwrap_or("").to_owned();
    let mut separator = match url.find('?') {
        None => "?",
        Some(at) if at + 1 == url.len() => "",
        Some(_) => "&",
    };
    for (name, value) in params {
        url.push_str(separator);
        encode_form(&mut url, name);
        url.push('=');
        encode_form(&mut url, value);
        separator = "&";
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_carry_one_tie() {
        // The verifier and challenge of RFC 7636 Appendix B.
        let request = AuthorizationRequest {
            endpoint: "https://as.example/authorize?tenant=1#x",
            client_id: "my client",
            redirect_uri: "http://localhost:8080/cb",
            scope: "a b",
            method: VerifierMethod::Pkce,
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        };
        let start = "https://as.example/authorize?tenant=1&response_type=code&client_id=my+client\
                     &redirect_uri=http%3A%2F%2Flocalhost%3A8080%2Fcb";
        let hash = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(
            request.url(),
            format!("{start}&scope=a+b&code_challenge_method=S256&code_challenge={hash}")
        );
        for (method, name) in [
            (VerifierMethod::State, "state"),
            (VerifierMethod::Nonce, "nonce"),
        ] {
            let request = AuthorizationRequest {
                scope: "",
                method,
                ..request
            };
            assert_eq!(request.url(), format!("{start}&{name}={hash}"));
        }
    }

    #[test]
    fn parameters_follow_those_of_the_endpoint() {
        assert_eq!(
            with_params("http://a/b", &[("c", "d&")]),
            "http://a/b?c=d%26"
        );
        assert_eq!(with_params("http://a/b?", &[("c", "d")]), "http://a/b?c=d");
        assert_eq!(with_params("http://a?x", &[]), "http://a?x");
    }
}
