//! What programs promise besides the values they give.

use std::collections::BTreeMap;

use hcl_edit::structure::Body;
use proptest::prelude::*;

use crate::diagnostic::SourceId;
use crate::expr::{
    CompileContext, Field, Finding, Fractions, Mode, Nothing, Number, Program, Registry, Scope,
    Step, Text, Value, Variable, compile, compile_str, eval_start,
};

fn with_context<T>(mode: Mode, text: &str, use_it: impl FnOnce(&CompileContext<'_>) -> T) -> T {
    let functions = Registry::standard();
    let env = BTreeMap::from([("A".to_owned(), "a".to_owned())]);
    use_it(&CompileContext {
        source: SourceId(3),
        text,
        env: &env,
        version: "1",
        environment: "",
        functions: &functions,
        mode,
    })
}

fn request(text: &str) -> Result<Program, Vec<Finding>> {
    with_context(Mode::Request, "", |cx| compile_str(text, cx))
}

fn variables(text: &str) -> Vec<Variable> {
    request(text).unwrap().variables().cloned().collect()
}

#[test]
fn constants_are_folded() {
    for text in [
        "1 + 2",
        "\"a${1}b\"",
        "to_upper(env.A)",
        "{ a = [1, couper.version] }",
        "can(1)",
        "request.nothing",
        "[{ a = 1 }][*].a",
    ] {
        assert!(request(text).unwrap().constant().is_some(), "{text}");
    }
    for text in ["unixtime()", "request.method", "1 + \"x\"", "no_such()"] {
        assert!(request(text).unwrap().constant().is_none(), "{text}");
    }
}

#[test]
fn references_name_what_is_read() {
    use Variable::{BackendResponse, BackendResponses, Request};
    let whole = |name: &str| BackendResponse(name.into(), Field::Whole);
    for (text, wanted) in [
        ("request.json_body.a.b", vec![Request(Field::JsonBody)]),
        ("request[\"json_body\"].a", vec![Request(Field::JsonBody)]),
        ("request[env.A]", vec![Request(Field::Whole)]),
        (
            "backend_responses.r.status",
            vec![BackendResponse("r".into(), Field::Status)],
        ),
        ("backend_responses[\"r\"]", vec![whole("r")]),
        (
            "backend_responses[request.method]",
            vec![BackendResponses, Request(Field::Method)],
        ),
        ("request.body == request.body", vec![Request(Field::Body)]),
        (
            "[for k, v in request.form_body : v]",
            vec![Request(Field::FormBody(None))],
        ),
        ("[for request in [{}] : request.body]", vec![]),
        (
            "\"%{ if request.body == null }a%{ endif }\"",
            vec![Request(Field::Body)],
        ),
        (
            "false ? request.body : can(request.url)",
            vec![Request(Field::Body), Request(Field::Url)],
        ),
    ] {
        assert_eq!(variables(text), wanted, "{text}");
    }
    let program = request("request.json_body.a[0]").unwrap();
    let steps = [Step::Attribute("a".into()), Step::Index(0)];
    assert_eq!(*program.references()[0].steps, steps);
}

#[test]
fn spans_are_those_of_the_file() {
    let text = "\u{e9} = 0\nb = [1, 2 + \"x\"]\nc = <<-E\n    x\n      y $${\n  E\n";
    let body: Body = text.parse().unwrap();
    let expr = &body.get_attribute("b").unwrap().value;
    let program = with_context(Mode::Request, text, |cx| compile(expr, cx)).unwrap();
    let error = program.eval(&Nothing).unwrap_err();
    assert_eq!(error.span.source, SourceId(3));
    assert_eq!(
        &text[error.span.start as usize..error.span.end as usize],
        "\"x\""
    );

    let expr = &body.get_attribute("c").unwrap().value;
    let value = with_context(Mode::Start, text, |cx| eval_start(expr, cx));
    assert_eq!(value, Ok(Value::from("x\n  y ${\n")));
}

#[test]
fn all_findings_are_reported() {
    let text = "[no_such(), env[\"B\"], nope]";
    let findings = with_context(Mode::Start, "", |cx| compile_str(text, cx)).unwrap_err();
    let places: Vec<u32> = findings.iter().map(|finding| finding.span.start).collect();
    assert_eq!(places, [1, 12, 22]);
}

struct Bytes;

impl Scope for Bytes {
    fn variable<'s>(&'s self, _: &'s Variable) -> Value<'s> {
        Value::string(&b"\xffA b"[..])
    }
}

#[test]
fn bytes_are_carried_along() {
    for (text, wanted) in [
        ("\"<${request.body}>\"", &b"<\xffA b>"[..]),
        ("to_lower(request.body)", b"\xffa b"),
        ("substr(request.body, 0, 2)", b"\xffA"),
        ("split(\" \", request.body)[0]", b"\xffA"),
        ("url_decode(url_encode(request.body))", b"\xffA b"),
    ] {
        let program = request(text).unwrap();
        assert_eq!(
            program.eval(&Bytes).unwrap().as_bytes(),
            Some(wanted),
            "{text}"
        );
    }
}

#[test]
fn plain_variables_are_borrowed() {
    let program = request("request.headers.x").unwrap();
    let value = program.eval(&Bytes).unwrap();
    assert!(matches!(value, Value::String(Text::Borrowed(_))));
}

/// Pieces that make many random texts parse.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "request",
        ".headers",
        ".x",
        "[0]",
        "[*]",
        ".*",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        "\"",
        "${",
        "%{ if ",
        "%{ for x in ",
        "%{ endif }",
        "%{ endfor }",
        "~}",
        "for x in ",
        ": x",
        "if ",
        "1",
        "-",
        "1e400",
        "99999999999999999999",
        "0.5",
        "null",
        "true",
        "+",
        "*",
        "/",
        "%",
        "==",
        "&&",
        "?",
        ":",
        "substr",
        "split",
        "merge",
        "default",
        "can",
        "...",
        "=>",
        "\\u00e9",
        "\\",
        "\n",
        "<<-E\n",
        "\nE\n",
        " ",
        "é",
        "$${",
        "env.A",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::number),
        "-?[0-9]{1,30}\\.[0-9]{1,20}".prop_map(|n| Value::Number(Number::parse(&n).unwrap())),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let entry = (any::<String>().prop_map(Text::from), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::tuple),
            prop::collection::vec(entry, 0..4).prop_map(Value::object),
        ]
    })
}

proptest! {
    #[test]
    fn random_text_never_panics(text in fragments()) {
        for mode in [Mode::Start, Mode::Request] {
            if let Ok(program) = with_context(mode, "", |cx| compile_str(&text, cx)) {
                let _ = program.eval(&Bytes).map(|value| value.to_json());
            }
        }
    }

    #[test]
    fn json_round_trips(value in json()) {
        let text = value.to_json();
        prop_assert_eq!(Value::from_json(&text, Fractions::Exact), Ok(value));
    }

    #[test]
    fn random_bytes_are_json_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Value::from_json(&bytes, Fractions::Double);
    }

    #[test]
    fn division_undoes_multiplication(a in any::<i64>(), b in any::<i64>()) {
        prop_assume!(b != 0);
        let (a, b) = (Number::from(a), Number::from(b));
        prop_assert_eq!(a.mul(&b).and_then(|product| product.div(&b)), Ok(a));
    }
}
