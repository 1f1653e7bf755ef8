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
        let mut is_login = false;
        let programs = programs.inspect(|program| is_login |= program.is_login());
        for variable in programs.flat_map(Program::variables) {
            if values.iter().all(|(known, _)| known != variable) {
                values.push((variable.clone(), scope.variable(variable).into_owned()));
            }
        }
        let verifier = is_login.then(|| scope.verifier()).flatten();
        Self {
            values,
            verifier: verifier.map(str::to_owned),
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
