//! Answers that the gateway makes itself: error pages and the health route.

use super::body::Content;
use super::exchange::Exchange;
use crate::blocks::response::Answer;
use crate::error::page::{Facts, Page};
use crate::error::{Error, Kind};
use http::{HeaderName, HeaderValue, Response, header};

/// The header that tells the client the synopsis of an error.
static ERROR_HEADER: HeaderName = HeaderName::from_static("couper-error");

/// The page of an error.
pub fn error_page(exchange: &Exchange, error: &Error, page: &Page) -> Response<Content> {
    let (content, kind) = match error.body() {
        Some(body) => (Content::of(body.clone()), "application/json"),
        None => {
            let facts = Facts::new(error, exchange.raw_path(), exchange.id.as_str());
            (Content::of(page.render(facts).into()), page.content_type())
        }
    };
    let mut response = Response::new(content);
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    if error.body().is_none_or(|body| !body.is_empty()) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(
        &ERROR_HEADER,
        HeaderValue::from_static(error.kind().synopsis()),
    );
    for (name, value) in error.headers() {
        headers.append(name, value.clone());
    }
    response
}

/// The answer of a `response` block.
pub fn of_block(answer: Answer) -> Response<Content> {
    let mut response = Response::new(Content::of(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// The answer to a preflight, without the fields of `cors`.
pub fn preflight() -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    response
}

/// The health route.
pub fn health() -> Response<Content> {
    let mut response = Response::new(Content::Full("healthy".into()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The health route while the process is ending: plain text, not a page.
pub fn shutting_down() -> Response<Content> {
    let error = Error::new(Kind::ServerShutdown, "");
    let mut response = Response::new(Content::Full("server shutting down".into()));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        &ERROR_HEADER,
        HeaderValue::from_static(error.kind().synopsis()),
    );
    response
}
