//! The five steps of a request, in pingora's hooks: read, look up, decide, record, act.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, MAX_FORWARDS};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::authz;
use super::bar::Bar;
use super::connection::{ConnectionFacts, RequestScope};
use super::facts::product;
use super::forward::{self, TRACEPARENT};
use super::keep::{Keeper, Sending};
use super::record::{Record, RequestId};
use super::refuse::{Answer, Manner, Teller};
use super::scene::Scene;
use super::sign_on::Signed;
use super::upstream::MOST_TRIES;
use super::{service, sign_on};
use crate::gate::decide::{Decision, Permit, Visitor, decide};
use crate::gate::facts::{Asks, Facts, Malformed};
use crate::gate::policy::Policies;
use crate::gate::session::Known;
use crate::gate::time::Moment;
use crate::gate::traceparent::TraceParent;
use crate::sessions::{Clock, LookedUp, Sessions};

/// Fills a buffer with random bytes. Handed in, as the clock is.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What the hooks need; the same for all connections.
#[derive(Clone)]
pub struct Gateway {
    pub scene: Arc<ArcSwap<Scene>>,
    pub sessions: Arc<Sessions>,
    pub policies: Arc<ArcSwap<Policies>>,
    pub keeper: Keeper,
    pub clock: Clock,
    pub random: Random,
    /// A random number of this process, the first half of request ids.
    pub process: u64,
    /// Between two reads of a request's body, and two writes of an answer. All that a form of our own
    /// pages may take.
    pub client_patience: Duration,
}

/// What is carried from hook to hook.
pub struct Passage {
    pub(super) scene: Arc<Scene>,
    pub(super) record: Record,
    scope: Option<Arc<RequestScope>>,
    pub(super) facts_address: std::net::IpAddr,
    pub(super) permit: Option<Permit>,
    body_limit: Option<u64>,
    /// It asks for a websocket, and may have one.
    upgrades: bool,
    tried: Vec<SocketAddr>,
    /// A backend may have seen some of it.
    pub(super) went_out: bool,
    pub(super) manner: Manner,
    /// Pingora drops the connection after an error, and with it what the client has not read.
    pub(super) close_in_stages: bool,
    /// A kept form that its owner sends at last.
    pub(super) sending: Option<Box<Sending>>,
    /// What the application is shown that has to be signed in to.
    pub(super) signed: Option<Box<Signed>>,
    bar: Bar,
}

/// A request after its third step.
struct Judged {
    facts: Arc<Facts>,
    looked_up: LookedUp,
    decision: Decision,
    now: Moment,
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// Boxed: pingora hands it from future to future by value, and each holds a copy.
    type CTX = Box<Passage>;

    /// None: pingora's own would be asked at each step of an answer whether to compress it, which is not
    /// wanted here (see [`Bar::prepare`]).
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    fn new_ctx(&self) -> Box<Passage> {
        let request_id = RequestId::next(self.process);
        let scene = self.scene.load_full();
        Box::new(Passage {
            record: Record::begin(Arc::clone(&scene.books), request_id, (self.clock)()),
            scene,
            scope: None,
            facts_address: std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            permit: None,
            body_limit: None,
            upgrades: false,
            tried: Vec::new(),
            went_out: false,
            manner: Manner::Json,
            close_in_stages: false,
            sending: None,
            signed: None,
            bar: Bar::Unwanted,
        })
    }

    /// Deadlines come first: pingora carries an endless one over from every HTTP/1.1 request to
    /// the next head.
    async fn early_request_filter(
        &self,
        session: &mut Session,
        passage: &mut Box<Passage>,
    ) -> Result<()> {
        passage.scope = RequestScope::current();
        if let Some(scope) = &passage.scope {
            scope.head_is_read();
            if session.is_body_empty() {
                scope.body_is_read();
            }
        }
        let limits = &passage.scene.reader.limits;
        let downstream = &mut session.downstream_session;
        downstream.set_read_timeout(Some(self.client_patience));
        downstream.set_write_timeout(Some(self.client_patience));
        downstream.set_total_drain_timeout(Some(limits.head));
        Ok(())
    }

    /// What is rare has boxes of its own, here and in what is called from here: a future is as large as
    /// its largest step, and is copied whole when a request begins.
    async fn request_filter(
        &self,
        session: &mut Session,
        passage: &mut Box<Passage>,
    ) -> Result<bool> {
        let Some(scope) = passage.scope.clone() else {
            return Error::e_explain(ErrorType::InternalError, "a request outside its connection");
        };
        passage.record.came(&scope.connection, session.req_header());
        if authz::may_be_question(session.req_header())
            && let Some(answered) = Box::pin(self.asked(session, passage, &scope)).await
        {
            return answered;
        }
        self.join_trace(session, passage, &scope);
        let facts = match passage.scene.reader.read(session.req_header_mut(), &scope) {
            Ok(facts) => facts,
            Err(why) => {
                let mut refuse = Box::pin(self.refuse_malformed(session, passage, why));
                return in_turn(&scope, refuse.as_mut()).await;
            }
        };
        passage.manner = manner(&facts);
        passage.facts_address = facts.address;
        if authz::is_asked_by_stranger(&facts) {
            let problem = self
                .teller(session.req_header(), passage, Manner::Json)
                .not_an_asker();
            let answer = Answer::problem(&problem, Manner::Json);
            let mut refuse = Box::pin(self.answer(session, passage, answer));
            return in_turn(&scope, refuse.as_mut()).await;
        }

        let now = (self.clock)();
        let facts = if Keeper::may_be_button(&facts, session.req_header()) {
            match Box::pin(self.look_for_form(session, passage, facts, now)).await? {
                Some(facts) => Arc::new(facts),
                None => return Ok(true),
            }
        } else {
            Arc::new(facts)
        };
        let policies = self.policies.load();
        let looked_up = self
            .sessions
            .look_up(&facts.cookie, &facts.site, &policies, now)
            .await;
        let decision = decide(&facts, &looked_up.known, &policies, now);
        passage
            .record
            .decided(Arc::clone(&facts), &decision, &looked_up.known, now);

        let stranger = matches!(looked_up.known, Known::Nobody(_))
            && !matches!(decision, Decision::Forward(_));
        let judged = Judged {
            facts,
            looked_up,
            decision,
            now,
        };
        let act = pin!(self.act(session, passage, &scope, judged));
        if stranger {
            in_turn(&scope, act).await
        } else {
            scope.connection.turns.serves();
            act.await
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        passage: &mut Box<Passage>,
    ) -> Result<()> {
        if let Some(sending) = &passage.sending {
            *body = sending.body();
        }
        if let Some(chunk) = body {
            passage.record.bytes_in += chunk.len() as u64;
        }
        if let Some(scope) = &passage.scope {
            if end {
                scope.body_is_read();
            } else {
                scope.body_came(body.as_ref().map_or(0, Bytes::len));
            }
            scope.connection.turns.serves();
        }
        // pingora writes an empty last piece as the chunk that ends a body, and then that chunk: the backend would read
        // the second as another request, and answer it in place of the next one.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        // A length that is announced was judged before; this is for those that are not.
        if passage
            .body_limit
            .is_some_and(|limit| passage.record.bytes_in > limit)
        {
            return Error::e_explain(
                ErrorType::HTTPStatus(413),
                "the body is larger than allowed",
            );
        }
        Ok(())
    }

    /// Runs again for each try.
    async fn upstream_peer(
        &self,
        _session: &mut Session,
        passage: &mut Box<Passage>,
    ) -> Result<Box<HttpPeer>> {
        let chosen = passage
            .permit
            .as_ref()
            .and_then(|permit| passage.scene.upstreams.get(permit.product().index))
            .and_then(|upstream| upstream.choose(&passage.tried, passage.upgrades));
        let Some(peer) = chosen else {
            return Error::e_explain(ErrorType::HTTPStatus(503), "no backend can be reached");
        };
        // Another try is sent the body from its beginning.
        passage.record.bytes_in = 0;
        passage.record.upstream_asked();
        Ok(peer)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        passage: &mut Box<Passage>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(address) = peer._address.as_inet() {
            passage.tried.push(*address);
        }
        let another = passage
            .permit
            .as_ref()
            .and_then(|permit| passage.scene.upstreams.get(permit.product().index))
            .is_some_and(|upstream| upstream.has_untried(&passage.tried));
        // Nothing was sent: trying another backend can't do anything twice. With no other left it
        // is this error that says what is wrong.
        error.set_retry(another && passage.tried.len() < MOST_TRIES);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        passage: &mut Box<Passage>,
    ) -> Result<()> {
        passage.bar.prepare(session, upstream);
        if let Some(scope) = &passage.scope {
            scope.connection.turns.serves();
        }
        let permitted = passage
            .permit
            .as_ref()
            .and_then(|permit| Some((permit, passage.scene.ways.get(permit.product().index)?)));
        let (Some((permit, way)), Some(scope)) = (permitted, &passage.scope) else {
            return Error::e_explain(ErrorType::InternalError, "a request without a permit");
        };
        forward::prepare(upstream, permit, &way.front, &scope.connection)?;
        if let Some(signed) = &passage.signed {
            signed.put_on(upstream)?;
        }
        if let Some(trace) = &passage.record.trace {
            forward::pass_on(upstream, trace)?;
        }
        forward::say(
            upstream,
            permit,
            &way.front,
            passage.facts_address,
            passage.record.request_id,
            scope,
        );
        passage.went_out = true;
        Ok(())
    }

    /// Before pingora's decoders see the head of an answer.
    async fn adjust_upstream_modules(
        &self,
        session: &mut Session,
        answer: &ResponseHeader,
        _end: bool,
        passage: &mut Box<Passage>,
    ) -> Result<()> {
        if let Some(permit) = &passage.permit {
            let authority = permit.product().authority_text();
            passage.bar.spare(session, answer, authority);
        }
        Ok(())
    }

    /// Before anything of an answer goes on: an application that has forgotten a person is signed in
    /// to again, and asked again.
    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        answer: &mut ResponseHeader,
        passage: &mut Box<Passage>,
    ) -> Result<()> {
        if !forward::is_framed_plainly(answer) {
            let why = "an answer in a coding that was not asked for";
            return Error::e_explain(ErrorType::HTTPStatus(502), why);
        }
        if passage.signed.is_some() {
            Box::pin(self.hear(answer, passage)).await?;
        }
        Ok(())
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        passage: &mut Box<Passage>,
        reused: bool,
    ) -> Box<Error> {
        let scope = passage.scope.as_ref();
        if scope.is_some_and(|scope| scope.is_given_up()) {
            let mut late = Error::because(ErrorType::ReadTimedout, "a silent backend", error);
            late.set_retry(false);
            return late.into_up();
        }
        let mut error = error.more_context(format!("Peer: {peer}"));
        let whole = !session.as_ref().retry_buffer_truncated();
        if sign_on::is_again(&error) {
            // Whatever the method: it sent us to its sign-in page instead of doing what was asked.
            error.set_retry(whole);
        } else if whole && session.req_header().method.is_idempotent() {
            // Pingora knows of its own pool alone.
            let was_idle = scope.is_some_and(|scope| scope.was_backend_idle());
            error.retry.decide_reuse(reused || was_idle);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        passage: &mut Box<Passage>,
    ) -> Result<()> {
        if !answer.status.is_informational()
            || answer.status == http::StatusCode::SWITCHING_PROTOCOLS
        {
            passage.record.upstream_answered();
            passage.record.status = answer.status.as_u16();
            if let Some(scope) = &passage.scope {
                scope.connection.turns.serves();
                if answer.status == http::StatusCode::SWITCHING_PROTOCOLS
                    || is_stream_of_events(answer)
                {
                    scope.let_answer_be_silent();
                }
            }
        }
        forward::clean(answer, &passage.record.request_id);
        if let Some(permit) = &passage.permit {
            let client = session.req_header().version;
            passage
                .bar
                .begin(client, answer, permit.product().authority_text())?;
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        passage: &mut Box<Passage>,
    ) -> Result<Option<Duration>> {
        passage.bar.pass(body, end);
        if let Some(scope) = &passage.scope {
            scope.connection.turns.serves();
        }
        passage.record.bytes_out += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        passage: &mut Box<Passage>,
    ) -> FailToProxy {
        self.tell_failure(session, error, passage).await
    }

    /// The request is over, before the next one on the connection or its end.
    async fn logging(&self, session: &mut Session, _: Option<&Error>, passage: &mut Box<Passage>) {
        passage.record.write_down();
        if passage.close_in_stages {
            session.downstream_session.shutdown().await;
        }
    }

    /// [`Self::fail_to_proxy`] has said it, with the request's id.
    fn suppress_error_log(
        &self,
        _session: &Session,
        _passage: &Box<Passage>,
        _error: &Error,
    ) -> bool {
        true
    }
}

impl Gateway {
    pub(super) fn teller<'a>(
        &self,
        asked: &RequestHeader,
        passage: &'a Passage,
        manner: Manner,
    ) -> Teller<'a> {
        Teller {
            words: manner.words(&asked.headers),
            site: &passage.scene.title,
            request_id: &passage.record.request_id,
        }
    }

    /// Finds the request's place in its trace. Where no traces are kept this is one look.
    pub(super) fn join_trace(
        &self,
        session: &Session,
        passage: &mut Passage,
        scope: &RequestScope,
    ) {
        let Some(spans) = &passage.scene.books.spans else {
            return;
        };
        let mut told = session.req_header().headers.get_all(TRACEPARENT).iter();
        // Several are as good as none (Trace Context, 3.2).
        let came = match (told.next(), told.next()) {
            (Some(only), None) => TraceParent::parse(only.as_bytes()),
            _ => None,
        };
        let believed = passage.scene.reader.trusts(scope.connection.peer.ip());
        let mut random = [0; 20];
        (self.random)(&mut random);
        let fresh = passage.record.request_id.bytes();
        passage.record.trace = Some(spans.begin(came, believed, fresh, &random));
    }

    /// The fifth step.
    async fn act(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        scope: &RequestScope,
        judged: Judged,
    ) -> Result<bool> {
        let Judged {
            facts,
            looked_up,
            decision,
            now,
        } = judged;
        match decision {
            Decision::Forward(permit) => {
                if let Some(leash) = looked_up.leash {
                    scope.tie(leash);
                }
                if let Some(claim) = self.claim_of(session, passage, &permit) {
                    let judged = (&permit, &*facts, &looked_up.known);
                    let signed = Box::pin(self.sign_on(session, passage, claim, judged, now));
                    if !signed.await? {
                        return Ok(true);
                    }
                }
                if passage.sending.is_some()
                    && !Box::pin(self.claim(session, passage, &permit, now)).await?
                {
                    return Ok(true);
                }
                if let (true, Some(person)) = (permit.counts_as_activity(), permit.session()) {
                    self.sessions.stamp(person, permit.product(), now).await;
                }
                self.let_through(session, passage, permit, facts.asks).await
            }
            Decision::Portal(visitor) => {
                let portal = passage.scene.portal.clone();
                Box::pin(self.serve(session, passage, portal, facts, visitor)).await
            }
            Decision::Own(visitor) => {
                let own = passage.scene.own.clone();
                Box::pin(self.serve(session, passage, own, facts, visitor)).await
            }
            Decision::SignIn(sign_in) => {
                let known = &looked_up.known;
                let kept = Box::pin(self.keep(session, passage, (&facts, known), now)).await?;
                Box::pin(self.ask_to_sign_in(session, passage, &facts, (sign_in, kept))).await
            }
            Decision::Deny(denial) => {
                let name = product(&facts.site).map(|product| product.name.as_str());
                let teller = self.teller(session.req_header(), passage, passage.manner);
                let answer = Answer::problem(&teller.denied(&denial, name), passage.manner);
                Box::pin(self.answer(session, passage, answer)).await
            }
            Decision::Unavailable(absence) => {
                let teller = self.teller(session.req_header(), passage, passage.manner);
                let answer = Answer::problem(&teller.unavailable(absence), passage.manner);
                Box::pin(self.answer(session, passage, answer)).await
            }
        }
    }

    pub(super) async fn answer(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        answer: Answer,
    ) -> Result<bool> {
        passage.record.status = answer.status;
        passage.record.bytes_out += answer.bytes();
        answer.write(session, &passage.record.request_id).await?;
        Ok(true)
    }

    async fn refuse_malformed(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        why: Malformed,
    ) -> Result<bool> {
        passage.record.refused(why, session.req_header());
        let reads_html = session
            .req_header()
            .headers
            .get(ACCEPT)
            .is_some_and(|accept| memchr::memmem::find(accept.as_bytes(), b"text/html").is_some());
        let manner = if reads_html {
            Manner::Page
        } else {
            Manner::Json
        };
        let problem = self
            .teller(session.req_header(), passage, manner)
            .malformed(why);
        // Whoever sent it may see the next request elsewhere than we do: nothing more is read.
        session.set_keepalive(None);
        self.answer(session, passage, Answer::problem(&problem, manner))
            .await
    }

    async fn let_through(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        permit: Permit,
        asks: Asks,
    ) -> Result<bool> {
        let way = passage.scene.ways.get(permit.product().index);
        let limit = way.and_then(|way| way.body_limit);
        let bar = way.is_some_and(|way| way.bar);
        let announced = session
            .req_header()
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if let (Some(limit), Some(announced)) = (limit, announced)
            && announced > limit
        {
            let refuse = self.refuse_malformed(session, passage, Malformed::BodyTooLarge);
            return Box::pin(refuse).await;
        }
        passage.upgrades = asks == Asks::Upgrade;
        if passage.upgrades {
            session.downstream_session.set_read_timeout(None);
            // What comes after is no body.
            if let Some(scope) = &passage.scope {
                scope.body_is_read();
            }
        }
        if let Some(scope) = &passage.scope
            && scope.connection.http2
            && is_of_grpc(session.req_header())
        {
            scope.body_may_be_slow();
        }
        if let Some(forwards) = forward::forwards_left(session.req_header()) {
            if forwards == 0 {
                return Box::pin(self.answer(session, passage, Answer::options())).await;
            }
            let left = HeaderValue::from(forwards - 1);
            session.req_header_mut().insert_header(MAX_FORWARDS, left)?;
        }
        if bar {
            passage.bar = Bar::of(session.req_header(), &permit, asks);
        }
        forward::forget_spelling(session.req_header_mut());
        // What comes over a websocket is no body, however much it is.
        passage.body_limit = limit.filter(|_| !passage.upgrades);
        passage.permit = Some(permit);
        Ok(false)
    }

    async fn serve(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        router: Router,
        facts: Arc<Facts>,
        visitor: Visitor,
    ) -> Result<bool> {
        let mut extensions = http::Extensions::new();
        extensions.insert(facts);
        extensions.insert(visitor.known);
        extensions.insert(crate::pages::RequestId(
            passage.record.request_id.as_str().to_owned(),
        ));
        let request_id = passage.record.request_id;
        let record = &mut passage.record;
        let within = self.client_patience;
        if let Some(scope) = &passage.scope {
            // Here all of it has one deadline.
            scope.body_is_read();
        }
        let bytes = service::answer(session, router, extensions, within, |head| {
            record.status = head.status.as_u16();
            head.insert_header(forward::X_REQUEST_ID, request_id.header_value())?;
            head.insert_header("strict-transport-security", forward::HSTS)
        })
        .await?;
        passage.record.bytes_out += bytes;
        Ok(true)
    }
}

pub(super) fn http2(passage: &Passage) -> bool {
    let scope = passage.scope.as_ref();
    scope.is_some_and(|scope| scope.connection.http2)
}

/// Does a stranger's work when it is its turn.
async fn in_turn(
    scope: &RequestScope,
    work: Pin<&mut impl Future<Output = Result<bool>>>,
) -> Result<bool> {
    let ConnectionFacts { turns, row, .. } = &*scope.connection;
    let done = turns.take_from(row, work).await;
    done.unwrap_or_else(|| {
        let gone = Error::explain(ErrorType::ConnectionClosed, "gone before its turn");
        Err(gone.into_down())
    })
}

pub(super) fn manner(facts: &Facts) -> Manner {
    match facts.asks {
        Asks::Navigation => Manner::Page,
        Asks::Program | Asks::Upgrade => Manner::Json,
    }
}

/// Its streams carry messages of a few bytes, both ways, for as long as both sides want.
fn is_of_grpc(asked: &RequestHeader) -> bool {
    is_of_kind(&asked.headers, b"application/grpc")
}

fn is_stream_of_events(answer: &ResponseHeader) -> bool {
    is_of_kind(&answer.headers, b"text/event-stream")
}

fn is_of_kind(headers: &http::HeaderMap, kind: &[u8]) -> bool {
    let told = headers.get(CONTENT_TYPE);
    let begin = told.and_then(|told| told.as_bytes().get(..kind.len()));
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(kind))
}
