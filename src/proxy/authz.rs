//! For people who keep their own proxy in front: `/api/authz/{nginx,traefik,caddy,envoy}` says of a
//! request that somebody else forwards what this gateway would say of it at its own door.
//!
//! What is asked about is read into one canonical request, by the reader and judged by the code
//! that serve here too. Only peers on a list may ask, and only what they say themselves is
//! believed: a header that is there twice, or not at all, is no question (oauth2-proxy
//! CVE-2025-54576, CVE-2025-64484).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, LOCATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use ipnet::IpNet;
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::connection::memo::Memo;
use super::connection::{ConnectionFacts, RequestScope};
use super::gateway::{Gateway, Passage, manner};
use super::refuse::{self, Answer, Manner};
use super::turns::Row;
use super::way_in;
use crate::gate::cookies::{self, Rewritten};
use crate::gate::decide::{Decision, Permit, plain_address};
use crate::gate::facts::{Facts, Malformed, Site};
use crate::gate::host::Host;
use crate::gate::identity;
use crate::pages::Problem;

/// The folder of the portal that proxies ask in.
const FOLDER: &[u8] = b"/api/authz/";

/// Who asks, and so how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// `auth_request`: takes 2xx, 401 and 403, and any other status for a failure.
    Nginx,
    /// `forwardAuth`: hands on whatever is not 2xx.
    Traefik,
    /// `forward_auth`: the same.
    Caddy,
    /// `ext_authz` over HTTP: sends the request's own method, host and path, behind a prefix.
    Envoy,
}

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub struct Askers {
    /// Empty: nobody.
    pub peers: Vec<IpNet>,
    /// Other proxies before those, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// A question: who asks, in which way, about what.
pub struct Question {
    asker: Asker,
    original: RequestHeader,
    address: IpAddr,
}

impl Asker {
    fn of(word: &[u8]) -> Option<Asker> {
        Some(match word {
            b"nginx" => Asker::Nginx,
            b"traefik" => Asker::Traefik,
            b"caddy" => Asker::Caddy,
            b"envoy" => Asker::Envoy,
            _ => return None,
        })
    }
}

/// Whether a request may be a question: one comparison for those that are none.
pub fn may_be_question(request: &RequestHeader) -> bool {
    request.raw_path().starts_with(FOLDER)
}

/// Nobody but an admitted peer comes this far with such a path on the portal's host.
pub fn is_asked_by_stranger(facts: &Facts) -> bool {
    matches!(facts.site, Site::Portal) && facts.target.path().as_bytes().starts_with(FOLDER)
}

impl Askers {
    pub fn admit(&self, peer: SocketAddr) -> bool {
        let peer = plain_address(peer.ip());
        self.peers.iter().any(|net| net.contains(&peer))
    }

    /// What an admitted peer asks. `None`: it asks nothing here, and goes on like anybody's.
    ///
    /// # Errors
    /// It asks, and not in the way that it should.
    pub fn question(
        &self,
        request: &RequestHeader,
        is_portal: impl Fn(&Host) -> bool,
    ) -> Option<Result<Question, Malformed>> {
        let below = request.raw_path().strip_prefix(FOLDER)?;
        let end = below
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(below.len());
        let (word, rest) = below.split_at_checked(end)?;
        let asker = Asker::of(word)?;
        let at_portal = host(request).is_some_and(|host| is_portal(&host));
        // Envoy asks with the host that is asked about; the others come to the portal, and what
        // goes through them to an application with such a path is that application's.
        if asker != Asker::Envoy && !at_portal {
            return None;
        }
        let read = || {
            Ok(Question {
                asker,
                original: original(asker, request, rest)?,
                address: self.address(&request.headers)?,
            })
        };
        Some(read())
    }

    /// The browser's address, as the asking proxy saw it. Without it rules about networks would be
    /// asked about the proxy, which may well be inside of them.
    fn address(&self, headers: &HeaderMap) -> Result<IpAddr, Malformed> {
        let mut address = None;
        for line in headers.get_all("x-forwarded-for").iter().rev() {
            let line = line.to_str().map_err(|_| Malformed::Header)?;
            for hop in line.rsplit(',') {
                let hop = plain_address(hop.trim().parse().map_err(|_| Malformed::Header)?);
                if !self.trusted_proxies.iter().any(|net| net.contains(&hop)) {
                    return Ok(hop);
                }
                address = Some(hop);
            }
        }
        address.ok_or(Malformed::Header)
    }
}

fn host(request: &RequestHeader) -> Option<Host> {
    let named = match request.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => request.headers.get(HOST)?.as_bytes(),
    };
    Host::parse_authority(named).ok()
}

/// The one value of a header that the asking proxy sets.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Malformed> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        _ => Err(Malformed::Header),
    }
}

/// What concerns the asking alone.
const OF_THE_ASKING: [HeaderName; 8] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    EXPECT,
    UPGRADE,
    TE,
    TRAILER,
];

/// The request that is asked about, as it would have come here.
fn original(
    asker: Asker,
    request: &RequestHeader,
    rest: &[u8],
) -> Result<RequestHeader, Malformed> {
    let headers = &request.headers;
    let (method, host, target) = match asker {
        Asker::Nginx => {
            let url = one(headers, "x-original-url")?;
            let (host, target) = parts(url).ok_or(Malformed::Target)?;
            (one(headers, "x-original-method")?, host, target)
        }
        Asker::Traefik | Asker::Caddy => (
            one(headers, "x-forwarded-method")?,
            one(headers, "x-forwarded-host")?,
            one(headers, "x-forwarded-uri")?,
        ),
        Asker::Envoy => {
            let host = match request.uri.authority() {
                Some(authority) => authority.as_str().as_bytes(),
                None => one(headers, HOST.as_str())?,
            };
            (request.method.as_str().as_bytes(), host, rest)
        }
    };
    let method = Method::from_bytes(method).map_err(|_| Malformed::Method)?;
    let host = HeaderValue::from_bytes(host).map_err(|_| Malformed::Host)?;
    let target = if target.is_empty() { &b"/"[..] } else { target };
    let mut original = RequestHeader::build(method.clone(), target, Some(headers.len() + 2))
        .map_err(|_| Malformed::Target)?;
    original.set_version(Version::HTTP_11);
    let passed = headers
        .iter()
        .filter(|(name, _)| !OF_THE_ASKING.contains(name));
    for (name, value) in passed {
        original
            .append_header(name.clone(), value.clone())
            .map_err(|_| Malformed::Header)?;
    }
    let set = |original: &mut RequestHeader, name: HeaderName, value: HeaderValue| {
        original
            .insert_header(name, value)
            .map_err(|_| Malformed::Header)
    };
    set(&mut original, HOST, host)?;
    // A proxy asks without `Upgrade`, which is of its connection with the browser. The key passes,
    // and without this any site could open a socket to ours.
    if method == Method::GET && headers.contains_key("sec-websocket-key") {
        set(
            &mut original,
            CONNECTION,
            HeaderValue::from_static("upgrade"),
        )?;
        set(
            &mut original,
            UPGRADE,
            HeaderValue::from_static("websocket"),
        )?;
    }
    Ok(original)
}

/// Host and target of `https://host/target`.
fn parts(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = [&b"https://"[..], b"http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(*scheme))?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    rest.split_at_checked(end)
}

impl Gateway {
    /// Answers a question of a proxy in front; `None`: the request is none, and goes on as usual.
    pub(super) async fn asked(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        scope: &Arc<RequestScope>,
    ) -> Option<Result<bool>> {
        if !passage.scene.askers.admit(scope.connection.peer) || scope.violation().is_some() {
            return None;
        }
        scope.connection.turns.serves();
        let is_portal =
            |host: &Host| matches!(passage.scene.reader.sites.get(host), Some(Site::Portal));
        Some(
            match passage
                .scene
                .askers
                .question(session.req_header(), is_portal)?
            {
                Ok(question) => {
                    self.join_trace(session, passage, scope);
                    self.judge(session, passage, scope, question).await
                }
                Err(why) => {
                    passage.record.refused(why, session.req_header());
                    let teller = self.teller(session.req_header(), passage, Manner::Json);
                    let problem = teller.no_question(why);
                    self.answer(session, passage, Answer::problem(&problem, Manner::Json))
                        .await
                }
            },
        )
    }

    async fn judge(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        scope: &RequestScope,
        question: Question,
    ) -> Result<bool> {
        let Question {
            asker,
            mut original,
            address,
        } = question;
        // The handshake's name was the portal's, and says nothing about the request.
        let connection = ConnectionFacts {
            peer: SocketAddr::new(address, 0),
            server_name: None,
            http2: false,
            memo: Memo::default(),
            turns: Arc::clone(&scope.connection.turns),
            row: Row::new(1),
            idle: Arc::clone(&scope.connection.idle),
        };
        let facts = match passage
            .scene
            .reader
            .read_from(&mut original, &connection, address)
        {
            Ok(facts) => Arc::new(facts),
            Err(why) => {
                passage.record.refused(why, &original);
                let teller = self.teller(&original, passage, Manner::Json);
                let problem = teller.malformed(why);
                return self
                    .refuse_asker(session, passage, asker, problem, Manner::Json)
                    .await;
            }
        };
        let manner = manner(&facts);
        let now = (self.clock)();
        let policies = self.policies.load();
        let looked_up = self
            .sessions
            .look_up(&facts.cookie, &facts.site, &policies, now)
            .await;
        let known = &looked_up.known;
        let decision = crate::gate::decide::decide(&facts, known, &policies, now);
        passage
            .record
            .decided(Arc::clone(&facts), &decision, known, now);

        let problem = match decision {
            Decision::Forward(permit) => {
                if let (true, Some(person)) = (permit.counts_as_activity(), permit.session()) {
                    self.sessions.stamp(person, permit.product(), now).await;
                }
                let answer = leave(&permit, &original);
                return self.answer(session, passage, answer).await;
            }
            Decision::SignIn(sign_in) => {
                let sign_in = self.told_why(sign_in, &facts).await;
                let wanted = way_in::place(&facts, &original.headers);
                let (login, cookie) =
                    self.way_to_sign_in(&passage.scene, &facts, &sign_in, &wanted);
                let answer = match (asker, sign_in.redirect) {
                    (Asker::Nginx, true) => refuse::unauthorized(sign_in.reason, &login)
                        .with(LOCATION, &login)
                        .with_cookie(cookie),
                    (_, true) => Answer::redirect(&login, cookie),
                    (_, false) => refuse::unauthorized(sign_in.reason, &login),
                };
                return self.answer(session, passage, answer).await;
            }
            Decision::Deny(denial) => self
                .teller(&original, passage, manner)
                .denied(&denial, name(&facts)),
            Decision::Unavailable(absence) => {
                self.teller(&original, passage, manner).unavailable(absence)
            }
            // These pages are the gateway's own: whoever sends them elsewhere is set up wrongly.
            Decision::Portal(_) | Decision::Own(_) => {
                self.teller(&original, passage, manner).not_guarded()
            }
        };
        self.refuse_asker(session, passage, asker, problem, manner)
            .await
    }

    async fn refuse_asker(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        asker: Asker,
        mut problem: Problem,
        manner: Manner,
    ) -> Result<bool> {
        // nginx takes any other refusal for a failure of ours.
        if asker == Asker::Nginx && problem.status < 500 {
            problem.status = 403;
        }
        self.answer(session, passage, Answer::problem(&problem, manner))
            .await
    }
}

fn name(facts: &Facts) -> Option<&str> {
    super::facts::product(&facts.site).map(|product| product.name.as_str())
}

/// Yes, and in whose name. Every header that the application believes is in the answer, empty where
/// there is nothing to tell, and so are its cookies without ours: what a proxy copies from here
/// replaces what the browser sent (Caddy's `forward_auth` left it where there was no value).
fn leave(permit: &Permit, original: &RequestHeader) -> Answer {
    let mut answer = Answer::bare(200);
    let mut told = permit.headers().iter();
    for name in identity::header_names(permit.product()) {
        let value = told.next().map_or(EMPTY, |(_, value)| value);
        answer = answer.with_value(name.clone(), value);
    }
    let lines = original.headers.get_all(COOKIE);
    let cookie = match cookies::without_ours(lines.iter().map(HeaderValue::as_bytes)) {
        Rewritten::Nothing => EMPTY,
        Rewritten::Line(line) => HeaderValue::from_bytes(&line).unwrap_or(EMPTY),
        Rewritten::Unchanged => lines.iter().next().cloned().unwrap_or(EMPTY),
    };
    answer.with_value(COOKIE, cookie)
}

const EMPTY: HeaderValue = HeaderValue::from_static("");

#[cfg(test)]
mod tests;
