//! `allowed_methods`: which methods a place lets in.

use crate::blocks::reader::Reader;
use http::Method;

/// The methods `*` stands for.
pub const STANDARD: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// A set of methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods {
    standard: bool,
    others: Vec<Method>,
}

impl Default for Methods {
    fn default() -> Self {
        Self {
            standard: true,
            others: Vec::new(),
        }
    }
}

impl Methods {
    /// Reads `allowed_methods`; `None` when it is not given.
    pub fn read(reader: Reader<'_>) -> Option<Self> {
        let list = reader.strings("allowed_methods")?;
        let mut methods = Self {
            standard: false,
            others: Vec::new(),
        };
        for name in list.value {
            if name.value == "*" {
                methods.standard = true;
                continue;
            }
            match Method::from_bytes(name.value.to_ascii_uppercase().as_bytes()) {
                Ok(method) => methods.others.push(method),
                Err(_) => {
                    let message = format!("`allowed_methods`: `{}` is no HTTP method", name.value);
                    reader.bad_value(name.span, message);
                }
            }
        }
        Some(methods)
    }

    /// Whether a method is let in.
    pub fn allows(&self, method: &Method) -> bool {
        (self.standard && STANDARD.contains(method)) || self.others.contains(method)
    }

    /// The list for an `Allow` header.
    pub fn list(&self) -> String {
        let standard = self
            .standard
            .then_some(STANDARD.iter())
            .into_iter()
            .flatten();
        let others = self
            .others
            .iter()
            .filter(|m| !self.standard || !STANDARD.contains(m));
        standard
            .chain(others)
            .map(Method::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    }
}
