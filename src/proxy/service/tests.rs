use axum::routing::post;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

/// What a client hears of a handler that is `busy` for so long with a body that came whole.
async fn heard(body: &str, busy: Duration) -> String {
    let (mut client, here) = tokio::io::duplex(64 * 1024);
    let asked = format!(
        "POST / HTTP/1.1\r\nHost: login.test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(asked.as_bytes()).await.unwrap();
    let mut session = Session::new_h1(Box::new(here));
    assert!(session.downstream_session.read_request().await.unwrap());
    let handler = move |body: String| async move {
        tokio::time::sleep(busy).await;
        body
    };
    let service = Router::new().route("/", post(handler));
    let done = answer(
        &mut session,
        service,
        http::Extensions::new(),
        WITHIN,
        |_| Ok(()),
    );
    done.await.expect("the handler is waited for");
    drop(session);
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    heard
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_longer_than_its_form() {
    for busy in [Duration::ZERO, WITHIN * 6] {
        let heard = heard("name=kim", busy).await;
        assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
        assert!(heard.ends_with("name=kim"), "{heard}");
    }
}
