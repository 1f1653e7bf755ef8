use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures_util::future::join_all;
use tokio::task::LocalSet;
use tokio::time::{advance, sleep};

use super::*;
use crate::clock::UnixTime;
use crate::oauth::client::token_response::{Lifetime, TokenType};

type Answer = Result<Lifetime, FetchFailure>;

/// A token endpoint that answers from a script, the last entry for ever, after `delay`.
#[derive(Clone)]
struct Endpoint {
    script: Rc<RefCell<VecDeque<Answer>>>,
    delay: Rc<Cell<Duration>>,
    hits: Rc<Cell<u32>>,
}

impl Endpoint {
    fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            script: Rc::new(RefCell::new(script.into_iter().collect())),
            delay: Rc::new(Cell::new(Duration::from_millis(10))),
            hits: Rc::default(),
        }
    }

    fn then(&self, answer: Answer) {
        *self.script.borrow_mut() = VecDeque::from([answer]);
    }

    fn fetch(
        &self,
    ) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<FetchedToken, FetchFailure>>>> + use<>
    {
        let endpoint = self.clone();
        move || {
            let endpoint = endpoint.clone();
            Box::pin(async move {
                endpoint.hits.set(endpoint.hits.get() + 1);
                sleep(endpoint.delay.get()).await;
                let mut script = endpoint.script.borrow_mut();
                let answer = if script.len() > 1 {
                    script.pop_front()
                } else {
                    script.front().cloned()
                };
                answer.unwrap().map(|lifetime| FetchedToken {
                    access_token: format!("token-{}", endpoint.hits.get()).into(),
                    token_type: TokenType::Bearer,
                    lifetime,
                })
            })
        }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an entry of a script, as `fails` gives"
)]
fn lives(seconds: f64) -> Answer {
    Ok(Lifetime::Seconds(seconds))
}

fn fails(kind: FailureKind) -> Answer {
    Err(FetchFailure::new(kind, "scripted"))
}

fn entry() -> Arc<TokenEntry> {
    let (clock, _) = Clock::manual(UnixTime::from_seconds(1_000));
    Arc::new(TokenEntry::new(Settings::default(), clock))
}

async fn pass(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(LocalSet::new().run_until(test));
}

#[test]
fn cold_requests_share_one_fetch_that_survives_its_first_caller() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([lives(60.0)]));
        let first = tokio::time::timeout(Duration::from_millis(1), entry.token(endpoint.fetch()));
        assert!(first.await.is_err());
        let all = join_all((0..50).map(|_| entry.token(endpoint.fetch()))).await;
        assert!(
            all.iter()
                .all(|token| token.as_ref().unwrap().expose() == "token-1")
        );
        assert_eq!(endpoint.hits.get(), 1);
        let token = entry.token(endpoint.fetch()).await.unwrap();
        assert_eq!(token.authorization(), "Bearer token-1");
        assert!(!format!("{token:?} {entry:?}").contains("token-1"));
    });
}

#[test]
fn a_token_ends_exactly_with_its_lifetime() {
    run(async {
        let (entry, endpoint) = (
            entry(),
            Endpoint::new([lives(1.5), fails(FailureKind::Timeout)]),
        );
        let asked = entry.clock.now();
        let token = entry.token(endpoint.fetch()).await.unwrap();
        assert_eq!(token.expires_at(), asked + Duration::from_millis(1500));
        advance(Duration::from_millis(1489)).await;
        assert!(entry.token(endpoint.fetch()).await.is_ok());
        advance(Duration::from_millis(1)).await;
        assert!(entry.token(endpoint.fetch()).await.is_err());
    });
}

#[test]
fn lifetimes_follow_the_answer_the_settings_and_the_token() {
    run(async {
        let life = async |lifetime| {
            let entry = entry();
            let asked = entry.clock.now();
            let token = entry
                .token(Endpoint::new([Ok(lifetime)]).fetch())
                .await
                .unwrap();
            (token.expires_at() - asked).as_secs_f64()
        };
        let close = |a: f64, b: f64| (a - b).abs() < 0.1;
        assert!(close(life(Lifetime::Unstated { exp: None }).await, 60.0));
        assert!(close(
            life(Lifetime::Unstated { exp: Some(1_030.0) }).await,
            30.0
        ));
        assert!(close(
            life(Lifetime::Unstated { exp: Some(9_999.0) }).await,
            60.0
        ));
        assert!(close(
            life(Lifetime::Seconds(f64::INFINITY)).await,
            86_400.0
        ));
        assert!(close(life(Lifetime::Seconds(-1e19)).await, 0.0));
    });
}

#[test]
fn tokens_without_life_serve_one_request_each() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([lives(0.0)]));
        let all = join_all((0..5).map(|_| entry.token(endpoint.fetch()))).await;
        let mut texts: Vec<_> = all
            .iter()
            .map(|t| Arc::as_ptr(t.as_ref().unwrap()))
            .collect();
        texts.sort();
        texts.dedup();
        assert_eq!((texts.len(), endpoint.hits.get()), (5, 5));
        endpoint.then(lives(60.0));
        entry.token(endpoint.fetch()).await.unwrap();
        entry.token(endpoint.fetch()).await.unwrap();
        assert_eq!(endpoint.hits.get(), 6);
    });
}

#[test]
fn one_dropped_connection_is_mended_by_a_second_attempt() {
    run(async {
        for kind in [
            FailureKind::Dropped,
            FailureKind::Empty,
            FailureKind::Status(503),
        ] {
            let (entry, endpoint) = (entry(), Endpoint::new([fails(kind), lives(60.0)]));
            assert!(entry.token(endpoint.fetch()).await.is_ok());
            assert_eq!(endpoint.hits.get(), 2);
        }
        for kind in [
            FailureKind::Timeout,
            FailureKind::Status(400),
            FailureKind::Invalid,
        ] {
            let (entry, endpoint) = (entry(), Endpoint::new([fails(kind), lives(60.0)]));
            assert!(entry.token(endpoint.fetch()).await.is_err());
            assert_eq!(endpoint.hits.get(), 1);
        }
    });
}

#[test]
fn failures_are_shared_and_back_off() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([fails(FailureKind::Dropped)]));
        let all = join_all((0..12).map(|_| entry.token(endpoint.fetch()))).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(endpoint.hits.get(), 2);
        // Until 1.9 s after the start: one more fetch at most, after the first back-off.
        for _ in 0..16 {
            pass(100).await;
            let before = tokio::time::Instant::now();
            let error = entry.token(endpoint.fetch()).await.unwrap_err();
            assert_eq!(error.failure.kind, FailureKind::Dropped);
            assert!(before.elapsed() <= Duration::from_millis(20));
        }
        assert_eq!(endpoint.hits.get(), 3);
        endpoint.then(lives(60.0));
        pass(2_400).await;
        assert!(entry.token(endpoint.fetch()).await.is_ok());
        assert_eq!(entry.status().failures, 0);
    });
    for (failures, least, most) in [
        (0, 0.8, 1.2),
        (3, 6.4, 9.6),
        (5, 24.0, 36.0),
        (99, 24.0, 36.0),
    ] {
        let wait = flight::backoff(failures, random::fraction()).as_secs_f64();
        assert!((least..=most).contains(&wait), "{failures}: {wait}");
    }
}

#[test]
fn retry_after_is_kept_and_told() {
    run(async {
        let mut failure = FetchFailure::new(FailureKind::Status(429), "scripted");
        failure.retry_after = Some(Duration::from_mins(1));
        let (entry, endpoint) = (entry(), Endpoint::new([Err(failure), lives(60.0)]));
        let error = entry.token(endpoint.fetch()).await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_mins(1)));
        pass(20_000).await;
        let error = entry.token(endpoint.fetch()).await.unwrap_err();
        assert!(error.retry_after.unwrap() <= Duration::from_secs(40));
        assert_eq!(endpoint.hits.get(), 1);
        pass(40_001).await;
        assert!(entry.token(endpoint.fetch()).await.is_ok());
    });
}

#[test]
fn a_used_token_is_renewed_by_the_timer_and_an_unused_one_is_not() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([lives(100.0)]));
        entry.token(endpoint.fetch()).await.unwrap();
        pass(89_000).await;
        assert_eq!(endpoint.hits.get(), 1);
        pass(2_000).await;
        assert_eq!(endpoint.hits.get(), 2);
        // Nobody used the second one.
        pass(95_000).await;
        assert_eq!(endpoint.hits.get(), 2);
        // Use within the leeway begins what the timer left, without waiting for it.
        assert_eq!(
            entry.token(endpoint.fetch()).await.unwrap().expose(),
            "token-2"
        );
        pass(100).await;
        assert_eq!(endpoint.hits.get(), 3);
    });
}

#[test]
fn a_failed_renewal_leaves_the_old_token_until_its_end() {
    run(async {
        let (entry, endpoint) = (
            entry(),
            Endpoint::new([lives(100.0), fails(FailureKind::Timeout)]),
        );
        entry.token(endpoint.fetch()).await.unwrap();
        pass(92_000).await;
        for _ in 0..5 {
            assert_eq!(
                entry.token(endpoint.fetch()).await.unwrap().expose(),
                "token-1"
            );
            pass(1_000).await;
        }
        assert_eq!(endpoint.hits.get(), 2);
        pass(4_000).await;
        assert!(entry.token(endpoint.fetch()).await.is_err());
    });
}

#[test]
fn timers_keep_neither_entry_nor_closure_alive() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([lives(86_400.0)]));
        for _ in 0..3 {
            entry.token(endpoint.fetch()).await.unwrap();
            entry.purge();
        }
        pass(1).await;
        assert_eq!(Rc::strong_count(&endpoint.hits), 1);
        entry.token(endpoint.fetch()).await.unwrap();
        let weak = Arc::downgrade(&entry);
        drop(entry);
        pass(1).await;
        assert!(weak.upgrade().is_none());
        assert_eq!(Rc::strong_count(&endpoint.hits), 1);
    });
}

#[test]
fn a_refused_token_is_replaced_once_a_second() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([lives(60.0)]));
        // A resource that always answers 401, 11 requests with one retry each.
        for _ in 0..11 {
            let mut token = entry.token(endpoint.fetch()).await.unwrap();
            let mut retries = Retries::new(1);
            while let AfterRefusal::Retry(next) = entry
                .refused(&token, &mut retries, endpoint.fetch())
                .await
                .unwrap()
            {
                token = next;
            }
        }
        assert!(endpoint.hits.get() <= 13, "{}", endpoint.hits.get());
    });
}

#[test]
fn a_refusal_of_an_older_token_takes_the_newer_one() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([lives(60.0)]));
        let old = entry.token(endpoint.fetch()).await.unwrap();
        let (mut a, mut b, mut c) = (Retries::new(1), Retries::new(1), Retries::new(0));
        let (first, second) = tokio::join!(
            entry.refused(&old, &mut a, endpoint.fetch()),
            entry.refused(&old, &mut b, endpoint.fetch()),
        );
        for outcome in [first, second] {
            assert!(matches!(outcome, Ok(AfterRefusal::Retry(t)) if t.expose() == "token-2"));
        }
        let mut late = Retries::new(1);
        let outcome = entry.refused(&old, &mut late, endpoint.fetch()).await;
        assert!(matches!(outcome, Ok(AfterRefusal::Retry(t)) if t.expose() == "token-2"));
        assert_eq!((endpoint.hits.get(), late.used()), (2, 1));
        // Without retries the token is dropped all the same.
        let current = entry.token(endpoint.fetch()).await.unwrap();
        let outcome = entry.refused(&current, &mut c, endpoint.fetch()).await;
        assert!(matches!(outcome, Ok(AfterRefusal::HandOn)));
        assert!(!entry.has_token());
    });
}

#[test]
fn a_panic_in_a_fetch_is_a_failure_for_all_who_wait() {
    run(async {
        let entry = entry();
        let broken = || async {
            sleep(Duration::from_millis(1)).await;
            panic!("scripted");
        };
        let (first, second) = tokio::join!(entry.token(broken), entry.token(broken));
        for outcome in [first, second] {
            assert_eq!(outcome.unwrap_err().failure.kind, FailureKind::Internal);
        }
        assert_eq!(entry.status().fetches, 1);
    });
}

#[test]
fn a_cached_token_needs_no_closure_until_it_is_due() {
    run(async {
        let (entry, endpoint) = (entry(), Endpoint::new([lives(100.0)]));
        assert!(entry.cached().is_none());
        entry.token(endpoint.fetch()).await.unwrap();
        assert!(entry.cached().is_some());
        // Wakes before the timer task does, so the renewal has not begun.
        advance(Duration::from_secs(91)).await;
        let due = entry.cached();
        assert!(due.is_none() || endpoint.hits.get() == 2);
    });
}

#[test]
fn workers_share_an_entry_and_one_may_end() {
    let entry = entry();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    // The first worker ends in the middle of its fetch.
    runtime().block_on(async {
        let local = LocalSet::new();
        let endpoint = Endpoint::new([lives(60.0)]);
        endpoint.delay.set(Duration::from_hours(1));
        let left = local.run_until(tokio::time::timeout(
            Duration::from_millis(5),
            entry.token(endpoint.fetch()),
        ));
        assert!(left.await.is_err());
        assert!(entry.status().fetching);
    });
    assert!(!entry.status().fetching);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let entry = Arc::clone(&entry);
            std::thread::spawn(move || {
                let token = runtime().block_on(LocalSet::new().run_until(async move {
                    entry
                        .token(Endpoint::new([lives(60.0)]).fetch())
                        .await
                        .unwrap()
                }));
                token.number
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(entry.has_token());
}
