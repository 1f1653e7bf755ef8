//! Evaluation of compiled expressions.
//!
//! Missing values are lenient on paths written out from a variable and strict elsewhere; which of
//! the two holds for a path was decided when it was compiled.

use std::fmt;

use crate::diagnostic::Span;
use crate::expr::access::{
    group, key_text, no_step, step_into, strict_step, take_index, take_step,
};
use crate::expr::function::Args;
use crate::expr::number::{Number, NumberError};
use crate::expr::program::{Binary, For, Key, Kind, Node, Part};
use crate::expr::text::Text;
use crate::expr::unify::common;
use crate::expr::value::{Entry, Fields, Items, Value};
use crate::expr::variable::{Step, Variable};

/// Most elements that all `for` of one evaluation may visit.
const STEPS: u32 = 1_000_000;

/// What an expression sees of a request.
pub trait Scope {
    /// The value of a variable, [`Value::Absent`] where there is none. What exists and is empty,
    /// like the body of a request without one, is [`Value::Null`].
    fn variable<'s>(&'s self, variable: &'s Variable) -> Value<'s>;

    /// The PKCE verifier of the current client request.
    fn verifier(&self) -> Option<&str> {
        None
    }

    /// Access to what only functions registered from elsewhere know of.
    fn as_any(&self) -> Option<&dyn std::any::Any> {
        None
    }
}

/// A scope in which no variable has a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Scope for Nothing {
    fn variable<'s>(&'s self, _: &'s Variable) -> Value<'s> {
        Value::Absent
    }
}

/// An expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError {
    /// The part of the expression that failed.
    pub span: Span,
    /// The reason; never quotes a value of the request.
    pub message: String,
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EvalError {}

pub(super) fn fail<T>(span: Span, message: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError {
        span,
        message: message.into(),
    })
}

pub(crate) struct Evaluator<'s> {
    scope: &'s dyn Scope,
    locals: Vec<Value<'s>>,
    budget: u32,
}

impl<'s> Evaluator<'s> {
    pub(crate) fn new(scope: &'s dyn Scope) -> Self {
        Self {
            scope,
            locals: Vec::new(),
            budget: STEPS,
        }
    }

    /// For a constant inside the scope of `locals` locals that it does not read.
    pub(crate) fn ahead(locals: usize) -> Self {
        Self {
            locals: vec![Value::Absent; locals],
            ..Self::new(&Nothing)
        }
    }

    pub(crate) fn eval(&mut self, node: &'s Node) -> Result<Value<'s>, EvalError> {
        match &node.kind {
            Kind::Constant(value) => Ok(value.borrowed()),
            Kind::Fail(message) => fail(node.span, &**message),
            Kind::Variable {
                variable,
                steps,
                strict,
            } => self.variable(node.span, variable, steps, strict.as_deref()),
            Kind::Local { slot, steps } => {
                let mut value = self.locals.get(*slot).unwrap_or(&Value::Absent);
                for step in steps {
                    value =
                        step_into(value, step).ok_or_else(|| no_step(node.span, value, step))?;
                }
                Ok(value.clone())
            }
            Kind::Tuple(nodes) => {
                let items = nodes.iter().map(|node| Ok(self.eval(node)?.or_null()));
                Ok(Value::tuple(items.collect::<Result<_, _>>()?))
            }
            Kind::Object { entries, sorted } => self.object(entries, *sorted),
            Kind::Template(parts) => {
                let mut out = Vec::with_capacity(64);
                self.template(parts, &mut out)?;
                Ok(Value::string(out))
            }
            Kind::Not(operand) => match self.eval(operand)? {
                value if value.is_null() => fail(operand.span, "operand of `!` is null"),
                value => match value.to_bool() {
                    Some(b) => Ok(Value::Bool(!b)),
                    None => fail(
                        operand.span,
                        format!("found {}, expected bool", value.type_name()),
                    ),
                },
            },
            Kind::Negate(operand) => {
                let number = self.operand(operand)?.neg();
                number
                    .map(Value::Number)
                    .or_else(|error| fail(node.span, error.to_string()))
            }
            Kind::Binary(operator, nodes) => self.binary(node.span, *operator, nodes),
            Kind::Conditional { nodes, unified } => self.conditional(nodes, *unified),
            Kind::Call {
                function,
                args,
                expand,
            } => {
                let mut values = Args::new();
                for arg in args {
                    values.push(self.eval(arg)?);
                }
                if *expand && let Some(last) = values.pop() {
                    match last {
                        Value::List(items) | Value::Tuple(items) => values.extend(items.into_vec()),
                        other => {
                            let message =
                                format!("found {} before `...`, expected list", other.type_name());
                            return fail(node.span, message);
                        }
                    }
                }
                let arity = function.arity().check(values.len());
                arity
                    .and_then(|()| function.call(values, self.scope))
                    .or_else(|message| fail(node.span, format!("{}(): {message}", function.name())))
            }
            Kind::Can(inner) => {
                let depth = self.locals.len();
                let evaluates = self.eval(inner).is_ok();
                self.locals.truncate(depth);
                Ok(Value::Bool(evaluates))
            }
            Kind::Get(source, step) => {
                let value = self.eval(source)?;
                strict_step(node.span, value, step)
            }
            Kind::Index(nodes) => {
                let [source, index] = &**nodes;
                let source = self.eval(source)?;
                let key = self.eval(index)?;
                take_index(source, key).or_else(|message| fail(index.span, message))
            }
            Kind::Splat { source, each } => {
                let items = match self.eval(source)? {
                    Value::Absent | Value::Null => Vec::new(),
                    Value::List(items) | Value::Tuple(items) => items.into_vec(),
                    single => vec![single],
                };
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    self.spend(node.span)?;
                    self.locals.push(item);
                    let value = self.eval(each);
                    self.locals.pop();
                    out.push(value?.or_null());
                }
                Ok(Value::tuple(out))
            }
            Kind::For(parts) => self.iterate(node.span, parts),
        }
    }

    fn variable(
        &self,
        span: Span,
        variable: &'s Variable,
        steps: &'s [Step],
        strict: Option<&str>,
    ) -> Result<Value<'s>, EvalError> {
        let mut value = self.scope.variable(variable);
        if let Some(path) = strict {
            for step in steps {
                value = strict_step(span, value, step)?;
            }
            if matches!(value, Value::Absent) {
                return fail(span, format!("`{path}` does not exist"));
            }
            return Ok(value);
        }
        for step in steps {
            // A list has no names here: `request.query.q["0"]` is null.
            if matches!(value, Value::List(_) | Value::Tuple(_)) && step.name().is_some() {
                return Ok(Value::Absent);
            }
            value = take_step(value, step).unwrap_or_default();
        }
        Ok(value)
    }

    fn spend(&mut self, span: Span) -> Result<(), EvalError> {
        match self.budget.checked_sub(1) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => fail(span, format!("more than {STEPS} elements visited")),
        }
    }

    fn object(&mut self, entries: &'s [(Key, Node)], sorted: bool) -> Result<Value<'s>, EvalError> {
        let mut fields: Vec<Entry<'s>> = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let name = match key {
                Key::Constant(name) => Text::from(&**name),
                Key::Computed(key) => match self.eval(key)? {
                    Value::Absent | Value::Null => Text::from(""),
                    value => key_text(key.span, value)?,
                },
            };
            fields.push((name, self.eval(node)?.or_null()));
        }
        Ok(Value::Object(if sorted {
            Fields::Owned(fields)
        } else {
            Fields::from_unsorted(fields)
        }))
    }

    fn condition(&mut self, node: &'s Node) -> Result<bool, EvalError> {
        let value = self.eval(node)?;
        match value.to_bool() {
            Some(b) => Ok(b),
            None if matches!(value, Value::String(_)) => fail(
                node.span,
                "condition is a string other than `true` and `false`, expected bool",
            ),
            None => fail(
                node.span,
                format!("condition is {}, expected bool", value.type_name()),
            ),
        }
    }

    fn conditional(&mut self, nodes: &'s [Node; 3], unified: bool) -> Result<Value<'s>, EvalError> {
        let [condition, then, otherwise] = nodes;
        let (taken, other) = if self.condition(condition)? {
            (then, otherwise)
        } else {
            (otherwise, then)
        };
        let value = self.eval(taken)?;
        if !unified {
            return Ok(value);
        }
        let Ok(other) = self.eval(other) else {
            return Ok(value);
        };
        match common([&value, &other]) {
            Some(wanted) => Ok(wanted.convert(value)),
            None => fail(
                condition.span,
                format!(
                    "the results of `?:` have no common type: {} and {}",
                    value.type_name(),
                    other.type_name()
                ),
            ),
        }
    }

    fn operand(&mut self, node: &'s Node) -> Result<Number, EvalError> {
        let value = self.eval(node)?;
        match value.to_number() {
            Some(number) => Ok(number),
            None if matches!(value, Value::String(_)) => {
                fail(node.span, "string is no decimal number, expected number")
            }
            None => fail(
                node.span,
                format!("found {}, expected number", value.type_name()),
            ),
        }
    }

    fn binary(
        &mut self,
        span: Span,
        operator: Binary,
        nodes: &'s [Node; 2],
    ) -> Result<Value<'s>, EvalError> {
        let [left, right] = nodes;
        match operator {
            Binary::And => return self.logic(nodes, false),
            Binary::Or => return self.logic(nodes, true),
            Binary::Equal => return Ok(Value::Bool(self.eval(left)? == self.eval(right)?)),
            Binary::NotEqual => return Ok(Value::Bool(self.eval(left)? != self.eval(right)?)),
            _ => {}
        }
        let (a, b) = (self.operand(left)?, self.operand(right)?);
        let number = |result: Result<_, NumberError>| match result {
            Ok(number) => Ok(Value::Number(number)),
            Err(error) => fail(span, error.to_string()),
        };
        match operator {
            Binary::Add => number(a.add(&b)),
            Binary::Sub => number(a.sub(&b)),
            Binary::Mul => number(a.mul(&b)),
            Binary::Div => number(a.div(&b)),
            Binary::Rem => number(a.rem(&b)),
            Binary::Less => Ok(Value::Bool(a < b)),
            Binary::LessEqual => Ok(Value::Bool(a <= b)),
            Binary::Greater => Ok(Value::Bool(a > b)),
            Binary::GreaterEqual => Ok(Value::Bool(a >= b)),
            Binary::Equal | Binary::NotEqual | Binary::And | Binary::Or => Ok(Value::Null),
        }
    }

    /// `&&` and `||`. A side that is `decisive` settles the result whatever the other is, null or
    /// failing; but a side of the wrong type is an error in any case, so both are evaluated.
    fn logic(&mut self, nodes: &'s [Node; 2], decisive: bool) -> Result<Value<'s>, EvalError> {
        let sides = nodes.each_ref().map(|node| {
            self.eval(node).map(|value| match value.to_bool() {
                Some(b) => Ok(Some(b)),
                None if value.is_null() => Ok(None),
                None => fail(
                    node.span,
                    format!("found {}, expected bool", value.type_name()),
                ),
            })
        });
        let mut settled = false;
        let mut failure = None;
        for (side, node) in sides.into_iter().zip(nodes) {
            match side {
                Ok(side) => match side? {
                    Some(b) => settled |= b == decisive,
                    None => {
                        failure =
                            failure.or_else(|| fail::<()>(node.span, "operand is null").err());
                    }
                },
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(error) if !settled => Err(error),
            _ => Ok(Value::Bool(settled == decisive)),
        }
    }

    fn template(&mut self, parts: &'s [Part], out: &mut Vec<u8>) -> Result<(), EvalError> {
        for part in parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Value(node) => match self.eval(node)? {
                    Value::Absent | Value::Null => {}
                    Value::String(text) => out.extend_from_slice(text.as_bytes()),
                    value => {
                        let message =
                            format!("found {} in a template, expected string", value.type_name());
                        match value.to_text() {
                            Some(text) => out.extend_from_slice(text.as_bytes()),
                            None => return fail(node.span, message),
                        }
                    }
                },
                Part::If {
                    condition,
                    then,
                    otherwise,
                } => {
                    let taken = if self.condition(condition)? {
                        then
                    } else {
                        otherwise
                    };
                    self.template(taken, out)?;
                }
                Part::For { source, body } => {
                    for (key, value) in self.elements(source)? {
                        self.spend(source.span)?;
                        self.locals.extend([key, value]);
                        let result = self.template(body, out);
                        self.locals.truncate(self.locals.len() - 2);
                        result?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Index or name, and value, of each element.
    fn elements(&mut self, source: &'s Node) -> Result<Vec<(Value<'s>, Value<'s>)>, EvalError> {
        match self.eval(source)? {
            Value::List(items) | Value::Tuple(items) => {
                let items = items.into_vec().into_iter().enumerate();
                Ok(items.map(|(i, value)| (Value::number(i), value)).collect())
            }
            Value::Map(fields) | Value::Object(fields) => {
                let entries = fields.into_vec().into_iter();
                Ok(entries
                    .map(|(name, value)| (Value::String(name), value))
                    .collect())
            }
            other => fail(
                source.span,
                format!(
                    "`for` over {}, expected list, tuple, map or object",
                    other.type_name()
                ),
            ),
        }
    }

    fn iterate(&mut self, span: Span, parts: &'s For) -> Result<Value<'s>, EvalError> {
        let elements = self.elements(&parts.source)?;
        let mut items = Vec::new();
        let mut entries = Vec::new();
        for (key, value) in elements {
            self.spend(span)?;
            self.locals.extend([key, value]);
            let result = self.visit(parts, &mut items, &mut entries);
            self.locals.truncate(self.locals.len() - 2);
            result?;
        }
        let Some(key) = &parts.key else {
            return Ok(Value::Tuple(Items::Owned(items)));
        };
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        if parts.grouping {
            return Ok(Value::Object(Fields::Owned(group(entries))));
        }
        if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return fail(
                key.span,
                "a key is produced twice; `...` after the value groups the values",
            );
        }
        Ok(Value::Object(Fields::Owned(entries)))
    }

    fn visit(
        &mut self,
        parts: &'s For,
        items: &mut Vec<Value<'s>>,
        entries: &mut Vec<Entry<'s>>,
    ) -> Result<(), EvalError> {
        if let Some(condition) = &parts.condition
            && !self.condition(condition)?
        {
            return Ok(());
        }
        match &parts.key {
            None => items.push(self.eval(&parts.value)?.or_null()),
            Some(key) => {
                let name = key_text(key.span, self.eval(key)?)?;
                entries.push((name, self.eval(&parts.value)?.or_null()));
            }
        }
        Ok(())
    }
}
