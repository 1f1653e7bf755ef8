//! What the expressions of an endpoint or error handler read, found at start: only what is read is kept in memory.

use super::{Action, Endpoint, Plan};
use crate::blocks::error_handler::{ErrorHandler, Handlers};
use crate::blocks::modifiers::RequestModifiers;
use crate::expr::Program;
use crate::expr::variable::{Field, Variable};

/// What is read of requests and responses.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// The client request's body.
    pub request_body: bool,
    /// The client request's body, if it is a form.
    pub request_form: bool,
    /// Anything of the client request's headers, cookies included.
    pub request_headers: bool,
    /// A function that is about a login is called.
    pub login: bool,
    /// A form modifier works on the client's body.
    pub form_modifier: bool,
    /// Calls whose request or response is mentioned; `None` when they are mentioned as a whole.
    calls: Option<Vec<Box<str>>>,
    /// Calls whose response body is read.
    bodies: Vec<Box<str>>,
    all_bodies: bool,
}

impl Reads {
    /// Whether a field is, or may be, the body.
    pub fn is_body(field: &Field) -> bool {
        matches!(
            field,
            Field::Body | Field::JsonBody | Field::FormBody(_) | Field::Whole
        )
    }

    fn is_request_body(field: &Field) -> bool {
        Self::is_body(field) || matches!(field, Field::Context(_))
    }

    /// A body is parsed by its `Content-Type`.
    fn is_head(field: &Field) -> bool {
        matches!(
            field,
            Field::Headers(_)
                | Field::Cookies(_)
                | Field::JsonBody
                | Field::FormBody(_)
                | Field::Whole
        )
    }

    /// The analysis of an endpoint with all that is in it.
    pub fn of(endpoint: &Endpoint) -> Self {
        let mut reads = Self {
            calls: Some(Vec::new()),
            ..Self::default()
        };
        reads.add_all(endpoint.programs());
        reads.add_plan(&endpoint.plan, &endpoint.request_modifiers);
        for control in &endpoint.access {
            // Their error handlers run before anything is sent: what these read is read then.
            control.programs().for_each(|program| reads.add(program));
            reads.request_form |= control.reads_form();
            if control.reads_body() {
                reads.request_body = true;
                reads.request_headers = true;
            }
        }
        // The body can be sent once only while it streams.
        let mut proxies = endpoint.plan.proxies();
        let handlers = [Some(&endpoint.handlers), endpoint.api_handlers.as_deref()];
        for handler in handlers.into_iter().flatten().flat_map(Handlers::iter) {
            reads.add_all(handler.programs());
            reads.add_plan(&handler.plan, &handler.request_modifiers);
            reads.request_headers |= !handler.plan.calls.is_empty();
            proxies = proxies.max(endpoint.plan.proxies() + handler.plan.proxies());
        }
        reads.request_body |= reads.form_modifier || proxies > 1;
        reads
    }

    /// The analysis of an error handler.
    pub fn of_handler(handler: &ErrorHandler) -> Self {
        let mut reads = Self {
            calls: Some(Vec::new()),
            ..Self::default()
        };
        reads.add_all(handler.programs());
        reads.add_plan(&handler.plan, &handler.request_modifiers);
        reads.request_body |= reads.form_modifier || handler.plan.proxies() > 1;
        reads
    }

    /// The analysis of a job.
    pub fn of_job(plan: &Plan, log_fields: Option<&Program>) -> Self {
        let mut reads = Self {
            calls: Some(Vec::new()),
            ..Self::default()
        };
        reads.add_all(log_fields.into_iter());
        reads.add_plan(plan, &RequestModifiers::default());
        reads
    }

    fn add_plan(&mut self, plan: &Plan, modifiers: &RequestModifiers) {
        self.form_modifier |= !modifiers.form.is_empty();
        for call in &plan.calls {
            call.programs().for_each(|program| self.add(program));
            if let Action::Proxy(proxy) = &call.action {
                self.request_body |= proxy.backend.instance.openapi.is_some();
                self.form_modifier |= !proxy.request_modifiers.form.is_empty()
                    || !proxy.backend.request_modifiers.form.is_empty();
            }
        }
        if let Some(response) = &plan.response {
            response.programs().for_each(|program| self.add(program));
        }
    }

    /// Adds what expressions read.
    pub fn add_all<'p>(&mut self, programs: impl Iterator<Item = &'p Program>) {
        programs.for_each(|program| self.add(program));
    }

    fn add(&mut self, program: &Program) {
        self.login |= program.is_login();
        for variable in program.variables() {
            match variable {
                Variable::Request(field) => {
                    self.request_body |= Self::is_request_body(field);
                    self.request_headers |= Self::is_head(field);
                }
                Variable::CurrentBackendRequest(field) => {
                    self.request_body |= Self::is_request_body(field);
                }
                Variable::BackendRequests => {
                    self.calls = None;
                    self.request_body = true;
                }
                Variable::BackendResponses => {
                    self.calls = None;
                    self.all_bodies = true;
                }
                Variable::BackendRequest(name, field) => {
                    self.mention(name);
                    self.request_body |= Self::is_request_body(field);
                }
                Variable::BackendResponse(name, field) => {
                    self.mention(name);
                    if Self::is_body(field) {
                        self.bodies.push(name.clone());
                    }
                }
                Variable::CurrentBackendResponse(_)
                | Variable::Backends
                | Variable::BackendState(_)
                | Variable::CurrentBackendState
                | Variable::TokenResponse(_) => {}
            }
        }
    }

    fn mention(&mut self, name: &str) {
        if let Some(calls) = &mut self.calls {
            calls.push(name.into());
        }
    }

    /// Whether request or response of a call are mentioned anywhere.
    pub fn mentions_call(&self, name: &str) -> bool {
        self.calls
            .as_ref()
            .is_none_or(|calls| calls.iter().any(|known| **known == *name))
    }

    /// Whether the response body of a call is read.
    pub fn buffers_response(&self, name: &str) -> bool {
        self.all_bodies || self.bodies.iter().any(|known| **known == *name)
    }
}
