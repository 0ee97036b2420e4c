//! A websocket opens however quick the backend is.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::gateway::Setup;
use crate::wire::Line;

const PATIENCE: Duration = Duration::from_secs(10);

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Says yes before it is asked, as a quick one seems to on a busy machine: its answer is there when
/// the gateway looks for the first time. Then it speaks.
async fn eager(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            stream.write_all(ANSWER.as_bytes()).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    return;
                };
                head.push(byte);
            }
            let _ = stream.write_all(b"\x81\x05hello").await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_answers_at_once_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setup = Setup::new(&format!("http://{}", listener.local_addr().unwrap()));
    setup.emr = String::from("access = \"public\"");
    let backend = tokio::spawn(eager(listener));
    let gateway = setup.start().await;
    for round in 0..40 {
        let stream = Line::open(&gateway, "emr").await.into_stream();
        let url = format!("{}/ws", gateway.url("emr")).replace("https", "wss");
        let mut request = url.into_client_request().unwrap();
        let origin = gateway.url("emr").parse().unwrap();
        request.headers_mut().insert("origin", origin);
        // The backend's answer is to this key, of RFC 6455.
        let key = "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap();
        request.headers_mut().insert("sec-websocket-key", key);
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .unwrap();
        let heard = timeout(PATIENCE, socket.next()).await.unwrap();
        let heard = heard.unwrap_or_else(|| panic!("closed at once, in round {round}"));
        assert_eq!(heard.unwrap(), Message::text("hello"), "round {round}");
    }
    gateway.stop().await;
    backend.abort();
}
