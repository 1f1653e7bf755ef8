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

use super::Definitions;
use super::backend::{self, Backend};
use super::client_authentication::{self, ClientAuthentication, refuse, require};
use super::fingerprint::Fingerprint;
use super::jwt_signing_profile::{self, Assertions, KeySource};
use super::reader::Reader;
use super::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, code};
use crate::expr::{Program, Scope, Value};
use crate::oauth::client::token_cache::{Settings, TokenEntry};
use crate::oauth::client::token_request::{
    ClientAuth, Grant, OWN_PARAMETERS, TokenForm, TokenRequest,
};
use secrecy::SecretString;
use std::sync::Arc;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
static GRANTS: [&str; 3] = ["client_credentials", "password", JWT_BEARER];

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "oauth2",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("grant_type", Kind::String, "The grant.")
            .one_of(&GRANTS)
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

/// The grant with what belongs to it.
#[derive(Debug)]
enum GrantSettings {
    ClientCredentials,
    Password {
        username: String,
        password: SecretString,
    },
    /// The expression gives the assertion.
    Given(Program),
    /// The profile makes the assertion.
    Signed(Assertions),
}

/// A token client.
#[derive(Debug)]
pub struct OAuth2 {
    /// Label of the backend it fetches tokens for.
    pub label: Arc<str>,
    /// The backend of the token endpoint.
    pub backend: Arc<Backend>,
    /// `token_endpoint`
    pub token_endpoint: String,
    /// `retries`
    pub retries: u32,
    /// The token.
    pub entry: Arc<TokenEntry>,
    grant: GrantSettings,
    /// None with the grant `jwt-bearer`.
    client: Option<ClientAuthentication>,
    scope: String,
    audience: String,
    resources: Vec<String>,
    extra: Vec<(String, String)>,
}

impl OAuth2 {
    /// Reads the block.
    pub fn read(
        reader: Reader<'_>,
        label: &Arc<str>,
        definitions: &Definitions<'_>,
    ) -> Option<Self> {
        let backend = Backend::of(reader, definitions);
        let grant = grant(reader);
        let client = if is_jwt_bearer(reader) {
            None
        } else {
            Some(ClientAuthentication::read(
                reader,
                "token_endpoint_auth_method",
            ))
        };
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
        let identity = Fingerprint::of("token").text(label);
        let identity = identity.block(reader.block, definitions);
        Some(Self {
            label: Arc::clone(label),
            token_endpoint: text(reader, "token_endpoint"),
            retries,
            entry: reader
                .cx
                .keep(identity, || TokenEntry::new(settings, Clock::System)),
            grant: grant?,
            client: match client {
                None => None,
                Some(client) => Some(client?),
            },
            scope: text(reader, "scope"),
            audience: text(reader, "audience"),
            resources,
            extra,
            backend: backend?,
        })
    }

    /// The token request. The error says why there is no assertion.
    pub fn request(&self, scope: &dyn Scope) -> Result<TokenRequest, String> {
        let assertion;
        let grant = match &self.grant {
            GrantSettings::ClientCredentials => Grant::ClientCredentials,
            GrantSettings::Password { username, password } => {
                Grant::Password { username, password }
            }
            GrantSettings::Given(program) => {
                assertion = given(program, scope)?;
                Grant::JwtBearer {
                    assertion: &assertion,
                }
            }
            GrantSettings::Signed(profile) => {
                assertion = profile.plain()?;
                Grant::JwtBearer {
                    assertion: &assertion,
                }
            }
        };
        let form = TokenForm {
            grant,
            scope: &self.scope,
            audience: &self.audience,
            resources: &self.resources,
            extra: &self.extra,
        };
        match &self.client {
            None => Ok(TokenRequest::new(&form, &ClientAuth::None)),
            Some(client) => client.with(Some(&self.token_endpoint), |auth| {
                TokenRequest::new(&form, auth)
            }),
        }
    }

    /// Whether a request's own assertion is usable: to be asked before the token that all share.
    pub fn check(&self, scope: &dyn Scope) -> Result<(), String> {
        match &self.grant {
            GrantSettings::Given(program) => given(program, scope).map(drop),
            _ => Ok(()),
        }
    }

    /// The expression of `assertion`.
    pub fn assertion(&self) -> Option<&Program> {
        match &self.grant {
            GrantSettings::Given(program) => Some(program),
            _ => None,
        }
    }

    /// What must not appear in messages, should the endpoint repeat it.
    pub fn secrets(&self) -> Vec<&SecretString> {
        let client = self.client.iter();
        let mut secrets: Vec<_> = client.map(ClientAuthentication::secret).collect();
        if let GrantSettings::Password { password, .. } = &self.grant {
            secrets.push(password);
        }
        secrets
    }
}

fn given(program: &Program, scope: &dyn Scope) -> Result<SecretString, String> {
    let value = program
        .eval(scope)
        .map_err(|error| format!("`assertion`: {}", error.message))?;
    match value.as_str() {
        Some(text) => Ok(SecretString::from(text)),
        None => Err(format!(
            "`assertion` needs a string, found {}",
            value.type_name()
        )),
    }
}

fn text(reader: Reader<'_>, name: &str) -> String {
    reader
        .string(name)
        .map(|text| text.value)
        .unwrap_or_default()
}

fn is_jwt_bearer(reader: Reader<'_>) -> bool {
    let attribute = reader.attribute("grant_type");
    let value = attribute.and_then(|attribute| reader.cx.start_value_quietly(attribute));
    value.as_ref().and_then(Value::as_str) == Some(JWT_BEARER)
}

fn profile(reader: Reader<'_>, source: KeySource<'_>) -> Option<Assertions> {
    let block = reader.inner("jwt_signing_profile")?;
    let inner = Reader::new(reader.cx, block, &jwt_signing_profile::SCHEMA);
    Assertions::read(inner, source)
}

fn grant(reader: Reader<'_>) -> Option<GrantSettings> {
    let name = reader.string("grant_type")?;
    let grant = name.value.as_str();
    let belongs: &[&str] = match grant {
        "client_credentials" => &[],
        "password" => &["username", "password"],
        JWT_BEARER => &["assertion"],
        other => {
            let message = format!("`grant_type` `{other}` is not supported");
            let hint = format!("it is one of `{}`", GRANTS.join("`, `"));
            reader
                .cx
                .report(Diagnostic::error(code::BAD_VALUE, name.span, message).hint(hint));
            return None;
        }
    };
    for name in ["username", "password", "assertion"] {
        if let Some(attribute) = reader.attribute(name)
            && !belongs.contains(&name)
        {
            let message = format!("`{name}` does not belong to the `grant_type` `{grant}`");
            refuse(reader, attribute.name.span, message);
        }
    }
    match grant {
        "client_credentials" => Some(GrantSettings::ClientCredentials),
        "password" => {
            let (username, password) = (text(reader, "username"), text(reader, "password"));
            let why = "the `grant_type` `password`";
            require(reader, "username", &username, why);
            require(reader, "password", &password, why);
            Some(GrantSettings::Password {
                username,
                password: password.into(),
            })
        }
        _ => {
            let block = reader.inner("jwt_signing_profile");
            if reader.has("assertion") {
                if let Some(block) = block {
                    let message = "`jwt_signing_profile` is not used: `assertion` is what is sent";
                    reader.cx.report(Diagnostic::warning(
                        code::SUSPICIOUS,
                        block.header(),
                        message,
                    ));
                }
                return reader.program("assertion").map(GrantSettings::Given);
            }
            if block.is_none() {
                let message =
                    format!("`grant_type` `{grant}` needs `assertion` or `jwt_signing_profile`");
                reader
                    .cx
                    .report(Diagnostic::error(code::MISSING, reader.span(), message));
            }
            profile(reader, KeySource::Own).map(GrantSettings::Signed)
        }
    }
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
mod tests {
    use crate::config::{self, Options};
    use crate::hcl::Input;

    /// The messages of a load of a backend with this block.
    fn messages(settings: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("couper.hcl");
        let text = format!(
            "server {{\n endpoint \"/\" {{\n response {{}}\n }}\n}}\ndefinitions {{\n backend \"b\" {{\n \
             origin = \"http://localhost\"\n oauth2 {{\n token_endpoint = \"/\"\n backend {{\n \
             origin = \"http://localhost\"\n }}\n{settings}\n }}\n }}\n}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let loaded = config::load(&Options {
            inputs: vec![Input::File(file)],
            ..Options::default()
        });
        let all = loaded.diagnostics.sorted();
        all.iter().map(|d| d.message.clone()).collect()
    }

    /// Attributes, the profile's, and parts of the messages.
    type Case = (
        &'static [(&'static str, &'static str)],
        Option<&'static str>,
        &'static [&'static str],
    );

    fn block(settings: &[(&str, &str)], profile: Option<&str>) -> String {
        let mut text = String::new();
        for (name, value) in settings {
            text.push_str(&format!("{name} = \"{value}\"\n"));
        }
        if let Some(profile) = profile {
            text.push_str(&format!(
                "jwt_signing_profile {{\nttl = \"1m\"\n{profile}\n}}\n"
            ));
        }
        text
    }

    #[test]
    fn what_does_not_belong_together_is_refused_by_name() {
        const ID: (&str, &str) = ("client_id", "c");
        const SECRET: (&str, &str) = ("client_secret", "a secret of at least thirty-two bytes");
        const PLAIN: (&str, &str) = ("grant_type", "client_credentials");
        const PASSWORD: (&str, &str) = ("grant_type", "password");
        const BEARER: (&str, &str) = ("grant_type", super::JWT_BEARER);
        const BY_SECRET: (&str, &str) = ("token_endpoint_auth_method", "client_secret_jwt");
        const BY_KEY: (&str, &str) = ("token_endpoint_auth_method", "private_key_jwt");
        let hmac = "signature_algorithm = \"HS256\"";
        let hmac_key =
            "signature_algorithm = \"HS256\"\nkey = \"a secret of at least thirty-two bytes\"";
        let cases: [Case; 16] = [
            (&[PLAIN, ID, SECRET], None, &[]),
            (&[PLAIN, SECRET], None, &["`client_id` must not be empty"]),
            (&[PLAIN, ID], None, &["`client_secret` must not be empty"]),
            (
                &[PLAIN, ID, SECRET, ("username", "u"), ("assertion", "a")],
                None,
                &["`username` does not belong", "`assertion` does not belong"],
            ),
            (
                &[PASSWORD, ID, SECRET, ("password", "")],
                None,
                &["`username` must not be", "`password` must not be"],
            ),
            (&[BEARER], None, &["needs `assertion` or"]),
            (&[BEARER, ("assertion", "a")], None, &[]),
            (&[BEARER], Some(hmac_key), &[]),
            (
                &[BEARER, ("assertion", "a")],
                Some(hmac_key),
                &["`jwt_signing_profile` is not used"],
            ),
            (
                &[BEARER, ("assertion", "a"), ("password", "p")],
                None,
                &["`password` does not belong"],
            ),
            (
                &[PLAIN, ID, SECRET],
                Some(hmac_key),
                &["`jwt_signing_profile` cannot stand beside"],
            ),
            (&[PLAIN, ID, SECRET, BY_SECRET], Some(hmac), &[]),
            (
                &[PLAIN, ID, SECRET, BY_SECRET],
                Some(hmac_key),
                &["`key` cannot stand beside"],
            ),
            (
                &[PLAIN, ID, SECRET, BY_SECRET],
                Some("signature_algorithm = \"RS256\""),
                &["RS256: `client_secret_jwt` takes HS"],
            ),
            (
                &[PLAIN, ID, SECRET, BY_KEY],
                Some(hmac_key),
                &[
                    "`client_secret` cannot stand beside",
                    "HS256: `private_key_jwt` takes algorithms with a key pair",
                ],
            ),
            (
                &[PLAIN, ID, BY_KEY],
                None,
                &["needs a `jwt_signing_profile`"],
            ),
        ];
        for (settings, profile, wanted) in cases {
            let found = messages(&block(settings, profile));
            assert_eq!(found.len(), wanted.len(), "{settings:?}: {found:#?}");
            for part in wanted {
                assert!(found.iter().any(|m| m.contains(part)), "{part}: {found:#?}");
            }
        }
    }
}
