//! Codes of findings, and kinds of errors.

use super::{head, row};
use crate::diagnostic::code;
use crate::error::{Catch, Kind};

pub(super) fn page() -> String {
    let mut page = String::from(
        "# Errors\n\n## Findings about a configuration\n\n`E…` are errors, `W…` warnings.\n\n",
    );
    head(&mut page, &["code", ""]);
    for (code, docs) in code::ALL {
        row(&mut page, &[&format!("`{code}`"), docs.trim()]);
    }
    page.push_str(
        "\n## Errors of requests\n\nA handler for a type takes its special cases, too.\n\n",
    );
    head(
        &mut page,
        &[
            "type",
            "special case of",
            "status",
            "`Couper-Error`",
            "handled in",
            "",
        ],
    );
    for kind in Kind::ALL {
        let name = |kind: Kind| kind.error_type().map(|name| format!("`{name}`"));
        let home = match kind.catch() {
            Catch::AnyAccessControl => "access controls, `api`, `endpoint`".to_owned(),
            Catch::AccessControl(kind) => format!("`{kind}`"),
            Catch::Api => "`api`, `endpoint`".to_owned(),
            Catch::Endpoint => "`endpoint`".to_owned(),
            Catch::Nowhere => String::new(),
        };
        let status = kind.status();
        let cells = [
            &name(*kind).unwrap_or_default(),
            &kind.parent().and_then(name).unwrap_or_default(),
            status.as_str(),
            kind.synopsis(),
            &home,
            kind.docs().trim(),
        ];
        row(&mut page, &cells);
    }
    page
}
