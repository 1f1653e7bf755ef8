//! `beta_external_authz`: a service of its own decides about requests.
//!
//! ```hcl
//! beta_external_authz "service" {
//!   url                  = "http://localhost:8082/decide"
//!   permissions_property = "permissions"
//! }
//! ```

mod question;

use super::{Authenticate, Verdict};
use crate::blocks::backend::{self, Backend, Origin};
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels, Rule};
use crate::blocks::{Definitions, error_handler};
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::{Fractions, Program, Text, Value};
use crate::http::exchange::Exchange;
use crate::http::fetch::{Answer, Fetch};
use crate::http::message::media_type;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "beta_external_authz",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start(
            "url",
            Kind::String,
            "Absolute URL, or a path at the backend.",
        ),
        AttributeSchema::start("backend", Kind::String, "Label of a defined backend.")
            .refers_to("backend"),
        AttributeSchema::start(
            "include_tls",
            Kind::Bool,
            "Tell the service about the TLS connection, too.",
        )
        .default("false"),
        AttributeSchema::start(
            "permissions_property",
            Kind::String,
            "Property of the answer that grants permissions.",
        ),
    ],
    groups: &[schema::LOG_FIELDS],
    blocks: &[
        Child::optional(&backend::SCHEMA),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[
        Rule::AnyOf(&["url", "backend", "backend {}"]),
        Rule::OneOf(&["backend", "backend {}"]),
    ],
    docs: "A service of its own decides about requests.",
    example: r#"server {
  access_control = ["service"]
  endpoint "/" {
    response {}
  }
}

definitions {
  beta_external_authz "service" {
    url                  = "http://localhost:8082/decide"
    permissions_property = "permissions"
  }
}
"#,
};

/// Longest answer.
const MAX_BYTES: u64 = 1 << 20;
/// The longest wait, whatever the time limits of the backend are.
const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct ExternalAuthz {
    url: String,
    backend: Arc<Backend>,
    include_tls: bool,
    permissions_property: Option<String>,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    reader.check_rules();
    let backend = Backend::of(reader, definitions);
    let url = reader.filled("url");
    if let Some(url) = &url
        && !is_usable(
            &url.value,
            reader.has("backend") || reader.inner("backend").is_some(),
        )
    {
        let message = format!("`url`: `{}` is no usable URL", url.value);
        reader.cx.report(
            Diagnostic::error(code::BAD_VALUE, url.span, message)
                .hint("it is an absolute URL, or a path at the origin of a `backend`"),
        );
    }
    let include_tls = reader.boolean("include_tls").unwrap_or(false);
    let property = reader.filled("permissions_property");
    Some(Box::new(ExternalAuthz {
        url: url.map_or_else(|| "/".to_owned(), |url| url.value),
        backend: backend?,
        include_tls,
        permissions_property: property.map(|name| name.value),
    }))
}

fn is_usable(url: &str, has_backend: bool) -> bool {
    if Origin::split(url).is_some() {
        return true;
    }
    let plain = |byte: u8| byte.is_ascii_graphic();
    has_backend && !url.contains("://") && url.bytes().all(plain)
}

fn denied(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::ExternalAuthz, why)
}

/// What an answer leads to.
struct Outcome {
    /// For `request.context.LABEL`.
    context: Value<'static>,
    /// What is granted, or why the request is denied.
    verdict: Result<Vec<String>, Error>,
}

impl ExternalAuthz {
    async fn ask(&self, exchange: &Exchange) -> Result<Answer, Error> {
        let mut headers = HeaderMap::with_capacity(2);
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json.clone());
        headers.insert(header::ACCEPT, json);
        let fetch = Fetch {
            name: "external_authz",
            url: &self.url,
            method: Method::POST,
            headers,
            body: question::of(exchange, self.include_tls).into(),
            max_bytes: MAX_BYTES,
            timeout: TIMEOUT,
        };
        fetch
            .send_for(&self.backend, Some(exchange.id), exchange, &exchange.worker)
            .await
            .map_err(|error| denied(format!("no answer from the service: {error}")))
    }

    fn judge(&self, answer: &Answer) -> Result<Outcome, Error> {
        match answer.status {
            StatusCode::OK => self.allowed(answer),
            StatusCode::UNAUTHORIZED => Ok(invalid_credentials(answer)),
            StatusCode::FORBIDDEN => Err(Error::new(
                ErrorKind::ExternalAuthzInsufficientPermissions,
                "the service found the permissions wanting",
            )),
            status => Err(denied(format!(
                "unexpected status of the service: {status}"
            ))),
        }
    }

    fn allowed(&self, answer: &Answer) -> Result<Outcome, Error> {
        let mut properties = properties(answer)?;
        let granted = match &self.permissions_property {
            None => Vec::new(),
            Some(name) => properties
                .iter()
                .find(|(known, _)| known.as_bytes() == name.as_bytes())
                .and_then(|(_, value)| permissions(value))
                .ok_or_else(|| {
                    denied(format!(
                        "property `{name}` of the answer is neither a string nor a list of strings"
                    ))
                })?,
        };
        properties.retain(|(name, _)| name.as_bytes() != b"headers");
        properties.push(("headers".into(), header_fields(&answer.headers)));
        Ok(Outcome {
            context: Value::object(properties),
            verdict: Ok(granted),
        })
    }
}

/// The members of a JSON answer; none of other media types and empty ones.
fn properties(answer: &Answer) -> Result<Vec<(Text<'static>, Value<'static>)>, Error> {
    if answer.body.is_empty() || media_type(&answer.headers) != "application/json" {
        return Ok(Vec::new());
    }
    match Value::from_json(&answer.body, Fractions::Double).map(Value::into_owned) {
        Ok(Value::Object(fields) | Value::Map(fields)) => Ok(fields.into_vec()),
        Ok(other) => {
            let found = other.type_name();
            Err(denied(format!("the answer is no JSON object but {found}")))
        }
        Err(_) => Err(denied("the answer is no JSON")),
    }
}

/// Header fields, the first value of each, by their lower-case names.
fn header_fields(headers: &HeaderMap) -> Value<'static> {
    let field = |name: &http::HeaderName| {
        let value = headers.get(name)?.as_bytes().to_vec();
        Some((name.as_str().to_owned().into(), Value::string(value)))
    };
    Value::object(headers.keys().filter_map(field).collect())
}

/// A string of words or a list of strings.
fn permissions(value: &Value<'_>) -> Option<Vec<String>> {
    let words: Vec<String> = match (value.as_str(), value.as_items()) {
        (Some(text), _) => text.split(' ').map(str::to_owned).collect(),
        (None, Some(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        (None, None) => return None,
    };
    let words = words.iter().map(|word| word.trim().to_owned());
    Some(words.filter(|word| !word.is_empty()).collect())
}

/// The service's challenge goes on to the client, or to an error handler.
fn invalid_credentials(answer: &Answer) -> Outcome {
    let challenges: Vec<&HeaderValue> = answer
        .headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .collect();
    let mut error = Error::new(
        ErrorKind::ExternalAuthzInvalidCredentials,
        "the service refused the credentials",
    );
    for challenge in &challenges {
        error = error.with_header(header::WWW_AUTHENTICATE, (*challenge).clone());
    }
    let texts: Vec<&[u8]> = challenges.iter().map(|value| value.as_bytes()).collect();
    let mut context = Vec::new();
    if !texts.is_empty() {
        let joined = Value::string(texts.join(&b", "[..]));
        context.push(("www_authenticate".into(), joined));
    }
    Outcome {
        context: Value::object(context),
        verdict: Err(error),
    }
}

impl Authenticate for ExternalAuthz {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        Verdict::Later(Box::pin(async move {
            let answer = self.ask(exchange).await?;
            let outcome = self.judge(&answer)?;
            exchange.set_context(label, Arc::new(outcome.context));
            let granted = outcome.verdict?;
            if self.permissions_property.is_some() {
                exchange.grant(&granted);
            }
            Ok(())
        }))
    }

    fn default_types(&self) -> &'static [ErrorKind] {
        &[ErrorKind::ExternalAuthzInvalidCredentials]
    }

    fn programs(&self) -> Vec<&Program> {
        self.backend.programs().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_words_or_a_list() {
        let words = |json: &str| {
            let value = Value::from_json(json.as_bytes(), Fractions::Double).unwrap();
            permissions(&value)
        };
        let list = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(words("\"a  b \""), list(&["a", "b"]));
        assert_eq!(words(r#"["a b", " c "]"#), list(&["a b", "c"]));
        assert_eq!(words("[]"), list(&[]));
        for json in ["1", "null", "{}", r#"["a", 1]"#] {
            assert_eq!(words(json), None, "{json}");
        }
    }

    #[test]
    fn relative_urls_need_a_backend() {
        assert!(is_usable("http://localhost:1/x", false));
        assert!(is_usable("/decide?x=1", true));
        assert!(!is_usable("/decide", false));
        assert!(!is_usable("ftp://localhost/", true));
        assert!(!is_usable("http://", true));
        assert!(!is_usable("/a b", true));
    }
}
