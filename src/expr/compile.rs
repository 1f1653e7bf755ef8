//! Syntax to programs.
//!
//! Compilation resolves what the text of an expression settles: paths of variables, functions,
//! constants (folded by evaluating them at once) and templates. It also refuses what the parser
//! lets pass and HCL does not.

use std::collections::BTreeMap;
use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::{
    BinaryOperator, Expression, ForExpr, FuncCall, Object, ObjectKey, UnaryOperator,
};

use crate::diagnostic::nearest::nearest;
use crate::diagnostic::{SourceId, Span};
use crate::expr::eval::{EvalError, Evaluator, Nothing};
use crate::expr::function::{Arity, Registry};
use crate::expr::number::Number;
use crate::expr::program::{Binary, Finding, For, Key, Kind, Node, Program, Reference};
use crate::expr::value::Value;

/// When an expression is evaluated, and so what it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Once, while the configuration is loaded: `env`, `couper` and functions, plain HCL rules.
    Start,
    /// For each request: all variables, missing values are null.
    Request,
}

/// What compilation needs to know besides the expression.
#[derive(Clone, Copy, Debug)]
pub struct CompileContext<'c> {
    /// The file the expression stands in.
    pub source: SourceId,
    /// The text of that file, to which the spans of the syntax refer.
    pub text: &'c str,
    /// The variable `env`.
    pub env: &'c BTreeMap<String, String>,
    /// `couper.version`
    pub version: &'c str,
    /// `couper.environment`
    pub environment: &'c str,
    /// The functions.
    pub functions: &'c Registry,
    /// When the expression is evaluated.
    pub mode: Mode,
}

/// Compiles an expression; the findings are errors, each with its place.
pub fn compile(expr: &Expression, cx: &CompileContext<'_>) -> Result<Program, Vec<Finding>> {
    let mut compiler = Compiler::new(cx);
    let root = compiler.expression(expr);
    if !compiler.errors.is_empty() {
        return Err(compiler.errors);
    }
    Ok(Program {
        root,
        references: compiler.references.into(),
        warnings: compiler.warnings.into(),
        is_login: compiler.is_login,
    })
}

/// Compiles a text that is one expression. `cx.text` is not looked at.
pub fn compile_str(text: &str, cx: &CompileContext<'_>) -> Result<Program, Vec<Finding>> {
    let text = text.trim_end();
    match text.parse::<Expression>() {
        Ok(expr) => compile(&expr, &CompileContext { text, ..*cx }),
        Err(error) => {
            let at = error.location().offset();
            let span = Span::new(cx.source, at..at);
            Err(vec![Finding::new(span, error.message())])
        }
    }
}

/// Compiles and evaluates an attribute of mode [`Mode::Start`].
pub fn eval_start(
    expr: &Expression,
    cx: &CompileContext<'_>,
) -> Result<Value<'static>, Vec<Finding>> {
    let program = compile(
        expr,
        &CompileContext {
            mode: Mode::Start,
            ..*cx
        },
    )?;
    match program.eval(&Nothing) {
        Ok(value) => Ok(value.into_owned()),
        Err(EvalError { span, message }) => Err(vec![Finding::new(span, message)]),
    }
}

/// What the subtree compiled last depends on.
///
/// A `for` counts as dynamic even if its parts are constant: loops folded one inside the other
/// could multiply to any size before the budget of an evaluation sees them.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// It has no value before a request comes, or fails.
    pub(super) dynamic: bool,
    /// The lowest local it reads.
    pub(super) lowest_local: usize,
}

impl Facts {
    const CONSTANT: Self = Self {
        dynamic: false,
        lowest_local: usize::MAX,
    };
}

pub(super) struct Compiler<'c> {
    pub(super) cx: &'c CompileContext<'c>,
    pub(super) errors: Vec<Finding>,
    warnings: Vec<Finding>,
    pub(super) references: Vec<Reference>,
    is_login: bool,
    /// Names of the locals in scope; those without name cannot be referred to.
    pub(super) locals: Vec<Option<String>>,
    pub(super) facts: Facts,
    /// Inside the body of a `for`, where a missing value is an error.
    pub(super) strict: bool,
}

impl<'c> Compiler<'c> {
    fn new(cx: &'c CompileContext<'c>) -> Self {
        Self {
            cx,
            errors: Vec::new(),
            warnings: Vec::new(),
            references: Vec::new(),
            is_login: false,
            locals: Vec::new(),
            facts: Facts::CONSTANT,
            strict: cx.mode == Mode::Start,
        }
    }

    pub(super) fn span(&self, range: Option<Range<usize>>) -> Span {
        Span::new(self.cx.source, range.unwrap_or_default())
    }

    pub(super) fn source(&self, range: Option<Range<usize>>) -> Option<&'c str> {
        self.cx.text.get(range?)
    }

    pub(super) fn refuse(&mut self, span: Span, message: impl Into<String>) {
        self.errors.push(Finding::new(span, message));
    }

    /// A fault that shows when evaluated: refused at start, else warned of.
    pub(super) fn fault(&mut self, span: Span, message: String, hint: Option<String>) -> Kind {
        let finding = Finding {
            span,
            message: message.clone(),
            hint,
        };
        match self.cx.mode {
            Mode::Start => self.errors.push(finding),
            Mode::Request => self.warnings.push(finding),
        }
        self.facts.dynamic = true;
        Kind::Fail(message.into())
    }

    pub(super) fn expression(&mut self, expr: &Expression) -> Node {
        let span = self.span(expr.span());
        self.fold(span, |this| this.kind(expr, span))
    }

    /// Compiles with `build`, and evaluates the result if nothing can change it.
    pub(super) fn fold(&mut self, span: Span, build: impl FnOnce(&mut Self) -> Kind) -> Node {
        let outer = std::mem::replace(&mut self.facts, Facts::CONSTANT);
        let mut node = Node {
            span,
            kind: build(self),
        };
        let constant = !self.facts.dynamic && self.facts.lowest_local == usize::MAX;
        if constant && !matches!(node.kind, Kind::Constant(_)) {
            match Evaluator::ahead(self.locals.len())
                .eval(&node)
                .map(Value::into_owned)
            {
                Ok(value) => node.kind = Kind::Constant(value),
                // It fails each time; the error belongs to the evaluation.
                Err(_) => self.facts.dynamic = true,
            }
        }
        self.facts.dynamic |= outer.dynamic;
        self.facts.lowest_local = self.facts.lowest_local.min(outer.lowest_local);
        node
    }

    fn kind(&mut self, expr: &Expression, span: Span) -> Kind {
        match expr {
            Expression::Null(_) => Kind::Constant(Value::Null),
            Expression::Bool(b) => Kind::Constant(Value::Bool(**b)),
            Expression::Number(_) => self.number(expr, span),
            Expression::String(text) => {
                if self
                    .source(expr.span())
                    .is_some_and(|source| source.contains('\n'))
                {
                    self.refuse(span, "line break inside a quoted string");
                }
                Kind::Constant(Value::from(text.to_string()))
            }
            Expression::Array(array) => {
                Kind::Tuple(array.iter().map(|item| self.expression(item)).collect())
            }
            Expression::Object(object) => self.object(object),
            Expression::StringTemplate(template) => self.quoted(template),
            Expression::HeredocTemplate(heredoc) => self.heredoc(heredoc),
            Expression::Parenthesis(inner) => self.kind(inner.inner(), span),
            Expression::Variable(name) => self.path(name.as_str(), &[], span),
            Expression::Conditional(conditional) => Kind::Conditional {
                nodes: Box::new([
                    self.expression(&conditional.cond_expr),
                    self.expression(&conditional.true_expr),
                    self.expression(&conditional.false_expr),
                ]),
                unified: self.cx.mode == Mode::Start,
            },
            Expression::FuncCall(call) => self.call(call, span),
            Expression::Traversal(traversal) => self.traversal(traversal, span),
            Expression::UnaryOp(unary) => {
                let operand = Box::new(self.expression(&unary.expr));
                match unary.operator.value() {
                    UnaryOperator::Not => Kind::Not(operand),
                    UnaryOperator::Neg => Kind::Negate(operand),
                }
            }
            Expression::BinaryOp(binary) => {
                let left = self.expression(&binary.lhs_expr);
                let right = self.expression(&binary.rhs_expr);
                Kind::Binary(operator(*binary.operator.value()), Box::new([left, right]))
            }
            Expression::ForExpr(for_expr) => self.for_expr(for_expr),
        }
    }

    /// The parser keeps numbers as `f64`; the text has all digits.
    fn number(&mut self, expr: &Expression, span: Span) -> Kind {
        let parsed = match (self.source(expr.span()), expr.as_number()) {
            (Some(text), _) if text.ends_with(|c: char| c.is_ascii_digit()) => parse_literal(text),
            (_, Some(number)) => Number::parse(&number.to_string()).ok(),
            (_, None) => None,
        };
        if let Some(number) = parsed {
            return Kind::Constant(Value::Number(number));
        }
        self.refuse(span, "number is out of range");
        Kind::Constant(Value::Null)
    }

    fn object(&mut self, object: &Object) -> Kind {
        let mut entries = Vec::with_capacity(object.len());
        for (key, value) in object {
            let key = match key {
                ObjectKey::Ident(name) => Key::Constant(name.as_str().into()),
                ObjectKey::Expression(expr) => self.key(expr),
            };
            entries.push((key, self.expression(value.expr())));
        }
        let constant = |entry: &(Key, Node)| match &entry.0 {
            Key::Constant(name) => Some(name.clone()),
            Key::Computed(_) => None,
        };
        let mut sorted = false;
        if let Some(mut names) = entries.iter().map(constant).collect::<Option<Vec<_>>>() {
            names.sort();
            sorted = names.windows(2).all(|pair| pair[0] != pair[1]);
            if sorted {
                entries.sort_by_key(constant);
            }
        }
        Kind::Object {
            entries: entries.into(),
            sorted,
        }
    }

    fn key(&mut self, expr: &Expression) -> Key {
        let span = self.span(expr.span());
        let computed = match expr {
            // Words and numbers stand for themselves.
            Expression::Null(_) => return Key::Constant("null".into()),
            Expression::Bool(b) => return Key::Constant(b.to_string().into()),
            Expression::Traversal(traversal)
                if matches!(traversal.expr, Expression::Variable(_)) =>
            {
                let message = "ambiguous attribute key; quotes or parentheses tell what is meant";
                Node {
                    span,
                    kind: self.fault(span, message.into(), None),
                }
            }
            _ => self.expression(expr),
        };
        match &computed.kind {
            Kind::Constant(value) => match value.borrowed().to_text() {
                Some(text) => match text.as_str() {
                    Some(text) => Key::Constant(text.into()),
                    None => Key::Computed(computed),
                },
                None => Key::Computed(computed),
            },
            _ => Key::Computed(computed),
        }
    }

    fn call(&mut self, call: &FuncCall, span: Span) -> Kind {
        let name = call.name.name.as_str();
        let args: Box<[Node]> = call.args.iter().map(|arg| self.expression(arg)).collect();
        let expand = call.args.expand_final();
        if call.name.is_namespaced() {
            return self.fault(span, "functions have no namespaces".into(), None);
        }
        if name == "can" {
            return self.can(args, expand, span);
        }
        let Some(function) = self.cx.functions.get(name).cloned() else {
            let names = self.cx.functions.names().chain(["can"]);
            let hint = nearest(name, names).map(|near| format!("did you mean `{near}`?"));
            return self.fault(span, format!("unknown function `{name}`"), hint);
        };
        if !expand && let Err(message) = function.arity().check(args.len()) {
            return self.fault(span, format!("{name}(): {message}"), None);
        }
        let constants: Vec<Option<&Value<'_>>> = args
            .iter()
            .map(|arg| match &arg.kind {
                Kind::Constant(value) => Some(value),
                _ => None,
            })
            .collect();
        if !expand && let Err((message, hint)) = function.check_constants(&constants) {
            return self.fault(span, format!("{name}(): {message}"), hint);
        }
        self.facts.dynamic |= !function.is_pure();
        self.is_login |= function.is_login();
        for variable in function.reads() {
            self.references.push(Reference {
                variable: variable.clone(),
                steps: Box::default(),
                span,
            });
        }
        Kind::Call {
            function,
            args,
            expand,
        }
    }

    fn can(&mut self, args: Box<[Node]>, expand: bool, span: Span) -> Kind {
        let arity = Arity {
            min: 1,
            max: Some(1),
        };
        let count = args.len();
        match args.into_iter().next() {
            Some(inner) if count == 1 && !expand => Kind::Can(Box::new(inner)),
            _ => {
                let message = arity
                    .check(count)
                    .err()
                    .unwrap_or_else(|| "takes no `...`".into());
                self.fault(span, format!("can(): {message}"), None)
            }
        }
    }

    fn for_expr(&mut self, for_expr: &ForExpr) -> Kind {
        let intro = &for_expr.intro;
        let source = self.expression(&intro.collection_expr);
        self.loops();
        let key = intro.key_var.as_ref().map(ToString::to_string);
        self.body([key, Some(intro.value_var.to_string())], |this| {
            Kind::For(Box::new(For {
                source,
                condition: for_expr
                    .cond
                    .as_ref()
                    .map(|cond| this.expression(&cond.expr)),
                key: for_expr.key_expr.as_ref().map(|key| this.expression(key)),
                value: this.expression(&for_expr.value_expr),
                grouping: for_expr.grouping,
            }))
        })
    }

    /// Notes a loop, which is not evaluated ahead; see [`Facts`].
    pub(super) fn loops(&mut self) {
        self.facts.dynamic = true;
    }

    /// Compiles what sees `names`, strictly.
    pub(super) fn body<const N: usize, T>(
        &mut self,
        names: [Option<String>; N],
        build: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let base = self.locals.len();
        self.locals.extend(names);
        let strict = std::mem::replace(&mut self.strict, true);
        let lowest = std::mem::replace(&mut self.facts.lowest_local, usize::MAX);
        let built = build(self);
        self.strict = strict;
        self.locals.truncate(base);
        if self.facts.lowest_local >= base {
            self.facts.lowest_local = usize::MAX;
        }
        self.facts.lowest_local = self.facts.lowest_local.min(lowest);
        built
    }
}

/// A literal may have a sign with blanks or comments after it.
fn parse_literal(text: &str) -> Option<Number> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let digits = text.rsplit(|c| !is_part(c)).next()?.trim_start_matches('-');
    let number = Number::parse(digits).ok()?;
    if text.starts_with('-') {
        number.neg().ok()
    } else {
        Some(number)
    }
}

fn operator(operator: BinaryOperator) -> Binary {
    match operator {
        BinaryOperator::Eq => Binary::Equal,
        BinaryOperator::NotEq => Binary::NotEqual,
        BinaryOperator::LessEq => Binary::LessEqual,
        BinaryOperator::GreaterEq => Binary::GreaterEqual,
        BinaryOperator::Less => Binary::Less,
        BinaryOperator::Greater => Binary::Greater,
        BinaryOperator::Plus => Binary::Add,
        BinaryOperator::Minus => Binary::Sub,
        BinaryOperator::Mul => Binary::Mul,
        BinaryOperator::Div => Binary::Div,
        BinaryOperator::Mod => Binary::Rem,
        BinaryOperator::And => Binary::And,
        BinaryOperator::Or => Binary::Or,
    }
}
