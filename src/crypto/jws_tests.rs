use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair,
};
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::crypto::jwk;
use crate::crypto::key::{KeyError, Weakness};

const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn from_jwk(algorithm: Algorithm, jwk: &Value) -> VerifyingKey {
    jwk::verifying_key(algorithm, jwk.as_object().unwrap()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

fn token(header: &str, payload: &str) -> String {
    format!(
        "{}.{}.AAAA",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    )
}

#[test]
fn rfc_7515_a_1_hs256() {
    let secret = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let text = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let parsed = parse(&text).unwrap();
    let key = VerifyingKey::from_secret(Algorithm::Hs256, &secret).unwrap();
    assert_eq!(parsed.verify(&key), Ok(()));
    assert_eq!(parsed.claims["exp"], json!(1_300_819_380));
    let signer = SigningKey::from_secret(Algorithm::Hs256, &secret).unwrap();
    let again = signer
        .sign(b"{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}", &parsed.payload)
        .unwrap();
    assert_eq!(again, text);
}

#[test]
fn rfc_7515_a_2_rs256() {
    let key = json!({
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    });
    let text = format!(
        "eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    let parsed = parse(&text).unwrap();
    assert_eq!(parsed.verify(&from_jwk(Algorithm::Rs256, &key)), Ok(()));
    assert_eq!(
        parsed.verify(&from_jwk(Algorithm::Rs384, &key)),
        Err(Error::Algorithm)
    );
}

#[test]
fn rfc_7515_a_3_es256() {
    let key = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let text = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{signature}");
    let parsed = parse(&text).unwrap();
    assert_eq!(parsed.verify(&from_jwk(Algorithm::Es256, &key)), Ok(()));
    assert!(matches!(
        jwk::verifying_key(Algorithm::Es384, key.as_object().unwrap()),
        Err(KeyError::Mismatch { .. })
    ));
}

#[test]
fn rfc_7515_a_4_es512() {
    let key = json!({
        "kty": "EC",
        "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    });
    let signature = URL_SAFE_NO_PAD
        .decode("AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn")
        .unwrap();
    let input = b"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
    assert!(from_jwk(Algorithm::Es512, &key).verifies(input, &signature));
    // The RFC's payload is a bare word, which is no set of claims.
    assert_eq!(
        parse(&format!(
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{}",
            URL_SAFE_NO_PAD.encode(signature)
        ))
        .unwrap_err(),
        Error::Payload
    );
}

#[test]
fn every_algorithm_signs_what_it_verifies() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa = pem("PRIVATE KEY", rsa.as_der().unwrap().as_ref());
    for algorithm in Algorithm::ALL {
        let key = match algorithm.family() {
            crate::crypto::Family::Hmac => SigningKey::from_secret(algorithm, &[7; 64]),
            crate::crypto::Family::Rsa => SigningKey::from_pem(algorithm, rsa.as_bytes()),
            crate::crypto::Family::Ec(curve) => {
                let pair = EcdsaKeyPair::generate(curve.signing()).unwrap();
                let der = pair.to_pkcs8v1().unwrap();
                SigningKey::from_pem(algorithm, pem("PRIVATE KEY", der.as_ref()).as_bytes())
            }
            crate::crypto::Family::Ed25519 => {
                let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
                SigningKey::from_pkcs8(algorithm, pair.to_pkcs8v1().unwrap().as_ref())
            }
        }
        .unwrap();
        let header = key.header(json!({"kid": "k"}).as_object().unwrap());
        let text = key.sign(&header, br#"{"sub":"me"}"#).unwrap();
        let parsed = parse(&text).unwrap();
        assert_eq!(parsed.header.alg(), algorithm.name());
        assert_eq!(parsed.header.kid(), Some("k"));
        assert_eq!(parsed.header.typ(), Some("JWT"));
        let verifying = key.verifying_key().unwrap();
        assert_eq!(parsed.verify(&verifying), Ok(()), "{algorithm}");
        let mut changed = parsed.clone();
        changed.signature[5] ^= 1;
        assert_eq!(changed.verify(&verifying), Err(Error::Signature));
        changed.signature.clear();
        assert_eq!(changed.verify(&verifying), Err(Error::Signature));
        assert!(!format!("{key:?}{verifying:?}").contains('7'));
    }
}

#[test]
fn an_ecdsa_signature_as_der_is_refused() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let key =
        SigningKey::from_pkcs8(Algorithm::Es256, pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
    let text = token(r#"{"alg":"ES256"}"#, "{}");
    let input = text.rsplit_once('.').unwrap().0;
    let der = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    let text = format!("{input}.{}", URL_SAFE_NO_PAD.encode(der.as_ref()));
    assert_eq!(
        parse(&text).unwrap().verify(&key.verifying_key().unwrap()),
        Err(Error::Signature)
    );
}

#[test]
fn forms_of_public_and_private_keys() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs1 = pem("RSA PUBLIC KEY", rsa.public_key().as_ref());
    assert!(VerifyingKey::from_pem(Algorithm::Rs256, pkcs1.as_bytes()).is_ok());
    let spki = pem("PUBLIC KEY", rsa.public_key().as_der().unwrap().as_ref());
    assert!(VerifyingKey::from_pem(Algorithm::Rs512, spki.as_bytes()).is_ok());
    assert!(matches!(
        VerifyingKey::from_pem(Algorithm::Es256, spki.as_bytes()),
        Err(KeyError::Mismatch { .. })
    ));
    assert_eq!(
        VerifyingKey::from_pem(Algorithm::Hs256, spki.as_bytes()).unwrap_err(),
        KeyError::TakesSecret(Algorithm::Hs256)
    );
    assert_eq!(
        SigningKey::from_pem(Algorithm::Rs256, spki.as_bytes()).unwrap_err(),
        KeyError::PrivateExpected
    );
    assert_eq!(
        VerifyingKey::from_secret(Algorithm::Rs256, b"x").unwrap_err(),
        KeyError::TakesKey(Algorithm::Rs256)
    );
    assert_eq!(
        VerifyingKey::from_secret(Algorithm::Hs512, &[1; 63])
            .unwrap()
            .weakness(),
        Some(Weakness::ShortSecret {
            bytes: 63,
            wanted: 64
        })
    );

    let pair = EcdsaKeyPair::generate(crate::crypto::algorithm::Curve::P384.signing()).unwrap();
    let sec1 = pem(
        "EC PRIVATE KEY",
        pair.private_key().as_der().unwrap().as_ref(),
    );
    assert!(SigningKey::from_pem(Algorithm::Es384, sec1.as_bytes()).is_ok());
    for other in [Algorithm::Es256, Algorithm::Rs256] {
        assert!(matches!(
            SigningKey::from_pem(other, sec1.as_bytes()),
            Err(KeyError::Mismatch { .. })
        ));
    }
    assert_eq!(
        VerifyingKey::from_pem(Algorithm::Es384, sec1.as_bytes()).unwrap_err(),
        KeyError::PublicExpected
    );
    for text in [
        "",
        "secret",
        "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----",
    ] {
        assert_eq!(
            VerifyingKey::from_pem(Algorithm::Rs256, text.as_bytes()).unwrap_err(),
            KeyError::NotPem
        );
    }
}

#[test]
fn certificates_give_their_key() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["idp.test".to_owned()])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let key = SigningKey::from_pem(Algorithm::Es256, pair.serialize_pem().as_bytes()).unwrap();
    let text = key.sign(br#"{"alg":"ES256"}"#, b"{}").unwrap();
    let verifying = VerifyingKey::from_pem(Algorithm::Es256, certificate.pem().as_bytes()).unwrap();
    assert_eq!(parse(&text).unwrap().verify(&verifying), Ok(()));
    let set = json!({"keys": [{"kty": "EC", "x5c": [STANDARD.encode(certificate.der())]}]});
    let set = crate::crypto::Jwks::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(
        set.verify(&parse(&text).unwrap(), &Algorithm::OF_KEY_SETS),
        Ok(())
    );
}

#[test]
fn short_rsa_keys_verify_with_a_warning() {
    let n = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff_u8; bytes]);
    let jwk = |bytes| json!({"kty": "RSA", "n": n(bytes), "e": "AQAB"});
    assert_eq!(
        from_jwk(Algorithm::Rs256, &jwk(128)).weakness(),
        Some(Weakness::ShortRsa { bits: 1024 })
    );
    assert_eq!(from_jwk(Algorithm::Rs256, &jwk(256)).weakness(), None);
    assert_eq!(
        jwk::verifying_key(Algorithm::Rs256, jwk(64).as_object().unwrap()).unwrap_err(),
        KeyError::RsaSize(512)
    );
    let with_exponent = |e: &[u8]| {
        let jwk = json!({"kty": "RSA", "n": n(256), "e": URL_SAFE_NO_PAD.encode(e)});
        jwk::verifying_key(Algorithm::Rs256, jwk.as_object().unwrap()).map(|_| ())
    };
    for exponent in [&[1][..], &[2], &[0], &[]] {
        assert_eq!(with_exponent(exponent), Err(KeyError::Rejected));
    }
}

#[test]
fn the_form_is_strict() {
    let good = token(r#"{"alg":"HS256"}"#, r#"{"a":1}"#);
    assert!(parse(&good).is_ok());
    let (input, _) = good.rsplit_once('.').unwrap();
    for bad in [
        String::new(),
        "..".to_owned(),
        "a.b".to_owned(),
        input.to_owned(),
        format!("{good}.AAAA"),
        format!(".{good}"),
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{input}.AA=="),
        // The last character has bits that belong to no byte.
        format!("{input}.AB"),
        format!("{input}.A"),
        format!("{input}.+/+/"),
    ] {
        let error = parse(&bad).unwrap_err();
        assert!(
            matches!(error, Error::Form | Error::Header),
            "{bad}: {error}"
        );
    }
    let long = token(
        r#"{"alg":"HS256"}"#,
        &format!(r#"{{"a":"{}"}}"#, "x".repeat(16 * 1024)),
    );
    assert_eq!(parse(&long).unwrap_err(), Error::TooLarge);
}

#[test]
fn header_and_payload_are_strict() {
    let cases = [
        (r#"{"alg":"HS256","crit":["exp"]}"#, "{}", Error::Extension),
        (r#"{"alg":"HS256","crit":[]}"#, "{}", Error::Extension),
        (r#"{"alg":"HS256","b64":true}"#, "{}", Error::Extension),
        (r#"{"alg":"HS256","zip":"DEF"}"#, "{}", Error::Extension),
        (r#"{"alg":"HS256","kid":1}"#, "{}", Error::Kid),
        (r#"{"alg":"HS256","kid":null}"#, "{}", Error::Kid),
        (r#"{"alg":["HS256"]}"#, "{}", Error::Algorithm),
        (r#"{"typ":"JWT"}"#, "{}", Error::Algorithm),
        (r#"{"alg":"HS256","alg":"none"}"#, "{}", Error::Header),
        ("null", "{}", Error::Header),
        (r#"{"alg":"HS256"}"#, "null", Error::Payload),
        (r#"{"alg":"HS256"}"#, "[]", Error::Payload),
        (r#"{"alg":"HS256"}"#, r#"{"a":1,"a":2}"#, Error::Payload),
        (r#"{"alg":"HS256"}"#, "{}{}", Error::Payload),
        (r#"{"alg":"HS256"}"#, "\u{feff}{}", Error::Payload),
    ];
    for (header, payload, expected) in cases {
        assert_eq!(
            parse(&token(header, payload)).unwrap_err(),
            expected,
            "{header}"
        );
    }
    let key = VerifyingKey::from_secret(Algorithm::Hs256, &[1; 32]).unwrap();
    for alg in ["none", "None", "hs256", "HS384", "RS256", ""] {
        let text = token(&json!({ "alg": alg }).to_string(), "{}");
        assert_eq!(
            parse(&text).unwrap().verify(&key),
            Err(Error::Algorithm),
            "{alg}"
        );
    }
}
