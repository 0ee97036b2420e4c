//! Why a request got no further, for people and for programs.

use askama::Template;
use serde::Serialize;

use super::{Link, Words, style};

/// An error page, complete in itself: send it with [`problem_policy`](super::problem_policy).
#[derive(Debug, Clone, Template)]
#[template(path = "problem.html")]
pub struct Problem {
    pub words: Words,
    /// The portal's title.
    pub site: String,
    pub status: u16,
    pub title: String,
    /// What happened, in a sentence.
    pub what: String,
    /// What can be done about it; empty for nothing.
    pub remedy: String,
    pub link: Option<Link>,
    /// The word for programs, logs and metrics.
    pub reason: String,
    pub request_id: String,
    /// Where a program's person can sign in: given with 401.
    pub login_url: Option<String>,
}

#[derive(Serialize)]
struct ForPrograms<'a> {
    error: &'static str,
    reason: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_url: Option<&'a str>,
}

impl Problem {
    /// A problem with the usual words of its status.
    pub fn of(words: Words, status: u16, reason: &str, site: &str, request_id: &str) -> Problem {
        let (title, what, remedy) = usual(words, status);
        Problem {
            words,
            site: site.to_owned(),
            status,
            title: title.to_owned(),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
            link: None,
            reason: reason.to_owned(),
            request_id: request_id.to_owned(),
            login_url: None,
        }
    }

    /// Says in own words what happened and what can be done.
    pub fn saying(
        mut self,
        title: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        self.title = title.to_owned();
        self.what = what.into();
        self.remedy = remedy.into();
        self
    }

    pub fn with_link(mut self, href: impl Into<String>, text: impl Into<String>) -> Problem {
        self.link = Some(Link {
            href: href.into(),
            text: text.into(),
        });
        self
    }

    pub fn html(&self) -> String {
        self.render().unwrap_or_else(|_| self.title.clone())
    }

    pub fn json(&self) -> String {
        let body = ForPrograms {
            error: error_word(self.status),
            reason: &self.reason,
            message: &self.what,
            request_id: &self.request_id,
            login_url: self.login_url.as_deref(),
        };
        serde_json::to_string(&body).unwrap_or_else(|_| String::from("{}"))
    }

    fn style(&self) -> &'static str {
        style()
    }
}

/// Title, what happened, what can be done.
fn usual(words: Words, status: u16) -> (&'static str, &'static str, &'static str) {
    match status {
        401 => (
            words.problem_401(),
            words.problem_401_what(),
            words.log_in_then_try(),
        ),
        403 => (
            words.problem_403(),
            words.problem_403_what(),
            words.problem_403_remedy(),
        ),
        404 => (
            words.problem_404(),
            words.problem_404_what(),
            words.check_the_address(),
        ),
        405 => (words.problem_405(), words.problem_405_what(), ""),
        413 => (words.problem_413(), words.problem_413_what(), ""),
        414 => (words.problem_414(), words.problem_414_what(), ""),
        421 => (
            words.problem_421(),
            words.problem_421_what(),
            words.problem_421_remedy(),
        ),
        429 => (
            words.problem_429(),
            words.problem_429_what(),
            words.problem_429_remedy(),
        ),
        431 => (
            words.problem_431(),
            words.problem_431_what(),
            words.problem_431_remedy(),
        ),
        502 => (
            words.problem_502(),
            words.problem_502_what(),
            words.problem_502_remedy(),
        ),
        503 => (
            words.problem_503(),
            words.problem_503_what(),
            words.try_in_a_moment(),
        ),
        504 => (
            words.problem_504(),
            words.problem_504_what(),
            words.problem_504_remedy(),
        ),
        400..=499 => (words.problem_4xx(), words.problem_4xx_what(), ""),
        _ => (
            words.problem_5xx(),
            words.problem_5xx_what(),
            words.try_in_a_moment(),
        ),
    }
}

fn error_word(status: u16) -> &'static str {
    match status {
        401 => "unauthenticated",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        421 => "misdirected",
        429 => "too_many_requests",
        502 => "bad_gateway",
        503 => "unavailable",
        504 => "gateway_timeout",
        400..=499 => "bad_request",
        _ => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_is_escaped() {
        let problem = Problem::of(
            Words::default(),
            404,
            "not_found",
            "Clinic <sign-in>",
            "\"><script>alert(1)</script>",
        );
        let html = problem.html();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("Clinic <sign-in>"), "{html}");
    }

    #[test]
    fn programs_get_the_login_url_with_401() {
        let mut problem = Problem::of(Words::default(), 401, "product_idle", "Clinic", "r1");
        problem.login_url = Some(String::from("https://login.test/login"));
        let json: serde_json::Value = serde_json::from_str(&problem.json()).unwrap();
        assert_eq!(json["error"], "unauthenticated");
        assert_eq!(json["reason"], "product_idle");
        assert_eq!(json["login_url"], "https://login.test/login");
    }

    #[test]
    fn the_style_within_is_the_one_that_the_policy_names() {
        use aws_lc_rs::digest::{SHA256, digest};
        use base64::Engine as _;
        let html = Problem::of(Words::default(), 502, "connect", "Clinic", "r1").html();
        let (_, rest) = html.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let hash =
            base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, style.as_bytes()));
        assert!(super::super::problem_policy().contains(&hash));
        assert!(
            !html.contains("style="),
            "a style attribute would be blocked"
        );
    }
}
