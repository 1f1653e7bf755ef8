//! Running an endpoint or error handler: its calls, in their order, and its answer.

use super::answer;
use super::backend::set_status;
use super::body::{Content, RequestBody};
use super::call::{self, ClientParts};
use super::exchange::{CallRecord, Exchange};
use crate::blocks::endpoint::{Action, Endpoint, Plan};
use crate::blocks::modifiers::RequestModifiers;
use crate::blocks::response::set_response_status;
use crate::error::{Error, Kind};
use futures_util::future::join_all;
use http::Response;
use std::cell::RefCell;

type Outcome = Result<Response<Content>, Error>;

/// Answers a request that was let in. The body stays where it is unless a proxy sends it on.
pub async fn run(
    exchange: &mut Exchange,
    endpoint: &Endpoint,
    body: &mut Option<RequestBody>,
) -> Outcome {
    let plan = &endpoint.plan;
    let client = (plan.proxies() > 0).then(|| {
        let headers = if endpoint.reads.request_headers || plan.calls.len() > 1 {
            exchange.headers().clone()
        } else {
            exchange.take_headers()
        };
        ClientParts {
            headers,
            body: exchange.body_for_proxy(body),
        }
    });
    let exchange = &*exchange;
    let calls = Calls {
        plan,
        modifiers: &endpoint.request_modifiers,
        exchange,
        records: &exchange.calls,
    };
    let Some(mut response) = calls.answer(client).await? else {
        let message = format!("none of {} calls is the default", plan.calls.len());
        return Err(Error::new(Kind::Internal, message));
    };
    endpoint
        .response_headers
        .apply(response.headers_mut(), exchange)?;
    if let Some(program) = &endpoint.set_response_status
        && let Some(status) = set_response_status(program, exchange)?
    {
        set_status(&mut response, status);
    }
    Ok(response)
}

/// The calls of an endpoint or error handler, about to run.
#[derive(Clone, Copy, Debug)]
pub struct Calls<'x> {
    /// What to send.
    pub plan: &'x Plan,
    /// Request modifiers of the block.
    pub modifiers: &'x RequestModifiers,
    /// The exchange.
    pub exchange: &'x Exchange,
    /// Where requests and responses are kept, by the calls' indexes.
    pub records: &'x [CallRecord],
}

impl Calls<'_> {
    /// Sends everything and gives the answer; `None` if there is neither a `response` block nor a
    /// default call.
    pub async fn answer(
        self,
        client: Option<ClientParts>,
    ) -> Result<Option<Response<Content>>, Error> {
        let Self { plan, exchange, .. } = self;
        match (plan.calls.as_slice(), &plan.response) {
            // The common case: one proxy, whose response is the answer.
            ([only], None) if plan.default == Some(0) => {
                call::run(only, self.records.first(), exchange, client, self.modifiers)
                    .await
                    .map(Some)
            }
            ([], Some(block)) => Ok(Some(answer::of_block(block.answer(exchange)?))),
            ([], None) => Ok(None),
            (_, block) => {
                let outcomes = Box::pin(run_all(self, client)).await;
                let response = chosen(plan, outcomes)?;
                Ok(match block {
                    Some(block) => Some(answer::of_block(block.answer(exchange)?)),
                    None => response,
                })
            }
        }
    }

    /// A copy of the client's parts, if a proxy needs them.
    pub fn client_parts(self, body: &mut Option<RequestBody>) -> Option<ClientParts> {
        (self.plan.proxies() > 0).then(|| ClientParts {
            headers: self.exchange.headers().clone(),
            body: self.exchange.body_for_proxy(body),
        })
    }
}

/// All calls, each as soon as those it waits for have answered. Errors: the default's first, then
/// in order of the file.
async fn run_all(running: Calls<'_>, client: Option<ClientParts>) -> Vec<Outcome> {
    let Calls {
        plan,
        modifiers,
        exchange,
        records,
    } = running;
    let calls = &plan.calls;
    let client = RefCell::new(client);
    let done: Vec<tokio::sync::watch::Sender<Option<Result<(), Error>>>> = calls
        .iter()
        .map(|_| tokio::sync::watch::Sender::new(None))
        .collect();
    let run = |index: usize| {
        let (client, done) = (&client, &done);
        async move {
            let call = &calls[index];
            let mut cause = None;
            for before in &call.after {
                let mut waiting = done[*before].subscribe();
                let outcome = waiting.wait_for(Option::is_some).await;
                if let Ok(outcome) = outcome
                    && let Some(Err(error)) = &*outcome
                {
                    cause.get_or_insert_with(|| Error::sequence(error));
                }
            }
            let outcome = match cause {
                Some(error) => Err(error),
                None => {
                    let parts = match call.action {
                        Action::Proxy(_) => copy_of(client, calls.len() > 1),
                        Action::Request(_) => None,
                    };
                    call::run(call, records.get(index), exchange, parts, modifiers).await
                }
            };
            let told = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
            done[index].send_replace(Some(told));
            outcome
        }
    };
    join_all((0..calls.len()).map(run)).await
}

/// The client's parts for one of several calls. A body in memory can be sent by each.
fn copy_of(client: &RefCell<Option<ClientParts>>, several: bool) -> Option<ClientParts> {
    let mut place = client.borrow_mut();
    if !several {
        return place.take();
    }
    let parts = place.as_mut()?;
    let body = match parts.body.try_clone() {
        Some(copy) => copy,
        None => std::mem::replace(&mut parts.body, RequestBody::empty()),
    };
    Some(ClientParts {
        headers: parts.headers.clone(),
        body,
    })
}

/// The default's response, or the error that counts.
fn chosen(plan: &Plan, outcomes: Vec<Outcome>) -> Result<Option<Response<Content>>, Error> {
    let mut default = None;
    let mut first_error = None;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(response) if plan.default == Some(index) => default = Some(response),
            Ok(_) => {}
            Err(error) if plan.default == Some(index) => return Err(error),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) => Err(error),
        None => Ok(default),
    }
}
