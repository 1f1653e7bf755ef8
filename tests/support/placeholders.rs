//! What stands between `{{` and `}}` in a case.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use regex::{Captures, Regex};
use serde::de::DeserializeOwned;

use super::case::Case;
use super::encoding::{base64, base64url, hex, sha256};
use super::keys::Key;
use super::value::Value;
use super::{Mismatch, lock, ports, stream, tokens};

/// What placeholders stand for in one case.
#[derive(Debug)]
pub struct Names {
    /// The case.
    pub case: Case,
    /// Its folder.
    pub folder: PathBuf,
    /// Its keys.
    pub keys: BTreeMap<String, Key>,
    /// The addresses of its origins.
    pub origins: BTreeMap<String, String>,
    /// Its ports in their order.
    ports: Mutex<Vec<(String, u16)>>,
    /// What earlier answers have left.
    variables: Mutex<BTreeMap<String, String>>,
}

impl Names {
    /// The names of a case, its ports chosen.
    pub fn new(case: Case, folder: PathBuf) -> Result<Self, Mismatch> {
        let names = Self {
            folder,
            keys: BTreeMap::new(),
            origins: BTreeMap::new(),
            ports: Mutex::default(),
            variables: Mutex::default(),
            case,
        };
        for name in &names.case.ports {
            names.port(name)?;
        }
        Ok(names)
    }

    /// The port of this name; one that is not known yet is chosen.
    fn port(&self, name: &str) -> Result<u16, Mismatch> {
        let mut ports = lock(&self.ports);
        if let Some((_, port)) = ports.iter().find(|(known, _)| known == name) {
            return Ok(*port);
        }
        let port = ports::free()?;
        ports.push((name.to_owned(), port));
        Ok(port)
    }

    /// All ports in their order.
    pub fn ports(&self) -> Vec<(String, u16)> {
        lock(&self.ports).clone()
    }

    /// The port to which a step talks.
    pub fn port_of_step(&self, name: Option<&str>) -> Result<u16, Mismatch> {
        let ports = self.ports();
        ports
            .iter()
            .find(|(known, _)| name.is_none_or(|name| name == known))
            .map(|(_, port)| *port)
            .ok_or_else(|| Mismatch::new(format!("unknown port {:?}", name.unwrap_or_default())))
    }

    /// Keeps a text for `{{var.NAME}}`.
    pub fn remember(&self, name: &str, text: String) {
        lock(&self.variables).insert(name.to_owned(), text);
    }

    /// The value with its placeholders filled, at any depth, names of members too.
    pub fn fill(&self, value: &toml::Value) -> Result<toml::Value, Mismatch> {
        Ok(match value {
            toml::Value::String(text) => toml::Value::String(self.fill_text(text)?),
            toml::Value::Array(list) => toml::Value::Array(
                list.iter()
                    .map(|v| self.fill(v))
                    .collect::<Result<_, _>>()?,
            ),
            toml::Value::Table(table) => toml::Value::Table(
                table
                    .iter()
                    .map(|(name, value)| Ok((self.fill_text(name)?, self.fill(value)?)))
                    .collect::<Result<_, Mismatch>>()?,
            ),
            plain => plain.clone(),
        })
    }

    /// The part of the case under these keys, filled.
    pub fn filled<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<Option<T>, Mismatch> {
        match self.case.unfilled(keys) {
            None => Ok(None),
            Some(value) => Ok(Some(self.fill(value)?.try_into()?)),
        }
    }

    /// The text with its placeholders filled, inner ones first.
    pub fn fill_text(&self, text: &str) -> Result<String, Mismatch> {
        static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"\{\{\s*([^{}\s]+)\s*\}\}").unwrap_or_else(|error| panic!("{error}"))
        });
        let mut text = text.to_owned();
        loop {
            let mut fault = None;
            let filled = PLACEHOLDER.replace_all(&text, |found: &Captures<'_>| {
                if found[1].starts_with('.') {
                    return found[0].to_owned(); // of an error template, none of ours
                }
                self.one(&found[1]).unwrap_or_else(|mismatch| {
                    fault = Some(mismatch.within(&found[0]));
                    String::new()
                })
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            if filled == text {
                return Ok(text);
            }
            text = filled.into_owned();
        }
    }

    fn one(&self, placeholder: &str) -> Result<String, Mismatch> {
        let (kind, key) = placeholder.split_once('.').unwrap_or((placeholder, ""));
        let unknown = || Mismatch::new(format!("unknown {kind} {key:?}"));
        Ok(match kind {
            "port" => self.port(key)?.to_string(),
            "origin" => self.origins.get(key).ok_or_else(unknown)?.clone(),
            "dir" => self.folder.display().to_string(),
            "jwt" => {
                let spec = self.filled(&["jwts", key])?.ok_or_else(unknown)?;
                tokens::make(&spec, &self.keys, &self.folder)?
            }
            "jwk" => self.jwk(key)?,
            "file" => std::fs::read_to_string(self.folder.join(key))?,
            "fill" => {
                let (times, text) = key.split_once('.').unwrap_or((key, "x"));
                let times = times
                    .parse()
                    .map_err(|_| Mismatch::new("no number of times"))?;
                if text.is_empty() {
                    "x".repeat(times)
                } else {
                    text.repeat(times)
                }
            }
            "uuid" => uuid::Uuid::new_v4().to_string(),
            "var" => lock(&self.variables).get(key).ok_or_else(unknown)?.clone(),
            "basic" => base64(key),
            "b64url" => base64url(key),
            "pkce" => base64url(sha256(key)),
            "sha256" => hex(&sha256(key)),
            "jkt" => self.keys.get(key).ok_or_else(unknown)?.thumbprint(),
            "x5t" => base64url(sha256(stream::certificate(&self.folder, key)?)),
            _ => return Err(Mismatch::new("unknown placeholder")),
        })
    }

    /// A key's JWK: its name, then `-MEMBER` to leave one out and `+MEMBER=VALUE` to set one.
    fn jwk(&self, edits: &str) -> Result<String, Mismatch> {
        let end = edits.find(['+', '-']).unwrap_or(edits.len());
        let (label, mut rest) = edits.split_at(end);
        let key = self
            .keys
            .get(label)
            .ok_or_else(|| Mismatch::new(format!("unknown key {label:?}")))?;
        let mut members = key.jwk(label);
        while let Some(sign) = rest.chars().next() {
            let end = rest[1..].find(['+', '-']).map_or(rest.len(), |at| at + 1);
            let (member, value) = rest[1..end].split_once('=').unwrap_or((&rest[1..end], ""));
            if sign == '+' {
                members.set(member, value);
            } else {
                members.retain(|name, _| name != member);
            }
            rest = &rest[end..];
        }
        Ok(Value::Table(members).to_string())
    }
}
