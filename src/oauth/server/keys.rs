//! Signing keys: fixed ones from the configuration, and managed ones that are made, announced,
//! used, retired and removed by the clock.
//!
//! A managed key is published for `publish_ahead` before it signs, since key sets are cached, and
//! stays published for `keep_after` when the next one has taken over.

use crate::clock::UnixTime;
use crate::crypto::jws::{self, Parsed};
use crate::crypto::{Algorithm, Family, SigningKey, VerifyingKey, jwk, key};
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// What a `signing_key` block says.
#[derive(Debug)]
pub struct KeySpec {
    /// Its label.
    pub label: Arc<str>,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// `kid`, where one was given.
    pub kid: Option<String>,
    /// Where the key comes from.
    pub source: KeySource,
}

/// Where a key comes from.
#[derive(Debug)]
pub enum KeySource {
    /// The configuration.
    Fixed(Arc<SigningKey>),
    /// Made here.
    Managed {
        /// How long a key signs; none: for ever.
        rotate_every: Option<Duration>,
        /// How long it is published before.
        publish_ahead: Duration,
        /// How long it is published afterwards.
        keep_after: Duration,
    },
}

/// A key in use.
#[derive(Debug)]
pub struct Key {
    /// Label of its block.
    pub label: Arc<str>,
    /// Its id.
    pub kid: Arc<str>,
    /// It signs with this.
    pub algorithm: Algorithm,
    /// It signs.
    pub signer: Arc<SigningKey>,
    verifier: VerifyingKey,
    /// The header of access tokens, encoded.
    header: String,
    public: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Key {
    fn new(
        label: &Arc<str>,
        kid: Option<&str>,
        signer: Arc<SigningKey>,
        typ: &str,
    ) -> Result<Self, key::KeyError> {
        let mut public = jwk::public_jwk(&signer);
        let thumbprint = public.as_ref().and_then(jwk::thumbprint);
        let kid: Arc<str> = match (kid, &thumbprint) {
            (Some(kid), _) => kid.into(),
            (None, Some(thumbprint)) => thumbprint.as_str().into(),
            (None, None) => Arc::clone(label),
        };
        if let Some(members) = &mut public {
            members.insert("use".into(), "sig".into());
            members.insert("kid".into(), (&*kid).into());
        }
        Ok(Self {
            label: Arc::clone(label),
            algorithm: signer.algorithm(),
            header: header(typ, signer.algorithm(), &kid),
            verifier: signer.verifying_key()?,
            kid,
            signer,
            public,
        })
    }

    /// Whether signing takes so long that it must not hold up a worker.
    pub fn is_slow(&self) -> bool {
        self.algorithm.family() == Family::Rsa
    }

    /// An access token with this payload.
    pub fn access_token(&self, payload: &[u8]) -> Result<String, key::SignError> {
        jws::sign_encoded(&self.signer, &self.header, payload)
    }

    /// A token of another type.
    pub fn token(&self, typ: &str, payload: &[u8]) -> Result<String, key::SignError> {
        jws::sign_encoded(
            &self.signer,
            &header(typ, self.algorithm, &self.kid),
            payload,
        )
    }
}

fn header(typ: &str, algorithm: Algorithm, kid: &str) -> String {
    let json = serde_json::json!({ "typ": typ, "alg": algorithm.name(), "kid": kid });
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// The keys of a moment.
#[derive(Debug)]
pub struct Ring {
    keys: Vec<Arc<Key>>,
    signing: Vec<Arc<Key>>,
    /// The key set as published.
    pub document: Bytes,
    /// Its entity tag.
    pub etag: HeaderValue,
    /// Changes when any key does.
    pub generation: u64,
}

impl Ring {
    fn new(keys: Vec<Arc<Key>>, signing: Vec<Arc<Key>>) -> Self {
        let public: Vec<_> = keys.iter().filter_map(|key| key.public.as_ref()).collect();
        let document = serde_json::json!({ "keys": public }).to_string();
        let digest = super::client::sha256(document.as_bytes());
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]));
        let kids: Vec<&str> = keys.iter().map(|key| &*key.kid).collect();
        let kids = kids.join("\0");
        let mark = super::client::sha256(format!("{kids}{document}").as_bytes());
        let mark = mark.first_chunk().copied().unwrap_or_default();
        Self {
            generation: u64::from_be_bytes(mark),
            keys,
            signing,
            document: document.into(),
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"0\"")),
        }
    }

    /// The key that signs for a label.
    pub fn signing(&self, label: &str) -> Option<&Arc<Key>> {
        self.signing.iter().find(|key| &*key.label == label)
    }

    /// The first signing key of an algorithm.
    pub fn signing_with(&self, algorithm: Algorithm) -> Option<&Arc<Key>> {
        self.signing.iter().find(|key| key.algorithm == algorithm)
    }

    /// Algorithms that sign, each once.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut found = Vec::new();
        for key in &self.signing {
            if !found.contains(&key.algorithm) && key.public.is_some() {
                found.push(key.algorithm);
            }
        }
        found
    }

    /// Checks a token's signature by the key it names.
    pub fn verify(&self, token: &Parsed<'_>) -> Result<(), jws::Error> {
        let kid = token.header.kid().ok_or(jws::Error::UnknownKey)?;
        let mut result = Err(jws::Error::UnknownKey);
        for key in self.keys.iter().filter(|key| &*key.kid == kid) {
            result = token.verify(&key.verifier);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder or a file in it cannot be used.
    #[error("signing keys in {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what was written into it.
    #[error("signing keys in {path}: the file is damaged")]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The key cannot be used.
    #[error("signing key `{label}`: {source}")]
    Key {
        /// Label of its block.
        label: Arc<str>,
        /// Why.
        source: key::KeyError,
    },
}

/// A managed key as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    kid: String,
    algorithm: String,
    /// PKCS#8, base64.
    private_key: Zeroizing<String>,
    /// From when it signs.
    active_from: i64,
    /// When it stopped signing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at: Option<i64>,
}

/// All keys of a server.
#[derive(Debug)]
pub struct Keys {
    server: Arc<str>,
    typ: String,
    specs: Vec<KeySpec>,
    folder: PathBuf,
    current: ArcSwap<Ring>,
    /// Held while files are changed.
    changing: Mutex<()>,
    claimed: AtomicBool,
}

impl Keys {
    /// Keys that are not there yet: see [`Keys::open`].
    pub fn new(server: Arc<str>, typ: String, specs: Vec<KeySpec>, folder: PathBuf) -> Self {
        Self {
            server,
            typ,
            specs,
            folder,
            current: ArcSwap::from_pointee(Ring::new(Vec::new(), Vec::new())),
            changing: Mutex::new(()),
            claimed: AtomicBool::new(false),
        }
    }

    /// Whether the caller is the first, who is to look after them.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }

    /// The keys of the moment.
    pub fn ring(&self) -> arc_swap::Guard<Arc<Ring>> {
        self.current.load()
    }

    /// The configured keys.
    pub fn specs(&self) -> &[KeySpec] {
        &self.specs
    }

    /// Reads, makes, promotes and removes keys as the clock says. Blocks.
    pub fn open(&self, now: UnixTime) -> Result<(), KeysError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut keys, mut signing) = (Vec::new(), Vec::new());
        for spec in &self.specs {
            let wrong = |source| KeysError::Key {
                label: Arc::clone(&spec.label),
                source,
            };
            let make = |kid: Option<&str>, signer| {
                Key::new(&spec.label, kid, signer, &self.typ)
                    .map(Arc::new)
                    .map_err(wrong)
            };
            match &spec.source {
                KeySource::Fixed(signer) => {
                    let key = make(spec.kid.as_deref(), Arc::clone(signer))?;
                    keys.push(Arc::clone(&key));
                    signing.push(key);
                }
                KeySource::Managed { .. } => {
                    for kept in self.turn(spec, now)? {
                        let path = || self.file(&spec.label);
                        let damaged = || KeysError::Damaged { path: path() };
                        let algorithm: Algorithm = kept.algorithm.parse().map_err(|_| damaged())?;
                        let der = STANDARD.decode(&*kept.private_key);
                        let der = Zeroizing::new(der.map_err(|_| damaged())?);
                        let signer = SigningKey::from_pkcs8(algorithm, &der).map_err(wrong)?;
                        let key = make(Some(&kept.kid), Arc::new(signer))?;
                        keys.push(Arc::clone(&key));
                        if kept.retired_at.is_none() && kept.active_from <= now.seconds() {
                            signing.push(key);
                        }
                    }
                }
            }
        }
        self.current.store(Arc::new(Ring::new(keys, signing)));
        Ok(())
    }

    fn file(&self, label: &str) -> PathBuf {
        // Labels may hold anything; file names should not.
        let plain = |text: &str| -> String {
            let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let text: String = text
                .chars()
                .map(|c| if sound(c) { c } else { '_' })
                .collect();
            text
        };
        let mark = super::client::sha256(format!("{}\0{label}", self.server).as_bytes());
        let mark: u32 = u32::from_be_bytes([mark[0], mark[1], mark[2], mark[3]]);
        let name = format!("{}.{}.{mark:08x}.json", plain(&self.server), plain(label));
        self.folder.join(name)
    }

    /// The kept keys of a label, after what is due.
    fn turn(&self, spec: &KeySpec, now: UnixTime) -> Result<Vec<Kept>, KeysError> {
        let KeySource::Managed {
            rotate_every,
            publish_ahead,
            keep_after,
        } = &spec.source
        else {
            return Ok(Vec::new());
        };
        let path = self.file(&spec.label);
        let mut kept = read(&path)?;
        let mut changed = false;
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let now = now.seconds();
        let before = kept.len();
        kept.retain(|key| {
            key.retired_at
                .is_none_or(|at| now < at.saturating_add(seconds(*keep_after)))
        });
        changed |= kept.len() != before;
        // A key whose time has come takes over.
        let due = kept
            .iter()
            .rposition(|key| key.retired_at.is_none() && key.active_from <= now);
        if let Some(due) = due {
            for key in kept[..due]
                .iter_mut()
                .filter(|key| key.retired_at.is_none())
            {
                key.retired_at = Some(now);
                changed = true;
                tracing::info!(
                    server = &*self.server,
                    kid = key.kid.as_str(),
                    "signing key retired"
                );
            }
        }
        let active = due.and_then(|at| kept.get(at));
        let next = kept.iter().any(|key| key.active_from > now);
        let other_algorithm = active.is_some_and(|key| key.algorithm != spec.algorithm.name());
        let old = active.is_some_and(|key| {
            rotate_every.is_some_and(|every| {
                let end = key.active_from.saturating_add(seconds(every));
                now >= end.saturating_sub(seconds(*publish_ahead))
            })
        });
        let from = match active {
            None => Some(now),
            Some(_) if next => None,
            Some(key) if other_algorithm || old => {
                let end = rotate_every.map(|every| key.active_from.saturating_add(seconds(every)));
                let soonest = now.saturating_add(seconds(*publish_ahead));
                Some(end.filter(|_| old).map_or(soonest, |end| end.max(soonest)))
            }
            Some(_) => None,
        };
        if let Some(active_from) = from {
            kept.push(self.make(spec, active_from, kept.is_empty())?);
            changed = true;
        }
        if changed {
            self.write(&path, &kept)?;
        }
        Ok(kept)
    }

    fn make(&self, spec: &KeySpec, active_from: i64, first: bool) -> Result<Kept, KeysError> {
        let wrong = |source| KeysError::Key {
            label: Arc::clone(&spec.label),
            source,
        };
        let der = SigningKey::generate(spec.algorithm).map_err(wrong)?;
        let key = SigningKey::from_pkcs8(spec.algorithm, &der).map_err(wrong)?;
        let thumbprint = jwk::public_jwk(&key).as_ref().and_then(jwk::thumbprint);
        let thumbprint = thumbprint.unwrap_or_default();
        let kid = match &spec.kid {
            Some(kid) if first => kid.clone(),
            Some(kid) => format!("{kid}-{}", thumbprint.get(..8).unwrap_or_default()),
            None => thumbprint,
        };
        tracing::info!(server = &*self.server, kid, active_from, "signing key made");
        Ok(Kept {
            kid,
            algorithm: spec.algorithm.name().to_owned(),
            private_key: Zeroizing::new(STANDARD.encode(&*der)),
            active_from,
            retired_at: None,
        })
    }

    fn write(&self, path: &Path, kept: &[Kept]) -> Result<(), KeysError> {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        let failed = |source| KeysError::File {
            path: path.to_owned(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(failed)?;
        let text = serde_json::to_vec_pretty(kept).map_err(|error| failed(error.into()))?;
        let text = Zeroizing::new(text);
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&draft, path));
        written.map_err(failed)
    }
}

fn read(path: &Path) -> Result<Vec<Kept>, KeysError> {
    let text = match std::fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(KeysError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    serde_json::from_slice(&text).map_err(|_| KeysError::Damaged {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn keys(folder: &Path, algorithm: Algorithm) -> Keys {
        let spec = KeySpec {
            label: "main".into(),
            algorithm,
            kid: None,
            source: KeySource::Managed {
                rotate_every: Some(Duration::from_secs(90 * DAY)),
                publish_ahead: Duration::from_secs(DAY),
                keep_after: Duration::from_secs(2 * DAY),
            },
        };
        let folder = folder.join("gateway-keys");
        Keys::new("as".into(), "at+jwt".into(), vec![spec], folder)
    }

    fn at(days: u64) -> UnixTime {
        UnixTime::from_seconds(1_700_000_000).plus(Duration::from_secs(days * DAY))
    }

    fn state(keys: &Keys) -> (String, usize) {
        let ring = keys.ring();
        (
            ring.signing("main").unwrap().kid.to_string(),
            ring.keys.len(),
        )
    }

    #[test]
    fn a_key_is_announced_used_kept_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path(), Algorithm::Es256);
        keys.open(at(0)).unwrap();
        let (first, count) = state(&keys);
        assert_eq!(count, 1);
        let token = keys.ring().signing("main").unwrap().access_token(b"{}");
        let token = token.unwrap();
        keys.open(at(88)).unwrap();
        assert_eq!(state(&keys), (first.clone(), 1));
        keys.open(at(89)).unwrap();
        assert_eq!(state(&keys), (first.clone(), 2));
        keys.open(at(90)).unwrap();
        let (second, count) = state(&keys);
        assert_ne!(second, first);
        assert_eq!(count, 2);
        let parsed = jws::parse(&token).unwrap();
        assert_eq!(keys.ring().verify(&parsed), Ok(()));
        keys.open(at(92)).unwrap();
        assert_eq!(state(&keys), (second, 1));
        assert_eq!(keys.ring().verify(&parsed), Err(jws::Error::UnknownKey));
    }

    #[test]
    fn another_algorithm_is_announced_first() {
        let folder = tempfile::tempdir().unwrap();
        keys(folder.path(), Algorithm::Es256).open(at(0)).unwrap();
        let changed = keys(folder.path(), Algorithm::EdDsa);
        changed.open(at(1)).unwrap();
        let ring = changed.ring();
        assert_eq!(ring.signing("main").unwrap().algorithm, Algorithm::Es256);
        assert_eq!(ring.keys.len(), 2);
        changed.open(at(2)).unwrap();
        let ring = changed.ring();
        assert_eq!(ring.signing("main").unwrap().algorithm, Algorithm::EdDsa);
    }
}
