//! The compiled form of an expression: a tree in which names are resolved, functions found,
//! templates split and constants evaluated.

use std::sync::Arc;

use crate::diagnostic::Span;
use crate::expr::eval::{EvalError, Evaluator, Scope};
use crate::expr::function::Function;
use crate::expr::value::Value;
use crate::expr::variable::{Step, Variable};

/// Something the author of an expression should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Finding {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            hint: None,
        }
    }
}

/// A variable an expression reads, and the constant steps taken on its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The variable.
    pub variable: Variable,
    /// What follows it in the text, as far as that is constant.
    pub steps: Box<[Step]>,
    /// Where it is first named.
    pub span: Span,
}

/// A compiled expression. Evaluation parses and resolves nothing and borrows where it can.
#[derive(Debug)]
pub struct Program {
    pub(crate) root: Node,
    pub(crate) references: Box<[Reference]>,
    pub(crate) warnings: Box<[Finding]>,
    pub(crate) is_login: bool,
}

impl Program {
    /// A program that gives `value`.
    pub fn of_constant(value: Value<'static>, span: Span) -> Self {
        Self {
            root: Node {
                span,
                kind: Kind::Constant(value),
            },
            references: Box::default(),
            warnings: Box::default(),
            is_login: false,
        }
    }

    /// Whether a function that is about a login is called: see [`Function::is_login`].
    pub fn is_login(&self) -> bool {
        self.is_login
    }

    /// Evaluates the expression.
    pub fn eval<'s>(&'s self, scope: &'s dyn Scope) -> Result<Value<'s>, EvalError> {
        Evaluator::new(scope).eval(&self.root)
    }

    /// The value, if it is the same for every request.
    pub fn constant(&self) -> Option<&Value<'static>> {
        match &self.root.kind {
            Kind::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The place of the expression.
    pub fn span(&self) -> Span {
        self.root.span
    }

    /// Every variable the expression may read, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The variables of [`Program::references`].
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.references.iter().map(|reference| &reference.variable)
    }

    /// What will fail, or give null, when evaluated: unknown functions and variables.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Constant(Value<'static>),
    /// Fails with this message.
    Fail(Box<str>),
    Variable {
        variable: Variable,
        steps: Box<[Step]>,
        /// The text of the path where a missing value is an error.
        strict: Option<Box<str>>,
    },
    /// A name bound by `for` or an element of a splat.
    Local {
        slot: usize,
        steps: Box<[Step]>,
    },
    Tuple(Box<[Node]>),
    Object {
        entries: Box<[(Key, Node)]>,
        sorted: bool,
    },
    Template(Box<[Part]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    Conditional {
        /// Condition, then, else.
        nodes: Box<[Node; 3]>,
        /// Plain HCL: both results are brought to one type.
        unified: bool,
    },
    Call {
        function: Arc<dyn Function>,
        args: Box<[Node]>,
        /// The last argument is a list whose elements are arguments.
        expand: bool,
    },
    Can(Box<Node>),
    Get(Box<Node>, Step),
    Index(Box<[Node; 2]>),
    Splat {
        source: Box<Node>,
        each: Box<Node>,
    },
    For(Box<For>),
}

#[derive(Debug)]
pub(crate) enum Key {
    Constant(Box<str>),
    Computed(Node),
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) source: Node,
    /// Of an object; a tuple has none.
    pub(crate) key: Option<Node>,
    pub(crate) value: Node,
    pub(crate) condition: Option<Node>,
    pub(crate) grouping: bool,
}

#[derive(Debug)]
pub(crate) enum Part {
    Literal(Box<[u8]>),
    Value(Node),
    If {
        condition: Node,
        then: Box<[Self]>,
        otherwise: Box<[Self]>,
    },
    For {
        source: Node,
        body: Box<[Self]>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
}
