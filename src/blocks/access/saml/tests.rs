//! Forged and misused responses. Each starts from one that is good.

use super::metadata::Metadata;
use super::response::{Accepted, Expected, check};
use super::{decode, request};
use crate::blocks::access::remote::Document as _;
use crate::clock::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra::keys::loader::load_ec_p256_private_pem;
use bergshamra::{DsigContext, KeysManager};
use std::sync::LazyLock;

const ISSUER: &str = "https://idp.example/meta";
const ACS: &str = "https://sp.example/acs";
/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600;

/// A key with its certificate.
struct Signer {
    key: String,
    certificate: String,
}

impl Signer {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["idp".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            key: key.serialize_pem(),
            certificate: STANDARD.encode(certificate.der()),
        }
    }

    /// Fills in the first signature that has none.
    fn sign(&self, xml: &str) -> String {
        let mut keys = KeysManager::new();
        keys.add_key(load_ec_p256_private_pem(self.key.as_bytes()).unwrap());
        bergshamra::sign(&DsigContext::new(keys), xml).unwrap()
    }
}

static IDP: LazyLock<Signer> = LazyLock::new(Signer::new);
static MALLORY: LazyLock<Signer> = LazyLock::new(Signer::new);

fn metadata() -> Metadata {
    let certificate = &IDP.certificate;
    let text = format!(
        "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{ISSUER}\">\
         <IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">\
         <KeyDescriptor use=\"signing\"><KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\">\
         <X509Data><X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>\
         <NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</NameIDFormat>\
         <SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"https://idp.example/post\"/>\
         <SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://idp.example/sso?a=1\"/>\
         </IDPSSODescriptor></EntityDescriptor>"
    );
    Metadata::parse(text.as_bytes()).unwrap()
}

/// A signature that is still to be made, for the element of this ID.
fn signature(id: &str) -> String {
    format!(
        "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>\
         <ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>\
         <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256\"/>\
         <ds:Reference URI=\"#{id}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>\
         <ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/>\
         <ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo>\
         <ds:SignatureValue></ds:SignatureValue></ds:Signature>"
    )
}

/// An assertion for `name`, with `sign` after its issuer.
fn assertion(id: &str, name: &str, sign: &str) -> String {
    format!(
        "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"{id}\" Version=\"2.0\" \
         IssueInstant=\"2026-01-01T00:00:00Z\"><saml:Issuer>{ISSUER}</saml:Issuer>{sign}\
         <saml:Subject><saml:NameID>{name}</saml:NameID>\
         <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
         <saml:SubjectConfirmationData NotOnOrAfter=\"2026-01-01T00:05:00Z\" Recipient=\"{ACS}\" InResponseTo=\"_q\"/>\
         </saml:SubjectConfirmation></saml:Subject>\
         <saml:Conditions NotBefore=\"2025-12-31T23:59:00Z\" NotOnOrAfter=\"2026-01-01T00:10:00Z\">\
         <saml:AudienceRestriction><saml:Audience>my-sp</saml:Audience></saml:AudienceRestriction></saml:Conditions>\
         <saml:AuthnStatement AuthnInstant=\"2026-01-01T00:00:00Z\" SessionNotOnOrAfter=\"2026-01-01T08:00:00.5Z\"/>\
         <saml:AttributeStatement><saml:Attribute Name=\"groups\"><saml:AttributeValue>a&amp;b</saml:AttributeValue>\
         <saml:AttributeValue>c</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>"
    )
}

fn response(sign: &str, content: &str) -> String {
    format!(
        "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_r\" Version=\"2.0\" \
         IssueInstant=\"2026-01-01T00:00:00Z\" Destination=\"{ACS}\" InResponseTo=\"_q\">\
         <saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{ISSUER}</saml:Issuer>{sign}\
         <samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>\
         {content}</samlp:Response>"
    )
}

/// A good response with a signed assertion.
fn good() -> String {
    IDP.sign(&response("", &assertion("_a", "jane", &signature("_a"))))
}

/// The signed assertion of a good response.
fn signed_assertion() -> String {
    between(&good(), "<saml:Assertion", "</saml:Assertion>")
}

fn between(text: &str, start: &str, end: &str) -> String {
    let from = text.find(start).unwrap();
    let to = text.rfind(end).unwrap() + end.len();
    text[from..to].to_owned()
}

fn check_at(xml: &str, now: i64, request_id: Option<&str>) -> Result<Accepted, String> {
    let metadata = metadata();
    let expected = Expected {
        metadata: &metadata,
        entity_id: "my-sp",
        acs_url: ACS,
        request_id,
        now,
    };
    check(xml, &expected)
}

fn checked(xml: &str) -> Result<Accepted, String> {
    check_at(xml, NOW, None)
}

#[track_caller]
fn refused(xml: &str, part: &str) {
    let found = checked(xml).unwrap_err();
    assert!(found.contains(part), "{found}");
}

/// A good response but for a text that is changed before it is signed.
fn resigned(from: &str, to: &str) -> String {
    let xml = response("", &assertion("_a", "jane", &signature("_a")));
    assert!(xml.contains(from));
    IDP.sign(&xml.replace(from, to))
}

#[test]
fn signed_responses_are_read() {
    let wanted = Accepted {
        subject: "jane".to_owned(),
        session_end: Some(NOW + 8 * 3600),
        attributes: vec![("groups".to_owned(), vec!["a&b".to_owned(), "c".to_owned()])],
        assertion_id: "_a".to_owned(),
        end: NOW + 305,
        one_time: false,
    };
    assert_eq!(checked(&good()).unwrap(), wanted);
    let around = IDP.sign(&response(&signature("_r"), &assertion("_a", "jane", "")));
    assert_eq!(checked(&around).unwrap(), wanted);
    let both = IDP.sign(&response(&signature("_r"), &signed_assertion()));
    assert_eq!(checked(&both).unwrap(), wanted);
    assert_eq!(checked(&format!("\u{feff}{}", good())).unwrap(), wanted);
    assert!(
        checked(&resigned(
            "<saml:AudienceRestriction>",
            "<saml:OneTimeUse/><saml:AudienceRestriction>"
        ))
        .unwrap()
        .one_time
    );
}

#[test]
fn unsigned_and_changed_responses_are_refused() {
    refused(&response("", &assertion("_a", "jane", "")), "is signed");
    refused(&good().replace(">jane<", ">john<"), "signature is wrong");
    refused(&good().replace("a&amp;b", "admin"), "signature is wrong");
    let mallory = MALLORY.sign(&response("", &assertion("_a", "jane", &signature("_a"))));
    refused(&mallory, "signature is wrong");
    // A certificate in the message counts for nothing.
    let info = format!(
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>",
        MALLORY.certificate
    );
    refused(
        &mallory.replace("</ds:Signature>", &info),
        "signature is wrong",
    );
    // One signature that is wrong spoils another one that is right.
    let both = IDP.sign(&response(&signature("_r"), &signed_assertion()));
    let both = both.replace("Destination=\"https://sp.example/acs\"", "Destination=\"\"");
    refused(&both, "signature is wrong");
}

#[test]
fn wrapped_signatures_are_refused() {
    let evil = |id: &str, inside: &str| assertion(id, "mallory", inside);
    let signed = signed_assertion();
    let only_signature = between(&signed, "<ds:Signature", "</ds:Signature>");
    let bare = signed.replace(&only_signature, "");
    let many = "several `Assertion`";
    // The forged assertion before, after, in and around the signed one.
    refused(&response("", &format!("{}{signed}", evil("_e", ""))), many);
    refused(&response("", &format!("{signed}{}", evil("_e", ""))), many);
    let wrapped = |around: &str| {
        let advice = format!("<saml:Advice>{around}</saml:Advice></saml:Assertion>");
        evil("_e", "").replace("</saml:Assertion>", &advice)
    };
    refused(&response("", &wrapped(&signed)), "place of another");
    let extensions = format!(
        "<samlp:Extensions>{signed}</samlp:Extensions>{}",
        evil("_e", "")
    );
    refused(&response("", &extensions), "place of another");
    // The signature moved to the forged assertion, the signed one hidden somewhere.
    refused(
        &response(
            "",
            &wrapped(&bare).replace("<saml:Subject>", &format!("{only_signature}<saml:Subject>")),
        ),
        "place of another",
    );
    let object = format!("<ds:Object>{bare}</ds:Object></ds:Signature>");
    let holding = only_signature.replace("</ds:Signature>", &object);
    refused(&response("", &evil("_e", &holding)), "place of another");
    // The same ID twice, with the original under another name.
    let other = bare.replace("saml:Assertion", "saml:Evidence");
    let holding = only_signature.replace(
        "</ds:Signature>",
        &format!("<ds:Object>{other}</ds:Object></ds:Signature>"),
    );
    refused(&response("", &evil("_a", &holding)), "`Object`");
    refused(
        &response("", &evil("_a", &only_signature)),
        "signature is wrong",
    );
    let twice = format!(
        "<samlp:Extensions>{other}</samlp:Extensions>{}",
        evil("_a", &only_signature)
    );
    refused(&response("", &twice), "cannot be processed");
    // The whole signed response inside of a forged one.
    let inner = IDP.sign(&response(&signature("_r"), &assertion("_a", "jane", "")));
    let outer = format!(
        "<samlp:Extensions>{inner}</samlp:Extensions>{}",
        evil("_e", "")
    );
    refused(&response("", &outer), "place of another");
    let of_inner = between(&inner, "<ds:Signature", "</ds:Signature>");
    let outer = response(&of_inner, &evil("_e", "")).replace("ID=\"_r\"", "ID=\"_x\"");
    refused(&outer, "refers to something else");
    // A signature of something else in the message.
    let stray = format!(
        "<samlp:Extensions>{only_signature}</samlp:Extensions>{}",
        evil("_e", "")
    );
    refused(&response("", &stray), "is signed");
    let stray = format!("<samlp:Extensions>{only_signature}</samlp:Extensions>{signed}");
    refused(&response("", &stray), "not that of response or assertion");
}

#[test]
fn signatures_have_one_form() {
    let exclusive =
        "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>";
    let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>1</ds:XPath></ds:Transform></ds:Transforms>";
    let cases = [
        (exclusive, xpath, "`Transform`"),
        (exclusive, "</ds:Transforms>", "signature is wrong"),
        ("URI=\"#_a\"", "URI=\"\"", "something else"),
        ("URI=\"#_a\"", "URI=\"Cargo.toml\"", "something else"),
        ("URI=\"#_a\"", "URI=\"#_r\"", "something else"),
        ("ecdsa-sha256", "hmac-sha256", "`SignatureMethod`"),
        ("more#ecdsa-sha256", "more#rsa-sha256", "signature is wrong"),
        ("xmlenc#sha256", "xmlenc#sha1", "`DigestMethod`"),
        (
            "</ds:SignedInfo>",
            "<ds:Reference URI=\"#_r\"/></ds:SignedInfo>",
            "several `Reference`",
        ),
        (
            "<ds:Reference URI",
            "<ds:Manifest/><ds:Reference URI",
            "`Manifest`",
        ),
    ];
    for (from, to, part) in cases {
        let xml = good();
        assert!(xml.contains(from), "{from}");
        refused(&xml.replace(from, to), part);
    }
}

#[test]
fn comments_and_entities_are_refused() {
    // A comment is not signed, but splits the text.
    refused(&good().replace(">jane<", ">jane<!-- x --><"), "comments");
    let longer = resigned(">jane<", ">jane.evil.example<");
    refused(&longer.replace(".evil", "<!---->.evil"), "comments");
    refused(&good().replace(">jane<", ">jane<?x y?><"), "comments");
    let dtd = format!(
        "<!DOCTYPE r [<!ENTITY e \"jane\">]>{}",
        good().replace(">jane<", ">&e;<")
    );
    refused(&dtd, "without a DTD");
    let laughs = format!(
        "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>{}",
        good()
    );
    refused(&laughs, "without a DTD");
    let file = format!(
        "<!DOCTYPE r [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>{}",
        good()
    );
    refused(&file, "without a DTD");
    refused(
        &good().replace(">jane<", "><b>jane</b><"),
        "signature is wrong",
    );
    refused(&resigned(">jane<", "><b>jane</b><"), "holds elements");
    for text in ["", "AAAA", "<a", "<a/>", &"<a>".repeat(5000)] {
        assert!(checked(text).is_err(), "{text:.20}");
    }
}

#[test]
fn conditions_count() {
    for (from, to, part) in [
        (">my-sp<", ">other-sp<", "another audience"),
        (
            "<saml:AudienceRestriction><saml:Audience>my-sp</saml:Audience></saml:AudienceRestriction>",
            "",
            "no audience",
        ),
        (
            "<saml:AudienceRestriction>",
            "<saml:Weather/><saml:AudienceRestriction>",
            "`Weather`",
        ),
        (
            "Recipient=\"https://sp.example/acs\"",
            "Recipient=\"https://sp.example/\"",
            "another recipient",
        ),
        (
            "Destination=\"https://sp.example/acs\"",
            "Destination=\"https://x/\"",
            "another destination",
        ),
        ("cm:bearer", "cm:sender-vouches", "no bearer"),
        (
            " Recipient=",
            " NotBefore=\"2026-01-01T01:00:00Z\" Recipient=",
            "not valid yet",
        ),
        (
            "NotOnOrAfter=\"2026-01-01T00:05:00Z\" Recip",
            "Recip",
            "has no end",
        ),
        ("T00:05:00Z\" Recip", "T00:05:00&#x9;\" Recip", "is no time"),
        ("T00:05:00Z\" Recip", "T24:05:00Z\" Recip", "is no time"),
        (
            "<saml:Issuer>https://idp.example/meta",
            "<saml:Issuer>https://evil/",
            "another issuer",
        ),
        (
            "ID=\"_a\" Version=\"2.0\"",
            "ID=\"_a\" Version=\"1.1\"",
            "version 2.0",
        ),
        (
            "status:Success",
            "status:Responder",
            "says urn:oasis:names:tc:SAML:2.0:status:Responder",
        ),
        (">jane<", "> <", "`NameID` is empty"),
        (
            "</samlp:Status>",
            "</samlp:Status><saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>",
            "encrypted",
        ),
        (
            "SessionNotOnOrAfter=\"2026",
            "SessionNotOnOrAfter=\"2025",
            "session has ended",
        ),
    ] {
        refused(&resigned(from, to), part);
    }
}

#[test]
fn times_have_a_little_leeway() {
    let xml = good();
    let at = |now: i64| {
        check_at(&xml, now, None)
            .map(drop)
            .map_err(|why| why.contains("expired"))
    };
    assert_eq!(at(NOW - 65), Ok(()));
    assert_eq!(at(NOW - 66), Err(false));
    assert_eq!(at(NOW + 304), Ok(()));
    assert_eq!(at(NOW + 305), Err(true));
    // UTC also where the `Z` is missing.
    assert!(checked(&resigned("00:05:00Z\" Recip", "00:05:00\" Recip")).is_ok());
}

#[test]
fn answers_belong_to_a_request() {
    assert!(check_at(&good(), NOW, Some("_q")).is_ok());
    assert!(
        check_at(&good(), NOW, Some("_p"))
            .unwrap_err()
            .contains("does not answer")
    );
    let unsolicited = good().replace(" InResponseTo=\"_q\">", ">");
    assert!(check_at(&unsolicited, NOW, Some("_q")).is_err());
    assert!(check_at(&unsolicited, NOW, None).is_ok());
}

#[test]
fn requests_name_what_the_answer_must_fit() {
    let url = request::url(&metadata(), "my&sp", ACS, "v", UnixTime::from_seconds(NOW)).unwrap();
    let encoded = url
        .strip_prefix("https://idp.example/sso?a=1&SAMLRequest=")
        .unwrap();
    let encoded = crate::blocks::form::decode(encoded.as_bytes(), true);
    let xml = decode(&encoded).unwrap();
    for part in [
        format!("ID=\"{}\"", request::id("v")),
        "IssueInstant=\"2026-01-01T00:00:00Z\"".to_owned(),
        format!("AssertionConsumerServiceURL=\"{ACS}\""),
        "Destination=\"https://idp.example/sso?a=1\"".to_owned(),
        "<saml:Issuer>my&amp;sp</saml:Issuer>".to_owned(),
        "Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\"".to_owned(),
    ] {
        assert!(xml.contains(&part), "{part}: {xml}");
    }
}

#[test]
fn what_is_no_metadata() {
    let bad = |text: &str| Metadata::parse(text.as_bytes()).unwrap_err();
    assert!(bad("").contains("XML"));
    assert!(bad("<a/>").contains("no `EntityDescriptor`"));
    assert!(
        bad("<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\"/>")
            .contains("IDPSSODescriptor")
    );
    let without_keys = "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"x\"><IDPSSODescriptor>\
        <SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://x\"/></IDPSSODescriptor></EntityDescriptor>";
    assert!(bad(without_keys).contains("no certificate"));
    assert!(Metadata::parse(&[0xff, 0xfe]).is_err());
}

#[test]
fn bombs_do_not_go_off() {
    use std::io::Write as _;
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflate.write_all(&vec![b' '; 3 << 20]).unwrap();
    let bomb = STANDARD.encode(deflate.finish().unwrap());
    assert!(decode(bomb.as_bytes()).unwrap_err().contains("over 1 MiB"));
    assert!(
        decode(&vec![b'A'; 2 << 20])
            .unwrap_err()
            .contains("over 1 MiB")
    );
    assert!(decode(b"*").is_err());
    assert!(decode(b"").is_err());
}

/// Whatever is done to a good response: it is refused, or says the same as before.
#[test]
fn changes_never_say_something_else() {
    let both = IDP.sign(&response(&signature("_r"), &signed_assertion()));
    for original in [good(), both] {
        let wanted = checked(&original).unwrap();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |limit: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(limit).unwrap()).unwrap()
        };
        let mut unharmed = 0;
        for _ in 0..400 {
            let mut text = original.clone();
            let at = below(text.len());
            let end = (at + 1 + below(300)).min(text.len());
            let part = text[at..end].to_owned();
            match below(4) {
                0 => text.replace_range(at..=at, &original[end - 1..end]),
                1 => text.replace_range(at..end, ""),
                2 => text.insert_str(below(text.len()), &part),
                _ => text.insert_str(
                    at,
                    ["<!---->", "<a/>", "&#x20;", " ", "<![CDATA[x]]>"][below(5)],
                ),
            }
            if let Ok(found) = checked(&text) {
                assert_eq!(found, wanted, "{text}");
                unharmed += 1;
            }
        }
        assert!(unharmed < 100, "{unharmed}");
    }
}

#[test]
fn documents_of_other_shapes_are_read() {
    // Typed values and a list of prefixes, as Shibboleth and others write them.
    let prefixes = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">\
         <ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs\"/></ds:Transform></ds:Transforms>";
    let xml = response("", &assertion("_a", "jane", &signature("_a")))
        .replace(
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>",
            prefixes,
        )
        .replace(
            "<saml:AttributeValue>c<",
            "<saml:AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:string\">c<",
        );
    assert!(xml.contains("PrefixList") && xml.contains("xs:string"));
    let signed = IDP.sign(&xml);
    let wanted = checked(&good()).unwrap();
    assert_eq!(checked(&signed).unwrap(), wanted);
    // Lines, which end differently after a form.
    let lines = IDP.sign(&xml.replace("><saml:", ">\n  <saml:"));
    assert_eq!(checked(&lines).unwrap(), wanted);
    let lines = lines.replace('\n', "\r\n");
    assert_eq!(checked(&lines).unwrap(), wanted);
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n{lines}");
    assert_eq!(checked(&declared).unwrap(), wanted);
    // No prefix at all.
    let plain = signed_assertion();
    assert!(
        checked(
            &response("", &plain)
                .replace("samlp:", "p:")
                .replace("xmlns:samlp", "xmlns:p")
        )
        .is_ok()
    );
}
