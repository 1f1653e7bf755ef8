//! `any_of`: the first of several access controls that lets a request in.
//!
//! ```hcl
//! any_of "either" {
//!   access_control = ["token", "key"]
//! }
//! ```

use super::access_token::Anonymous;
use super::identity::{self, Headers};
use super::{Authenticate, Control, Verdict};
use crate::blocks::Definitions;
use crate::blocks::error_handler;
use crate::blocks::reader::Reader;
use crate::blocks::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use crate::diagnostic::{Diagnostic, code};
use crate::error::{Error, Kind as ErrorKind};
use crate::expr::Program;
use crate::http::exchange::Exchange;
use http::header;
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "any_of",
    labels: Labels::Required,
    attributes: &[AttributeSchema::start(
        "access_control",
        Kind::Strings,
        "The access controls, in the order in which they are tried.",
    )
    .required()],
    groups: &[identity::ATTRIBUTES, schema::LOG_FIELDS],
    blocks: &[Child::many(&error_handler::SCHEMA)],
    rules: &[],
    docs: "The first of several access controls that lets a request in. If none does, the answer is that of the first one whose credentials were shown.",
    example: r#"server {
  hosts          = ["localhost:8080"]
  access_control = ["either"]
  endpoint "/" {
    response {}
  }
}

definitions {
  any_of "either" {
    access_control = ["john", "jane"]
  }
  basic_auth "john" {
    user     = "john"
    password = "secret"
  }
  basic_auth "jane" {
    user     = "jane"
    password = "secret"
  }
}
"#,
};

#[derive(Debug)]
struct AnyOf {
    controls: Vec<Arc<Control>>,
    headers: Headers,
    anonymous: Option<Anonymous>,
}

/// Reads the block.
pub fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Box<dyn Authenticate>> {
    let headers = Headers::read(reader);
    let anonymous = Anonymous::read(reader, definitions, &headers);
    let names = reader.strings("access_control")?;
    let own = reader.block.label().trim();
    if let Some(own) = names.value.iter().find(|name| name.value.trim() == own) {
        let message = format!("`any_of` `{}` names itself", own.value);
        reader
            .cx
            .report(Diagnostic::error(code::CIRCLE, own.span, message));
        return None;
    }
    if names.value.is_empty() {
        reader.bad_value(names.span, "`access_control` names no access control");
        return None;
    }
    let count = names.value.len();
    let controls: Vec<_> = names
        .value
        .iter()
        .filter_map(|name| definitions.access_control(name))
        .collect();
    let whole = controls.len() == count && (!reader.has("anonymous") || anonymous.is_some());
    whole.then(|| {
        Box::new(AnyOf {
            controls,
            headers,
            anonymous,
        }) as Box<dyn Authenticate>
    })
}

/// Whether the caller had shown nothing to this control.
fn is_missing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AccessTokenMissing
            | ErrorKind::ApiKeyMissing
            | ErrorKind::JwtTokenMissing
            | ErrorKind::BasicAuthCredentialsMissing
    )
}

impl AnyOf {
    async fn decide(&self, label: &Arc<str>, exchange: &mut Exchange) -> Result<(), Error> {
        let mut errors = Vec::new();
        for control in &self.controls {
            match Box::pin(control.check(exchange)).await {
                Ok(()) => return Ok(()),
                Err(error) => errors.push(error),
            }
        }
        let shown = errors
            .iter()
            .position(|error| !is_missing(error))
            .unwrap_or(0);
        if let Some(anonymous) = &self.anonymous
            && errors
                .get(shown)
                .is_some_and(|error| anonymous.covers(error))
        {
            anonymous.admit(label, exchange, &self.headers);
            return Ok(());
        }
        let challenges: Vec<_> = errors
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != shown)
            .flat_map(|(_, error)| error.headers().to_vec())
            .filter(|(name, _)| *name == header::WWW_AUTHENTICATE)
            .collect();
        if shown >= errors.len() {
            return Err(Error::new(ErrorKind::AccessControl, "no access control"));
        }
        let mut error = errors.swap_remove(shown);
        for (name, value) in challenges {
            error = error.with_header(name, value);
        }
        Err(error)
    }
}

impl Authenticate for AnyOf {
    fn authenticate<'a>(&'a self, label: &'a Arc<str>, exchange: &'a mut Exchange) -> Verdict<'a> {
        self.headers.strip(exchange);
        Verdict::Later(Box::pin(self.decide(label, exchange)))
    }

    fn makes_private(&self) -> bool {
        self.controls.iter().any(|control| control.makes_private())
    }

    fn reads_form(&self) -> bool {
        self.controls.iter().any(|control| control.reads_form())
    }

    fn programs(&self) -> Vec<&Program> {
        self.controls
            .iter()
            .flat_map(|control| control.programs())
            .collect()
    }
}
