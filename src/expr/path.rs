//! Paths: names, and the attributes, indexes and splats after them.
//!
//! As much of a path as is written out goes into the variable it starts from; what follows works
//! on the value, step by step.

use hcl_edit::expr::{Expression, Traversal, TraversalOperator};
use hcl_edit::{Decorated, Span as _};

use crate::diagnostic::Span;
use crate::diagnostic::former;
use crate::diagnostic::nearest::nearest;
use crate::expr::compile::{Compiler, Mode};
use crate::expr::program::{Kind, Node, Reference};
use crate::expr::value::Value;
use crate::expr::variable::{ROOTS, Resolved, Step, Variable};

/// Most steps on a computed value; each is a level of the tree, which is walked recursively.
const MAX_STEPS: usize = 32;

impl Compiler<'_> {
    pub(super) fn traversal(&mut self, traversal: &Traversal, span: Span) -> Kind {
        let operators: Vec<&TraversalOperator> =
            traversal.operators.iter().map(Decorated::value).collect();
        self.refuse_nested_splat(&operators, span);
        match &traversal.expr {
            Expression::Variable(name) => {
                let steps: Vec<Step> = operators
                    .iter()
                    .map_while(|operator| constant_step(operator))
                    .collect();
                let rest = &operators[steps.len()..];
                let last = steps
                    .len()
                    .checked_sub(1)
                    .and_then(|last| traversal.operators[last].span());
                let end = last
                    .or_else(|| name.span())
                    .map_or(span.end as usize, |range| range.end);
                let path = self.span(Some(span.start as usize..end));
                let node = self.fold(path, |this| this.path(name.as_str(), &steps, path));
                self.refuse_long(rest, span);
                self.operators(node, rest, span).kind
            }
            Expression::Number(_)
                if matches!(operators[..], [TraversalOperator::LegacyIndex(_), ..]) =>
            {
                self.refuse(span, "malformed number");
                Kind::Constant(Value::Null)
            }
            other => {
                self.refuse_long(&operators, span);
                let node = self.expression(other);
                self.operators(node, &operators, span).kind
            }
        }
    }

    fn refuse_long(&mut self, operators: &[&TraversalOperator], span: Span) {
        if operators.len() > MAX_STEPS {
            self.refuse(
                span,
                format!("more than {MAX_STEPS} steps on a computed value"),
            );
        }
    }

    fn refuse_nested_splat(&mut self, operators: &[&TraversalOperator], span: Span) {
        let mut inside = false;
        for operator in operators {
            match operator {
                TraversalOperator::AttrSplat(_) if inside => {
                    return self.refuse(span, "`.*` inside of another `.*`; `[*]` can be nested");
                }
                TraversalOperator::AttrSplat(_) => inside = true,
                TraversalOperator::FullSplat(_) | TraversalOperator::Index(_) => inside = false,
                TraversalOperator::GetAttr(_) | TraversalOperator::LegacyIndex(_) => {}
            }
        }
    }

    /// Applies operators to a computed value, one after the other.
    fn operators(&mut self, node: Node, operators: &[&TraversalOperator], span: Span) -> Node {
        let Some((first, mut rest)) = operators.split_first() else {
            return node;
        };
        if operators.len() > MAX_STEPS {
            return node; // refused already
        }
        let kind = match first {
            TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => {
                let all = matches!(first, TraversalOperator::FullSplat(_));
                let is_attribute = |operator: &&&TraversalOperator| {
                    matches!(
                        operator,
                        TraversalOperator::GetAttr(_) | TraversalOperator::LegacyIndex(_)
                    )
                };
                let count = if all {
                    rest.len()
                } else {
                    rest.iter().take_while(is_attribute).count()
                };
                let (inner, after) = rest.split_at(count);
                rest = after;
                let slot = self.locals.len();
                let each = self.body([None], |this| {
                    this.facts.lowest_local = slot;
                    let element = Node {
                        span,
                        kind: Kind::Local {
                            slot,
                            steps: Box::default(),
                        },
                    };
                    this.operators(element, inner, span)
                });
                Kind::Splat {
                    source: Box::new(node),
                    each: Box::new(each),
                }
            }
            TraversalOperator::Index(index) => match constant_step(first) {
                Some(step) => step_on(node, step),
                None => Kind::Index(Box::new([node, self.expression(index)])),
            },
            TraversalOperator::GetAttr(_) | TraversalOperator::LegacyIndex(_) => {
                match constant_step(first) {
                    Some(step) => step_on(node, step),
                    None => Kind::Fail("index is out of range".into()),
                }
            }
        };
        self.operators(Node { span, kind }, rest, span)
    }

    /// A path from a name on.
    pub(super) fn path(&mut self, root: &str, steps: &[Step], span: Span) -> Kind {
        let is_root = |local: &Option<String>| local.as_deref() == Some(root);
        if let Some(slot) = self.locals.iter().rposition(is_root) {
            self.facts.lowest_local = self.facts.lowest_local.min(slot);
            return Kind::Local {
                slot,
                steps: steps.into(),
            };
        }
        match root {
            "env" => return self.env(steps, span),
            "couper" => return self.couper(steps, span),
            _ => {}
        }
        if self.cx.mode == Mode::Start {
            let message =
                format!("unknown variable `{root}`; only `env` and `couper` are known at start");
            let hint = former::variable_today(root).or_else(|| {
                nearest(root, ["env", "couper"]).map(|near| format!("did you mean `{near}`?"))
            });
            return self.fault(span, message, hint);
        }
        match Variable::resolve(root, steps) {
            Resolved::Variable(variable, used) => {
                self.facts.dynamic = true;
                let steps: Box<[Step]> = steps[used..].into();
                let reference = Reference {
                    variable: variable.clone(),
                    steps: steps.clone(),
                    span,
                };
                let same = |known: &Reference| {
                    known.variable == reference.variable && known.steps == reference.steps
                };
                if !self.references.iter().any(same) {
                    self.references.push(reference);
                }
                let path = || {
                    let range = span.start as usize..span.end as usize;
                    self.cx.text.get(range).unwrap_or(root).into()
                };
                Kind::Variable {
                    variable,
                    steps,
                    strict: self.strict.then(path),
                }
            }
            Resolved::Missing => self.missing(span),
            Resolved::UnknownRoot => {
                let known = ROOTS.into_iter().chain(["env", "couper"]);
                let hint = former::variable_today(root)
                    .or_else(|| nearest(root, known).map(|near| format!("did you mean `{near}`?")));
                let message = format!("unknown variable `{root}`");
                let strict = self.strict;
                let failing = self.fault(span, message, hint);
                if strict {
                    failing
                } else {
                    Kind::Constant(Value::Absent)
                }
            }
        }
    }

    fn missing(&mut self, span: Span) -> Kind {
        if !self.strict {
            return Kind::Constant(Value::Absent);
        }
        self.facts.dynamic = true;
        if self.cx.mode == Mode::Start {
            self.refuse(span, "there is no such value");
        }
        Kind::Fail("there is no such value".into())
    }

    fn env(&mut self, steps: &[Step], span: Span) -> Kind {
        let (first, rest) = match steps.split_first() {
            None => {
                let entry = |(name, value): (&String, &String)| {
                    (name.clone().into(), Value::from(value.clone()))
                };
                return Kind::Constant(Value::map(self.cx.env.iter().map(entry).collect()));
            }
            Some((first, rest)) => (first, rest),
        };
        let found = first.name().and_then(|name| self.cx.env.get(name));
        match (found, first) {
            (Some(value), _) if rest.is_empty() => Kind::Constant(Value::from(value.clone())),
            // Every `env.NAME` written in a file exists.
            (None, Step::Attribute(_)) if rest.is_empty() => Kind::Constant(Value::from("")),
            (None, Step::Key(name)) if self.cx.mode == Mode::Start => self.fault(
                span,
                format!("the environment has no variable `{name}`"),
                None,
            ),
            _ => self.missing(span),
        }
    }

    fn couper(&mut self, steps: &[Step], span: Span) -> Kind {
        let text = |text: &str| Value::from(text.to_owned());
        let (version, environment) = (text(self.cx.version), text(self.cx.environment));
        match steps {
            [] => Kind::Constant(Value::map(vec![
                ("version".into(), version),
                ("environment".into(), environment),
            ])),
            [only] => match only.name() {
                Some("version") => Kind::Constant(version),
                Some("environment") => Kind::Constant(environment),
                _ => self.missing(span),
            },
            _ => self.missing(span),
        }
    }
}

fn step_on(node: Node, step: Step) -> Kind {
    match node.kind {
        Kind::Local { slot, steps } => {
            let mut steps = steps.into_vec();
            steps.push(step);
            Kind::Local {
                slot,
                steps: steps.into(),
            }
        }
        kind => Kind::Get(
            Box::new(Node {
                span: node.span,
                kind,
            }),
            step,
        ),
    }
}

fn constant_step(operator: &TraversalOperator) -> Option<Step> {
    match operator {
        TraversalOperator::GetAttr(name) => Some(Step::Attribute(name.as_str().into())),
        TraversalOperator::LegacyIndex(index) => {
            usize::try_from(*index.value()).ok().map(Step::Index)
        }
        TraversalOperator::Index(Expression::String(key)) => Some(Step::Key(key.as_str().into())),
        TraversalOperator::Index(Expression::Number(number)) => number
            .value()
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .map(Step::Index),
        TraversalOperator::Index(_)
        | TraversalOperator::AttrSplat(_)
        | TraversalOperator::FullSplat(_) => None,
    }
}
