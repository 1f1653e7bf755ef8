//! `beta_token_request`: a request whose answer yields a token for the backend.
//!
//! ```hcl
//! beta_token_request {
//!   url       = "http://localhost:8082/token"
//!   form_body = { user = "me" }
//!   token     = beta_token_response.json_body.token
//!   ttl       = "10m"
//! }
//! ```

use super::Backend;
use crate::blocks::definitions::Definitions;
use crate::blocks::fingerprint::Fingerprint;
use crate::blocks::modifiers::{HeaderModifiers, ParamModifiers};
use crate::blocks::reader::Reader;
use crate::blocks::response::Content;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::expr::{Program, Scope};
use crate::oauth::client::token_cache::{Settings, Token, TokenEntry};
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_token_request",
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend.")
            .refers_to("backend"),
        AttributeSchema::start(
            "url",
            Kind::String,
            "Absolute URL, or a path at the backend.",
        ),
        AttributeSchema::request(
            "method",
            Kind::String,
            "The method; `POST` when there is a body.",
        )
        .default("GET"),
        AttributeSchema::request("headers", Kind::Object, "Header fields."),
        AttributeSchema::request("query_params", Kind::Object, "Query parameters."),
        AttributeSchema::request("body", Kind::String, "The body as `text/plain`."),
        AttributeSchema::request("form_body", Kind::Object, "The body as form."),
        AttributeSchema::request("json_body", Kind::Any, "The body as JSON."),
        AttributeSchema::request(
            "expected_status",
            Kind::Numbers,
            "Any other status is a failed token request.",
        ),
        AttributeSchema::request(
            "token",
            Kind::String,
            "The token, from `beta_token_response`.",
        )
        .required(),
        AttributeSchema::request(
            "ttl",
            Kind::Duration,
            "Its lifetime, from `beta_token_response`.",
        )
        .required(),
    ],
    groups: &[],
    blocks: &[Child::optional(&super::SCHEMA)],
    rules: &[
        Rule::OneOf(&["body", "form_body", "json_body"]),
        Rule::OneOf(&["backend", "backend {}"]),
    ],
    docs: "A request whose answer yields a token, known as `backend.beta_tokens.NAME`. The backend puts it into its requests itself.",
    example: r#"server {
  endpoint "/" {
    proxy { backend = "origin" }
  }
}

definitions {
  backend "origin" {
    origin = "http://localhost:8081"
    set_request_headers = {
      authorization = "Bearer ${backend.beta_token}"
    }
    beta_token_request {
      url       = "http://localhost:8082/token"
      form_body = { user = "me" }
      token     = beta_token_response.json_body.token
      ttl       = "10m"
    }
  }
}
"#,
};

/// A request for a token.
#[derive(Debug)]
pub struct TokenRequest {
    /// Its label, `default` without one.
    pub name: Arc<str>,
    /// Label of the backend that the token is for.
    pub owner: Arc<str>,
    /// Where it goes to.
    pub backend: Arc<Backend>,
    /// `url`
    pub url: String,
    /// `method`
    pub method: Option<Program>,
    /// `headers`
    pub headers: HeaderModifiers,
    /// `query_params`
    pub query: ParamModifiers,
    /// `body`, `form_body` or `json_body`
    pub body: Content,
    /// `expected_status`
    pub expected_status: Option<Program>,
    token: Program,
    ttl: Program,
}

/// A request for a token, and where the token is kept. They are apart, so that a fetch under way keeps
/// alive nothing that a reload has dropped.
#[derive(Debug)]
pub struct TokenSource {
    /// The request.
    pub request: Arc<TokenRequest>,
    /// The token.
    pub entry: Arc<TokenEntry>,
}

/// The tokens that a request is sent with. A token for one use is known here alone.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// That of `oauth2`, and where it is kept.
    pub oauth2: Option<(Arc<Token>, Arc<TokenEntry>)>,
    /// Those of the token requests, in their order.
    pub requested: Vec<Arc<Token>>,
}

impl TokenSource {
    /// Reads all of a backend. What is kept of their tokens is known by `owner`.
    pub(super) fn read_all(
        reader: Reader<'_>,
        label: &Arc<str>,
        owner: &str,
        definitions: &Definitions<'_>,
    ) -> Vec<Self> {
        check_names(reader);
        let sources = reader.blocks(SCHEMA.name).filter_map(|block| {
            let inner = Reader::new(reader.cx, block, &SCHEMA);
            let request = TokenRequest::read(inner, label, definitions)?;
            let identity = Fingerprint::of("token").text(owner);
            let identity = identity.block(block, definitions);
            let entry = || TokenEntry::new(Settings::default(), Clock::System);
            let entry = reader.cx.keep(identity, entry);
            super::series::show_token(reader.cx, &entry, label, &request.name);
            Some(Self {
                request: Arc::new(request),
                entry,
            })
        });
        sources.collect()
    }
}

impl TokenRequest {
    /// Reads the block.
    fn read(reader: Reader<'_>, owner: &Arc<str>, definitions: &Definitions<'_>) -> Option<Self> {
        let backend = Backend::of(reader, definitions);
        let url = reader.string("url");
        let is_absolute = url
            .as_ref()
            .is_some_and(|url| super::Origin::split(&url.value).is_some());
        if !is_absolute && !reader.has("backend") && reader.inner("backend").is_none() {
            let span = url.as_ref().map_or(reader.span(), |url| url.span);
            let message = "`beta_token_request` needs a `backend` or an absolute `url`";
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, span, message));
        }
        let token = reader.program("token");
        let ttl = reader.program("ttl");
        check_constant(reader, "token", token.as_ref(), |_| Ok(()));
        check_constant(reader, "ttl", ttl.as_ref(), |text| {
            crate::blocks::duration::parse(text).map(drop)
        });
        let name = reader.label().map_or("default", |label| &label.text);
        Some(Self {
            name: name.into(),
            owner: Arc::clone(owner),
            url: url.map(|url| url.value).unwrap_or_default(),
            method: reader.program("method"),
            headers: HeaderModifiers::set_only(reader, "headers"),
            query: ParamModifiers::set_only(reader, "query_params"),
            body: Content::read(reader, &["body", "form_body", "json_body"]),
            expected_status: reader.program("expected_status"),
            token: token?,
            ttl: ttl?,
            backend: backend?,
        })
    }

    /// The expressions, those of its backend included.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.method
            .iter()
            .chain(self.headers.programs())
            .chain(self.query.programs())
            .chain(self.body.program())
            .chain(&self.expected_status)
            .chain([&self.token, &self.ttl])
            .chain(self.backend.programs())
    }

    /// Token and lifetime; `scope` knows the answer as `beta_token_response`.
    pub fn result(&self, scope: &dyn Scope) -> Result<(SecretString, Duration), String> {
        let token = text("token", &self.token, scope)?;
        if token.is_empty() {
            return Err("`token` is empty".to_owned());
        }
        let ttl = text("ttl", &self.ttl, scope)?;
        let ttl = crate::blocks::duration::parse(&ttl)
            .map_err(|why| format!("`ttl` is no duration: {why}"))?;
        Ok((token.into(), Duration::from_secs(ttl.as_secs())))
    }
}

/// What no answer can change is checked at start.
fn check_constant(
    reader: Reader<'_>,
    name: &str,
    program: Option<&Program>,
    check: impl Fn(&str) -> Result<(), &'static str>,
) {
    let Some((program, value)) = program.and_then(|p| Some((p, p.constant()?))) else {
        return;
    };
    let (code, message) = match value.as_str().map(|text| (text, check(text))) {
        Some((_, Ok(()))) => return,
        Some((text, Err(why))) => {
            let message = format!("`{name}`: `{text}` is no duration: {why}");
            (code::BAD_VALUE, message)
        }
        None => {
            let found = value.type_name();
            let message = format!("found {found} for `{name}`, which takes a string");
            (code::WRONG_TYPE, message)
        }
    };
    reader
        .cx
        .report(Diagnostic::error(code, program.span(), message));
}

fn check_names(backend: Reader<'_>) {
    let mut names: Vec<(&str, Span)> = Vec::new();
    for block in backend.blocks(SCHEMA.name) {
        let label = block.labels.first().map_or("default", |label| &label.text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if label.is_empty() || !label.bytes().all(plain) {
            let message = format!(
                "`beta_token_request` label `{label}` may hold letters, digits and `_` only"
            );
            backend
                .cx
                .report(Diagnostic::error(code::LABELS, block.header(), message));
        } else if let Some((_, first)) = names.iter().find(|(known, _)| *known == label) {
            let message = format!(
                "labels of `beta_token_request` must be unique in a backend, found `{label}` twice"
            );
            backend.cx.report(
                Diagnostic::error(code::DUPLICATE, block.header(), message)
                    .related(*first, "first one"),
            );
        }
        names.push((label, block.header()));
    }
}

fn text(name: &str, program: &Program, scope: &dyn Scope) -> Result<String, String> {
    let value = program
        .eval(scope)
        .map_err(|error| format!("`{name}`: {}", error.message))?;
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!(
            "`{name}` needs a string, found {}",
            value.type_name()
        )),
    }
}
