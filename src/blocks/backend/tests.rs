//! What a backend's configuration must not hold is refused, each fault at its own place.

use crate::config::{self, Loaded, Options};
use crate::hcl::Input;
use crate::runtime::kept::Kept;
use rcgen::{CertificateParams, KeyPair};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Loads a backend with this content; `name.crt`, `name.key` and the like lie beside the file.
fn load(folder: &Path, content: &str, env: &[(&str, &str)]) -> Loaded {
    let file = folder.join("couper.hcl");
    let text = format!(
        "server {{\n endpoint \"/\" {{\n proxy {{\n backend = \"be\"\n }}\n }}\n}}\n\
         definitions {{\n backend \"be\" {{\n{content}\n }}\n}}\n"
    );
    fs::write(&file, text).unwrap();
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::load(&Options {
        inputs: vec![Input::File(file)],
        env: env.collect::<BTreeMap<_, _>>(),
        ..Options::default()
    })
}

fn messages(loaded: &Loaded) -> Vec<String> {
    let all = loaded.diagnostics.sorted();
    all.iter().map(|d| d.message.clone()).collect()
}

fn check(folder: &Path, cases: &[(&str, &[&str])]) {
    for (content, wanted) in cases {
        let loaded = load(folder, content, &[]);
        let found = messages(&loaded);
        assert_eq!(found.len(), wanted.len(), "{content}: {found:#?}");
        for part in *wanted {
            assert!(found.iter().any(|m| m.contains(part)), "{part}: {found:#?}");
        }
    }
}

/// Writes `one.crt` with `one.key`, `two.key`, and what is no certificate.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(vec!["one.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&one).unwrap();
    write("one.crt", &certificate.pem());
    write("one.key", &one.serialize_pem());
    write("two.key", &two.serialize_pem());
    write(
        "both.pem",
        &format!("{}{}", certificate.pem(), one.serialize_pem()),
    );
    write("text", "no certificate\n");
    write("empty", "");
    fs::write(folder.path().join("one.der"), certificate.der()).unwrap();
    folder
}

#[test]
fn certificates_and_keys_must_be_sound_and_fit() {
    let folder = certificates();
    let origin = "origin = \"https://one.example\"\n";
    let cases: [(&str, &[&str]); 12] = [
        ("server_ca_certificate_file = \"one.crt\"", &[]),
        ("server_ca_certificate_file = \"one.der\"", &[]),
        ("client_certificate_file = \"both.pem\"", &[]),
        (
            "client_certificate_file = \"one.crt\"\nclient_private_key_file = \"one.key\"",
            &[],
        ),
        (
            "client_certificate_file = \"one.crt\"",
            &["missing client private key"],
        ),
        (
            "client_private_key_file = \"one.key\"",
            &["missing client certificate"],
        ),
        (
            "client_certificate_file = \"one.crt\"\nclient_private_key_file = \"two.key\"",
            &["do not belong together"],
        ),
        (
            "client_certificate_file = \"one.crt\"\nclient_private_key_file = \"text\"",
            &["neither PEM nor DER"],
        ),
        (
            "server_ca_certificate = \"x\"\nserver_ca_certificate_file = \"one.crt\"",
            &["`server_ca_certificate` and `server_ca_certificate_file` exclude one another"],
        ),
        (
            "server_ca_certificate_file = \"text\"",
            &["`server_ca_certificate_file`: it holds no usable certificate"],
        ),
        ("server_ca_certificate_file = \"empty\"", &["it is empty"]),
        (
            "server_ca_certificate_file = \"none\"",
            &["cannot use file"],
        ),
    ];
    for (block, wanted) in cases {
        let content = format!("{origin}tls {{\n{block}\n}}");
        check(folder.path(), &[(&content, wanted)]);
    }
    let content = format!(
        "{origin}disable_certificate_validation = true\ntls {{\n\
         server_ca_certificate_file = \"one.crt\"\n}}"
    );
    let both = "`disable_certificate_validation` cannot stand beside `server_ca_certificate_file`";
    check(
        folder.path(),
        &[(&content, &[both, "the origin may be anybody"])],
    );
}

#[test]
fn health_checks_need_an_origin_and_sound_values() {
    let folder = tempfile::tempdir().unwrap();
    let probe = "beta_health {\n}";
    let origin = "origin = \"http://localhost\"\n";
    let cases: [(&str, &[&str]); 4] = [
        (&format!("{origin}{probe}"), &[]),
        (probe, &["missing origin"]),
        (
            &format!("origin = request.headers.x\n{probe}"),
            &["missing origin"],
        ),
        (
            &format!(
                "{origin}beta_health {{\n interval = \"0s\"\n expected_status = [99]\n \
                 timeout = \"x\"\n failure_threshold = -1\n}}"
            ),
            &[
                "`interval` must be greater than zero",
                "from 100 to 599",
                "`timeout`: `x` is no duration",
                "for `failure_threshold`",
            ],
        ),
    ];
    check(folder.path(), &cases);
}

#[test]
fn proxies_must_be_urls_and_their_secrets_are_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let origin = "origin = \"http://one.example\"";
    let content = format!("{origin}\nproxy = \"ftp://me:secret@p\"");
    let found = messages(&load(folder.path(), &content, &[]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("`proxy`: it is no URL"), "{found:?}");
    assert!(!found[0].contains("secret"), "{found:?}");

    let env = [("HTTP_PROXY", "ftp://me:secret@p")];
    let found = messages(&load(folder.path(), origin, &env));
    assert!(
        found[0].contains("`HTTP_PROXY` names no proxy"),
        "{found:?}"
    );
    assert!(!found[0].contains("secret"), "{found:?}");
    let ignored = [env[0], ("COUPER_NO_PROXY_FROM_ENV", "true")];
    assert!(messages(&load(folder.path(), origin, &ignored)).is_empty());
}

#[test]
fn authorities_of_all_backends_are_read_at_start() {
    let folder = certificates();
    let origin = "origin = \"http://one.example\"";
    let found = |name: &str| {
        let path = folder.path().join(name);
        let env = [("COUPER_CA_FILE", path.to_str().unwrap())];
        messages(&load(folder.path(), origin, &env))
    };
    assert!(found("one.crt").is_empty());
    for name in ["none", "empty", "text"] {
        let found = found(name);
        assert!(found[0].contains("COUPER_CA_FILE"), "{found:?}");
    }
}

/// What `load` keeps of an unchanged backend over a second load.
#[test]
fn an_unchanged_backend_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("couper.hcl");
    let options = Options {
        inputs: vec![Input::File(file.clone())],
        ..Options::default()
    };
    let kept = std::cell::RefCell::new(Kept::default());
    let load = |before: &str, path: &str| {
        let text = format!(
            "{before}server {{\n endpoint \"/\" {{\n proxy {{\n backend = \"be\"\n }}\n }}\n}}\n\
             definitions {{\n backend \"be\" {{\n origin = \"https://one.example\"\n{path}\n\
             oauth2 {{\n grant_type = \"client_credentials\"\n client_id = \"c\"\n \
             client_secret = \"s\"\n token_endpoint = \"https://as.example\"\n }}\n \
             beta_health {{\n }}\n throttle {{\n period = \"1s\"\n per_period = 1\n }}\n }}\n}}\n"
        );
        fs::write(&file, text).unwrap();
        let loaded = config::reload(&options, kept.borrow().clone());
        let tree = loaded.tree.expect("a sound configuration");
        *kept.borrow_mut() = tree.kept.clone();
        Arc::clone(&tree.backends["be"].instance)
    };
    let same = |a: &super::Instance, b: &super::Instance| {
        let oauth2 = |instance: &super::Instance| {
            let entry = instance.oauth2.as_ref().unwrap().shared().unwrap();
            Arc::as_ptr(entry)
        };
        [
            Arc::ptr_eq(&a.limit, &b.limit),
            a.health.as_ref().map(Arc::as_ptr) == b.health.as_ref().map(Arc::as_ptr),
            a.throttle.as_ref().map(Arc::as_ptr) == b.throttle.as_ref().map(Arc::as_ptr),
            a.tls_config().as_ref().map(Arc::as_ptr) == b.tls_config().as_ref().map(Arc::as_ptr),
            oauth2(a) == oauth2(b),
        ]
    };
    let first = load("", "");
    let moved = load("# a comment\n\n", "");
    assert_eq!(same(&first, &moved), [true; 5]);
    // Only how it does has to be found out anew.
    let changed = load("", "path = \"/x\"");
    assert_eq!(same(&first, &changed), [true, false, true, true, true]);
}
