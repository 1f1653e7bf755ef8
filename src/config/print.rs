//! The merged configuration as HCL, without its secrets.

use super::{Options, assemble, environment_of_settings};
use crate::blocks::schema::Kind;
use crate::blocks::settings;
use crate::diagnostic::{Diagnostics, SourceMap};
use crate::hcl::{self, Attribute, Block, Body};
use hcl_edit::expr::Expression;
use std::fmt::Write as _;

/// Attributes whose values are not shown.
const SECRET: [&str; 7] = [
    "password",
    "client_secret",
    "key",
    "signing_key",
    "private_key",
    "basic_auth",
    "assertion",
];

/// What is shown in place of a secret.
const MASK: &str = "\"***\"";

/// The configuration after selection of the environment and merging, with options and variables
/// in its settings. References such as `env.SECRET` are shown, secrets as they stand are not.
/// `None` when a file cannot be read or parsed.
pub fn effective(options: &Options) -> Option<String> {
    let mut diagnostics = Diagnostics::default();
    let files = hcl::load(&options.inputs(), &mut diagnostics);
    if diagnostics.has_errors() {
        return None;
    }
    let sources = files.sources;
    let chosen = options.environment().map(str::to_owned);
    let chosen = chosen.or_else(|| environment_of_settings(&files.bodies, &sources));
    let document = assemble(files.bodies, &chosen.unwrap_or_default(), &mut diagnostics);
    let mut text = String::new();
    for server in &document.servers {
        block(&mut text, server, &sources);
    }
    section(&mut text, "definitions", &document.definitions, &sources);
    for defaults in &document.defaults {
        section(&mut text, "defaults", defaults, &sources);
    }
    for single in &document.singles {
        block(&mut text, single, &sources);
    }
    let _ = writeln!(text, "settings {{");
    let overridden = overridden(options);
    for attribute in &document.settings.attributes {
        if !overridden
            .iter()
            .any(|(name, _)| *name == attribute.name.text)
        {
            line(&mut text, attribute, &sources);
        }
    }
    for (name, value) in &overridden {
        let _ = writeln!(text, "{name} = {value}");
    }
    text.push_str("}\n");
    hcl::format::format(&text).ok()
}

/// Settings given by options and variables, as HCL.
fn overridden(options: &Options) -> Vec<(&'static str, String)> {
    let given = settings::SCHEMA.attributes().filter_map(|attribute| {
        let variable = format!("COUPER_{}", attribute.name.to_ascii_uppercase());
        let option = match attribute.name {
            "environment" => options.environment.as_ref(),
            name => options.settings.get(name),
        };
        Some((attribute, options.variable(&variable).or(option)?))
    });
    given
        .map(|(attribute, value)| {
            let value = match attribute.kind {
                Kind::Bool => (value == "true").to_string(),
                Kind::Number if value.parse::<u64>().is_ok() => value.clone(),
                Kind::Strings => {
                    let items: Vec<String> = value.split(',').map(|v| quoted(v.trim())).collect();
                    format!("[{}]", items.join(", "))
                }
                _ => quoted(value),
            };
            (attribute.name, value)
        })
        .collect()
}

fn quoted(text: &str) -> String {
    let mut result = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => result.extend(['\\', c]),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(result, "\\u{:04x}", u32::from(c));
            }
            c => result.push(c),
        }
    }
    let result = result.replace("${", "$${").replace("%{", "%%{");
    result + "\""
}

fn section(text: &mut String, kind: &str, content: &Body, sources: &SourceMap) {
    if !content.attributes.is_empty() || !content.blocks.is_empty() {
        let _ = writeln!(text, "{kind} {{");
        body(text, content, sources);
        text.push_str("}\n\n");
    }
}

fn block(text: &mut String, block: &Block, sources: &SourceMap) {
    text.push_str(&block.kind.text);
    for label in &block.labels {
        text.push(' ');
        text.push_str(&quoted(&label.text));
    }
    text.push_str(" {\n");
    body(text, &block.body, sources);
    text.push_str("}\n\n");
}

fn body(text: &mut String, content: &Body, sources: &SourceMap) {
    for attribute in &content.attributes {
        line(text, attribute, sources);
    }
    for inner in &content.blocks {
        block(text, inner, sources);
    }
    while text.ends_with("\n\n") {
        text.pop();
    }
}

fn line(text: &mut String, attribute: &Attribute, sources: &SourceMap) {
    let name = &attribute.name.text;
    let reference = matches!(
        attribute.value,
        Expression::Traversal(_) | Expression::Variable(_) | Expression::Null(_)
    );
    let span = attribute.value_span;
    let value = if SECRET.contains(&name.as_str()) && !reference {
        MASK
    } else {
        sources
            .text(span.source)
            .get(span.range())
            .unwrap_or("null")
    };
    let _ = writeln!(text, "{name} = {}", value.trim_end_matches('\n'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hcl::Input;

    #[test]
    fn the_effective_configuration_is_merged_and_masked() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = [
            "server \"s\" {\n  base_path = \"/a\"\n  endpoint \"/\" {\n    response {\n      body = <<EOT\nhello\nEOT\n    }\n  }\n  environment \"x\" {\n    base_path = \"/x\"\n  }\n}\n",
            "server \"s\" {\n  hosts = [\"a\"]\n}\ndefinitions {\n  basic_auth \"b\" {\n    user = \"u\"\n    password = \"hidden\"\n  }\n  jwt \"j\" {\n    key = env.KEY\n  }\n}\nsettings {\n  log_format = \"json\"\n}\n",
        ]
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let path = folder.path().join(format!("{at}.hcl"));
            std::fs::write(&path, text).unwrap();
            Input::File(path)
        });
        let options = Options {
            inputs: inputs.collect(),
            environment: Some("x".into()),
            settings: [("default_port".to_owned(), "9000".to_owned())].into(),
            ..Options::default()
        };
        let text = effective(&options).unwrap();
        let wanted = r#"server "s" {
  base_path = "/x"
  hosts     = ["a"]
  endpoint "/" {
    response {
      body = <<EOT
hello
EOT
    }
  }
}

definitions {
  basic_auth "b" {
    user     = "u"
    password = "***"
  }

  jwt "j" {
    key = env.KEY
  }
}

settings {
  log_format   = "json"
  default_port = 9000
  environment  = "x"
}
"#;
        assert_eq!(text, wanted);
    }
}
