//! Signatures of messages: which element each covers.
//!
//! The verification itself is a library's. What reaches it has been brought down to the one form
//! that SAML allows (SAML 2.0 Core §5.4): a signature stands in the element it is for and refers to
//! that element alone, by its `ID`; no transform can pick or drop parts of it; the key is one of
//! the metadata. So what is verified is what is read, wherever an attacker may have moved it.

use super::xml::{DSIG, Node};
use bergshamra::core::algorithm as alg;
use bergshamra::dsig::verify::verify_all_document_with_source;
use bergshamra::{DsigContext, VerifyResult};
use uppsala::{Document, NodeId};

const METHODS: [&str; 6] = [
    alg::RSA_SHA256,
    alg::RSA_SHA384,
    alg::RSA_SHA512,
    alg::ECDSA_SHA256,
    alg::ECDSA_SHA384,
    alg::ECDSA_SHA512,
];
const DIGESTS: [&str; 3] = [alg::SHA256, alg::SHA384, alg::SHA512];
const CANONICAL: [&str; 3] = [alg::EXC_C14N, alg::C14N, alg::C14N11];
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// Verifies all signatures of a message, which must be those of the elements in `signable`; gives
/// the elements that are signed.
pub(super) fn verify(
    keys: &DsigContext,
    document: &Document<'_>,
    source: &str,
    signable: &[Node<'_, '_>],
) -> Result<Vec<NodeId>, String> {
    let root = Node::root(document)?;
    let mut expected = Vec::new();
    for element in signable {
        if let Some(signature) = element.child(DSIG, "Signature")? {
            check_form(signature, *element)?;
            expected.push((signature.id, element.id));
        }
    }
    if expected.is_empty() {
        return Err("neither response nor assertion is signed".to_owned());
    }
    if root.below(DSIG, "Signature").len() != expected.len() {
        return Err("a signature that is not that of response or assertion".to_owned());
    }
    let results = verify_all_document_with_source(keys, document, Some(source))
        .map_err(|_| "the signature cannot be processed")?;
    if results.len() != expected.len() {
        return Err("a signature was not verified".to_owned());
    }
    for result in results {
        let VerifyResult::Valid {
            signature_node,
            references,
            ..
        } = result
        else {
            return Err(
                "the signature is wrong, or not of a certificate in the metadata".to_owned(),
            );
        };
        let covers = expected
            .iter()
            .find(|(signature, _)| *signature == signature_node)
            .map(|(_, element)| *element);
        let [reference] = references.as_slice() else {
            return Err("a signature with several references".to_owned());
        };
        if !reference.digest_verified || reference.resolved_node != covers || covers.is_none() {
            return Err("a signature does not cover the element it stands in".to_owned());
        }
    }
    Ok(expected.into_iter().map(|(_, element)| element).collect())
}

/// Checks that a signature has the form that SAML allows.
fn check_form(signature: Node<'_, '_>, element: Node<'_, '_>) -> Result<(), String> {
    allow(signature, &["SignedInfo", "SignatureValue", "KeyInfo"])?;
    let info = signature.only(DSIG, "SignedInfo")?;
    let parts = ["CanonicalizationMethod", "SignatureMethod", "Reference"];
    allow(info, &parts)?;
    algorithm(info.only(DSIG, "CanonicalizationMethod")?, &CANONICAL)?;
    algorithm(info.only(DSIG, "SignatureMethod")?, &METHODS)?;
    let reference = info.only(DSIG, "Reference")?;
    let parts = ["Transforms", "DigestMethod", "DigestValue"];
    allow(reference, &parts)?;
    algorithm(reference.only(DSIG, "DigestMethod")?, &DIGESTS)?;
    let id = element.attribute("ID").filter(|id| !id.is_empty());
    let target = reference
        .attribute("URI")
        .and_then(|uri| uri.strip_prefix('#'));
    if id.is_none() || target != id {
        return Err(format!(
            "the signature in `{}` refers to something else",
            element.name()
        ));
    }
    let transforms = reference.only(DSIG, "Transforms")?;
    allow(transforms, &["Transform"])?;
    let transforms: Vec<Node<'_, '_>> = transforms.elements().collect();
    let [enveloped, rest @ ..] = transforms.as_slice() else {
        return Err("a signature without transforms".to_owned());
    };
    algorithm(*enveloped, &[ENVELOPED])?;
    match rest {
        [] => Ok(()),
        [canonical] => algorithm(*canonical, &CANONICAL),
        _ => Err("a signature with further transforms".to_owned()),
    }
}

/// Refuses elements that have no place in a part of a signature.
fn allow(part: Node<'_, '_>, names: &[&str]) -> Result<(), String> {
    let stranger = part
        .elements()
        .find(|node| !names.iter().any(|name| node.is(DSIG, name)));
    match stranger {
        None => Ok(()),
        Some(node) => Err(format!(
            "a signature with `{}` in `{}`",
            node.name(),
            part.name()
        )),
    }
}

fn algorithm(node: Node<'_, '_>, known: &[&str]) -> Result<(), String> {
    let found = node.attribute("Algorithm").unwrap_or_default();
    if known.contains(&found) {
        return Ok(());
    }
    let (name, found) = (
        node.name(),
        crate::oauth::client::token_response::printable(found),
    );
    Err(format!(
        "the `{name}` `{found}` of a signature is not supported"
    ))
}
