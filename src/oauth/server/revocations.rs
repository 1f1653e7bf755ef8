//! What has been revoked: cut-offs by issuer, client, subject, grant and token, in memory.
//!
//! The set is exact. A token is revoked if any of its keys has a cut-off at or after the time it
//! was issued. An entry leaves when every token that it can hit has ended.

use crate::clock::UnixTime;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// What a cut-off is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// All tokens of the server.
    Issuer,
    /// Those of a client.
    Client,
    /// Those of a user.
    Subject,
    /// Those of a grant.
    Grant,
    /// One token.
    Jti,
}

/// What of a token can be revoked.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'t> {
    /// Its client.
    pub client: &'t str,
    /// Its user or client.
    pub subject: &'t str,
    /// Its grant.
    pub grant: Option<&'t str>,
    /// Its id.
    pub jti: &'t str,
    /// When it was issued, in milliseconds.
    pub issued: i64,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Tokens issued up to here are dead, in milliseconds.
    not_before: i64,
    expires: UnixTime,
}

/// The set.
#[derive(Debug, Default)]
pub struct Revocations {
    any: AtomicBool,
    cuts: RwLock<HashMap<Kind, HashMap<Box<str>, Cut>>>,
}

impl Revocations {
    /// Adds a cut-off; the later one of two stays.
    pub fn add(&self, kind: Kind, value: &str, not_before: i64, expires: UnixTime, now: UnixTime) {
        let mut cuts = self.cuts.write().unwrap_or_else(PoisonError::into_inner);
        let of_kind = cuts.entry(kind).or_default();
        if of_kind.len() >= 1024 && of_kind.len().is_power_of_two() {
            of_kind.retain(|_, cut| cut.expires > now);
        }
        let cut = of_kind.entry(value.into()).or_insert(Cut {
            not_before,
            expires,
        });
        cut.not_before = cut.not_before.max(not_before);
        cut.expires = cut.expires.max(expires);
        self.any.store(true, Ordering::Release);
    }

    /// Whether a token is revoked.
    pub fn hit(&self, token: &Keys<'_>) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let cuts = self.cuts.read().unwrap_or_else(PoisonError::into_inner);
        let hits = |kind: Kind, value: &str| {
            let cut = cuts.get(&kind).and_then(|of_kind| of_kind.get(value));
            cut.is_some_and(|cut| token.issued <= cut.not_before)
        };
        hits(Kind::Jti, token.jti)
            || hits(Kind::Client, token.client)
            || hits(Kind::Subject, token.subject)
            || token.grant.is_some_and(|grant| hits(Kind::Grant, grant))
            || hits(Kind::Issuer, "")
    }

    /// The newest cut-off for tokens of a client and subject, in seconds; 0 without any.
    pub fn not_before(&self, client: &str, subject: &str) -> i64 {
        if !self.any.load(Ordering::Acquire) {
            return 0;
        }
        let cuts = self.cuts.read().unwrap_or_else(PoisonError::into_inner);
        let keys = [
            (Kind::Issuer, ""),
            (Kind::Client, client),
            (Kind::Subject, subject),
        ];
        let cut = keys
            .into_iter()
            .filter_map(|(kind, value)| Some(cuts.get(&kind)?.get(value)?.not_before));
        cut.max().unwrap_or(0).div_euclid(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn cut_offs_hit_what_was_issued_before() {
        let set = Revocations::default();
        let token = |jti: &'static str, issued| Keys {
            client: "c",
            subject: "s",
            grant: Some("g"),
            jti,
            issued,
        };
        let now = UnixTime::from_seconds(100);
        let end = now.plus(Duration::from_secs(60));
        assert!(!set.hit(&token("a", 1000)));
        set.add(Kind::Jti, "a", 1000, end, now);
        assert!(set.hit(&token("a", 1000)));
        assert!(!set.hit(&token("b", 1000)));
        set.add(Kind::Client, "c", 2000, end, now);
        assert!(set.hit(&token("b", 2000)));
        assert!(!set.hit(&token("b", 2001)));
        set.add(Kind::Client, "c", 500, end, now);
        assert!(set.hit(&token("b", 2000)));
        assert_eq!(set.not_before("c", "x"), 2);
    }
}
