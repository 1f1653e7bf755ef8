//! Error pages: the built-in ones and those of `error_file`.

use super::Error;
use super::template::{Media, Template};
use std::sync::Arc;

/// Which page a place answers errors with.
#[derive(Clone, Debug)]
pub enum Page {
    /// For APIs.
    Json,
    /// For people.
    Html,
    /// From an `error_file`.
    Template(Arc<Template>),
}

/// What a page shows.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Status code.
    pub status: u16,
    /// The synopsis.
    pub message: &'a str,
    /// The request's path, escaped, without query.
    pub path: &'a str,
    /// The request's id.
    pub request_id: &'a str,
}

impl<'a> Facts<'a> {
    /// The facts of an error.
    pub fn new(error: &'a Error, path: &'a str, request_id: &'a str) -> Self {
        let (status, message) = (error.status().as_u16(), error.kind().synopsis());
        Self {
            status,
            message,
            path,
            request_id,
        }
    }
}

impl Page {
    /// The media type.
    pub fn content_type(&self) -> &'static str {
        let media = match self {
            Self::Json => Media::Json,
            Self::Html => Media::Html,
            Self::Template(template) => template.media(),
        };
        media.content_type()
    }

    /// The page.
    pub fn render(&self, facts: Facts<'_>) -> String {
        match self {
            Self::Json => json(facts),
            Self::Html => html(facts),
            Self::Template(template) => template.render(facts),
        }
    }
}

fn json(facts: Facts<'_>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "{{\n  \"error\": {{\n    \"id\":      {},\n    \"message\": {},\n    \"path\":    {},\n    \"status\":  {}\n  }}\n}}\n",
        quoted(facts.request_id),
        quoted(facts.message),
        quoted(facts.path),
        facts.status,
    )
}

fn html(facts: Facts<'_>) -> String {
    let (status, message) = (facts.status, escape(facts.message));
    let (path, id) = (escape(facts.path), escape(facts.request_id));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{status} {message}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:36em;padding:0 1em}}\
         h1{{font-size:1.6em}}dt{{color:#666}}dd{{margin:0 0 .6em}}</style>\n\
         </head>\n<body>\n<h1>{status} – {message}</h1>\n<dl>\n<dt>Path</dt>\n<dd>{path}</dd>\n\
         <dt>Request id</dt>\n<dd>{id}</dd>\n</dl>\n</body>\n</html>\n"
    )
}

/// Escapes text for HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn pages_escape_the_path() {
        let error = Error::new(Kind::RouteNotFound, "");
        let facts = Facts::new(&error, "/<x>\"", "id");
        assert!(Page::Html.render(facts).contains("/&lt;x&gt;&#34;"));
        let json: serde_json::Value = serde_json::from_str(&Page::Json.render(facts)).unwrap();
        assert_eq!(json["error"]["path"], "/<x>\"");
        assert_eq!(json["error"]["status"], 404);
    }
}
