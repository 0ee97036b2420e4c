//! A page with the text messages and mails that were "sent". It shows one-time codes to everybody
//! who opens it: for the demo, on 127.0.0.1, only.

use std::io;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

/// One message.
#[derive(Clone, Serialize)]
pub struct Posted {
    pub number: u64,
    /// `sms` or `email`.
    pub channel: &'static str,
    pub to: String,
    /// Of a mail; empty otherwise.
    pub subject: String,
    pub text: String,
}

/// The newest first.
pub type Posts = Arc<dyn Fn() -> Vec<Posted> + Send + Sync>;

#[derive(Template)]
#[template(path = "demo/outbox.html")]
struct OutboxPage {
    posts: Vec<Posted>,
}

const STYLE: &str = include_str!("assets/outbox.css");

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// `/` for people, `/messages.json` for programs.
pub fn app(posts: Posts) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/messages.json", get(list))
        .route(
            "/style.css",
            get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }),
        )
        .with_state(posts)
}

/// Serves until dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, posts: Posts) -> io::Result<()> {
    axum::serve(listener, app(posts)).await
}

async fn page(State(posts): State<Posts>) -> Response {
    match (OutboxPage { posts: posts() }).render() {
        Ok(html) => (HEADERS, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn list(State(posts): State<Posts>) -> Response {
    (HEADERS, Json(posts())).into_response()
}
