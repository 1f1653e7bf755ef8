//! Computations that are slow on purpose, such as checks of passwords, kept off the workers.
//!
//! They run on tokio's blocking threads, for the whole process as many at a time as there are cores.
//! More of them wait in order, up to a limit; beyond that callers are told to come back.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Callers that wait at most.
const MAX_WAITING: usize = 256;
/// How long each of them waits at most.
const MAX_WAIT: Duration = Duration::from_secs(10);

static SLOTS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// There is too much to compute already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many slow computations at once")]
pub struct Busy;

/// One who waits, counted until dropped.
struct Waiting;

impl Waiting {
    fn enter() -> Result<Self, Busy> {
        let waiting = Self;
        if WAITING.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            Ok(waiting)
        } else {
            Err(Busy)
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work` when its turn comes. It is not begun if the caller leaves before that.
///
/// `at_hand` is asked when the turn has come: what others have found out meanwhile need not be
/// computed again.
pub async fn run<T: Send + 'static>(
    at_hand: impl FnOnce() -> Option<T>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Busy> {
    let waiting = Waiting::enter()?;
    let slot = tokio::time::timeout(MAX_WAIT, SLOTS.acquire()).await;
    drop(waiting);
    let (Ok(Ok(slot)), found) = (slot, at_hand()) else {
        return Err(Busy);
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let work = move || {
        // The slot is taken until the work is done, even if nobody waits for it any more.
        let _slot = slot;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_that_fit_are_done() {
        let runs = (0..64).map(|number| run(|| None, move || number));
        let found = futures_util::future::join_all(runs).await;
        let numbers: Vec<_> = found.into_iter().map(Result::unwrap).collect();
        assert_eq!(numbers, (0..64).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_is_at_hand_is_not_computed() {
        let found = run(|| Some(1), || unreachable!()).await;
        assert_eq!(found, Ok(1));
    }
}
