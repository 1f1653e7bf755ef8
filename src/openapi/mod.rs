//! OpenAPI documents and the check of requests and responses against them.
//!
//! All is read and compiled while loading: the paths into patterns, the schemas into validators.
//! Versions 3.0 and 3.1 are understood, as JSON or YAML, in one file or in several. References lead
//! to files only, never into the network. Schemas of 3.0 are translated into those of 3.1, which
//! are JSON Schema 2020-12.
//!
//! Findings name what is wrong and where, and quote no value: it might be a secret.

mod document;
mod operation;
mod parameter;
mod route;
mod schema;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use operation::Operation;
use route::Routes;
use std::path::Path;

pub use document::Fault;

/// A document, ready to check by.
#[derive(Debug)]
pub struct OpenApi {
    routes: Routes,
    operations: Vec<Operation>,
}

/// A request as it is sent to the origin.
#[derive(Clone, Copy, Debug)]
pub struct SentRequest<'r> {
    /// Method.
    pub method: &'r Method,
    /// `scheme://host[:port]`
    pub origin: &'r str,
    /// Path and query.
    pub target: &'r str,
    /// Header fields.
    pub headers: &'r HeaderMap,
    /// The body.
    pub body: Option<&'r Bytes>,
}

/// A response as it came from the origin.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedResponse<'r> {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: &'r HeaderMap,
    /// The body, unpacked.
    pub body: &'r Bytes,
}

/// The operation of a document that a request was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found(usize);

impl OpenApi {
    /// Reads a document with all files that it refers to. `read` gives the bytes of a file.
    pub fn load(
        path: &Path,
        read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Fault> {
        let document = document::load(path, read)?;
        let requests = schema::translate(&document, schema::Use::Request);
        let responses = schema::translate(&document, schema::Use::Response);
        let mut requests = schema::Schemas::new(&requests)?;
        let mut responses = schema::Schemas::new(&responses)?;
        for pointer in document.schemas() {
            requests.validator(&pointer)?;
        }
        let mut operations = Vec::new();
        let mut routes = route::Builder::default();
        for place in operation::places(&document)? {
            let read = Operation::read(&document, &place, &mut requests, &mut responses)?;
            routes.add(&document, &place, operations.len())?;
            operations.push(read);
        }
        Ok(Self {
            routes: routes.build()?,
            operations,
        })
    }

    /// The operation that a request is, and what is wrong with the request.
    pub fn check_request(&self, request: &SentRequest<'_>) -> (Option<Found>, Vec<String>) {
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, query),
            None => (request.target, ""),
        };
        match self.routes.find(request.method, request.origin, path) {
            Err(why) => (None, vec![why]),
            Ok((index, captured)) => {
                let found = &self.operations[index];
                let findings = found.check_request(request, &captured, query);
                (Some(Found(index)), findings)
            }
        }
    }

    /// What is wrong with the response to a request that was found to be this operation.
    pub fn check_response(
        &self,
        found: Option<Found>,
        method: &Method,
        response: &ReceivedResponse<'_>,
    ) -> Vec<String> {
        match found {
            None => vec!["response: the request is not in the document".to_owned()],
            Some(Found(index)) => self.operations[index].check_response(method, response),
        }
    }
}
