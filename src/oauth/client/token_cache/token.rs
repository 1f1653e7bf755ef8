//! A token with its times.

use super::{MAX_LIFETIME, Settings};
use crate::clock::Clock;
use crate::oauth::client::token_response::{FetchedToken, Lifetime, TokenType};
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A token in use.
pub struct Token {
    text: SecretString,
    authorization: HeaderValue,
    kind: TokenType,
    pub(super) number: u64,
    pub(super) expires_at: Instant,
    pub(super) refresh_at: Instant,
    pub(super) used: AtomicBool,
    pub(super) renewal_begun: AtomicBool,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("number", &self.number)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// The token's text.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// `Bearer …`, ready to be put into a request and marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// The type that its endpoint gave it.
    pub fn token_type(&self) -> TokenType {
        self.kind
    }

    /// When it must no longer be used.
    pub fn expires_at(&self) -> Instant {
        self.expires_at
    }

    pub(super) fn mark_used(&self) {
        // Written once, so that workers do not fight for the cache line.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// The token with its times, counted from when it was asked for: the endpoint may have begun
    /// counting any time after.
    pub(super) fn admit(
        fetched: &FetchedToken,
        asked_at: Instant,
        number: u64,
        settings: &Settings,
        clock: &Clock,
    ) -> Self {
        let lifetime = match fetched.lifetime {
            Lifetime::Seconds(seconds) => limited(seconds),
            Lifetime::Unstated { exp } => {
                let default = settings.default_expires_in.min(MAX_LIFETIME);
                match exp {
                    None => default,
                    // `exp` counts from now, the lifetime from when the token was asked for.
                    Some(exp) => {
                        let left = exp - clock.unix().seconds_f64();
                        let since = clock.now().saturating_duration_since(asked_at);
                        default.min(limited(left + since.as_secs_f64()))
                    }
                }
            }
        };
        let leeway = settings
            .expiry_leeway
            .unwrap_or(lifetime / 10)
            .min(lifetime / 2);
        let text = fetched.access_token.expose_secret();
        // Tokens of token endpoints are visible ASCII; others are values and need not fit here.
        let mut authorization = HeaderValue::try_from(format!("Bearer {text}"))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        Self {
            text: fetched.access_token.clone(),
            authorization,
            kind: fetched.token_type,
            number,
            expires_at: asked_at + lifetime,
            refresh_at: asked_at + lifetime.saturating_sub(leeway),
            used: AtomicBool::new(false),
            renewal_begun: AtomicBool::new(false),
        }
    }
}

/// Seconds as a duration between zero and the cap; NaN does not come here.
fn limited(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, MAX_LIFETIME.as_secs_f64()))
}
