//! Syntax with places: attributes and blocks as they stand in a file.

use crate::diagnostic::Span;
use hcl_edit::expr::Expression;

/// A name with its place: of an attribute, a block type or a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The text, labels without quotes.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// `name = value`
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The name.
    pub name: Name,
    /// The expression as parsed.
    pub value: Expression,
    /// Where the expression stands.
    pub value_span: Span,
}

/// `kind "label" { … }`
#[derive(Clone, Debug)]
pub struct Block {
    /// The block type.
    pub kind: Name,
    /// The labels in order.
    pub labels: Vec<Name>,
    /// What is between the braces.
    pub body: Body,
}

impl Block {
    /// The first label's text, or the empty string.
    pub fn label(&self) -> &str {
        self.labels.first().map_or("", |label| &label.text)
    }

    /// The place to point at for findings about the block as a whole: type and labels.
    pub fn header(&self) -> Span {
        let end = self
            .labels
            .last()
            .map_or(self.kind.span.end, |label| label.span.end);
        Span {
            end: end.max(self.kind.span.end),
            ..self.kind.span
        }
    }
}

/// The content of a file or block.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
    /// Blocks in order.
    pub blocks: Vec<Block>,
}

impl Body {
    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name.text == name)
    }

    /// The blocks of a type, in order.
    pub fn blocks_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Block> {
        self.blocks
            .iter()
            .filter(move |block| block.kind.text == kind)
    }

    /// Sets attributes over those of the same name.
    pub fn overlay(&mut self, attributes: impl IntoIterator<Item = Attribute>) {
        for attribute in attributes {
            match self
                .attributes
                .iter_mut()
                .find(|a| a.name.text == attribute.name.text)
            {
                Some(place) => *place = attribute,
                None => self.attributes.push(attribute),
            }
        }
    }
}
