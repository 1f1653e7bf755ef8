//! Metadata of an identity provider (SAML 2.0 Metadata §2).

use super::xml::{self, DSIG, METADATA, Node};
use crate::blocks::access::remote::Document;
use base64::Engine as _;
use bergshamra::keys::loader::load_x509_cert_der;
use bergshamra::{DsigContext, KeysManager};

const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";

/// What is used of the metadata.
pub(super) struct Metadata {
    /// The provider's name.
    pub(super) entity_id: String,
    /// Where the user logs in.
    pub(super) sso_url: String,
    /// The form of names to ask for.
    pub(super) name_id_format: Option<String>,
    /// The keys of its certificates. Certificates in messages count for nothing.
    pub(super) keys: DsigContext,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("entity_id", &self.entity_id)
            .field("sso_url", &self.sso_url)
            .finish_non_exhaustive()
    }
}

impl Document for Metadata {
    const WHAT: &'static str = "metadata";
    const ERROR_TYPE: &'static str = "saml";
    const ACCEPT: &'static str = "application/samlmetadata+xml, application/xml, text/xml";
    const MAX_BYTES: u64 = 4 * 1024 * 1024;

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the metadata are no UTF-8 text")?;
        let document = xml::parse(text)?;
        let root = Node::root(&document)?;
        let entity = entity(root)?;
        let provider = entity.only(METADATA, "IDPSSODescriptor")?;
        let entity_id = entity.attribute("entityID").unwrap_or_default().trim();
        if entity_id.is_empty() {
            return Err("no `entityID`".to_owned());
        }
        let sso_url = provider
            .children(METADATA, "SingleSignOnService")
            .find(|service| service.attribute("Binding") == Some(REDIRECT))
            .and_then(|service| service.attribute("Location"))
            .filter(|location| !location.is_empty());
        let formats = provider.children(METADATA, "NameIDFormat");
        let formats: Vec<String> = formats
            .map(|format| format.all_text().trim().to_owned())
            .collect();
        let unspecified = formats.iter().find(|format| *format == UNSPECIFIED);
        Ok(Self {
            entity_id: entity_id.to_owned(),
            sso_url: sso_url
                .ok_or("no `SingleSignOnService` with the binding HTTP-Redirect")?
                .to_owned(),
            name_id_format: unspecified.or(formats.first()).cloned(),
            keys: DsigContext::new(keys(provider)?),
        })
    }
}

/// The description of a provider: the document itself, or one of its list.
fn entity<'d, 'x>(root: Node<'d, 'x>) -> Result<Node<'d, 'x>, String> {
    if root.is(METADATA, "EntityDescriptor") {
        return Ok(root);
    }
    if !root.is(METADATA, "EntitiesDescriptor") {
        return Err(format!("`{}` is no `EntityDescriptor`", root.name()));
    }
    let mut providers = root
        .below(METADATA, "EntityDescriptor")
        .into_iter()
        .filter(|entity| {
            entity
                .children(METADATA, "IDPSSODescriptor")
                .next()
                .is_some()
        });
    match (providers.next(), providers.next()) {
        (Some(entity), None) => Ok(entity),
        (None, _) => Err("no identity provider in the metadata".to_owned()),
        (Some(_), Some(_)) => Err("several identity providers in the metadata".to_owned()),
    }
}

/// The keys of all certificates for signatures.
fn keys(provider: Node<'_, '_>) -> Result<KeysManager, String> {
    let mut keys = KeysManager::new();
    for descriptor in provider.children(METADATA, "KeyDescriptor") {
        if !matches!(descriptor.attribute("use"), None | Some("signing")) {
            continue;
        }
        for certificate in descriptor.below(DSIG, "X509Certificate") {
            let mut text = certificate.all_text();
            text.retain(|char| !char.is_ascii_whitespace());
            let der = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| "a certificate is no base64")?;
            keys.add_key(
                load_x509_cert_der(&der)
                    .map_err(|_| "a certificate cannot be read, or its key is of no use")?,
            );
        }
    }
    if keys.is_empty() {
        return Err("no certificate for signatures".to_owned());
    }
    Ok(keys)
}
