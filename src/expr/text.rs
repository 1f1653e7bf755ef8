//! Strings of the language: bytes, nearly always UTF-8, borrowed wherever possible.
//!
//! A header value or a body may hold bytes that are no UTF-8. They are carried along unchanged,
//! and only output formats that need characters replace them.

use std::borrow::Cow;
use std::fmt;

/// A byte string, borrowed or owned, covariant in its life time.
#[derive(Clone)]
pub enum Text<'a> {
    /// Lives in the request, the configuration or the program.
    Borrowed(&'a [u8]),
    /// Was made by an expression.
    Owned(Vec<u8>),
}

impl<'a> Text<'a> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }

    /// The text with U+FFFD for what is no UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// A cheap copy that borrows from this one.
    #[must_use]
    pub fn borrowed(&'a self) -> Self {
        Self::Borrowed(self.as_bytes())
    }

    /// The bytes, copied if they were borrowed.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Owned(bytes) => bytes,
        }
    }

    /// The same text, free of life times.
    pub fn into_owned(self) -> Text<'static> {
        Text::Owned(self.into_bytes())
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Applies `cut`, which returns a part of its argument, without copying borrowed text.
    #[must_use]
    pub fn slice(self, cut: impl Fn(&[u8]) -> std::ops::Range<usize>) -> Self {
        match self {
            Self::Borrowed(bytes) => Self::Borrowed(bytes.get(cut(bytes)).unwrap_or_default()),
            Self::Owned(bytes) => Self::Owned(bytes.get(cut(&bytes)).unwrap_or_default().to_vec()),
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str_lossy(), f)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Owned(text.into_bytes())
    }
}

impl From<Vec<u8>> for Text<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}
