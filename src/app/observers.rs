//! Tells the observing room what the others noticed; each of them knows only a trait of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::directory::Line;
use crate::gate::name::{ProductId, SessionId};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::legacy::{self, SignedOn};
use crate::observe::audit::{Audit, AuditEvent};
use crate::observe::metrics::Metrics;
use crate::portal;
use crate::proxy::record;
use crate::sessions::{Clock, EndCause, Observer};

use super::lines::Lines;
use super::rollout::Fared;

/// What happens to sessions, into the metrics.
pub struct Ends {
    metrics: Arc<Metrics>,
}

impl Ends {
    pub fn new(metrics: Arc<Metrics>) -> Ends {
        Ends { metrics }
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
        self.metrics
            .session_ended(product.map(ProductId::as_str), cause.as_str());
    }
}

/// What happens on the portal, into metrics and audit trail.
pub struct Trail {
    metrics: Arc<Metrics>,
    audit: Arc<Audit>,
    lines: Lines,
    clock: Clock,
    fared: Arc<Fared>,
    /// Sessions that this node let pass in an emergency, and when that ends: one line for each.
    passed: Mutex<HashMap<SessionId, Moment>>,
}

impl Trail {
    pub fn new(
        metrics: Arc<Metrics>,
        audit: Arc<Audit>,
        lines: Lines,
        clock: Clock,
        fared: Arc<Fared>,
    ) -> Trail {
        Trail {
            metrics,
            audit,
            lines,
            clock,
            fared,
            passed: Mutex::default(),
        }
    }
}

impl portal::Observer for Trail {
    fn can_record(&self) -> bool {
        self.audit.is_writable()
    }

    fn sign_in(&self, result: &'static str) {
        self.metrics.sign_in(result);
    }

    fn factor_challenge(&self, method: &'static str, result: &'static str) {
        self.metrics.factor_challenge(method, result);
    }

    fn audit(&self, told: portal::Audit<'_>) {
        let now = (self.clock)();
        if let (TrailEvent::Factor, Some(company)) = (told.event, told.company) {
            match told.detail.rsplit(' ').next() {
                Some("ok") => self.fared.answered(company, true),
                Some("refused") => self.fared.answered(company, false),
                _ => {}
            }
        }
        self.lines.record(now, told_line(&told));
        let mut event = AuditEvent::new(told.event, now)
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

    fn administered(&self, act: portal::Act<'_>) {
        let now = (self.clock)();
        self.lines.record(now, act_line(&act));
        let event = AuditEvent::new(act.event, now)
            .who(act.who)
            .whom(act.whom)
            .company(act.company)
            .session(act.session)
            .address(act.address)
            .request_id(act.request_id)
            .reason(act.reason.to_owned());
        self.audit.record(if act.detail.is_empty() {
            event
        } else {
            event.detail(act.detail)
        });
    }
}

impl legacy::Observer for Trail {
    fn signed_on(&self, told: SignedOn<'_>) {
        let claim = told.claim;
        self.metrics.sign_on(claim.product.id.as_str(), told.result);
        let now = (self.clock)();
        let detail = format!("{} {} {}", claim.product.id, claim.login, told.result);
        self.lines.record(
            now,
            Line {
                company: Some(claim.company.clone()),
                event: SIGN_ON.to_string(),
                who: Some(claim.person.to_string()),
                session: Some(claim.session.to_string()),
                address: told
                    .address
                    .map(|address| address.to_canonical().to_string())
                    .unwrap_or_default(),
                request_id: claim.request_id.clone(),
                detail: Some(detail.clone()),
                ..Line::default()
            },
        );
        let mut event = AuditEvent::new(SIGN_ON, now)
            .who(&claim.person)
            .company(&claim.company)
            .product(&claim.product.id)
            .session(claim.session)
            .request_id(&claim.request_id)
            .detail(detail);
        if let Some(address) = told.address {
            event = event.address(address);
        }
        self.audit.record(event);
    }
}

/// More would be forgotten and told twice.
const PASSED: usize = 100_000;

impl Trail {
    /// Whether this session was not told of in this emergency.
    fn passes_first(&self, session: SessionId, until: Moment, now: Moment) -> bool {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.len() >= PASSED {
            passed.retain(|_, until| *until > now);
        }
        if passed.len() >= PASSED {
            passed.clear();
        }
        passed.insert(session, until) != Some(until)
    }
}

impl record::Glass for Trail {
    fn used(&self, used: record::Used<'_>) {
        let (session, now) = (used.session, (self.clock)());
        if !self.passes_first(session.id, used.until, now) {
            return;
        }
        let company = session.company_in(&used.product.id);
        tracing::error!(
            person = %session.person.id,
            session = %session.id,
            %company,
            product = %used.product.id,
            until = %used.until.to_rfc3339(),
            "BREAK GLASS: a session goes on without the second factor that would be asked for"
        );
        let event = TrailEvent::BreakGlassUsed;
        let detail = format!(
            "{}: let in without the factor that would be asked for",
            used.product.id
        );
        let told = portal::Audit {
            event,
            person: Some(&session.person.id),
            company: Some(company),
            session: Some(session.id),
            address: used.address,
            request_id: used.request_id,
            detail: &detail,
        };
        portal::Observer::audit(self, told);
    }
}

/// The gateway signed in to an application for somebody, or tried to.
const SIGN_ON: TrailEvent = TrailEvent::SignOn;

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn told_line(told: &portal::Audit<'_>) -> Line {
    Line {
        company: told.company.cloned(),
        event: told.event.to_string(),
        who: told.person.map(ToString::to_string),
        session: told.session.map(|id| id.to_string()),
        address: told.address.to_canonical().to_string(),
        request_id: told.request_id.to_owned(),
        detail: text(told.detail),
        ..Line::default()
    }
}

fn act_line(act: &portal::Act<'_>) -> Line {
    Line {
        company: Some(act.company.clone()),
        event: act.event.to_string(),
        who: Some(act.who.to_string()),
        whom: Some(act.whom.to_string()),
        session: Some(act.session.to_string()),
        address: act.address.to_canonical().to_string(),
        request_id: act.request_id.to_owned(),
        reason: text(act.reason),
        detail: text(act.detail),
        ..Line::default()
    }
}
