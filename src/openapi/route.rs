//! Which operation of a document a request is: by the URLs of its servers, path and method.

use super::document::{Document, Fault};
use super::operation::Place;
use http::Method;
use regex::{Regex, RegexSet};
use serde_json::Value;

/// Paths of a document, in the order they are tried.
#[derive(Debug)]
pub(super) struct Routes {
    all: RegexSet,
    paths: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    /// The whole URL for servers with a host, else the path alone.
    pattern: Regex,
    parameters: Vec<String>,
    methods: Vec<(Method, usize)>,
}

/// A path of one server as the pattern that it becomes.
#[derive(Debug)]
struct Written {
    pattern: String,
    parameters: Vec<String>,
    methods: Vec<(Method, usize)>,
}

/// Values of path parameters, as sent.
pub(super) type Captured = Vec<(String, String)>;

/// Routes in the making.
#[derive(Debug, Default)]
pub(super) struct Builder {
    paths: Vec<Written>,
}

impl Builder {
    pub(super) fn add(
        &mut self,
        document: &Document,
        place: &Place<'_>,
        index: usize,
    ) -> Result<(), Fault> {
        let (path, parameters) = template(place)?;
        for server in servers(document, place)? {
            let pattern = format!("^{server}{path}$");
            let entry = (place.method.clone(), index);
            match self.paths.iter_mut().find(|known| known.pattern == pattern) {
                Some(known) => known.methods.push(entry),
                None => self.paths.push(Written {
                    pattern,
                    parameters: parameters.clone(),
                    methods: vec![entry],
                }),
            }
        }
        Ok(())
    }

    pub(super) fn build(mut self) -> Result<Routes, Fault> {
        // What is written out comes before what is a parameter.
        self.paths
            .sort_by_key(|path| (path.parameters.len(), path.pattern.clone()));
        let fault = |error: regex::Error| Fault::at("/paths", error.to_string());
        let patterns = self.paths.iter().map(|path| &path.pattern);
        let all = RegexSet::new(patterns).map_err(fault)?;
        let mut paths = Vec::new();
        for path in self.paths {
            paths.push(Route {
                pattern: Regex::new(&path.pattern).map_err(fault)?,
                parameters: path.parameters,
                methods: path.methods,
            });
        }
        Ok(Routes { all, paths })
    }
}

impl Routes {
    /// The number of an operation and the values of its path parameters, or why there is none.
    pub(super) fn find(
        &self,
        method: &Method,
        origin: &str,
        path: &str,
    ) -> Result<(usize, Captured), String> {
        let url = format!("{origin}{path}");
        let mut known = false;
        for at in &self.all.matches(&url) {
            known = true;
            let route = &self.paths[at];
            let Some((_, index)) = route.methods.iter().find(|(m, _)| m == method) else {
                continue;
            };
            let captured = route.pattern.captures(&url);
            let texts = captured.iter().flat_map(|found| found.iter().skip(1));
            let texts = texts.map(|text| text.map_or("", |text| text.as_str()).to_owned());
            let captured = route.parameters.iter().cloned().zip(texts).collect();
            return Ok((*index, captured));
        }
        Err(if known {
            format!("request: the method {method} is not in the document for this path")
        } else {
            "request: the path is not in the document".to_owned()
        })
    }
}

/// The pattern of a path, and the names of its parameters.
fn template(place: &Place<'_>) -> Result<(String, Vec<String>), Fault> {
    let mut pattern = String::new();
    let mut names = Vec::new();
    let mut rest = place.path;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| Fault::at(&place.node.pointer, "a `{` in the path has no `}`"))?;
        pattern.push_str(&regex::escape(text));
        pattern.push_str("([^/]+)");
        names.push(name.to_owned());
        rest = after;
    }
    pattern.push_str(&regex::escape(rest));
    Ok((pattern, names))
}

/// Patterns of the URLs of the servers that an operation is at, without a final slash.
fn servers(document: &Document, place: &Place<'_>) -> Result<Vec<String>, Fault> {
    let own = [&place.operation.value, &place.node.value, &&document.root];
    let listed = own
        .into_iter()
        .filter_map(|value| value.get("servers")?.as_array())
        .find(|servers| !servers.is_empty());
    let Some(listed) = listed else {
        return Ok(vec![at_origin("")]);
    };
    listed.iter().map(server).collect()
}

const ANY_ORIGIN: &str = "[a-z]+://[^/]+";

fn at_origin(path: &str) -> String {
    format!("{ANY_ORIGIN}{}", path.trim_end_matches('/'))
}

fn server(server: &Value) -> Result<String, Fault> {
    let url = server.get("url").and_then(Value::as_str).unwrap_or("/");
    let mut pattern = String::new();
    let mut rest = url.trim_end_matches('/');
    let with_host = rest.contains("://");
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| Fault::at("/servers", format!("`{url}`: a `{{` has no `}}`")))?;
        pattern.push_str(&regex::escape(text));
        pattern.push_str(&variable(server, name));
        rest = after;
    }
    let rest = regex::escape(rest);
    pattern.push_str(&rest);
    if with_host {
        return Ok(without_usual_port(&pattern));
    }
    if !pattern.is_empty() && !pattern.starts_with('/') {
        // Relative to the place of the document, which is taken to be the origin's root.
        let bare = pattern.trim_start_matches("\\./");
        pattern = format!("/{bare}");
    }
    Ok(at_origin(&pattern))
}

/// The values that a variable of a server's URL may have.
fn variable(server: &Value, name: &str) -> String {
    let values = server
        .get("variables")
        .and_then(|variables| variables.get(name)?.get("enum")?.as_array());
    let values: Vec<String> = values
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(regex::escape)
        .collect();
    if values.is_empty() {
        "[^/]+".to_owned()
    } else {
        format!("(?:{})", values.join("|"))
    }
}

/// Origins are compared without the port that goes without saying.
fn without_usual_port(pattern: &str) -> String {
    for (scheme, port) in [("http", ":80"), ("https", ":443")] {
        if let Some(rest) = pattern.strip_prefix(&format!("{scheme}://")) {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.strip_suffix(port).unwrap_or(host);
            return format!("{scheme}://{}{path}", host.to_ascii_lowercase());
        }
    }
    pattern.to_owned()
}
