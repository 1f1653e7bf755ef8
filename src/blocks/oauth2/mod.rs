//! `oauth2` in a backend: fetches an access token and sends it as `Authorization: Bearer …`.
//!
//! ```hcl
//! oauth2 {
//!   grant_type     = "client_credentials"
//!   token_endpoint = "http://localhost:8082/token"
//!   client_id      = "my-client"
//!   client_secret  = "my-secret"
//! }
//! ```

mod grant;
mod subjects;

pub use subjects::SubjectTokens;

use super::Definitions;
use super::backend::series::show_token;
use super::backend::{self, Backend};
use super::client_authentication::{self, ClientAuthentication};
use super::fingerprint::Fingerprint;
use super::jwt_signing_profile::{self, Assertions, KeySource};
use super::reader::Reader;
use super::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, code};
use crate::expr::{Program, Scope};
use crate::oauth::client::token_cache::{Settings, TokenEntry};
use crate::oauth::client::token_request::{ClientAuth, OWN_PARAMETERS, TokenForm, TokenRequest};
use grant::{GrantSettings, Subject};
use secrecy::SecretString;
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "oauth2",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("grant_type", Kind::String, "The grant.")
            .one_of(&grant::GRANTS)
            .required(),
        AttributeSchema::start("backend", Kind::String, "Backend of the token endpoint.")
            .refers_to("backend"),
        AttributeSchema::start("token_endpoint", Kind::String, "URL of the token endpoint."),
        AttributeSchema::start(
            "token_endpoint_auth_method",
            Kind::String,
            "How the client authenticates.",
        )
        .one_of(&client_authentication::METHODS)
        .default("client_secret_basic"),
        AttributeSchema::start("client_id", Kind::String, "Client identifier."),
        AttributeSchema::start("client_secret", Kind::String, "Client secret."),
        AttributeSchema::start("scope", Kind::String, "Scopes, separated by blanks."),
        AttributeSchema::start("retries", Kind::Number, "Retries after a 401.").default("1"),
        AttributeSchema::start("audience", Kind::String, "Parameter `audience`."),
        AttributeSchema::start("resource", Kind::StringOrStrings, "Parameter `resource`."),
        AttributeSchema::start("extra_params", Kind::Object, "Further parameters."),
        AttributeSchema::start(
            "default_expires_in",
            Kind::Duration,
            "Lifetime of tokens whose endpoint names none.",
        )
        .default("60s"),
        AttributeSchema::start(
            "expiry_leeway",
            Kind::Duration,
            "How long before its end a token is renewed.",
        )
        .default("a tenth of the lifetime"),
        AttributeSchema::start("username", Kind::String, "Resource owner, for `password`."),
        AttributeSchema::start("password", Kind::String, "Their password."),
        AttributeSchema::request(
            "assertion",
            Kind::String,
            "The assertion of the grant `jwt-bearer`.",
        ),
        AttributeSchema::request(
            "subject_token",
            Kind::String,
            "The token that the grant `token-exchange` gives in exchange, such as the caller's \
             `request.headers.authorization`.",
        ),
        AttributeSchema::start("subject_token_type", Kind::String, "Its type, a URI.")
            .default(grant::ACCESS_TOKEN_TYPE),
        AttributeSchema::request(
            "actor_token",
            Kind::String,
            "The token of the party that acts for the subject, for `token-exchange`.",
        ),
        AttributeSchema::start("actor_token_type", Kind::String, "Its type, a URI.")
            .default(grant::ACCESS_TOKEN_TYPE),
        AttributeSchema::start(
            "requested_token_type",
            Kind::String,
            "The type of token that `token-exchange` asks for, a URI.",
        ),
    ],
    groups: &[],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::optional(&jwt_signing_profile::SCHEMA),
    ],
    rules: &[],
    docs: "Fetches an access token and sends it to the backend.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
    oauth2 {
      grant_type     = "client_credentials"
      token_endpoint = "http://localhost:8082/token"
      client_id      = "my-client"
      client_secret  = "my-secret"
    }
  }
}
"#,
};

/// Tokens for a backend: how they are fetched and where they are kept.
#[derive(Debug)]
pub struct OAuth2 {
    /// Label of the backend it fetches tokens for.
    pub label: Arc<str>,
    /// `retries`
    pub retries: u32,
    /// Fetches tokens.
    pub client: Arc<TokenClient>,
    tokens: Entries,
}

/// Where tokens are kept.
#[derive(Debug)]
enum Entries {
    /// One for all requests.
    Shared(Arc<TokenEntry>),
    /// One for each subject.
    PerSubject(Arc<SubjectTokens>),
}

/// A client of a token endpoint. It knows nothing of where its tokens are kept, so that a fetch under
/// way keeps alive nothing that a reload has dropped.
#[derive(Debug)]
pub struct TokenClient {
    /// The backend of the token endpoint.
    pub backend: Arc<Backend>,
    /// `token_endpoint`
    pub token_endpoint: String,
    grant: GrantSettings,
    /// None with the grant `jwt-bearer`.
    authentication: Option<ClientAuthentication>,
    scope: String,
    audience: String,
    resources: Vec<String>,
    extra: Vec<(String, String)>,
}

impl OAuth2 {
    /// Reads the block of the backend `label`. What is kept of its tokens is known by `owner`.
    pub fn read(
        reader: Reader<'_>,
        label: &Arc<str>,
        owner: &str,
        definitions: &Definitions<'_>,
    ) -> Option<Self> {
        let backend = Backend::of(reader, definitions);
        let grant = grant::read(reader);
        let authentication = (!grant::is_jwt_bearer(reader))
            .then(|| ClientAuthentication::read(reader, "token_endpoint_auth_method"));
        let settings = Settings {
            expiry_leeway: reader.duration("expiry_leeway").map(|leeway| leeway.value),
            default_expires_in: reader
                .duration("default_expires_in")
                .map_or(Settings::default().default_expires_in, |time| time.value),
        };
        let resources = reader.strings("resource").map_or_else(Vec::new, |list| {
            list.value.into_iter().map(|item| item.value).collect()
        });
        let (retries, extra) = (retries(reader), extra_params(reader));
        let client = TokenClient {
            token_endpoint: text(reader, "token_endpoint"),
            grant: grant?,
            authentication: match authentication {
                None => None,
                Some(authentication) => Some(authentication?),
            },
            scope: text(reader, "scope"),
            audience: text(reader, "audience"),
            resources,
            extra,
            backend: backend?,
        };
        let identity = Fingerprint::of("token").text(owner);
        let identity = identity.block(reader.block, definitions);
        let tokens = match &client.grant {
            GrantSettings::TokenExchange(_) => {
                Entries::PerSubject(reader.cx.keep(identity, || SubjectTokens::new(settings)))
            }
            _ => {
                let entry = || TokenEntry::new(settings, Clock::System);
                let entry = reader.cx.keep(identity, entry);
                show_token(reader.cx, &entry, label, "oauth2");
                Entries::Shared(entry)
            }
        };
        Some(Self {
            label: Arc::clone(label),
            retries,
            client: Arc::new(client),
            tokens,
        })
    }

    /// Where the token is kept that all requests share, if they do.
    pub fn shared(&self) -> Option<&Arc<TokenEntry>> {
        match &self.tokens {
            Entries::Shared(entry) => Some(entry),
            Entries::PerSubject(_) => None,
        }
    }

    /// Where the token for a request is kept. The error says why the request can get none, which is
    /// not for those who share a token with it.
    pub fn entry(&self, scope: &dyn Scope) -> Result<Arc<TokenEntry>, String> {
        match &self.tokens {
            Entries::Shared(entry) => Ok(Arc::clone(entry)),
            Entries::PerSubject(tokens) => {
                let subject = self.client.grant.subject(scope)?;
                Ok(tokens.entry(&subject))
            }
        }
    }
}

/// A token request, with the secrets that it took from the client's request.
#[derive(Debug)]
pub struct Prepared {
    /// The request.
    pub request: TokenRequest,
    /// Assertion, or subject's and actor's tokens.
    pub given: Vec<SecretString>,
}

impl TokenClient {
    /// The token request. The error says why there is no assertion or subject.
    pub fn request(&self, scope: &dyn Scope) -> Result<Prepared, String> {
        let subject = self.grant.subject(scope)?;
        let form = TokenForm {
            grant: self.grant.grant(&subject),
            scope: &self.scope,
            audience: &self.audience,
            resources: &self.resources,
            extra: &self.extra,
        };
        let request = match &self.authentication {
            None => TokenRequest::new(&form, &ClientAuth::None),
            Some(client) => client.with(Some(&self.token_endpoint), |auth| {
                TokenRequest::new(&form, auth)
            })?,
        };
        let given = match subject {
            Subject::None => Vec::new(),
            Subject::Assertion(assertion) => vec![assertion],
            Subject::Token { subject, actor } => [subject].into_iter().chain(actor).collect(),
        };
        Ok(Prepared { request, given })
    }

    /// Whether a request's own assertion or subject is usable: to be asked before the token that
    /// others share.
    pub fn check(&self, scope: &dyn Scope) -> Result<(), String> {
        match &self.grant {
            GrantSettings::Given(_) => self.grant.subject(scope).map(drop),
            // Settled by choosing the entry, or nothing of the request's.
            _ => Ok(()),
        }
    }

    /// The expressions, those of the token endpoint's backend included.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.backend.programs().chain(self.grant.programs())
    }

    /// What must not appear in messages, should the endpoint repeat it.
    pub fn secrets(&self) -> Vec<&SecretString> {
        let client = self.authentication.iter();
        let mut secrets: Vec<_> = client.map(ClientAuthentication::secret).collect();
        if let GrantSettings::Password { password, .. } = &self.grant {
            secrets.push(password);
        }
        secrets
    }
}

fn text(reader: Reader<'_>, name: &str) -> String {
    reader
        .string(name)
        .map(|text| text.value)
        .unwrap_or_default()
}

fn profile(reader: Reader<'_>, source: KeySource<'_>) -> Option<Assertions> {
    let block = reader.inner("jwt_signing_profile")?;
    let inner = Reader::new(reader.cx, block, &jwt_signing_profile::SCHEMA);
    Assertions::read(inner, source)
}

fn retries(reader: Reader<'_>) -> u32 {
    let Some(number) = reader.number("retries") else {
        return 1;
    };
    match u8::try_from(number.value) {
        Ok(retries) => u32::from(retries),
        Err(_) => {
            reader.bad_value(
                number.span,
                format!("`retries`: {} is over 255", number.value),
            );
            1
        }
    }
}

fn extra_params(reader: Reader<'_>) -> Vec<(String, String)> {
    let Some(value) = reader.value("extra_params") else {
        return Vec::new();
    };
    let Some(fields) = value.value.as_fields() else {
        if !value.value.is_null() {
            let found = value.value.type_name();
            reader.bad_value(
                value.span,
                format!("`extra_params` takes an object, found {found}"),
            );
        }
        return Vec::new();
    };
    let mut params = Vec::new();
    for (name, value_of) in fields.as_slice() {
        let name = name.to_str_lossy().into_owned();
        if OWN_PARAMETERS.contains(&name.as_str()) {
            let message =
                format!("`extra_params` cannot name `{name}`, which the block sends itself");
            reader
                .cx
                .report(Diagnostic::error(code::CONFLICT, value.span, message));
        } else if let Some(text) = value_of.borrowed().to_text() {
            params.push((name, text.to_str_lossy().into_owned()));
        }
    }
    params
}

#[cfg(test)]
mod tests;
