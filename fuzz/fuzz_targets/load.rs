//! Any bytes as `couper.hcl`: a tree or errors, and every finding can be shown.

#![no_main]

use std::sync::LazyLock;

use gateway::config::{Options, load};
use gateway::diagnostic::render;
use gateway::hcl::Input;
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("couper.hcl");
    std::fs::write(&path, bytes).unwrap();
    let loaded = load(&Options {
        inputs: vec![Input::File(path)],
        ..Options::default()
    });
    assert_ne!(loaded.tree.is_some(), loaded.diagnostics.has_errors());
    for finding in loaded.diagnostics.sorted() {
        render::full(finding, &loaded.sources, false);
        render::concise(finding, &loaded.sources);
        render::json(finding, &loaded.sources);
    }
});
