//! `jwt_signing_profile`: key and claims for tokens made by `jwt_sign()`.
//!
//! ```hcl
//! jwt_signing_profile "token" {
//!   signature_algorithm = "HS256"
//!   key                 = "a secret of at least thirty-two bytes"
//!   ttl                 = "10m"
//! }
//! ```

use super::context::Context;
use super::reader::Reader;
use super::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::clock::Clock;
use crate::crypto::{Algorithm, Family, SigningKey, random};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, code};
use crate::expr::{Args, Arity, Function, Program, Scope, Value};
use crate::hcl::{Block, Body};
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "jwt_signing_profile",
    // Required in `definitions`, which checks it; without meaning elsewhere.
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start(
            "signature_algorithm",
            Kind::String,
            "The algorithm of signatures.",
        )
        .one_of(&Algorithm::NAMES)
        .required(),
        AttributeSchema::start("key", Kind::String, "Secret, or private key as PEM."),
        AttributeSchema::start("key_file", Kind::Path, "File with the key."),
        AttributeSchema::start(
            "ttl",
            Kind::Duration,
            "Lifetime; `0` for tokens without end.",
        )
        .required(),
        AttributeSchema::request("claims", Kind::Object, "Claims of every token."),
        AttributeSchema::request("headers", Kind::Object, "Further header members."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "Key and claims for tokens made by `jwt_sign()`.",
    example: r#"server {
  endpoint "/" {
    response { body = jwt_sign("token", { sub = "me" }) }
  }
}

definitions {
  jwt_signing_profile "token" {
    signature_algorithm = "HS256"
    key                 = "a secret of at least thirty-two bytes"
    ttl                 = "10m"
  }
}
"#,
};

/// What `jwt_sign` needs of a profile.
#[derive(Debug)]
pub struct Profile {
    key: SigningKey,
    ttl: Duration,
    claims: Option<Program>,
    headers: Option<Program>,
}

/// The profiles of a configuration. Filled once all definitions are read, since claims are
/// expressions that may themselves call `jwt_sign`.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    map: Arc<OnceLock<BTreeMap<String, Profile>>>,
    /// The labels, which are known before the blocks are read.
    labels: Arc<OnceLock<BTreeSet<String>>>,
}

/// The algorithms that keys of the language are for.
pub fn algorithm(reader: Reader<'_>, name: &str) -> Option<Algorithm> {
    let text = reader.string(name)?;
    let known = text.value.parse::<Algorithm>().ok();
    if known.is_none() {
        let message = format!("`{name}`: `{}` is not supported", text.value);
        let hint = did_you_mean(&text.value, Algorithm::NAMES)
            .unwrap_or_else(|| format!("it is one of {}", Algorithm::NAMES.join(", ")));
        reader
            .cx
            .report(Diagnostic::error(code::BAD_VALUE, text.span, message).hint(hint));
    }
    known
}

/// The blocks that `jwt_sign` may name.
fn signing(definitions: &Body) -> impl Iterator<Item = &Block> {
    let signs = |block: &&Block| match block.kind.text.as_str() {
        "jwt" => block.body.attribute("signing_ttl").is_some(),
        kind => kind == SCHEMA.name,
    };
    definitions.blocks.iter().filter(signs)
}

impl Profiles {
    /// Learns the labels, so that calls with others are found while expressions are compiled.
    pub fn know(&self, definitions: &Body) {
        let labels = signing(definitions).map(|block| block.label().to_owned());
        // A second call would be a fault of the loader; the first labels stay.
        let _ = self.labels.set(labels.collect());
    }

    /// The function that uses them.
    pub fn function(&self) -> Arc<dyn Function> {
        Arc::new(JwtSign {
            profiles: self.clone(),
        })
    }

    /// Reads the profiles, and the `jwt` blocks that serve as one.
    pub fn fill(&self, cx: &Context<'_>, definitions: &Body) {
        let mut map = BTreeMap::new();
        for block in signing(definitions) {
            let profile = if block.kind.text == SCHEMA.name {
                Profile::read(Reader::new(cx, block, &SCHEMA))
            } else {
                Profile::of_jwt(Reader::new(cx, block, &super::access::jwt::SCHEMA))
            };
            if let Some(profile) = profile {
                map.insert(block.label().to_owned(), profile);
            }
        }
        // A second call would be a fault of the loader; the first table stays.
        let _ = self.map.set(map);
    }
}

impl Profile {
    fn read(reader: Reader<'_>) -> Option<Self> {
        let algorithm = algorithm(reader, "signature_algorithm");
        let key = key(reader, algorithm?, "key", "key_file");
        refuse_alg(reader);
        Some(Self {
            ttl: ttl(reader, "ttl")?,
            claims: reader.program("claims"),
            headers: reader.program("headers"),
            key: key?,
        })
    }

    /// A `jwt` block with `signing_ttl`: an HMAC key signs, too; others need a private key.
    fn of_jwt(reader: Reader<'_>) -> Option<Self> {
        if !reader.has("signature_algorithm") {
            let message = "`signing_ttl` needs `signature_algorithm` and a key to sign with";
            let span = reader
                .attribute("signing_ttl")
                .map_or(reader.span(), |a| a.name.span);
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, span, message));
        }
        let algorithm = algorithm(reader, "signature_algorithm")?;
        let (inline, file) = if algorithm.family() == Family::Hmac {
            ("key", "key_file")
        } else {
            ("signing_key", "signing_key_file")
        };
        Some(Self {
            key: key(reader, algorithm, inline, file)?,
            ttl: ttl(reader, "signing_ttl")?,
            claims: reader.program("claims"),
            headers: None,
        })
    }

    fn token(&self, argument: &Value<'_>, scope: &dyn Scope) -> Result<String, String> {
        let mut claims = serde_json::Map::new();
        if let Some(program) = &self.claims {
            merge(
                &mut claims,
                &evaluate(program, scope)?,
                "the profile's claims",
            )?;
        }
        set_exp(&mut claims, self.ttl);
        merge(&mut claims, argument, "the claims")?;
        let mut headers = serde_json::Map::new();
        if let Some(program) = &self.headers {
            merge(
                &mut headers,
                &evaluate(program, scope)?,
                "the profile's headers",
            )?;
        }
        headers.remove("alg");
        let header = self.key.header(&headers);
        let payload = serde_json::to_vec(&claims).map_err(|_| "the claims are no JSON")?;
        self.key
            .sign(&header, &payload)
            .map_err(|error| error.to_string())
    }
}

fn evaluate<'s>(program: &'s Program, scope: &'s dyn Scope) -> Result<Value<'s>, String> {
    program.eval(scope).map_err(|error| error.to_string())
}

/// Adds the members of an object; later ones win.
fn merge(
    into: &mut serde_json::Map<String, serde_json::Value>,
    value: &Value<'_>,
    what: &str,
) -> Result<(), String> {
    let Some(fields) = value.as_fields() else {
        return Err(format!(
            "{what} must be an object, found {}",
            value.type_name()
        ));
    };
    for (name, value) in fields.as_slice() {
        let mut json = Vec::new();
        value.write_json(&mut json);
        let value = serde_json::from_slice(&json).map_err(|_| format!("{what} are no JSON"))?;
        into.insert(name.to_str_lossy().into_owned(), value);
    }
    Ok(())
}

fn key(reader: Reader<'_>, algorithm: Algorithm, inline: &str, file: &str) -> Option<SigningKey> {
    let Some(bytes) = reader.inline_or_file(inline, file) else {
        if !reader.has(inline) && !reader.has(file) {
            let label = reader.label().map_or("", |label| &label.text);
            let message = format!(
                "`{}` `{label}` needs `{inline}` or `{file}`",
                reader.schema().name
            );
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, reader.span(), message));
        }
        return None;
    };
    let key = if algorithm.family() == Family::Hmac {
        SigningKey::from_secret(algorithm, &bytes.value)
    } else {
        SigningKey::from_pem(algorithm, &bytes.value)
    };
    match key {
        Ok(key) => {
            if let Some(weakness) = key.weakness() {
                reader.cx.report(Diagnostic::warning(
                    code::SUSPICIOUS,
                    bytes.span,
                    weakness.to_string(),
                ));
            }
            Some(key)
        }
        Err(error) => {
            let message = format!("key for {}: {error}", algorithm.name());
            reader
                .cx
                .report(Diagnostic::error(code::BAD_VALUE, bytes.span, message));
            None
        }
    }
}

fn ttl(reader: Reader<'_>, name: &str) -> Option<Duration> {
    let text = reader.string(name)?;
    match super::duration::parse(&text.value) {
        Ok(duration) => Some(duration),
        Err(why) => {
            let message = format!("`{name}`: `{}` is no duration: {why}", text.value);
            reader.bad_value(text.span, message);
            None
        }
    }
}

fn refuse_alg(reader: Reader<'_>) {
    use hcl_edit::expr::{Expression, ObjectKey};
    let Some(attribute) = reader.attribute("headers") else {
        return;
    };
    let Expression::Object(object) = &attribute.value else {
        return;
    };
    let named_alg = object.iter().any(|(key, _)| match key {
        ObjectKey::Ident(ident) => ident.as_str() == "alg",
        ObjectKey::Expression(expression) => expression.as_str() == Some("alg"),
    });
    if named_alg {
        let message = "`headers` cannot set `alg`, which follows from `signature_algorithm`";
        reader.cx.report(Diagnostic::error(
            code::CONFLICT,
            attribute.value_span,
            message,
        ));
    }
}

/// A profile inside another block: it signs the assertions of a client. All of it is known at start.
#[derive(Debug)]
pub struct Assertions {
    key: SigningKey,
    ttl: Duration,
    claims: JsonObject,
    headers: JsonObject,
}

/// Where the key of a nested profile comes from.
#[derive(Clone, Copy, Debug)]
pub enum KeySource<'a> {
    /// `key` or `key_file`, of any algorithm.
    Own,
    /// `key` or `key_file`, of an algorithm with a key pair.
    Private,
    /// The client's secret; the profile names none.
    Secret(&'a str),
}

type JsonObject = serde_json::Map<String, serde_json::Value>;

impl Assertions {
    /// Reads a profile that stands in another block.
    pub fn read(reader: Reader<'_>, source: KeySource<'_>) -> Option<Self> {
        let cx = reader.cx;
        if let Some(label) = reader.label() {
            let message = format!(
                "`jwt_signing_profile` has no label here, found `{}`",
                label.text
            );
            cx.report(Diagnostic::error(code::LABELS, label.span, message));
        }
        let object = |name: &str| {
            let mut object = JsonObject::new();
            if let Some(value) = reader.value(name).filter(|given| !given.value.is_null())
                && let Err(why) = merge(&mut object, &value.value, &format!("`{name}`"))
            {
                reader.bad_value(value.span, why);
            }
            object
        };
        let (claims, headers) = (object("claims"), object("headers"));
        if headers.contains_key("alg") {
            let span = reader
                .attribute("headers")
                .map_or(reader.span(), |a| a.value_span);
            let message = "`headers` cannot set `alg`, which follows from `signature_algorithm`";
            cx.report(Diagnostic::error(code::CONFLICT, span, message));
        }
        let ttl = ttl(reader, "ttl");
        let algorithm = algorithm(reader, "signature_algorithm")?;
        let hmac = algorithm.family() == Family::Hmac;
        let unfit = match source {
            KeySource::Private if hmac => {
                Some("`private_key_jwt` takes algorithms with a key pair")
            }
            KeySource::Secret(_) if !hmac => Some("`client_secret_jwt` takes HS algorithms"),
            _ => None,
        };
        if let Some(why) = unfit {
            let span = reader
                .attribute("signature_algorithm")
                .map_or(reader.span(), |a| a.value_span);
            let message = format!("`signature_algorithm` {}: {why}", algorithm.name());
            cx.report(Diagnostic::error(code::CONFLICT, span, message));
            return None;
        }
        let key = match source {
            KeySource::Own | KeySource::Private => key(reader, algorithm, "key", "key_file"),
            KeySource::Secret(secret) => {
                for name in ["key", "key_file"] {
                    if let Some(attribute) = reader.attribute(name) {
                        let message = format!(
                            "`{name}` cannot stand beside `client_secret_jwt`, which signs with `client_secret`"
                        );
                        let span = attribute.name.span;
                        cx.report(Diagnostic::error(code::CONFLICT, span, message));
                    }
                }
                // An empty secret has been reported by the block that has it.
                SigningKey::from_secret(algorithm, secret.as_bytes()).ok()
            }
        };
        Some(Self {
            key: key?,
            ttl: ttl?,
            claims,
            headers,
        })
    }

    /// An assertion with the claims of the profile and its `exp` alone.
    pub fn plain(&self) -> Result<SecretString, String> {
        self.sign(self.claims.clone())
    }

    /// A client assertion (RFC 7523 §3). `audience` counts where the profile has no `aud`.
    pub fn of_client(&self, id: &str, audience: Option<&str>) -> Result<SecretString, String> {
        let mut claims = self.claims.clone();
        if let Some(audience) = audience {
            claims
                .entry("aud")
                .or_insert_with(|| audience.to_owned().into());
        }
        claims.insert("iss".into(), id.into());
        claims.insert("sub".into(), id.into());
        claims.insert("iat".into(), Clock::System.unix().seconds().into());
        let jti = random::jti().map_err(|error| error.to_string())?;
        claims.insert("jti".into(), jti.into());
        self.sign(claims)
    }

    fn sign(&self, mut claims: JsonObject) -> Result<SecretString, String> {
        set_exp(&mut claims, self.ttl);
        let payload = serde_json::to_vec(&claims).map_err(|_| "the claims are no JSON")?;
        self.key
            .sign(&self.key.header(&self.headers), &payload)
            .map(SecretString::from)
            .map_err(|error| error.to_string())
    }
}

/// `exp` = now + ttl in whole seconds; nothing for a ttl of zero.
fn set_exp(claims: &mut JsonObject, ttl: Duration) {
    if !ttl.is_zero() {
        let now = Clock::System.unix().seconds();
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        claims.insert("exp".into(), now.saturating_add(ttl).into());
    }
}

/// `jwt_sign(label, claims)`: a signed token.
#[derive(Debug)]
struct JwtSign {
    profiles: Profiles,
}

fn unknown(label: &str) -> String {
    format!("no `jwt_signing_profile`, nor a `jwt` with `signing_ttl`, has the label `{label}`")
}

impl Function for JwtSign {
    fn name(&self) -> &str {
        "jwt_sign"
    }

    fn signature(&self) -> &'static str {
        "jwt_sign(label, claims)"
    }

    fn docs(&self) -> &'static str {
        "A token signed with the `jwt_signing_profile`, or the `jwt` with `signing_ttl`, of that label; further claims may be left out."
    }

    fn arity(&self) -> Arity {
        Arity {
            min: 1,
            max: Some(2),
        }
    }

    fn check_constants(&self, args: &[Option<&Value<'_>>]) -> Result<(), (String, Option<String>)> {
        let label = args.first().copied().flatten().and_then(Value::as_str);
        match (label, self.profiles.labels.get()) {
            (Some(label), Some(known)) if !known.contains(label) => Err((
                unknown(label),
                did_you_mean(label, known.iter().map(String::as_str)),
            )),
            _ => Ok(()),
        }
    }

    fn call<'s>(&'s self, args: Args<'s>, scope: &'s dyn Scope) -> Result<Value<'s>, String> {
        let label = args
            .first()
            .and_then(Value::as_str)
            .ok_or("the label must be a string")?;
        let profile = self
            .profiles
            .map
            .get()
            .and_then(|map| map.get(label))
            .ok_or_else(|| unknown(label))?;
        let none = Value::object(Vec::new());
        let claims = args.get(1).unwrap_or(&none);
        profile.token(claims, scope).map(Value::from)
    }
}
