//! Names of older versions of the language, with today's form of each.
//!
//! A file written for such a version is refused like any other with unknown names; the hint then
//! says what to write instead of guessing a similar name.

/// What a former name was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An attribute, in the block of this type (`""` for any).
    Attribute(&'static str),
    /// A block.
    Block(&'static str),
    /// The root of a variable.
    Variable,
}

/// A name with today's form.
#[derive(Clone, Copy, Debug)]
pub struct Former {
    /// The old name.
    pub name: &'static str,
    /// What it was.
    pub what: What,
    /// What to write today.
    pub today: &'static str,
}

const fn attribute(parent: &'static str, name: &'static str, today: &'static str) -> Former {
    Former {
        name,
        what: What::Attribute(parent),
        today,
    }
}

const fn block(parent: &'static str, name: &'static str, today: &'static str) -> Former {
    Former {
        name,
        what: What::Block(parent),
        today,
    }
}

const fn variable(name: &'static str, today: &'static str) -> Former {
    Former {
        name,
        what: What::Variable,
        today,
    }
}

/// The table.
pub static FORMER: &[Former] = &[
    variable("req", "`request`"),
    variable("ctx", "`request.context`"),
    variable(
        "bereq",
        "`backend_requests.default`, or `backend_request` in a `backend`",
    ),
    variable("bereqs", "`backend_requests`"),
    variable(
        "beresp",
        "`backend_responses.default`, or `backend_response` in a `backend`",
    ),
    variable("beresps", "`backend_responses`"),
    block("", "beta_oidc", "block `oidc`"),
    attribute("", "beta_required_permission", "`required_permission`"),
    attribute("", "beta_scope", "`required_permission`"),
    attribute("jwt", "beta_roles_claim", "`roles_claim`"),
    attribute("jwt", "beta_roles_map", "`roles_map`"),
    attribute("jwt", "beta_role_claim", "`roles_claim`"),
    attribute("jwt", "beta_role_map", "`roles_map`"),
    attribute("jwt", "beta_scope_claim", "`permissions_claim`"),
    attribute("jwt", "beta_scope_map", "`permissions_map`"),
    attribute("jwt", "beta_permissions_claim", "`permissions_claim`"),
    attribute("jwt", "beta_permissions_map", "`permissions_map`"),
    attribute(
        "endpoint",
        "path",
        "`path` in the `backend` of the endpoint's `proxy`",
    ),
    attribute(
        "endpoint",
        "backend",
        "`backend` in a `proxy` or `request` of the endpoint",
    ),
    block(
        "endpoint",
        "backend",
        "`backend` in a `proxy` or `request` of the endpoint",
    ),
    attribute(
        "",
        "request_headers",
        "`set_request_headers`, `add_request_headers` or `remove_request_headers`",
    ),
    attribute(
        "",
        "response_headers",
        "`set_response_headers`, `add_response_headers` or `remove_response_headers`",
    ),
    attribute(
        "beta_oauth2",
        "csrf_token_param",
        "`verifier_method = \"state\"` with `verifier_value`",
    ),
    attribute(
        "beta_oauth2",
        "pkce",
        "`verifier_method = \"ccm_s256\"` with `verifier_value`",
    ),
    attribute("server", "domains", "`hosts`"),
];

/// The hint for an attribute that `parent` does not have.
pub fn attribute_today(parent: &str, name: &str) -> Option<String> {
    hint(
        name,
        |what| matches!(what, What::Attribute(home) if home.is_empty() || home == parent),
    )
}

/// The hint for a block that `parent` does not have.
pub fn block_today(parent: &str, name: &str) -> Option<String> {
    hint(
        name,
        |what| matches!(what, What::Block(home) if home.is_empty() || home == parent),
    )
}

/// The hint for an unknown root of a variable.
pub fn variable_today(name: &str) -> Option<String> {
    hint(name, |what| what == What::Variable)
}

fn hint(name: &str, fits: impl Fn(What) -> bool) -> Option<String> {
    let former = FORMER.iter().find(|f| f.name == name && fits(f.what))?;
    Some(format!(
        "`{name}` is the name of an older version; today it is {}",
        former.today
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_names_are_sent_to_todays() {
        let hint = attribute_today("endpoint", "path").unwrap();
        assert!(hint.contains("`path` in the `backend`"), "{hint}");
        assert_eq!(attribute_today("server", "path"), None);
        assert!(
            block_today("definitions", "beta_oidc")
                .unwrap()
                .contains("`oidc`")
        );
        assert!(
            variable_today("bereq")
                .unwrap()
                .contains("`backend_requests.default`")
        );
    }

    /// A name that the tables know must not be called former where they know it.
    #[test]
    fn no_former_name_is_in_use() {
        for former in FORMER {
            for schema in crate::blocks::all() {
                let known = match former.what {
                    What::Attribute(home) => {
                        (home.is_empty() || home == schema.name)
                            && schema.attribute(former.name).is_some()
                    }
                    What::Block(home) => {
                        (home.is_empty() || home == schema.name)
                            && schema.block(former.name).is_some()
                    }
                    What::Variable => crate::expr::variable::ROOTS.contains(&former.name),
                };
                assert!(!known, "{} in {}", former.name, schema.name);
            }
        }
    }
}
