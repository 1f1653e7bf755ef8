//! What an author of a faulty configuration sees: one snapshot for each kind of finding, and a
//! sound configuration broken in every place, each time with a message that names the place.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use gateway::config::{Loaded, Options, load};
use gateway::diagnostic::{Severity, render};
use gateway::hcl::Input;

/// Loads these files, all of which lie in one folder.
fn load_files(folder: &Path, files: &[(&str, &str)], options: Options) -> Loaded {
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("written");
    }
    let inputs = files
        .iter()
        .map(|(name, _)| Input::File(folder.join(name)))
        .filter(
            |input| matches!(input, Input::File(path) if path.extension() == Some("hcl".as_ref())),
        )
        .collect();
    let options = Options {
        inputs: if options.inputs.is_empty() {
            inputs
        } else {
            options.inputs
        },
        ..options
    };
    load(&options)
}

/// All findings as a terminal without colours shows them; the folder's name is left out.
fn shown(loaded: &Loaded, folder: &Path) -> String {
    let findings = loaded.diagnostics.sorted();
    let texts: Vec<String> = findings
        .iter()
        .map(|finding| render::full(finding, &loaded.sources, false))
        .collect();
    let folder = format!("{}/", folder.display());
    texts.join("\n\n").replace(&folder, "")
}

/// A server around an endpoint around this text.
fn endpoint(text: &str) -> String {
    format!("server {{\n  endpoint \"/\" {{\n{text}\n  }}\n}}\n")
}

/// A server that answers, and these definitions.
fn definitions(text: &str) -> String {
    format!(
        "server {{\n  endpoint \"/\" {{\n    response {{\n    }}\n  }}\n}}\ndefinitions {{\n{text}\n}}\n"
    )
}

/// Code, name of the snapshot, configuration.
fn faults() -> Vec<(&'static str, &'static str, String)> {
    let response = "    response {\n    }";
    vec![
        ("E0102", "syntax", "server {\n  base_path = \n}\n".into()),
        (
            "E0102",
            "attribute_twice",
            "server {\n  base_path = \"/\"\n  base_path = \"/\"\n}\n".into(),
        ),
        (
            "E0102",
            "template_in_label",
            "server {\n  endpoint \"/${env.X}\" {\n    response {\n    }\n  }\n}\n".into(),
        ),
        (
            "W0103",
            "unknown_function",
            endpoint("    response {\n      body = to_uper(\"a\")\n    }"),
        ),
        (
            "E0201",
            "unknown_attribute",
            format!("server {{\n  base_pth = \"/\"\n  endpoint \"/\" {{\n{response}\n  }}\n}}\n"),
        ),
        ("E0202", "unknown_block", endpoint("    respnse {\n    }")),
        ("E0203", "no_server", "definitions {\n}\n".into()),
        (
            "E0203",
            "missing_attribute",
            definitions("  basic_auth \"b\" {\n  }\n  jwt \"j\" {\n    header = \"X\"\n  }"),
        ),
        (
            "E0204",
            "label_missing",
            format!("server {{\n  endpoint {{\n{response}\n  }}\n}}\n"),
        ),
        (
            "E0204",
            "label_too_many",
            format!("server \"a\" \"b\" {{\n  endpoint \"/\" {{\n{response}\n  }}\n}}\n"),
        ),
        (
            "E0204",
            "label_of_backend",
            definitions(
                "  backend \"a-b\" {\n  }\n  backend \"anonymous_x\" {\n  }\n  backend {\n  }",
            ),
        ),
        (
            "E0205",
            "block_twice",
            endpoint("    response {\n    }\n    response {\n    }"),
        ),
        (
            "E0206",
            "not_available",
            definitions(
                "  authorization_server \"as\" {\n    issuer = \"http://localhost:8080\"\n    client \"c\" {\n      client_secret = env.SECRET\n    }\n    hook {\n    }\n  }",
            ),
        ),
        (
            "E0301",
            "wrong_type",
            format!(
                "server {{\n  hosts = {{ a = 1 }}\n  endpoint \"/\" {{\n{response}\n  }}\n}}\n"
            ),
        ),
        (
            "E0302",
            "bad_duration",
            definitions("  backend \"b\" {\n    timeout = \"ten\"\n  }"),
        ),
        (
            "E0302",
            "bad_path_pattern",
            format!("server {{\n  endpoint \"/a/**/b\" {{\n{response}\n  }}\n}}\n"),
        ),
        (
            "E0303",
            "evaluation_at_start",
            format!(
                "server {{\n  base_path = request.path\n  endpoint \"/\" {{\n{response}\n  }}\n}}\n"
            ),
        ),
        (
            "E0401",
            "undefined_backend",
            endpoint("    proxy {\n      backend = \"bakend\"\n    }")
                + "definitions {\n  backend \"backend\" {\n    origin = \"http://localhost\"\n  }\n}\n",
        ),
        (
            "E0401",
            "undefined_access_control",
            format!(
                "server {{\n  access_control = [\"tokn\"]\n  endpoint \"/\" {{\n{response}\n  }}\n}}\ndefinitions {{\n  basic_auth \"token\" {{\n    password = \"x\"\n  }}\n}}\n"
            ),
        ),
        (
            "E0402",
            "label_twice",
            definitions("  backend \"b\" {\n  }\n  backend \"b\" {\n  }"),
        ),
        (
            "E0402",
            "endpoint_twice",
            format!(
                "server {{\n  endpoint \"/\" {{\n{response}\n  }}\n  endpoint \"/\" {{\n{response}\n  }}\n}}\n"
            ),
        ),
        (
            "E0402",
            "modifier_twice",
            endpoint(
                "    response {\n      headers = { x = 1, X = 2 }\n    }\n    set_response_headers = {\n      a = 1\n      A = 2\n    }",
            ),
        ),
        (
            "E0403",
            "body_twice",
            endpoint("    response {\n      body = \"a\"\n      json_body = {}\n    }"),
        ),
        (
            "E0403",
            "backend_twice",
            endpoint(
                "    proxy {\n      backend = \"b\"\n      backend {\n        origin = \"http://localhost\"\n      }\n    }",
            ) + "definitions {\n  backend \"b\" {\n    origin = \"http://localhost\"\n  }\n}\n",
        ),
        (
            "E0404",
            "circular_sequence",
            endpoint(
                "    request \"a\" {\n      url = \"http://localhost/\"\n      body = backend_responses.b.body\n    }\n    request \"b\" {\n      url = \"http://localhost/\"\n      body = backend_responses.a.body\n    }\n    response {\n    }",
            ),
        ),
        (
            "E0405",
            "endpoint_without_content",
            "server {\n  endpoint \"/\" {\n  }\n}\n".into(),
        ),
        (
            "E0405",
            "endpoint_without_answer",
            endpoint("    request \"a\" {\n      url = \"http://localhost/\"\n    }"),
        ),
        (
            "E0501",
            "missing_file",
            definitions(
                "  jwt \"j\" {\n    signature_algorithm = \"RS256\"\n    key_file = \"missing.pem\"\n    header = \"X\"\n  }",
            ),
        ),
        (
            "E0502",
            "setting",
            format!(
                "server {{\n  endpoint \"/\" {{\n{response}\n  }}\n}}\nsettings {{\n  default_port = 70000\n}}\n"
            ),
        ),
        (
            "W0101",
            "deprecated_block",
            definitions(
                "  backend \"b\" {\n    origin = \"http://localhost\"\n    beta_rate_limit {\n      period = \"1m\"\n      per_period = 1\n    }\n  }",
            ),
        ),
        (
            "W0102",
            "without_effect",
            format!("base_path = \"/\"\nserver {{\n  endpoint \"/\" {{\n{response}\n  }}\n}}\n"),
        ),
        (
            "W0103",
            "short_secret",
            definitions(
                "  jwt \"j\" {\n    signature_algorithm = \"HS512\"\n    key = \"short\"\n    header = \"X\"\n  }",
            ),
        ),
    ]
}

#[test]
fn findings_as_their_readers_see_them() {
    for (code, name, text) in faults() {
        let folder = tempfile::tempdir().expect("a folder");
        let loaded = load_files(folder.path(), &[("couper.hcl", &text)], Options::default());
        let findings = loaded.diagnostics.sorted();
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code.0).collect();
        assert!(
            codes.contains(&code),
            "{name}: {code} is not among {codes:?}"
        );
        insta::assert_snapshot!(format!("{code}_{name}"), shown(&loaded, folder.path()));
    }
}

#[test]
fn findings_about_sources() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let of = |input| Options {
        inputs: vec![input],
        ..Options::default()
    };
    let missing = load_files(path, &[], of(Input::File(path.join("missing.hcl"))));
    insta::assert_snapshot!("E0101_missing_file", shown(&missing, path));

    fs::write(
        path.join("latin1.hcl"),
        b"server {\n  base_path = \"/\xe4\"\n}\n",
    )
    .expect("written");
    let encoding = load_files(path, &[], of(Input::File(path.join("latin1.hcl"))));
    insta::assert_snapshot!("E0101_encoding", shown(&encoding, path));

    fs::create_dir(path.join("empty")).expect("created");
    let empty = load_files(path, &[], of(Input::Folder(path.join("empty"))));
    insta::assert_snapshot!("E0103_empty_folder", shown(&empty, path));
}

#[test]
fn findings_about_several_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = "server \"s\" {\n  endpoint \"/\" {\n    response {\n    }\n  }\n}\n";
    let files = [
        ("a.hcl", format!("{server}{server}")),
        ("b.hcl", "server \"s\" {\n  base_pth = \"/\"\n}\n".into()),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let loaded = load_files(folder.path(), &files, Options::default());
    insta::assert_snapshot!("E0402_several_files", shown(&loaded, folder.path()));
}

#[test]
fn findings_about_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        env: BTreeMap::from([("COUPER_DEFAULT_PORT".to_owned(), "many".to_owned())]),
        ..Options::default()
    };
    let text = endpoint("    response {\n    }");
    let loaded = load_files(folder.path(), &[("couper.hcl", &text)], options);
    insta::assert_snapshot!("E0502_variable", shown(&loaded, folder.path()));
}

/// Every code that the program knows has a snapshot.
#[test]
fn every_code_is_shown() {
    let known: BTreeSet<String> = gateway::diagnostic::code::ALL
        .iter()
        .map(|(code, _)| code.to_string())
        .collect();
    let mut seen: BTreeSet<String> = faults()
        .iter()
        .map(|(code, ..)| (*code).to_owned())
        .collect();
    seen.extend(["E0101", "E0103"].map(str::to_owned)); // see `findings_about_sources`
    assert_eq!(known, seen);
}

/// A sound configuration with all that this version knows, one attribute or brace a line.
const SOUND: &str = include_str!("diagnostics/sound.hcl");

/// Loads a variation; the lines of its errors.
fn error_lines(folder: &Path, text: &str) -> Vec<usize> {
    let loaded = load_files(folder, &[("couper.hcl", text)], Options::default());
    let errors = loaded.diagnostics.sorted();
    let errors = errors.iter().filter(|d| d.severity == Severity::Error);
    let lines = errors.map(|d| d.primary.map_or(0, |span| loaded.sources.locate(span).line));
    let lines = lines.collect::<Vec<_>>();
    assert_eq!(lines.is_empty(), loaded.tree.is_some());
    lines
}

/// An attribute's line: indentation, name, ` = `, value.
fn attribute(line: &str) -> Option<(&str, &str, &str)> {
    let (name, value) = line.split_once(" = ")?;
    let indent = &name[..name.len() - name.trim_start().len()];
    let name = name.trim_start();
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    name.chars().all(plain).then_some((indent, name, value))
}

/// The text with another line in place of line `at` (from 0).
fn with_line(at: usize, line: &str) -> String {
    let mut lines: Vec<&str> = SOUND.lines().collect();
    lines[at] = line;
    lines.join("\n") + "\n"
}

#[test]
fn the_sound_configuration_is_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = load_files(folder.path(), &[("couper.hcl", SOUND)], Options::default());
    assert_eq!(shown(&loaded, folder.path()), "");
    assert!(loaded.tree.is_some());
}

#[test]
fn every_variation_is_refused_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut faults = Vec::new();
    let mut count = 0;
    let mut check = |what: &str, at: usize, text: &str, exact: bool| {
        count += 1;
        let wanted = at + 1;
        let lines = error_lines(folder.path(), text);
        let named = if exact {
            lines.contains(&wanted)
        } else {
            // A lost brace is noticed where the text stops making sense, which is later.
            lines.iter().any(|line| *line > 0)
        };
        if !named {
            faults.push(format!("line {wanted}: {what}: errors on lines {lines:?}"));
        }
    };
    for (at, line) in SOUND.lines().enumerate() {
        if let Some(opening) = line.strip_suffix('{') {
            check(
                "without its opening brace",
                at,
                &with_line(at, opening),
                false,
            );
        }
        if line.trim() == "}" {
            check("without its closing brace", at, &with_line(at, ""), false);
        }
        let Some((indent, name, value)) = attribute(line) else {
            continue;
        };
        // The members of objects have names of the author's own choice.
        let opened_by = SOUND
            .lines()
            .take(at)
            .filter(|l| l.trim_end().ends_with('{'));
        let parent = opened_by
            .filter(|l| l.len() - l.trim_start().len() < indent.len())
            .last();
        let free = parent.is_some_and(|l| l.contains(" = {"));
        if !free {
            let misspelt = format!("{indent}{name}x = {value}");
            check("misspelt", at, &with_line(at, &misspelt), true);
        }
        if !line.trim_end().ends_with('{') {
            let broken = format!("{indent}{name} = {value} ~");
            check(
                "with something behind it",
                at,
                &with_line(at, &broken),
                true,
            );
        }
        if STARTING.contains(&name) {
            let strange = format!("{indent}{name} = {{ strange = [{{}}] }}");
            check("of a wrong type", at, &with_line(at, &strange), true);
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {count}:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(count >= 100, "{count} variations only");
}

/// Attributes that are read once and hold neither object nor anything.
const STARTING: &[&str] = &[
    "hosts",
    "base_path",
    "access_control",
    "disable_access_control",
    "allowed_methods",
    "request_body_limit",
    "backend",
    "connect_timeout",
    "ttfb_timeout",
    "timeout",
    "disable_certificate_validation",
    "disable_connection_reuse",
    "http2",
    "max_connections",
    "basic_auth",
    "grant_type",
    "scope",
    "token_endpoint",
    "client_id",
    "client_secret",
    "token_endpoint_auth_method",
    "retries",
    "signature_algorithm",
    "key",
    "key_file",
    "header",
    "cookie",
    "bearer",
    "required_claims",
    "ttl",
    "signing_ttl",
    "user",
    "password",
    "realm",
    "log_format",
    "log_level",
    "log_pretty",
    "default_port",
    "health_path",
    "request_id_format",
    "secure_cookies",
    "no_proxy_from_env",
    "https_dev_proxy",
    "accept_forwarded_url",
    "xfh",
    "name",
    "permissions_claim",
    "roles_claim",
    "beta_roles_claim",
];
