//! The users of an `htpasswd_file`, and the pairs of user and password that were right lately.

use crate::blocks::reader::Reader;
use crate::clock::Clock;
use crate::crypto::offload::{self, Busy};
use crate::crypto::password_hash::PasswordHash;
use crate::crypto::random;
use crate::diagnostic::{Diagnostic, code};
use aws_lc_rs::hmac;
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret as _, SecretSlice};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest line of a file.
const MAX_LINE_BYTES: usize = 255;
/// Pairs that are kept.
const CAPACITY: usize = 4096;
/// How long a pair is kept.
const KEPT: Duration = Duration::from_secs(60);

/// HMAC of a pair: nobody who reads the memory can try passwords without the key beside it, and
/// nobody outside can foresee it.
type PairKey = [u8; 32];

/// The users of a file.
pub(super) struct Users {
    hashes: Arc<[PasswordHash]>,
    /// Index into `hashes`, by name.
    names: HashMap<String, usize>,
    key: hmac::Key,
    verified: Cache<PairKey, Instant>,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users")
            .field("users", &self.names.len())
            .finish_non_exhaustive()
    }
}

impl Users {
    /// Reads the file that the attribute names.
    pub(super) fn read(reader: Reader<'_>, attribute: &str) -> Option<Self> {
        let file = reader.file(attribute)?;
        let path = reader.path(attribute)?.value;
        match Self::parse(&file.value) {
            Ok(users) => {
                if users.names.is_empty() {
                    let message = format!("`{attribute}`: `{}` has no users", path.display());
                    reader
                        .cx
                        .report(Diagnostic::warning(code::SUSPICIOUS, file.span, message));
                }
                Some(users)
            }
            Err(why) => {
                let message = format!("`{attribute}`: `{}`: {why}", path.display());
                reader
                    .cx
                    .report(Diagnostic::error(code::FILE, file.span, message));
                None
            }
        }
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let (mut hashes, mut names) = (Vec::new(), HashMap::new());
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            if line.len() > MAX_LINE_BYTES {
                return Err(format!(
                    "line {number} is longer than {MAX_LINE_BYTES} bytes"
                ));
            }
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let line =
                std::str::from_utf8(line).map_err(|_| format!("line {number} is not in UTF-8"))?;
            let (user, hash) = line
                .split_once(':')
                .ok_or_else(|| format!("line {number} has no colon"))?;
            let hash = PasswordHash::parse(hash)
                .map_err(|error| format!("line {number}, user `{user}`: {error}"))?;
            if names.insert(user.to_owned(), hashes.len()).is_some() {
                return Err(format!("line {number}: user `{user}` is there twice"));
            }
            hashes.push(hash);
        }
        let key = random::bytes::<32>().map_err(|error| error.to_string())?;
        Ok(Self {
            hashes: hashes.into(),
            names,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            verified: Cache::new(CAPACITY),
        })
    }

    /// What stands for a pair in the cache.
    pub(super) fn pair(&self, user: &str, password: &SecretSlice<u8>) -> PairKey {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&user.len().to_le_bytes());
        context.update(user.as_bytes());
        context.update(password.expose_secret());
        let mut pair = PairKey::default();
        pair.copy_from_slice(context.sign().as_ref());
        pair
    }

    /// Whether the pair was right lately.
    pub(super) fn knows(&self, pair: &PairKey) -> bool {
        let now = Clock::System.now();
        self.verified.get(pair).is_some_and(|until| now < until)
    }

    /// Whether the password is the user's. A user who is not there costs as much as one who is.
    pub(super) async fn verify(
        &self,
        pair: PairKey,
        user: &str,
        password: SecretSlice<u8>,
    ) -> Result<bool, Busy> {
        if self.hashes.is_empty() {
            return Ok(false);
        }
        let known = self.names.get(user).copied();
        let at =
            known.unwrap_or_else(|| usize::from(pair_number(&self.key, user)) % self.hashes.len());
        let hashes = Arc::clone(&self.hashes);
        let at_hand = || (known.is_some() && self.knows(&pair)).then_some(true);
        let right = offload::run(at_hand, move || {
            hashes[at].verifies(password.expose_secret())
        })
        .await?;
        let right = right && known.is_some();
        if right {
            self.verified.insert(pair, Clock::System.now() + KEPT);
        }
        Ok(right)
    }
}

/// A number that is always the same for one name, so that an unknown name takes the time of one and
/// the same other user.
fn pair_number(key: &hmac::Key, user: &str) -> u16 {
    let tag = hmac::sign(key, user.as_bytes());
    match tag.as_ref() {
        [first, second, ..] => u16::from_le_bytes([*first, *second]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2b$04$Hk9SmeGixm46sSMKMtNls./Ruq20jW4GkYnVm6LLzxwIhBSBiylh.";

    #[test]
    fn faults_name_the_place() {
        let long = "x".repeat(256);
        let cases = [
            ("a", "line 1 has no colon"),
            (
                "# c\n\nuser:{SHA}x",
                "line 3, user `user`: unknown hash algorithm",
            ),
            ("user:$2y$04$x", "line 1, user `user`: malformed hash"),
            (
                &*format!("u:{HASH}\r\nu:{HASH}"),
                "line 2: user `u` is there twice",
            ),
            (&*long, "line 1 is longer than 255 bytes"),
        ];
        for (text, wanted) in cases {
            let why = Users::parse(text.as_bytes()).unwrap_err();
            assert!(why.starts_with(wanted), "{why}");
        }
        assert!(Users::parse(b"\xff:x").unwrap_err().contains("UTF-8"));
    }

    #[tokio::test]
    async fn right_pairs_are_kept() {
        let users = Users::parse(format!("u:{HASH}\n").as_bytes()).unwrap();
        let check = async |user: &str, password: &str| {
            let password = SecretSlice::from(password.as_bytes().to_vec());
            let pair = users.pair(user, &password);
            let right = users.verify(pair, user, password).await.unwrap();
            assert_eq!(right, users.knows(&pair));
            right
        };
        assert!(check("u", "bcrypt-pass").await);
        assert!(!check("u", "bcrypt-pass ").await);
        assert!(!check("nobody", "bcrypt-pass").await);
    }
}
