//! The command line, settings and variables of the process.

use super::blocks::about;
use super::{head, row};
use crate::blocks::settings;

/// Variables that are no settings: name, default, what it is.
const VARIABLES: [(&str, &str, &str); 8] = [
    (
        "COUPER_FILE",
        "couper.hcl",
        "Configuration file, when there is no `-f` and no `-d`.",
    ),
    (
        "COUPER_FILE_DIRECTORY",
        "",
        "Folder of configuration files, likewise.",
    ),
    (
        "COUPER_TIMING_IDLE_TIMEOUT",
        "60s",
        "How long an idle client connection is kept.",
    ),
    (
        "COUPER_TIMING_READ_HEADER_TIMEOUT",
        "10s",
        "Limit of reading a request head.",
    ),
    (
        "COUPER_TIMING_SHUTDOWN_DELAY",
        "0s",
        "Time between the signal to end and the end of listening.",
    ),
    (
        "COUPER_TIMING_SHUTDOWN_TIMEOUT",
        "30s",
        "Time that running requests then have.",
    ),
    (
        "COUPER_LOG_PARENT_FIELD",
        "",
        "Field that holds all others in JSON log entries.",
    ),
    (
        "COUPER_LOG_TYPE_VALUE",
        "couper_daemon",
        "Value of `type` in log entries of the process.",
    ),
];

pub(super) fn page() -> String {
    let mut page = String::from("# Command line and settings\n\n");
    head(&mut page, &["command", ""]);
    for (name, docs) in crate::cli::commands() {
        row(&mut page, &[&format!("`gateway {name}`"), &docs]);
    }
    page.push_str("\nWithout a command the gateway runs. Long options may have one dash or two.\n");
    page.push_str("\n## Settings\n\n");
    page.push_str(
        "The variable goes before the option, the option before the `settings` block, the block \
         before the default.\n\n",
    );
    head(
        &mut page,
        &["setting", "option", "variable", "type", "default", ""],
    );
    for attribute in settings::SCHEMA.attributes() {
        let option = match attribute.name {
            "environment" => "-e".to_owned(),
            "default_port" => "-p, -default-port".to_owned(),
            name => format!("-{}", name.replace('_', "-")),
        };
        let cells = [
            &format!("`{}`", attribute.name),
            &format!("`{option}`"),
            &format!("`COUPER_{}`", attribute.name.to_ascii_uppercase()),
            attribute.kind.as_str(),
            &shown(attribute.default),
            &about(attribute),
        ];
        row(&mut page, &cells);
    }
    for attribute in &settings::OPTIONS {
        let cells = [
            "",
            &format!("`-{}`", attribute.name.replace('_', "-")),
            &format!("`COUPER_{}`", attribute.name.to_ascii_uppercase()),
            attribute.kind.as_str(),
            &shown(attribute.default),
            &about(attribute),
        ];
        row(&mut page, &cells);
    }
    page.push_str("\n## Further variables\n\n");
    head(&mut page, &["variable", "default", ""]);
    for (name, default, docs) in VARIABLES {
        row(&mut page, &[&format!("`{name}`"), &shown(default), docs]);
    }
    page
}

fn shown(default: &str) -> String {
    match default {
        "" => String::new(),
        text => format!("`{text}`"),
    }
}
