//! Where users are sent to log in: the functions that give the URL, and the blocks that know it.

use crate::expr::function::{Args, Arity, Function};
use crate::expr::variable::{Field, Variable};
use crate::expr::{Scope, Value};
use crate::oauth::client::authorization_code::hashed;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// An access control whose users log in elsewhere.
pub trait Login: std::fmt::Debug + Send + Sync {
    /// The URL to send the browser to. The error says why there is none.
    fn url(&self, scope: &dyn Scope) -> Result<String, String>;
}

/// The protocol of a login, each with a function of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// `beta_oauth2` and `oidc`.
    OAuth2,
    /// `saml`
    Saml,
}

/// Logins by protocol and label.
pub type Table = BTreeMap<(Protocol, String), Arc<dyn Login>>;

/// The logins of a configuration. Filled once all definitions are read, since the functions are
/// looked up before.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    table: Arc<OnceLock<Table>>,
}

impl Logins {
    /// The functions that use them.
    pub fn functions(&self) -> Vec<Arc<dyn Function>> {
        let url = |protocol| LoginUrl {
            protocol,
            logins: self.clone(),
        };
        vec![
            Arc::new(url(Protocol::OAuth2)),
            Arc::new(url(Protocol::Saml)),
            Arc::new(Verifier { hashed: false }),
            Arc::new(Verifier { hashed: true }),
        ]
    }

    /// Sets the logins.
    pub fn fill(&self, table: Table) {
        // A second call would be a fault of the loader; the first table stays.
        let _ = self.table.set(table);
    }
}

/// An absolute URL as it is; another one at the origin of the client's request.
pub fn absolute(url: &str, scope: &dyn Scope) -> Result<String, String> {
    let scheme = url.split([':', '/', '?', '#']).next().unwrap_or("");
    let named = url[scheme.len()..].starts_with(':')
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    if named {
        return Ok(url.to_owned());
    }
    let origin = scope.variable(&ORIGIN);
    let origin = origin.as_str().ok_or("there is no request")?;
    let slash = if url.starts_with('/') { "" } else { "/" };
    Ok(format!("{origin}{slash}{url}"))
}

static ORIGIN: Variable = Variable::Request(Field::Origin);

/// `oauth2_authorization_url(label)`, `saml_sso_url(label)`
#[derive(Debug)]
struct LoginUrl {
    protocol: Protocol,
    logins: Logins,
}

impl Function for LoginUrl {
    fn name(&self) -> &str {
        match self.protocol {
            Protocol::OAuth2 => "oauth2_authorization_url",
            Protocol::Saml => "saml_sso_url",
        }
    }

    fn signature(&self) -> &'static str {
        match self.protocol {
            Protocol::OAuth2 => "oauth2_authorization_url(label)",
            Protocol::Saml => "saml_sso_url(label)",
        }
    }

    fn docs(&self) -> &'static str {
        match self.protocol {
            Protocol::OAuth2 => {
                "Where to send the browser to log in for the `beta_oauth2` or `oidc` of that label."
            }
            Protocol::Saml => "Where to send the browser to log in for the `saml` of that label.",
        }
    }

    fn arity(&self) -> Arity {
        Arity {
            min: 1,
            max: Some(1),
        }
    }

    fn reads(&self) -> &[Variable] {
        std::slice::from_ref(&ORIGIN)
    }

    fn is_login(&self) -> bool {
        true
    }

    fn call<'s>(&'s self, args: Args<'s>, scope: &'s dyn Scope) -> Result<Value<'s>, String> {
        let label = args.first().and_then(Value::as_str);
        let label = label.ok_or("the label must be a string")?;
        let key = (self.protocol, label.to_owned());
        let login = self.logins.table.get().and_then(|table| table.get(&key));
        let login = login.ok_or_else(|| {
            let blocks = match self.protocol {
                Protocol::OAuth2 => "no `beta_oauth2` and no `oidc`",
                Protocol::Saml => "no `saml`",
            };
            format!("{blocks} has the label `{label}`")
        })?;
        login.url(scope).map(Value::from)
    }
}

/// `oauth2_verifier()`, `internal_oauth_hashed_verifier()`
#[derive(Debug)]
struct Verifier {
    hashed: bool,
}

impl Function for Verifier {
    fn name(&self) -> &str {
        if self.hashed {
            "internal_oauth_hashed_verifier"
        } else {
            "oauth2_verifier"
        }
    }

    fn signature(&self) -> &'static str {
        if self.hashed {
            "internal_oauth_hashed_verifier()"
        } else {
            "oauth2_verifier()"
        }
    }

    fn docs(&self) -> &'static str {
        if self.hashed {
            "Base64url of the SHA-256 of `oauth2_verifier()`."
        } else {
            "A secret of 43 random characters that ties the callback of a login to the browser; the same within one request."
        }
    }

    fn arity(&self) -> Arity {
        Arity {
            min: 0,
            max: Some(0),
        }
    }

    fn is_login(&self) -> bool {
        true
    }

    fn call<'s>(&'s self, _: Args<'s>, scope: &'s dyn Scope) -> Result<Value<'s>, String> {
        let verifier = scope.verifier().ok_or("there is no request")?;
        Ok(if self.hashed {
            Value::from(hashed(verifier))
        } else {
            Value::from(verifier)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At;

    impl Scope for At {
        fn variable<'s>(&'s self, _: &'s Variable) -> Value<'s> {
            Value::from("https://here:8443")
        }
    }

    #[test]
    fn relative_urls_are_at_the_origin_of_the_request() {
        for (given, wanted) in [
            ("/cb", "https://here:8443/cb"),
            ("cb?a=b:c", "https://here:8443/cb?a=b:c"),
            ("http://there/cb", "http://there/cb"),
        ] {
            assert_eq!(absolute(given, &At).as_deref(), Ok(wanted));
        }
        assert!(absolute("/cb", &crate::expr::Nothing).is_err());
    }
}
