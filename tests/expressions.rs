//! Semantics of the expression language: the cases of `tests/expressions/*.toml`.
//!
//! A case has an `expr` and either the `value` it gives, as JSON text, or a part of the `error`.
//! With `start = true` it is evaluated like an attribute that is read once. `warning` is a part of
//! what compilation warns of. A file may set the request that its cases see.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gateway::diagnostic::SourceId;
use gateway::expr::{
    CompileContext, Field, Fractions, Mode, Nothing, Registry, Scope, Value, Variable, compile_str,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    request: Request,
    case: Vec<Case>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Request {
    method: Option<String>,
    path: Option<String>,
    headers: BTreeMap<String, String>,
    query: BTreeMap<String, Vec<String>>,
    json_body: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    expr: String,
    value: Option<String>,
    error: Option<String>,
    warning: Option<String>,
    #[serde(default)]
    start: bool,
}

impl Scope for Request {
    fn variable<'s>(&'s self, variable: &'s Variable) -> Value<'s> {
        let Variable::Request(field) = variable else {
            return Value::Absent;
        };
        let text = |text: &'s Option<String>| text.as_deref().map_or(Value::Absent, Value::from);
        let list = |values: &'s Vec<String>| {
            Value::list(
                values
                    .iter()
                    .map(|value| Value::from(value.as_str()))
                    .collect(),
            )
        };
        match field {
            Field::Method => text(&self.method),
            Field::Path => text(&self.path),
            Field::Headers(Some(name)) => self
                .headers
                .get(name.as_str())
                .map_or(Value::Absent, |v| v.as_str().into()),
            Field::Headers(None) => {
                let entry = |(name, value): (&'s String, &'s String)| {
                    (name.as_str().into(), value.as_str().into())
                };
                Value::map(self.headers.iter().map(entry).collect())
            }
            Field::Query(Some(name)) => self.query.get(&**name).map_or(Value::Absent, list),
            Field::Query(None) => {
                let entry = |(name, values): (&'s String, _)| (name.as_str().into(), list(values));
                Value::object(self.query.iter().map(entry).collect())
            }
            Field::JsonBody => match &self.json_body {
                Some(body) => Value::from_json(body.as_bytes(), Fractions::Double).unwrap(),
                None => Value::object(Vec::new()),
            },
            Field::Whole => Value::object(vec![
                ("method".into(), text(&self.method)),
                ("path".into(), text(&self.path)),
                ("headers".into(), Value::Absent),
            ]),
            _ => Value::Absent,
        }
    }
}

/// The JSON of the value, or the reason why there is none, and all warnings.
fn run(case: &Case, file: &File, functions: &Registry) -> (Result<String, String>, String) {
    let cx = CompileContext {
        source: SourceId(0),
        text: "",
        env: &file.env,
        version: "1.0",
        environment: "test",
        functions,
        mode: if case.start {
            Mode::Start
        } else {
            Mode::Request
        },
    };
    let join = |findings: &[gateway::expr::Finding]| {
        let line = |f: &gateway::expr::Finding| format!("{} {:?}", f.message, f.hint);
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let program = match compile_str(&case.expr, &cx) {
        Ok(program) => program,
        Err(findings) => return (Err(join(&findings)), String::new()),
    };
    let scope: &dyn Scope = if case.start { &Nothing } else { &file.request };
    let result = match program.eval(scope) {
        Ok(value) => Ok(String::from_utf8(value.to_json()).unwrap()),
        Err(error) => Err(error.to_string()),
    };
    (result, join(program.warnings()))
}

#[test]
fn cases() {
    let functions = Registry::standard();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expressions");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file: File = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for case in &file.case {
            count += 1;
            let (result, warnings) = run(case, &file, &functions);
            let fits = match (&case.value, &case.error, &result) {
                (Some(value), None, Ok(found)) => value == found,
                (None, Some(error), Err(found)) => found.contains(error.as_str()),
                _ => false,
            };
            let warned = case
                .warning
                .as_ref()
                .is_none_or(|warning| warnings.contains(warning));
            if !fits || !warned {
                let name = path.file_name().unwrap().display();
                let wanted = case.value.as_ref().or(case.error.as_ref());
                failures.push(format!(
                    "{name}: {}\n  wanted {wanted:?}\n  found  {result:.500?} {warnings}",
                    case.expr
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
