//! Evaluation of expressions: compiled programs against a request's variables, beside the
//! evaluator of `hcl-rs` for the same texts. `cargo bench --bench expressions`.

#![allow(missing_docs, clippy::unwrap_used)]

use divan::AllocProfiler;
use gateway::diagnostic::SourceId;
use gateway::expr::{
    CompileContext, Field, Mode, Program, Registry, Scope, Value, Variable, compile_str,
};
use http::{HeaderMap, HeaderValue};
use std::collections::BTreeMap;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const EXPRESSIONS: [&str; 5] = [
    "request.headers.user-agent",
    "request.path",
    "\"Bearer ${request.headers.user-agent} end\"",
    "request.method == \"GET\" ? request.headers.user-agent : \"none\"",
    "to_upper(request.headers.user-agent)",
];

fn main() {
    divan::main();
}

/// A request as the data plane shows it: values are borrowed from where they are.
struct Request {
    headers: HeaderMap,
}

impl Scope for Request {
    fn variable<'s>(&'s self, variable: &'s Variable) -> Value<'s> {
        match variable {
            Variable::Request(Field::Method) => Value::from("GET"),
            Variable::Request(Field::Path) => Value::from("/users/1"),
            Variable::Request(Field::Headers(Some(name))) => {
                let found = self.headers.get(name);
                found.map_or(Value::Absent, |value| Value::string(value.as_bytes()))
            }
            _ => Value::Absent,
        }
    }
}

fn request() -> Request {
    let mut headers = HeaderMap::new();
    for at in 0..12 {
        let name: http::HeaderName = format!("x-header-{at}").parse().unwrap();
        headers.insert(name, HeaderValue::from_static("some value"));
    }
    headers.insert("user-agent", HeaderValue::from_static("bench/1.0"));
    Request { headers }
}

fn program(text: &str) -> Program {
    let (env, functions) = (BTreeMap::new(), Registry::standard());
    let cx = CompileContext {
        source: SourceId(0),
        text,
        env: &env,
        version: "0",
        environment: "",
        functions: &functions,
        mode: Mode::Request,
    };
    compile_str(text, &cx).unwrap()
}

#[divan::bench(args = EXPRESSIONS)]
fn compiled(bencher: divan::Bencher<'_, '_>, text: &str) {
    let (program, request) = (program(text), request());
    bencher.bench_local(|| {
        divan::black_box(program.eval(&request).is_ok());
    });
}

#[divan::bench(args = EXPRESSIONS)]
fn hcl_rs(bencher: divan::Bencher<'_, '_>, text: &str) {
    use hcl::eval::{Context, Evaluate as _, FuncDef, ParamType};
    let to_upper = FuncDef::builder().param(ParamType::String).build(|args| {
        Ok(hcl::Value::from(
            args[0].as_str().unwrap_or_default().to_uppercase(),
        ))
    });
    let expression: hcl::Expression = text.parse().unwrap();
    let mut headers = hcl::Map::new();
    for at in 0..12 {
        headers.insert(format!("x-header-{at}"), hcl::Value::from("some value"));
    }
    headers.insert("user-agent".to_owned(), hcl::Value::from("bench/1.0"));
    let mut request = hcl::Map::new();
    request.insert("method".to_owned(), hcl::Value::from("GET"));
    request.insert("path".to_owned(), hcl::Value::from("/users/1"));
    request.insert("headers".to_owned(), hcl::Value::Object(headers));
    let mut context = Context::new();
    context.declare_var("request", hcl::Value::Object(request));
    context.declare_func("to_upper", to_upper);
    bencher.bench_local(|| {
        divan::black_box(expression.evaluate(&context).is_ok());
    });
}
