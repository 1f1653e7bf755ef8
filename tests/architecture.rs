//! The rules that `docs/architecture.md` states about modules, and that the page keeps up with the
//! code.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Where only the serving half of the program may be at home, and where only the loading half.
const SERVING: [&str; 7] = [
    "http",
    "upstream",
    "oauth",
    "telemetry",
    "crypto",
    "error",
    "runtime",
];
const LOADING: [&str; 5] = ["expr", "hcl", "blocks", "config", "diagnostic"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

/// Lines of the modules in which the pattern occurs as code: not in a comment, not in a string.
fn mentions(modules: &[&str], pattern: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    let no_code = Regex::new(r#"//.*|"(\\.|[^"\\])*""#).unwrap();
    let mut files = Vec::new();
    for module in modules {
        let folder = root().join("src").join(module);
        assert!(folder.is_dir(), "src/{module}");
        sources(&folder, &mut files);
    }
    let mut lines = Vec::new();
    for file in files {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = no_code.replace_all(line, "");
            if pattern.is_match(&code) {
                let file = file.strip_prefix(root()).unwrap().display();
                lines.push(format!("{file}:{}: {}", number + 1, code.trim()));
            }
        }
    }
    lines
}

const NONE: [String; 0] = [];

#[test]
fn serving_knows_no_hcl() {
    let hcl = r"\b(hcl_edit|hcl_rs|hcl::|crate::hcl|super::hcl)\b|use crate::\{[^}]*\bhcl\b";
    assert_eq!(mentions(&SERVING, hcl), NONE);
}

#[test]
fn loading_knows_no_hyper() {
    assert_eq!(mentions(&LOADING, r"\bhyper(_util)?\b"), NONE);
}

#[test]
fn protocol_code_knows_neither() {
    let both = r"\b(hcl_edit|hyper|hyper_util)\b|crate::(hcl|http|upstream|blocks)\b";
    assert_eq!(mentions(&["oauth", "crypto", "store"], both), NONE);
}

#[test]
fn the_patterns_find_what_they_are_for() {
    assert_ne!(mentions(&["http", "upstream"], r"\bhyper\b"), NONE);
    assert_ne!(mentions(&["hcl"], r"\bhcl_edit\b"), NONE);
    assert_ne!(mentions(&["blocks"], r"\bcrate::hcl\b"), NONE);
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<&str> = modules
        .filter(|module| !map.contains(&format!("\n| `{module}` |")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_map_has_the_phases_of_the_pipeline() {
    let words = |text: &str| -> Vec<String> {
        text.split('→')
            .map(|phase| phase.trim_matches(|c: char| !c.is_alphabetic()).to_owned())
            .collect()
    };
    let pipeline = fs::read_to_string(root().join("src/http/pipeline.rs")).unwrap();
    let docs: Vec<&str> = pipeline
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .collect();
    let docs = docs.join("");
    let (_, phases) = docs.split_once(':').unwrap();
    let phases = words(phases);
    assert!(phases.len() > 5, "{phases:?}");

    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let chart = map.lines().find(|line| line.contains("→")).unwrap();
    assert_eq!(words(chart), phases);
    let table: Vec<&str> = map
        .lines()
        .skip_while(|line| !line.starts_with("| phase |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.split(" |").next())
        .collect();
    assert_eq!(table, phases);
}

#[test]
fn every_code_of_a_finding_is_listed() {
    let code = Regex::new(r#"Code\("([EW]\d{4})"\)"#).unwrap();
    let source = fs::read_to_string(root().join("src/diagnostic/mod.rs")).unwrap();
    let listed = fs::read_to_string(root().join("docs/reference/errors.md")).unwrap();
    let codes: Vec<String> = code
        .captures_iter(&source)
        .map(|found| found[1].to_owned())
        .collect();
    let row = |line: &str| Some(line.strip_prefix("| ")?.get(..5)?.to_owned());
    let rows: Vec<String> = listed
        .lines()
        .filter_map(row)
        .filter(|code| code.starts_with(['E', 'W']))
        .collect();
    assert_eq!(rows, codes);
}

#[test]
fn deviations_in_the_code_are_told_to_users() {
    let told = fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    files.retain(|file| fs::read_to_string(file).unwrap().contains("Deviation:"));
    let name = |file: &PathBuf| file.strip_prefix(root()).unwrap().display().to_string();
    let missing: Vec<String> = files
        .iter()
        .map(name)
        .filter(|file| !told.contains(&format!("`{file}`")))
        .collect();
    assert_eq!(missing, NONE);
}

/// Links of the documents to files of the repository.
#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#]+)(#[^)]*)?\)").unwrap();
    let mut documents = Vec::new();
    let mut folders = vec![
        root().to_owned(),
        root().join("docs"),
        root().join("examples"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && folder != root() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    let mut dead = Vec::new();
    for document in documents {
        for found in link.captures_iter(&fs::read_to_string(&document).unwrap()) {
            let target = &found[1];
            if !target.contains("://") && !document.parent().unwrap().join(target).exists() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert_eq!(dead, NONE);
}
