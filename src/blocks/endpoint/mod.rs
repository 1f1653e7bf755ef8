//! `endpoint`: what happens to requests of a path pattern.
//!
//! ```hcl
//! endpoint "/users/{id}" {
//!   proxy {
//!     backend = "users"
//!   }
//! }
//! ```

mod methods;
mod plan;
mod reads;

pub use methods::{Methods, STANDARD};
pub use plan::{Action, Call, Plan};
pub use reads::Reads;

use super::access::Control;
use super::cors::Cors;
use super::definitions::Definitions;
use super::error_handler::{self, Handlers, Place};
use super::modifiers::{HeaderModifiers, RequestModifiers};
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use super::{error_file, proxy, request, response};
use crate::diagnostic::{Diagnostic, Span, code};
use crate::error::page::Page;
use crate::expr::Program;
use crate::telemetry::metrics::{Requests, families};
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "endpoint",
    labels: Labels::Required,
    attributes: &[
        AttributeSchema::start(
            "allowed_methods",
            Kind::Strings,
            "Methods that are let in; `*` stands for the usual seven.",
        )
        .default("[\"*\"]"),
        AttributeSchema::start("error_file", Kind::Path, "Template of error pages."),
        AttributeSchema::start(
            "request_body_limit",
            Kind::Size,
            "Limit of bodies that expressions read.",
        )
        .default("64MiB"),
        AttributeSchema::start(
            "proxy",
            Kind::String,
            "Label of a `proxy` in `definitions`.",
        )
        .refers_to("proxy"),
        AttributeSchema::request(
            "required_permission",
            Kind::Any,
            "Permission, or permissions by method, that the caller needs.",
        ),
        AttributeSchema::request("set_response_status", Kind::Number, "Replaces the status."),
    ],
    groups: &[
        schema::ACCESS_CONTROL,
        schema::REQUEST_HEADERS,
        schema::RESPONSE_HEADERS,
        schema::QUERY_PARAMS,
        schema::FORM_PARAMS,
        schema::LOG_FIELDS,
    ],
    blocks: &[
        Child::many(&proxy::SCHEMA),
        Child::many(&request::SCHEMA),
        Child::optional(&response::SCHEMA),
        Child::many(&error_handler::SCHEMA),
    ],
    rules: &[],
    docs: "What happens to requests of a path pattern.",
    example: r#"server {
  endpoint "/users/{id}" {
    proxy { backend = "users" }
  }
}

definitions {
  backend "users" { origin = "http://localhost:8081" }
}
"#,
};

/// What an endpoint takes over from the blocks around it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Label of the server.
    pub server: Arc<str>,
    /// Label of the api, if it stands in one and that has a label.
    pub api: Option<Arc<str>>,
    /// Whether it stands in an api.
    pub in_api: bool,
    /// Base paths of server and api, joined.
    pub base_path: String,
    /// Access controls of server and api.
    pub access: AccessList,
    /// `allowed_methods` of the api.
    pub allowed_methods: Option<Methods>,
    /// `required_permission` of the api.
    pub required_permission: Option<Arc<Program>>,
    /// Page of errors.
    pub page: Page,
    /// The `cors` in force.
    pub cors: Option<Arc<Cors>>,
    /// Response header modifiers of api and server, in the order they run.
    pub response_headers: Vec<Arc<HeaderModifiers>>,
    /// `custom_log_fields` of server and api, and of the access controls that they name.
    pub log_fields: Vec<Arc<Program>>,
    /// Error handlers of the api.
    pub handlers: Option<Arc<Handlers>>,
}

/// Names of access controls on the way in, with those that are switched off somewhere.
#[derive(Clone, Debug, Default)]
pub struct AccessList {
    controls: Vec<Arc<Control>>,
    disabled: Vec<String>,
}

impl AccessList {
    /// The list inside a block: what it inherits, then the block's own.
    #[must_use]
    pub fn inside(&self, reader: Reader<'_>, definitions: &Definitions<'_>) -> Self {
        let mut list = self.clone();
        let own = reader
            .strings("access_control")
            .map(|names| names.value)
            .unwrap_or_default();
        for name in own {
            if let Some(control) = definitions.access_control(&name)
                && !list
                    .controls
                    .iter()
                    .any(|known| known.label() == control.label())
            {
                list.controls.push(control);
            }
        }
        let off = reader
            .strings("disable_access_control")
            .map(|n| n.value)
            .unwrap_or_default();
        for name in off {
            if definitions.access_control(&name).is_some() {
                list.disabled.push(name.value.trim().to_owned());
            }
        }
        list
    }

    /// Log fields inside a block: those around it, those of the access controls that the block
    /// adds to `outer`, and its own.
    pub fn log_fields(
        &self,
        reader: Reader<'_>,
        outer: &Self,
        around: &[Arc<Program>],
    ) -> Vec<Arc<Program>> {
        let added = self.controls.iter().skip(outer.controls.len());
        let added = added.filter_map(|control| control.log_fields().cloned());
        let own = reader.program("custom_log_fields").map(Arc::new);
        around.iter().cloned().chain(added).chain(own).collect()
    }

    /// The controls that run, in order.
    pub fn active(&self) -> Vec<Arc<Control>> {
        let on =
            |control: &&Arc<Control>| !self.disabled.iter().any(|name| **name == **control.label());
        self.controls.iter().filter(on).cloned().collect()
    }
}

/// An endpoint, ready to run.
#[derive(Debug)]
pub struct Endpoint {
    /// The label as written.
    pub label: Arc<str>,
    /// The label with all base paths.
    pub pattern: String,
    /// Names of the pattern's parameters, in order.
    pub parameters: Vec<Box<str>>,
    /// Label of the api, if any.
    pub api: Option<Arc<str>>,
    /// Whether it stands in an api.
    pub in_api: bool,
    /// Access controls in order.
    pub access: Vec<Arc<Control>>,
    /// Methods that are let in.
    pub allowed_methods: Methods,
    /// `required_permission`
    pub required_permission: Option<Arc<Program>>,
    /// Limit of a body that is read into memory, in bytes.
    pub body_limit: u64,
    /// Requests to send and what to answer.
    pub plan: Plan,
    /// Request modifiers.
    pub request_modifiers: RequestModifiers,
    /// Response header modifiers.
    pub response_headers: HeaderModifiers,
    /// `set_response_status`
    pub set_response_status: Option<Program>,
    /// Page of errors.
    pub page: Page,
    /// The `cors` in force.
    pub cors: Option<Arc<Cors>>,
    /// Response header modifiers of the blocks around it, innermost first.
    pub outer_response_headers: Vec<Arc<HeaderModifiers>>,
    /// `custom_log_fields`, outermost first.
    pub log_fields: Vec<Arc<Program>>,
    /// Its error handlers.
    pub handlers: Handlers,
    /// Error handlers of the api, which come after its own.
    pub api_handlers: Option<Arc<Handlers>>,
    /// What its expressions read of bodies and headers.
    pub reads: Reads,
    /// Where its requests are counted, if they are.
    pub series: Option<Arc<Requests>>,
    /// Its place in the configuration.
    pub span: Span,
}

impl Endpoint {
    /// The default of `request_body_limit`, in bytes.
    pub const DEFAULT_BODY_LIMIT: u64 = 64 << 20;

    /// Reads the block; `None` when it is too broken to run (which has been reported then).
    pub fn read(
        reader: Reader<'_>,
        around: &Surroundings,
        definitions: &Definitions<'_>,
    ) -> Option<Self> {
        let label = reader.label();
        if let Some(label) = label {
            check_pattern(reader, &label.text, label.span);
        }
        let label: Arc<str> = label.map_or("/", |l| l.text.as_str()).into();
        let access_list = around.access.inside(reader, definitions);
        let permission = reader.program("required_permission").map(Arc::new);
        let log_fields = access_list.log_fields(reader, &around.access, &around.log_fields);
        let handlers = Handlers::read(reader, definitions, Place::Endpoint, &[], &log_fields);
        let page = error_file::read(reader);
        let plan = Plan::read(reader, definitions)?;
        let mut endpoint = Self {
            pattern: super::path::join(&around.base_path, &label),
            parameters: crate::runtime::router::parameter_names(&label),
            label,
            api: around.api.clone(),
            in_api: around.in_api,
            access: access_list.active(),
            allowed_methods: Methods::read(reader)
                .or_else(|| around.allowed_methods.clone())
                .unwrap_or_default(),
            required_permission: permission.or_else(|| around.required_permission.clone()),
            body_limit: body_limit(reader),
            plan,
            request_modifiers: RequestModifiers::read(reader),
            response_headers: HeaderModifiers::response(reader),
            set_response_status: reader.program("set_response_status"),
            page: page.unwrap_or_else(|| around.page.clone()),
            cors: around.cors.clone(),
            outer_response_headers: around.response_headers.clone(),
            log_fields,
            handlers,
            api_handlers: around.handlers.clone(),
            reads: Reads::default(),
            series: None,
            span: reader.span(),
        };
        endpoint.series = reader.cx.metrics().map(|all| {
            all.requests(
                &families::ENDPOINT_REQUESTS,
                &families::ENDPOINT_REQUEST_DURATION,
                &[&endpoint.pattern, &around.server],
            )
        });
        endpoint.parameters = crate::runtime::router::parameter_names(&endpoint.pattern);
        endpoint.reads = Reads::of(&endpoint);
        endpoint.plan.keep_what_is_read(&endpoint.reads);
        Some(endpoint)
    }

    /// The expressions of the block itself, without those of its requests.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.required_permission
            .iter()
            .map(Arc::as_ref)
            .chain(self.request_modifiers.programs())
            .chain(self.response_headers.programs())
            .chain(&self.set_response_status)
            .chain(
                self.outer_response_headers
                    .iter()
                    .flat_map(|m| m.programs()),
            )
            .chain(self.log_fields.iter().map(Arc::as_ref))
    }
}

fn check_pattern(reader: Reader<'_>, pattern: &str, span: Span) {
    let refuse = |message: String| {
        reader
            .cx
            .report(Diagnostic::error(code::BAD_VALUE, span, message));
    };
    if !pattern.starts_with('/') {
        refuse(format!("endpoint pattern `{pattern}` must start with `/`"));
    }
    if super::path::has_dot_segment(pattern) {
        refuse(format!(
            "endpoint pattern `{pattern}` has a `.` or `..` segment"
        ));
    }
    let inner = pattern.strip_suffix("/**").unwrap_or(pattern);
    for segment in inner.split('/') {
        let named = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        let sound = match named {
            Some(name) => !name.is_empty() && !name.contains(['{', '}', '*']),
            None => !segment.contains(['{', '}']) && segment != "**",
        };
        if !sound {
            refuse(format!(
                "endpoint pattern `{pattern}`: segment `{segment}` is neither text nor `{{name}}`; `**` stands at the end only"
            ));
        }
    }
}

fn body_limit(reader: Reader<'_>) -> u64 {
    let Some(text) = reader.string("request_body_limit") else {
        return Endpoint::DEFAULT_BODY_LIMIT;
    };
    super::duration::parse_size(&text.value).unwrap_or_else(|why| {
        let label = reader.label().map_or("", |label| &label.text);
        reader.bad_value(
            text.span,
            format!(
                "endpoint `{label}`: `request_body_limit`: `{}` is no size: {why}",
                text.value
            ),
        );
        Endpoint::DEFAULT_BODY_LIMIT
    })
}
