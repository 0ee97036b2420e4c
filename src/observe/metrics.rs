//! What `/metrics` shows: the names of the interface's section 11, word for word.
//!
//! The fast path is counting one request: handles are kept per product in tables, so that it takes
//! an index and an atomic and looks nothing up. Labels are configured names and the gate's words,
//! never what a client sent: nobody can make series without end (CVE-2022-21698).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::{
    Counter, Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use super::striped::{Striped, Stripes};
use crate::gate::facts::Malformed;
use crate::gate::product::Products;

/// Seconds. From what a cached page takes to what a person gives up on.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Seconds. A session store answers in well under a millisecond.
const STORE_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0,
];

/// The label `product` of the portal's own requests.
const PORTAL: &str = "portal";
/// The label `product` of requests that were refused before their host was known.
const NOWHERE: &str = "none";
/// The label `product` of sessions that ended everywhere.
const EVERYWHERE: &str = "all";

/// Where a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By [`Product::index`](crate::gate::product::Product::index).
    Product(usize),
    Portal,
    /// Refused before anybody knew where it wanted to go.
    Nowhere,
}

impl From<usize> for Place {
    fn from(index: usize) -> Place {
        Place::Product(index)
    }
}

impl From<Option<usize>> for Place {
    fn from(index: Option<usize>) -> Place {
        index.map_or(Place::Portal, Place::Product)
    }
}

/// The counters of one gateway, in a registry of their own.
pub struct Metrics {
    families: Arc<Families>,
    products: Vec<Handles>,
    portal: Handles,
    nowhere: Handles,
}

impl Metrics {
    pub fn new(products: &Products) -> Metrics {
        Metrics::over(Arc::new(Families::new()), products)
    }

    /// The same counters for a changed set of products: nothing counted is forgotten.
    pub fn for_products(&self, products: &Products) -> Metrics {
        Metrics::over(Arc::clone(&self.families), products)
    }

    fn over(families: Arc<Families>, products: &Products) -> Metrics {
        let table = products
            .iter()
            .map(|product| Handles::new(&families, product.id.as_str()));
        Metrics {
            products: table.collect(),
            portal: Handles::new(&families, PORTAL),
            nowhere: Handles::new(&families, NOWHERE),
            families,
        }
    }

    /// What the running thread counts of a place.
    fn stripe(&self, place: Place) -> &Stripe {
        let handles = match place {
            Place::Product(index) => self.products.get(index).unwrap_or(&self.nowhere),
            Place::Portal => &self.portal,
            Place::Nowhere => &self.nowhere,
        };
        handles.own(&self.families)
    }

    /// Counts a connection for which its address had no place left.
    pub fn connection_refused(&self) {
        self.families.connections_refused.inc();
    }

    /// Counts for how long strangers had to wait for their share of a worker's time.
    pub fn strangers_held_back(&self, waited: Duration) {
        let seconds = waited.as_secs_f64();
        self.families.strangers_held_back.inc_by(seconds);
    }

    /// Counts one answered request.
    pub fn request(&self, place: impl Into<Place>, code: u16, took: Duration) {
        let stripe = self.stripe(place.into());
        stripe.code(&self.families, code).inc();
        stripe.duration.observe(took.as_secs_f64());
    }

    /// How long the backend took to begin its answer.
    pub fn upstream(&self, place: impl Into<Place>, took: Duration) {
        let stripe = self.stripe(place.into());
        let seen = stripe.upstream.get_or_init(|| {
            let durations = self.families.upstream_duration.own();
            durations.with_label_values(&[stripe.label.as_str()])
        });
        seen.observe(took.as_secs_f64());
    }

    /// Counts a decision by its words ([`Decision::words`](crate::gate::decide::Decision::words)).
    pub fn decision(&self, place: impl Into<Place>, decision: &'static str, reason: &'static str) {
        self.stripe(place.into())
            .decide(&self.families, decision, reason);
    }

    /// Counts a request that was refused as malformed.
    pub fn malformed(&self, reason: Malformed) {
        self.families
            .malformed
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    pub fn sign_in(&self, result: &'static str) {
        self.families.sign_ins.with_label_values(&[result]).inc();
    }

    /// The gateway signed in to an application for somebody, or tried to.
    pub fn sign_on(&self, product: &str, result: &'static str) {
        self.families
            .sign_ons
            .with_label_values(&[product, result])
            .inc();
    }

    pub fn factor_challenge(&self, method: &'static str, result: &'static str) {
        self.families
            .factor_challenges
            .with_label_values(&[method, result])
            .inc();
    }

    pub fn sessions_active(&self, sessions: u64) {
        self.families.sessions_active.set(gauge(sessions));
    }

    /// A session ended, in one product (by its id) or (`None`) everywhere.
    pub fn session_ended(&self, product: Option<&str>, cause: &'static str) {
        let label = product.unwrap_or(EVERYWHERE);
        self.families
            .sessions_ended
            .with_label_values(&[label, cause])
            .inc();
    }

    /// Where a session was found: `cache` or `store`.
    pub fn lookup(&self, source: &'static str) {
        let lookups = || self.families.lookups.own().with_label_values(&[source]);
        match source {
            "cache" => self.families.lookups_cache.own().get_or_init(lookups).inc(),
            _ => lookups().inc(),
        }
    }

    pub fn store_call(&self, operation: &'static str, took: Duration) {
        self.families
            .store_duration
            .with_label_values(&[operation])
            .observe(took.as_secs_f64());
    }

    pub fn message_sent(&self, channel: &'static str, result: &'static str) {
        self.families
            .messages
            .with_label_values(&[channel, result])
            .inc();
    }

    /// What the last reading of the policy folder led to.
    pub fn policies(&self, companies: usize, reload_successful: bool, rejected_files: usize) {
        self.families.policy_companies.set(gauge(companies as u64));
        self.families
            .policy_reload_successful
            .set(i64::from(reload_successful));
        self.families
            .policy_rejected
            .set(gauge(rejected_files as u64));
    }

    /// Whom a feature that is released step by step has reached: companies, and their people.
    pub fn rollout_reached(&self, feature: &'static str, companies: u64, people: u64) {
        let families = &self.families;
        families
            .rollout_companies
            .with_label_values(&[feature])
            .set(gauge(companies));
        families
            .rollout_people
            .with_label_values(&[feature])
            .set(gauge(people));
    }

    pub fn rollout_paused(&self, feature: &'static str, paused: bool) {
        self.families
            .rollout_paused
            .with_label_values(&[feature])
            .set(i64::from(paused));
    }

    /// Forgets a feature that is not released step by step any more: an alert would go on for it.
    pub fn forget_rollout(&self, feature: &'static str) {
        let families = &self.families;
        // Not there: nothing was told of it.
        let _ = families.rollout_companies.remove_label_values(&[feature]);
        let _ = families.rollout_people.remove_label_values(&[feature]);
        let _ = families.rollout_paused.remove_label_values(&[feature]);
    }

    /// Seconds until a certificate expires; negative when it has. `name` is from the configuration.
    pub fn certificate_expiry(&self, name: &str, seconds: i64) {
        self.families
            .certificate_expiry
            .with_label_values(&[name])
            .set(seconds);
    }

    /// Forgets the certificates, before those of a reload are told.
    pub fn forget_certificates(&self) {
        self.families.certificate_expiry.reset();
    }

    /// How an order of a certificate ended: `issued`, `failed`, or `shared` when another node had it.
    pub fn certificate_order(&self, result: &'static str) {
        self.families
            .certificate_orders
            .with_label_values(&[result])
            .inc();
    }

    /// Backends of a product (by its id) that answer.
    pub fn backends_healthy(&self, label: &str, backends: usize) {
        self.families
            .backends_healthy
            .with_label_values(&[label])
            .set(gauge(backends as u64));
    }

    /// Spans by what became of them: `sent`, `failed`, `dropped`.
    pub(super) fn spans(&self, result: &'static str) -> IntCounter {
        self.families.spans.with_label_values(&[result])
    }

    /// Whether gateway.toml could be used when it was read last.
    pub fn config_reloaded(&self, successful: bool) {
        self.families
            .config_reload_successful
            .set(i64::from(successful));
    }

    /// Emergencies in which a second factor is not asked for.
    pub fn break_glass_open(&self, emergencies: usize) {
        self.families
            .break_glass_open
            .set(gauge(emergencies as u64));
    }

    /// Every family that there is, counted or not: what dashboards and alerts may ask for.
    pub fn described() -> Vec<Described> {
        let described = Families::new().shelf.described.into_inner();
        described.unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the backends, before those of changed products are counted.
    pub fn forget_backends(&self) {
        self.families.backends_healthy.reset();
    }

    /// Lines of the access log that could not be written.
    pub(super) fn access_lines_lost(&self) -> IntCounter {
        self.families.access_lines_lost.clone()
    }

    /// Attempts to write the audit trail that failed, and events that found no room.
    pub(super) fn audit_failures(&self) -> IntCounter {
        self.families.audit_failures.clone()
    }

    /// Everything, in Prometheus's text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.families.shelf.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => {
                tracing::error!(%error, "metrics can't be written");
                String::new()
            }
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics")
            .field("products", &self.products.len())
            .finish_non_exhaustive()
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

const LOWEST_CODE: u16 = 100;
const CODES: usize = 500;
/// More pairs of words than the gate has.
const PAIRS: usize = 48;

type Words = (&'static str, &'static str);

/// The counters of one place, for each thread from when it first counts there.
struct Handles {
    label: String,
    stripes: Stripes<OnceLock<Stripe>>,
}

impl Handles {
    fn new(families: &Families, label: &str) -> Handles {
        let handles = Handles {
            label: label.to_owned(),
            stripes: Stripes::default(),
        };
        // There from the start, with nothing counted.
        handles.own(families);
        handles
    }

    /// The running thread's.
    fn own(&self, families: &Families) -> &Stripe {
        let stripe = self.stripes.own();
        stripe.get_or_init(|| Stripe::new(families, &self.label))
    }
}

/// What one thread counts of a place, found by position.
struct Stripe {
    label: String,
    codes: Vec<OnceLock<IntCounter>>,
    other_code: OnceLock<IntCounter>,
    duration: Histogram,
    upstream: OnceLock<Histogram>,
    /// Filled from the front in the order in which pairs are first seen, so that the everyday one
    /// is found at once.
    decisions: Vec<OnceLock<(Words, IntCounter)>>,
}

impl Stripe {
    fn new(families: &Families, label: &str) -> Stripe {
        Stripe {
            label: label.to_owned(),
            codes: std::iter::repeat_with(OnceLock::new).take(CODES).collect(),
            other_code: OnceLock::new(),
            duration: families.request_duration.own().with_label_values(&[label]),
            upstream: OnceLock::new(),
            decisions: std::iter::repeat_with(OnceLock::new).take(PAIRS).collect(),
        }
    }

    fn code(&self, families: &Families, code: u16) -> &IntCounter {
        let slot = code
            .checked_sub(LOWEST_CODE)
            .and_then(|slot| self.codes.get(usize::from(slot)));
        match slot {
            Some(slot) => slot.get_or_init(|| {
                let requests = families.requests.own();
                requests.with_label_values(&[self.label.as_str(), &code.to_string()])
            }),
            None => self.other_code.get_or_init(|| {
                let requests = families.requests.own();
                requests.with_label_values(&[self.label.as_str(), "other"])
            }),
        }
    }

    fn decide(&self, families: &Families, decision: &'static str, reason: &'static str) {
        let words = (decision, reason);
        let fresh = || {
            let decisions = families.decisions.own();
            decisions.with_label_values(&[self.label.as_str(), decision, reason])
        };
        for slot in &self.decisions {
            let (held, counter) = slot.get_or_init(|| (words, fresh()));
            if *held == words {
                return counter.inc();
            }
        }
        fresh().inc();
    }
}

/// A family of metrics as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    pub labels: Vec<String>,
    /// With `_bucket`, `_sum` and `_count`.
    pub histogram: bool,
}

/// Where families stand, and what they are.
struct Shelf {
    registry: Registry,
    described: Mutex<Vec<Described>>,
}

struct Families {
    shelf: Shelf,
    requests: Striped<IntCounterVec>,
    request_duration: Striped<HistogramVec>,
    upstream_duration: Striped<HistogramVec>,
    decisions: Striped<IntCounterVec>,
    malformed: IntCounterVec,
    sign_ins: IntCounterVec,
    sign_ons: IntCounterVec,
    factor_challenges: IntCounterVec,
    sessions_active: IntGauge,
    sessions_ended: IntCounterVec,
    lookups: Striped<IntCounterVec>,
    /// Of nearly every request.
    lookups_cache: Stripes<OnceLock<IntCounter>>,
    store_duration: HistogramVec,
    messages: IntCounterVec,
    policy_companies: IntGauge,
    policy_reload_successful: IntGauge,
    policy_rejected: IntGauge,
    rollout_companies: IntGaugeVec,
    rollout_people: IntGaugeVec,
    rollout_paused: IntGaugeVec,
    certificate_expiry: IntGaugeVec,
    certificate_orders: IntCounterVec,
    backends_healthy: IntGaugeVec,
    connections_refused: IntCounter,
    strangers_held_back: Counter,
    access_lines_lost: IntCounter,
    audit_failures: IntCounter,
    spans: IntCounterVec,
    config_reload_successful: IntGauge,
    break_glass_open: IntGauge,
}

impl Families {
    fn new() -> Families {
        let shelf = Shelf {
            registry: Registry::new(),
            described: Mutex::default(),
        };
        let r = &shelf;
        let lookups = striped_counters(
            r,
            "session_lookups_total",
            "Sessions looked up, by where they were found.",
            &["source"],
        );
        for source in ["cache", "store"] {
            lookups.own().with_label_values(&[source]);
        }
        gauges(
            r,
            "build_info",
            "1, with the version as a label.",
            &["version"],
        )
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
        Families {
            requests: striped_counters(
                r,
                "requests_total",
                "Requests answered.",
                &["product", "code"],
            ),
            request_duration: striped_histograms(
                r,
                "request_duration_seconds",
                "From the request's head to the end of the answer.",
                BUCKETS,
            ),
            upstream_duration: striped_histograms(
                r,
                "upstream_duration_seconds",
                "From sending a request on to the head of the backend's answer.",
                BUCKETS,
            ),
            decisions: striped_counters(
                r,
                "decisions_total",
                "Decisions, and why.",
                &["product", "decision", "reason"],
            ),
            malformed: counters(
                r,
                "malformed_requests_total",
                "Requests refused before a decision.",
                &["reason"],
            ),
            sign_ins: counters(r, "sign_ins_total", "Attempts to sign in.", &["result"]),
            sign_ons: counters(
                r,
                "sign_ons_total",
                "Sign-ins of the gateway to applications behind it, for people.",
                &["product", "result"],
            ),
            factor_challenges: counters(
                r,
                "factor_challenges_total",
                "Answers to a challenge for a second factor.",
                &["method", "result"],
            ),
            sessions_active: gauge_of(r, "sessions_active", "Sessions in the store."),
            sessions_ended: counters(
                r,
                "sessions_ended_total",
                "Sessions ended, in one product or in all.",
                &["product", "cause"],
            ),
            lookups,
            lookups_cache: Stripes::default(),
            store_duration: histograms(
                r,
                "store_duration_seconds",
                "Calls of the session store.",
                "operation",
                STORE_BUCKETS,
            ),
            messages: message_counters(r),
            policy_companies: gauge_of(r, "policy_companies", "Companies with a policy in force."),
            policy_reload_successful: gauge_of(
                r,
                "policy_last_reload_successful",
                "1 when the last reading of the policies rejected no file.",
            ),
            policy_rejected: gauge_of(
                r,
                "policy_rejected_files",
                "Policy files that are wrong; the last good version is in force.",
            ),
            rollout_companies: gauges(
                r,
                "rollout_companies_reached",
                "Companies that a feature has reached which is released step by step.",
                &["feature"],
            ),
            rollout_people: gauges(
                r,
                "rollout_people_reached",
                "People of the companies that a feature has reached.",
                &["feature"],
            ),
            rollout_paused: gauges(
                r,
                "rollout_paused",
                "1 while a release has stopped by itself.",
                &["feature"],
            ),
            certificate_expiry: gauges(
                r,
                "certificate_expiry_seconds",
                "Seconds until the certificate expires.",
                &["name"],
            ),
            certificate_orders: counters(
                r,
                "certificate_orders_total",
                "Certificates ordered by ACME, by what came of it.",
                &["result"],
            ),
            backends_healthy: gauges(r, "backends_healthy", "Backends that answer.", &["product"]),
            connections_refused: counter_of(
                r,
                "connections_refused_total",
                "Connections for which their address had no place left.",
            ),
            strangers_held_back: registered(
                r,
                false,
                Counter::with_opts(options(
                    "strangers_held_back_seconds_total",
                    "Time in which strangers waited since they had had their share of a worker's.",
                )),
            ),
            access_lines_lost: counter_of(
                r,
                "access_lines_lost_total",
                "Lines that the access log could not take.",
            ),
            audit_failures: counter_of(
                r,
                "audit_failures_total",
                "Failures to write the audit trail.",
            ),
            spans: counters(
                r,
                "trace_spans_total",
                "Requests' traces, by whether the collector took them.",
                &["result"],
            ),
            config_reload_successful: {
                let help = "1 when gateway.toml could be used when it was read last.";
                let successful = gauge_of(r, "config_last_reload_successful", help);
                successful.set(1);
                successful
            },
            break_glass_open: gauge_of(
                r,
                "break_glass_open",
                "Emergencies in which a second factor is not asked for.",
            ),
            shelf,
        }
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("vestibule")
}

// Names and labels are literals in this file: a wrong one fails every start and every test.
#[allow(clippy::expect_used)]
fn registered<C: Collector + Clone + 'static>(
    shelf: &Shelf,
    histogram: bool,
    made: prometheus::Result<C>,
) -> C {
    let collector = made.expect("a metric's name and labels are well-formed");
    let described = collector.desc().into_iter().map(|desc| Described {
        name: desc.fq_name.clone(),
        labels: desc.variable_labels.clone(),
        histogram,
    });
    shelf
        .described
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(described);
    shelf
        .registry
        .register(Box::new(collector.clone()))
        .expect("a metric's name is used once");
    collector
}

/// The alert compares what was sent with what came back, so both are there from the start: with
/// none of the latter it would compare with nothing, and be silent.
fn message_counters(shelf: &Shelf) -> IntCounterVec {
    let labels = &["channel", "result"];
    let messages = counters(
        shelf,
        "messages_sent_total",
        "Text messages and mails.",
        labels,
    );
    for channel in ["sms", "email"] {
        for result in ["sent", "verified"] {
            messages.with_label_values(&[channel, result]);
        }
    }
    messages
}

fn counters(shelf: &Shelf, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(
        shelf,
        false,
        IntCounterVec::new(options(name, help), labels),
    )
}

fn counter_of(shelf: &Shelf, name: &str, help: &str) -> IntCounter {
    registered(shelf, false, IntCounter::with_opts(options(name, help)))
}

fn gauges(shelf: &Shelf, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(shelf, false, IntGaugeVec::new(options(name, help), labels))
}

fn gauge_of(shelf: &Shelf, name: &str, help: &str) -> IntGauge {
    registered(shelf, false, IntGauge::with_opts(options(name, help)))
}

fn histograms(shelf: &Shelf, name: &str, help: &str, label: &str, buckets: &[f64]) -> HistogramVec {
    registered(shelf, true, histogram(name, help, label, buckets))
}

fn histogram(
    name: &str,
    help: &str,
    label: &str,
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
    HistogramVec::new(options, &[label])
}

/// For what is counted with every request.
fn striped_counters(
    shelf: &Shelf,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Striped<IntCounterVec> {
    let made = Striped::new(|| IntCounterVec::new(options(name, help), labels));
    registered(shelf, false, made)
}

/// By product, for what is counted with every request.
fn striped_histograms(
    shelf: &Shelf,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Striped<HistogramVec> {
    let made = Striped::new(|| histogram(name, help, "product", buckets));
    registered(shelf, true, made)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
