//! XML as far as SAML needs it: a strict parser and typed access to elements.
//!
//! Documents with a DTD are refused, so there are no entities of their own. The parser bounds
//! nesting.

use uppsala::{Document, NodeId, NodeKind, Parser};

/// Namespace of messages.
pub(super) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// Namespace of assertions.
pub(super) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// Namespace of metadata.
pub(super) const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
/// Namespace of signatures.
pub(super) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Parses a document.
pub(super) fn parse(text: &str) -> Result<Document<'_>, String> {
    let parser = Parser::new().with_forbid_dtd(true);
    // The error may quote the document.
    parser
        .parse(text.trim_start_matches('\u{feff}'))
        .map_err(|_| "no well-formed XML without a DTD".to_owned())
}

/// An element.
#[derive(Clone, Copy)]
pub(super) struct Node<'d, 'x> {
    document: &'d Document<'x>,
    /// Its id in the document.
    pub(super) id: NodeId,
}

impl<'d, 'x> Node<'d, 'x> {
    /// The outermost element.
    pub(super) fn root(document: &'d Document<'x>) -> Result<Self, String> {
        let id = document.document_element().ok_or("no element")?;
        Ok(Self { document, id })
    }

    fn at(self, id: NodeId) -> Self {
        Self { id, ..self }
    }

    /// Whether it has this name.
    pub(super) fn is(self, namespace: &str, name: &str) -> bool {
        let element = self.document.element(self.id);
        element.is_some_and(|element| element.matches_name_ns(namespace, name))
    }

    /// The name without prefix.
    pub(super) fn name(self) -> &'d str {
        let element = self.document.element(self.id);
        element.map_or("", |element| &element.name.local_name)
    }

    /// The value of an attribute without namespace.
    pub(super) fn attribute(self, name: &str) -> Option<&'d str> {
        let element = self.document.element(self.id)?;
        let found = element
            .attributes
            .iter()
            .find(|attribute| attribute.name.matches(None, name));
        found.map(|attribute| &*attribute.value)
    }

    /// The elements in it.
    pub(super) fn elements(self) -> impl Iterator<Item = Self> + use<'d, 'x> {
        let children = self.document.children_iter(self.id);
        children
            .filter(move |id| self.document.element(*id).is_some())
            .map(move |id| self.at(id))
    }

    /// The elements of a name in it.
    pub(super) fn children(
        self,
        namespace: &'static str,
        name: &'static str,
    ) -> impl Iterator<Item = Self> + use<'d, 'x> {
        self.elements().filter(move |node| node.is(namespace, name))
    }

    /// The element of a name in it, which must not be there twice.
    pub(super) fn child(
        self,
        namespace: &'static str,
        name: &'static str,
    ) -> Result<Option<Self>, String> {
        let mut found = self.children(namespace, name);
        let first = found.next();
        match found.next() {
            None => Ok(first),
            Some(_) => Err(format!("several `{name}` in `{}`", self.name())),
        }
    }

    /// The element of a name in it, which must be there once.
    pub(super) fn only(self, namespace: &'static str, name: &'static str) -> Result<Self, String> {
        self.child(namespace, name)?
            .ok_or_else(|| format!("no `{name}` in `{}`", self.name()))
    }

    /// All elements of a name below it.
    pub(super) fn below(self, namespace: &str, name: &str) -> Vec<Self> {
        let all = self.document.descendants(self.id);
        all.into_iter()
            .map(|id| self.at(id))
            .filter(|node| node.id != self.id && node.is(namespace, name))
            .collect()
    }

    /// The text of an element without elements.
    pub(super) fn text(self) -> Result<String, String> {
        if self.elements().next().is_some() {
            return Err(format!("`{}` holds elements, not text", self.name()));
        }
        Ok(self.document.text_content_deep(self.id))
    }

    /// All text in it.
    pub(super) fn all_text(self) -> String {
        self.document.text_content_deep(self.id)
    }

    /// Whether there is anything in it that neither is an element nor text. Such things are not
    /// signed, or split texts in two.
    pub(super) fn has_remarks(self) -> bool {
        let all = self.document.descendants(self.id);
        all.into_iter().any(|id| {
            let kind = self.document.node_kind(id);
            !matches!(
                kind,
                Some(NodeKind::Element(_) | NodeKind::Text(_) | NodeKind::CData(_))
            )
        })
    }
}
