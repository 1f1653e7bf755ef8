//! Limits of failed client authentication and of token requests, in sliding windows.
//!
//! Where nothing has failed lately, a look costs one atomic load.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::Rate;

/// The window of failures.
const MINUTE: Duration = Duration::from_secs(60);
/// Failures of one client from one address.
const OF_PAIR: usize = 10;
/// Failures from one address.
const OF_ADDRESS: usize = 60;
/// Failures of one client from everywhere: from then on each waits.
const OF_CLIENT: usize = 100;
/// Keys that are remembered; beyond that the oldest knowledge is dropped.
const MAX_KEYS: usize = 100_000;

/// Events in a sliding window, by key.
#[derive(Debug)]
struct Windows<K> {
    events: HashMap<K, VecDeque<Instant>>,
}

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self {
            events: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq> Windows<K> {
    /// How long until there is room again, if there is none.
    fn full(&mut self, key: &K, limit: usize, window: Duration, now: Instant) -> Option<Duration> {
        let events = self.events.get_mut(key)?;
        forget(events, window, now);
        if events.is_empty() {
            self.events.remove(key);
            return None;
        }
        let first = events.get(events.len().checked_sub(limit)?)?;
        Some(window.saturating_sub(now.saturating_duration_since(*first)))
    }

    fn record(&mut self, key: K, limit: usize, window: Duration, now: Instant) -> usize {
        if self.events.len() >= MAX_KEYS {
            self.events.retain(|_, events| {
                forget(events, window, now);
                !events.is_empty()
            });
            if self.events.len() >= MAX_KEYS {
                self.events.clear();
            }
        }
        let events = self.events.entry(key).or_default();
        forget(events, window, now);
        if events.len() >= limit {
            events.pop_front();
        }
        events.push_back(now);
        events.len()
    }
}

fn forget(events: &mut VecDeque<Instant>, window: Duration, now: Instant) {
    while events
        .front()
        .is_some_and(|at| now.saturating_duration_since(*at) >= window)
    {
        events.pop_front();
    }
}

/// An address as it is counted: IPv6 by its /64.
fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[derive(Debug, Default)]
struct Tables {
    pairs: Windows<(Box<str>, IpAddr)>,
    addresses: Windows<IpAddr>,
    clients: Windows<Box<str>>,
}

/// Failed authentications of clients.
#[derive(Debug, Default)]
pub struct Failures {
    seen: AtomicUsize,
    tables: Mutex<Tables>,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    None,
    /// Someone tries many secrets of one client: the answer is held back so long.
    Delay(Duration),
}

impl Failures {
    /// How long a client must not try from an address.
    pub fn blocked(&self, client: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        if self.seen.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let address = counted(address);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (client.into(), address);
        let blocked = tables.pairs.full(&pair, OF_PAIR, MINUTE, now);
        let by_address = tables.addresses.full(&address, OF_ADDRESS, MINUTE, now);
        if tables.pairs.events.is_empty() && tables.addresses.events.is_empty() {
            self.seen.store(0, Ordering::Relaxed);
        }
        blocked.max(by_address)
    }

    /// Notes a failure.
    pub fn failed(&self, client: &str, address: IpAddr, now: Instant) -> Consequence {
        self.seen.fetch_add(1, Ordering::Relaxed);
        let address = counted(address);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (client.into(), address);
        tables.pairs.record(pair, OF_PAIR, MINUTE, now);
        tables.addresses.record(address, OF_ADDRESS, MINUTE, now);
        let count = tables
            .clients
            .record(client.into(), 2 * OF_CLIENT, MINUTE, now);
        match u32::try_from(count.saturating_sub(OF_CLIENT)).unwrap_or(0) {
            0 => Consequence::None,
            over => Consequence::Delay(
                (Duration::from_millis(250) * over.min(8)).min(Duration::from_secs(2)),
            ),
        }
    }
}

/// Token requests of clients with a `rate_limit`.
#[derive(Debug, Default)]
pub struct Rates {
    windows: Mutex<Windows<Box<str>>>,
}

impl Rates {
    /// Counts a request; how long to wait when there have been too many.
    pub fn count(&self, client: &str, rate: Rate, now: Instant) -> Result<(), Duration> {
        let limit = usize::try_from(rate.per_period).unwrap_or(usize::MAX);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let key: Box<str> = client.into();
        match windows.full(&key, limit, rate.period, now) {
            Some(wait) => Err(wait),
            None => {
                windows.record(key, limit, rate.period, now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_block_one_pair_for_a_minute() {
        let failures = Failures::default();
        let start = Instant::now();
        let (here, there): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            assert_eq!(failures.blocked("a", here, now), None);
            failures.failed("a", here, now);
        }
        let now = start + Duration::from_secs(10);
        assert_eq!(
            failures.blocked("a", here, now),
            Some(Duration::from_secs(50))
        );
        assert_eq!(failures.blocked("a", there, now), None);
        assert_eq!(failures.blocked("b", here, now), None);
        let later = start + Duration::from_secs(60);
        assert_eq!(failures.blocked("a", here, later), None);
    }

    #[test]
    fn many_failures_of_one_client_are_slowed_down() {
        let failures = Failures::default();
        let now = Instant::now();
        for host in 0..100 {
            let address = [10, 0, 0, host].into();
            assert_eq!(failures.failed("a", address, now), Consequence::None);
        }
        let address = [10, 0, 1, 1].into();
        let consequence = failures.failed("a", address, now);
        assert_eq!(consequence, Consequence::Delay(Duration::from_millis(250)));
    }

    #[test]
    fn rates_slide() {
        let rates = Rates::default();
        let rate = Rate {
            per_period: 2,
            period: Duration::from_secs(10),
        };
        let start = Instant::now();
        assert!(rates.count("a", rate, start).is_ok());
        assert!(rates.count("a", rate, start).is_ok());
        assert!(rates.count("a", rate, start).is_err());
        assert!(rates.count("b", rate, start).is_ok());
        let later = start + Duration::from_secs(10);
        assert!(rates.count("a", rate, later).is_ok());
    }
}
