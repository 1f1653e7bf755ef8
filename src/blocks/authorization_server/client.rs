//! `client`: a program that may ask for tokens.
//!
//! ```hcl
//! client "worker" {
//!   client_secret = env.WORKER_SECRET
//!   scopes        = ["read"]
//! }
//! ```

use super::{claims, secret, signing_key, ttl};
use crate::blocks::reader::{Reader, Spanned};
use crate::blocks::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::clock::UnixTime;
use crate::crypto::Jwks;
use crate::crypto::key::Weakness;
use crate::crypto::secret_hash::SecretHash;
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::expr::Value;
use crate::oauth::server::client::{
    AuthMethod, CertificateRule, Client, Display, Format, Introspect, Lifetimes, Network, Rate,
    Secret, SecretForm,
};
use crate::oauth::server::keys::KeySpec;
use crate::oauth::server::scope::is_name;
use crate::oauth::server::{Consumer, Dialect, Grant, sha256};
use crate::store::file_id;
use crate::store::vault::Candidate;
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;
use std::time::Duration;

const AUTH_METHODS: &[&str] = &[
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
];

/// The block's table.
pub(super) static SCHEMA: BlockSchema = BlockSchema {
    name: "client",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start("name", Kind::String, "Its name, as users see it."),
        AttributeSchema::start("logo_uri", Kind::String, "Its logo."),
        AttributeSchema::start("client_uri", Kind::String, "Its home page."),
        AttributeSchema::start("policy_uri", Kind::String, "How it treats data."),
        AttributeSchema::start("tos_uri", Kind::String, "Its terms of service."),
        AttributeSchema::start("contacts", Kind::Strings, "Whom to ask."),
        AttributeSchema::start(
            "consumer",
            Kind::String,
            "Label of the consumer that owns it.",
        )
        .refers_to("consumer"),
        AttributeSchema::start(
            "subject",
            Kind::String,
            "`sub` of tokens it gets for itself.",
        )
        .default("its id"),
        AttributeSchema::start("client_secret", Kind::String, "Its secret."),
        AttributeSchema::start("client_secret_file", Kind::Path, "File with its secret."),
        AttributeSchema::start(
            "client_secret_hash",
            Kind::String,
            "Hash of its secret: PHC text (argon2id, PBKDF2, bcrypt) or `sha256:` with hexadecimal digits.",
        ),
        AttributeSchema::start(
            "client_secrets",
            Kind::Any,
            "Up to four secrets at once: objects with `secret` or `hash`, and `not_after`.",
        ),
        AttributeSchema::start(
            "allow_short_secret",
            Kind::Bool,
            "Accepts an HMAC secret that is shorter than RFC 7518 asks for.",
        )
        .default("false"),
        AttributeSchema::start("type", Kind::String, "Whether it can keep a secret.")
            .one_of(&["confidential", "public"]),
        AttributeSchema::start(
            "token_endpoint_auth_method",
            Kind::String,
            "How it authenticates.",
        )
        .one_of(AUTH_METHODS)
        .default("client_secret_basic"),
        AttributeSchema::start(
            "strict_auth_method",
            Kind::Bool,
            "`client_secret_basic` and `client_secret_post` do not stand in for each other.",
        )
        .default("false"),
        AttributeSchema::start("jwks", Kind::Any, "Its public keys."),
        AttributeSchema::start("jwks_file", Kind::Path, "File with its public keys."),
        AttributeSchema::start("jwks_uri", Kind::String, "Where its public keys are.")
            .unavailable(),
        AttributeSchema::start(
            "tls_client_auth_subject_dn",
            Kind::String,
            "Subject that its certificate has.",
        )
        .unavailable(),
        AttributeSchema::start(
            "tls_client_auth_san_dns",
            Kind::String,
            "DNS name that its certificate has.",
        ),
        AttributeSchema::start(
            "tls_client_auth_san_uri",
            Kind::String,
            "URI that its certificate has.",
        ),
        AttributeSchema::start(
            "tls_client_auth_san_ip",
            Kind::String,
            "Address that its certificate has.",
        ),
        AttributeSchema::start(
            "tls_client_auth_san_email",
            Kind::String,
            "Mail address that its certificate has.",
        )
        .unavailable(),
        AttributeSchema::start("redirect_uris", Kind::Strings, "Where users may be sent."),
        AttributeSchema::start("grant_types", Kind::Strings, "By what it may ask.").default(
            "`client_credentials`; with redirect URIs `authorization_code`, `refresh_token`",
        ),
        AttributeSchema::start(
            "scopes",
            Kind::Strings,
            "Scopes that it gets without asking.",
        ),
        AttributeSchema::start(
            "optional_scopes",
            Kind::Strings,
            "Scopes that it gets when it asks.",
        ),
        AttributeSchema::start("audience", Kind::StringOrStrings, "`aud` of its tokens."),
        AttributeSchema::start(
            "allowed_resources",
            Kind::Strings,
            "Resources that it may ask for (RFC 8707).",
        ),
        AttributeSchema::start(
            "access_token_format",
            Kind::String,
            "Form of its access tokens.",
        )
        .one_of(&["jwt", "opaque"]),
        AttributeSchema::start(
            "signing_key",
            Kind::String,
            "Label of the key that signs its tokens.",
        ),
        AttributeSchema::start(
            "ttl_overrides",
            Kind::Object,
            "Lifetimes by grant: `{ \"refresh_token/access_token\" = \"5m\" }`.",
        ),
        AttributeSchema::request("claims", Kind::Object, "Further claims of its tokens."),
        AttributeSchema::start(
            "introspect",
            Kind::String,
            "What it may learn by introspection.",
        )
        .one_of(&["own", "audience", "any", "none"])
        .default("audience"),
        AttributeSchema::start(
            "resource_uris",
            Kind::Strings,
            "Names under which it is an audience.",
        ),
        AttributeSchema::start("dpop_bound", Kind::Bool, "Its tokens are bound to a key.")
            .unavailable(),
        AttributeSchema::start(
            "mtls_bound",
            Kind::Bool,
            "Its tokens are bound to its certificate.",
        )
        .default("false"),
        AttributeSchema::start("require_consent", Kind::Bool, "Users are asked.").default("true"),
        AttributeSchema::start("trusted", Kind::Bool, "Users are not asked.").default("false"),
        AttributeSchema::start(
            "allowed_ips",
            Kind::Strings,
            "Addresses and networks that it may ask from.",
        ),
        AttributeSchema::start("metadata", Kind::Object, "Free data, for expressions."),
        AttributeSchema::start("tags", Kind::Strings, "Tags."),
        AttributeSchema::start("api_key", Kind::Bool, "It is an API key, too.").default("false"),
        AttributeSchema::start(
            "api_key_values",
            Kind::Strings,
            "Values that stand for it as an API key.",
        ),
        AttributeSchema::start(
            "allow_client_id_only",
            Kind::Bool,
            "Its id alone is enough as an API key.",
        )
        .default("false"),
        AttributeSchema::start("application_type", Kind::String, "Where it runs.")
            .one_of(&["web", "native"]),
        AttributeSchema::start("enabled", Kind::Bool, "Whether it is switched on.").default("true"),
    ],
    groups: &[],
    blocks: &[
        Child::optional(&ttl::SCHEMA),
        Child::optional(&RATE_LIMIT),
        Child::many(&FEDERATED).unavailable(),
    ],
    rules: &[],
    docs: "A program that may ask for tokens.",
    example: EXAMPLE,
};

const EXAMPLE: &str = r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    client "worker" {
      client_secret = env.WORKER_SECRET
      scopes        = ["read"]
      rate_limit {
        per_period = 60
        period     = "1m"
      }
    }
  }
}

defaults {
  environment_variables = {
    WORKER_SECRET = "only-an-example"
  }
}
"#;

static RATE_LIMIT: BlockSchema = BlockSchema {
    name: "rate_limit",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("per_period", Kind::Number, "How many token requests.").required(),
        AttributeSchema::start("period", Kind::Duration, "In which time.").required(),
    ],
    docs: "How often a client may ask for tokens.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

static FEDERATED: BlockSchema = BlockSchema {
    name: "federated",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start("issuer", Kind::String, "Who signs the assertions.").required(),
        AttributeSchema::start("subject", Kind::String, "Their `sub`.").required(),
        AttributeSchema::start("audience", Kind::String, "Their `aud`."),
        AttributeSchema::start("jwks_uri", Kind::String, "Where the keys are."),
        AttributeSchema::start("jwks_file", Kind::Path, "File with the keys."),
        AttributeSchema::start("backend", Kind::String, "Backend of the request for them.")
            .refers_to("backend"),
    ],
    docs: "Assertions of another issuer that stand for a client, such as a workload's token.",
    example: r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    client "worker" {
      token_endpoint_auth_method = "private_key_jwt"
      federated {
        issuer  = "https://ci.example"
        subject = "repo:acme/app"
      }
    }
  }
}
"#,
    ..BlockSchema::EMPTY
};

/// What a client takes from its server.
pub(super) struct Around<'a> {
    pub(super) server: &'a str,
    pub(super) dialect: &'static Dialect,
    pub(super) loopback: bool,
    pub(super) grants: &'a [Grant],
    pub(super) default_scopes: Vec<Box<str>>,
    pub(super) format: Format,
    pub(super) signing_key: Arc<str>,
    pub(super) ttl: &'a Lifetimes,
    pub(super) keys: &'a [KeySpec],
    pub(super) consumer: &'a dyn Fn(&Spanned<String>) -> Option<Arc<Consumer>>,
}

/// A client, and where it asks for what not every server can give.
pub(super) struct Read {
    pub(super) client: Client,
    pub(super) opaque: Option<Span>,
    pub(super) endless: Option<Span>,
    pub(super) span: Span,
}

fn list(reader: Reader<'_>, name: &str) -> Vec<String> {
    let given = reader.strings(name).map(|list| list.value);
    given.into_iter().flatten().map(|item| item.value).collect()
}

/// Reads the block.
pub(super) fn read(reader: Reader<'_>, around: &Around<'_>) -> Option<Read> {
    let label = reader.label()?;
    check_id(reader, label);
    let method = auth_method(reader);
    let (redirect_uris, native) = redirect_uris(reader, around.dialect);
    let grants = grants(reader, around, method, &redirect_uris);
    let (ttl, endless) = lifetimes(reader, around.ttl);
    let format = reader.one_of("access_token_format");
    let opaque = format
        .as_ref()
        .filter(|format| format.value == "opaque")
        .map(|format| format.span);
    let secrets = secrets(reader, around.loopback);
    check_secrets(reader, method, &secrets);
    let keys = keys(reader);
    if method == AuthMethod::PrivateKeyJwt && keys.is_none() && !mentions_keys(reader) {
        missing(reader, "`private_key_jwt` needs `jwks` or `jwks_file`");
    }
    let certificate = certificate(reader, method);
    let scopes = scopes(reader, "scopes");
    let optional = self::scopes(reader, "optional_scopes");
    let consumer = reader.filled("consumer");
    let values = api_key_values(reader);
    let id: Arc<str> = label.text.as_str().into();
    let text = |name: &str| reader.filled(name).map(|text| text.value);
    let flag = |name: &str, default| reader.boolean(name).unwrap_or(default);
    let client = Client {
        pk: file_id("client", around.server, &id),
        subject: text("subject").map_or_else(|| Arc::clone(&id), Into::into),
        display: Display {
            name: text("name"),
            logo_uri: text("logo_uri"),
            client_uri: text("client_uri"),
            policy_uri: text("policy_uri"),
            tos_uri: text("tos_uri"),
            contacts: list(reader, "contacts"),
        },
        consumer: consumer.and_then(|name| (around.consumer)(&name)),
        secrets,
        strict: flag("strict_auth_method", false),
        keys,
        certificates: Vec::new(),
        certificate,
        redirect_uris,
        grants,
        any_scope: scopes.is_none() && optional.is_none(),
        scopes: scopes.unwrap_or_else(|| around.default_scopes.clone()),
        optional_scopes: optional.unwrap_or_default(),
        audience: Some(list(reader, "audience")).filter(|list| !list.is_empty()),
        allowed_resources: list(reader, "allowed_resources"),
        format: match format {
            Some(format) if format.value == "opaque" => Format::Opaque,
            Some(_) => Format::Jwt,
            None => around.format,
        },
        signing_key: reader
            .filled("signing_key")
            .and_then(|name| signing_key::known(reader, &name, around.keys))
            .unwrap_or_else(|| Arc::clone(&around.signing_key)),
        ttl,
        claims: claims::read(reader),
        introspect: match reader
            .one_of("introspect")
            .as_ref()
            .map(|c| c.value.as_str())
        {
            Some("own") => Introspect::Own,
            Some("any") => Introspect::Any,
            Some("none") => Introspect::None,
            _ => Introspect::Audience,
        },
        resource_uris: list(reader, "resource_uris"),
        dpop_bound: flag("dpop_bound", false),
        mtls_bound: flag("mtls_bound", false),
        require_consent: flag("require_consent", true),
        trusted: flag("trusted", false),
        allowed_ips: networks(reader),
        rate: rate(reader),
        metadata: reader
            .value("metadata")
            .map_or(Value::Null, |metadata| metadata.value),
        tags: list(reader, "tags").into_iter().map(Into::into).collect(),
        api_key: flag("api_key", false),
        client_id_only: flag("allow_client_id_only", false),
        api_key_values: values,
        native: match reader.one_of("application_type") {
            Some(kind) => kind.value == "native",
            None => native,
        },
        enabled: flag("enabled", true),
        unverified: false,
        method,
        id,
    };
    Some(Read {
        client,
        opaque,
        endless,
        span: reader.span(),
    })
}

fn missing(reader: Reader<'_>, message: &str) {
    reader
        .cx
        .report(Diagnostic::error(code::MISSING, reader.span(), message));
}

fn check_id(reader: Reader<'_>, label: &crate::hcl::Name) {
    let sound = |b: u8| matches!(b, 0x20..=0x7e);
    if label.text.is_empty() || label.text.len() > 255 || !label.text.bytes().all(sound) {
        let message = "a `client_id` has 1 to 255 printable ASCII characters";
        reader.bad_value(label.span, message);
    }
}

fn auth_method(reader: Reader<'_>) -> AuthMethod {
    let given = reader.one_of("token_endpoint_auth_method");
    let kind = reader.one_of("type");
    let method = given.as_ref().and_then(|name| AuthMethod::of(&name.value));
    let public = kind.as_ref().map(|kind| kind.value == "public");
    match (method, public) {
        (None, Some(true)) => AuthMethod::None,
        (Some(method), Some(public)) if (method == AuthMethod::None) != public => {
            let span = kind.map_or(reader.span(), |kind| kind.span);
            let message = "`type` and `token_endpoint_auth_method` contradict each other";
            reader
                .cx
                .report(Diagnostic::error(code::CONFLICT, span, message));
            method
        }
        (method, _) => method.unwrap_or(AuthMethod::Basic),
    }
}

/// The redirect URIs, and whether they are those of a native application (RFC 8252 §7).
fn redirect_uris(reader: Reader<'_>, dialect: &Dialect) -> (Vec<String>, bool) {
    let given = reader.strings("redirect_uris").map(|list| list.value);
    let given = given.unwrap_or_default();
    if given.len() > 50 {
        let span = given.first().map_or(reader.span(), |uri| uri.span);
        reader.bad_value(span, "a client has 50 redirect URIs at most");
    }
    let mut native = false;
    for uri in &given {
        match crate::oauth::server::redirect::check(&uri.value, dialect.http_redirects) {
            Ok(is_native) => native |= is_native,
            Err(why) => reader.bad_value(
                uri.span,
                format!("redirect URI `{}` cannot be used: {why}", uri.value),
            ),
        }
    }
    (given.into_iter().map(|uri| uri.value).collect(), native)
}

fn grants(
    reader: Reader<'_>,
    around: &Around<'_>,
    method: AuthMethod,
    redirect_uris: &[String],
) -> Vec<Grant> {
    let Some(given) = reader.strings("grant_types") else {
        return match (around.dialect.all_grants, redirect_uris) {
            (true, _) => around.grants.to_vec(),
            (false, []) if method == AuthMethod::None => Vec::new(),
            (false, []) => vec![Grant::ClientCredentials],
            (false, _) => vec![Grant::AuthorizationCode, Grant::RefreshToken],
        };
    };
    super::read_grants(reader, &given.value)
        .into_iter()
        .map(|(grant, _)| grant)
        .collect()
}

fn lifetimes(reader: Reader<'_>, base: &Lifetimes) -> (Lifetimes, Option<Span>) {
    let (mut ttl, endless) = match reader.inner("ttl") {
        Some(block) => ttl::read(Reader::new(reader.cx, block, &ttl::SCHEMA), base),
        None => (base.clone(), None),
    };
    let Some(overrides) = reader.value("ttl_overrides") else {
        return (ttl, endless);
    };
    let fields = overrides.value.as_fields().map(|f| f.as_slice().to_vec());
    for (name, value) in fields.unwrap_or_default() {
        let name = name.to_str_lossy().into_owned();
        let lifetime = value
            .as_str()
            .and_then(|text| crate::blocks::duration::parse_with_days(text).ok())
            .filter(|lifetime| !lifetime.is_zero());
        let grant = name.strip_suffix("/access_token").and_then(Grant::of);
        match (grant, lifetime) {
            (Some(grant), Some(lifetime)) => ttl.by_grant.push((grant, lifetime)),
            (None, _) => reader.bad_value(
                overrides.span,
                format!("`ttl_overrides`: `{name}` is not a grant type with `/access_token`"),
            ),
            (_, None) => reader.bad_value(
                overrides.span,
                format!("`ttl_overrides`: `{name}` needs a duration greater than zero"),
            ),
        }
    }
    (ttl, endless)
}

fn secrets(reader: Reader<'_>, loopback: bool) -> Vec<Secret> {
    let mut found = Vec::new();
    if let Some(secret) = secret::read(reader, "client_secret", "client_secret_file") {
        check_length(reader, &secret.value, secret.span, loopback);
        found.push(Secret {
            form: SecretForm::plain(secret.value),
            not_after: None,
        });
    }
    if let Some(hash) = reader.filled("client_secret_hash")
        && let Some(form) = hashed(reader, &hash.value, hash.span)
    {
        found.push(Secret {
            form,
            not_after: None,
        });
    }
    if reader.has("client_secrets") {
        secret::warn_if_literal(reader, "client_secrets", Some("secret"));
        found.extend(several(reader, loopback));
    }
    if found.len() > 4 {
        let span = reader
            .attribute("client_secrets")
            .map_or(reader.span(), |attribute| attribute.value_span);
        reader.bad_value(span, "a client has four secrets at most");
    }
    found
}

fn check_length(reader: Reader<'_>, secret: &SecretString, span: Span, loopback: bool) {
    let length = secret.expose_secret().len();
    if length > 1024 || (length < 8 && !loopback) {
        reader.bad_value(span, "a client secret has 8 to 1024 bytes");
    }
}

/// `client_secrets`
fn several(reader: Reader<'_>, loopback: bool) -> Vec<Secret> {
    let Some(value) = reader.value("client_secrets") else {
        return Vec::new();
    };
    let span = value.span;
    let Some(items) = value.value.as_items() else {
        reader.bad_value(span, "`client_secrets` takes a list of objects");
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items {
        let text = |name: &str| {
            let fields = item.as_fields()?;
            fields.get(name.as_bytes())?.as_str().map(str::to_owned)
        };
        let not_after = match text("not_after") {
            None => None,
            Some(text) => match text.parse::<jiff::Timestamp>() {
                Ok(time) => Some(UnixTime::from_seconds(time.as_second())),
                Err(_) => {
                    let message = format!(
                        "`client_secrets`: `not_after` `{text}` is no time such as `2027-01-31T00:00:00Z`"
                    );
                    reader.bad_value(span, message);
                    continue;
                }
            },
        };
        let form = match (text("secret"), text("hash")) {
            (Some(secret), None) => {
                let secret = SecretString::from(secret);
                check_length(reader, &secret, span, loopback);
                Some(SecretForm::plain(secret))
            }
            (None, Some(hash)) => hashed(reader, &hash, span),
            _ => {
                let message = "`client_secrets`: each object needs `secret` or `hash`";
                reader.bad_value(span, message);
                None
            }
        };
        found.extend(form.map(|form| Secret { form, not_after }));
    }
    found
}

/// A hash, as the forms that are known.
fn hashed(reader: Reader<'_>, text: &str, span: Span) -> Option<SecretForm> {
    if let Some(digits) = text.strip_prefix("sha256:") {
        let bytes: Option<Vec<u8>> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        match bytes.and_then(|bytes| bytes.try_into().ok()) {
            Some(digest) => return Some(SecretForm::Digest(digest)),
            None => {
                reader.bad_value(span, "a hash `sha256:` has 64 hexadecimal digits");
                return None;
            }
        }
    }
    if let Ok(hash) = SecretHash::parse(text) {
        return Some(SecretForm::Hashed(Candidate {
            id: file_id("client_secret", reader.block.label(), text),
            hash,
        }));
    }
    reader.cx.report(
        Diagnostic::error(code::BAD_VALUE, span, "a hash of an unknown form")
            .hint("known are `$argon2id$…`, `$pbkdf2-sha512$…`, `$2b$…` and `sha256:…`"),
    );
    None
}

fn check_secrets(reader: Reader<'_>, method: AuthMethod, secrets: &[Secret]) {
    let given = [
        "client_secret",
        "client_secret_file",
        "client_secret_hash",
        "client_secrets",
    ]
    .iter()
    .any(|name| reader.has(name));
    let key_alone = reader.boolean("api_key").unwrap_or(false)
        && (reader.has("api_key_values") || reader.has("allow_client_id_only"));
    match method {
        AuthMethod::Basic | AuthMethod::Post if !given && !key_alone => {
            reader.cx.report(
                Diagnostic::error(
                    code::MISSING,
                    reader.span(),
                    format!("client `{}` has no secret", reader.block.label()),
                )
                .hint(
                    "add `client_secret = env.NAME`, or `token_endpoint_auth_method = \"none\"` for a public client",
                ),
            );
        }
        AuthMethod::SecretJwt => {
            for secret in secrets {
                check_hmac_secret(reader, secret);
            }
            if !given {
                missing(reader, "`client_secret_jwt` needs `client_secret`");
            }
        }
        AuthMethod::None if given => {
            let message = "a public client has no secret";
            reader
                .cx
                .report(Diagnostic::error(code::CONFLICT, reader.span(), message));
        }
        _ => {}
    }
}

fn check_hmac_secret(reader: Reader<'_>, secret: &Secret) {
    let SecretForm::Plain(text, _) = &secret.form else {
        let message = "`client_secret_jwt` needs the secret itself, not its hash";
        reader
            .cx
            .report(Diagnostic::error(code::CONFLICT, reader.span(), message));
        return;
    };
    let bytes = text.expose_secret().len();
    if bytes < 32 {
        let weakness = Weakness::ShortSecret { bytes, wanted: 32 };
        let allowed = reader.boolean("allow_short_secret").unwrap_or(false);
        signing_key::report_weakness(reader, weakness, allowed, reader.span());
    }
}

fn mentions_keys(reader: Reader<'_>) -> bool {
    ["jwks", "jwks_file", "jwks_uri"]
        .iter()
        .any(|name| reader.has(name))
        || reader.inner("federated").is_some()
}

fn keys(reader: Reader<'_>) -> Option<Jwks> {
    let (document, span) = if let Some(value) = reader.value("jwks") {
        let document = match value.value.as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => value.value.to_json(),
        };
        (document, value.span)
    } else {
        let file = reader.file("jwks_file")?;
        (file.value, file.span)
    };
    match Jwks::parse(&document) {
        Ok(keys) => Some(keys),
        Err(error) => {
            reader.bad_value(span, format!("keys of the client: {error}"));
            None
        }
    }
}

fn certificate(reader: Reader<'_>, method: AuthMethod) -> Option<CertificateRule> {
    let mut found = Vec::new();
    for name in [
        "tls_client_auth_san_dns",
        "tls_client_auth_san_uri",
        "tls_client_auth_san_ip",
    ] {
        let Some(value) = reader.filled(name) else {
            continue;
        };
        let rule = match name {
            "tls_client_auth_san_dns" => CertificateRule::Dns(value.value),
            "tls_client_auth_san_uri" => CertificateRule::Uri(value.value),
            _ => match value.value.parse() {
                Ok(address) => CertificateRule::Ip(address),
                Err(_) => {
                    let message = format!("`{name}`: `{}` is no address", value.value);
                    reader.bad_value(value.span, message);
                    continue;
                }
            },
        };
        found.push(rule);
    }
    if found.len() > 1 || (method == AuthMethod::Tls && found.is_empty()) {
        missing(
            reader,
            "`tls_client_auth` needs exactly one of the attributes `tls_client_auth_…`",
        );
    }
    if method == AuthMethod::SelfSignedTls {
        let message = "`self_signed_tls_client_auth` is not available in this version";
        reader.cx.report(Diagnostic::error(
            code::NOT_AVAILABLE,
            reader.span(),
            message,
        ));
    }
    found.into_iter().next()
}

fn scopes(reader: Reader<'_>, name: &str) -> Option<Vec<Box<str>>> {
    let given = reader.strings(name)?;
    let mut found: Vec<Box<str>> = Vec::new();
    for scope in given.value {
        if !is_name(&scope.value) {
            let message = format!("`{}` is no scope name (RFC 6749 §3.3)", scope.value);
            reader.bad_value(scope.span, message);
        } else if !found.iter().any(|known| **known == *scope.value) {
            found.push(scope.value.into());
        }
    }
    Some(found)
}

/// Scopes that no `scope` block declares, where there are such blocks.
pub(super) fn check_scopes(reader: Reader<'_>, known: &[&str]) {
    if known.is_empty() {
        return;
    }
    for name in ["scopes", "optional_scopes"] {
        let given = reader.strings(name).map(|list| list.value);
        for scope in given.into_iter().flatten() {
            if !known.contains(&scope.value.as_str()) {
                let message = format!("scope `{}` is not declared, nobody gets it", scope.value);
                reader.cx.report(
                    Diagnostic::warning(code::NO_EFFECT, scope.span, message)
                        .maybe_hint(did_you_mean(&scope.value, known.iter().copied())),
                );
            }
        }
    }
}

fn api_key_values(reader: Reader<'_>) -> Vec<crate::oauth::server::Digest> {
    secret::warn_if_literal(reader, "api_key_values", None);
    let given = reader.strings("api_key_values").map(|list| list.value);
    let mut digests = Vec::new();
    for value in given.into_iter().flatten() {
        if value.value.len() < 16 {
            reader.bad_value(value.span, "a value of an API key has 16 bytes at least");
        }
        digests.push(sha256(value.value.as_bytes()));
    }
    digests
}

fn networks(reader: Reader<'_>) -> Vec<Network> {
    let given = reader.strings("allowed_ips").map(|list| list.value);
    let mut found = Vec::new();
    for text in given.into_iter().flatten() {
        match Network::parse(&text.value) {
            Some(network) => found.push(network),
            None => {
                let message = format!("`{}` is no address or network", text.value);
                reader.bad_value(text.span, message);
            }
        }
    }
    found
}

fn rate(reader: Reader<'_>) -> Option<Rate> {
    let inner = Reader::new(reader.cx, reader.inner("rate_limit")?, &RATE_LIMIT);
    let (count, period) = (inner.number("per_period")?, inner.long_duration("period")?);
    if count.value == 0 {
        inner.bad_value(count.span, "`per_period` must be greater than zero");
    }
    if period.value.is_zero() || period.value > Duration::from_secs(86_400) {
        inner.bad_value(period.span, "`period` is longer than zero, a day at most");
    }
    Some(Rate {
        per_period: count.value.min(100_000),
        period: period.value,
    })
}
