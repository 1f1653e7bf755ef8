//! Tokens kept for the whole process, one entry for everything that makes a token.
//!
//! An entry is shared by all workers, while a fetch and the connections it uses belong to one. So
//! the caller that finds no token brings a closure; the fetch it begins is spawned on its worker and
//! belongs to the entry: the caller may leave, and whoever else waits, on any worker, shares the
//! outcome, failure included. A valid token is read without a lock.
//!
//! Rules:
//! * one fetch in flight; a token is never used past its end;
//! * the first failure after a success is followed by one more attempt when it looks momentary;
//!   then the next fetch waits for a growing back-off, and requests fail at once until then;
//! * a token that was used is renewed in the background before it ends, once. The timer holds the
//!   entry weakly and ends with its worker; then the next use does what the timer would have done;
//! * a token that its resource refuses is dropped; fetches for that reason are limited to one round
//!   a second.
//!
//! Writers: the running fetch (token, back-off), a refusal and the admin API (drop the token).

mod flight;
#[cfg(test)]
mod model;
mod state;
#[cfg(test)]
mod tests;
mod token;

pub use token::Token;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::token_response::{FailureKind, FetchFailure, FetchedToken};
use crate::clock::Clock;
use crate::crypto::random;
use flight::{Flight, Reason, settled, spawn};
use state::{Outcome, State, Waiter, blocked, running};

const MAX_LIFETIME: Duration = Duration::from_hours(24);
const SECOND_ATTEMPT: Duration = Duration::from_millis(200);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
const REFUSAL_ROUND: Duration = Duration::from_secs(1);
/// How often a caller begins anew because the worker that fetched for it ended.
const MAX_ABANDONED: u32 = 3;

/// What an entry was configured with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Lifetime of tokens whose endpoint states none.
    pub default_expires_in: Duration,
    /// How long before the end a token is renewed; a tenth of the lifetime when not given, and never
    /// more than half of it.
    pub expiry_leeway: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_expires_in: Duration::from_mins(1),
            expiry_leeway: None,
        }
    }
}

/// No token, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no access token")]
pub struct TokenError {
    /// The failure, perhaps one of an earlier fetch.
    #[source]
    pub failure: Arc<FetchFailure>,
    /// Time left of what the endpoint asked for in `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// The token of one (backend, endpoint, client, grant, scope, audience, …).
pub struct TokenEntry {
    current: ArcSwapOption<Token>,
    state: Mutex<State>,
    /// The number of the current token; 0 without one. Tells timers of replaced tokens to end, and so
    /// does its end with the entry.
    number: watch::Sender<u64>,
    settings: Settings,
    clock: Clock,
    fetches: AtomicU64,
    failed: AtomicU64,
    waits: AtomicU64,
    tokens: AtomicU64,
    /// Between 0 and 1, anew for each back-off, so that gateways do not come back all at once.
    jitter: fn() -> f64,
}

impl fmt::Debug for TokenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEntry")
            .field("settings", &self.settings)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// An entry as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Life left of the token, if there is one.
    pub expires_in: Option<Duration>,
    /// Whether a fetch is running.
    pub fetching: bool,
    /// Failures since the last success.
    pub failures: u32,
    /// How long no fetch will begin.
    pub blocked_for: Option<Duration>,
    /// Why the last fetch failed, if it did.
    pub last_failure: Option<String>,
    /// Requests sent to the endpoint so far.
    pub fetches: u64,
    /// How many of them brought no token.
    pub failed: u64,
    /// Requests that found no token and waited for one.
    pub waits: u64,
}

/// The retries of one request after a 401 of its resource.
#[derive(Debug)]
pub struct Retries {
    limit: u32,
    used: u32,
    round_opened: bool,
}

impl Retries {
    /// None used so far.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            used: 0,
            round_opened: false,
        }
    }

    /// How many have happened.
    pub fn used(&self) -> u32 {
        self.used
    }
}

/// What to do after a 401 of the resource.
#[derive(Debug)]
pub enum AfterRefusal {
    /// Send the request again with this token.
    Retry(Arc<Token>),
    /// Give the 401 to the client.
    HandOn,
}

/// What a caller without a token is to do.
enum Step {
    Ready(Arc<Token>),
    Wait(Waiter),
    Begin(Flight),
    Blocked(TokenError),
}

impl TokenEntry {
    /// An entry without a token.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            state: Mutex::default(),
            number: watch::Sender::new(0),
            settings,
            clock,
            fetches: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            jitter: random::fraction,
        }
    }

    /// The token, fetched with `fetch` if there is none.
    ///
    /// Must be called within a `LocalSet` when a fetch is due. `fetch` may be called twice, and is
    /// kept until the token it brought is replaced, for the renewal.
    pub async fn token<F, R>(self: &Arc<Self>, fetch: F) -> Result<Arc<Token>, TokenError>
    where
        F: Fn() -> R + 'static,
        R: Future<Output = Result<FetchedToken, FetchFailure>> + 'static,
    {
        let now = self.clock.now();
        if let Some(token) = self.valid(now) {
            token.mark_used();
            if now >= token.refresh_at && !token.renewal_begun.load(Ordering::Relaxed) {
                self.renew(&token, fetch);
            }
            return Ok(token);
        }
        Box::pin(self.join(fetch)).await
    }

    /// The token, if there is one and its renewal is not due: the way of almost every request, for
    /// callers that would rather not build a closure. After `None`, ask [`TokenEntry::token`].
    pub fn cached(&self) -> Option<Arc<Token>> {
        let now = self.clock.now();
        let token = self.valid(now)?;
        if now >= token.refresh_at && !token.renewal_begun.load(Ordering::Relaxed) {
            return None;
        }
        token.mark_used();
        Some(token)
    }

    /// The token for an expression that names it, if there is one; nothing is fetched or renewed.
    pub fn kept(&self) -> Option<Arc<Token>> {
        let token = self.valid(self.clock.now())?;
        token.mark_used();
        Some(token)
    }

    /// Whether there is a token now; for status, not for use.
    pub fn has_token(&self) -> bool {
        self.valid(self.clock.now()).is_some()
    }

    /// Reports that the resource answered 401 to a request with `token`.
    ///
    /// The token is dropped if it is the current one. A newer one is given for a retry without a
    /// fetch, a running fetch is awaited, else one begins, unless another request began one for the
    /// same reason within a second or this request has no retries left.
    pub async fn refused<F, R>(
        self: &Arc<Self>,
        token: &Token,
        retries: &mut Retries,
        fetch: F,
    ) -> Result<AfterRefusal, TokenError>
    where
        F: Fn() -> R + 'static,
        R: Future<Output = Result<FetchedToken, FetchFailure>> + 'static,
    {
        let (waiter, begun) = {
            let mut state = self.lock();
            let now = self.clock.now();
            self.drop_current(token);
            if retries.used >= retries.limit {
                return Ok(AfterRefusal::HandOn);
            }
            if let Some(newer) = self.valid(now) {
                retries.used += 1;
                newer.mark_used();
                return Ok(AfterRefusal::Retry(newer));
            }
            if let Some(waiter) = running(&state) {
                (waiter, None)
            } else {
                let recent = state
                    .last_refusal_round
                    .is_some_and(|last| now < last + REFUSAL_ROUND);
                if recent && !retries.round_opened {
                    return Ok(AfterRefusal::HandOn);
                }
                if let Some(error) = blocked(&state, now) {
                    return Err(error);
                }
                retries.round_opened = true;
                state.last_refusal_round = Some(now);
                let flight = self.begin(&mut state, Reason::Refusal);
                (flight.outcome.subscribe(), Some(flight))
            }
        };
        retries.used += 1;
        let own = begun.is_some();
        if let Some(flight) = begun {
            spawn(flight, fetch);
        }
        match settled(waiter).await {
            Some(Outcome::Kept(token)) => {
                token.mark_used();
                Ok(AfterRefusal::Retry(token))
            }
            Some(Outcome::SingleUse(token)) if own => Ok(AfterRefusal::Retry(token)),
            // Nothing to share, and a fetch of our own would break the one-round rule.
            Some(Outcome::SingleUse(_)) | None => Ok(AfterRefusal::HandOn),
            Some(Outcome::Failed(error)) => Err(error),
        }
    }

    /// Drops a token that its resource answered 401 to, if it is still the current one: for requests
    /// that cannot be sent again.
    pub fn drop_refused(&self, token: &Token) {
        let _state = self.lock();
        self.drop_current(token);
    }

    /// Forgets the token and the back-off.
    pub fn purge(&self) {
        let mut state = self.lock();
        self.drop_token();
        state.failures = 0;
        state.blocked_until = None;
        state.last_failure = None;
        state.last_refusal_round = None;
    }

    /// The entry as the admin API shows it.
    pub fn status(&self) -> Status {
        let now = self.clock.now();
        let state = self.lock();
        Status {
            expires_in: self.valid(now).map(|token| token.expires_at - now),
            fetching: running(&state).is_some(),
            failures: state.failures,
            blocked_for: state
                .blocked_until
                .and_then(|until| until.checked_duration_since(now))
                .filter(|left| !left.is_zero()),
            last_failure: state.last_failure.as_ref().map(ToString::to_string),
            fetches: self.fetches.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
        }
    }

    fn valid(&self, now: Instant) -> Option<Arc<Token>> {
        let guard = self.current.load();
        guard
            .as_ref()
            .filter(|token| now < token.expires_at)
            .cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every write below leaves the state whole, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called with the state locked.
    fn drop_current(&self, token: &Token) {
        let current = self.current.load();
        if current.as_ref().is_some_and(|c| c.number == token.number) {
            self.drop_token();
        }
    }

    fn drop_token(&self) {
        self.current.store(None);
        self.number.send_replace(0);
    }

    async fn join<F, R>(self: &Arc<Self>, fetch: F) -> Result<Arc<Token>, TokenError>
    where
        F: Fn() -> R + 'static,
        R: Future<Output = Result<FetchedToken, FetchFailure>> + 'static,
    {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let mut share = true;
        for _ in 0..MAX_ABANDONED {
            let waiter = match self.step(share) {
                Step::Ready(token) => {
                    token.mark_used();
                    return Ok(token);
                }
                Step::Blocked(error) => return Err(error),
                Step::Wait(waiter) => waiter,
                Step::Begin(flight) => {
                    let waiter = flight.outcome.subscribe();
                    spawn(flight, fetch);
                    return match settled(waiter).await {
                        Some(Outcome::Kept(token) | Outcome::SingleUse(token)) => {
                            token.mark_used();
                            Ok(token)
                        }
                        Some(Outcome::Failed(error)) => Err(error),
                        None => Err(abandoned()),
                    };
                }
            };
            match settled(waiter).await {
                Some(Outcome::Kept(token)) => {
                    token.mark_used();
                    return Ok(token);
                }
                Some(Outcome::SingleUse(_)) => share = false,
                Some(Outcome::Failed(error)) => return Err(error),
                None => {}
            }
        }
        Err(abandoned())
    }

    fn step(self: &Arc<Self>, share: bool) -> Step {
        let mut state = self.lock();
        let now = self.clock.now();
        if let Some(token) = self.valid(now) {
            return Step::Ready(token);
        }
        if share
            && !state.single_use
            && let Some(waiter) = running(&state)
        {
            return Step::Wait(waiter);
        }
        if let Some(error) = blocked(&state, now) {
            return Step::Blocked(error);
        }
        Step::Begin(self.begin(&mut state, Reason::Demand))
    }

    fn begin(self: &Arc<Self>, state: &mut State, reason: Reason) -> Flight {
        let (outcome, waiter) = watch::channel(None);
        state.flights += 1;
        let number = state.flights;
        if running(state).is_none() {
            state.flight = Some((number, waiter));
        }
        Flight {
            entry: Arc::clone(self),
            outcome,
            number,
            reason,
            ended: false,
        }
    }

    fn admit(&self, fetched: &FetchedToken, asked_at: Instant) -> Token {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
        Token::admit(fetched, asked_at, number, &self.settings, &self.clock)
    }

    fn renew<F, R>(self: &Arc<Self>, token: &Token, fetch: F)
    where
        F: Fn() -> R + 'static,
        R: Future<Output = Result<FetchedToken, FetchFailure>> + 'static,
    {
        let flight = {
            let mut state = self.lock();
            let idle = running(&state).is_none() && blocked(&state, self.clock.now()).is_none();
            if !idle || token.renewal_begun.swap(true, Ordering::Relaxed) {
                return;
            }
            self.begin(&mut state, Reason::Demand)
        };
        spawn(flight, fetch);
    }
}

fn abandoned() -> TokenError {
    TokenError {
        failure: Arc::new(FetchFailure::new(
            FailureKind::Internal,
            "the worker that fetched the token ended",
        )),
        retry_after: None,
    }
}
