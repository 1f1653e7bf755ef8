//! The variables of the language, looked up in an exchange when an expression asks.

use super::exchange::{CallRecord, Exchange};
use super::message::{self, ReceivedResponse, SentRequest};
use crate::blocks::backend::Backend;
use crate::blocks::backend::token_request::Tokens;
use crate::expr::{Field, Scope, Value, Variable};
use http::HeaderName;

static REQUEST_ID: HeaderName = HeaderName::from_static("couper-request-id");

impl Scope for Exchange {
    fn variable<'s>(&'s self, variable: &'s Variable) -> Value<'s> {
        match variable {
            Variable::Request(_) if self.job.is_some() => Value::Absent,
            Variable::Request(field) => self.request_field(field),
            Variable::BackendRequests => self.all_calls(|call| {
                call.request
                    .get()
                    .map(|request| request.field(&Field::Whole))
            }),
            Variable::BackendResponses => self.all_calls(|call| {
                call.response
                    .get()
                    .map(|response| response.field(&Field::Whole))
            }),
            Variable::BackendRequest(name, field) => self
                .of_call(name, |call| call.request.get())
                .map_or(Value::Absent, |request| request.field(field)),
            Variable::BackendResponse(name, field) => self
                .of_call(name, |call| call.response.get())
                .map_or(Value::Absent, |response| response.field(field)),
            Variable::Backends => self.tree.backend_states(),
            Variable::BackendState(label) => self.tree.backend_state(label),
            Variable::CurrentBackendRequest(_)
            | Variable::CurrentBackendResponse(_)
            | Variable::CurrentBackendState
            | Variable::TokenResponse(_) => Value::Absent,
        }
    }

    fn verifier(&self) -> Option<&str> {
        let made = self
            .verifier
            .get_or_init(|| crate::crypto::random::token(32).ok().map(Into::into));
        made.as_deref()
    }
}

impl Exchange {
    fn all_calls<'s>(&'s self, value: impl Fn(&'s CallRecord) -> Option<Value<'s>>) -> Value<'s> {
        let mut entries: Vec<(&str, Value<'s>)> = Vec::new();
        for (name, record) in self.named_calls() {
            let Some(value) = value(record) else {
                continue;
            };
            match entries.iter_mut().find(|(known, _)| *known == name) {
                Some((_, place)) => *place = value,
                None => entries.push((name, value)),
            }
        }
        let entries = entries
            .into_iter()
            .map(|(name, value)| (name.into(), value));
        Value::object(entries.collect())
    }

    fn request_field<'s>(&'s self, field: &Field) -> Value<'s> {
        match field {
            Field::Id => Value::from(self.id.as_str()),
            Field::Method => Value::from(self.method.as_str()),
            Field::Url => {
                let target = self
                    .uri
                    .path_and_query()
                    .map_or("/", |target| target.as_str());
                Value::from(format!("{}{target}", self.url().origin()))
            }
            Field::Origin => Value::from(self.url().origin()),
            Field::Protocol => Value::from(self.url().scheme.into_owned()),
            Field::Host => Value::from(self.url().host.into_owned()),
            Field::Port => Value::number(i64::from(self.url().effective_port())),
            Field::Path => Value::from(self.path()),
            Field::Query(name) => {
                let query = self.query.get_or_init(|| {
                    message::param_object(self.uri.query().unwrap_or("").as_bytes())
                });
                member(query, name.as_deref())
            }
            Field::Headers(Some(name)) if *name == REQUEST_ID => Value::from(self.id.as_str()),
            Field::Headers(Some(name)) if *name == http::header::HOST => Value::Absent,
            Field::Headers(Some(name)) => message::header(self.headers(), name),
            Field::Headers(None) => self.header_map(),
            Field::Cookies(Some(name)) => {
                message::cookie_value(&message::request_cookies(self.headers()), name)
            }
            Field::Cookies(None) => message::cookie_map(message::request_cookies(self.headers())),
            Field::PathParams(Some(name)) => {
                self.path_param(name).map_or(Value::Absent, Value::from)
            }
            Field::PathParams(None) => {
                let names = self
                    .endpoint
                    .iter()
                    .flat_map(|endpoint| &endpoint.parameters);
                let entries = names.filter_map(|name| {
                    Some((name.as_ref().into(), Value::from(self.path_param(name)?)))
                });
                Value::map(entries.collect())
            }
            Field::Body => message::body_text(self.body.as_ref()),
            Field::JsonBody => self
                .json
                .get_or_init(|| message::json_body(self.headers(), self.body.as_ref()))
                .borrowed(),
            Field::FormBody(name) => {
                member(self.form.get_or_init(|| self.parse_form()), name.as_deref())
            }
            Field::Context(Some(label)) => self.context_of(label),
            Field::Context(None) => self.whole_context(),
            Field::RemoteIp => Value::from(&*self.remote_text),
            Field::Status => Value::Absent,
            Field::Whole => self.whole(),
        }
    }

    fn header_map(&self) -> Value<'_> {
        let names = self
            .headers()
            .keys()
            .filter(|name| **name != http::header::HOST);
        let mut entries: Vec<_> = names
            .map(|name| (name.as_str().into(), message::header(self.headers(), name)))
            .collect();
        entries.push((REQUEST_ID.as_str().into(), Value::from(self.id.as_str())));
        Value::map(entries)
    }

    /// Takes the body away, so that nobody behind gets it. Expressions see its form all the same.
    pub fn consume_body(&mut self) {
        self.form.get_or_init(|| self.parse_form());
        self.body = self.body.take().map(|_| bytes::Bytes::new());
    }

    fn parse_form(&self) -> Value<'static> {
        let with_body = [http::Method::POST, http::Method::PUT, http::Method::PATCH];
        let Some(body) = self
            .body
            .as_ref()
            .filter(|_| with_body.contains(&self.method))
        else {
            return Value::object(Vec::new());
        };
        match message::media_type(self.headers()).as_str() {
            "application/x-www-form-urlencoded" => message::param_object(body),
            "multipart/form-data" => message::multipart(self.headers(), body),
            _ => Value::object(Vec::new()),
        }
    }

    fn context_of(&self, label: &str) -> Value<'_> {
        match label {
            "granted_permissions" => match &self.granted {
                None => Value::Null,
                Some(list) => Value::tuple(list.iter().map(|p| Value::from(p.as_str())).collect()),
            },
            "required_permission" => self
                .required_permission
                .get()
                .map_or(Value::Absent, |p| Value::from(p.as_str())),
            _ => {
                let found = self
                    .context()
                    .iter()
                    .rev()
                    .find(|(known, _)| **known == *label);
                found.map_or(Value::Absent, |(_, value)| value.borrowed())
            }
        }
    }

    fn whole_context(&self) -> Value<'_> {
        let mut entries: Vec<_> = self
            .context()
            .iter()
            .map(|(label, value)| (label.as_ref().into(), value.borrowed()))
            .collect();
        for label in ["granted_permissions", "required_permission"] {
            let value = self.context_of(label);
            if !value.is_null() {
                entries.push((label.into(), value));
            }
        }
        Value::object(entries)
    }

    fn whole(&self) -> Value<'_> {
        object_of(
            |field| self.request_field(field),
            OF_ANY_REQUEST.iter().chain(OF_THE_CLIENT_ALONE),
        )
    }
}

/// The members of `request` and of a `backend_requests` entry alike.
const OF_ANY_REQUEST: &[(&str, Field)] = &[
    ("method", Field::Method),
    ("url", Field::Url),
    ("origin", Field::Origin),
    ("protocol", Field::Protocol),
    ("host", Field::Host),
    ("port", Field::Port),
    ("path", Field::Path),
    ("query", Field::Query(None)),
    ("headers", Field::Headers(None)),
    ("cookies", Field::Cookies(None)),
    ("body", Field::Body),
    ("json_body", Field::JsonBody),
    ("form_body", Field::FormBody(None)),
    ("context", Field::Context(None)),
];

/// What is known of the client's request alone.
const OF_THE_CLIENT_ALONE: &[(&str, Field)] = &[
    ("id", Field::Id),
    ("path_params", Field::PathParams(None)),
    ("remote_ip", Field::RemoteIp),
];

fn object_of<'s>(
    value: impl Fn(&Field) -> Value<'s>,
    fields: impl IntoIterator<Item = &'static (&'static str, Field)>,
) -> Value<'s> {
    Value::object(
        fields
            .into_iter()
            .map(|(name, field)| ((*name).into(), value(field)))
            .collect(),
    )
}

/// The whole of an object, or one member.
fn member<'v>(object: &'v Value<'static>, name: Option<&str>) -> Value<'v> {
    match name {
        None => object.borrowed(),
        Some(name) => {
            let found = object
                .as_fields()
                .and_then(|fields| fields.get(name.as_bytes()));
            found.map_or(Value::Absent, Value::borrowed)
        }
    }
}

impl SentRequest {
    fn field<'s>(&'s self, field: &Field) -> Value<'s> {
        let (path, query) = self.split_target();
        match field {
            Field::Method => Value::from(self.method.as_str()),
            Field::Url => Value::from(format!("{}{}", self.origin(), self.target)),
            Field::Origin => Value::from(self.origin()),
            Field::Protocol => Value::from(self.scheme),
            Field::Host => Value::from(self.host.as_str()),
            Field::Port => Value::number(i64::from(self.port)),
            Field::Path => crate::blocks::path::decode(path)
                .map_or(Value::Absent, |path| Value::from(path.into_owned())),
            Field::Query(name) => {
                owned_member(message::param_object(query.as_bytes()), name.as_deref())
            }
            Field::Headers(Some(name)) => message::header(&self.headers, name),
            Field::Headers(None) => message::header_map(&self.headers),
            Field::Cookies(Some(name)) => {
                message::cookie_value(&message::request_cookies(&self.headers), name)
            }
            Field::Cookies(None) => message::cookie_map(message::request_cookies(&self.headers)),
            Field::Body => message::body_text(self.body.as_ref()),
            Field::JsonBody => self
                .json
                .get_or_init(|| message::json_body(&self.headers, self.body.as_ref()))
                .borrowed(),
            Field::FormBody(name) => {
                let is_form =
                    message::media_type(&self.headers) == "application/x-www-form-urlencoded";
                let body = self.body.as_ref().filter(|_| is_form);
                owned_member(
                    message::param_object(body.map_or(&[], |b| &b[..])),
                    name.as_deref(),
                )
            }
            Field::Context(_) => Value::object(Vec::new()),
            Field::Id | Field::PathParams(_) | Field::RemoteIp | Field::Status => Value::Absent,
            Field::Whole => object_of(|field| self.field(field), OF_ANY_REQUEST),
        }
    }
}

fn owned_member(object: Value<'static>, name: Option<&str>) -> Value<'static> {
    match (object, name) {
        (object, None) => object,
        (Value::Object(fields), Some(name)) => fields.take(name.as_bytes()).unwrap_or_default(),
        _ => Value::Absent,
    }
}

impl ReceivedResponse {
    fn field<'s>(&'s self, field: &Field) -> Value<'s> {
        match field {
            Field::Status => Value::number(i64::from(self.status)),
            Field::Headers(Some(name)) => message::header(&self.headers, name),
            Field::Headers(None) => message::header_map(&self.headers),
            Field::Cookies(Some(name)) => {
                message::cookie_value(&message::response_cookies(&self.headers), name)
            }
            Field::Cookies(None) => message::cookie_map(message::response_cookies(&self.headers)),
            Field::Body => message::body_text(self.body.as_ref()),
            Field::JsonBody => self
                .json
                .get_or_init(|| message::json_body(&self.headers, self.body.as_ref()))
                .borrowed(),
            Field::Context(_) => Value::object(Vec::new()),
            Field::Whole => object_of(
                |field| self.field(field),
                &[
                    ("status", Field::Status),
                    ("headers", Field::Headers(None)),
                    ("cookies", Field::Cookies(None)),
                    ("body", Field::Body),
                    ("json_body", Field::JsonBody),
                    ("context", Field::Context(None)),
                ],
            ),
            Field::Id
            | Field::Method
            | Field::Url
            | Field::Origin
            | Field::Protocol
            | Field::Host
            | Field::Port
            | Field::Path
            | Field::Query(_)
            | Field::PathParams(_)
            | Field::FormBody(_)
            | Field::RemoteIp => Value::Absent,
        }
    }
}

/// What the expressions of a backend block see: the request's variables and the current pair.
pub(super) struct CallScope<'x> {
    pub(super) outer: &'x dyn Scope,
    pub(super) backend: &'x Backend,
    pub(super) tokens: &'x Tokens,
    pub(super) request: Option<&'x SentRequest>,
    pub(super) response: Option<&'x ReceivedResponse>,
}

impl Scope for CallScope<'_> {
    fn variable<'s>(&'s self, variable: &'s Variable) -> Value<'s> {
        match variable {
            Variable::CurrentBackendRequest(field) => self
                .request
                .map_or(Value::Absent, |request| request.field(field)),
            Variable::CurrentBackendResponse(field) => self
                .response
                .map_or(Value::Absent, |response| response.field(field)),
            Variable::CurrentBackendState => self.backend.state_with(self.tokens),
            Variable::BackendState(label) if self.names_this(label) => {
                self.backend.state_with(self.tokens)
            }
            Variable::Request(_)
            | Variable::BackendRequests
            | Variable::BackendRequest(..)
            | Variable::BackendResponses
            | Variable::BackendResponse(..)
            | Variable::Backends
            | Variable::BackendState(_)
            | Variable::TokenResponse(_) => self.outer.variable(variable),
        }
    }

    fn verifier(&self) -> Option<&str> {
        self.outer.verifier()
    }
}

impl CallScope<'_> {
    fn names_this(&self, label: &str) -> bool {
        self.backend.defined && *self.backend.label == *label
    }
}

/// What `token` and `ttl` of a token request see: its answer as `beta_token_response`.
pub(super) struct AnswerScope<'x> {
    pub(super) outer: &'x dyn Scope,
    pub(super) response: &'x ReceivedResponse,
}

impl Scope for AnswerScope<'_> {
    fn variable<'s>(&'s self, variable: &'s Variable) -> Value<'s> {
        match variable {
            Variable::TokenResponse(field) => self.response.field(field),
            other => self.outer.variable(other),
        }
    }

    fn verifier(&self) -> Option<&str> {
        self.outer.verifier()
    }
}
