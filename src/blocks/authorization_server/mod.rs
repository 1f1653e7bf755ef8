//! `authorization_server`: issues tokens, publishes keys, introspects and revokes.
//!
//! ```hcl
//! authorization_server "main" {
//!   issuer = "https://auth.example.com"
//!   client "worker" {
//!     client_secret = env.WORKER_SECRET
//!   }
//! }
//! ```

pub mod admin;
pub mod admin_token;
mod claims;
mod client;
pub mod consumer;
mod defined;
mod endpoints;
mod pending;
mod refresh_tokens;
mod scope;
mod secret;
mod signing_key;
pub mod storage;
mod ttl;

pub(super) use defined::Defined;
pub use defined::Mount;

use super::Definitions;
use super::fingerprint::Fingerprint;
use super::reader::{Reader, Spanned};
use super::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::oauth::server::client::{AuthMethod, Format};
use crate::oauth::server::keys::KeySpec;
use crate::oauth::server::redirect::is_loopback;
use crate::oauth::server::{Dialect, Endpoint, Grant, Keys, Pkce, Scope, Server, State, sha256};
use foldhash::{HashMap, HashMapExt as _};
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "authorization_server",
    // Required in `definitions`, which checks it.
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start("issuer", Kind::String, "Its identifier, a URL.")
            .default("that of the mounting host, if it is loopback"),
        AttributeSchema::start("base_path", Kind::String, "Path in front of its endpoints.")
            .default("/"),
        AttributeSchema::start("layout", Kind::String, "Preset of the endpoints' paths.")
            .one_of(&["default", "kong", "otoroshi", "keycloak"])
            .default("default"),
        AttributeSchema::start("dialect", Kind::String, "Words and shape of its answers.")
            .one_of(&["rfc", "kong", "node", "otoroshi", "keycloak"])
            .default("rfc"),
        AttributeSchema::start("realm", Kind::String, "Realm of challenges.")
            .default("host of the issuer"),
        AttributeSchema::start("grant_types", Kind::Strings, "By what tokens may be asked for.")
            .default("those that a client can use, of `client_credentials`, `authorization_code`, `refresh_token`, device code"),
        AttributeSchema::start(
            "allow_deprecated_grants",
            Kind::Bool,
            "Lets `grant_types` name `implicit` and `password`.",
        )
        .default("false"),
        AttributeSchema::start("access_token_format", Kind::String, "Form of access tokens.")
            .one_of(&["jwt", "opaque"])
            .default("jwt"),
        AttributeSchema::start("access_token_typ", Kind::String, "JOSE `typ` of access tokens.")
            .one_of(&["at+jwt", "JWT"])
            .default("at+jwt"),
        AttributeSchema::start(
            "default_signing_key",
            Kind::String,
            "Label of the key that signs.",
        )
        .default("the first `signing_key`"),
        AttributeSchema::start(
            "audience",
            Kind::StringOrStrings,
            "`aud` of tokens for nothing in particular.",
        )
        .default("the issuer"),
        AttributeSchema::start(
            "default_scopes",
            Kind::Strings,
            "Scopes that clients without a list get unasked.",
        ),
        AttributeSchema::start(
            "mandatory_scope",
            Kind::Bool,
            "Refuses tokens without a scope.",
        )
        .default("false"),
        AttributeSchema::start("unknown_scope", Kind::String, "What becomes of unknown scopes.")
            .one_of(&["reject", "ignore"])
            .default("reject"),
        AttributeSchema::request("claims", Kind::Object, "Further claims of access tokens."),
        AttributeSchema::start(
            "token_prefix",
            Kind::String,
            "What opaque values begin with; nothing when empty.",
        )
        .default("gw"),
        AttributeSchema::start(
            "allow_query_credentials",
            Kind::Bool,
            "Parameters of the token endpoint may come in the query.",
        )
        .default("false"),
        AttributeSchema::start("accept_json", Kind::Bool, "Parameters may come as JSON.")
            .default("true"),
        AttributeSchema::start("allow_http", Kind::Bool, "Plain HTTP will do.").default("false"),
        AttributeSchema::start(
            "trust_forwarded_proto",
            Kind::Bool,
            "Believes a proxy in front that says `X-Forwarded-Proto: https`.",
        )
        .default("false"),
        AttributeSchema::start(
            "provision_keys",
            Kind::Strings,
            "Keys of the operator's own login page.",
        ),
        AttributeSchema::start("service_binding", Kind::String, "Where tokens are good.")
            .one_of(&["none", "mount"])
            .default("none"),
        AttributeSchema::start(
            "global_credentials",
            Kind::Bool,
            "Tokens are good at every mount all the same.",
        )
        .default("false"),
        AttributeSchema::start("pkce", Kind::String, "Which clients need PKCE.")
            .one_of(&["required", "public", "none"])
            .default("required"),
        AttributeSchema::start(
            "require_pushed_requests",
            Kind::Bool,
            "Authorization requests must be pushed (RFC 9126).",
        )
        .unavailable(),
        AttributeSchema::start(
            "assertion_audience",
            Kind::String,
            "What `aud` of client assertions may be.",
        )
        .one_of(&["compat", "issuer"])
        .default("compat"),
        AttributeSchema::start("introspection_auth", Kind::String, "Who may introspect.")
            .one_of(&["client", "none"])
            .default("client"),
        AttributeSchema::start("response_expires_in", Kind::Bool, "Tells `expires_in`.")
            .default("true"),
        AttributeSchema::start(
            "cors_allowed_origins",
            Kind::Strings,
            "Origins of browser programs.",
        ),
    ],
    groups: &[],
    blocks: &[
        Child::optional(&ttl::SCHEMA),
        Child::optional(&refresh_tokens::SCHEMA),
        Child::many(&signing_key::SCHEMA),
        Child::many(&scope::SCHEMA),
        Child::many(&client::SCHEMA),
        Child::optional(&endpoints::SCHEMA),
        Child::optional(&REVOCATION),
        Child::optional(&pending::LOGIN).unavailable(),
        Child::optional(&pending::CONSENT).unavailable(),
        Child::optional(&pending::DEVICE).unavailable(),
        Child::optional(&pending::REGISTRATION).unavailable(),
        Child::optional(&pending::HOOK).unavailable(),
        Child::many(&pending::TRUSTED_ISSUER).unavailable(),
        Child::optional(&pending::TOKEN_EXCHANGE).unavailable(),
        Child::optional(&pending::CLIENT_CREDENTIALS).unavailable(),
    ],
    rules: &[],
    docs: "Issues tokens, publishes keys, introspects and revokes. A `server` mounts it by its label.",
    example: EXAMPLE,
};

const EXAMPLE: &str = r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  authorization_server "main" {
    issuer = "http://localhost:8080"
    revocation {
      cascade = true
    }
    client "worker" {
      client_secret = env.WORKER_SECRET
      scopes        = ["read"]
    }
  }
}

defaults {
  environment_variables = {
    WORKER_SECRET = "only-an-example"
  }
}
"#;

static REVOCATION: BlockSchema = BlockSchema {
    name: "revocation",
    attributes: &[AttributeSchema::start(
        "cascade",
        Kind::Bool,
        "Revoking an access token revokes its grant.",
    )
    .default("false")],
    docs: "What revocation takes along.",
    example: EXAMPLE,
    ..BlockSchema::EMPTY
};

/// Grants whose run-time part this version has.
const AVAILABLE: [Grant; 5] = [
    Grant::ClientCredentials,
    Grant::AuthorizationCode,
    Grant::RefreshToken,
    Grant::Password,
    Grant::Implicit,
];

/// What the rest of the configuration tells a server while it is read.
pub(super) struct Surroundings<'a> {
    /// Origins of the hosts that mount it: scheme, host and port.
    pub(super) mounts: Vec<String>,
    /// Whether there is a `storage`.
    pub(super) storage: bool,
    /// What servers keep.
    pub(super) backing: Arc<crate::oauth::server::Backing>,
    /// Definitions.
    pub(super) definitions: &'a Definitions<'a>,
}

fn list(reader: Reader<'_>, name: &str) -> Vec<String> {
    let given = reader.strings(name).map(|list| list.value);
    given.into_iter().flatten().map(|item| item.value).collect()
}

/// Grants by their names; unknown ones are findings.
fn read_grants(reader: Reader<'_>, names: &[Spanned<String>]) -> Vec<(Grant, Span)> {
    let mut grants: Vec<(Grant, Span)> = Vec::new();
    for name in names {
        match Grant::of(&name.value) {
            Some(grant) if AVAILABLE.contains(&grant) => {
                if !grants.iter().any(|(known, _)| *known == grant) {
                    grants.push((grant, name.span));
                }
            }
            Some(_) => {
                let message = format!(
                    "grant type `{}` is not available in this version",
                    name.value
                );
                reader
                    .cx
                    .report(Diagnostic::error(code::NOT_AVAILABLE, name.span, message));
            }
            None => {
                let message = format!("grant type `{}` is unknown", name.value);
                let known = Grant::ALL.iter().map(|grant| grant.name());
                reader.cx.report(
                    Diagnostic::error(code::BAD_VALUE, name.span, message)
                        .maybe_hint(did_you_mean(&name.value, known)),
                );
            }
        }
    }
    grants
}

/// Reads the block.
pub(super) fn read(reader: Reader<'_>, around: &Surroundings<'_>) -> Option<Server> {
    let label: Arc<str> = reader
        .label()
        .map_or("authorization-server", |label| label.text.as_str())
        .into();
    let dialect = reader
        .one_of("dialect")
        .and_then(|name| Dialect::of(&name.value))
        .unwrap_or(Dialect::RFC);
    let allow_http = reader.boolean("allow_http").unwrap_or(false);
    let (paths, base_path) = endpoints::read(reader);
    let issuer = issuer(reader, around, allow_http, &base_path)?;
    let (host, loopback) = host_of(&issuer);
    let (ttl, endless) = match reader.inner("ttl") {
        Some(block) => ttl::read(
            Reader::new(reader.cx, block, &ttl::SCHEMA),
            &ttl::of_dialect(dialect),
        ),
        None => (ttl::of_dialect(dialect), None),
    };
    let format = reader.one_of("access_token_format");
    let opaque = format.as_ref().filter(|format| format.value == "opaque");
    let scopes: Vec<Scope> = reader
        .blocks("scope")
        .filter_map(|block| scope::read(Reader::new(reader.cx, block, &scope::SCHEMA)))
        .collect();
    let explicit = reader.strings("grant_types");
    let explicit = explicit.map(|names| read_grants(reader, &names.value));
    check_deprecated(reader, explicit.as_deref());
    let own_format = if opaque.is_some() {
        Format::Opaque
    } else {
        Format::Jwt
    };
    let typ = reader
        .one_of("access_token_typ")
        .map_or_else(|| dialect.access_token_typ.to_owned(), |typ| typ.value);
    let mut keys = signing_keys(reader, longest(reader, &ttl));
    if keys.is_empty() {
        keys.push(signing_key::standard(longest(reader, &ttl)));
    }
    let first = keys
        .first()
        .map_or_else(|| "main".into(), |key| Arc::clone(&key.label));
    let signing_key = reader
        .filled("default_signing_key")
        .and_then(|name| signing_key::known(reader, &name, &keys))
        .unwrap_or(first);
    let default_scopes: Vec<Box<str>> = list(reader, "default_scopes")
        .into_iter()
        .map(Into::into)
        .collect();
    let mut unlisted = default_scopes.clone();
    for scope in scopes.iter().filter(|scope| scope.default) {
        if !unlisted.contains(&scope.name) {
            unlisted.push(scope.name.clone());
        }
    }
    let offered: Vec<Grant> = match &explicit {
        Some(grants) => grants.iter().map(|(grant, _)| *grant).collect(),
        None => AVAILABLE
            .into_iter()
            .filter(|grant| Grant::DEFAULT.contains(grant))
            .collect(),
    };
    let consumer = |name: &Spanned<String>| around.definitions.consumer(name);
    let clients = clients(
        reader,
        &scopes,
        &client::Around {
            server: &label,
            dialect,
            loopback,
            grants: &offered,
            default_scopes: unlisted,
            format: own_format,
            signing_key: Arc::clone(&signing_key),
            ttl: &ttl,
            keys: &keys,
            consumer: &consumer,
        },
    );
    let grants = effective_grants(explicit.as_deref(), offered, &clients, around.storage);
    check_storage(
        reader,
        around,
        &Needs {
            opaque: opaque.map(|format| format.span),
            grants: explicit.as_deref().unwrap_or_default(),
            offered: &grants,
            clients: &clients,
        },
    );
    check_endless(reader, endless, own_format, &clients);
    let mut universe: Vec<Box<str>> = default_scopes.clone();
    for client in &clients {
        let lists = client
            .client
            .scopes
            .iter()
            .chain(&client.client.optional_scopes);
        for name in lists {
            if !universe.contains(name) {
                universe.push(name.clone());
            }
        }
    }
    let audience = Some(list(reader, "audience")).filter(|list| !list.is_empty());
    let flag = |name: &str, default| reader.boolean(name).unwrap_or(default);
    let is = |name: &str, value: &str| {
        reader
            .one_of(name)
            .is_some_and(|choice| choice.value == value)
    };
    warn_about_open_doors(reader, allow_http, &issuer);
    let refresh = refresh_tokens::of_dialect(dialect);
    let refresh = match reader.inner("refresh_tokens") {
        Some(block) => refresh_tokens::read(
            Reader::new(reader.cx, block, &refresh_tokens::SCHEMA),
            refresh,
        ),
        None => refresh,
    };
    let folder = reader.cx.resolve("gateway-keys", reader.span());
    let clients: Vec<_> = clients.into_iter().map(|read| read.client).collect();
    Some(Server {
        realm: reader
            .string("realm")
            .map_or(host, |realm| realm.value.replace(['"', '\\'], "")),
        paths: endpoints::with_discovery(paths, &issuer, dialect, &grants),
        grants,
        format: own_format,
        audience: audience.unwrap_or_else(|| vec![issuer.clone()]),
        default_scopes,
        mandatory_scope: flag("mandatory_scope", false),
        ignore_unknown_scope: is("unknown_scope", "ignore"),
        claims: claims::read(reader),
        token_prefix: reader
            .string("token_prefix")
            .map_or_else(|| "gw".into(), |prefix| prefix.value),
        allow_query: flag("allow_query_credentials", dialect.query_credentials),
        accept_json: flag("accept_json", true),
        allow_http,
        trust_forwarded_proto: flag("trust_forwarded_proto", false),
        provision_keys: provision_keys(reader),
        bind_to_mount: is("service_binding", "mount"),
        global_credentials: flag("global_credentials", false),
        pkce: match reader.one_of("pkce").as_ref().map(|c| c.value.as_str()) {
            Some("none") => Pkce::Never,
            Some("public") => Pkce::Public,
            _ => Pkce::Required,
        },
        require_pushed: flag("require_pushed_requests", false),
        strict_assertion_audience: is("assertion_audience", "issuer"),
        open_introspection: is("introspection_auth", "none"),
        tell_expires_in: flag("response_expires_in", true),
        cors_origins: list(reader, "cors_allowed_origins"),
        ttl,
        refresh,
        scopes,
        scope_universe: universe,
        uses_certificates: clients
            .iter()
            .any(|client| client.mtls_bound || client.method == AuthMethod::Tls),
        consumers: around.definitions.consumers(),
        cascade: reader.inner("revocation").is_some_and(|block| {
            let inner = Reader::new(reader.cx, block, &REVOCATION);
            inner.boolean("cascade").unwrap_or(false)
        }),
        backing: Arc::clone(&around.backing),
        keys: Keys::new(Arc::clone(&label), typ.clone(), keys, folder),
        clients: by_id(clients),
        // What was revoked or failed stays so, whatever else changes with a reload.
        state: reader.cx.keep(
            Fingerprint::of("authorization_server").text(&label),
            State::default,
        ),
        typ,
        signing_key,
        dialect,
        issuer,
        label,
    })
}

fn by_id(
    clients: Vec<crate::oauth::server::Client>,
) -> HashMap<Box<str>, Arc<crate::oauth::server::Client>> {
    let mut map = HashMap::new();
    for client in clients {
        map.insert(Box::from(&*client.id), Arc::new(client));
    }
    map
}

/// The longest lifetime of a token that a key may have signed.
fn longest(
    reader: Reader<'_>,
    ttl: &crate::oauth::server::client::Lifetimes,
) -> std::time::Duration {
    let mut longest = ttl.longest().max(ttl.id_token);
    for block in reader.blocks("client") {
        let durations = block
            .body
            .blocks_of("ttl")
            .flat_map(|ttl| &ttl.body.attributes);
        for attribute in durations {
            let value = reader.cx.start_value_quietly(attribute);
            let text = value.as_ref().and_then(crate::expr::Value::as_str);
            let lifetime = text.and_then(|text| super::duration::parse_with_days(text).ok());
            let access = matches!(
                attribute.name.text.as_str(),
                "access_token" | "client_credentials" | "id_token"
            );
            longest = longest.max(lifetime.filter(|_| access).unwrap_or_default());
        }
    }
    longest
}

/// The issuer: as written, or that of the one loopback host that mounts the server.
fn issuer(
    reader: Reader<'_>,
    around: &Surroundings<'_>,
    allow_http: bool,
    base_path: &str,
) -> Option<String> {
    let Some(given) = reader.filled("issuer") else {
        return default_issuer(reader, around, base_path);
    };
    let (text, span) = (given.value, given.span);
    let refuse = |why: &str| {
        reader.bad_value(span, format!("`issuer` `{text}` cannot be used: {why}"));
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        refuse("it is no URL");
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let (_, loopback) = host_of(&text);
    if authority.is_empty() || authority.contains('@') {
        refuse("it names no host");
        return None;
    }
    if text.contains(['?', '#']) {
        refuse("it has a query or fragment (RFC 8414 §2)");
        return None;
    }
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == '"')
    {
        refuse("it holds a character that URLs do not have");
        return None;
    }
    match scheme {
        "https" => {}
        "http" if loopback || allow_http => {}
        "http" => {
            let message =
                format!("`issuer` `{text}` must begin with `https:`, as its host is not loopback");
            reader.cx.report(
                Diagnostic::error(code::BAD_VALUE, span, message)
                    .hint("`allow_http = true` accepts it"),
            );
            return None;
        }
        _ => {
            refuse("its scheme is neither `https` nor `http`");
            return None;
        }
    }
    Some(text)
}

fn default_issuer(
    reader: Reader<'_>,
    around: &Surroundings<'_>,
    base_path: &str,
) -> Option<String> {
    let local = |origin: &String| host_of(origin).1;
    match around.mounts.as_slice() {
        [first, ..] if around.mounts.iter().all(local) => {
            let issuer = format!("{first}{}", base_path.trim_end_matches('/'));
            let message = format!("no `issuer` is given, `{issuer}` is used");
            reader.cx.report(Diagnostic::warning(
                code::SUSPICIOUS,
                reader.span(),
                message,
            ));
            Some(issuer)
        }
        _ => {
            let message = "`authorization_server` needs the attribute `issuer`";
            reader.cx.report(
                Diagnostic::error(code::MISSING, reader.span(), message)
                    .hint("add `issuer = \"https://…\"`"),
            );
            None
        }
    }
}

/// The host of a URL, and whether it is this machine itself.
fn host_of(url: &str) -> (String, bool) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    (host.to_owned(), is_loopback(host))
}

fn check_deprecated(reader: Reader<'_>, grants: Option<&[(Grant, Span)]>) {
    let allowed = reader.boolean("allow_deprecated_grants").unwrap_or(false);
    for (grant, span) in grants.unwrap_or_default() {
        if !grant.is_deprecated() {
            continue;
        }
        let name = grant.name();
        reader.cx.report(if allowed {
            let message = format!("grant type `{name}` is deprecated (RFC 9700 §2)");
            Diagnostic::warning(code::SUSPICIOUS, *span, message)
        } else {
            let message = format!(
                "grant type `{name}` is deprecated and needs `allow_deprecated_grants = true`"
            );
            Diagnostic::error(code::CONFLICT, *span, message)
        });
    }
}

fn signing_keys(reader: Reader<'_>, longest: std::time::Duration) -> Vec<KeySpec> {
    let mut keys: Vec<KeySpec> = Vec::new();
    for block in reader.blocks("signing_key") {
        let inner = Reader::new(reader.cx, block, &signing_key::SCHEMA);
        let Some(key) = signing_key::read(inner, longest) else {
            continue;
        };
        let same = |known: &&KeySpec| {
            known.label == key.label || (key.kid.is_some() && known.kid == key.kid)
        };
        if keys.iter().any(|known| same(&known)) {
            let message = format!("signing key `{}` is defined twice", key.label);
            reader
                .cx
                .report(Diagnostic::error(code::DUPLICATE, inner.span(), message));
            continue;
        }
        keys.push(key);
    }
    keys
}

fn clients(reader: Reader<'_>, scopes: &[Scope], around: &client::Around<'_>) -> Vec<client::Read> {
    let known: Vec<&str> = scopes.iter().map(|scope| &*scope.name).collect();
    let mut clients: Vec<client::Read> = Vec::new();
    for block in reader.blocks("client") {
        let inner = Reader::new(reader.cx, block, &client::SCHEMA);
        client::check_scopes(inner, &known);
        let Some(client) = client::read(inner, around) else {
            continue;
        };
        let first = clients
            .iter()
            .find(|known| known.client.id == client.client.id);
        if let Some(first) = first {
            let message = format!("client `{}` is defined twice", client.client.id);
            reader.cx.report(
                Diagnostic::error(code::DUPLICATE, client.span, message)
                    .related(first.span, "first one"),
            );
            continue;
        }
        clients.push(client);
    }
    clients
}

/// What is served: what was listed, or what of the default list a client can use.
fn effective_grants(
    explicit: Option<&[(Grant, Span)]>,
    offered: Vec<Grant>,
    clients: &[client::Read],
    storage: bool,
) -> Vec<Grant> {
    if explicit.is_some() {
        return offered;
    }
    let usable = |grant: &Grant| {
        storage
            || *grant == Grant::ClientCredentials
            || clients.iter().any(|client| client.client.may_use(*grant))
    };
    offered.into_iter().filter(usable).collect()
}

/// What may need a store.
struct Needs<'a> {
    opaque: Option<Span>,
    grants: &'a [(Grant, Span)],
    offered: &'a [Grant],
    clients: &'a [client::Read],
}

fn check_storage(reader: Reader<'_>, around: &Surroundings<'_>, needs: &Needs<'_>) {
    if around.storage {
        return;
    }
    let report = |span: Span, what: &str| {
        let message = format!("{what} needs a `storage`");
        reader.cx.report(
            Diagnostic::error(code::INCOMPLETE, span, message)
                .hint("add `storage { url = \"sqlite:./gateway.db\" }` at the top of the file"),
        );
    };
    if let Some(span) = needs.opaque {
        report(span, "`access_token_format = \"opaque\"`");
    }
    for client in needs.clients {
        if let Some(span) = client.opaque {
            report(span, "`access_token_format = \"opaque\"`");
        }
    }
    for grant in needs.offered.iter().filter(|grant| grant.needs_store()) {
        let written = needs.grants.iter().find(|(known, _)| known == grant);
        let span = written.map_or(reader.span(), |(_, span)| *span);
        report(span, &format!("grant type `{}`", grant.name()));
    }
}

/// Tokens without end can be ended by looking them up only.
fn check_endless(
    reader: Reader<'_>,
    endless: Option<Span>,
    format: Format,
    clients: &[client::Read],
) {
    let own = endless.filter(|_| format == Format::Jwt);
    let of_clients = clients
        .iter()
        .filter(|read| read.client.format == Format::Jwt)
        .filter_map(|read| read.endless);
    for span in own.into_iter().chain(of_clients) {
        reader.bad_value(
            span,
            "tokens without end need `access_token_format = \"opaque\"`",
        );
    }
}

fn provision_keys(reader: Reader<'_>) -> Vec<crate::oauth::server::Digest> {
    secret::warn_if_literal(reader, "provision_keys", None);
    list(reader, "provision_keys")
        .iter()
        .map(|key| sha256(key.as_bytes()))
        .collect()
}

fn warn_about_open_doors(reader: Reader<'_>, allow_http: bool, issuer: &str) {
    let warn = |name: &str, message: &str| {
        let span = reader
            .attribute(name)
            .map_or(reader.span(), |attribute| attribute.value_span);
        reader
            .cx
            .report(Diagnostic::warning(code::SUSPICIOUS, span, message));
    };
    let is = |name: &str, value: &str| {
        let found = reader.string(name);
        found.is_some_and(|found| found.value == value)
    };
    if is("introspection_auth", "none") {
        warn("introspection_auth", "anybody may introspect tokens");
    }
    if is("pkce", "none") {
        warn(
            "pkce",
            "codes are not bound to who asked for them (RFC 9700 §2.1.1)",
        );
    }
    if allow_http && issuer.starts_with("http:") && !host_of(issuer).1 {
        warn("allow_http", "tokens and secrets travel in plain text");
    }
}

/// A mounted endpoint.
#[derive(Debug)]
pub struct Mounted {
    /// The server.
    pub server: Arc<Server>,
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Where it is mounted.
    pub mount: Arc<str>,
}
