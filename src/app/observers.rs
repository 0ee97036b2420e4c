//! Tells the observing room what the others noticed; each of them knows only a trait of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::gate::name::ProductId;
use crate::gate::product::Products;
use crate::observe::audit::{Audit, AuditEvent};
use crate::observe::metrics::Metrics;
use crate::portal;
use crate::sessions::{Clock, EndCause, Observer};

/// What happens to sessions, into the metrics.
pub struct Ends {
    metrics: Arc<Metrics>,
    places: HashMap<ProductId, usize>,
}

impl Ends {
    pub fn new(metrics: Arc<Metrics>, products: &Products) -> Ends {
        let places = products
            .iter()
            .map(|product| (product.id.clone(), product.index))
            .collect();
        Ends { metrics, places }
    }
}

impl Observer for Ends {
    fn looked_up(&self, source: &'static str) {
        self.metrics.lookup(source);
    }

    fn store_call(&self, operation: &'static str, took: Duration) {
        self.metrics.store_call(operation, took);
    }

    fn ended(&self, product: Option<&ProductId>, cause: EndCause) {
        let place = product.and_then(|id| self.places.get(id)).copied();
        self.metrics.session_ended(place, cause.as_str());
    }
}

/// What happens on the portal, into metrics and audit trail.
pub struct Trail {
    metrics: Arc<Metrics>,
    audit: Arc<Audit>,
    clock: Clock,
}

impl Trail {
    pub fn new(metrics: Arc<Metrics>, audit: Arc<Audit>, clock: Clock) -> Trail {
        Trail {
            metrics,
            audit,
            clock,
        }
    }
}

impl portal::Observer for Trail {
    fn sign_in(&self, result: &'static str) {
        self.metrics.sign_in(result);
    }

    fn factor_challenge(&self, method: &'static str, result: &'static str) {
        self.metrics.factor_challenge(method, result);
    }

    fn audit(&self, told: portal::Audit<'_>) {
        let mut event = AuditEvent::new(told.event, (self.clock)())
            .address(told.address)
            .request_id(told.request_id);
        if let Some(person) = told.person {
            event = event.who(person);
        }
        if let Some(company) = told.company {
            event = event.company(company);
        }
        if let Some(session) = told.session {
            event = event.session(session);
        }
        if !told.detail.is_empty() {
            event = event.detail(told.detail);
        }
        self.audit.record(event);
    }
}
