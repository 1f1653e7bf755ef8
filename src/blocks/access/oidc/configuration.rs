//! The provider's configuration document (`OpenID` Connect Discovery 1.0 §3).

use crate::blocks::access::remote::{Document, Locate, Remote};
use crate::oauth::client::authorization_code::VerifierMethod;
use serde::Deserialize;
use tokio::sync::watch;

/// What is used of the document.
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    /// The name of the provider in ID tokens.
    pub(super) issuer: String,
    /// Where the user logs in.
    pub(super) authorization_endpoint: String,
    /// Where a code is exchanged for tokens.
    pub(super) token_endpoint: String,
    /// Where the keys are.
    pub(super) jwks_uri: String,
    /// Where claims about the user are.
    pub(super) userinfo_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
}

impl Configuration {
    /// What ties a callback to its browser, unless the block says it.
    pub(super) fn verifier_method(&self) -> VerifierMethod {
        let supported = &self.code_challenge_methods_supported;
        if supported.iter().any(|method| method == "S256") {
            VerifierMethod::Pkce
        } else {
            VerifierMethod::Nonce
        }
    }
}

impl Document for Configuration {
    const WHAT: &'static str = "provider configuration";
    const ERROR_TYPE: &'static str = "oidc";
    const ACCEPT: &'static str = "application/json";
    const MAX_BYTES: u64 = 256 * 1024;

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        // A derived struct would also read a list, member by member.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err("no JSON object".to_owned());
        }
        let found: Self =
            serde_json::from_slice(bytes).map_err(|error| match error.classify() {
                // Names the member; no value is quoted.
                serde_json::error::Category::Data => error.to_string(),
                _ => "no JSON object".to_owned(),
            })?;
        for (name, url) in [
            ("issuer", &found.issuer),
            ("authorization_endpoint", &found.authorization_endpoint),
            ("token_endpoint", &found.token_endpoint),
            ("jwks_uri", &found.jwks_uri),
        ] {
            if url.is_empty() {
                return Err(format!("`{name}` is empty"));
            }
        }
        Ok(found)
    }
}

impl Locate for Remote<Configuration> {
    fn url(&self) -> Option<String> {
        // The same document brings no change to wait for when the provider is back, so the keys stay
        // where they were.
        Some(self.latest()?.content.jwks_uri.clone())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        Self::changes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#""issuer":"i","authorization_endpoint":"a","token_endpoint":"t""#;

    fn parse(members: &str) -> Result<Configuration, String> {
        Configuration::parse(format!("{{{members}}}").as_bytes())
    }

    #[test]
    fn the_method_follows_the_document() {
        let with = |more: &str| {
            let found = parse(&format!("{LEAST},\"jwks_uri\":\"j\"{more}")).unwrap();
            found.verifier_method()
        };
        assert_eq!(with(""), VerifierMethod::Nonce);
        assert_eq!(
            with(r#","code_challenge_methods_supported":["plain"]"#),
            VerifierMethod::Nonce
        );
        assert_eq!(
            with(r#","code_challenge_methods_supported":["plain","S256"]"#),
            VerifierMethod::Pkce
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(parse(LEAST).unwrap_err().contains("jwks_uri"));
        assert_eq!(
            parse(&format!("{LEAST},\"jwks_uri\":\"\"")).unwrap_err(),
            "`jwks_uri` is empty"
        );
        for text in ["", "[]", "<html>", "[\"i\",\"a\",\"t\",\"j\",null,[]]"] {
            assert_eq!(
                Configuration::parse(text.as_bytes()).unwrap_err(),
                "no JSON object"
            );
        }
    }
}
