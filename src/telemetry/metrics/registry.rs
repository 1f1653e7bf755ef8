//! All series of the process, by family and label values.
//!
//! A configuration asks for its series while it is built, and keeps the handles; requests write
//! through these. The registry holds series weakly: those that no configuration names any more
//! vanish, those that the next one names, too, go on counting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::families::{Family, Kind};
use super::instruments::{Counter, Distribution, Gauge, Histogram, Requests};

type Key = (&'static str, Box<[Box<str>]>);
type Read = Box<dyn Fn() -> Option<f64> + Send + Sync>;

enum Source {
    Counter(Weak<Counter>),
    Gauge(Weak<Gauge>),
    Histogram(Weak<Histogram>),
    Requests(Weak<Requests>, &'static Family),
    /// Counts for good, held by nobody else.
    Kept(Counter),
    /// Asked at each scrape; `None` when its owner has gone. The last owner that is there counts: a
    /// configuration that turns out to be faulty must not take the place of the one in force.
    Read(Vec<Read>),
}

impl Source {
    fn is_gone(&self) -> bool {
        match self {
            Self::Counter(weak) => weak.strong_count() == 0,
            Self::Gauge(weak) => weak.strong_count() == 0,
            Self::Histogram(weak) => weak.strong_count() == 0,
            Self::Requests(weak, _) => weak.strong_count() == 0,
            Self::Kept(_) => false,
            Self::Read(reads) => reads.iter().all(|read| read().is_none()),
        }
    }
}

/// The series.
#[derive(Default)]
pub struct Registry {
    series: Mutex<BTreeMap<Key, (&'static Family, Source)>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("series", &self.lock().len())
            .finish()
    }
}

/// What a series shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Distribution(Distribution),
}

/// A series at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What it belongs to.
    pub family: &'static Family,
    /// Its labels by name.
    pub labels: Vec<(&'static str, String)>,
    /// What it shows.
    pub value: Value,
}

fn key(family: &'static Family, values: &[&str]) -> Key {
    debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
    (
        family.name,
        values.iter().map(|value| (*value).into()).collect(),
    )
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, (&'static Family, Source)>> {
        // Every change is one insertion, so a panic elsewhere spoils nothing.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series that `find` finds behind these labels, else a new one.
    fn handle<T>(
        &self,
        family: &'static Family,
        values: &[&str],
        find: impl Fn(&Source) -> Option<Arc<T>>,
        make: impl FnOnce() -> (Arc<T>, Source),
    ) -> Arc<T> {
        let key = key(family, values);
        let mut series = self.lock();
        if let Some(known) = series.get(&key).and_then(|(_, source)| find(source)) {
            return known;
        }
        let (made, source) = make();
        series.insert(key, (family, source));
        made
    }

    /// A counter. `values` are those of the family's labels, in its order, here and below.
    pub fn counter(&self, family: &'static Family, values: &[&str]) -> Arc<Counter> {
        let find = |source: &Source| match source {
            Source::Counter(weak) => weak.upgrade(),
            _ => None,
        };
        self.handle(family, values, find, || {
            let made = Arc::new(Counter::default());
            let source = Source::Counter(Arc::downgrade(&made));
            (made, source)
        })
    }

    /// A gauge.
    pub fn gauge(&self, family: &'static Family, values: &[&str]) -> Arc<Gauge> {
        let find = |source: &Source| match source {
            Source::Gauge(weak) => weak.upgrade(),
            _ => None,
        };
        self.handle(family, values, find, || {
            let made = Arc::new(Gauge::default());
            let source = Source::Gauge(Arc::downgrade(&made));
            (made, source)
        })
    }

    /// A histogram.
    pub fn histogram(&self, family: &'static Family, values: &[&str]) -> Arc<Histogram> {
        let find = |source: &Source| match source {
            Source::Histogram(weak) => weak.upgrade(),
            _ => None,
        };
        self.handle(family, values, find, || {
            let made = Arc::new(Histogram::new(family.bounds()));
            let source = Source::Histogram(Arc::downgrade(&made));
            (made, source)
        })
    }

    /// Requests by method and status, for two families with equal labels: how many, and how long
    /// they took. Their labels `code` and `method` are left out of `values`.
    pub fn requests(
        &self,
        total: &'static Family,
        duration: &'static Family,
        values: &[&str],
    ) -> Arc<Requests> {
        debug_assert_eq!(total.labels, duration.labels);
        let find = |source: &Source| match source {
            Source::Requests(weak, _) => weak.upgrade(),
            _ => None,
        };
        let key = (
            total.name,
            values.iter().map(|value| (*value).into()).collect(),
        );
        let mut series = self.lock();
        if let Some(known) = series.get(&key).and_then(|(_, source)| find(source)) {
            return known;
        }
        let made = Arc::<Requests>::default();
        let source = Source::Requests(Arc::downgrade(&made), duration);
        series.insert(key, (total, source));
        made
    }

    /// A number that is asked for at each scrape, until `read` says that its owner has gone.
    pub fn read(
        &self,
        family: &'static Family,
        values: &[&str],
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        let mut series = self.lock();
        let entry = series.entry(key(family, values));
        let (_, source) = entry.or_insert_with(|| (family, Source::Read(Vec::new())));
        if let Source::Read(reads) = source {
            reads.retain(|read| read().is_some());
            reads.push(Box::new(read));
        }
    }

    /// Counts something that is rare. It looks its series up, so what happens at every request keeps
    /// a [`Registry::counter`] instead.
    pub fn count(&self, family: &'static Family, values: &[&str]) {
        let mut series = self.lock();
        let entry = series.entry(key(family, values));
        let (_, source) = entry.or_insert_with(|| (family, Source::Kept(Counter::default())));
        match source {
            Source::Kept(counter) => counter.add(1),
            Source::Counter(weak) => {
                if let Some(counter) = weak.upgrade() {
                    counter.add(1);
                }
            }
            _ => {}
        }
    }

    /// All series, those of a family one after another. Forgets those that have gone.
    pub fn collect(&self) -> Vec<Sample> {
        let mut series = self.lock();
        series.retain(|_, (_, source)| !source.is_gone());
        let mut samples = Vec::with_capacity(series.len() * 2);
        for ((_, values), (family, source)) in &*series {
            let mut add = |value| {
                let labels = family.labels.iter().copied();
                let values = values.iter().map(ToString::to_string);
                samples.push(Sample {
                    family,
                    labels: labels.zip(values).collect(),
                    value,
                });
            };
            match source {
                Source::Counter(weak) => {
                    if let Some(counter) = weak.upgrade() {
                        add(number(counter.value()));
                    }
                }
                Source::Kept(counter) => add(number(counter.value())),
                Source::Gauge(weak) => {
                    if let Some(gauge) = weak.upgrade() {
                        #[allow(clippy::cast_precision_loss)]
                        add(Value::Number(gauge.value() as f64));
                    }
                }
                Source::Histogram(weak) => {
                    if let Some(histogram) = weak.upgrade() {
                        add(Value::Distribution(histogram.value()));
                    }
                }
                Source::Read(reads) => {
                    if let Some(value) = reads.iter().rev().find_map(|read| read()) {
                        add(Value::Number(value));
                    }
                }
                Source::Requests(weak, duration) => {
                    if let Some(requests) = weak.upgrade() {
                        of_requests(&requests, family, duration, values, &mut samples);
                    }
                }
            }
        }
        drop(series);
        samples.sort_by(|a, b| {
            let key = |sample: &Sample| (sample.family.name, sample.labels.clone());
            key(a).cmp(&key(b))
        });
        samples
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> Value {
    Value::Number(count as f64)
}

/// The two samples of each method and status.
fn of_requests(
    requests: &Requests,
    total: &'static Family,
    duration: &'static Family,
    values: &[Box<str>],
    samples: &mut Vec<Sample>,
) {
    requests.each(|method, code, distribution| {
        let mut rest = values.iter();
        let labels: Vec<(&'static str, String)> = total
            .labels
            .iter()
            .filter_map(|&label| {
                let value = match label {
                    "code" => code?.to_string(),
                    "method" => method.to_owned(),
                    _ => rest.next()?.to_string(),
                };
                Some((label, value))
            })
            .collect();
        samples.push(Sample {
            family: total,
            labels: labels.clone(),
            value: number(distribution.count()),
        });
        samples.push(Sample {
            family: duration,
            labels,
            value: Value::Distribution(distribution),
        });
    });
}

impl Family {
    fn bounds(&self) -> super::instruments::Bounds {
        match self.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::Counter | Kind::Gauge => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::families;
    use super::*;
    use http::{Method, StatusCode};
    use std::time::Duration;

    fn find<'s>(samples: &'s [Sample], family: &Family) -> Vec<&'s Sample> {
        let all = samples.iter();
        all.filter(|sample| sample.family.name == family.name)
            .collect()
    }

    #[test]
    fn series_live_as_long_as_a_configuration_names_them() {
        let registry = Registry::default();
        let family = &families::ACCESS_CONTROL;
        let first = registry.counter(family, &["door", "jwt", "granted"]);
        first.add(2);
        let again = registry.counter(family, &["door", "jwt", "granted"]);
        drop(first);
        again.add(1);
        let other = registry.counter(family, &["gate", "jwt", "granted"]);
        assert_eq!(registry.collect().len(), 2);
        drop(other);
        let samples = registry.collect();
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].value, Value::Number(3.0));
        assert_eq!(samples[0].labels[0], ("ac_name", "door".to_owned()));
    }

    #[test]
    fn requests_make_samples_of_two_families() {
        let registry = Registry::default();
        let (total, duration) = (
            &families::BACKEND_REQUESTS,
            &families::BACKEND_REQUEST_DURATION,
        );
        let requests = registry.requests(total, duration, &["be", "host", "origin:80"]);
        requests.record(&Method::GET, Some(StatusCode::OK), Duration::from_secs(1));
        requests.record(&Method::GET, None, Duration::from_secs(1));
        let samples = registry.collect();
        assert_eq!(find(&samples, duration).len(), 2);
        let totals = find(&samples, total);
        assert_eq!(totals.len(), 2);
        let names: Vec<&str> = totals[0].labels.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            ["backend_name", "code", "hostname", "method", "origin"]
        );
        let names: Vec<&str> = totals[1].labels.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["backend_name", "hostname", "method", "origin"]);
    }

    #[test]
    fn what_is_read_vanishes_with_its_owner() {
        let registry = Registry::default();
        let owner = Arc::new(7.0);
        let weak = Arc::downgrade(&owner);
        registry.read(&families::RELOAD_SUCCESS, &[], move || {
            weak.upgrade().map(|value| *value)
        });
        assert_eq!(registry.collect()[0].value, Value::Number(7.0));
        let faulty = Arc::new(8.0);
        let weak = Arc::downgrade(&faulty);
        registry.read(&families::RELOAD_SUCCESS, &[], move || {
            weak.upgrade().map(|value| *value)
        });
        assert_eq!(registry.collect()[0].value, Value::Number(8.0));
        drop(faulty);
        assert_eq!(registry.collect()[0].value, Value::Number(7.0));
        drop(owner);
        assert!(registry.collect().is_empty());
    }

    #[test]
    fn rare_events_are_counted_without_a_handle() {
        let registry = Registry::default();
        registry.count(&families::LIMIT, &["request_line"]);
        registry.count(&families::LIMIT, &["request_line"]);
        assert_eq!(registry.collect()[0].value, Value::Number(2.0));
    }
}
