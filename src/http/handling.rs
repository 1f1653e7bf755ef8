//! Error handlers at work: an error that a handler takes is answered by it.
//!
//! The error stays the exchange's error for the log. An error inside of a handler is not handled
//! again.

use super::answer;
use super::backend::set_status;
use super::body::{self, Content, ReadError, RequestBody};
use super::endpoint::Calls;
use super::exchange::{CallRecord, Exchange};
use crate::blocks::error_handler::{ErrorHandler, Found};
use crate::blocks::response::set_response_status;
use crate::error::page::Page;
use crate::error::{Error, Kind};
use http::{Method, Response, StatusCode};
use smallvec::SmallVec;
use std::sync::Arc;

/// A handler that took the exchange's error.
#[derive(Debug)]
pub struct Handling {
    /// The handler.
    pub handler: Arc<ErrorHandler>,
    /// Its calls, by their index in its plan.
    pub calls: SmallVec<[CallRecord; 2]>,
}

/// Answers an error by a handler. `body` is the client's, if nothing has taken it yet; a handler's
/// own `error_file` takes the place of `page`.
pub async fn answer(
    exchange: &mut Exchange,
    error: Error,
    found: Found,
    body: &mut Option<RequestBody>,
    body_limit: u64,
    page: &mut Page,
) -> Result<Response<Content>, Error> {
    let handler = found.handler;
    if let Some(own) = &handler.page {
        *page = own.clone();
    }
    if handler.reads.request_body && exchange.method != Method::TRACE {
        read_body(exchange, body, body_limit).await?;
    }
    if handler.reads.login {
        exchange.tree.settle().await;
    }
    let mut calls = SmallVec::new();
    calls.resize_with(handler.plan.calls.len(), Default::default);
    exchange.handling = Some(Box::new(Handling {
        handler: Arc::clone(&handler),
        calls,
    }));
    let shown = if found.replaces_default {
        error.clone().without_headers()
    } else {
        error.clone()
    };
    match respond(exchange, &handler, shown, body, page).await {
        Ok(response) => {
            exchange.error = Some(error);
            Ok(response)
        }
        Err(inner) => {
            tracing::debug!("an error handler failed; it was to handle: {error}");
            Err(inner)
        }
    }
}

/// Reads the client's body into memory, if it has not been read yet.
pub async fn read_body(
    exchange: &mut Exchange,
    body: &mut Option<RequestBody>,
    limit: u64,
) -> Result<(), Error> {
    let Some(stream) = body.take_if(|_| exchange.body.is_none()) else {
        return Ok(());
    };
    match body::read(stream, limit).await {
        Ok(bytes) => {
            exchange.body = Some(bytes);
            Ok(())
        }
        Err(ReadError::TooLarge) => Err(Error::new(Kind::ClientRequest, "the body is too large")
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(ReadError::Broken(_)) => Err(Error::new(Kind::ClientRequest, "the body broke off")),
    }
}

/// Response, default call, or the error's page; then status and response modifiers.
async fn respond(
    exchange: &Exchange,
    handler: &ErrorHandler,
    error: Error,
    body: &mut Option<RequestBody>,
    page: &Page,
) -> Result<Response<Content>, Error> {
    let calls = Calls {
        plan: &handler.plan,
        modifiers: &handler.request_modifiers,
        exchange,
        records: exchange.handling.as_ref().map_or(&[], |h| &h.calls),
    };
    let client = calls.client_parts(body);
    let answered = calls.answer(client).await?;
    let status = match &handler.set_response_status {
        Some(program) => set_response_status(program, exchange)?,
        None => None,
    };
    let mut response = match (answered, status) {
        (Some(response), _) => response,
        (None, Some(status)) => answer::error_page(exchange, &error.with_status(status), page),
        (None, None) => answer::error_page(exchange, &error, page),
    };
    handler
        .response_headers
        .apply(response.headers_mut(), exchange)?;
    if let Some(status) = status {
        set_status(&mut response, status);
    }
    Ok(response)
}
