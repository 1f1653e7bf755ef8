//! Secrets and tokens at rest: what is written instead of them, and how they are recognised.
//!
//! A token is found by its SHA-256. A secret that was drawn has a fast (keyed) hash, one that a person
//! chose an Argon2id hash, which is checked on threads of its own and then remembered for ten minutes
//! under a key that the process forgets (AS-SEC-1 to AS-SEC-4). With `sealed` storage the value is
//! kept as well, encrypted for its place.

use super::{ClientSecret, Digest, Millis, Sealed, StoreError, new_id};
use crate::crypto::random;
use crate::crypto::seal::{SealError, SealingKey, StorageKeys};
use crate::crypto::secret_hash::SecretHash;
use aws_lc_rs::hmac;
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long a verified secret is remembered, and how many are.
const REMEMBERED: Duration = Duration::from_secs(600);
const MOST_REMEMBERED: usize = 100_000;
/// Threads for slow hashes at most, and computations that wait for them.
const MOST_THREADS: usize = 4;
const QUEUE: usize = 64;
/// How long one who waits waits.
const LIMIT: Duration = Duration::from_secs(10);

/// Where a sealed value belongs: it opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An access token, by its id.
    AccessToken,
    /// A refresh token, by its id.
    RefreshToken,
    /// A client secret, by its id.
    ClientSecret,
    /// The private half of a signing key, by server and key id.
    SigningKey,
}

impl Place {
    fn of(self, id: &str) -> Vec<u8> {
        let column = match self {
            Self::AccessToken => "access_token/sealed",
            Self::RefreshToken => "refresh_token/sealed",
            Self::ClientSecret => "client_secret/sealed",
            Self::SigningKey => "signing_key/private",
        };
        format!("{column}/{id}").into_bytes()
    }
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptToken {
    /// What it is found by.
    pub hash: Digest,
    /// Its value, with sealed storage.
    pub sealed: Option<Sealed>,
    /// Its first and last four characters.
    pub preview: String,
}

/// A secret that a client may show.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The id of the secret.
    pub id: Uuid,
    /// Its hash.
    pub hash: SecretHash,
}

/// A secret that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Which one it was.
    pub id: Uuid,
    /// A better hash of it, to be stored instead of the one that came with an import.
    pub rehash: Option<String>,
}

/// Keys and rules for what is at rest.
pub struct Vault {
    keys: Option<Arc<StorageKeys>>,
    seal_tokens: bool,
    seal_secrets: bool,
    /// Forgotten with the process, so that the memory of verified secrets is worth nothing elsewhere.
    forgetful: hmac::Key,
    verified: Cache<[u8; 32], Instant>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("keys", &self.keys)
            .field("seal_tokens", &self.seal_tokens)
            .field("seal_secrets", &self.seal_secrets)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// With the keys of `storage.encryption_key`, and whether tokens and secrets are sealed, which
    /// needs a key.
    pub fn new(
        keys: Option<StorageKeys>,
        seal_tokens: bool,
        seal_secrets: bool,
    ) -> Result<Self, SealError> {
        if keys.is_none() && (seal_tokens || seal_secrets) {
            return Err(SealError::NoKey);
        }
        let secret = random::bytes::<32>().map_err(|_| SealError::Failed)?;
        Ok(Self {
            keys: keys.map(Arc::new),
            seal_tokens,
            seal_secrets,
            forgetful: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            verified: Cache::new(MOST_REMEMBERED),
        })
    }

    /// Without a key: nothing is sealed.
    pub fn without_keys() -> Self {
        // Verified secrets are then remembered under a key that is no secret in a process without a
        // random generator, in which nothing can be issued anyway.
        let secret = random::bytes::<32>().unwrap_or_default();
        Self {
            keys: None,
            seal_tokens: false,
            seal_secrets: false,
            forgetful: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            verified: Cache::new(MOST_REMEMBERED),
        }
    }

    /// Whether there is a key, which managed signing keys in a store need.
    pub fn has_key(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether tokens can be shown again.
    pub fn seals_tokens(&self) -> bool {
        self.seal_tokens
    }

    /// Whether client secrets can be shown again.
    pub fn seals_secrets(&self) -> bool {
        self.seal_secrets
    }

    /// What to keep of a token.
    pub fn keep_token(&self, place: Place, id: Uuid, value: &str) -> Result<KeptToken, StoreError> {
        let seal = || self.seal(place, &id.to_string(), value.as_bytes());
        let sealed = self.seal_tokens.then(seal).transpose()?;
        Ok(KeptToken {
            hash: Digest::of(value),
            sealed,
            preview: preview(value),
        })
    }

    /// Seals under the encryption key.
    pub fn seal(&self, place: Place, id: &str, plain: &[u8]) -> Result<Sealed, StoreError> {
        let keys = self.keys.as_ref().ok_or(SealError::NoKey)?;
        Ok(Sealed(keys.seal(&place.of(id), plain)?))
    }

    /// Opens what [`seal`](Self::seal) closed.
    pub fn open(
        &self,
        place: Place,
        id: &str,
        sealed: &Sealed,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, StoreError> {
        let keys = self.keys.as_ref().ok_or(SealError::NoKey)?;
        Ok(keys.open(&place.of(id), &sealed.0)?)
    }

    /// A sealed text in the clear.
    pub fn reveal(&self, place: Place, id: Uuid, sealed: &Sealed) -> Option<SecretString> {
        let plain = self.open(place, &id.to_string(), sealed).ok()?;
        std::str::from_utf8(&plain).ok().map(SecretString::from)
    }

    /// The value under the first key, if it is under another one.
    pub fn reseal(
        &self,
        place: Place,
        id: &str,
        sealed: &Sealed,
    ) -> Result<Option<Sealed>, StoreError> {
        let keys = self.keys.as_ref().ok_or(SealError::NoKey)?;
        Ok(keys.reseal(&place.of(id), &sealed.0)?.map(Sealed))
    }

    /// A secret drawn for a client, with what is kept of it.
    pub fn draw_secret(
        &self,
        client: Uuid,
        now: Millis,
    ) -> Result<(SecretString, ClientSecret), StoreError> {
        let value = random::token(32).map_err(|error| StoreError::Failed(error.to_string()))?;
        let hash = SecretHash::generated(&value, self.keys.as_deref())?;
        let kept = self.kept_secret(client, &value, &hash, true, now)?;
        Ok((value.into(), kept))
    }

    /// The hash of a value that is as hard to guess as a drawn one.
    pub fn hash_drawn(&self, value: &str) -> Result<SecretHash, StoreError> {
        Ok(SecretHash::generated(value, self.keys.as_deref())?)
    }

    /// What is kept of a secret that somebody chose.
    pub async fn keep_secret(
        &self,
        client: Uuid,
        value: &SecretString,
        now: Millis,
    ) -> Result<ClientSecret, StoreError> {
        let hash = self.hash_chosen(value).await?;
        self.kept_secret(client, value.expose_secret(), &hash, false, now)
    }

    fn kept_secret(
        &self,
        client: Uuid,
        value: &str,
        hash: &SecretHash,
        generated: bool,
        now: Millis,
    ) -> Result<ClientSecret, StoreError> {
        let id = new_id();
        let seal = || self.seal(Place::ClientSecret, &id.to_string(), value.as_bytes());
        let sealed = self.seal_secrets.then(seal).transpose()?;
        Ok(ClientSecret {
            id,
            client,
            hash: hash.to_string(),
            sealed,
            generated,
            not_after: None,
            last_used_at: None,
            created_at: now,
        })
    }

    /// A hash of a password or secret that somebody chose.
    pub async fn hash_chosen(&self, value: &SecretString) -> Result<SecretHash, StoreError> {
        if SecretHash::is_strong(value.expose_secret()) {
            return self.hash_drawn(value.expose_secret());
        }
        let value = value.clone();
        Ok(slowly(move || SecretHash::slow(value.expose_secret())).await??)
    }

    /// Which of a client's secrets was presented, if any. Give it those that have not ended.
    ///
    /// A slow hash that was checked within ten minutes is not computed again, and a failure never
    /// remembered. [`StoreError::Busy`] (503): too many checks are waiting.
    pub async fn recognise(
        &self,
        client: Uuid,
        candidates: &[Candidate],
        presented: &SecretString,
    ) -> Result<Option<Recognised>, StoreError> {
        let value = presented.expose_secret();
        let mut found = None;
        let (slow, fast): (Vec<_>, Vec<_>) = candidates
            .iter()
            .partition(|candidate| candidate.hash.is_slow());
        for candidate in fast {
            if candidate.hash.fits(value, self.keys.as_deref()) {
                found = Some(candidate.id);
            }
        }
        let now = Instant::now();
        for candidate in &slow {
            let remembered = self.verified.get(&self.mark(client, candidate, value));
            if remembered.is_some_and(|until| now < until) {
                found = Some(candidate.id);
            }
        }
        if let Some(id) = found {
            return Ok(Some(Recognised { id, rehash: None }));
        }
        for candidate in slow {
            let (hash, presented) = (candidate.hash.clone(), presented.clone());
            let fits = slowly(move || {
                let value = presented.expose_secret();
                let fits = hash.fits(value, None);
                let rehash = (fits && hash.is_foreign()).then(|| SecretHash::slow(value));
                fits.then_some(rehash)
            });
            if let Some(rehash) = fits.await? {
                let mark = self.mark(client, candidate, value);
                self.verified.insert(mark, now + REMEMBERED);
                return Ok(Some(Recognised {
                    id: candidate.id,
                    rehash: rehash.and_then(Result::ok).map(|hash| hash.to_string()),
                }));
            }
        }
        Ok(None)
    }

    /// Does the work of a slow check for nothing, so that an unknown client takes as long as a known
    /// one (AS-CA-3).
    pub async fn recognise_nobody(&self, presented: &SecretString) -> Result<(), StoreError> {
        static NOBODY: LazyLock<Option<SecretHash>> =
            LazyLock::new(|| SecretHash::slow("nobody's").ok());
        let presented = presented.clone();
        slowly(move || {
            let nobody = NOBODY.as_ref();
            nobody.is_some_and(|hash| hash.fits(presented.expose_secret(), None))
        })
        .await
        .map(|_| ())
    }

    /// What is remembered of a verified secret. The hash is part of it: a secret that was changed or
    /// deleted is no candidate any more, and so never found.
    fn mark(&self, client: Uuid, candidate: &Candidate, value: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.forgetful);
        context.update(client.as_bytes());
        context.update(candidate.id.as_bytes());
        context.update(&Digest::of(candidate.hash.to_string()).0);
        context.update(value.as_bytes());
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The first and last four characters of a token, for lists; less of a short one.
pub fn preview(value: &str) -> String {
    let shown = if value.len() >= 16 { 4 } else { 1 };
    let head: String = value.chars().take(shown).collect();
    let tail: Vec<char> = value.chars().rev().take(shown).collect();
    format!("{head}…{}", tail.into_iter().rev().collect::<String>())
}

/// Seals `plain` so that only whoever presents `value` opens it.
pub fn seal_under(value: &str, purpose: &str, plain: &[u8]) -> Result<Sealed, StoreError> {
    let key = SealingKey::derived(value, purpose)?;
    Ok(Sealed(key.seal(purpose.as_bytes(), plain)?))
}

/// Opens what [`seal_under`] closed.
pub fn open_under(
    value: &str,
    purpose: &str,
    sealed: &Sealed,
) -> Result<zeroize::Zeroizing<Vec<u8>>, StoreError> {
    let key = SealingKey::derived(value, purpose)?;
    Ok(key.open(purpose.as_bytes(), &sealed.0)?)
}

type Work = Box<dyn FnOnce() + Send>;

/// The threads for slow hashes, started when the first one is needed.
static THREADS: LazyLock<Option<SyncSender<Work>>> = LazyLock::new(|| {
    let (sender, work) = sync_channel::<Work>(QUEUE);
    let work = Arc::new(Mutex::new(work));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut started = false;
    for number in 0..cores.min(MOST_THREADS) {
        let work = Arc::clone(&work);
        let thread = std::thread::Builder::new().name(format!("hash-{number}"));
        started |= thread.spawn(move || run(&work)).is_ok();
    }
    started.then_some(sender)
});

fn run(work: &Mutex<Receiver<Work>>) {
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(next) = next else { return };
        // A panic ends the one computation: its caller finds the answer gone.
        let _ = catch_unwind(AssertUnwindSafe(next));
    }
}

/// Runs a slow computation off the workers.
async fn slowly<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let threads = THREADS
        .as_ref()
        .ok_or_else(|| StoreError::unavailable("no thread for hashes"))?;
    let (answer, receiver) = oneshot::channel();
    let work = Box::new(move || {
        // Who asked may have left.
        if !answer.is_closed() {
            let _ = answer.send(body());
        }
    });
    threads.try_send(work).map_err(|error| match error {
        TrySendError::Full(_) => StoreError::Busy,
        TrySendError::Disconnected(_) => StoreError::unavailable("no thread for hashes"),
    })?;
    match tokio::time::timeout(LIMIT, receiver).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(StoreError::Failed("a hash was not computed".into())),
        Err(_) => Err(StoreError::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn vault(seal: bool) -> Vault {
        let key = STANDARD.encode([7; 32]);
        let keys = StorageKeys::parse([key.as_str()]).unwrap();
        Vault::new(Some(keys), seal, seal).unwrap()
    }

    fn candidate(secret: &ClientSecret) -> Candidate {
        Candidate {
            id: secret.id,
            hash: SecretHash::parse(&secret.hash).unwrap(),
        }
    }

    #[tokio::test]
    async fn secrets_are_recognised_and_imports_improved() {
        let vault = vault(false);
        let client = new_id();
        let (drawn, first) = vault.draw_secret(client, Millis(0)).unwrap();
        assert!(first.hash.starts_with("hmac-sha256:"));
        let chosen = SecretString::from("chosen-by-a-person");
        let second = vault.keep_secret(client, &chosen, Millis(0)).await.unwrap();
        assert!(second.hash.starts_with("$argon2id$"));
        let kong = Candidate {
            id: new_id(),
            hash: SecretHash::parse("$pbkdf2-sha512$i=10000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$jn22u/CRf2YEnB9GQnIB6u8bYXn1LhHaiAxs8Siq5BU").unwrap(),
        };
        let all = [candidate(&first), candidate(&second), kong.clone()];
        let known = async |secret: &SecretString| vault.recognise(client, &all, secret).await;
        let plain = |id| Ok(Some(Recognised { id, rehash: None }));
        assert_eq!(known(&drawn).await, plain(first.id));
        assert_eq!(known(&chosen).await, plain(second.id));
        assert_eq!(known(&"chosen-by-a-persom".into()).await, Ok(None));
        let migrated = known(&"migrated-kong-secret".into())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(migrated.id, kong.id);
        let better = SecretHash::parse(&migrated.rehash.unwrap()).unwrap();
        assert!(better.fits("migrated-kong-secret", None));
        vault.recognise_nobody(&chosen).await.unwrap();
    }

    #[tokio::test]
    async fn a_verified_secret_is_remembered_for_its_client_and_hash() {
        let vault = vault(false);
        let client = new_id();
        let chosen = SecretString::from("chosen-by-a-person");
        let kept = vault.keep_secret(client, &chosen, Millis(0)).await.unwrap();
        let known = candidate(&kept);
        let value = chosen.expose_secret();
        let remembered = |client, candidate: &Candidate, value: &str| {
            vault
                .verified
                .get(&vault.mark(client, candidate, value))
                .is_some()
        };
        assert!(!remembered(client, &known, value));
        let all = [known.clone()];
        vault
            .recognise(client, &all, &chosen)
            .await
            .unwrap()
            .unwrap();
        assert!(remembered(client, &known, value));
        assert!(!remembered(new_id(), &known, value));
        assert!(!remembered(client, &known, "other"));
        let changed = Candidate {
            hash: SecretHash::slow(value).unwrap(),
            ..known
        };
        assert!(!remembered(client, &changed, value));
    }

    #[test]
    fn sealed_values_open_where_they_belong() {
        let vault = vault(true);
        let id = new_id();
        let kept = vault
            .keep_token(Place::AccessToken, id, "a-token-of-some-length")
            .unwrap();
        assert_eq!(kept.preview, "a-to…ngth");
        let sealed = kept.sealed.unwrap();
        let reveal = |place, id| vault.reveal(place, id, &sealed);
        let shown = reveal(Place::AccessToken, id).unwrap();
        assert_eq!(shown.expose_secret(), "a-token-of-some-length");
        assert!(reveal(Place::RefreshToken, id).is_none());
        assert!(reveal(Place::AccessToken, new_id()).is_none());

        let hidden = Vault::new(None, false, false).unwrap();
        let kept = hidden.keep_token(Place::AccessToken, id, "short").unwrap();
        assert_eq!((kept.sealed, kept.preview.as_str()), (None, "s…t"));
        assert!(Vault::new(None, true, false).is_err());
    }

    #[test]
    fn a_successor_opens_with_the_presented_token() {
        let sealed = seal_under("presented", "refresh", b"successor").unwrap();
        let open = |value| open_under(value, "refresh", &sealed);
        assert_eq!(&**open("presented").unwrap(), b"successor");
        assert!(open("other").is_err());
    }
}
