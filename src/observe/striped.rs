//! Metrics that are counted with every request. A counter that all threads share travels between their processors for
//! each of them; here threads count apart, and what is shown is the sum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, Metric, MetricFamily, MetricType};

/// More threads than this share.
const MOST: usize = 16;

/// One for each thread.
#[derive(Debug)]
pub struct Stripes<T> {
    first: T,
    others: Vec<T>,
}

impl<T> Stripes<T> {
    /// # Errors
    /// What `make` says.
    fn try_new<E>(make: impl Fn() -> Result<T, E>) -> Result<Stripes<T>, E> {
        let first = make()?;
        let others: Result<Vec<T>, E> = (1..MOST).map(|_| make()).collect();
        Ok(Stripes {
            first,
            others: others?,
        })
    }

    /// The running thread's.
    pub fn own(&self) -> &T {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % MOST;
        }
        // The number of those who are not the first is one less.
        let other = OWN.with(|own| own.checked_sub(1));
        other
            .and_then(|other| self.others.get(other))
            .unwrap_or(&self.first)
    }

    pub fn all(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<T: Default> Default for Stripes<T> {
    fn default() -> Stripes<T> {
        Stripes {
            first: T::default(),
            others: std::iter::repeat_with(T::default).take(MOST - 1).collect(),
        }
    }
}

/// Counters or histograms with one name, a set of them for each thread.
#[derive(Debug, Clone)]
pub struct Striped<V>(Arc<Stripes<V>>);

impl<V> Striped<V> {
    /// # Errors
    /// What `make` says.
    pub fn new(make: impl Fn() -> prometheus::Result<V>) -> prometheus::Result<Striped<V>> {
        Stripes::try_new(make).map(|stripes| Striped(Arc::new(stripes)))
    }

    /// Those that the running thread counts in.
    pub fn own(&self) -> &V {
        self.0.own()
    }
}

impl<V: Collector> Collector for Striped<V> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.first.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut sums = self.0.first.collect();
        for stripe in &self.0.others {
            for (sum, part) in sums.iter_mut().zip(stripe.collect()) {
                add(sum, part);
            }
        }
        sums
    }
}

fn add(sum: &mut MetricFamily, mut part: MetricFamily) {
    let kind = sum.get_field_type();
    let labels = |metric: &Metric| {
        let values = metric.get_label().iter();
        values
            .map(|label| label.value().to_owned())
            .collect::<Vec<_>>()
    };
    let known = sum.take_metric().into_iter();
    let mut known: BTreeMap<_, _> = known.map(|metric| (labels(&metric), metric)).collect();
    for metric in part.take_metric() {
        match known.get_mut(&labels(&metric)) {
            Some(known) => add_one(known, &metric, kind),
            None => {
                known.insert(labels(&metric), metric);
            }
        }
    }
    sum.set_metric(known.into_values().collect());
}

/// Only what can be added is striped: counters and histograms.
fn add_one(sum: &mut Metric, part: &Metric, kind: MetricType) {
    if kind == MetricType::HISTOGRAM {
        let all = both(sum.get_histogram(), part.get_histogram());
        sum.set_histogram(all);
    } else {
        let mut all = Counter::default();
        all.set_value(sum.get_counter().get_value() + part.get_counter().get_value());
        sum.set_counter(all);
    }
}

/// Their buckets have the same bounds.
fn both(one: &Histogram, other: &Histogram) -> Histogram {
    let buckets = one.get_bucket().iter().zip(other.get_bucket());
    let buckets = buckets.map(|(one, other)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(one.upper_bound());
        bucket.set_cumulative_count(one.cumulative_count() + other.cumulative_count());
        bucket
    });
    let mut both = Histogram::default();
    both.set_bucket(buckets.collect());
    both.set_sample_count(one.get_sample_count() + other.get_sample_count());
    both.set_sample_sum(one.get_sample_sum() + other.get_sample_sum());
    both
}

#[cfg(test)]
mod tests {
    use std::thread;

    use prometheus::{
        Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
    };

    use super::*;

    const THREADS: usize = 2 * MOST;

    fn shown(striped: impl Collector + 'static) -> String {
        let registry = Registry::new();
        registry.register(Box::new(striped)).unwrap();
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&registry.gather(), &mut text)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        let values = text.lines().filter(|line| !line.starts_with('#'));
        values.map(|line| format!("{line}\n")).collect()
    }

    fn in_many_threads(count: impl Fn(usize) + Sync) {
        thread::scope(|scope| {
            for number in 0..THREADS {
                let count = &count;
                scope.spawn(move || count(number));
            }
        });
    }

    #[test]
    fn counters_of_all_threads_are_shown_as_one() {
        let make = || IntCounterVec::new(Opts::new("seen", "Seen."), &["kind", "code"]);
        let striped = Striped::new(make).unwrap();
        in_many_threads(|number| {
            let label = if number % 2 == 0 { "even" } else { "odd" };
            striped.own().with_label_values(&[label, "1"]).inc();
            striped.own().with_label_values(&["all", "2"]).inc_by(3);
        });
        assert_eq!(
            shown(striped),
            "seen{code=\"1\",kind=\"even\"} 16\n\
             seen{code=\"1\",kind=\"odd\"} 16\n\
             seen{code=\"2\",kind=\"all\"} 96\n"
        );
    }

    #[test]
    fn histograms_of_all_threads_are_shown_as_one() {
        let options = HistogramOpts::new("took", "Took.").buckets(vec![1.0, 10.0]);
        let make = || HistogramVec::new(options.clone(), &["place"]);
        let striped = Striped::new(make).unwrap();
        in_many_threads(|number| {
            let took = [0.5, 5.0, 50.0, 50.0].into_iter().cycle();
            let place = striped.own().with_label_values(&["emr"]);
            took.skip(number)
                .take(1)
                .for_each(|took| place.observe(took));
        });
        assert_eq!(
            shown(striped),
            "took_bucket{place=\"emr\",le=\"1\"} 8\n\
             took_bucket{place=\"emr\",le=\"10\"} 16\n\
             took_bucket{place=\"emr\",le=\"+Inf\"} 32\n\
             took_sum{place=\"emr\"} 844\n\
             took_count{place=\"emr\"} 32\n"
        );
    }

    #[test]
    fn threads_count_apart() {
        let make = || IntCounterVec::new(Opts::new("seen", "Seen."), &[]);
        let striped = Striped::new(make).unwrap();
        let own = || std::ptr::from_ref(striped.own()) as usize;
        let mine = own();
        let others = thread::scope(|scope| scope.spawn(own).join().unwrap());
        assert_ne!(mine, others);
        assert_eq!(mine, own());
    }
}
