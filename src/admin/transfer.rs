//! `/export` and `/import`: everything as lines of JSON, one object each.

use super::problem::Problem;
use super::{Admin, Asked, Body, MAX_LINE, Outcome, Reply};
use crate::store::transfer::{self, Line};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc;

pub use crate::store::transfer::{Imported, Mode};

/// Lines that wait for a slow reader.
const AHEAD: usize = 64;

impl Admin {
    pub(super) fn export(&self, asked: &Asked<'_>) -> Outcome {
        if !matches!(*asked.call.method, Method::GET | Method::HEAD) {
            return Err(Problem::Method);
        }
        let (sender, parts) = mpsc::channel(AHEAD);
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || {
            let written = transfer::export(&*store, |line: &Line| {
                let mut text = serde_json::to_vec(line).unwrap_or_default();
                text.push(b'\n');
                // A reader who has left ends the export.
                sender.blocking_send(Bytes::from(text)).is_ok()
            });
            if let Err(error) = written {
                tracing::error!("the export ended early: {error}");
            }
        });
        let mut reply = Reply::empty(StatusCode::OK);
        reply.header(header::CONTENT_TYPE, "application/x-ndjson");
        reply.body = Body::Parts(parts);
        Ok(reply)
    }

    pub(super) async fn import(&self, asked: &Asked<'_>) -> Outcome {
        if *asked.call.method != Method::POST {
            return Err(Problem::Method);
        }
        let mode = match asked.option("mode") {
            None | Some("merge") => Mode::Merge,
            Some("replace") => Mode::Replace,
            Some(_) => return Err(Problem::Option("mode: expected merge or replace".into())),
        };
        let dry_run = matches!(asked.option("dry_run"), Some("true" | ""));
        let body = asked.call.body.ok_or_else(|| {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Problem::Plain(status, "Payload Too Large".into())
        })?;
        let mut imported = Imported::default();
        for (number, text) in body.split(|byte| *byte == b'\n').enumerate() {
            if text.trim_ascii().is_empty() {
                continue;
            }
            let line = match text.len() {
                0..=MAX_LINE => serde_json::from_slice::<Line>(text).map_err(|e| e.to_string()),
                _ => Err("the line is longer than 1 MiB".into()),
            };
            match line {
                Ok(line) => {
                    transfer::import(&*self.store, line, mode, dry_run, &mut imported).await?;
                }
                Err(problem) => imported.problem(number + 1, &problem),
            }
        }
        if !dry_run {
            self.note(asked, "imported", "").await?;
        }
        let body = json!({
            "created": imported.created,
            "changed": imported.changed,
            "unchanged": imported.unchanged,
            "problems": imported.problems,
            "dry_run": dry_run,
        });
        Ok(Reply::json(StatusCode::OK, &body))
    }
}
