//! Loading a configuration of many endpoints, files to compiled tree. `cargo bench --bench load`.

#![allow(missing_docs, clippy::unwrap_used)]

use gateway::config::{Options, load};
use gateway::hcl::Input;

fn main() {
    divan::main();
}

fn configuration(endpoints: usize) -> String {
    let mut text = String::from("server {\n  hosts = [\"*:8080\"]\n");
    for at in 0..endpoints {
        text.push_str(&format!(
            "  endpoint \"/r/{at}/{{id}}\" {{\n    proxy {{\n      backend = \"origin\"\n      set_request_headers = {{ x-id = request.path_params.id }}\n    }}\n  }}\n"
        ));
    }
    text.push_str("}\ndefinitions {\n  backend \"origin\" {\n    origin = \"http://localhost:8081\"\n  }\n}\n");
    text
}

#[divan::bench(args = [10, 100, 1000])]
fn endpoints(bencher: divan::Bencher<'_, '_>, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("couper.hcl");
    std::fs::write(&path, configuration(count)).unwrap();
    let options = Options {
        inputs: vec![Input::File(path)],
        ..Options::default()
    };
    bencher.bench_local(|| {
        let loaded = load(&options);
        assert!(loaded.tree.is_some());
        loaded
    });
}
