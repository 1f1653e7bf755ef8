//! What counts: counters, gauges and histograms that workers write without meeting one another.
//!
//! Each is split into cells on cache lines of their own; a thread writes its cell, a scrape adds
//! them up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};

/// More cells than this would cost more memory than they save time.
const MAX_CELLS: usize = 16;

/// How many cells each instrument has.
fn cells() -> usize {
    static CELLS: OnceLock<usize> = OnceLock::new();
    *CELLS.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores.next_power_of_two().min(MAX_CELLS)
    })
}

thread_local! {
    /// Which cell the thread writes.
    static CELL: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// The calling thread's cell out of so many, a power of two.
fn own(cells: usize) -> usize {
    // At the end of a thread its number may be gone; any cell will do.
    CELL.try_with(|cell| *cell).unwrap_or(0) & (cells - 1)
}

/// Something on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line<T>(T);

fn lines<T: Default>(count: usize) -> Box<[Line<T>]> {
    std::iter::repeat_with(Line::default).take(count).collect()
}

/// Counts up.
#[derive(Debug)]
pub struct Counter(Box<[Line<AtomicU64>]>);

impl Default for Counter {
    fn default() -> Self {
        Self(lines(cells()))
    }
}

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0[own(self.0.len())]
            .0
            .fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn value(&self) -> u64 {
        let cells = self.0.iter();
        cells.fold(0, |sum, cell| {
            sum.wrapping_add(cell.0.load(Ordering::Relaxed))
        })
    }
}

/// Goes up and down. The thread that adds need not be the one that subtracts.
#[derive(Debug)]
pub struct Gauge(Box<[Line<AtomicI64>]>);

impl Default for Gauge {
    fn default() -> Self {
        Self(lines(cells()))
    }
}

impl Gauge {
    /// Adds; a negative number subtracts.
    pub fn add(&self, count: i64) {
        self.0[own(self.0.len())]
            .0
            .fetch_add(count, Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> i64 {
        let cells = self.0.iter();
        cells.fold(0, |sum, cell| {
            sum.wrapping_add(cell.0.load(Ordering::Relaxed))
        })
    }
}

/// Upper bounds of buckets in nanoseconds, ascending; a bucket for everything above follows.
pub type Bounds = &'static [u64];

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000 * MICRO;
const SECOND: u64 = 1_000 * MILLI;

/// For requests: 5 ms to 10 s.
pub const REQUEST_BOUNDS: Bounds = &[
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    5 * SECOND / 2,
    5 * SECOND,
    10 * SECOND,
];

/// For what is mostly done in memory: 100 µs to 10 s.
pub const CHECK_BOUNDS: Bounds = &[
    100 * MICRO,
    250 * MICRO,
    MILLI,
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    5 * SECOND,
    10 * SECOND,
];

/// For connections: 5 ms to 10 min.
pub const LIFETIME_BOUNDS: Bounds = &[
    5 * MILLI,
    50 * MILLI,
    500 * MILLI,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
    600 * SECOND,
];

/// Eight numbers fill a cache line.
const PER_LINE: usize = 8;

/// Durations by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    /// For each cell so many lines: buckets, then the sum.
    lines: Box<[Line<[AtomicU64; PER_LINE]>]>,
    stride: usize,
}

/// A histogram as it is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Upper bounds in seconds (the last one is infinite) and how many lie below each and above
    /// the one before.
    pub buckets: Vec<(f64, u64)>,
    /// All durations together in seconds.
    pub sum: f64,
}

impl Distribution {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

impl Histogram {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        let stride = (bounds.len() + 2).div_ceil(PER_LINE);
        Self {
            bounds,
            lines: lines(stride * cells()),
            stride,
        }
    }

    /// Adds a duration.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < nanos);
        let cell = own(self.lines.len() / self.stride);
        self.slot(cell, bucket).fetch_add(1, Ordering::Relaxed);
        let sum = self.bounds.len() + 1;
        self.slot(cell, sum).fetch_add(nanos, Ordering::Relaxed);
    }

    fn slot(&self, cell: usize, at: usize) -> &AtomicU64 {
        &self.lines[cell * self.stride + at / PER_LINE].0[at % PER_LINE]
    }

    fn total(&self, at: usize) -> u64 {
        let cells = 0..self.lines.len() / self.stride;
        cells.fold(0, |sum, cell| {
            sum.wrapping_add(self.slot(cell, at).load(Ordering::Relaxed))
        })
    }

    /// What it holds now.
    pub fn value(&self) -> Distribution {
        let bounds = self.bounds.iter().map(|bound| seconds(*bound));
        let buckets = bounds.chain([f64::INFINITY]).enumerate();
        Distribution {
            buckets: buckets.map(|(at, bound)| (bound, self.total(at))).collect(),
            sum: seconds(self.total(self.bounds.len() + 1)),
        }
    }
}

/// Methods that have a label of their own; others are counted together, as clients make them up.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];
const OTHER_METHOD: &str = "OTHER";
/// The statuses that HTTP can tell are 100 to 999: nine classes of a hundred each.
const CLASSES: usize = 9;
const PER_CLASS: usize = 100;

type Slot = OnceLock<Box<Histogram>>;

/// Requests by method and status. What does not occur takes no room; what does is found by index.
#[derive(Debug, Default)]
pub struct Requests {
    methods: [OnceLock<Codes>; METHODS.len() + 1],
}

#[derive(Debug, Default)]
struct Codes {
    /// Requests without an answer.
    none: Slot,
    answered: [OnceLock<Box<[Slot]>>; CLASSES],
}

impl Requests {
    /// Counts a request; `None` where there was no answer.
    pub fn record(&self, method: &Method, status: Option<StatusCode>, duration: Duration) {
        let known = METHODS.iter().position(|known| known == method);
        let codes = self.methods[known.unwrap_or(METHODS.len())].get_or_init(Codes::default);
        let slot = status.map_or(&codes.none, |status| {
            let at = usize::from(status.as_u16()) - PER_CLASS;
            let class = codes.answered[at / PER_CLASS].get_or_init(|| {
                let slots = std::iter::repeat_with(Slot::new);
                slots.take(PER_CLASS).collect()
            });
            &class[at % PER_CLASS]
        });
        slot.get_or_init(|| Box::new(Histogram::new(REQUEST_BOUNDS)))
            .record(duration);
    }

    /// Each method and status that occurred.
    pub fn each(&self, mut tell: impl FnMut(&str, Option<usize>, Distribution)) {
        let names = METHODS.iter().map(Method::as_str).chain([OTHER_METHOD]);
        for (method, codes) in names.zip(&self.methods) {
            let Some(codes) = codes.get() else { continue };
            if let Some(histogram) = codes.none.get() {
                tell(method, None, histogram.value());
            }
            for (class, slots) in codes.answered.iter().enumerate() {
                let slots = slots.get().into_iter().flatten();
                for (at, slot) in slots.enumerate() {
                    if let Some(histogram) = slot.get() {
                        let code = (class + 1) * PER_CLASS + at;
                        tell(method, Some(code), histogram.value());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let (counter, gauge) = (Counter::default(), Gauge::default());
        let histogram = Histogram::new(REQUEST_BOUNDS);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.add(2);
                        gauge.add(3);
                        gauge.add(-2);
                        histogram.record(Duration::from_millis(7));
                    }
                });
            }
        });
        assert_eq!(counter.value(), 16_000);
        assert_eq!(gauge.value(), 8_000);
        let value = histogram.value();
        assert_eq!(value.count(), 8_000);
        assert_eq!(value.buckets[1], (0.01, 8_000));
        assert!((value.sum - 56.0).abs() < 1e-6);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(REQUEST_BOUNDS);
        for millis in [0, 5, 6, 10_000, 10_001] {
            histogram.record(Duration::from_millis(millis));
        }
        histogram.record(Duration::MAX);
        let counts: Vec<u64> = histogram.value().buckets.iter().map(|b| b.1).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn requests_are_told_apart_by_method_and_status() {
        let requests = Requests::default();
        let made_up = Method::from_bytes(b"FOO").unwrap();
        let ok = Some(StatusCode::OK);
        for (method, status) in [
            (&Method::GET, ok),
            (&Method::GET, ok),
            (&Method::GET, None),
            (&made_up, StatusCode::from_u16(999).ok()),
        ] {
            requests.record(method, status, Duration::from_millis(1));
        }
        let mut told = Vec::new();
        requests.each(|method, code, value| told.push((method.to_owned(), code, value.count())));
        assert_eq!(
            told,
            [
                ("GET".to_owned(), None, 1),
                ("GET".to_owned(), Some(200), 2),
                ("OTHER".to_owned(), Some(999), 1),
            ]
        );
    }
}
