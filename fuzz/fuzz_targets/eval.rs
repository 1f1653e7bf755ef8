//! Any text as an expression: a value or an error, and a value can be written as JSON.

#![no_main]

use std::collections::BTreeMap;

use gateway::diagnostic::SourceId;
use gateway::expr::{CompileContext, Mode, Nothing, Registry, compile_str};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
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
    if let Ok(program) = compile_str(text, &cx)
        && let Ok(value) = program.eval(&Nothing)
    {
        value.to_json();
    }
});
