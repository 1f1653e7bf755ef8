//! What every block may ask for while it is read: texts, environment, functions, findings.

use super::fingerprint::Fingerprint;
use super::reader::Spanned;
use crate::diagnostic::{Diagnostic, Diagnostics, SourceMap, Span, code};
use crate::expr::{self, Program, Value};
use crate::hcl::Attribute;
use crate::runtime::kept::{Keeper, Kept};
use crate::telemetry::metrics;
use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// The surroundings of a configuration while it is loaded.
#[derive(Debug)]
pub struct Context<'a> {
    /// The configuration's files.
    pub sources: &'a SourceMap,
    /// `env`: the process environment over `defaults.environment_variables`.
    pub env: &'a BTreeMap<String, String>,
    /// `couper.environment`.
    pub environment: &'a str,
    /// The functions of the language.
    pub functions: &'a expr::Registry,
    diagnostics: RefCell<Diagnostics>,
    files: RefCell<Vec<PathBuf>>,
    labels: RefCell<BTreeMap<&'static str, Vec<String>>>,
    keeper: Keeper,
    contents: RefCell<BTreeMap<PathBuf, Content>>,
    metrics: Cell<bool>,
}

/// What is in a file, or why that cannot be told.
type Content = Result<Rc<Vec<u8>>, String>;

/// What a load left besides the blocks it read.
#[derive(Debug)]
pub struct Findings {
    /// Faults and warnings.
    pub diagnostics: Diagnostics,
    /// The files that attributes name, to be watched.
    pub files: Vec<PathBuf>,
    /// State for the next load.
    pub kept: Kept,
}

impl<'a> Context<'a> {
    /// A context without findings.
    pub fn new(
        sources: &'a SourceMap,
        env: &'a BTreeMap<String, String>,
        environment: &'a str,
        functions: &'a expr::Registry,
    ) -> Self {
        Self {
            sources,
            env,
            environment,
            functions,
            diagnostics: RefCell::default(),
            files: RefCell::default(),
            labels: RefCell::default(),
            keeper: Keeper::default(),
            contents: RefCell::default(),
            metrics: Cell::new(false),
        }
    }

    /// Says whether the configuration switches metrics on.
    pub fn switch_metrics(&self, on: bool) {
        self.metrics.set(on);
    }

    /// Where blocks get the series that they count in, if metrics are on.
    pub fn metrics(&self) -> Option<&'static metrics::Registry> {
        self.metrics.get().then(metrics::registry)
    }

    /// The context of a reload, which takes over state of an earlier load.
    #[must_use]
    pub fn taking_over(mut self, before: Kept) -> Self {
        self.keeper = Keeper::new(before);
        self
    }

    /// State that outlives a reload as long as its fingerprint stays the same.
    pub fn keep<T>(&self, fingerprint: Fingerprint, make: impl FnOnce() -> T) -> Arc<T>
    where
        T: std::any::Any + Send + Sync,
    {
        self.keeper.keep(fingerprint.finish(), make)
    }

    /// Tells the labels of a type of block in `definitions`.
    pub fn know_labels(&self, kind: &'static str, labels: Vec<String>) {
        self.labels.borrow_mut().insert(kind, labels);
    }

    /// The labels of a type of block in `definitions`.
    pub fn labels(&self, kind: &str) -> Vec<String> {
        self.labels.borrow().get(kind).cloned().unwrap_or_default()
    }

    /// Adds a finding.
    pub fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// What the load left.
    pub fn finish(self) -> Findings {
        Findings {
            diagnostics: self.diagnostics.into_inner(),
            files: self.files.into_inner(),
            kept: self.keeper.finish(),
        }
    }

    fn compile_context(&self, attribute: &Attribute, mode: expr::Mode) -> expr::CompileContext<'_> {
        let source = attribute.value_span.source;
        expr::CompileContext {
            source,
            text: self.sources.text(source),
            env: self.env,
            version: crate::VERSION,
            environment: self.environment,
            functions: self.functions,
            mode,
        }
    }

    /// Evaluates an attribute now; a fault is a finding.
    pub fn start_value(&self, attribute: &Attribute) -> Option<Value<'static>> {
        let cx = self.compile_context(attribute, expr::Mode::Start);
        match expr::eval_start(&attribute.value, &cx) {
            Ok(value) => Some(value),
            Err(findings) => {
                for finding in findings {
                    let message = format!("`{}`: {}", attribute.name.text, finding.message);
                    self.report(
                        Diagnostic::error(code::EVALUATION, finding.span, message)
                            .maybe_hint(finding.hint),
                    );
                }
                None
            }
        }
    }

    /// Compiles an attribute that is evaluated later.
    pub fn program(&self, attribute: &Attribute) -> Option<Program> {
        let cx = self.compile_context(attribute, expr::Mode::Request);
        match expr::compile(&attribute.value, &cx) {
            Ok(program) => {
                for finding in program.warnings() {
                    let message = format!("`{}`: {}", attribute.name.text, finding.message);
                    self.report(
                        Diagnostic::warning(code::SUSPICIOUS, finding.span, message)
                            .maybe_hint(finding.hint.clone()),
                    );
                }
                Some(program)
            }
            Err(findings) => {
                for finding in findings {
                    let message = format!("`{}`: {}", attribute.name.text, finding.message);
                    self.report(
                        Diagnostic::error(code::SYNTAX, finding.span, message)
                            .maybe_hint(finding.hint),
                    );
                }
                None
            }
        }
    }

    /// The value of an attribute that can be evaluated now; nothing is reported.
    pub fn start_value_quietly(&self, attribute: &Attribute) -> Option<Value<'static>> {
        let cx = self.compile_context(attribute, expr::Mode::Start);
        expr::eval_start(&attribute.value, &cx).ok()
    }

    /// The places of the elements of a list literal.
    pub(super) fn element_spans(attribute: &Attribute) -> Vec<Span> {
        let source = attribute.value_span.source;
        match &attribute.value {
            Expression::Array(array) => array
                .iter()
                .map(|item| {
                    item.span()
                        .map_or(attribute.value_span, |r| Span::new(source, r))
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A path as written, resolved against the folder of the file it stands in.
    pub fn resolve(&self, path: &str, span: Span) -> PathBuf {
        let path = Path::new(path);
        if path.is_absolute() {
            path.to_owned()
        } else {
            self.sources.folder(span.source).join(path)
        }
    }

    /// Reads a file that an attribute names; it will be watched.
    pub fn read_file(&self, name: &str, path: &Spanned<PathBuf>) -> Option<Vec<u8>> {
        self.watch(&path.value);
        let shown = path.value.display();
        let why = match self.content(&path.value) {
            Ok(bytes) if bytes.is_empty() => "it is empty".to_owned(),
            Ok(bytes) => return Some(bytes.to_vec()),
            Err(why) => why,
        };
        let message = format!("`{name}`: cannot use file `{shown}`: {why}");
        self.report(Diagnostic::error(code::FILE, path.span, message));
        None
    }

    /// What is in a file. It is read once in a load: what is made of it and its fingerprint are of
    /// the same bytes, even if it is written meanwhile.
    pub(super) fn content(&self, path: &Path) -> Content {
        let mut contents = self.contents.borrow_mut();
        let read = || {
            let bytes = std::fs::read(path).map_err(|error| error.to_string());
            bytes.map(Rc::new)
        };
        contents.entry(path.to_owned()).or_insert_with(read).clone()
    }

    /// Remembers a file for `-watch`.
    pub fn watch(&self, path: &Path) {
        self.files.borrow_mut().push(path.to_owned());
    }
}
