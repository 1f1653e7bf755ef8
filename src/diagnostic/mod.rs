//! Findings about a configuration: what is wrong, where, and how to mend it.
//!
//! A [`Diagnostic`] is a value. Nothing outside this module turns one into text, so the terminal,
//! the log and `verify --format json` always say the same thing. Steps of the loader push into a
//! [`Diagnostics`] list and go on, so that one run reports every fault.

pub mod former;
pub mod nearest;
pub mod render;
mod source;

pub use source::{Location, Source, SourceId, SourceMap, Span};

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration is used; something in it is probably not what was meant.
    Warning,
}

impl Severity {
    /// The word used in every rendering.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Stable code of a kind of finding; `docs/reference/errors.md` lists them.
///
/// `E01xx` files and syntax, `E02xx` schema, `E03xx` values, `E04xx` references and rules between
/// blocks, `E05xx` files named by attributes, `W0xxx` warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The codes in use.
pub mod code {
    use super::Code;

    macro_rules! codes {
        ($(#[doc = $docs:literal] $name:ident = $code:literal;)*) => {
            $(#[doc = $docs] pub const $name: Code = Code($code);)*

            /// All of them, each with one line about it.
            pub const ALL: &[(Code, &str)] = &[$(($name, $docs)),*];
        };
    }

    codes! {
        /// A configuration file or folder that cannot be read.
        UNREADABLE_SOURCE = "E0101";
        /// Text that is not HCL.
        SYNTAX = "E0102";
        /// No configuration file at all.
        NO_SOURCE = "E0103";
        /// An attribute that its block does not have.
        UNKNOWN_ATTRIBUTE = "E0201";
        /// A block that its parent does not have.
        UNKNOWN_BLOCK = "E0202";
        /// An attribute or block that must be there and is not.
        MISSING = "E0203";
        /// Too many or too few labels.
        LABELS = "E0204";
        /// A block given more often than its parent allows.
        TOO_MANY = "E0205";
        /// Part of the language that this version does not have.
        NOT_AVAILABLE = "E0206";
        /// A value of the wrong type.
        WRONG_TYPE = "E0301";
        /// A value of the right type that means nothing.
        BAD_VALUE = "E0302";
        /// An expression that cannot be evaluated at start.
        EVALUATION = "E0303";
        /// A name that is not defined.
        UNDEFINED = "E0401";
        /// A name that is defined twice.
        DUPLICATE = "E0402";
        /// Things that exclude one another.
        CONFLICT = "E0403";
        /// Things that refer to one another in a circle.
        CIRCLE = "E0404";
        /// A block that lacks what it needs to do its work.
        INCOMPLETE = "E0405";
        /// A file named by an attribute that cannot be used.
        FILE = "E0501";
        /// A setting, option or variable that cannot be used.
        SETTING = "E0502";
        /// A name that still works and has a newer one.
        DEPRECATED = "W0101";
        /// Something that is accepted and has no effect.
        NO_EFFECT = "W0102";
        /// Something that will fail or surprise at run time.
        SUSPICIOUS = "W0103";
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One line: lower case start, no full stop, names in backticks.
    pub message: String,
    /// Where; `None` for findings about options and variables.
    pub primary: Option<Span>,
    /// What to say at the primary place.
    pub label: Option<String>,
    /// Other places that matter, with a word each.
    pub related: Vec<(Span, String)>,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: Code, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span.into(), message.into())
    }

    /// A warning at a place.
    pub fn warning(code: Code, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span.into(), message.into())
    }

    fn new(severity: Severity, code: Code, primary: Option<Span>, message: String) -> Self {
        Self {
            code,
            severity,
            message,
            primary,
            label: None,
            related: Vec::new(),
            hint: None,
        }
    }

    /// Adds a word to the primary place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds another place that matters.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a hint when there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = self.hint.or(hint);
        self
    }
}

/// The findings of a run.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a finding, unless the very same one is there already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Self) {
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The findings in order of their places, those without a place first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        list.sort_by_key(|d| (d.primary, d.severity));
        list
    }
}
