//! What is revoked, in memory: asked for every token, changed rarely.

use super::{Millis, Revocation, RevocationKind};
use foldhash::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// What a revocation can hit a token by.
#[derive(Clone, Copy, Debug)]
pub struct TokenKeys<'a> {
    /// The label of the server that issued it.
    pub server: &'a str,
    /// Its client.
    pub client_id: &'a str,
    /// Its user, or the client itself.
    pub subject: Option<&'a str>,
    /// The family (`gid`).
    pub grant: Option<&'a str>,
    /// Its `jti`, or the id of an opaque token.
    pub jti: &'a str,
    /// When it was issued: the time in a UUIDv7 `jti`, else `iat`.
    pub issued: Millis,
}

impl TokenKeys<'_> {
    /// When a token was issued by its `jti` if that is a UUIDv7, else by its `iat` in seconds.
    pub fn issued(jti: &str, iat: i64) -> Millis {
        let seconds = Millis::from_seconds(iat);
        let Ok(id) = uuid::Uuid::try_parse(jti) else {
            return seconds;
        };
        let time = id.get_timestamp().filter(|_| id.get_version_num() == 7);
        time.map_or(seconds, |time| {
            let (whole, nanos) = time.to_unix();
            let whole = i64::try_from(whole).unwrap_or(i64::MAX / 1000);
            Millis(whole.saturating_mul(1000) + i64::from(nanos / 1_000_000))
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    not_before: Millis,
    expires_at: Millis,
}

/// The entries of one server, by kind and key.
#[derive(Debug, Default)]
struct Server {
    kinds: [HashMap<Box<str>, Entry>; 5],
}

impl Server {
    fn not_before(&self, kind: RevocationKind, value: &str) -> Option<Millis> {
        let entries = &self.kinds[kind as usize];
        (!entries.is_empty())
            .then(|| entries.get(value))
            .flatten()
            .map(|entry| entry.not_before)
    }
}

/// Every revocation in force. It is exact, holds what the log holds, and is told of a change before
/// the change is answered (AS-CON-1, AS-CON-3).
///
/// Written by the store's writer and by whoever follows a shared log; read by every validation. While
/// [`generation`](Self::generation) stays the same, the answer for a token that was good stays the
/// same, too, so that a cache of verified tokens need not ask again.
#[derive(Debug, Default)]
pub struct RevocationSet {
    servers: RwLock<HashMap<Box<str>, Server>>,
    generation: AtomicU64,
    size: AtomicU64,
}

impl RevocationSet {
    /// Counts changes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many entries there are (`as_revocation_set_size`).
    pub fn len(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a token is revoked: one of its keys has an entry as late as its issue or later. All
    /// kinds count, each by itself (AS-INT-2).
    pub fn is_revoked(&self, token: &TokenKeys<'_>) -> bool {
        if self.is_empty() {
            return false;
        }
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = servers.get(token.server) else {
            return false;
        };
        let hit = |kind, value: Option<&str>| {
            value
                .and_then(|value| server.not_before(kind, value))
                .is_some_and(|not_before| token.issued <= not_before)
        };
        hit(RevocationKind::Jti, Some(token.jti))
            || hit(RevocationKind::Client, Some(token.client_id))
            || hit(RevocationKind::Issuer, Some(token.server))
            || hit(RevocationKind::Subject, token.subject)
            || hit(RevocationKind::Grant, token.grant)
    }

    /// The newest cut-off that applies to all tokens of a client, for `not-before-policy`.
    pub fn not_before(&self, server: &str, client_id: &str) -> Option<Millis> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        let entries = servers.get(server)?;
        let issuer = entries.not_before(RevocationKind::Issuer, server);
        issuer.max(entries.not_before(RevocationKind::Client, client_id))
    }

    /// Adds entries of the log. An earlier cut-off never replaces a later one.
    pub fn add<'a>(&self, revocations: impl IntoIterator<Item = &'a Revocation>) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            let server = servers
                .entry(revocation.server.as_str().into())
                .or_default();
            let entry = server.kinds[revocation.kind as usize]
                .entry(revocation.value.as_str().into())
                .or_insert_with(|| {
                    self.size.fetch_add(1, Ordering::Relaxed);
                    Entry {
                        not_before: revocation.not_before,
                        expires_at: revocation.expires_at,
                    }
                });
            entry.not_before = entry.not_before.max(revocation.not_before);
            entry.expires_at = entry.expires_at.max(revocation.expires_at);
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Drops entries that no living token can meet.
    pub fn expire(&self, now: Millis) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        let kinds = servers.values_mut().flat_map(|server| &mut server.kinds);
        let left = kinds.map(|entries| {
            entries.retain(|_, entry| entry.expires_at > now);
            entries.len() as u64
        });
        self.size.store(left.sum(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Cut;

    fn cut(at: i64) -> Cut {
        Cut {
            at: Millis(at),
            until: Millis(at + 1000),
            actor: "test".into(),
        }
    }

    fn token(issued: i64) -> TokenKeys<'static> {
        TokenKeys {
            server: "main",
            client_id: "app",
            subject: Some("alice"),
            grant: Some("g"),
            jti: "j",
            issued: Millis(issued),
        }
    }

    #[test]
    fn each_kind_hits_by_itself_and_by_time() {
        let cases = [
            (RevocationKind::Issuer, "main"),
            (RevocationKind::Client, "app"),
            (RevocationKind::Subject, "alice"),
            (RevocationKind::Grant, "g"),
            (RevocationKind::Jti, "j"),
        ];
        for (kind, value) in cases {
            let set = RevocationSet::default();
            assert!(!set.is_revoked(&token(5)));
            let before = set.generation();
            set.add([&cut(5).entry(kind, value, "main")]);
            assert_ne!(set.generation(), before);
            assert!(set.is_revoked(&token(5)), "{kind:?}");
            assert!(!set.is_revoked(&token(6)), "{kind:?}");
            let other = TokenKeys {
                server: "other",
                ..token(5)
            };
            assert!(!set.is_revoked(&other), "{kind:?}");
        }
    }

    #[test]
    fn the_newest_cut_off_wins() {
        let set = RevocationSet::default();
        set.add([&cut(50).entry(RevocationKind::Client, "app", "main")]);
        set.add([&cut(20).entry(RevocationKind::Client, "app", "main")]);
        set.add([&cut(10).entry(RevocationKind::Issuer, "main", "main")]);
        assert!(set.is_revoked(&token(50)));
        assert_eq!(set.not_before("main", "app"), Some(Millis(50)));
        assert_eq!(set.not_before("main", "else"), Some(Millis(10)));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn entries_leave_with_the_tokens_they_hit() {
        let set = RevocationSet::default();
        set.add([&cut(0).entry(RevocationKind::Jti, "j", "main")]);
        set.expire(Millis(999));
        assert!(set.is_revoked(&token(0)));
        set.expire(Millis(1000));
        assert!(set.is_empty());
        assert!(!set.is_revoked(&token(0)));
    }

    #[test]
    fn the_time_of_issue_is_in_the_jti() {
        let id = crate::store::new_id().to_string();
        let issued = TokenKeys::issued(&id, 7);
        assert!(issued > Millis::from_seconds(1_600_000_000));
        assert_eq!(TokenKeys::issued("abc", 7), Millis(7000));
    }
}
