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

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::crypto::random;

use super::token_response::{FailureKind, FetchFailure, FetchedToken, Lifetime, TokenType};

const MAX_LIFETIME: Duration = Duration::from_hours(24);
const SECOND_ATTEMPT: Duration = Duration::from_millis(200);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
const REFUSAL_ROUND: Duration = Duration::from_secs(1);
/// How often a caller begins anew because the worker that fetched for it ended.
const MAX_ABANDONED: u32 = 3;

/// A token in use.
pub struct Token {
    text: SecretString,
    authorization: HeaderValue,
    kind: TokenType,
    number: u64,
    expires_at: Instant,
    refresh_at: Instant,
    used: AtomicBool,
    renewal_begun: AtomicBool,
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

    fn mark_used(&self) {
        // Written once, so that workers do not fight for the cache line.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

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

#[derive(Clone)]
enum Outcome {
    Kept(Arc<Token>),
    /// For the request that began the fetch alone.
    SingleUse(Arc<Token>),
    Failed(TokenError),
}

type Waiter = watch::Receiver<Option<Outcome>>;

#[derive(Default)]
struct State {
    flight: Option<(u64, Waiter)>,
    flights: u64,
    /// Tokens of this endpoint are good for one request, so there is nothing to share.
    single_use: bool,
    failures: u32,
    blocked_until: Option<Instant>,
    last_failure: Option<Arc<FetchFailure>>,
    last_refusal_round: Option<Instant>,
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

enum Step {
    Ready(Arc<Token>),
    Wait(Waiter),
    Begin(Flight),
    Blocked(TokenError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Demand,
    Refusal,
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

    /// The token with its times, counted from when it was asked for: the endpoint may have begun
    /// counting any time after.
    fn admit(&self, fetched: &FetchedToken, asked_at: Instant) -> Token {
        let lifetime = match fetched.lifetime {
            Lifetime::Seconds(seconds) => limited(seconds),
            Lifetime::Unstated { exp } => {
                let default = self.settings.default_expires_in.min(MAX_LIFETIME);
                match exp {
                    None => default,
                    // `exp` counts from now, the lifetime from when the token was asked for.
                    Some(exp) => {
                        let left = exp - self.clock.unix().seconds_f64();
                        let since = self.clock.now().saturating_duration_since(asked_at);
                        default.min(limited(left + since.as_secs_f64()))
                    }
                }
            }
        };
        let leeway = self
            .settings
            .expiry_leeway
            .unwrap_or(lifetime / 10)
            .min(lifetime / 2);
        let text = fetched.access_token.expose_secret();
        // Tokens of token endpoints are visible ASCII; others are values and need not fit here.
        let mut authorization = HeaderValue::try_from(format!("Bearer {text}"))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        Token {
            text: fetched.access_token.clone(),
            authorization,
            kind: fetched.token_type,
            number: self.tokens.fetch_add(1, Ordering::Relaxed) + 1,
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

fn running(state: &State) -> Option<Waiter> {
    let (_, waiter) = state.flight.as_ref()?;
    waiter.has_changed().is_ok().then(|| waiter.clone())
}

fn blocked(state: &State, now: Instant) -> Option<TokenError> {
    let left = state.blocked_until?.checked_duration_since(now)?;
    if left.is_zero() {
        return None;
    }
    let failure = state.last_failure.clone()?;
    let retry_after = failure.retry_after.map(|_| left);
    Some(TokenError {
        failure,
        retry_after,
    })
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

/// The outcome, or `None` when the fetch ended without one.
async fn settled(mut waiter: Waiter) -> Option<Outcome> {
    match waiter.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone(),
        Err(_) => None,
    }
}

/// A running fetch. Dropping it unfinished (its worker ended, or the fetch panicked) frees the entry.
struct Flight {
    entry: Arc<TokenEntry>,
    outcome: watch::Sender<Option<Outcome>>,
    number: u64,
    reason: Reason,
    ended: bool,
}

fn spawn<F, R>(flight: Flight, fetch: F)
where
    F: Fn() -> R + 'static,
    R: Future<Output = Result<FetchedToken, FetchFailure>> + 'static,
{
    tokio::task::spawn_local(async move {
        if let Some((entry, token)) = flight.run(&fetch).await {
            renew_in_time(entry, token, fetch).await;
        }
    });
}

/// Waits until the token is due and renews it, if it was used and is still the current one.
async fn renew_in_time<F, R>(entry: Weak<TokenEntry>, token: Arc<Token>, fetch: F)
where
    F: Fn() -> R + 'static,
    R: Future<Output = Result<FetchedToken, FetchFailure>> + 'static,
{
    let Some(mut number) = entry.upgrade().map(|entry| entry.number.subscribe()) else {
        return;
    };
    tokio::select! {
        // Another token, none, or no entry any more.
        _ = number.wait_for(|number| *number != token.number) => return,
        () = tokio::time::sleep_until(token.refresh_at.into()) => {}
    }
    if token.used.load(Ordering::Relaxed)
        && let Some(entry) = entry.upgrade()
    {
        entry.renew(&token, fetch);
    }
}

impl Flight {
    async fn run<F, R>(mut self, fetch: &F) -> Option<(Weak<TokenEntry>, Arc<Token>)>
    where
        F: Fn() -> R,
        R: Future<Output = Result<FetchedToken, FetchFailure>>,
    {
        let first_failure = self.entry.lock().failures == 0;
        let mut result = self.attempt(fetch).await;
        if let Err(failure) = &result
            && first_failure
            && failure.is_momentary()
        {
            tokio::time::sleep(SECOND_ATTEMPT).await;
            result = self.attempt(fetch).await;
        }
        self.end(result)
    }

    async fn attempt<F, R>(&self, fetch: &F) -> Result<Token, FetchFailure>
    where
        F: Fn() -> R,
        R: Future<Output = Result<FetchedToken, FetchFailure>>,
    {
        self.entry.fetches.fetch_add(1, Ordering::Relaxed);
        let asked_at = self.entry.clock.now();
        let fetched = Box::pin(fetch()).await?;
        Ok(self.entry.admit(&fetched, asked_at))
    }

    fn end(
        &mut self,
        result: Result<Token, FetchFailure>,
    ) -> Option<(Weak<TokenEntry>, Arc<Token>)> {
        self.ended = true;
        let entry = &*self.entry;
        let mut state = entry.lock();
        let now = entry.clock.now();
        if self.reason == Reason::Refusal {
            state.last_refusal_round = Some(now);
        }
        if state
            .flight
            .as_ref()
            .is_some_and(|(number, _)| *number == self.number)
        {
            state.flight = None;
        }
        let (outcome, timer) = match result {
            Ok(token) => {
                let token = Arc::new(token);
                state.failures = 0;
                state.blocked_until = None;
                state.last_failure = None;
                state.single_use = now >= token.expires_at;
                if state.single_use {
                    (Outcome::SingleUse(token), None)
                } else {
                    entry.current.store(Some(Arc::clone(&token)));
                    entry.number.send_replace(token.number);
                    let timer = (Arc::downgrade(&self.entry), Arc::clone(&token));
                    (Outcome::Kept(token), Some(timer))
                }
            }
            Err(failure) => {
                entry.failed.fetch_add(1, Ordering::Relaxed);
                let backoff = backoff(state.failures);
                // A server that says 0 gets the shortest back-off all the same.
                let wait = failure
                    .retry_after
                    .map_or(backoff, |wait| wait.max(FIRST_BACKOFF));
                let failure = Arc::new(failure);
                state.failures = state.failures.saturating_add(1);
                state.blocked_until = Some(now + wait);
                state.last_failure = Some(Arc::clone(&failure));
                let retry_after = failure.retry_after.map(|_| wait);
                let error = TokenError {
                    failure,
                    retry_after,
                };
                (Outcome::Failed(error), None)
            }
        };
        drop(state);
        self.outcome.send_replace(Some(outcome));
        timer
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            // Waiters must not run into the same fault one after another.
            let failure = FetchFailure::new(FailureKind::Internal, "the token request panicked");
            self.end(Err(failure));
            return;
        }
        let mut state = self.entry.lock();
        if state
            .flight
            .as_ref()
            .is_some_and(|(number, _)| *number == self.number)
        {
            state.flight = None;
        }
    }
}

/// The wait after `failures` earlier failures in a row.
fn backoff(failures: u32) -> Duration {
    let grown = FIRST_BACKOFF
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(MAX_BACKOFF);
    grown.mul_f64(0.8 + 0.4 * random::fraction())
}

/// Everything that makes a token. Equal keys share an entry, also over a change of configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// Label of the backend.
    pub backend: String,
    /// Token endpoint.
    pub endpoint: String,
    /// Client identifier.
    pub client: String,
    /// Grant type.
    pub grant: String,
    /// Scope.
    pub scope: String,
    /// Audience.
    pub audience: String,
    /// Resources.
    pub resources: Vec<String>,
    /// User or subject of an assertion.
    pub subject: String,
    /// Digest of secrets, keys and all other parameters, so that a rotated secret is another key.
    pub fingerprint: [u8; 32],
    /// The settings.
    pub settings: Settings,
}

/// The entries of the process. It holds them weakly: an entry lives as long as a configuration
/// that uses it, so one that survives a reload keeps its token.
#[derive(Debug, Default)]
pub struct TokenCache {
    clock: Clock,
    entries: Mutex<HashMap<TokenKey, Weak<TokenEntry>>>,
}

impl TokenCache {
    /// An empty cache.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            entries: Mutex::default(),
        }
    }

    /// The entry of `key`; to be called while a configuration is built.
    pub fn entry(&self, key: TokenKey) -> Arc<TokenEntry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&key).and_then(Weak::upgrade) {
            return entry;
        }
        entries.retain(|_, entry| entry.strong_count() > 0);
        let entry = Arc::new(TokenEntry::new(key.settings.clone(), self.clock.clone()));
        entries.insert(key, Arc::downgrade(&entry));
        entry
    }

    /// All living entries, sorted by backend and endpoint.
    pub fn entries(&self) -> Vec<(TokenKey, Arc<TokenEntry>)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = entries
            .iter()
            .filter_map(|(key, entry)| Some((key.clone(), entry.upgrade()?)))
            .collect();
        list.sort_by(|(a, _), (b, _)| (&a.backend, &a.endpoint).cmp(&(&b.backend, &b.endpoint)));
        list
    }
}

#[cfg(test)]
#[path = "token_cache_tests.rs"]
mod tests;
