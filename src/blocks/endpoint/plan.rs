//! Which requests an endpoint sends, in which order, and what it answers.
//!
//! A request that mentions `backend_responses.X` starts after X has answered. The order is found
//! at start: calls are grouped in levels, each level's calls run at the same time.

use super::super::definitions::Definitions;
use super::super::reader::Reader;
use super::reads::Reads;
use crate::blocks::proxy::Proxy;
use crate::blocks::request::Request;
use crate::blocks::response::Response;
use crate::blocks::{proxy, request, response};
use crate::diagnostic::{Diagnostic, Span, code};
use crate::expr::Program;
use crate::expr::variable::Variable;
use std::sync::Arc;

/// A proxy or request of an endpoint.
#[derive(Debug)]
pub struct Call {
    /// Its name in `backend_responses`.
    pub name: Arc<str>,
    /// What is sent.
    pub action: Action,
    /// Indexes of the calls it waits for.
    pub after: Vec<usize>,
    /// The names of those, for the log.
    pub depends_on: Option<String>,
    /// Whether the response body is read into memory, since an expression reads it.
    pub buffer_response: bool,
    /// Whether request and response are kept for expressions.
    pub record: bool,
    span: Span,
}

/// What a call sends.
#[derive(Debug)]
pub enum Action {
    /// The client's request.
    Proxy(Box<Proxy>),
    /// A request of its own.
    Request(Box<Request>),
}

impl Call {
    /// The expressions of the block and its backend.
    pub fn programs(&self) -> Box<dyn Iterator<Item = &Program> + '_> {
        match &self.action {
            Action::Proxy(proxy) => Box::new(proxy.programs().chain(proxy.backend.programs())),
            Action::Request(request) => {
                Box::new(request.programs().chain(request.backend.programs()))
            }
        }
    }
}

/// The calls of an endpoint and its answer.
#[derive(Debug, Default)]
pub struct Plan {
    /// The calls, in order of the file.
    pub calls: Vec<Call>,
    /// Index of the call named `default`.
    pub default: Option<usize>,
    /// The answer, instead of the default call's response.
    pub response: Option<Response>,
    /// Whether any call waits for another.
    pub sequential: bool,
}

impl Plan {
    /// Reads proxies, requests and response; reports an endpoint that has no answer.
    pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        let defined = reader.string("proxy").map(|label| {
            let found = definitions.proxy(&label);
            let name = found
                .as_ref()
                .map_or("default".into(), |(name, _)| name.clone());
            (name, label.span, found.and_then(|(_, proxy)| proxy))
        });
        let plan = Self::collect(reader, definitions, defined)?;
        let label = reader.label().map_or("", |label| &label.text);
        if plan.calls.is_empty() && plan.response.is_none() {
            let message =
                format!("endpoint `{label}` needs a `proxy`, `request` or `response` block");
            reader
                .cx
                .report(Diagnostic::error(code::INCOMPLETE, reader.span(), message));
        } else if plan.default.is_none() && plan.response.is_none() {
            let message = format!(
                "endpoint `{label}` needs a `response` block, or a `proxy` or `request` named `default`"
            );
            reader.cx.report(
                Diagnostic::error(code::INCOMPLETE, reader.span(), message)
                    .hint("a `proxy` or `request` without label is named `default`"),
            );
        }
        Some(plan)
    }

    /// The same of an error handler or a job, which may be without an answer.
    pub fn of_handler(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        Self::collect(reader, definitions, None)
    }

    /// Reads the blocks, after the proxy of `definitions` that is referred to.
    fn collect(
        reader: Reader<'_>,
        definitions: &Definitions<'_>,
        defined: Option<(String, Span, Option<Proxy>)>,
    ) -> Option<Self> {
        let cx = reader.cx;
        let mut calls = Vec::new();
        let mut broken = false;
        let mut add = |name: &str, span: Span, action: Option<Action>| match action {
            None => broken = true,
            Some(action) => calls.push(Call {
                name: name.into(),
                action,
                after: Vec::new(),
                depends_on: None,
                buffer_response: false,
                record: false,
                span,
            }),
        };
        if let Some((name, span, proxy)) = defined {
            add(&name, span, proxy.map(|p| Action::Proxy(Box::new(p))));
        }
        let parts = |name| {
            let known = reader.schema().block(name).is_some();
            known.then(|| reader.blocks(name)).into_iter().flatten()
        };
        for block in parts("proxy") {
            let inner = Reader::new(cx, block, &proxy::SCHEMA);
            let action = Proxy::read(inner, definitions).map(|p| Action::Proxy(Box::new(p)));
            add(name_of(inner), inner.span(), action);
        }
        for block in reader.blocks("request") {
            let inner = Reader::new(cx, block, &request::SCHEMA);
            let action = Request::read(inner, definitions).map(|r| Action::Request(Box::new(r)));
            add(name_of(inner), inner.span(), action);
        }
        let response = parts("response")
            .next()
            .map(|block| Response::read(Reader::new(cx, block, &response::SCHEMA)));
        calls.sort_by_key(|call| call.span);
        if broken {
            return None;
        }
        check_names(reader, &calls);
        check_websockets(reader, &calls, response.as_ref());
        let default = calls.iter().position(|call| &*call.name == "default");
        let mut plan = Self {
            calls,
            default,
            response,
            sequential: false,
        };
        plan.order(reader);
        Some(plan)
    }

    /// Finds what waits for what; refuses circles.
    fn order(&mut self, reader: Reader<'_>) {
        let names: Vec<Arc<str>> = self
            .calls
            .iter()
            .map(|call| Arc::clone(&call.name))
            .collect();
        for (at, call) in self.calls.iter_mut().enumerate() {
            let mut after: Vec<usize> = Vec::new();
            for program in match &call.action {
                Action::Proxy(p) => Box::new(p.programs().chain(p.backend.programs()))
                    as Box<dyn Iterator<Item = &Program>>,
                Action::Request(r) => Box::new(r.programs().chain(r.backend.programs())),
            } {
                for variable in program.variables() {
                    if let Variable::BackendResponse(name, _) = variable
                        && let Some(other) = names.iter().position(|n| **n == **name)
                        && other != at
                        && !after.contains(&other)
                    {
                        after.push(other);
                    }
                }
            }
            after.sort_unstable();
            if !after.is_empty() {
                let list: Vec<&str> = after.iter().map(|other| &*names[*other]).collect();
                call.depends_on = Some(list.join(","));
            }
            call.after = after;
        }
        self.sequential = self.calls.iter().any(|call| !call.after.is_empty());
        if let Some(circle) = self.circle() {
            let list: Vec<&str> = circle.iter().map(|at| &*names[*at]).collect();
            let span = circle
                .first()
                .map_or(reader.span(), |at| self.calls[*at].span);
            let message = format!("circular sequence reference: {}", list.join(","));
            reader
                .cx
                .report(Diagnostic::error(code::CIRCLE, span, message));
            for call in &mut self.calls {
                call.after.clear();
            }
        }
    }

    fn circle(&self) -> Option<Vec<usize>> {
        fn walk(
            plan: &Plan,
            at: usize,
            path: &mut Vec<usize>,
            done: &mut [bool],
        ) -> Option<Vec<usize>> {
            if let Some(start) = path.iter().position(|seen| *seen == at) {
                return Some(path[start..].to_vec());
            }
            if done[at] {
                return None;
            }
            path.push(at);
            for next in &plan.calls[at].after {
                if let Some(circle) = walk(plan, *next, path, done) {
                    return Some(circle);
                }
            }
            path.pop();
            done[at] = true;
            None
        }
        let mut done = vec![false; self.calls.len()];
        (0..self.calls.len()).find_map(|at| walk(self, at, &mut Vec::new(), &mut done))
    }

    /// How many of the calls send the client's request on.
    pub fn proxies(&self) -> usize {
        let proxy = |call: &&Call| matches!(call.action, Action::Proxy(_));
        self.calls.iter().filter(proxy).count()
    }

    /// Keeps of each call what expressions read.
    pub(in crate::blocks) fn keep_what_is_read(&mut self, reads: &Reads) {
        for call in &mut self.calls {
            call.buffer_response =
                reads.buffers_response(&call.name) || own_reads(call).any(Reads::is_body);
            call.record = call.buffer_response || reads.mentions_call(&call.name);
        }
    }
}

fn own_reads(call: &Call) -> impl Iterator<Item = &crate::expr::variable::Field> {
    call.programs()
        .flat_map(Program::variables)
        .filter_map(|variable| match variable {
            Variable::CurrentBackendResponse(field) => Some(field),
            _ => None,
        })
}

fn name_of<'a>(reader: Reader<'a>) -> &'a str {
    let Some(label) = reader.label() else {
        return "default";
    };
    if label.text.is_empty()
        || !label
            .text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        let message = format!(
            "label `{}` may hold letters, digits and `_` only",
            label.text
        );
        reader
            .cx
            .report(Diagnostic::error(code::LABELS, label.span, message));
    }
    &label.text
}

/// After a change of protocol there is nothing else to answer, so its proxy stands alone.
fn check_websockets(reader: Reader<'_>, calls: &[Call], response: Option<&Response>) {
    let passes_on = |call: &&Call| match &call.action {
        Action::Proxy(proxy) => proxy.websockets.is_some(),
        Action::Request(_) => false,
    };
    let Some(call) = calls.iter().find(passes_on) else {
        return;
    };
    let refuse = |message: &str| {
        reader
            .cx
            .report(Diagnostic::error(code::CONFLICT, call.span, message));
    };
    if &*call.name != "default" {
        refuse("`websockets` are for the proxy named `default` only");
    } else if calls.len() > 1 || response.is_some() {
        refuse(
            "a proxy with `websockets` allows no other `proxy`, `request` or `response` beside it",
        );
    }
}

fn check_names(reader: Reader<'_>, calls: &[Call]) {
    for (at, call) in calls.iter().enumerate() {
        if let Some(first) = calls[..at].iter().find(|other| other.name == call.name) {
            let message = format!(
                "proxy and request labels are unique within an {}, found `{}` twice",
                reader.schema().name,
                call.name
            );
            reader.cx.report(
                Diagnostic::error(code::DUPLICATE, call.span, message)
                    .related(first.span, "first one"),
            );
        }
    }
}
