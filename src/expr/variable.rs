//! The variables of the language, resolved as far as the text of an expression allows.
//!
//! `expr::compile` turns `request.headers.x-id` into [`Variable::Request`] with
//! [`Field::Headers`] and a parsed header name, so that evaluation is one `match` and one look-up.

use http::HeaderName;

/// One step of a path, known from the text of the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `.name`
    Attribute(Box<str>),
    /// `["name"]`; on a list in strict places digits count as a number.
    Key(Box<str>),
    /// `[5]`, `.5`
    Index(usize),
}

impl Step {
    /// The name, in either notation.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Attribute(name) | Self::Key(name) => Some(name),
            Self::Index(_) => None,
        }
    }
}

/// What a path from a root variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A variable; the number says how many steps it has taken in.
    Variable(Variable, usize),
    /// The root exists, a value of this name cannot.
    Missing,
    /// There is no root of this name.
    UnknownRoot,
}

/// A variable for the reference.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Its path.
    pub path: &'static str,
    /// The type of its value.
    pub kind: &'static str,
    /// One sentence about it.
    pub docs: &'static str,
}

/// The variables for the reference, in its order.
pub static DESCRIBED: &[Described] = &[
    Described {
        path: "env.NAME",
        kind: "string",
        docs: "An environment variable, else its default, else the empty string.",
    },
    Described {
        path: "couper.version",
        kind: "string",
        docs: "The version of the gateway.",
    },
    Described {
        path: "couper.environment",
        kind: "string",
        docs: "The chosen environment.",
    },
    Described {
        path: "request.id",
        kind: "string",
        docs: "The request id.",
    },
    Described {
        path: "request.method",
        kind: "string",
        docs: "The method as sent.",
    },
    Described {
        path: "request.url",
        kind: "string",
        docs: "The URL: scheme, host, port, path, query.",
    },
    Described {
        path: "request.origin",
        kind: "string",
        docs: "Scheme, host and port of the URL.",
    },
    Described {
        path: "request.protocol",
        kind: "string",
        docs: "The scheme.",
    },
    Described {
        path: "request.host",
        kind: "string",
        docs: "The host without port.",
    },
    Described {
        path: "request.port",
        kind: "number",
        docs: "The port.",
    },
    Described {
        path: "request.path",
        kind: "string",
        docs: "The path, decoded.",
    },
    Described {
        path: "request.query.NAME",
        kind: "list of strings",
        docs: "Values of a query parameter.",
    },
    Described {
        path: "request.headers.NAME",
        kind: "string",
        docs: "First value of a header field; names in lower case.",
    },
    Described {
        path: "request.cookies.NAME",
        kind: "string",
        docs: "A cookie.",
    },
    Described {
        path: "request.path_params.NAME",
        kind: "string",
        docs: "A parameter of the endpoint's path pattern.",
    },
    Described {
        path: "request.body",
        kind: "string",
        docs: "The body.",
    },
    Described {
        path: "request.json_body",
        kind: "any value",
        docs: "The body of a JSON media type, parsed.",
    },
    Described {
        path: "request.form_body.NAME",
        kind: "list of strings",
        docs: "Values of a form field.",
    },
    Described {
        path: "request.context.LABEL",
        kind: "object",
        docs: "What the access control of that label left.",
    },
    Described {
        path: "request.context.granted_permissions",
        kind: "list of strings",
        docs: "Permissions granted by access controls.",
    },
    Described {
        path: "request.context.required_permission",
        kind: "string",
        docs: "The permission that was needed.",
    },
    Described {
        path: "request.remote_ip",
        kind: "string",
        docs: "The address of the client.",
    },
    Described {
        path: "backend_requests.NAME",
        kind: "object",
        docs: "The request of a `proxy` or `request` block as sent: `method`, `url`, `origin`, `protocol`, `host`, `port`, `path`, `query`, `headers`, `cookies`, `body`, `json_body`, `form_body`, `context`.",
    },
    Described {
        path: "backend_responses.NAME",
        kind: "object",
        docs: "Its response as received: `status`, `headers`, `cookies`, `body`, `json_body`, `context`.",
    },
    Described {
        path: "backend_request",
        kind: "object",
        docs: "In a `backend`, after the response: the current request.",
    },
    Described {
        path: "backend_response",
        kind: "object",
        docs: "In a `backend`, after the response: the current response.",
    },
    Described {
        path: "backends.LABEL",
        kind: "object",
        docs: "The state of a defined backend: `health`, `beta_token`, `beta_tokens`, connection settings.",
    },
    Described {
        path: "backend",
        kind: "object",
        docs: "In a `backend`: its own state.",
    },
    Described {
        path: "beta_token_response",
        kind: "object",
        docs: "In `beta_token_request`: the answer, for `token` and `ttl`.",
    },
];

/// The roots that depend on a request; `env` and `couper` are constants.
pub const ROOTS: [&str; 8] = [
    "request",
    "backend_requests",
    "backend_responses",
    "backend_request",
    "backend_response",
    "backends",
    "backend",
    "beta_token_response",
];

/// A variable, named as deep as its fixed part reaches; further steps are taken on its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `request`: the client request as it came in.
    Request(Field),
    /// `backend_requests` as a whole.
    BackendRequests,
    /// `backend_requests.NAME`: a request as sent to an origin, after all modifiers.
    BackendRequest(Box<str>, Field),
    /// `backend_responses` as a whole.
    BackendResponses,
    /// `backend_responses.NAME`: a response as received, before all modifiers.
    BackendResponse(Box<str>, Field),
    /// `backend_request`: in a backend block, the current request.
    CurrentBackendRequest(Field),
    /// `backend_response`: in a backend block, the current response.
    CurrentBackendResponse(Field),
    /// `backends` as a whole.
    Backends,
    /// `backends.LABEL`: state of a defined backend (health, tokens, settings).
    BackendState(Box<str>),
    /// `backend`: in a backend block, the state of this backend.
    CurrentBackendState,
    /// `beta_token_response`: in `beta_token_request`, the answer with the token.
    TokenResponse(Field),
}

/// A property of a request or response. `None` in a variant stands for the whole map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The request or response as an object of all its properties.
    Whole,
    /// `id`
    Id,
    /// `method`
    Method,
    /// `url`
    Url,
    /// `origin`
    Origin,
    /// `protocol`
    Protocol,
    /// `host`
    Host,
    /// `port`
    Port,
    /// `path`
    Path,
    /// `query`, `query.NAME`
    Query(Option<Box<str>>),
    /// `headers`, `headers.NAME`
    Headers(Option<HeaderName>),
    /// `cookies`, `cookies.NAME`
    Cookies(Option<Box<str>>),
    /// `path_params`, `path_params.NAME`
    PathParams(Option<Box<str>>),
    /// `body`
    Body,
    /// `json_body`; what follows is looked up in the parsed value.
    JsonBody,
    /// `form_body`, `form_body.NAME`
    FormBody(Option<Box<str>>),
    /// `context`, `context.LABEL`: what access controls left.
    Context(Option<Box<str>>),
    /// `remote_ip`
    RemoteIp,
    /// `status`
    Status,
}

impl Variable {
    /// Names `root` and as many of `steps` as a variable can take in.
    pub fn resolve(root: &str, steps: &[Step]) -> Resolved {
        let of = |field: fn(Field) -> Self| match Field::resolve(steps) {
            Some((property, used)) => Resolved::Variable(field(property), used),
            None => Resolved::Missing,
        };
        let named = |whole: Self, one: fn(Box<str>, Field) -> Self| match steps.split_first() {
            None => Resolved::Variable(whole, 0),
            Some((first, rest)) => match (first.name(), Field::resolve(rest)) {
                (Some(name), Some((field, used))) => {
                    Resolved::Variable(one(name.into(), field), used + 1)
                }
                _ => Resolved::Missing,
            },
        };
        match root {
            "request" => of(Self::Request),
            "backend_request" => of(Self::CurrentBackendRequest),
            "backend_response" => of(Self::CurrentBackendResponse),
            "beta_token_response" => of(Self::TokenResponse),
            "backend_requests" => named(Self::BackendRequests, Self::BackendRequest),
            "backend_responses" => named(Self::BackendResponses, Self::BackendResponse),
            "backend" => Resolved::Variable(Self::CurrentBackendState, 0),
            "backends" => match steps.first() {
                None => Resolved::Variable(Self::Backends, 0),
                Some(first) => match first.name() {
                    Some(name) => Resolved::Variable(Self::BackendState(name.into()), 1),
                    None => Resolved::Missing,
                },
            },
            _ => Resolved::UnknownRoot,
        }
    }
}

impl Field {
    fn resolve(steps: &[Step]) -> Option<(Self, usize)> {
        let Some(first) = steps.first() else {
            return Some((Self::Whole, 0));
        };
        let plain = |field| Some((field, 1));
        let named = |field: fn(Option<Box<str>>) -> Self| match steps.get(1) {
            None => Some((field(None), 1)),
            Some(step) => Some((field(Some(step.name()?.into())), 2)),
        };
        match first.name()? {
            "id" => plain(Self::Id),
            "method" => plain(Self::Method),
            "url" => plain(Self::Url),
            "origin" => plain(Self::Origin),
            "protocol" => plain(Self::Protocol),
            "host" => plain(Self::Host),
            "port" => plain(Self::Port),
            "path" => plain(Self::Path),
            "body" => plain(Self::Body),
            "json_body" => plain(Self::JsonBody),
            "remote_ip" => plain(Self::RemoteIp),
            "status" => plain(Self::Status),
            "query" => named(Self::Query),
            "cookies" => named(Self::Cookies),
            "path_params" => named(Self::PathParams),
            "form_body" => named(Self::FormBody),
            "context" => named(Self::Context),
            "headers" => match steps.get(1) {
                None => plain(Self::Headers(None)),
                // The map has lower-case names only, so that others name nothing.
                Some(step) => {
                    let name = step.name()?;
                    let lower = !name.bytes().any(|b| b.is_ascii_uppercase());
                    let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
                    lower.then_some((Self::Headers(Some(header)), 2))
                }
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Resolved {
        let mut names = text.split('.');
        let root = names.next().unwrap();
        let steps: Vec<Step> = names.map(|n| Step::Attribute(n.into())).collect();
        Variable::resolve(root, &steps)
    }

    #[test]
    fn resolves_as_deep_as_it_can() {
        let header = HeaderName::from_static("x-id");
        for (text, variable, used) in [
            ("request", Variable::Request(Field::Whole), 0),
            (
                "request.headers.x-id",
                Variable::Request(Field::Headers(Some(header))),
                2,
            ),
            (
                "request.headers",
                Variable::Request(Field::Headers(None)),
                1,
            ),
            (
                "request.json_body.a.b",
                Variable::Request(Field::JsonBody),
                1,
            ),
            ("backend_responses", Variable::BackendResponses, 0),
            (
                "backend_responses.a",
                Variable::BackendResponse("a".into(), Field::Whole),
                1,
            ),
            (
                "backend_responses.a.status",
                Variable::BackendResponse("a".into(), Field::Status),
                2,
            ),
            ("backends.b.health", Variable::BackendState("b".into()), 1),
            ("backend.health", Variable::CurrentBackendState, 0),
        ] {
            assert_eq!(path(text), Resolved::Variable(variable, used), "{text}");
        }
    }

    #[test]
    fn resolves_nothing() {
        assert_eq!(path("request.nothing.a"), Resolved::Missing);
        assert_eq!(path("request.headers.X-Id"), Resolved::Missing);
        assert_eq!(path("request.headers.a b"), Resolved::Missing);
        assert_eq!(path("nope.x"), Resolved::UnknownRoot);
    }
}
