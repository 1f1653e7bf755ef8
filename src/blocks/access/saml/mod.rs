//! `saml`: the assertion consumer service of SAML 2.0 single sign-on.
//!
//! ```hcl
//! saml "sso" {
//!   idp_metadata_url = "https://idp.example/metadata"
//!   sp_entity_id     = "my-gateway"
//!   sp_acs_url       = "/acs"
//!   array_attributes = ["groups"]
//! }
//! ```

mod metadata;
mod request;
mod response;
mod signature;
#[cfg(test)]
mod tests;
mod xml;

use super::login::{Login, Protocol, absolute};
use super::remote::{Document as _, HOUR, Location, Remote, Renew as _, Settings};
use super::{Authenticate, Verdict};
use crate::blocks::backend::{self, Backend, Origin};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::blocks::{Definitions, Fingerprint, error_handler, form};
use crate::clock::Clock;
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::{Program, Scope, Value};
use crate::http::exchange::Exchange;
use crate::http::message;
use base64::Engine as _;
use flate2::read::DeflateDecoder;
use http::Method;
use metadata::Metadata;
use response::{Accepted, Expected};
use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "saml",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start(
            "idp_metadata_file",
            Kind::Path,
            "File with the metadata of the identity provider.",
        ),
        AttributeSchema::start("idp_metadata_url", Kind::String, "URL of these metadata."),
        AttributeSchema::start(
            "metadata_ttl",
            Kind::Duration,
            "Lifetime of metadata from a URL.",
        )
        .default("1h"),
        AttributeSchema::start(
            "metadata_max_stale",
            Kind::Duration,
            "Further lifetime while they cannot be renewed.",
        )
        .default("1h"),
        AttributeSchema::start(
            "sp_entity_id",
            Kind::String,
            "The name of this service provider.",
        )
        .required(),
        AttributeSchema::start(
            "sp_acs_url",
            Kind::String,
            "URL of the assertion consumer service, or its path.",
        )
        .required(),
        AttributeSchema::start(
            "array_attributes",
            Kind::Strings,
            "Attributes that are always lists.",
        ),
        AttributeSchema::request(
            "verifier_value",
            Kind::String,
            "The verifier of the browser that began, usually from a cookie: with it a response must answer a request of that browser.",
        ),
        AttributeSchema::start(
            "reject_replays",
            Kind::Bool,
            "Whether an assertion lets in once only.",
        )
        .default("false"),
        AttributeSchema::start(
            "backend",
            Kind::String,
            "Label of a defined backend, for `idp_metadata_url`.",
        )
        .refers_to("backend"),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[
        Rule::OneOf(&["idp_metadata_file", "idp_metadata_url"]),
        Rule::AnyOf(&["idp_metadata_file", "idp_metadata_url"]),
        Rule::OneOf(&["idp_metadata_file", "metadata_ttl"]),
        Rule::OneOf(&["idp_metadata_file", "metadata_max_stale"]),
        Rule::OneOf(&["idp_metadata_file", "backend"]),
        Rule::OneOf(&["idp_metadata_file", "backend {}"]),
        Rule::OneOf(&["backend", "backend {}"]),
    ],
    docs: "The assertion consumer service of SAML 2.0 single sign-on. The link to log in is made by `saml_sso_url()`.",
    example: r#"server {
  access_control = ["sso"]
  endpoint "/" {
    response {}
  }
}

definitions {
  saml "sso" {
    idp_metadata_url = "https://idp.example/metadata"
    sp_entity_id     = "my-gateway"
    sp_acs_url       = "/acs"
    array_attributes = ["groups"]
  }
}
"#,
};

/// Longest response, decoded.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
/// Most assertions that are remembered.
const MAX_SEEN: usize = 1 << 16;

/// A service provider.
#[derive(Debug)]
struct ServiceProvider {
    metadata: Source,
    entity_id: String,
    acs_url: String,
    array_attributes: Vec<String>,
    /// Tells the browser that began; without it every response counts.
    verifier_value: Option<Program>,
    reject_replays: bool,
    seen: Arc<Seen>,
}

/// Assertions with their ends, as unix times. Written by requests that are let in.
type Seen = Mutex<HashMap<String, i64>>;

/// Where the metadata come from.
#[derive(Debug)]
enum Source {
    File(Arc<Metadata>),
    Url(Arc<Remote<Metadata>>),
}

impl Source {
    fn current(&self, now: Instant) -> Option<Arc<Metadata>> {
        match self {
            Self::File(metadata) => Some(Arc::clone(metadata)),
            Self::Url(remote) => Some(Arc::clone(&remote.current(now)?.content)),
        }
    }

    fn missing(&self) -> String {
        match self {
            Self::File(_) => "there are no metadata".to_owned(),
            Self::Url(remote) => {
                let url = remote.settings().location.url().unwrap_or_default();
                format!("the metadata cannot be had from {url}")
            }
        }
    }
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    reader.check_rules();
    let metadata = source(reader, definitions);
    let (entity_id, acs_url) = (
        reader.required("sp_entity_id"),
        reader.required("sp_acs_url"),
    );
    let arrays = reader.strings("array_attributes").map(|list| list.value);
    let verifier_value = reader.program("verifier_value");
    let reject_replays = reader.boolean("reject_replays").unwrap_or(false);
    // An assertion is good once, whatever else changes.
    let identity = Fingerprint::of("assertions").text(reader.block.label());
    let provider = Arc::new(ServiceProvider {
        metadata: metadata?,
        entity_id: entity_id?,
        acs_url: acs_url?,
        array_attributes: arrays
            .into_iter()
            .flatten()
            .map(|name| name.value)
            .collect(),
        verifier_value,
        reject_replays,
        seen: reader.cx.keep(identity, Seen::default),
    });
    let label = reader.block.label().trim();
    definitions.add_login(Protocol::Saml, label, Arc::clone(&provider) as _);
    Some(Box::new(Saml(provider)))
}

fn source(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Source> {
    if !reader.has("idp_metadata_url") {
        let file = reader.file("idp_metadata_file")?;
        return match Metadata::parse(&file.value) {
            Ok(metadata) => Some(Source::File(Arc::new(metadata))),
            Err(why) => {
                reader.bad_value(file.span, format!("`idp_metadata_file`: {why}"));
                None
            }
        };
    }
    let backend = Backend::of(reader, definitions);
    let duration = |name: &str| reader.duration(name).map_or(HOUR, |time| time.value);
    let (ttl, max_stale) = (duration("metadata_ttl"), duration("metadata_max_stale"));
    let url = reader.required("idp_metadata_url")?;
    let given = reader.has("backend") || reader.inner("backend").is_some();
    if Origin::parse(&url).is_none() && !given {
        let span = reader.attribute("idp_metadata_url")?.value_span;
        let message = format!("`idp_metadata_url`: `{url}` is no usable URL");
        reader.bad_value(span, message);
        return None;
    }
    let settings = Settings {
        label: reader.block.label().trim().into(),
        name: "saml_metadata".into(),
        location: Location::Fixed(url),
        backend: backend?,
        ttl,
        max_stale,
    };
    let identity = Fingerprint::of("metadata").block(reader.block, definitions);
    let remote = reader.cx.keep(identity, || Remote::new(settings));
    definitions.add_remote(Arc::clone(&remote) as _);
    Some(Source::Url(remote))
}

fn denied(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Saml, why)
}

impl ServiceProvider {
    /// Lets a response in: gives what is known of the user.
    fn admit(&self, exchange: &Exchange) -> Result<Value<'static>, Error> {
        let metadata = self.metadata.current(Clock::System.now());
        let metadata = metadata.ok_or_else(|| denied(self.metadata.missing()))?;
        let text = decode(&parameter(exchange)?).map_err(denied)?;
        let acs_url = absolute(&self.acs_url, exchange).map_err(denied)?;
        let request_id = match &self.verifier_value {
            None => None,
            Some(program) => Some(request::id(&verifier(program, exchange)?)),
        };
        let now = Clock::System.unix().seconds();
        let expected = Expected {
            metadata: &metadata,
            entity_id: &self.entity_id,
            acs_url: &acs_url,
            request_id: request_id.as_deref(),
            now,
        };
        let accepted = response::check(&text, &expected).map_err(denied)?;
        if self.reject_replays || accepted.one_time {
            self.remember(&accepted, now)?;
        }
        Ok(self.context(accepted))
    }

    /// Refuses an assertion that has been used.
    fn remember(&self, accepted: &Accepted, now: i64) -> Result<(), Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN {
            seen.retain(|_, end| now < *end);
        }
        if seen.contains_key(&accepted.assertion_id) {
            return Err(denied("the assertion has been used before"));
        }
        if seen.len() >= MAX_SEEN {
            return Err(denied("too many assertions to remember"));
        }
        seen.insert(accepted.assertion_id.clone(), accepted.end);
        Ok(())
    }

    fn context(&self, accepted: Accepted) -> Value<'static> {
        let is_array = |name: &str| self.array_attributes.iter().any(|known| known == name);
        let mut attributes = Vec::new();
        for name in &self.array_attributes {
            let known = accepted.attributes.iter().any(|(found, _)| found == name);
            if !known && !attributes.iter().any(|(found, _)| found == name) {
                attributes.push((name.clone(), Value::list(Vec::new())));
            }
        }
        for (name, mut values) in accepted.attributes {
            if is_array(&name) {
                let values = values.into_iter().map(Value::from).collect();
                attributes.push((name, Value::list(values)));
            } else if let Some(last) = values.pop() {
                attributes.push((name, Value::from(last)));
            }
        }
        let attributes = attributes
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        let mut context = vec![
            ("sub".into(), Value::from(accepted.subject)),
            ("attributes".into(), Value::object(attributes)),
        ];
        if let Some(end) = accepted.session_end {
            context.push(("exp".into(), Value::number(end)));
        }
        Value::object(context)
    }
}

fn verifier(program: &Program, exchange: &Exchange) -> Result<String, Error> {
    let value = program
        .eval(exchange)
        .map_err(|error| denied(format!("`verifier_value`: {}", error.message)))?;
    let text = value.as_str().map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(denied("empty verifier_value"));
    }
    Ok(text.to_owned())
}

/// `SAMLResponse` of the form, else of the query.
fn parameter(exchange: &Exchange) -> Result<Vec<u8>, Error> {
    let is_form = exchange.method == Method::POST
        && message::media_type(exchange.headers()) == "application/x-www-form-urlencoded";
    let body = exchange.body.as_deref().filter(|_| is_form);
    let query = exchange.uri.query().unwrap_or("").as_bytes();
    for text in [body.unwrap_or_default(), query] {
        let mut values = form::pairs(text, true).filter(|(name, _)| name == b"SAMLResponse");
        match (values.next(), values.next()) {
            (None, _) => {}
            (Some((_, value)), None) => return Ok(value),
            (Some(_), Some(_)) => return Err(denied("several parameters `SAMLResponse`")),
        }
    }
    Err(denied("missing parameter `SAMLResponse`"))
}

/// The message: base64, and deflated if it came by a query.
fn decode(encoded: &[u8]) -> Result<String, String> {
    let too_large = || "the response is over 1 MiB".to_owned();
    let compact: Vec<u8> = encoded
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if compact.len() / 4 * 3 > MAX_RESPONSE_BYTES {
        return Err(too_large());
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(compact)
        .map_err(|_| "the response is no base64")?;
    let first = bytes.trim_ascii_start().first();
    let bytes = if matches!(first, Some(b'<' | 0xef)) {
        bytes
    } else {
        let mut inflated = Vec::new();
        let limit = u64::try_from(MAX_RESPONSE_BYTES).unwrap_or(u64::MAX);
        DeflateDecoder::new(&*bytes)
            .take(limit + 1)
            .read_to_end(&mut inflated)
            .map_err(|_| "the response is no XML")?;
        if inflated.len() > MAX_RESPONSE_BYTES {
            return Err(too_large());
        }
        inflated
    };
    String::from_utf8(bytes).map_err(|_| "the response is no UTF-8 text".to_owned())
}

impl Login for ServiceProvider {
    fn url(&self, scope: &dyn Scope) -> Result<String, String> {
        let metadata = self.metadata.current(Clock::System.now());
        let metadata = metadata.ok_or_else(|| self.metadata.missing())?;
        let acs_url = absolute(&self.acs_url, scope)?;
        let verifier = scope.verifier().ok_or("there is no request")?;
        let now = Clock::System.unix();
        request::url(&metadata, &self.entity_id, &acs_url, verifier, now)
    }
}

/// The assertion consumer service.
#[derive(Debug)]
struct Saml(Arc<ServiceProvider>);

impl Saml {
    fn check(&self, label: &Arc<str>, exchange: &mut Exchange) -> Result<(), Error> {
        let user = self.0.admit(exchange)?;
        // The response opens the door: nobody behind it needs it any more.
        exchange.consume_body();
        exchange.set_context(label, Arc::new(user));
        Ok(())
    }
}

impl Authenticate for Saml {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        match &self.0.metadata {
            Source::Url(remote) if !remote.is_settled() => Verdict::Later(Box::pin(async move {
                remote.settle().await;
                self.check(label, exchange)
            })),
            Source::File(_) | Source::Url(_) => Verdict::Now(self.check(label, exchange)),
        }
    }

    fn reads_body(&self) -> bool {
        true
    }

    fn programs(&self) -> Vec<&Program> {
        self.0.verifier_value.iter().collect()
    }
}
