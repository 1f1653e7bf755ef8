//! A fetch under way, and the timer that begins the next one. Both belong to the entry, and run on the
//! worker that found the entry without a token.

use super::state::{Outcome, Waiter};
use super::token::Token;
use super::{FIRST_BACKOFF, MAX_BACKOFF, SECOND_ATTEMPT, TokenEntry, TokenError};
use crate::oauth::client::token_response::{FailureKind, FetchFailure, FetchedToken};
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Why a fetch begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Somebody wants a token, or will.
    Demand,
    /// The resource has refused the last one.
    Refusal,
}

/// The outcome, or `None` when the fetch ended without one.
pub(super) async fn settled(mut waiter: Waiter) -> Option<Outcome> {
    match waiter.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone(),
        Err(_) => None,
    }
}

/// A running fetch. Dropping it unfinished (its worker ended, or the fetch panicked) frees the entry.
pub(super) struct Flight {
    pub(super) entry: Arc<TokenEntry>,
    pub(super) outcome: watch::Sender<Option<Outcome>>,
    pub(super) number: u64,
    pub(super) reason: Reason,
    pub(super) ended: bool,
}

/// Runs a fetch on this worker, and the timer after it.
pub(super) fn spawn<F, R>(flight: Flight, fetch: F)
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
                let backoff = backoff(state.failures, (entry.jitter)());
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

/// The wait after `failures` earlier failures in a row. `jitter` is between 0 and 1.
pub(super) fn backoff(failures: u32, jitter: f64) -> Duration {
    let grown = FIRST_BACKOFF
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(MAX_BACKOFF);
    grown.mul_f64(0.8 + 0.4 * jitter)
}
