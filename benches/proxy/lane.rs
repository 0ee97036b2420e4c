//! One person's way to the proxy: a connection of HTTP/1.1, or a stream's place on one of HTTP/2.

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::header::COOKIE;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use vestibule::gate::cookies::SESSION_COOKIE;

use super::Result;
use super::backend::Page;
use super::visits::Visits;

/// The largest head of an answer.
const HEAD: usize = 8 << 10;

/// What a browser sends, more or less.
const HEADERS: [(&str, &str); 7] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, br"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "same-origin"),
];

type Done<T> = std::result::Result<T, String>;

/// What a lane asks for, in whose name.
#[derive(Clone)]
pub struct Asks {
    pub host: String,
    pub page: Page,
    pub visits: Visits,
    /// Whose turn it is, and how many come between.
    pub next: usize,
    pub step: usize,
}

/// As long as those of sessions, and as dear to decode (Huffman's code, RFC 7541).
const NOBODYS: &str = "pTyGJMuHbEL31IeL2HPcHyGcFRl1SPnXNYvMIHa_2o76umfXfKm_r5kJP1VrT-1FJo";

impl Asks {
    /// The next one's cookies.
    fn cookies(&mut self) -> String {
        let place = self.next % self.visits.len().max(1);
        self.next += self.step;
        match self.visits.get(place) {
            Some(cookie) => format!("theme=dark; {cookie}"),
            None => format!("theme=dark; {SESSION_COOKIE}={NOBODYS}"),
        }
    }
}

pub struct Lane {
    asks: Asks,
    way: Way,
}

enum Way {
    Http1 {
        stream: Box<TlsStream<TcpStream>>,
        head: String,
        buffer: Vec<u8>,
    },
    Http2(SendRequest<Bytes>),
}

impl Lane {
    pub fn http1(stream: TlsStream<TcpStream>, asks: Vec<Asks>) -> Vec<Lane> {
        let mut asks = asks.into_iter();
        let lane = asks.next().map(|asks| {
            let mut head = format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\n",
                asks.page.path(),
                asks.host
            );
            for (name, value) in HEADERS {
                head += &format!("{name}: {value}\r\n");
            }
            let way = Way::Http1 {
                stream: Box::new(stream),
                head,
                buffer: vec![0; HEAD + asks.page.size()],
            };
            Lane { asks, way }
        });
        lane.into_iter().collect()
    }

    /// As many lanes as there is something to ask, on one connection.
    pub async fn http2(stream: TlsStream<TcpStream>, asks: Vec<Asks>) -> Result<Vec<Lane>> {
        let (send, connection) = client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(8 << 20)
            .handshake::<_, Bytes>(stream)
            .await?;
        // It ends when the last lane is gone; what fails is told to them.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let lane = |asks| Lane {
            asks,
            way: Way::Http2(send.clone()),
        };
        Ok(asks.into_iter().map(lane).collect())
    }

    pub async fn visit(&mut self) -> Done<()> {
        let cookies = self.asks.cookies();
        match &mut self.way {
            Way::Http1 {
                stream,
                head,
                buffer,
            } => {
                let request = format!("{head}Cookie: {cookies}\r\n\r\n");
                visit1(stream, request.as_bytes(), buffer, self.asks.page.size()).await
            }
            Way::Http2(send) => visit2(send, &cookies, &self.asks).await,
        }
    }
}

async fn visit1(
    stream: &mut TlsStream<TcpStream>,
    request: &[u8],
    buffer: &mut [u8],
    size: usize,
) -> Done<()> {
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(request).await.map_err(failed)?;
    let mut filled = 0;
    let mut wanted = None;
    while wanted.is_none_or(|wanted| filled < wanted) {
        match stream.read(&mut buffer[filled..]).await.map_err(failed)? {
            0 => return Err(String::from("the connection was closed in the middle")),
            read => filled += read,
        }
        if wanted.is_none() {
            wanted = length(&buffer[..filled], size)?;
        }
    }
    Ok(())
}

/// The length of the whole answer, once its head is there.
fn length(answer: &[u8], size: usize) -> Done<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    if !head.starts_with("HTTP/1.1 200") || body != Some(size) {
        return Err(format!("not the page:\n{head}"));
    }
    Ok(Some(end + 4 + size))
}

async fn visit2(send: &SendRequest<Bytes>, cookies: &str, asks: &Asks) -> Done<()> {
    let failed = |error: h2::Error| error.to_string();
    let uri = format!("https://{}{}", asks.host, asks.page.path());
    let mut request = Request::builder().method(Method::GET).uri(uri);
    for (name, value) in HEADERS {
        request = request.header(name, HeaderValue::from_static(value));
    }
    let request = request.header(COOKIE, cookies).body(());
    let request = request.map_err(|error| error.to_string())?;
    let mut ready = send.clone().ready().await.map_err(failed)?;
    let (answer, _) = ready.send_request(request, true).map_err(failed)?;
    let answer = answer.await.map_err(failed)?;
    if answer.status() != StatusCode::OK {
        return Err(format!("not the page: {}", answer.status()));
    }
    let mut body = answer.into_body();
    let mut size = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(failed)?;
        size += piece.len();
        let released = body.flow_control().release_capacity(piece.len());
        released.map_err(failed)?;
    }
    if size != asks.page.size() {
        return Err(format!("a page of {size} bytes"));
    }
    Ok(())
}
