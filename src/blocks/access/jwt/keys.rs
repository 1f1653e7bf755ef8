//! The keys of a `jwt` block: one that the block names, or a set from a file or URL.

use super::KeySet;
use crate::blocks::access::remote::{Generation, HOUR, Location, Remote, Settings};
use crate::blocks::backend::{Backend, Origin};
use crate::blocks::jwt_signing_profile::algorithm;
use crate::blocks::reader::{Reader, Spanned};
use crate::blocks::{Definitions, Fingerprint};
use crate::crypto::jws::{self, Parsed};
use crate::crypto::{Algorithm, Family, Jwks, VerifyingKey};
use crate::diagnostic::{Diagnostic, code};
use std::sync::Arc;
use std::time::Instant;

/// Where keys come from.
#[derive(Debug)]
pub(super) enum Keys {
    One(Box<VerifyingKey>),
    File(Jwks),
    Url(Arc<KeySet>),
}

/// The keys for one request.
pub(super) enum InForce<'k> {
    One(&'k VerifyingKey),
    File(&'k Jwks),
    Url(Arc<Generation<Jwks>>),
}

impl Keys {
    /// Reads the attributes that name keys.
    pub(super) fn read(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        if reader.has("jwks_url") {
            return Self::read_set(reader, definitions);
        }
        let mut sound = true;
        for name in ["backend", "jwks_ttl", "jwks_max_stale"] {
            let Some(attribute) = reader.attribute(name) else {
                continue;
            };
            let message = format!("`{name}` has a meaning with `jwks_url` only");
            let span = attribute.name.span;
            reader.cx.report(if name == "backend" {
                sound = false;
                Diagnostic::error(code::CONFLICT, span, message)
            } else {
                Diagnostic::warning(code::NO_EFFECT, span, message)
            });
        }
        if let Some(block) = reader.inner("backend") {
            let message = "`backend` has a meaning with `jwks_url` only";
            reader
                .cx
                .report(Diagnostic::error(code::CONFLICT, block.header(), message));
            sound = false;
        }
        if !reader.has("signature_algorithm") {
            let message = "`jwt` needs `signature_algorithm` with a key, or `jwks_url`";
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, reader.span(), message));
            return None;
        }
        let key = key(reader, algorithm(reader, "signature_algorithm")?)?;
        sound.then(|| Self::One(Box::new(key)))
    }

    fn read_set(reader: Reader<'_>, definitions: &Definitions<'_>) -> Option<Self> {
        for name in ["signature_algorithm", "key", "key_file"] {
            if let (Some(first), Some(second)) =
                (reader.attribute("jwks_url"), reader.attribute(name))
            {
                let message = format!("`jwks_url` and `{name}` exclude one another");
                reader.cx.report(
                    Diagnostic::error(code::CONFLICT, second.name.span, message)
                        .related(first.name.span, "the other one"),
                );
            }
        }
        let given = reader.has("backend") || reader.inner("backend").is_some();
        let backend = given.then(|| Backend::of(reader, definitions));
        let duration = |name: &str| reader.duration(name).map_or(HOUR, |time| time.value);
        let (ttl, max_stale) = (duration("jwks_ttl"), duration("jwks_max_stale"));
        let url = reader.string("jwks_url")?;
        match url.value.split_once(':').map(|(scheme, _)| scheme) {
            Some(scheme)
                if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
            {
                if Origin::parse(&url.value).is_none() {
                    let message = format!("`jwks_url`: `{}` is no usable URL", url.value);
                    reader.bad_value(url.span, message);
                    return None;
                }
                let backend = backend.unwrap_or_else(|| Backend::of(reader, definitions))?;
                let label: Arc<str> = reader.block.label().trim().into();
                let identity = Fingerprint::of("key set").block(reader.block, definitions);
                let set: Arc<KeySet> = reader.cx.keep(identity, || {
                    Remote::new(Settings {
                        label,
                        name: "jwks".into(),
                        location: Location::Fixed(url.value),
                        backend,
                        ttl,
                        max_stale,
                    })
                });
                definitions.add_remote(Arc::clone(&set) as _);
                Some(Self::Url(set))
            }
            _ => file(reader, &url).map(Self::File),
        }
    }

    /// The keys in force; none while a set cannot be had.
    pub(super) fn in_force(&self, now: Instant) -> Option<InForce<'_>> {
        match self {
            Self::One(key) => Some(InForce::One(key)),
            Self::File(set) => Some(InForce::File(set)),
            Self::Url(set) => set.current(now).map(InForce::Url),
        }
    }
}

impl InForce<'_> {
    /// What a verified token stays verified under.
    pub(super) fn generation(&self) -> u64 {
        match self {
            Self::One(_) | Self::File(_) => 0,
            Self::Url(set) => set.number,
        }
    }

    /// Checks the signature.
    pub(super) fn verify(&self, token: &Parsed<'_>) -> Result<(), jws::Error> {
        match self {
            Self::One(key) => token.verify(key),
            Self::File(set) => set.verify(token, &Algorithm::OF_KEY_SETS),
            Self::Url(set) => set.content.verify(token, &Algorithm::OF_KEY_SETS),
        }
    }
}

/// A set in a file: `file:path`, `file:///path` or the path alone.
fn file(reader: Reader<'_>, url: &Spanned<String>) -> Option<Jwks> {
    let path = match url.value.split_at_checked(5) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file:") => {
            rest.strip_prefix("//").unwrap_or(rest)
        }
        _ => url.value.as_str(),
    };
    if path.is_empty() || path.contains("://") {
        let message = format!("`jwks_url`: `{}` is no usable URL", url.value);
        reader.cx.report(
            Diagnostic::error(code::BAD_VALUE, url.span, message)
                .hint("it begins with `http:`, `https:` or `file:`, or is the path of a file"),
        );
        return None;
    }
    let path = Spanned {
        value: reader.cx.resolve(path, url.span),
        span: url.span,
    };
    let document = reader.cx.read_file("jwks_url", &path)?;
    match Jwks::parse(&document) {
        Ok(set) => Some(set),
        Err(error) => {
            let message = format!("`jwks_url`: `{}`: {error}", path.value.display());
            reader.bad_value(url.span, message);
            None
        }
    }
}

fn key(reader: Reader<'_>, algorithm: Algorithm) -> Option<VerifyingKey> {
    let Some(bytes) = reader.inline_or_file("key", "key_file") else {
        if !reader.has("key") && !reader.has("key_file") {
            let message = "`jwt` with `signature_algorithm` needs `key` or `key_file`";
            reader
                .cx
                .report(Diagnostic::error(code::MISSING, reader.span(), message));
        }
        return None;
    };
    let key = match algorithm.family() {
        Family::Hmac => VerifyingKey::from_secret(algorithm, &bytes.value),
        Family::Rsa | Family::Ec(_) | Family::Ed25519 => {
            VerifyingKey::from_pem(algorithm, &bytes.value)
        }
    };
    match key {
        Ok(key) => {
            if let Some(weakness) = key.weakness() {
                let message = weakness.to_string();
                reader
                    .cx
                    .report(Diagnostic::warning(code::SUSPICIOUS, bytes.span, message));
            }
            Some(key)
        }
        Err(error) => {
            let message = format!("key for {}: {error}", algorithm.name());
            reader
                .cx
                .report(Diagnostic::error(code::BAD_VALUE, bytes.span, message));
            None
        }
    }
}
