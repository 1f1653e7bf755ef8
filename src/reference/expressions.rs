//! Functions and variables.

use super::{head, row};
use crate::blocks::access::login::Logins;
use crate::blocks::jwt_signing_profile::Profiles;
use crate::expr::Registry;
use crate::expr::function::CAN;
use crate::expr::variable::DESCRIBED;

/// Signatures with one line about each function, sorted.
pub(super) fn described_functions() -> Vec<(&'static str, &'static str)> {
    let mut functions = Registry::standard();
    functions.register(Profiles::default().function());
    for function in Logins::default().functions() {
        functions.register(function);
    }
    let mut list: Vec<_> = functions
        .names()
        .filter_map(|name| functions.get(name))
        .map(|function| (function.signature(), function.docs()))
        .chain([CAN])
        .collect();
    list.sort_unstable();
    list
}

pub(super) fn functions() -> String {
    let mut page = String::from("# Functions\n\n");
    head(&mut page, &["function", "result"]);
    for (signature, docs) in described_functions() {
        row(&mut page, &[&format!("`{signature}`"), docs]);
    }
    page.push_str(
        "\nArguments are converted to the type wanted. Null, a wrong type or a wrong number of \
         arguments is an evaluation error where the table does not say otherwise.\n",
    );
    page
}

pub(super) fn variables() -> String {
    let mut page = String::from("# Variables\n\n");
    head(&mut page, &["variable", "type", "content"]);
    for variable in DESCRIBED {
        row(
            &mut page,
            &[
                &format!("`{}`", variable.path),
                variable.kind,
                variable.docs,
            ],
        );
    }
    page.push_str(
        "\n`env` and `couper` are known at start; the others when a request is served. A path that \
         leads nowhere is null.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use crate::expr::variable::{DESCRIBED, ROOTS};

    #[test]
    fn functions_and_variables_are_described() {
        for (signature, docs) in super::described_functions() {
            assert!(
                signature.ends_with(')') && docs.ends_with('.'),
                "{signature}"
            );
        }
        let roots: Vec<&str> = DESCRIBED
            .iter()
            .filter_map(|v| v.path.split('.').next())
            .collect();
        assert!(ROOTS.iter().all(|root| roots.contains(root)));
    }
}
