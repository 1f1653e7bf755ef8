//! The conformance runner's own rules: comparison, patterns, placeholders, tokens, forms, case files.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the support modules are shared between test programs"
)]
#![allow(
    clippy::expect_used,
    reason = "a test program may panic where its own set-up fails"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the support modules block their own threads and never a worker"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::case::{Case, Token};
use support::expectations::path_fits;
use support::forms::forms;
use support::keys::Key;
use support::matching::compare;
use support::placeholders::Names;
use support::value::{Table, Value};
use support::{Mismatch, encoding, pattern, tokens};

/// The value of a TOML text's member `v`.
fn toml_value(text: &str) -> Value {
    let table: Table = toml::from_str(&format!("v = {text}")).expect("TOML");
    table.get("v").expect("v").clone()
}

fn verdict(want: &str, got: &str) -> Result<(), Mismatch> {
    compare(
        &toml_value(want),
        &Value::from_json(got).expect("JSON"),
        "x",
    )
}

#[test]
fn comparison() {
    let fits = [
        (r#""a""#, r#""a""#),
        (r#""=~a""#, r#""~a""#),
        (r#""~^a.c$""#, r#""a\nc""#),
        (r#""~^a$""#, r#""a\n""#),
        (r#""~^12$""#, "12"),
        (r#""~^null$""#, "null"),
        (r#""~b\": 1, \"a\": \\[2""#, r#"{"b":1,"a":[2]}"#),
        ("1", "1.0"),
        ("1.5", "1.5"),
        ("{ a = 1 }", r#"{"a":1,"b":2}"#),
        ("{ a = false }", "{}"),
        ("{ a = false }", r#"{"a":false}"#),
        ("{ a = true }", r#"{"a":null}"#),
        ("{ a = true }", r#"{"a":"x"}"#),
        (
            "{ a = [ { b = true }, \"~.\" ] }",
            r#"{"a":[{"b":0,"c":1},"x"]}"#,
        ),
        ("[true, false]", "[true, false]"),
    ];
    for (want, got) in fits {
        verdict(want, got).unwrap_or_else(|fault| panic!("{want} should fit {got}: {fault}"));
    }
    let differ = [
        (r#""a""#, r#""b""#),
        (r#""a""#, r#""=a""#),
        (r#""=a""#, r#""=a""#),
        (r#""1""#, "1"),
        (r#""~^b""#, r#""a\nb""#),
        ("1", r#""1""#),
        ("{ a = 1 }", "{}"),
        ("{ a = 1 }", "[1]"),
        ("{ a = false }", r#"{"a":null}"#),
        ("{ a = true }", "{}"),
        ("{ a = true }", r#"{"a":false}"#),
        ("{ a = { b = true } }", r#"{"a":false}"#),
        ("[1]", "[1, 2]"),
        ("[1, 2]", "[2, 1]"),
    ];
    for (want, got) in differ {
        assert!(verdict(want, got).is_err(), "{want} should not fit {got}");
    }
}

#[test]
fn a_mismatch_names_its_place() {
    let fault = verdict("{ a = [ { b = 1 } ] }", r#"{"a":[{"b":2}]}"#).expect_err("differs");
    assert_eq!(fault.to_string(), "x.a[0].b: want 1, got 2");
}

#[test]
fn patterns() {
    let cases = [
        (r"a$", "xa\n", true),
        (r"a$", "a\nb", false),
        (r"a\Z", "a\n", false),
        (r#"{"a":[{]\d{2}"#, r#"{"a":{12"#, true),
        (r"^x{3}$", "xxx", true),
        (r"^(?!.*secret)(?=.*b)", "a\nb", true),
        (r"^(?!.*secret)", "a secret", false),
        (r"[^]]x", "]x", false),
        (r"[[]x", "[x", true),
        (r"[&~]{2}", "&~", true),
        (r"\<a\>", "<a>", true),
        (r"(a)\1", "aa", true),
        (r"(?i)BEARER", "bearer", true),
        (
            r"ids=x{20000}&",
            &format!("ids={}&", "x".repeat(20_000)),
            true,
        ),
    ];
    for (regex, text, wanted) in cases {
        let found = pattern::found(regex, pattern::DOT_ALL, text).expect("a pattern");
        assert_eq!(
            found,
            wanted,
            "/{regex}/ in {:?}",
            support::matching::shortened(text, 40)
        );
    }
    assert!(pattern::found("(", pattern::DOT_ALL, "").is_err());
    assert_eq!(
        pattern::caught("c=([^&]+)", pattern::DOT_ALL, "a=1&c=2&d").expect("caught"),
        "2"
    );
}

fn names(case: &str, folder: &Path) -> Names {
    let path = folder.join("case.toml");
    std::fs::write(&path, case).expect("written");
    Names::new(Case::read(&path).expect("a case"), folder.to_owned()).expect("names")
}

#[test]
fn placeholders() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("note"), "text").expect("written");
    let case = "title = \"t\"\nkeys = { k = \"p256\" }\njwts.a = { key = \"{{var.secret}}\", claims = { exp = \"+60\" } }";
    let mut names = names(case, folder.path());
    names
        .keys
        .insert("k".to_owned(), Key::generate("p256").expect("a key"));
    names
        .origins
        .insert("api".to_owned(), "127.0.0.1:1".to_owned());
    names.remember("id", "me".to_owned());
    names.remember("secret", "s3".to_owned());
    let fill = |text: &str| names.fill_text(text).expect("filled");
    let port = names.port_of_step(None).expect("a port");
    let same = [
        ("{{port.main}} {{ port.main }}", format!("{port} {port}")),
        ("http://{{origin.api}}/", "http://127.0.0.1:1/".to_owned()),
        ("{{dir}}", folder.path().display().to_string()),
        (
            "{{basic.{{var.id}}:{{var.secret}}}}",
            encoding::base64("me:s3"),
        ),
        ("{{fill.3}} {{fill.2.ab}}", "xxx abab".to_owned()),
        ("{{file.note}}", "text".to_owned()),
        (
            "{{pkce.abc}}",
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0".to_owned(),
        ),
        ("{{b64url.a?}}", "YT8".to_owned()),
        (
            "{{.http_status}} {{ }} { {a} }",
            "{{.http_status}} {{ }} { {a} }".to_owned(),
        ),
    ];
    for (text, wanted) in same {
        assert_eq!(fill(text), wanted, "{text}");
    }
    assert!(fill("{{sha256.abc}}").starts_with("ba7816bf8f01cfea"));
    assert_ne!(fill("{{uuid.a}}"), fill("{{uuid.a}}"));
    let jwk = Value::from_json(&fill("{{jwk.k-use-kid+alg=ES256}}")).expect("JSON");
    assert!(jwk.at("kid").is_none() && jwk.at("use").is_none());
    assert_eq!(jwk.at("alg"), Some(&Value::from("ES256")));
    assert_eq!(fill("{{jkt.k}}").len(), 43);
    let (_, claims) = tokens::open(&fill("{{jwt.a}}")).expect("a token");
    let exp = claims.get("exp").and_then(Value::integer).expect("exp");
    assert!((i128::from(tokens::now()) + 50..).contains(&exp));
    for unknown in ["{{nothing.x}}", "{{var.x}}", "{{origin.x}}", "{{jwt.x}}"] {
        let fault = names.fill_text(unknown).expect_err("unknown");
        assert!(fault.to_string().contains(unknown), "{fault}");
    }
    assert_eq!(names.ports().len(), 1);
    fill("{{port.unused}}");
    assert_eq!(names.ports().len(), 2);
}

#[test]
fn tokens_verify_with_their_keys() {
    let kinds = [
        (
            "rsa2048",
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..],
        ),
        ("p256", &["ES256"]),
        ("p384", &["ES384"]),
        ("p521", &["ES512"]),
        ("ed25519", &["EdDSA"]),
    ];
    for (kind, algorithms) in kinds {
        let keys: BTreeMap<_, _> = [("k".to_owned(), Key::generate(kind).expect("a key"))].into();
        let set = [("keys", Value::List(vec![keys["k"].jwk("k").into()]))];
        let set = Value::Table(set.into_iter().collect()).to_json();
        for algorithm in algorithms {
            let token = |more: &str| {
                let spec = format!("alg = {algorithm:?}\nkey = \"k\"\nheader.kid = \"k\"\n{more}");
                let spec: Token = toml::from_str(&spec).expect("a token");
                tokens::make(&spec, &keys, Path::new(".")).expect("signed")
            };
            tokens::verify(&token(""), &set).expect("verified");
            for tamper in ["signature", "payload"] {
                let spoilt = token(&format!("tamper = {tamper:?}"));
                assert!(
                    tokens::verify(&spoilt, &set).is_err(),
                    "{algorithm} {tamper}"
                );
            }
            let (header, _) = tokens::open(&token("embed_jwk = true")).expect("open");
            let embedded = header.get("jwk").and_then(Value::table).expect("jwk");
            assert!(embedded.get("kid").is_none() && embedded.get("d").is_none());
        }
    }
}

#[test]
fn an_asn1_signature_is_a_sequence_of_two_numbers() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, KeyPair as _, UnparsedPublicKey};
    let Key::Ec(pair, curve) = Key::generate("p256").expect("a key") else {
        panic!("no curve")
    };
    let public = pair.public_key().as_ref().to_vec();
    let keys: BTreeMap<_, _> = [("k".to_owned(), Key::Ec(pair, curve))].into();
    let spec: Token =
        toml::from_str("alg = \"ES256\"\nkey = \"k\"\ntamper = \"asn1\"").expect("a token");
    for _ in 0..20 {
        let token = tokens::make(&spec, &keys, Path::new(".")).expect("signed");
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let signature = encoding::from_base64url(signature).expect("base64url");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public)
            .verify(message.as_bytes(), &signature)
            .expect("verified");
    }
}

#[test]
fn forms_of_a_page() {
    let page = r#"<!doctype html><!-- <form action=no> --><FORM action='/a?x=1&amp;y=2' method="post">
        <input type="hidden" name="csrf" value="a&quot;&#x27;b"><input name=user /><input type=checkbox name=c checked>
        <input type=checkbox name=d value=1><button name="go" value="yes">Go</button></FORM><form><input name=q value=z>"#;
    let found = forms(page);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].action.as_str(), found[0].method.as_str()),
        ("/a?x=1&y=2", "POST")
    );
    assert_eq!(encoding::form(&found[0].fields), "csrf=a%22%27b&user=&c=on");
    assert!(found[0].names.contains("go") && found[0].names.contains("d"));
    assert_eq!(
        (found[1].method.as_str(), encoding::form(&found[1].fields)),
        ("GET", "q=z".to_owned())
    );
}

#[test]
fn form_encoding() {
    let fields = encoding::parse_form("a=1+2&b=%c3%A4&b=%&c&a%26=");
    assert_eq!(
        Value::Table(fields).to_json(),
        r#"{"a":"1 2","b":["ä","%"],"c":"","a&":""}"#
    );
}

#[test]
fn md5_of_known_texts() {
    assert_eq!(
        encoding::hex(&encoding::md5(b"")),
        "d41d8cd98f00b204e9800998ecf8427e"
    );
    let long = "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
    assert_eq!(
        encoding::hex(&encoding::md5(long.as_bytes())),
        "57edf4a22be3c955ac49da2e2107b67a"
    );
}

#[test]
fn file_patterns() {
    let fits = |pattern: &str, path: &str| {
        path_fits(
            &pattern.split('/').collect::<Vec<_>>(),
            &path.split('/').collect::<Vec<_>>(),
        )
    };
    assert!(fits("keys/**/*", "keys/a") && fits("keys/**/*", "keys/a/b") && fits("*.db", "x.db"));
    assert!(!fits("keys/**/*", "other/a") && !fits("*.db", "a/x.db") && !fits("a?", "a"));
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let places = [
        "hello = 1",
        "start.hello = 1",
        "origins.a.hello = 1",
        "[[origins.a.reply]]\nhello = 1",
        "[[origins.a.reply]]\nraw = [ { hello = \"1\" } ]",
        "certs.a = { hello = 1 }",
        "jwts.a = { hello = 1 }",
        "[[step]]\nhello = 1",
        "[[step]]\ntls = { hello = 1 }",
        "[[step]]\nraw = [ { hello = \"1\" } ]",
        "[[step]]\nsubmit.hello = 1",
        "[[step]]\nexpect.hello = 1",
        "[[step]]\nexpect.origin.a.hello = 1",
        "[[step]]\nexpect.jwt.\"\".hello = 1",
        "[[step]]\nexpect.location.hello = 1",
        "[[step]]\nexpect.nowhere = [ { hello = \"1\" } ]",
    ];
    for place in places {
        let path = folder.path().join("case.toml");
        std::fs::write(&path, format!("title = \"t\"\n{place}\n")).expect("written");
        let fault = Case::read(&path).expect_err(place).to_string();
        assert!(fault.contains("unknown field `hello`"), "{place}: {fault}");
    }
}
