//! A backend that answers what it was asked, and remembers it.

#![allow(dead_code)] // every test program uses another part of this

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::StreamExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request as the backend got it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body_bytes: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub struct Backend {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Backend {
    pub async fn start() -> Backend {
        Backend::at("127.0.0.1:0").await
    }

    pub async fn at(address: &str) -> Backend {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let app = Router::new()
            .route("/ws", get(websocket))
            .route("/events", get(events))
            .fallback(any(echo))
            .with_state(Arc::clone(&seen));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Backend { url, seen, task }
    }

    /// Answers by routes of the test's own, which are not remembered.
    pub async fn serving(app: Router) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Backend {
            url,
            seen: Arc::default(),
            task,
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen
            .lock()
            .unwrap()
            .last()
            .expect("the backend was never asked")
            .clone()
    }

    pub fn stop(self) {
        self.task.abort();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Memory = State<Arc<Mutex<Vec<Seen>>>>;

async fn echo(
    State(seen): Memory,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut stream = body.into_data_stream();
    let mut body_bytes = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        body_bytes += chunk.len();
    }
    let user = headers
        .get("x-forwarded-user")
        .map_or("nobody", |user| user.to_str().unwrap())
        .to_owned();
    let target = uri.to_string();
    seen.lock().unwrap().push(Seen {
        method,
        target: target.clone(),
        headers,
        body_bytes,
    });
    let page =
        format!("<!doctype html><title>backend</title><p>{user} at {target}, {body_bytes} bytes");
    ([("content-type", "text/html; charset=utf-8")], page).into_response()
}

async fn websocket(
    State(seen): Memory,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let noted = Seen {
        method: Method::GET,
        target: uri.to_string(),
        headers,
        body_bytes: 0,
    };
    seen.lock().unwrap().push(noted);
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(text) = message
                && socket.send(Message::Text(text)).await.is_err()
            {
                return;
            }
        }
    })
}

/// One event at once, then silence.
async fn events() -> Response {
    let stream = futures_util::stream::once(async { Ok::<_, std::io::Error>("data: first\n\n") })
        .chain(futures_util::stream::pending());
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(stream),
    )
        .into_response()
}
