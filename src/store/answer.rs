//! What a store gives back: a value that comes later, with a time limit.

use super::StoreError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// A result of a store, as a future that a worker can await.
///
/// A write resolves when it is durable: what it says has happened survives a power cut. A wait
/// longer than `storage.statement_timeout` ends with [`StoreError::Unavailable`]; the operation
/// may have taken place all the same.
#[must_use = "nothing is known before it was awaited"]
#[derive(Debug)]
pub struct Answer<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Ready(Option<Result<T, StoreError>>),
    Waiting {
        receiver: oneshot::Receiver<Result<T, StoreError>>,
        limit: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    },
}

/// Nothing in an answer is pinned in place.
impl<T> Unpin for Answer<T> {}

impl<T> Answer<T> {
    /// An answer that is there already.
    pub fn ready(result: Result<T, StoreError>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// One that another thread will give.
    pub(crate) fn waiting(
        receiver: oneshot::Receiver<Result<T, StoreError>>,
        limit: Duration,
    ) -> Self {
        Self(State::Waiting {
            receiver,
            limit,
            timer: None,
        })
    }

    /// Waits on a thread that may block, as command line tools and tests do; never on a worker.
    pub fn wait(self) -> Result<T, StoreError> {
        match self.0 {
            State::Ready(result) => result.unwrap_or_else(gone),
            State::Waiting { receiver, .. } => receiver.blocking_recv().unwrap_or_else(|_| gone()),
        }
    }
}

fn gone<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable("the store has ended"))
}

impl<T> Future for Answer<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or_else(gone)),
            State::Waiting {
                receiver,
                limit,
                timer,
            } => {
                if let Poll::Ready(result) = Pin::new(receiver).poll(cx) {
                    return Poll::Ready(result.unwrap_or_else(|_| gone()));
                }
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(*limit)));
                timer
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(StoreError::unavailable("the store did not answer in time")))
            }
        }
    }
}
