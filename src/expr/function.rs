//! Functions of the language: what one is, and the table of those that stand alone.
//!
//! To add a function write it in the file of its family under `lib/` and add a line to
//! [`BUILTINS`]. Functions that need configured blocks implement [`Function`] where the block
//! lives and are registered by the loader.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::expr::eval::Scope;
use crate::expr::lib::{collections, encoding, json, strings, time, url};
use crate::expr::value::Value;
use crate::expr::variable::Variable;

/// Evaluated arguments; as many as the arity of the function allows.
pub type Args<'s> = SmallVec<[Value<'s>; 3]>;

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// The least.
    pub min: usize,
    /// The most; `None` for any number.
    pub max: Option<usize>,
}

impl Arity {
    /// Says what is wrong with `found` arguments, if anything.
    pub(crate) fn check(self, found: usize) -> Result<(), String> {
        if found >= self.min && self.max.is_none_or(|max| found <= max) {
            return Ok(());
        }
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        Err(match self.max {
            Some(max) if max == self.min => {
                format!("found {found}, expected {max} {}", plural(max))
            }
            Some(max) if found > max => {
                format!("found {found}, expected at most {max} {}", plural(max))
            }
            _ => format!(
                "found {found}, expected at least {} {}",
                self.min,
                plural(self.min)
            ),
        })
    }
}

/// A function of the language.
pub trait Function: Send + Sync + fmt::Debug {
    /// The name in expressions.
    fn name(&self) -> &str;
    /// How many arguments it takes; checked before each call.
    fn arity(&self) -> Arity;
    /// How it is called, for the reference: `split(sep, s)`.
    fn signature(&self) -> &'static str {
        ""
    }
    /// One line about it, for the reference.
    fn docs(&self) -> &'static str {
        ""
    }
    /// Whether equal arguments always give equal results, so that calls with constants can be
    /// evaluated ahead.
    fn is_pure(&self) -> bool {
        false
    }
    /// The variables that a call reads, beside its arguments.
    fn reads(&self) -> &[Variable] {
        &[]
    }
    /// Whether it is about a login: it may need the request's verifier and documents that are
    /// fetched in the background.
    fn is_login(&self) -> bool {
        false
    }
    /// Checks the arguments that are constants, where that can be done ahead; `None` stands for the
    /// others. The error says what is wrong, and perhaps how to mend it.
    fn check_constants(&self, _: &[Option<&Value<'_>>]) -> Result<(), (String, Option<String>)> {
        Ok(())
    }
    /// Evaluates a call. The error says what is wrong with the arguments and quotes no value.
    fn call<'s>(&'s self, args: Args<'s>, scope: &'s dyn Scope) -> Result<Value<'s>, String>;
}

/// The functions an expression may call.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    functions: BTreeMap<Box<str>, Arc<dyn Function>>,
}

impl Registry {
    /// The functions that need no configuration.
    pub fn standard() -> Self {
        let mut registry = Self::default();
        for builtin in BUILTINS {
            registry.register(Arc::new(*builtin));
        }
        registry
    }

    /// Adds a function, in place of one of the same name.
    pub fn register(&mut self, function: Arc<dyn Function>) {
        self.functions.insert(function.name().into(), function);
    }

    /// The function of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Function>> {
        self.functions.get(name)
    }

    /// All names, sorted; `can` is not among them, being part of the language.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(AsRef::as_ref)
    }
}

type Body = for<'s> fn(Args<'s>) -> Result<Value<'s>, String>;

/// A function that needs its arguments alone.
#[derive(Clone, Copy, Debug)]
struct Builtin {
    name: &'static str,
    signature: &'static str,
    docs: &'static str,
    arity: Arity,
    is_pure: bool,
    body: Body,
}

impl Function for Builtin {
    fn name(&self) -> &str {
        self.name
    }

    fn arity(&self) -> Arity {
        self.arity
    }

    fn signature(&self) -> &'static str {
        self.signature
    }

    fn docs(&self) -> &'static str {
        self.docs
    }

    fn is_pure(&self) -> bool {
        self.is_pure
    }

    fn call<'s>(&'s self, args: Args<'s>, _scope: &'s dyn Scope) -> Result<Value<'s>, String> {
        (self.body)(args)
    }
}

const fn exactly(name: &'static str, count: usize, body: Body) -> Builtin {
    let arity = Arity {
        min: count,
        max: Some(count),
    };
    Builtin {
        name,
        signature: "",
        docs: "",
        arity,
        is_pure: true,
        body,
    }
}

const fn at_least(name: &'static str, min: usize, body: Body) -> Builtin {
    Builtin {
        name,
        signature: "",
        docs: "",
        arity: Arity { min, max: None },
        is_pure: true,
        body,
    }
}

const fn impure(builtin: Builtin) -> Builtin {
    Builtin {
        is_pure: false,
        ..builtin
    }
}

impl Builtin {
    const fn about(self, signature: &'static str, docs: &'static str) -> Self {
        Self {
            signature,
            docs,
            ..self
        }
    }
}

/// `can`, which is part of the language: its argument may fail.
pub const CAN: (&str, &str) = (
    "can(expression)",
    "Whether the expression can be evaluated.",
);

const BUILTINS: &[Builtin] = &[
    exactly("base64_decode", 1, encoding::base64_decode).about("base64_decode(s)", "The text whose padded Base64 form (RFC 4648 section 4) is `s`."),
    exactly("base64_encode", 1, encoding::base64_encode).about("base64_encode(s)", "The padded Base64 form of `s`."),
    at_least("coalesce", 1, collections::default).about("coalesce(value, …)", "The same as `default`."),
    exactly("contains", 2, collections::contains).about("contains(list, value)", "Whether an element of the list equals the value, as `==` does."),
    at_least("default", 1, collections::default).about("default(value, …)", "The first argument that is neither null nor the empty string, else the last; converted to the common type of all."),
    at_least("join", 2, strings::join).about("join(sep, list, …)", "The elements of the lists as one text, with `sep` between them."),
    exactly("json_decode", 1, json::json_decode).about("json_decode(s)", "The value of a JSON text."),
    exactly("json_encode", 1, json::json_encode).about("json_encode(value)", "The value as compact JSON text, object keys sorted."),
    exactly("keys", 1, collections::keys).about("keys(map)", "The sorted keys of a map or object."),
    exactly("length", 1, collections::length).about("length(c)", "The number of elements of a list, tuple or map."),
    exactly("lookup", 3, collections::lookup).about("lookup(map, key, fallback)", "The value of the key, or the fallback when the map lacks it."),
    at_least("merge", 0, collections::merge).about("merge(value, …)", "All objects merged deeply, or all lists joined; null arguments are left out."),
    exactly("relative_url", 1, url::relative_url).about("relative_url(url)", "Path, query and fragment of a URL."),
    at_least("set_intersection", 1, collections::set_intersection).about("set_intersection(list, …)", "The elements that are in all lists, sorted, each once."),
    exactly("split", 2, strings::split).about("split(sep, s)", "The parts of a text between separators; an empty separator gives its characters."),
    exactly("substr", 3, strings::substr).about("substr(s, offset, length)", "A part of a text, in characters; a negative offset counts from the end, a negative length means the rest."),
    exactly("to_lower", 1, strings::to_lower).about("to_lower(s)", "The text in lower case."),
    exactly("to_number", 1, strings::to_number).about("to_number(value)", "The number that a text of decimal digits stands for; null stays null."),
    exactly("to_upper", 1, strings::to_upper).about("to_upper(s)", "The text in upper case."),
    exactly("trim", 1, strings::trim).about("trim(s)", "The text without white space at both ends."),
    impure(exactly("unixtime", 0, time::unixtime)).about("unixtime()", "Seconds since 1970."),
    exactly("url_decode", 1, encoding::url_decode).about("url_decode(s)", "The text with percent escapes decoded and `+` as a blank."),
    exactly("url_encode", 1, encoding::url_encode).about("url_encode(s)", "The text with everything but letters, digits and `-_.~` percent-encoded."),
];
