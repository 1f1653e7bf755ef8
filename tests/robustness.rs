//! Whatever is given to the entry points of the language - parse, load, evaluate - the outcome is a
//! result or a finding: no panic, no endless work, no memory without bound. `fuzz/` has targets for
//! the same entry points.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use gateway::config::{Options, load};
use gateway::diagnostic::{Diagnostics, SourceId, render};
use gateway::expr::{CompileContext, Mode, Nothing, Registry, compile_str};
use gateway::hcl::{self, Input};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Enough to walk through most of the grammar, few enough for every run.
const CASES: u32 = 400;

/// The same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        rng_seed: RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn parse(text: &str) {
    let mut diagnostics = Diagnostics::default();
    let body = hcl::parse(SourceId(0), text, &mut diagnostics);
    assert!(body.is_some() || diagnostics.has_errors());
}

/// Loads bytes as `couper.hcl` and shows all findings in every way; whether it is usable.
fn load_bytes(folder: &Path, bytes: &[u8]) -> bool {
    let path = folder.join("couper.hcl");
    std::fs::write(&path, bytes).expect("written");
    let loaded = load(&Options {
        inputs: vec![Input::File(path)],
        ..Options::default()
    });
    for finding in loaded.diagnostics.sorted() {
        assert!(!render::full(finding, &loaded.sources, true).is_empty());
        assert!(!render::concise(finding, &loaded.sources).contains('\n'));
        let json = render::json(finding, &loaded.sources);
        assert!(
            json["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
    }
    assert_ne!(loaded.tree.is_some(), loaded.diagnostics.has_errors());
    loaded.tree.is_some()
}

/// Compiles and evaluates; the value as JSON, unless there is none.
fn eval(text: &str, mode: Mode) -> Option<Vec<u8>> {
    let (env, functions) = (BTreeMap::new(), Registry::standard());
    let cx = CompileContext {
        source: SourceId(0),
        text,
        env: &env,
        version: "0",
        environment: "",
        functions: &functions,
        mode,
    };
    let program = compile_str(text, &cx).ok()?;
    let value = program.eval(&Nothing).ok()?;
    Some(value.to_json())
}

/// An endpoint whose body is this expression.
fn around(expression: &str) -> String {
    format!(
        "server {{\n  endpoint \"/\" {{\n    response {{\n      body = {expression}\n    }}\n  }}\n}}\n"
    )
}

/// Text made of the words of the language, so that it gets beyond the first token.
fn words(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.concat())
}

const OF_FILES: &[&str] = &[
    "server",
    "api",
    "endpoint",
    "response",
    "proxy",
    "request",
    "backend",
    "definitions",
    "jwt",
    "basic_auth",
    "oauth2",
    "settings",
    "defaults",
    "environment",
    "error_handler",
    "path",
    "origin",
    "hosts",
    "base_path",
    "access_control",
    "headers",
    "json_body",
    "set_request_headers",
    " ",
    " ",
    "\n",
    "\n",
    "\n",
    " = ",
    " {\n",
    "\n}\n",
    "\"/\"",
    "\"x\"",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ",",
    "1",
    "true",
    "null",
    "env.X",
    "request.headers.x",
    "\"${",
    "}\"",
    "%{ if true }",
    "<<A\n",
    "\nA\n",
    "# c\n",
    "/*",
    "*/",
    "//",
    "\r\n",
    "\t",
    "\u{feff}",
    "\0",
    "ä",
    "\\",
    "\\u00",
    "$${",
    "-",
    ".",
    "*",
];

const OF_EXPRESSIONS: &[&str] = &[
    "1",
    "0",
    "1.5",
    "1e9",
    "1e-9",
    "9999999999999999999999",
    "true",
    "false",
    "null",
    "\"a\"",
    "\"\"",
    "\"1\"",
    "\"${",
    "}\"",
    "%{ if true }",
    "%{ else }",
    "%{ endif }",
    "%{ for a in [1] }",
    "%{ endfor }",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ",",
    ",",
    "...",
    "=",
    ":",
    "=>",
    "for a in ",
    "for k, v in ",
    "if ",
    " ",
    "a",
    "k",
    "v",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "&&",
    "||",
    "!",
    "?",
    ".x",
    ".*",
    "[*]",
    "[0]",
    "[\"x\"]",
    "env",
    "env.X",
    "request",
    "request.headers",
    "request.json_body",
    "backend_responses.x.status",
    "couper.version",
    "default(",
    "join(\",\",",
    "keys(",
    "length(",
    "lookup(",
    "merge(",
    "split(\",\",",
    "substr(",
    "to_number(",
    "to_lower(",
    "to_upper(",
    "trim(",
    "unixtime()",
    "url_encode(",
    "url_decode(",
    "base64_encode(",
    "base64_decode(",
    "json_encode(",
    "json_decode(",
    "relative_url(",
    "set_intersection(",
    "contains(",
    "can(",
    "try(",
];

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        parse(&text);
    }

    #[test]
    fn any_sequence_of_words_is_parsed_or_refused(text in words(OF_FILES)) {
        parse(&text);
    }

    #[test]
    fn any_bytes_are_loaded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().expect("a folder");
        load_bytes(folder.path(), &bytes);
    }

    #[test]
    fn any_sequence_of_words_is_loaded_or_refused(text in words(OF_FILES)) {
        let folder = tempfile::tempdir().expect("a folder");
        load_bytes(folder.path(), text.as_bytes());
    }

    #[test]
    fn a_sound_file_with_any_words_in_it_is_loaded_or_refused(
        at in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
        text in words(OF_FILES),
    ) {
        let sound = include_str!("diagnostics/sound.hcl");
        let at = at.index(sound.len());
        let end = at + end.index((sound.len() - at).min(40));
        let text = format!("{}{text}{}", &sound[..at], &sound[end..]);
        let folder = tempfile::tempdir().expect("a folder");
        load_bytes(folder.path(), text.as_bytes());
    }

    #[test]
    fn any_text_is_evaluated_or_refused(text in any::<String>()) {
        eval(&text, Mode::Request);
        eval(&text, Mode::Start);
    }

    #[test]
    fn any_sequence_of_operators_is_evaluated_or_refused(text in words(OF_EXPRESSIONS)) {
        eval(&text, Mode::Request);
        eval(&text, Mode::Start);
        parse(&around(&text));
    }
}

#[test]
fn the_sound_file_of_the_properties_is_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let sound = include_bytes!("diagnostics/sound.hcl");
    assert!(load_bytes(folder.path(), sound));
}

/// Runs on a stack as large as that of the program's main thread, where it loads; threads of tests
/// have less.
fn on_a_main_stack(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(test);
    thread.expect("started").join().expect("no panic");
}

#[test]
fn deep_nesting_is_refused() {
    on_a_main_stack(deep_nesting);
}

fn deep_nesting() {
    const DEEP: usize = 10_000;
    let nested = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(DEEP), close.repeat(DEEP))
    };
    let expressions = [
        "[".repeat(DEEP),
        nested("[", "", "]"),
        nested("(", "1", ")"),
        nested("{a=", "1", "}"),
        nested("-", "1", ""),
        nested("!", "true", ""),
        nested("true ? 1 : ", "1", ""),
        nested("\"${", "1", "}\""),
        nested("to_upper(", "\"a\"", ")"),
        nested("[for a in ", "[]", " : a]"),
        nested("1 + ", "1", ""),
        format!("\"{}\"", nested("%{ if true }", "x", "%{ endif }")),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for expression in expressions {
        assert_eq!(eval(&expression, Mode::Start), None, "{expression:.20}");
        assert!(
            !load_bytes(folder.path(), around(&expression).as_bytes()),
            "{expression:.20}"
        );
    }
    let blocks = nested("a {\n", "", "}\n");
    assert!(!load_bytes(folder.path(), blocks.as_bytes()));
}

#[test]
fn long_chains_are_read() {
    for expression in [
        format!("request{}", ".a".repeat(10_000)),
        format!("request{}", "[0]".repeat(10_000)),
    ] {
        assert_eq!(
            eval(&expression, Mode::Request).as_deref(),
            Some(&b"null"[..])
        );
    }
}

#[test]
fn huge_numbers_are_refused() {
    let digits = "1".repeat(1_000_000);
    for expression in [
        digits.as_str(),
        "1e999999999",
        "1e-999999999",
        "1e99999999999999999999",
        "1e5000 * 1e5000 * 1e5000 * 1e5000 * 1e5000",
        "1 / 0",
        "1 % 0",
    ] {
        assert_eq!(eval(expression, Mode::Start), None, "{expression:.20}");
    }
}

#[test]
fn megabytes_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "x".repeat(4 << 20);
    let string = format!("\"{text}\"");
    assert_eq!(
        eval(&string, Mode::Start).map(|json| json.len()),
        Some(string.len())
    );
    assert!(load_bytes(folder.path(), around(&string).as_bytes()));
    let heredoc = format!("<<EOT\n{}EOT", "line\n".repeat(1 << 18));
    assert!(load_bytes(folder.path(), around(&heredoc).as_bytes()));
    let comment = format!("# {text}\n{}", around("\"\""));
    assert!(load_bytes(folder.path(), comment.as_bytes()));
}

#[test]
fn loops_cannot_multiply_without_end() {
    on_a_main_stack(multiplying_loops);
}

fn multiplying_loops() {
    let ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let mut expression = "0".to_owned();
    for level in 0..20 {
        expression = format!("[for a{level} in {ten} : {expression}]");
    }
    assert_eq!(eval(&expression, Mode::Start), None);
    assert_eq!(eval(&expression, Mode::Request), None);
}

#[test]
fn nul_and_broken_text_are_refused_by_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    for bytes in [
        &b"server {\n\0}\n"[..],
        b"\0",
        b"server {\n  base_path = \"\xff\"\n}\n",
        b"\xfe\xff\0s\0e",
        b"server \"\xc3\" {\n}\n",
        b"\xed\xa0\x80",
    ] {
        assert!(!load_bytes(folder.path(), bytes), "{bytes:?}");
    }
}
