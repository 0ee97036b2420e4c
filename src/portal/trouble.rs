//! Why a handler gave up. Written as a page or as JSON in one place, [`dress`](super::answer::dress).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::State;
use super::language::words;
use crate::directory::DirectoryError;
use crate::pages::Problem;
use crate::sessions::store::StoreError;

pub type Answer = Result<Response, Trouble>;

#[derive(Debug, Clone)]
pub struct Trouble(Box<Problem>, Option<u64>);

impl Trouble {
    pub fn new(status: u16, reason: &str) -> Trouble {
        Trouble(Box::new(Problem::of(words(), status, reason, "", "")), None)
    }

    pub fn saying(
        self,
        title: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Trouble {
        Trouble(Box::new(self.0.saying(title, what, remedy)), self.1)
    }

    pub fn with_link(self, href: impl Into<String>, text: &str) -> Trouble {
        Trouble(Box::new(self.0.with_link(href, text)), self.1)
    }

    /// Rounded up: who comes back after so many seconds is not early.
    pub fn retry_after(mut self, wait: Duration) -> Trouble {
        let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.1 = Some(secs.max(1));
        self
    }

    pub fn signed_out(reason: &str, login_url: String) -> Trouble {
        let mut trouble = Trouble::new(401, reason).with_link(login_url.clone(), words().log_in());
        trouble.0.login_url = Some(login_url);
        trouble
    }

    pub fn unavailable(reason: &str) -> Trouble {
        Trouble::new(503, reason).retry_after(Duration::from_secs(5))
    }

    pub fn internal(reason: &str) -> Trouble {
        Trouble::new(500, reason)
    }

    pub fn retry_secs(&self) -> Option<u64> {
        self.1
    }

    /// With what only the outermost layer knows.
    pub fn problem(self, state: &State, request_id: &str) -> Problem {
        Problem {
            site: state.title.clone(),
            request_id: request_id.to_owned(),
            ..*self.0
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        tracing::warn!(%error, "the session store failed a page");
        Trouble::unavailable("store")
    }
}

impl From<DirectoryError> for Trouble {
    fn from(error: DirectoryError) -> Trouble {
        tracing::warn!(%error, "the directory failed a page");
        Trouble::unavailable("directory")
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Trouble {
        tracing::error!(%error, "a page could not be written");
        Trouble::internal("page")
    }
}
