//! What an entry knows besides its token, and the rules that decide by it.

use super::TokenError;
use super::token::Token;
use crate::oauth::client::token_response::FetchFailure;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

#[derive(Clone)]
/// How a fetch ended.
pub(super) enum Outcome {
    Kept(Arc<Token>),
    /// For the request that began the fetch alone.
    SingleUse(Arc<Token>),
    Failed(TokenError),
}

/// Where the outcome of a fetch is awaited.
pub(super) type Waiter = watch::Receiver<Option<Outcome>>;

#[derive(Default)]
/// See the module.
pub(super) struct State {
    pub(super) flight: Option<(u64, Waiter)>,
    pub(super) flights: u64,
    /// Tokens of this endpoint are good for one request, so there is nothing to share.
    pub(super) single_use: bool,
    pub(super) failures: u32,
    pub(super) blocked_until: Option<Instant>,
    pub(super) last_failure: Option<Arc<FetchFailure>>,
    pub(super) last_refusal_round: Option<Instant>,
}

/// The fetch under way, unless its worker has ended.
pub(super) fn running(state: &State) -> Option<Waiter> {
    let (_, waiter) = state.flight.as_ref()?;
    waiter.has_changed().is_ok().then(|| waiter.clone())
}

/// Why no fetch may begin now, if none may.
pub(super) fn blocked(state: &State, now: Instant) -> Option<TokenError> {
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
