//! The application behind, as fast as hyper gives it: a page of 2 KiB, a scan of 64 KiB, and what
//! came with the request.

use std::convert::Infallible;
use std::fmt::Write as _;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{Result, child};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Notes,
    Scan,
}

impl Page {
    pub const fn path(self) -> &'static str {
        match self {
            Page::Notes => "/patients/174411/notes",
            Page::Scan => "/patients/174411/scan1",
        }
    }

    /// Bytes of the body.
    pub const fn size(self) -> usize {
        match self {
            Page::Notes => 2 << 10,
            Page::Scan => 64 << 10,
        }
    }
}

/// Answers with the request's headers, a line for each.
pub const SEEN: &str = "/patients/174411/seen";

pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        child::say_ready(listener.local_addr()?);
        let notes = Bytes::from(vec![b'.'; Page::Notes.size()]);
        let scan = Bytes::from(vec![b'.'; Page::Scan.size()]);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (notes, scan) = (notes.clone(), scan.clone());
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let body = match request.uri().path() {
                        SEEN => seen(&request),
                        path if path == Page::Scan.path() => scan.clone(),
                        _ => notes.clone(),
                    };
                    let mut response = Response::new(Full::new(body));
                    response
                        .headers_mut()
                        .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
                    async { Ok::<_, Infallible>(response) }
                });
                // The proxy hung up: that is how connections end.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

fn seen(request: &Request<Incoming>) -> Bytes {
    let mut text = String::new();
    for (name, value) in request.headers() {
        let _ = writeln!(
            text,
            "{name}: {}",
            String::from_utf8_lossy(value.as_bytes())
        );
    }
    Bytes::from(text)
}
