//! Checks of what comes back (SAML 2.0 Core §2 and §3.2, Profiles §4.1.4).
//!
//! Everything that is used is read from elements that a verified signature covers. The message is
//! parsed once: the verifier and the checks look at the same tree.

use super::metadata::Metadata;
use super::signature;
use super::xml::{self, ASSERTION, Node, PROTOCOL};
use crate::oauth::client::token_response::printable;

const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// Tolerance for times, in seconds.
const LEEWAY: i64 = 5;

/// What a response must fit.
#[derive(Debug)]
pub(super) struct Expected<'e> {
    pub(super) metadata: &'e Metadata,
    /// This service provider's name.
    pub(super) entity_id: &'e str,
    /// Where the response has to be sent to.
    pub(super) acs_url: &'e str,
    /// The ID of the request it has to answer, where the browser that began is known.
    pub(super) request_id: Option<&'e str>,
    /// Unix time in seconds.
    pub(super) now: i64,
}

/// What a response says.
#[derive(Debug, PartialEq)]
pub(super) struct Accepted {
    /// The user's name.
    pub(super) subject: String,
    /// When the session has to end, as unix time.
    pub(super) session_end: Option<i64>,
    /// Attributes with their values, in order.
    pub(super) attributes: Vec<(String, Vec<String>)>,
    /// The assertion's ID.
    pub(super) assertion_id: String,
    /// When nobody accepts the assertion any more, as unix time.
    pub(super) end: i64,
    /// Whether the assertion asks not to be used again.
    pub(super) one_time: bool,
}

/// Checks a response. The error is for the log.
pub(super) fn check(text: &str, expected: &Expected<'_>) -> Result<Accepted, String> {
    let document = xml::parse(text)?;
    let response = Node::root(&document)?;
    if !response.is(PROTOCOL, "Response") {
        return Err(format!("`{}` is no `Response`", printable(response.name())));
    }
    if response.has_remarks() {
        return Err("the response holds comments or processing instructions".to_owned());
    }
    version(response)?;
    status(response)?;
    if response
        .children(ASSERTION, "EncryptedAssertion")
        .next()
        .is_some()
    {
        return Err("encrypted assertions are not supported".to_owned());
    }
    let assertion = response.only(ASSERTION, "Assertion")?;
    if response.below(ASSERTION, "Assertion").len() != 1 {
        return Err("an assertion in a place of another".to_owned());
    }
    let source = text.trim_start_matches('\u{feff}');
    let keys = &expected.metadata.keys;
    signature::verify(keys, &document, source, &[response, assertion])?;
    check_response(response, expected)?;
    check_assertion(assertion, expected)
}

fn version(message: Node<'_, '_>) -> Result<(), String> {
    match message.attribute("Version") {
        Some("2.0") => Ok(()),
        _ => Err(format!("`{}` is not of version 2.0", message.name())),
    }
}

fn status(response: Node<'_, '_>) -> Result<(), String> {
    let status = response.only(PROTOCOL, "Status")?;
    let code = status.only(PROTOCOL, "StatusCode")?;
    let value = code.attribute("Value").unwrap_or_default();
    if value == SUCCESS {
        return Ok(());
    }
    let mut why = format!("the identity provider says {}", printable(value));
    if let Some(inner) = code.child(PROTOCOL, "StatusCode")? {
        let value = inner.attribute("Value").unwrap_or_default();
        why.push_str(&format!(", {}", printable(value)));
    }
    if let Some(message) = status.child(PROTOCOL, "StatusMessage")? {
        why.push_str(&format!(": {}", printable(message.all_text().trim())));
    }
    Err(why)
}

/// What the message around the assertion says. It may be unsigned, so it can only spoil.
fn check_response(response: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), String> {
    let destination = response.attribute("Destination").unwrap_or_default();
    if !destination.is_empty() && destination != expected.acs_url {
        return Err("the response has another destination".to_owned());
    }
    if let Some(issuer) = response.child(ASSERTION, "Issuer")?
        && issuer.text()?.trim() != expected.metadata.entity_id
    {
        return Err("the response has another issuer".to_owned());
    }
    answers(response, expected)
}

/// `InResponseTo`, where the request is known.
fn answers(node: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), String> {
    match expected.request_id {
        Some(id) if node.attribute("InResponseTo") != Some(id) => Err(format!(
            "`{}` does not answer a request of this browser",
            node.name()
        )),
        _ => Ok(()),
    }
}

fn check_assertion(assertion: Node<'_, '_>, expected: &Expected<'_>) -> Result<Accepted, String> {
    version(assertion)?;
    let id = assertion.attribute("ID").unwrap_or_default();
    if assertion.only(ASSERTION, "Issuer")?.text()?.trim() != expected.metadata.entity_id {
        return Err("the assertion has another issuer".to_owned());
    }
    let subject = assertion.only(ASSERTION, "Subject")?;
    let name = subject.only(ASSERTION, "NameID")?.text()?;
    if name.trim().is_empty() {
        return Err("`NameID` is empty".to_owned());
    }
    let confirmed = confirm(subject, expected)?;
    let (end, one_time) = conditions(assertion, expected)?;
    let mut session_end = None;
    for statement in assertion.children(ASSERTION, "AuthnStatement") {
        if let Some(end) = time(statement, "SessionNotOnOrAfter")? {
            if expected.now >= end + LEEWAY {
                return Err("the session has ended".to_owned());
            }
            session_end.get_or_insert(end);
        }
    }
    Ok(Accepted {
        subject: name,
        session_end,
        attributes: attributes(assertion)?,
        assertion_id: id.to_owned(),
        end: end.unwrap_or(confirmed).min(confirmed) + LEEWAY,
        one_time,
    })
}

/// A confirmation of the subject by possession; gives its end.
fn confirm(subject: Node<'_, '_>, expected: &Expected<'_>) -> Result<i64, String> {
    let mut why = "no bearer `SubjectConfirmation`".to_owned();
    for confirmation in subject.children(ASSERTION, "SubjectConfirmation") {
        if confirmation.attribute("Method") != Some(BEARER) {
            continue;
        }
        match confirmed(confirmation, expected) {
            Ok(end) => return Ok(end),
            Err(fault) => why = fault,
        }
    }
    Err(why)
}

fn confirmed(confirmation: Node<'_, '_>, expected: &Expected<'_>) -> Result<i64, String> {
    let data = confirmation.only(ASSERTION, "SubjectConfirmationData")?;
    if data.attribute("Recipient") != Some(expected.acs_url) {
        return Err("the assertion has another recipient".to_owned());
    }
    in_time(data, expected.now)?;
    answers(data, expected)?;
    time(data, "NotOnOrAfter")?.ok_or_else(|| "the confirmation has no end".to_owned())
}

/// `Conditions`; gives their end and whether the assertion may be used once only.
fn conditions(
    assertion: Node<'_, '_>,
    expected: &Expected<'_>,
) -> Result<(Option<i64>, bool), String> {
    let conditions = assertion.only(ASSERTION, "Conditions")?;
    in_time(conditions, expected.now)?;
    let (mut restricted, mut one_time) = (false, false);
    for condition in conditions.elements() {
        if condition.is(ASSERTION, "AudienceRestriction") {
            let mut here = false;
            for audience in condition.children(ASSERTION, "Audience") {
                here |= audience.text()?.trim() == expected.entity_id;
            }
            if !here {
                return Err("the assertion is for another audience".to_owned());
            }
            restricted = true;
        } else if condition.is(ASSERTION, "OneTimeUse") {
            one_time = true;
        } else if !condition.is(ASSERTION, "ProxyRestriction") {
            // Core §2.5.1: what is not understood makes an assertion invalid.
            let name = printable(condition.name());
            return Err(format!("the condition `{name}` is not supported"));
        }
    }
    if !restricted {
        return Err("the assertion names no audience".to_owned());
    }
    Ok((time(conditions, "NotOnOrAfter")?, one_time))
}

/// `NotBefore` and `NotOnOrAfter` against the clock.
fn in_time(node: Node<'_, '_>, now: i64) -> Result<(), String> {
    if time(node, "NotBefore")?.is_some_and(|begin| now < begin - LEEWAY) {
        return Err("the assertion is not valid yet".to_owned());
    }
    if time(node, "NotOnOrAfter")?.is_some_and(|end| now >= end + LEEWAY) {
        return Err("the assertion has expired".to_owned());
    }
    Ok(())
}

/// A time (Core §1.3.3: in UTC), rounded down to seconds.
fn time(node: Node<'_, '_>, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = node.attribute(name) else {
        return Ok(None);
    };
    let stamp = text.parse::<jiff::Timestamp>().or_else(|_| {
        let local = text.parse::<jiff::civil::DateTime>()?;
        jiff::tz::TimeZone::UTC.to_timestamp(local)
    });
    match stamp {
        Ok(stamp) => Ok(Some(stamp.as_second())),
        Err(_) => Err(format!("`{name}` is no time")),
    }
}

fn attributes(assertion: Node<'_, '_>) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for statement in assertion.children(ASSERTION, "AttributeStatement") {
        for attribute in statement.children(ASSERTION, "Attribute") {
            let name = attribute
                .attribute("Name")
                .ok_or("an attribute without name")?;
            let values = attribute.children(ASSERTION, "AttributeValue");
            let values = values.map(Node::all_text);
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.extend(values),
                None => found.push((name.to_owned(), values.collect())),
            }
        }
    }
    Ok(found)
}
