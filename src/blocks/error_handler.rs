//! `error_handler`: what the client gets instead of an error page.
//!
//! ```hcl
//! error_handler "backend_timeout" "backend_unhealthy" {
//!   response {
//!     status    = 503
//!     json_body = { again = true }
//!   }
//! }
//! ```
//!
//! An error is offered to the handlers of the block it arose in by its types, the most specific
//! one first, at last to the one for all types. Handlers are read at start and run behind errors
//! only: nothing of them is on the way of a request that succeeds.
//!
//! Deviation: a handler for all types takes every catchable error of its block. Couper's passes by
//! errors whose type has special cases, such as a plain `backend` error (connection refused).
//!
//! Deviation: a type that cannot arise in a block is a warning; Couper is silent about it.

use super::Definitions;
use super::endpoint::{Plan, Reads};
use super::error_file;
use super::modifiers::{HeaderModifiers, RequestModifiers};
use super::reader::Reader;
use super::schema::{self, AttributeSchema, BlockSchema, Child, Kind, Labels};
use super::{proxy, request, response};
use crate::diagnostic::nearest::did_you_mean;
use crate::diagnostic::{Diagnostic, Span, code};
use crate::error::page::Page;
use crate::error::{Catch, Error, Kind as ErrorKind};
use crate::expr::Program;
use std::sync::Arc;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "error_handler",
    labels: Labels::Any,
    attributes: &[
        AttributeSchema::start("error_file", Kind::Path, "Template of error pages."),
        AttributeSchema::request("set_response_status", Kind::Number, "Replaces the status."),
    ],
    groups: &[
        schema::REQUEST_HEADERS,
        schema::RESPONSE_HEADERS,
        schema::QUERY_PARAMS,
        schema::FORM_PARAMS,
        schema::LOG_FIELDS,
    ],
    blocks: &[
        Child::many(&proxy::SCHEMA),
        Child::many(&request::SCHEMA),
        Child::optional(&response::SCHEMA),
    ],
    rules: &[],
    docs: "What the client gets instead of an error page; the labels are types of errors, without any or with `*` all of them.",
    example: r#"server {
  endpoint "/" {
    proxy {
      backend {
        origin = "http://localhost:8081"
      }
    }
    error_handler "backend_timeout" "backend_unhealthy" {
      response {
        status    = 503
        json_body = { retry = true }
      }
    }
  }
}
"#,
};

/// The label for all types.
const ANY: &str = "*";

/// An error handler, ready to run.
#[derive(Debug)]
pub struct ErrorHandler {
    /// Requests to send and what to answer.
    pub plan: Plan,
    /// Request modifiers, for its proxies.
    pub request_modifiers: RequestModifiers,
    /// Response header modifiers.
    pub response_headers: HeaderModifiers,
    /// `set_response_status`
    pub set_response_status: Option<Program>,
    /// Its own page of errors.
    pub page: Option<Page>,
    /// `custom_log_fields`
    pub log_fields: Option<Arc<Program>>,
    /// What its expressions read.
    pub reads: Reads,
}

impl ErrorHandler {
    /// Reads the block but for its labels. `log_fields` are those of the blocks around it: they
    /// see its requests, too.
    fn read(
        reader: Reader<'_>,
        definitions: &Definitions<'_>,
        log_fields: &[Arc<Program>],
    ) -> Option<Self> {
        let mut handler = Self {
            request_modifiers: RequestModifiers::read(reader),
            response_headers: HeaderModifiers::response(reader),
            set_response_status: reader.program("set_response_status"),
            page: error_file::read(reader),
            log_fields: reader.program("custom_log_fields").map(Arc::new),
            reads: Reads::default(),
            plan: Plan::of_handler(reader, definitions)?,
        };
        handler.reads = Reads::of_handler(&handler);
        let mut seen = handler.reads.clone();
        seen.add_all(log_fields.iter().map(Arc::as_ref));
        handler.plan.keep_what_is_read(&seen);
        for call in &mut handler.plan.calls {
            // Blocks further out may read them as well.
            call.record = true;
        }
        Some(handler)
    }

    /// The expressions of the block itself, without those of its requests.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.request_modifiers
            .programs()
            .chain(self.response_headers.programs())
            .chain(&self.set_response_status)
            .chain(self.log_fields.iter().map(Arc::as_ref))
    }
}

/// The block that handlers stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An `api`.
    Api,
    /// An `endpoint`.
    Endpoint,
    /// An access control of this type.
    AccessControl(&'static str),
}

impl Place {
    /// Whether errors of exactly this kind arise in the block.
    fn arises(self, kind: ErrorKind) -> bool {
        match (self, kind.catch()) {
            (Self::Api | Self::Endpoint, Catch::Api) | (Self::Endpoint, Catch::Endpoint) => true,
            (Self::AccessControl(block), Catch::AccessControl(home)) => {
                block == home || (block, home) == ("oidc", "beta_oauth2")
            }
            (Self::AccessControl(_), Catch::AnyAccessControl) => true,
            (Self::Api, Catch::Endpoint)
            | (Self::Api | Self::Endpoint, Catch::AccessControl(_) | Catch::AnyAccessControl)
            | (Self::AccessControl(_), Catch::Api | Catch::Endpoint)
            | (_, Catch::Nowhere) => false,
        }
    }

    /// Whether a handler for a type ever runs, given the types with a default answer.
    fn fires(self, wanted: ErrorKind, defaults: &[ErrorKind]) -> bool {
        ErrorKind::ALL.iter().any(|kind| {
            let concrete = kind.catch() != Catch::AnyAccessControl;
            concrete && self.arises(*kind) && {
                let line: Vec<ErrorKind> =
                    std::iter::successors(Some(*kind), |kind| kind.parent()).collect();
                let at = line.iter().position(|kind| *kind == wanted);
                at.is_some_and(|at| !line[..at].iter().any(|kind| defaults.contains(kind)))
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Endpoint => "endpoint",
            Self::AccessControl(name) => name,
        }
    }
}

/// The handlers of a block.
#[derive(Debug)]
pub struct Handlers {
    place: Place,
    /// Types with a default answer that only a handler for that very type or for all replaces.
    defaults: &'static [ErrorKind],
    named: Vec<(ErrorKind, Arc<ErrorHandler>)>,
    any: Option<Arc<ErrorHandler>>,
}

/// A handler that takes an error.
#[derive(Clone, Debug)]
pub struct Found {
    /// The handler.
    pub handler: Arc<ErrorHandler>,
    /// The type it is registered for.
    pub registered: &'static str,
    /// Whether it stands in for a default answer.
    pub replaces_default: bool,
}

impl Handlers {
    /// Reads the handlers of a block. `log_fields` are those of the block and the ones around it.
    pub fn read(
        reader: Reader<'_>,
        definitions: &Definitions<'_>,
        place: Place,
        defaults: &'static [ErrorKind],
        log_fields: &[Arc<Program>],
    ) -> Self {
        let mut handlers = Self {
            place,
            defaults,
            named: Vec::new(),
            any: None,
        };
        let mut known = Registered::default();
        for block in reader.blocks("error_handler") {
            let inner = Reader::new(reader.cx, block, &SCHEMA);
            let types = known.add(inner, place, defaults);
            let Some(handler) = ErrorHandler::read(inner, definitions, log_fields) else {
                continue;
            };
            let handler = Arc::new(handler);
            for kind in types {
                match kind {
                    None => handlers.any = Some(Arc::clone(&handler)),
                    Some(kind) => handlers.named.push((kind, Arc::clone(&handler))),
                }
            }
        }
        handlers
    }

    /// Every handler; one for several types comes several times.
    pub fn iter(&self) -> impl Iterator<Item = &ErrorHandler> {
        let named = self.named.iter().map(|(_, handler)| handler.as_ref());
        named.chain(self.any.as_deref())
    }

    /// The handler for an error of this block, if there is one.
    pub fn find(&self, error: &Error) -> Option<Found> {
        if error.kind().catch() == Catch::Nowhere {
            return None;
        }
        let found = |handler: &Arc<ErrorHandler>, registered| Found {
            handler: Arc::clone(handler),
            registered,
            replaces_default: error.kinds().any(|kind| self.defaults.contains(&kind)),
        };
        for kind in error.kinds() {
            if let Some((_, handler)) = self.named.iter().find(|(known, _)| *known == kind) {
                return Some(found(handler, kind.error_type().unwrap_or(ANY)));
            }
            if self.defaults.contains(&kind) {
                break;
            }
        }
        let any = self.any.as_ref()?;
        let ours = match self.place {
            Place::AccessControl(_) => true,
            Place::Api | Place::Endpoint => error.kinds().any(|kind| self.place.arises(kind)),
        };
        ours.then(|| found(any, ANY))
    }
}

/// The types that a block has handlers for, with their places.
#[derive(Default)]
struct Registered(Vec<(Option<ErrorKind>, Span)>);

impl Registered {
    /// Checks the labels of a handler and gives its types; `None` stands for all.
    fn add(
        &mut self,
        reader: Reader<'_>,
        place: Place,
        defaults: &[ErrorKind],
    ) -> Vec<Option<ErrorKind>> {
        let cx = reader.cx;
        let mut types = Vec::new();
        if reader.block.labels.is_empty() {
            types.extend(self.register(reader, None, reader.span()).then_some(None));
        }
        for label in &reader.block.labels {
            if label.text.trim().is_empty() {
                let message = "`error_handler` has an empty label";
                cx.report(
                    Diagnostic::error(code::LABELS, label.span, message)
                        .hint("leave the label out to handle all types"),
                );
            }
            for word in label.text.split_whitespace() {
                if word == ANY {
                    types.extend(self.register(reader, None, label.span).then_some(None));
                    continue;
                }
                let catchable = |kind: &ErrorKind| kind.catch() != Catch::Nowhere;
                let Some(kind) = ErrorKind::of(word).filter(catchable) else {
                    let message = format!("error type is unknown: \"{word}\"");
                    let known = ErrorKind::ALL
                        .iter()
                        .copied()
                        .filter(catchable)
                        .filter_map(ErrorKind::error_type);
                    cx.report(
                        Diagnostic::error(code::UNDEFINED, label.span, message)
                            .maybe_hint(did_you_mean(word, known)),
                    );
                    continue;
                };
                let fires = place.fires(kind, defaults);
                if !fires {
                    let block = place.name();
                    let message = if defaults.iter().any(|default| default.is_a(kind)) {
                        format!(
                            "an error handler for `{word}` in `{block}` never runs: the default answers of more specific types come first"
                        )
                    } else {
                        format!(
                            "an error handler for `{word}` in `{block}` never runs: such errors do not arise there"
                        )
                    };
                    cx.report(Diagnostic::warning(code::NO_EFFECT, label.span, message));
                }
                if self.register(reader, Some(kind), label.span) && fires {
                    types.push(Some(kind));
                }
            }
        }
        types
    }

    /// Notes a type; a second time is refused.
    fn register(&mut self, reader: Reader<'_>, kind: Option<ErrorKind>, span: Span) -> bool {
        if let Some((_, first)) = self.0.iter().find(|(known, _)| *known == kind) {
            let word = kind.and_then(ErrorKind::error_type).unwrap_or(ANY);
            let message = format!("duplicate error type registration: \"{word}\"");
            reader.cx.report(
                Diagnostic::error(code::DUPLICATE, span, message).related(*first, "first one"),
            );
            return false;
        }
        self.0.push((kind, span));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::access::{basic_auth, jwt};

    const BASIC: &[ErrorKind] = &[ErrorKind::BasicAuth];

    #[test]
    fn types_fire_where_their_errors_arise() {
        let door = Place::AccessControl(basic_auth::SCHEMA.name);
        assert!(door.fires(ErrorKind::BasicAuth, BASIC));
        assert!(!door.fires(ErrorKind::AccessControl, BASIC));
        assert!(!door.fires(ErrorKind::Backend, BASIC));
        let token = Place::AccessControl(jwt::SCHEMA.name);
        assert!(token.fires(ErrorKind::AccessControl, &[]));
        assert!(token.fires(ErrorKind::JwtTokenExpired, &[]));
        assert!(Place::Api.fires(ErrorKind::AccessControl, &[]));
        assert!(Place::Api.fires(ErrorKind::BackendTimeout, &[]));
        assert!(!Place::Api.fires(ErrorKind::UnexpectedStatus, &[]));
        assert!(Place::Endpoint.fires(ErrorKind::Sequence, &[]));
        assert!(!Place::Endpoint.fires(ErrorKind::Jwt, &[]));
        assert!(Place::AccessControl("oidc").fires(ErrorKind::OAuth2, &[]));
    }

    fn handler() -> Arc<ErrorHandler> {
        Arc::new(ErrorHandler {
            plan: Plan::default(),
            request_modifiers: RequestModifiers::default(),
            response_headers: HeaderModifiers::default(),
            set_response_status: None,
            page: None,
            log_fields: None,
            reads: Reads::default(),
        })
    }

    fn handlers(place: Place, named: &[ErrorKind], any: bool) -> Handlers {
        Handlers {
            place,
            defaults: &[],
            named: named.iter().map(|kind| (*kind, handler())).collect(),
            any: any.then(handler),
        }
    }

    fn chosen(handlers: &Handlers, error: &Error) -> Option<&'static str> {
        handlers.find(error).map(|found| found.registered)
    }

    #[test]
    fn the_most_specific_type_comes_first() {
        let both = [ErrorKind::Backend, ErrorKind::BackendTimeout];
        let both = handlers(Place::Endpoint, &both, true);
        let timeout = Error::new(ErrorKind::BackendTimeout, "");
        assert_eq!(chosen(&both, &timeout), Some("backend_timeout"));
        assert_eq!(
            chosen(&both, &Error::new(ErrorKind::Backend, "")),
            Some("backend")
        );
        let unexpected = Error::new(ErrorKind::UnexpectedStatus, "");
        assert_eq!(chosen(&both, &unexpected), Some("*"));
        assert_eq!(chosen(&both, &Error::new(ErrorKind::Evaluation, "")), None);
        let sequence = handlers(
            Place::Endpoint,
            &[ErrorKind::Sequence, ErrorKind::Endpoint],
            false,
        );
        assert_eq!(
            chosen(&sequence, &Error::sequence(&timeout)),
            Some("sequence")
        );
        assert_eq!(
            chosen(&sequence, &Error::sequence(&unexpected)),
            Some("endpoint")
        );
    }

    #[test]
    fn a_default_answer_yields_to_its_own_type_and_to_all() {
        let place = Place::AccessControl("basic_auth");
        let missing = Error::new(ErrorKind::BasicAuthCredentialsMissing, "");
        let mut door = handlers(place, &[ErrorKind::AccessControl], false);
        door.defaults = BASIC;
        assert_eq!(chosen(&door, &missing), None);
        door.any = Some(handler());
        assert_eq!(chosen(&door, &missing), Some("*"));
        assert!(door.find(&missing).unwrap().replaces_default);
        door.named.push((ErrorKind::BasicAuth, handler()));
        assert_eq!(chosen(&door, &missing), Some("basic_auth"));
    }

    #[test]
    fn all_types_of_an_api_are_those_that_arise_there() {
        let api = handlers(Place::Api, &[], true);
        assert_eq!(chosen(&api, &Error::new(ErrorKind::Backend, "")), Some("*"));
        let unexpected = Error::new(ErrorKind::UnexpectedStatus, "");
        assert_eq!(chosen(&api, &unexpected), None);
        let denied = Error::new(ErrorKind::InsufficientPermissions, "");
        assert_eq!(chosen(&api, &denied), Some("*"));
    }
}
