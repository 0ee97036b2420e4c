//! What is written down of a request: counters and one line in the access log. It happens when the
//! answer is out, and at the latest when the request's context is dropped: pingora skips its own
//! hook for requests that are cut.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method};
use pingora::http::RequestHeader;

use super::connection::ConnectionFacts;
use crate::gate::decide::Decision;
use crate::gate::facts::{Facts, Malformed, Site};
use crate::gate::product::Product;
use crate::gate::session::{Known, Method as Proof, Session};
use crate::gate::time::Moment;
use crate::gate::traceparent;
use crate::observe::access::{AccessLine, AccessLog};
use crate::observe::metrics::{Metrics, Place};
use crate::observe::spans::{Span, Spans, Trace};

/// Hears of requests that passed without the factor that would be asked for, because an emergency goes
/// on: nobody uses broken glass in silence.
pub trait Glass: Send + Sync {
    fn used(&self, used: Used<'_>);
}

/// One such request.
pub struct Used<'a> {
    pub session: &'a Session,
    pub product: &'a Product,
    pub address: IpAddr,
    pub request_id: &'a str,
    /// When the emergency ends.
    pub until: Moment,
}

/// Where records go.
pub struct Books {
    pub glass: Arc<dyn Glass>,
    pub metrics: Arc<Metrics>,
    pub access: Option<Arc<AccessLog>>,
    /// `None`: no traces are kept.
    pub spans: Option<Arc<Spans>>,
    /// Stands in the lines of the portal's own requests.
    pub portal_host: Arc<str>,
}

/// Names one request in pages, logs, headers and what the backend gets: 32 hex digits.
#[derive(Clone, Copy)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// The next id: a random number of this process, and a count. Unique, and nobody's secret.
    pub fn next(process: u64) -> RequestId {
        let count = next_count();
        let mut text = [0; 32];
        let mut number = (u128::from(process) << 64) | u128::from(count);
        for slot in text.iter_mut().rev() {
            let digit = (number & 15) as u8;
            *slot = digit + if digit < 10 { b'0' } else { b'a' - 10 };
            number >>= 4;
        }
        RequestId(text)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// The same as a number, to name a trace that begins with the request.
    pub fn bytes(&self) -> [u8; 16] {
        traceparent::hex(&self.0).unwrap_or([1; 16])
    }

    pub fn header_value(&self) -> HeaderValue {
        let mut value = HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static(""));
        // No secret, but another one each time: it takes no place in HPACK's table (RFC 7541, 6.2.3) from
        // what comes again.
        value.set_sensitive(true);
        value
    }
}

/// So many numbers a thread takes at a time.
const AT_A_TIME: u64 = 1 << 16;

/// A number that was never said before. A count that all threads shared would travel between their processors for
/// each request.
fn next_count() -> u64 {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    let mut count = NEXT.get();
    if count.is_multiple_of(AT_A_TIME) {
        count = TAKEN.fetch_add(AT_A_TIME, Ordering::Relaxed);
    }
    NEXT.set(count + 1);
    count
}

/// Collected while a request is worked on.
pub struct Record {
    books: Arc<Books>,
    pub request_id: RequestId,
    /// The request's place in its trace, where traces are kept.
    pub trace: Option<Trace>,
    began: Instant,
    at: Moment,
    connection: Option<Arc<ConnectionFacts>>,
    read: Read,
    user_agent: Option<HeaderValue>,
    decision: (&'static str, &'static str),
    rule: Option<String>,
    session: Option<Arc<Session>>,
    /// When the request was decided, and the last activity in its product before it.
    judged_at: Moment,
    here: Option<Moment>,
    upstream_began: Option<Instant>,
    upstream_took: Option<Duration>,
    /// 0 until an answer's head is sent: the client went away, or the request was cut.
    pub status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// What became of reading the request.
enum Read {
    NotYet,
    Facts(Arc<Facts>),
    /// As it was sent, for the log only.
    Refused {
        method: Method,
        host: Vec<u8>,
        path: Vec<u8>,
    },
}

impl Record {
    pub fn begin(books: Arc<Books>, request_id: RequestId, at: Moment) -> Record {
        Record {
            books,
            request_id,
            trace: None,
            began: Instant::now(),
            at,
            connection: None,
            read: Read::NotYet,
            user_agent: None,
            decision: ("none", "none"),
            rule: None,
            session: None,
            judged_at: at,
            here: None,
            upstream_began: None,
            upstream_took: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    pub fn came(&mut self, connection: &Arc<ConnectionFacts>, request: &RequestHeader) {
        self.connection = Some(Arc::clone(connection));
        self.user_agent = request.headers.get(USER_AGENT).cloned();
    }

    pub fn refused(&mut self, why: Malformed, request: &RequestHeader) {
        self.decision = ("malformed", why.as_str());
        self.books.metrics.malformed(why);
        let path = request.raw_path();
        // Queries hold tickets and tokens: not even a malformed one is written down.
        let query = memchr::memchr(b'?', path).unwrap_or(path.len());
        self.read = Read::Refused {
            method: request.method.clone(),
            host: request
                .headers
                .get(HOST)
                .map_or(Vec::new(), |host| host.as_bytes().to_vec()),
            path: path.get(..query).unwrap_or(&[]).to_vec(),
        };
    }

    /// `known`: who was found; whoever was refused is named too.
    pub fn decided(&mut self, facts: Arc<Facts>, decision: &Decision, known: &Known, now: Moment) {
        self.decision = decision.words();
        self.judged_at = now;
        let found = crate::gate::decide::found(known);
        match decision {
            Decision::Forward(permit) => {
                self.session = permit.session().cloned();
                if let (Some(until), Some(session)) = (permit.by_emergency_until(), &self.session) {
                    self.books.glass.used(Used {
                        session,
                        product: permit.product(),
                        address: facts.address,
                        request_id: self.request_id.as_str(),
                        until,
                    });
                }
            }
            Decision::Deny(denial) => {
                self.rule.clone_from(&denial.rule);
                self.session = found.map(|found| Arc::clone(&found.session));
            }
            Decision::SignIn(sign_in) => {
                self.rule.clone_from(&sign_in.rule);
                self.session = found.map(|found| Arc::clone(&found.session));
            }
            Decision::Portal(_) | Decision::Own(_) | Decision::Unavailable(_) => {
                self.session = found.map(|found| Arc::clone(&found.session));
            }
        }
        if self.session.is_some() {
            self.here = found.map(|found| found.seen.here);
        }
        let (decision, reason) = self.decision;
        self.books
            .metrics
            .decision(place(&facts.site), decision, reason);
        self.read = Read::Facts(facts);
    }

    pub fn upstream_asked(&mut self) {
        self.upstream_began = Some(Instant::now());
    }

    pub fn upstream_answered(&mut self) {
        self.upstream_took = self.upstream_began.map(|began| began.elapsed());
    }
}

fn place(site: &Site) -> Place {
    match site {
        Site::Portal => Place::Portal,
        Site::Product(product) => Place::Product(product.index),
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.write_down();
    }
}

impl Record {
    /// Counts the request and writes its line, once.
    pub fn write_down(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let took = self.began.elapsed();
        let metrics = &self.books.metrics;
        let facts = match &self.read {
            Read::Facts(facts) => Some(facts.as_ref()),
            Read::NotYet | Read::Refused { .. } => None,
        };
        let place = facts.map_or(Place::Nowhere, |facts| place(&facts.site));
        metrics.request(place, self.status, took);
        if let Some(upstream) = self.upstream_took {
            metrics.upstream(place, upstream);
        }
        let product = facts.and_then(|facts| match &facts.site {
            Site::Portal => None,
            Site::Product(product) => Some(product),
        });
        let (method, host, path): (&[u8], &[u8], &[u8]) = match &self.read {
            Read::NotYet => (b"", b"", b""),
            Read::Facts(facts) => (
                facts.method.as_str().as_bytes(),
                product
                    .map_or(&*self.books.portal_host, |product| product.host.as_str())
                    .as_bytes(),
                facts.target.path().as_bytes(),
            ),
            Read::Refused { method, host, path } => (method.as_str().as_bytes(), host, path),
        };
        if let (Some(spans), Some(trace)) = (&self.books.spans, self.trace)
            && trace.onward.sampled
        {
            spans.finish(self.span(
                trace,
                took,
                (method, host),
                place,
                product,
                connection.http2,
            ));
        }
        let Some(access) = &self.books.access else {
            return;
        };
        let session = self.session.as_ref();
        let trace_id = self
            .trace
            .map(|trace| traceparent::to_hex(&trace.onward.trace));
        let since = |moment: Moment| self.judged_at.since(moment).as_secs();
        access.write(&AccessLine {
            time: self.at,
            request_id: self.request_id.as_str(),
            trace_id: trace_id.as_deref(),
            product: product.map(|product| product.id.as_str()),
            method,
            host,
            path,
            status: self.status,
            duration: took,
            upstream: self.upstream_took,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            address: facts.map_or(connection.peer.ip(), |facts| facts.address),
            decision: self.decision.0,
            reason: self.decision.1,
            rule: self.rule.as_deref(),
            person: session.map(|session| session.person.id.as_str()),
            session: session.map(|session| session.id),
            company: session.map(|session| {
                let company = product.map(|product| session.company_in(&product.id));
                company.unwrap_or(&session.company).as_str()
            }),
            remembered_device: session.is_some_and(|session| {
                session.factor_at.is_none() && session.methods.contains(&Proof::Device)
            }),
            factor_age: session.and_then(|session| session.factor_at).map(since),
            session_age: session.map(|session| since(session.started_at)),
            idle: self.here.map(since),
            protocol: if connection.http2 {
                "HTTP/2"
            } else {
                "HTTP/1.1"
            },
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
        });
    }

    fn span(
        &self,
        trace: Trace,
        took: Duration,
        (method, host): (&[u8], &[u8]),
        place: Place,
        product: Option<&Arc<Product>>,
        http2: bool,
    ) -> Span {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let asked = |began: Instant| began.duration_since(self.began);
        // A host or a method that was refused is what a client sent, not what there is.
        let (method, host) = match place {
            Place::Nowhere => (String::from("_OTHER"), String::new()),
            Place::Portal | Place::Product(_) => (text(method), text(host)),
        };
        let place = match place {
            Place::Portal => "portal",
            Place::Product(_) | Place::Nowhere => "none",
        };
        Span {
            trace,
            request_id: self.request_id.as_str().to_owned(),
            began: self.at,
            took,
            upstream: self
                .upstream_began
                .map(|began| (asked(began), self.upstream_took)),
            method,
            host,
            product: product
                .map_or(place, |product| product.id.as_str())
                .to_owned(),
            status: self.status,
            http2,
            decision: self.decision.0,
            reason: self.decision.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn no_two_requests_of_any_threads_have_one_id() {
        const EACH: u64 = AT_A_TIME + 2;
        let ids = || {
            let own = (0..EACH).map(|_| RequestId::next(7).0);
            own.collect::<Vec<_>>()
        };
        let all: HashSet<[u8; 32]> = thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(ids)).collect();
            let lists = threads.into_iter().map(|thread| thread.join().unwrap());
            lists.flatten().collect()
        });
        assert_eq!(all.len() as u64, 3 * EACH);
    }
}
