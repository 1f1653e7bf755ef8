//! What an `oauth2` block must not hold is refused by name.

use crate::config::{self, Options};
use crate::hcl::Input;

/// The messages of a load of a backend with this block.
fn messages(settings: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("couper.hcl");
    let text = format!(
        "server {{\n endpoint \"/\" {{\n response {{}}\n }}\n}}\ndefinitions {{\n backend \"b\" {{\n \
         origin = \"http://localhost\"\n oauth2 {{\n token_endpoint = \"/\"\n backend {{\n \
         origin = \"http://localhost\"\n }}\n{settings}\n }}\n }}\n}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let loaded = config::load(&Options {
        inputs: vec![Input::File(file)],
        ..Options::default()
    });
    let all = loaded.diagnostics.sorted();
    all.iter().map(|d| d.message.clone()).collect()
}

/// Attributes, the profile's, and parts of the messages.
type Case = (
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
    &'static [&'static str],
);

fn block(settings: &[(&str, &str)], profile: Option<&str>) -> String {
    let mut text = String::new();
    for (name, value) in settings {
        text.push_str(&format!("{name} = \"{value}\"\n"));
    }
    if let Some(profile) = profile {
        text.push_str(&format!(
            "jwt_signing_profile {{\nttl = \"1m\"\n{profile}\n}}\n"
        ));
    }
    text
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    const ID: (&str, &str) = ("client_id", "c");
    const SECRET: (&str, &str) = ("client_secret", "a secret of at least thirty-two bytes");
    const PLAIN: (&str, &str) = ("grant_type", "client_credentials");
    const PASSWORD: (&str, &str) = ("grant_type", "password");
    const BEARER: (&str, &str) = ("grant_type", super::grant::JWT_BEARER);
    const BY_SECRET: (&str, &str) = ("token_endpoint_auth_method", "client_secret_jwt");
    const BY_KEY: (&str, &str) = ("token_endpoint_auth_method", "private_key_jwt");
    let hmac = "signature_algorithm = \"HS256\"";
    let hmac_key =
        "signature_algorithm = \"HS256\"\nkey = \"a secret of at least thirty-two bytes\"";
    let cases: [Case; 16] = [
        (&[PLAIN, ID, SECRET], None, &[]),
        (&[PLAIN, SECRET], None, &["`client_id` must not be empty"]),
        (&[PLAIN, ID], None, &["`client_secret` must not be empty"]),
        (
            &[PLAIN, ID, SECRET, ("username", "u"), ("assertion", "a")],
            None,
            &["`username` does not belong", "`assertion` does not belong"],
        ),
        (
            &[PASSWORD, ID, SECRET, ("password", "")],
            None,
            &["`username` must not be", "`password` must not be"],
        ),
        (&[BEARER], None, &["needs `assertion` or"]),
        (&[BEARER, ("assertion", "a")], None, &[]),
        (&[BEARER], Some(hmac_key), &[]),
        (
            &[BEARER, ("assertion", "a")],
            Some(hmac_key),
            &["`jwt_signing_profile` is not used"],
        ),
        (
            &[BEARER, ("assertion", "a"), ("password", "p")],
            None,
            &["`password` does not belong"],
        ),
        (
            &[PLAIN, ID, SECRET],
            Some(hmac_key),
            &["`jwt_signing_profile` cannot stand beside"],
        ),
        (&[PLAIN, ID, SECRET, BY_SECRET], Some(hmac), &[]),
        (
            &[PLAIN, ID, SECRET, BY_SECRET],
            Some(hmac_key),
            &["`key` cannot stand beside"],
        ),
        (
            &[PLAIN, ID, SECRET, BY_SECRET],
            Some("signature_algorithm = \"RS256\""),
            &["RS256: `client_secret_jwt` takes HS"],
        ),
        (
            &[PLAIN, ID, SECRET, BY_KEY],
            Some(hmac_key),
            &[
                "`client_secret` cannot stand beside",
                "HS256: `private_key_jwt` takes algorithms with a key pair",
            ],
        ),
        (
            &[PLAIN, ID, BY_KEY],
            None,
            &["needs a `jwt_signing_profile`"],
        ),
    ];
    for (settings, profile, wanted) in cases {
        let found = messages(&block(settings, profile));
        assert_eq!(found.len(), wanted.len(), "{settings:?}: {found:#?}");
        for part in wanted {
            assert!(found.iter().any(|m| m.contains(part)), "{part}: {found:#?}");
        }
    }
}
