//! What is around every page of an application, and the pages that all three have.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::files::Received;
use super::links::{Link, Links};
use super::visitor::Visitor;

/// One application's look and menu.
pub struct House {
    pub id: &'static str,
    pub name: &'static str,
    pub motto: &'static str,
    pub style: &'static str,
    pub menu: &'static [(&'static str, &'static str)],
    pub links: Links,
}

#[derive(Template)]
#[template(path = "demo/frame.html")]
struct Frame<'a> {
    house: &'a House,
    apps: &'a [Link],
    sign_out: &'a str,
    title: &'a str,
    visitor: Option<&'a Visitor>,
    /// HTML that another template has escaped.
    body: &'a str,
}

#[derive(Template)]
#[template(path = "demo/sign_in.html")]
pub struct SignInPage<'a> {
    pub house: &'a House,
    pub login: &'a str,
    pub wrong: bool,
    /// A hidden field, in applications that have one.
    pub csrf: Option<&'a str>,
}

/// Before anything else, for a user whose password is too old.
#[derive(Template)]
#[template(path = "demo/new_password.html")]
pub struct NewPasswordPage {
    pub wrong: bool,
}

#[derive(Template)]
#[template(path = "demo/files.html")]
pub struct FilesPage<'a> {
    pub received: &'a [Received],
    pub what: &'a str,
}

#[derive(Template)]
#[template(path = "demo/notice.html")]
pub struct Notice<'a> {
    pub text: &'a str,
}

impl House {
    pub fn page(&self, title: &str, visitor: Option<&Visitor>, body: &impl Template) -> Response {
        self.page_with(StatusCode::OK, title, visitor, body)
    }

    pub fn page_with(
        &self,
        status: StatusCode,
        title: &str,
        visitor: Option<&Visitor>,
        body: &impl Template,
    ) -> Response {
        let whole = body.render().and_then(|body| {
            let sign_out = self.links.sign_out.as_deref().unwrap_or("/logout");
            Frame {
                house: self,
                apps: &self.links.apps,
                sign_out,
                title,
                visitor,
                body: &body,
            }
            .render()
        });
        match whole {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    pub fn notice(&self, status: StatusCode, visitor: Option<&Visitor>, text: &str) -> Response {
        self.page_with(status, "Notice", visitor, &Notice { text })
    }
}
