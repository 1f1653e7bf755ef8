//! Any text: parsed or refused, never a panic.

#![no_main]

use gateway::diagnostic::{Diagnostics, SourceId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut diagnostics = Diagnostics::default();
    let body = gateway::hcl::parse(SourceId(0), text, &mut diagnostics);
    assert!(body.is_some() || diagnostics.has_errors());
});
