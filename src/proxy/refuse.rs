//! Every answer that is not a backend's: what a decision other than a permit, or a backend's
//! failure, looks like to a person and to a program.

use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
    VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, Result};

use super::forward::{HSTS, X_REQUEST_ID};
use super::record::RequestId;
use crate::gate::decide::{Absence, Denial, DenialReason, SignInReason};
use crate::gate::facts::Malformed;
use crate::gate::language::preferred;
use crate::pages::{Problem, Words};

/// Seconds until coming again is worth it.
const RETRY_SECS: u16 = 5;

/// What a 405 must say (RFC 9110, 15.5.6).
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// How a refusal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Page,
    Json,
}

impl Manner {
    /// The words that the reader asks for; programs read English. Read off the headers only where
    /// a page of our own is made: nothing that is forwarded is looked at for it.
    pub fn words(self, headers: &HeaderMap) -> Words {
        match self {
            Manner::Page => {
                let values = headers.get_all(ACCEPT_LANGUAGE).iter();
                Words::of(preferred(values.map(HeaderValue::as_bytes)))
            }
            Manner::Json => Words::default(),
        }
    }
}

/// An answer of the gateway's own, whole.
pub struct Answer {
    pub status: u16,
    headers: Vec<(http::HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    pub fn problem(problem: &Problem, manner: Manner) -> Answer {
        let (kind, body) = match manner {
            Manner::Page => ("text/html; charset=utf-8", problem.html()),
            Manner::Json => ("application/json", problem.json()),
        };
        let mut answer = Answer {
            status: problem.status,
            headers: vec![
                (CONTENT_TYPE, HeaderValue::from_static(kind)),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ],
            body: Bytes::from(body),
        };
        if manner == Manner::Page {
            answer.headers.extend(page_headers());
            answer.set(
                CONTENT_LANGUAGE,
                HeaderValue::from_static(problem.words.tag()),
            );
            answer.set(VARY, HeaderValue::from_static("accept-language"));
        }
        match problem.status {
            429 | 503 => answer.set(RETRY_AFTER, HeaderValue::from(RETRY_SECS)),
            405 => answer.set(ALLOW, HeaderValue::from_static(METHODS)),
            _ => {}
        }
        answer
    }

    /// To the portal, with the cookie that the way back is bound to.
    pub fn redirect(to: &str, cookie: Option<HeaderValue>) -> Answer {
        let location = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
        let mut answer = Answer {
            status: 302,
            headers: vec![
                (LOCATION, location),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ],
            body: Bytes::new(),
        };
        if let Some(cookie) = cookie {
            answer.set(SET_COOKIE, cookie);
        }
        answer
    }

    /// The same request once more: method and body stay (RFC 9110, 15.4.8).
    pub fn repeat(at: &str) -> Answer {
        Answer {
            status: 307,
            ..Answer::redirect(at, None)
        }
    }

    /// Nothing but a status.
    pub fn bare(status: u16) -> Answer {
        Answer {
            status,
            headers: vec![(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
            body: Bytes::new(),
        }
    }

    /// Who asked what can be done, and wanted it from us (RFC 9110, 7.6.2).
    pub fn options() -> Answer {
        Answer::bare(204).with_value(ALLOW, HeaderValue::from_static(METHODS))
    }

    /// With one header more; left out when it can't stand in one.
    pub fn with(self, name: http::HeaderName, value: &str) -> Answer {
        match HeaderValue::from_str(value) {
            Ok(value) => self.with_value(name, value),
            Err(_) => self,
        }
    }

    pub fn with_value(mut self, name: http::HeaderName, value: HeaderValue) -> Answer {
        self.set(name, value);
        self
    }

    pub fn with_cookie(self, cookie: Option<HeaderValue>) -> Answer {
        match cookie {
            Some(cookie) => self.with_value(SET_COOKIE, cookie),
            None => self,
        }
    }

    /// How long the body is.
    pub fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    fn set(&mut self, name: http::HeaderName, value: HeaderValue) {
        self.headers.push((name, value));
    }

    /// Writes the answer. A body that the client is still sending is drained or cut by pingora.
    pub async fn write(self, session: &mut Session, request_id: &RequestId) -> Result<()> {
        let mut head = ResponseHeader::build(self.status, Some(self.headers.len() + 4))?;
        for (name, value) in self.headers {
            head.append_header(name, value)?;
        }
        head.insert_header(CONTENT_LENGTH, self.body.len())?;
        head.insert_header(X_REQUEST_ID, request_id.header_value())?;
        head.insert_header("strict-transport-security", HSTS)?;
        let bodiless = self.body.is_empty() || session.req_header().method == Method::HEAD;
        let write = async {
            session
                .write_response_header(Box::new(head), bodiless)
                .await?;
            if !bodiless {
                session.write_response_body(Some(self.body), true).await?;
            } else if session.downstream_session.is_http2() {
                // Nobody else ends the stream after an error, and one that is cut is a broken answer.
                session.write_response_body(None, true).await?;
            }
            Ok(())
        };
        write.await.map_err(clients_fault)
    }
}

/// Of an answer of ours that could not be written: the client is gone, or took the stream back.
pub fn clients_fault(error: Box<Error>) -> Box<Error> {
    error.into_down()
}

/// 401 for those who can't follow a redirect (interface, section 3).
pub fn unauthorized(reason: SignInReason, login_url: &str) -> Answer {
    let body = serde_json::json!({
        "error": "unauthenticated",
        "reason": reason.as_str(),
        "login_url": login_url,
    });
    Answer {
        status: 401,
        headers: vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // RFC 9110, 15.5.2 wants one; browsers ignore a scheme that they don't know.
            (WWW_AUTHENTICATE, HeaderValue::from_static("Vestibule")),
        ],
        body: Bytes::from(body.to_string()),
    }
}

/// 401 for a program whose person has to type the application's password first.
pub fn password_wanted(page: &str) -> Answer {
    let body = serde_json::json!({
        "error": "unauthenticated",
        "reason": "password_wanted",
        "login_url": page,
    });
    Answer {
        body: Bytes::from(body.to_string()),
        ..unauthorized(SignInReason::Ended, page)
    }
}

/// Makes the pages: the site's title and the request's id stand on each.
#[derive(Clone, Copy)]
pub struct Teller<'a> {
    pub words: Words,

    pub site: &'a str,
    pub request_id: &'a RequestId,
}

impl Teller<'_> {
    fn problem(self, status: u16, reason: &str) -> Problem {
        Problem::of(
            self.words,
            status,
            reason,
            self.site,
            self.request_id.as_str(),
        )
    }

    /// `product` is `None` where no product's name is known.
    pub fn denied(self, denial: &Denial, product: Option<&str>) -> Problem {
        let words = self.words;
        let product = product.unwrap_or(words.this_application());
        let (what, remedy) = match (denial.reason, &denial.rule) {
            (DenialReason::Rule, Some(rule)) => (
                words.denied_by_rule(rule, product),
                words.denied_by_rule_remedy(),
            ),
            (DenialReason::Rule, None) => (
                words.denied_by_rules(product),
                words.denied_by_rule_remedy(),
            ),
            (DenialReason::NotGranted, _) => {
                (words.no_access_to(product), words.user_manager_can_grant())
            }
            (DenialReason::NotReleased, _) => (
                words.sso_being_released(product),
                words.not_released_remedy(),
            ),
            (DenialReason::Upgrade, _) => (
                words.no_live_connections(product),
                words.no_live_connections_remedy(),
            ),
        };
        self.problem(403, denial.reason.as_str())
            .saying(words.problem_403(), what, remedy)
    }

    /// A proxy in front asked in a way that can't be answered.
    pub fn no_question(self, why: Malformed) -> Problem {
        let words = self.words;
        self.problem(403, why.as_str()).saying(
            words.no_question(),
            words.no_question_what(),
            words.no_question_remedy(),
        )
    }

    /// Somebody who is not on the list asked what only proxies may ask.
    pub fn not_an_asker(self) -> Problem {
        let words = self.words;
        self.problem(403, "authz_peer")
            .saying(words.problem_403(), words.not_an_asker(), "")
    }

    /// A proxy in front asked about a page that is the gateway's own.
    pub fn not_guarded(self) -> Problem {
        let words = self.words;
        self.problem(403, "own")
            .saying(words.problem_403(), words.not_guarded(), "")
    }

    /// A kept form that can't be sent any more.
    pub fn form_gone(self) -> Problem {
        let words = self.words;
        self.problem(410, "form_gone").saying(
            words.form_not_kept(),
            words.form_not_kept_what(),
            words.form_not_kept_remedy(),
        )
    }

    /// No backend could be reached, and the form is where it was.
    pub fn form_is_safe(self, mut problem: Problem) -> Problem {
        problem.remedy = self.words.form_is_safe_load_again().to_owned();
        problem
    }

    pub fn unavailable(self, absence: Absence) -> Problem {
        let words = self.words;
        let what = match absence {
            Absence::Store => words.sign_ins_cannot_be_checked(),
            Absence::GraceReadsOnly => words.pages_can_be_read(),
        };
        self.problem(503, absence.as_str()).saying(
            words.problem_503(),
            what,
            words.nothing_changed_try(),
        )
    }

    pub fn malformed(self, why: Malformed) -> Problem {
        self.problem(why.status(), why.as_str())
    }

    /// An application that the gateway could not sign in to: 503 when it is worth trying again.
    pub fn sign_on_failed(self, status: u16, product: &str) -> Problem {
        let words = self.words;
        let problem = self.problem(status, "sign_on_failed");
        match status {
            503 => problem.saying(
                &words.cannot_be_opened_now(product),
                words.sign_on_late(product),
                words.sign_on_late_remedy(),
            ),
            _ => problem.saying(
                &words.cannot_be_opened(product),
                words.sign_on_broken(product),
                words.sign_on_broken_remedy(),
            ),
        }
    }

    /// A backend that can't be reached (503), answers nonsense (502) or too late (504). `product`
    /// is `None` where no product's name is known.
    pub fn backend_failed(self, status: u16, product: Option<&str>) -> Problem {
        let words = self.words;
        let product = product.unwrap_or(words.the_application());
        let reason = match status {
            408 => "request_timeout",
            503 => "backend_unreachable",
            504 => "backend_timeout",
            _ => "backend_error",
        };
        let problem = self.problem(status, reason);
        match status {
            503 => problem.saying(
                &words.cannot_be_reached(product),
                words.not_answering(product),
                words.still_signed_in(),
            ),
            _ => problem,
        }
    }
}

/// The headers of a page that stands alone: its style is inside, and nothing else is allowed.
fn page_headers() -> [(http::HeaderName, HeaderValue); 3] {
    [
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(crate::pages::problem_policy()),
        ),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
}
