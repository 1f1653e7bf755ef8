//! Scopes: which of those asked for a client gets (RFC 6749 §3.3).

use super::Server;
use super::client::Client;
use super::fault::{Condition, Fault};
use crate::expr::Program;

/// Longest `scope` parameter.
const MAX_BYTES: usize = 4096;
/// Most names in it.
const MAX_NAMES: usize = 200;

/// A declared scope.
#[derive(Debug)]
pub struct Scope {
    /// Its name.
    pub name: Box<str>,
    /// What users are told.
    pub description: Option<String>,
    /// Whether every client without a list gets it.
    pub default: bool,
    /// Whether users are asked.
    pub consent: bool,
    /// What it adds to `aud`.
    pub audience: Vec<String>,
    /// What it grants at the gateway beside its name.
    pub permissions: Vec<String>,
    /// What it adds to the claims.
    pub claims: Option<Program>,
    /// Whether discovery keeps silent about it.
    pub hidden: bool,
}

/// Scope names, each once, in order.
pub type Names = Vec<Box<str>>;

/// The names of a parameter, within limits.
pub fn split(text: &str) -> Result<Vec<&str>, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault::new(Condition::ScopeTooLong));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut count = 0;
    for name in text.split(' ').filter(|name| !name.is_empty()) {
        count += 1;
        if count > MAX_NAMES {
            return Err(Fault::new(Condition::ScopeTooLong));
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether text is a scope name.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl Server {
    /// Whether a scope is known here at all.
    pub fn knows_scope(&self, name: &str) -> bool {
        if self.scopes.is_empty() {
            self.scope_universe.iter().any(|known| &**known == name)
        } else {
            self.scope(name).is_some()
        }
    }

    fn may_have(&self, client: &Client, name: &str) -> bool {
        let listed = |list: &[Box<str>]| list.iter().any(|known| &**known == name);
        self.knows_scope(name)
            && ((client.any_scope && !self.scopes.is_empty())
                || listed(&client.scopes)
                || listed(&client.optional_scopes))
    }

    /// What a client gets that asks for `asked`.
    pub fn grant_scope(&self, client: &Client, asked: Option<&str>) -> Result<Names, Fault> {
        let mut granted: Names = Vec::new();
        if asked.is_none() || self.dialect.adds_default_scopes {
            granted.extend(client.scopes.iter().cloned());
        }
        if let Some(text) = asked {
            for name in split(text)? {
                if self.may_have(client, name) {
                    if !granted.iter().any(|known| &**known == name) {
                        granted.push(name.into());
                    }
                } else if self.knows_scope(name) || !self.ignore_unknown_scope {
                    let named = if self.dialect.names_whole_scope {
                        text
                    } else {
                        name
                    };
                    return Err(Fault::about(Condition::Scope, named));
                }
            }
        }
        if granted.is_empty() && self.mandatory_scope {
            return Err(Fault::new(Condition::ScopeMissing));
        }
        Ok(granted)
    }

    /// A part of what was granted before.
    pub fn narrow_scope(&self, granted: &[Box<str>], asked: Option<&str>) -> Result<Names, Fault> {
        let Some(text) = asked else {
            return Ok(granted.to_vec());
        };
        let names = split(text)?;
        if let Some(extra) = names
            .iter()
            .find(|name| !granted.iter().any(|known| **known == ***name))
        {
            return Err(Fault::about(Condition::RefreshScope, extra));
        }
        Ok(names.into_iter().map(Into::into).collect())
    }
}

/// Names joined by spaces.
pub fn join(names: &[Box<str>]) -> String {
    names.join(" ")
}
