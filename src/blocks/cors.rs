//! `cors`: what scripts of other origins may do with the answers of a place.
//!
//! ```hcl
//! api {
//!   cors {
//!     allowed_origins   = ["https://www.example.com"]
//!     allow_credentials = true
//!     max_age           = "1h"
//!   }
//! }
//! ```
//!
//! A nested block takes the place of the server's. The headers stand on every answer of the place,
//! error pages too; a preflight is answered before any access control (Fetch, CORS protocol).

use super::reader::Reader;
use super::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "cors",
    labels: Labels::None,
    attributes: &[
        AttributeSchema::start(
            "allowed_origins",
            Kind::StringOrStrings,
            "Origins that may read answers; `*` for all.",
        )
        .required(),
        AttributeSchema::start(
            "allow_credentials",
            Kind::Bool,
            "Whether requests may carry credentials.",
        )
        .default("false"),
        AttributeSchema::start(
            "max_age",
            Kind::Duration,
            "How long browsers may keep the answer of a preflight, in whole seconds.",
        ),
        AttributeSchema::start("disable", Kind::Bool, "Switches an inherited block off.")
            .default("false"),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "What scripts of other origins may do with the answers of a place.",
    example: r#"server {
  cors {
    allowed_origins   = ["https://www.example"]
    allow_credentials = true
    max_age           = "1h"
  }
  endpoint "/" {
    response {}
  }
}
"#,
};

/// What an origin's own answer may say; the gateway's word replaces it.
static RESPONSE_FIELDS: [HeaderName; 5] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// A `cors` block that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    any_origin: bool,
    origins: Vec<String>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

impl Cors {
    /// What is in force inside a block: its own `cors`, else what it inherits.
    pub fn inside(reader: Reader<'_>, inherited: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        match reader.inner("cors") {
            Some(block) => Self::read(Reader::new(reader.cx, block, &SCHEMA)).map(Arc::new),
            None => inherited.cloned(),
        }
    }

    fn read(reader: Reader<'_>) -> Option<Self> {
        let origins: Vec<String> = reader
            .strings("allowed_origins")
            .map(|list| list.value.into_iter().map(|origin| origin.value).collect())
            .unwrap_or_default();
        let cors = Self {
            any_origin: origins.iter().any(|origin| origin == "*"),
            origins,
            credentials: reader.boolean("allow_credentials").unwrap_or(false),
            max_age: reader
                .duration("max_age")
                .map(|age| HeaderValue::from(age.value.as_secs())),
        };
        (!reader.boolean("disable").unwrap_or(false)).then_some(cors)
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = origin.as_bytes();
        self.any_origin
            || self
                .origins
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(origin))
    }
}

/// What a request asks of a `cors` block, kept apart from the request's own fields, which may have
/// been sent on when the answer comes.
#[derive(Debug)]
pub struct CorsRequest {
    cors: Arc<Cors>,
    origin: Option<HeaderValue>,
    preflight: Option<Preflight>,
}

#[derive(Debug, Default)]
struct Preflight {
    method: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    method_allowed: bool,
}

impl CorsRequest {
    /// What a request asks.
    pub fn new(cors: &Arc<Cors>, method: &Method, headers: &HeaderMap) -> Self {
        let requested = |name: HeaderName| headers.get(name).cloned();
        let preflight = Preflight {
            method: requested(header::ACCESS_CONTROL_REQUEST_METHOD),
            headers: requested(header::ACCESS_CONTROL_REQUEST_HEADERS),
            method_allowed: false,
        };
        let asks = preflight.method.is_some() || preflight.headers.is_some();
        Self {
            cors: Arc::clone(cors),
            origin: headers.get(header::ORIGIN).cloned(),
            preflight: (*method == Method::OPTIONS && asks).then_some(preflight),
        }
    }

    /// Whether it is a preflight, which the gateway answers by itself. `allows` tells which methods
    /// the place lets in.
    pub fn is_preflight(&mut self, allows: impl Fn(&Method) -> bool) -> bool {
        let Some(preflight) = &mut self.preflight else {
            return false;
        };
        preflight.method_allowed = preflight
            .method
            .as_ref()
            .and_then(|name| Method::from_bytes(name.as_bytes()).ok())
            .is_some_and(|method| allows(&method));
        true
    }

    /// Puts the fields of the answer in place of any an origin has sent.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &RESPONSE_FIELDS {
            headers.remove(name);
        }
        let cors = &*self.cors;
        let allowed = self.origin.as_ref().filter(|origin| cors.allows(origin));
        if cors.any_origin && !cors.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
        } else {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
            if let Some(origin) = allowed {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
        }
        if allowed.is_none() {
            return;
        }
        if cors.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if let Some(preflight) = &self.preflight {
            preflight.apply(headers);
            if let Some(age) = &cors.max_age {
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, age.clone());
            }
        }
    }
}

impl Preflight {
    fn apply(&self, headers: &mut HeaderMap) {
        if let Some(method) = &self.method {
            headers.append(
                header::VARY,
                HeaderValue::from_static("Access-Control-Request-Method"),
            );
            if self.method_allowed {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
            }
        }
        if let Some(names) = &self.headers {
            headers.append(
                header::VARY,
                HeaderValue::from_static("Access-Control-Request-Headers"),
            );
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Arc<Cors> {
        Arc::new(Cors {
            any_origin: origins.contains(&"*"),
            origins: origins.iter().map(|o| (*o).to_owned()).collect(),
            credentials,
            max_age: Some(HeaderValue::from(90)),
        })
    }

    fn answer(cors: &Arc<Cors>, method: &Method, fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let mut request = CorsRequest::new(cors, method, &headers);
        request.is_preflight(|method| *method == Method::PUT);
        let mut answer = HeaderMap::new();
        answer.insert("access-control-max-age", HeaderValue::from_static("1"));
        request.apply(&mut answer);
        answer
    }

    #[test]
    fn any_origin_gets_a_star_unless_credentials_are_allowed() {
        let plain = answer(&cors(&["*"], false), &Method::GET, &[]);
        assert_eq!(plain["access-control-allow-origin"], "*");
        assert!(!plain.contains_key("vary") && !plain.contains_key("access-control-max-age"));
        let origin = [("origin", "https://a.example")];
        let with = answer(&cors(&["*"], true), &Method::GET, &origin);
        assert_eq!(with["access-control-allow-origin"], "https://a.example");
        assert_eq!(with["access-control-allow-credentials"], "true");
        assert_eq!(with["vary"], "Origin");
    }

    #[test]
    fn a_preflight_grants_what_the_place_allows() {
        let cors = cors(&["https://A.example"], false);
        let ask = |origin, method| {
            let fields = [
                ("origin", origin),
                ("access-control-request-method", method),
                ("access-control-request-headers", "x-a"),
            ];
            answer(&cors, &Method::OPTIONS, &fields)
        };
        let granted = ask("https://a.example", "PUT");
        assert_eq!(granted["access-control-allow-methods"], "PUT");
        assert_eq!(granted["access-control-allow-headers"], "x-a");
        assert_eq!(granted["access-control-max-age"], "90");
        assert_eq!(granted.get_all("vary").iter().count(), 3);
        let method = ask("https://a.example", "DELETE");
        assert!(!method.contains_key("access-control-allow-methods"));
        let stranger = ask("https://b.example", "PUT");
        assert_eq!(stranger.len(), 1, "{stranger:?}");
        assert_eq!(stranger["vary"], "Origin");
    }

    #[test]
    fn options_alone_is_no_preflight() {
        let mut request =
            CorsRequest::new(&cors(&["*"], false), &Method::OPTIONS, &HeaderMap::new());
        assert!(!request.is_preflight(|_| true));
    }
}
