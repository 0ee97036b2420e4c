//! What an audit line says.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;

use crate::gate::name::{CompanyId, ProductId, SessionId};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::observe::json::{put_address, put_capped, put_text, put_time};

/// The longest free text, in bytes.
const LONGEST: usize = 512;

/// Something that happened to somebody's access. Never holds a password, a code or a cookie.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    event: TrailEvent,
    time: Moment,
    who: Option<String>,
    whom: Option<String>,
    company: Option<CompanyId>,
    product: Option<ProductId>,
    session: Option<SessionId>,
    address: Option<IpAddr>,
    request_id: Option<String>,
    reason: Option<Cow<'static, str>>,
    detail: Option<String>,
}

impl AuditEvent {
    pub fn new(event: TrailEvent, time: Moment) -> AuditEvent {
        AuditEvent {
            event,
            time,
            who: None,
            whom: None,
            company: None,
            product: None,
            session: None,
            address: None,
            request_id: None,
            reason: None,
            detail: None,
        }
    }

    /// Who did it: a person's id, the login that was tried, or `operator`.
    #[must_use]
    pub fn who(mut self, who: impl Display) -> AuditEvent {
        self.who = Some(who.to_string());
        self
    }

    /// To whom it was done, when that is somebody else.
    #[must_use]
    pub fn whom(mut self, whom: impl Display) -> AuditEvent {
        self.whom = Some(whom.to_string());
        self
    }

    #[must_use]
    pub fn company(mut self, company: &CompanyId) -> AuditEvent {
        self.company = Some(company.clone());
        self
    }

    #[must_use]
    pub fn product(mut self, product: &ProductId) -> AuditEvent {
        self.product = Some(product.clone());
        self
    }

    #[must_use]
    pub fn session(mut self, session: SessionId) -> AuditEvent {
        self.session = Some(session);
        self
    }

    #[must_use]
    pub fn address(mut self, address: IpAddr) -> AuditEvent {
        self.address = Some(address);
        self
    }

    #[must_use]
    pub fn request_id(mut self, request_id: &str) -> AuditEvent {
        self.request_id = Some(request_id.to_owned());
        self
    }

    /// Why: a word of the rules, or what somebody gave as their reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> AuditEvent {
        self.reason = Some(reason.into());
        self
    }

    /// What else is worth knowing, for people: the name of a rule, what was changed.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> AuditEvent {
        self.detail = Some(detail.into());
        self
    }

    pub fn event(&self) -> TrailEvent {
        self.event
    }

    /// Appends the fields as they stand between the line's number and its hashes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"time\":");
        put_time(out, self.time);
        out.extend_from_slice(b",\"event\":");
        put_text(out, self.event.as_str().as_bytes());
        put(out, b",\"who\":", self.who.as_deref());
        put(out, b",\"whom\":", self.whom.as_deref());
        put(
            out,
            b",\"company\":",
            self.company.as_ref().map(CompanyId::as_str),
        );
        put(
            out,
            b",\"product\":",
            self.product.as_ref().map(ProductId::as_str),
        );
        put(
            out,
            b",\"session\":",
            self.session.map(|id| id.to_string()).as_deref(),
        );
        if let Some(address) = self.address {
            out.extend_from_slice(b",\"address\":");
            put_address(out, address);
        }
        put(out, b",\"request_id\":", self.request_id.as_deref());
        put(out, b",\"reason\":", self.reason.as_deref());
        put(out, b",\"detail\":", self.detail.as_deref());
    }
}

fn put(out: &mut Vec<u8>, key: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        put_capped(out, value.as_bytes(), LONGEST);
    }
}
