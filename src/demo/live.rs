//! What keeps a page alive: polling, a websocket and an event stream.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at};

/// Between two ticks of the websocket and of the event stream.
const TICK: Duration = Duration::from_secs(1);
/// The longest message echoed, in bytes.
const LONGEST: usize = 64 * 1024;

/// `GET /poll/…`: asked by a script every five seconds, and told other news each time.
pub fn poll(news: &[&str]) -> Json<Value> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    let text = news.get(asked.checked_rem(news.len()).unwrap_or(0));
    Json(json!({ "text": text, "waiting": asked % 7 }))
}

/// `GET /live`: greets, echoes what it is sent, and ticks.
pub async fn socket(upgrade: WebSocketUpgrade, app: &'static str) -> Response {
    upgrade
        .max_message_size(LONGEST)
        .on_upgrade(move |socket| converse(socket, app))
}

async fn converse(mut socket: WebSocket, app: &'static str) {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    let mut count = 0_u64;
    if socket
        .send(Message::text(format!("{app} is listening")))
        .await
        .is_err()
    {
        return;
    }
    loop {
        let answer = tokio::select! {
            _ = ticks.tick() => {
                count += 1;
                Message::text(format!("tick {count}"))
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => Message::text(format!("echo: {text}")),
                Some(Ok(Message::Binary(bytes))) => Message::Binary(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

/// `GET /events`: the first event at once, then one every tick.
pub async fn events(
    what: &'static str,
) -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
    let ticks = interval_at(Instant::now(), TICK);
    let events = stream::unfold((ticks, 0_u64), move |(mut ticks, count)| async move {
        ticks.tick().await;
        let event = Event::default()
            .id(count.to_string())
            .data(format!("{what} {count}"));
        Some((Ok(event), (ticks, count + 1)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
