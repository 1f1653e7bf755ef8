//! Every state that an entry can get into, explored: the promises of the module hold in all of them.
//!
//! A state is reached by a list of steps: somebody asks, leaves, is refused; the endpoint answers
//! this or that; time passes up to whatever is due next; a worker ends. Each step is taken with the
//! entry itself, not with a model of it, from every state that was found, until no new one appears.
//! States are told apart by all that decides the future, times relative to now and in whole seconds, so
//! the search ends.
//! Nothing in it is left to chance: time stands still but for a step, and the back-off has no jitter.

use super::*;
use crate::clock::UnixTime;
use crate::oauth::client::token_response::{
    FailureKind, FetchFailure, FetchedToken, Lifetime, TokenType,
};
use futures_util::FutureExt as _;
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet};

/// Requests that wait at the same time, at most: one on each worker.
const REQUESTS: usize = 2;
/// Failures in a row, at most: the back-off doubles for ever.
const FAILURES: u32 = 2;
/// A lifetime, renewed a second before its end.
const LIFETIME: f64 = 2.0;
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// More states than this and the search is not what it was meant to be.
const MOST_STATES: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A request on this worker wants the token.
    Ask(usize),
    /// The longest waiting request leaves.
    Leave,
    /// The endpoint gives a token.
    Succeed,
    /// It gives one that is over at once.
    SucceedOnce,
    /// It fails in a way that may be over in a moment.
    FailMomentarily,
    /// It refuses.
    FailForGood,
    /// It wants a pause.
    FailWithPause,
    /// The resource refuses the token that was given out last.
    Refuse,
    /// Time passes up to what is due next.
    Pass,
    /// The admin API forgets all.
    Purge,
    /// The first worker ends, with its requests and fetches.
    End,
}

/// Steps with tokens that all share.
const SHARED: [Step; 11] = [
    Step::Ask(0),
    Step::Ask(1),
    Step::Leave,
    Step::Succeed,
    Step::FailMomentarily,
    Step::FailForGood,
    Step::FailWithPause,
    Step::Refuse,
    Step::Pass,
    Step::Purge,
    Step::End,
];
/// Steps with tokens for one use among them.
const SINGLE: [Step; 8] = [
    Step::Ask(0),
    Step::Ask(1),
    Step::Leave,
    Step::Succeed,
    Step::SucceedOnce,
    Step::FailForGood,
    Step::Pass,
    Step::End,
];

type Answer = Result<FetchedToken, FetchFailure>;

/// An attempt that waits for the endpoint's answer.
struct Attempt {
    worker: usize,
    answer: oneshot::Sender<Answer>,
}

/// The endpoint: the attempts under way, and how many there were.
#[derive(Default)]
struct Endpoint {
    attempts: RefCell<VecDeque<Attempt>>,
    begun: Cell<u32>,
}

/// What a request got.
enum Given {
    Token(Arc<Token>),
    /// Neither token nor failure: the refusal is handed on.
    Nothing,
    Failed(TokenError),
}

struct Request {
    worker: usize,
    refused: bool,
    task: JoinHandle<Given>,
}

/// What a state is: all that decides what can happen from here. Times are seconds from now.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    /// When the token is renewed and ends, whether it was used, whether its renewal has begun.
    token: Option<(u64, u64, bool, bool)>,
    fetching: bool,
    single_use: bool,
    failures: u32,
    pause: bool,
    blocked: u64,
    refusal_round: u64,
    /// Whether the token given out last is the current one.
    last: Option<bool>,
    /// Timers that wait to renew the token.
    timers: usize,
    /// The workers of the attempts under way, and of the one that is to be repeated.
    attempts: Vec<usize>,
    again: Option<usize>,
    trying_again: bool,
    own_fetches: bool,
    /// Workers of those who wait, and whether because of a refusal.
    requests: Vec<(usize, bool)>,
}

struct World {
    entry: Arc<TokenEntry>,
    endpoint: Rc<Endpoint>,
    workers: [LocalSet; 2],
    requests: VecDeque<Request>,
    last: Option<Arc<Token>>,
    /// When a fetch that failed momentarily is tried again, and by which worker.
    again: Option<(Instant, usize)>,
    /// Whether the attempt under way is a second one.
    trying_again: bool,
    /// After a token for one use, requests fetch for themselves.
    own_fetches: bool,
    /// When a fetch began because of a refusal.
    round: Option<Instant>,
}

/// How things stood before a step.
struct Before {
    begun: u32,
    attempts: usize,
    blocked: bool,
    waiting: usize,
    current: Option<Arc<Token>>,
    used: bool,
    idle: bool,
}

impl World {
    fn new() -> Self {
        let (clock, _) = Clock::manual(UnixTime::from_seconds(1_000));
        let settings = Settings {
            expiry_leeway: Some(Duration::from_secs(1)),
            ..Settings::default()
        };
        let mut entry = TokenEntry::new(settings, clock);
        entry.jitter = || 0.5;
        Self {
            entry: Arc::new(entry),
            endpoint: Rc::default(),
            workers: [LocalSet::new(), LocalSet::new()],
            requests: VecDeque::new(),
            last: None,
            again: None,
            trying_again: false,
            own_fetches: false,
            round: None,
        }
    }

    fn now(&self) -> Instant {
        self.entry.clock.now()
    }

    /// Lets everything happen that can without time passing.
    async fn settle(&self) {
        for _ in 0..4 {
            for worker in &self.workers {
                worker.run_until(tokio::task::yield_now()).await;
            }
        }
    }

    fn fetcher(
        &self,
        worker: usize,
    ) -> impl Fn() -> Pin<Box<dyn Future<Output = Answer>>> + use<> + 'static {
        let endpoint = Rc::clone(&self.endpoint);
        move || {
            let endpoint = Rc::clone(&endpoint);
            Box::pin(async move {
                let (answer, answered) = oneshot::channel();
                endpoint.begun.set(endpoint.begun.get() + 1);
                let attempt = Attempt { worker, answer };
                endpoint.attempts.borrow_mut().push_back(attempt);
                answered.await.unwrap()
            })
        }
    }

    /// Attempts whose worker is still there.
    fn attempts(&self) -> usize {
        let mut attempts = self.endpoint.attempts.borrow_mut();
        attempts.retain(|attempt| !attempt.answer.is_closed());
        attempts.len()
    }

    fn spawn(&mut self, worker: usize, refused: bool, ask: impl Future<Output = Given> + 'static) {
        let task = self.workers[worker].spawn_local(ask);
        self.requests.push_back(Request {
            worker,
            refused,
            task,
        });
    }

    fn before(&self) -> Before {
        let state = self.entry.lock();
        let now = self.now();
        let current = self.entry.current.load_full();
        let current = current.filter(|token| now < token.expires_at);
        Before {
            begun: self.endpoint.begun.get(),
            attempts: self.attempts(),
            blocked: state.blocked_until.is_some_and(|until| now < until),
            waiting: self.requests.len(),
            used: current
                .as_ref()
                .is_some_and(|token| token.used.load(Ordering::Relaxed)),
            current,
            idle: running(&state).is_none(),
        }
    }

    fn key(&self) -> Key {
        let state = self.entry.lock();
        let now = self.now();
        let left = |until: Instant| {
            let left = until.saturating_duration_since(now);
            left.as_secs() + u64::from(left.subsec_nanos() > 0)
        };
        let current = self.entry.current.load_full();
        let current = current.filter(|token| now < token.expires_at);
        let attempts = self.endpoint.attempts.borrow();
        let attempts = attempts
            .iter()
            .filter(|attempt| !attempt.answer.is_closed());
        let number = current.as_ref().map(|token| token.number);
        Key {
            token: current.map(|token| {
                (
                    left(token.refresh_at),
                    left(token.expires_at),
                    token.used.load(Ordering::Relaxed),
                    token.renewal_begun.load(Ordering::Relaxed),
                )
            }),
            fetching: running(&state).is_some(),
            single_use: state.single_use,
            failures: state.failures,
            pause: state
                .last_failure
                .as_ref()
                .is_some_and(|failure| failure.retry_after.is_some()),
            blocked: state.blocked_until.map_or(0, left),
            refusal_round: state
                .last_refusal_round
                .map_or(0, |at| left(at + REFUSAL_ROUND)),
            last: self.last.as_ref().map(|last| Some(last.number) == number),
            timers: self.entry.number.receiver_count(),
            attempts: attempts.map(|attempt| attempt.worker).collect(),
            again: self.again.map(|(_, worker)| worker),
            trying_again: self.trying_again,
            own_fetches: self.own_fetches,
            requests: self
                .requests
                .iter()
                .map(|request| (request.worker, request.refused))
                .collect(),
        }
    }

    fn is_possible(&self, step: Step) -> bool {
        let attempts = self.attempts();
        let may_fail = attempts > 0 && self.entry.lock().failures < FAILURES;
        let room = |worker| !self.requests.iter().any(|request| request.worker == worker);
        match step {
            // Who fetches for itself and leaves does not end its fetch.
            Step::Ask(worker) => room(worker) && attempts < REQUESTS,
            Step::Leave => !self.requests.is_empty(),
            Step::Succeed | Step::SucceedOnce => attempts > 0,
            // Who fetches for itself is one of several, whose second attempts are not told apart.
            Step::FailMomentarily => may_fail && !self.own_fetches,
            Step::FailForGood | Step::FailWithPause => may_fail,
            Step::Refuse => room(1) && self.last.is_some(),
            Step::Pass => self.next_due().is_some(),
            Step::Purge => self.entry.has_token() || self.entry.lock().failures > 0,
            Step::End => {
                let mut mine = self.requests.iter().map(|request| request.worker);
                attempts > 0 || mine.any(|worker| worker == 0)
            }
        }
    }

    /// When something changes by itself next.
    fn next_due(&self) -> Option<Instant> {
        let state = self.entry.lock();
        let token = self.entry.current.load_full();
        let token = token
            .iter()
            .flat_map(|token| [token.refresh_at, token.expires_at]);
        let round = state.last_refusal_round.map(|at| at + REFUSAL_ROUND);
        let due = token
            .chain(state.blocked_until)
            .chain(round)
            .chain(self.again.map(|(at, _)| at));
        let now = self.now();
        due.filter(|due| *due > now).min()
    }

    fn answer(&mut self, answer: Result<f64, FetchFailure>) {
        let attempt = self.endpoint.attempts.borrow_mut().pop_front().unwrap();
        let momentary = answer.as_ref().is_err_and(FetchFailure::is_momentary);
        let first = self.entry.lock().failures == 0 && !self.trying_again;
        self.trying_again = false;
        if momentary && first && !self.own_fetches {
            self.again = Some((self.now() + SECOND_ATTEMPT, attempt.worker));
        }
        let answer = answer.map(|seconds| FetchedToken {
            access_token: "token".to_owned().into(),
            token_type: TokenType::Bearer,
            lifetime: Lifetime::Seconds(seconds),
        });
        assert!(attempt.answer.send(answer).is_ok());
    }

    async fn take(&mut self, step: Step) {
        let before = self.before();
        let fails = |status| FetchFailure::new(FailureKind::Status(status), "scripted");
        match step {
            Step::Ask(worker) => {
                let (entry, fetch) = (Arc::clone(&self.entry), self.fetcher(worker));
                self.spawn(worker, false, async move {
                    match entry.token(fetch).await {
                        Ok(token) => Given::Token(token),
                        Err(error) => Given::Failed(error),
                    }
                });
            }
            Step::Refuse => {
                let token = self.last.clone().unwrap();
                let (entry, fetch) = (Arc::clone(&self.entry), self.fetcher(1));
                self.spawn(1, true, async move {
                    match entry.refused(&token, &mut Retries::new(1), fetch).await {
                        Ok(AfterRefusal::Retry(token)) => Given::Token(token),
                        Ok(AfterRefusal::HandOn) => Given::Nothing,
                        Err(error) => Given::Failed(error),
                    }
                });
            }
            Step::Leave => self.requests.pop_front().unwrap().task.abort(),
            Step::Succeed => self.answer(Ok(LIFETIME)),
            Step::SucceedOnce => {
                self.own_fetches = true;
                self.answer(Ok(0.0));
            }
            Step::FailMomentarily => self.answer(Err(fails(500))),
            Step::FailForGood => self.answer(Err(fails(401))),
            Step::FailWithPause => self.answer(Err(FetchFailure {
                retry_after: Some(RETRY_AFTER),
                ..fails(429)
            })),
            Step::Pass => {
                let due = self.next_due().unwrap();
                tokio::time::advance(due - self.now()).await;
                if self.again.is_some_and(|(at, _)| at <= self.now()) {
                    self.again = None;
                    self.trying_again = true;
                }
            }
            Step::Purge => {
                self.entry.purge();
                self.round = None;
            }
            Step::End => {
                self.requests.retain(|request| request.worker != 0);
                let attempts = self.endpoint.attempts.borrow();
                if attempts.front().is_some_and(|attempt| attempt.worker == 0) {
                    self.trying_again = false;
                }
                drop(attempts);
                self.again = self.again.filter(|(_, worker)| *worker != 0);
                self.workers[0] = LocalSet::new();
            }
        }
        self.settle().await;
        self.check(step, &before).await;
    }

    /// What is promised, whatever the step.
    async fn check(&mut self, step: Step, before: &Before) {
        let now = self.now();
        let begun = self.endpoint.begun.get() - before.begun;
        let asked = matches!(step, Step::Ask(_));
        let was_valid = before.current.is_some();

        let mut given = Vec::new();
        for mut request in std::mem::take(&mut self.requests) {
            if request.task.is_finished() {
                given.push((&mut request.task).await.unwrap());
            } else {
                self.requests.push_back(request);
            }
        }
        for given in &given {
            if let Given::Token(token) = given {
                let single_use = self.own_fetches || step == Step::SucceedOnce;
                assert!(now < token.expires_at || single_use, "a token past its end");
            }
        }

        let waiting = self.requests.len();
        let under_way = self.attempts() > 0 || self.again.is_some();
        assert!(waiting == 0 || under_way, "somebody waits for nothing");
        assert!(
            self.attempts() <= 1 || self.own_fetches,
            "two fetches at once"
        );

        if asked && was_valid {
            let got = matches!(given.last(), Some(Given::Token(_)));
            assert!(got, "a request with a valid token at hand waits or fails");
        }
        if asked && !was_valid && before.blocked && before.idle {
            let failed = matches!(given.last(), Some(Given::Failed(_)));
            assert!(failed && begun == 0, "the back-off is not kept");
        }
        if asked && !self.own_fetches {
            let most = u32::from(before.idle);
            assert!(begun <= most, "a fetch beside one that could be shared");
        }
        if step == Step::Leave {
            let kept = self.attempts() == before.attempts;
            assert!(kept && begun == 0, "a fetch ends with its caller");
        }
        let failure = matches!(
            step,
            Step::FailMomentarily | Step::FailForGood | Step::FailWithPause
        );
        if failure && let Some(token) = &before.current {
            let current = self.entry.current.load_full();
            let kept = current.is_some_and(|current| Arc::ptr_eq(&current, token));
            assert!(kept, "a failed renewal costs the token");
        }
        if (failure || step == Step::Succeed) && !self.own_fetches && self.again.is_none() {
            assert_eq!(waiting, 0, "an outcome is not shared by all who waited");
            assert_eq!(given.len(), before.waiting);
            check_same(&given);
        }
        if step == Step::Pass && before.idle && !before.used && before.waiting == 0 {
            assert_eq!(begun, 0, "a token that nobody uses is renewed");
        }
        if step == Step::Refuse && begun > 0 {
            if let Some(round) = self.round {
                assert!(now >= round + REFUSAL_ROUND, "two rounds in a second");
            }
            self.round = Some(now);
        }

        let tokens = given.into_iter().filter_map(|given| match given {
            Given::Token(token) => Some(token),
            Given::Nothing | Given::Failed(_) => None,
        });
        self.last = tokens.last().or(self.last.take());
        if waiting == 0 && self.attempts() == 0 && !self.entry.lock().single_use {
            self.own_fetches = false;
        }
    }

    /// From here, a token can be had; and nothing is left of an entry that nobody uses.
    async fn recover(mut self) {
        for _ in 0..2 * REQUESTS {
            while self.attempts() > 0 {
                self.answer(Ok(LIFETIME));
                self.settle().await;
            }
            tokio::time::advance(SECOND_ATTEMPT).await;
            self.settle().await;
        }
        tokio::time::advance(RETRY_AFTER).await;
        self.settle().await;
        self.requests.clear();
        let (entry, fetch) = (Arc::clone(&self.entry), self.fetcher(1));
        let asking = self.workers[1].spawn_local(async move { entry.token(fetch).await });
        self.settle().await;
        while self.attempts() > 0 {
            self.answer(Ok(LIFETIME));
            self.settle().await;
        }
        assert!(asking.is_finished(), "stuck");
        assert!(
            asking.await.unwrap().is_ok(),
            "no token from a sound endpoint"
        );

        let entry = Arc::downgrade(&self.entry);
        let Self {
            entry: last,
            workers,
            ..
        } = self;
        drop(last);
        for worker in &workers {
            worker.run_until(tokio::task::yield_now()).await;
        }
        assert_eq!(entry.strong_count(), 0, "a timer keeps an entry alive");
    }
}

/// All who waited for a fetch get the same token or the same failure.
fn check_same(given: &[Given]) {
    for pair in given.windows(2) {
        let same = match (&pair[0], &pair[1]) {
            (Given::Token(a), Given::Token(b)) => Arc::ptr_eq(a, b),
            (Given::Failed(a), Given::Failed(b)) => Arc::ptr_eq(&a.failure, &b.failure),
            _ => false,
        };
        assert!(same, "those who waited got different outcomes");
    }
}

/// Goes to where the steps lead.
async fn reach(path: &[Step]) -> World {
    let mut world = World::new();
    for step in path {
        world.take(*step).await;
    }
    world
}

/// Takes each of these steps in each state that they lead to; returns how many there are.
fn explore(steps: &[Step]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut known = HashSet::from([World::new().key()]);
        let mut open = VecDeque::from([Vec::new()]);
        while let Some(path) = open.pop_front() {
            let here = reach(&path).await;
            let possible: Vec<&Step> = steps.iter().filter(|s| here.is_possible(**s)).collect();
            for step in possible {
                let mut world = reach(&path).await;
                let next: Vec<Step> = path.iter().copied().chain([*step]).collect();
                let walked = std::panic::AssertUnwindSafe(world.take(*step));
                if let Err(panic) = walked.catch_unwind().await {
                    eprintln!("after {next:?}");
                    std::panic::resume_unwind(panic);
                }
                if known.insert(world.key()) {
                    assert!(known.len() <= MOST_STATES, "the search does not end");
                    open.push_back(next);
                    world.recover().await;
                }
            }
        }
        known.len()
    })
}

#[test]
fn the_promises_hold_in_every_state() {
    let states = explore(&SHARED);
    assert!(states > 300, "only {states} states");
}

#[test]
fn they_hold_with_tokens_for_one_use_too() {
    let states = explore(&SINGLE);
    assert!(states > 300, "only {states} states");
}
