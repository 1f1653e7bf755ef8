//! The variables of some expressions, taken out of a scope that will not live as long.

use super::{Program, Scope, Value, Variable};

/// What the expressions read, owned.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    values: Vec<(Variable, Value<'static>)>,
    verifier: Option<String>,
}

impl Snapshot {
    /// Takes what `programs` read out of `scope`.
    pub fn of<'p>(programs: impl Iterator<Item = &'p Program>, scope: &dyn Scope) -> Self {
        let mut values: Vec<(Variable, Value<'static>)> = Vec::new();
        for variable in programs.flat_map(Program::variables) {
            if values.iter().all(|(known, _)| known != variable) {
                values.push((variable.clone(), scope.variable(variable).into_owned()));
            }
        }
        Self {
            values,
            verifier: scope.verifier().map(str::to_owned),
        }
    }
}

impl Scope for Snapshot {
    fn variable<'s>(&'s self, variable: &'s Variable) -> Value<'s> {
        let found = self.values.iter().find(|(known, _)| known == variable);
        found.map_or(Value::Absent, |(_, value)| value.borrowed())
    }

    fn verifier(&self) -> Option<&str> {
        self.verifier.as_deref()
    }
}
