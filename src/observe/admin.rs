//! The admin listener: `/metrics`, `/healthz`, `/readyz`. For operators and their machines, never
//! for the public; it tells nothing of persons.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

const CONNECTIONS: usize = 64;
/// For a request's head, and for an idle connection.
const HEAD: Duration = Duration::from_secs(30);
/// For whoever says what is missing: a store that hangs is not ready.
const READY: Duration = Duration::from_secs(2);
/// For open connections at the end.
const DRAIN: Duration = Duration::from_secs(5);

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `/readyz`
    Everything,
    /// `/readyz?own`: what all nodes share is left out. A balancer that sends nobody anywhere once no node is
    /// ready would make an outage of everything out of one of the directory.
    Own,
}

/// Whether traffic may come, or what is missing for that: `store`, `directory`, `certificates`,
/// `draining`.
pub type Ready = Pin<Box<dyn Future<Output = Result<(), Vec<String>>> + Send>>;

/// What the listener shows; it asks for everything at each request.
#[derive(Clone)]
pub struct Admin {
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    ready: Arc<dyn Fn(Asked) -> Ready + Send + Sync>,
    patience: Duration,
}

impl Admin {
    pub fn new(
        metrics: impl Fn() -> String + Send + Sync + 'static,
        ready: impl Fn(Asked) -> Ready + Send + Sync + 'static,
    ) -> Admin {
        Admin {
            metrics: Arc::new(metrics),
            ready: Arc::new(ready),
            patience: READY,
        }
    }

    /// Serves until `shutdown` says true (or its sender is gone), then lets open requests finish.
    pub async fn serve(self, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = said_over(&mut shutdown) => break,
                // Reaps: the set would grow otherwise.
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        let (admin, shutdown) = (self.clone(), shutdown.clone());
                        connections.spawn(async move {
                            admin.converse(stream, shutdown).await;
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to come back.
                    tracing::warn!(%error, "the admin listener can't accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        // Who is not done by then is cut off with the set.
        let _ = timeout(DRAIN, drained).await;
    }

    async fn converse(&self, stream: TcpStream, mut shutdown: watch::Receiver<bool>) {
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(self.answer(&request).await) });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(16 * 1024);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let over = tokio::select! {
            result = connection.as_mut() => Some(result),
            () = said_over(&mut shutdown) => None,
        };
        let over = match over {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = over {
            tracing::debug!(%error, "an admin connection ended");
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
        }
        match request.uri().path() {
            "/metrics" => response(StatusCode::OK, PROMETHEUS, (self.metrics)()),
            "/healthz" => response(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => {
                let asked = match request.uri().query() {
                    Some("own") => Asked::Own,
                    _ => Asked::Everything,
                };
                match timeout(self.patience, (self.ready)(asked)).await {
                    Ok(Ok(())) => response(StatusCode::OK, TEXT, "ok\n"),
                    Ok(Err(missing)) => {
                        response(StatusCode::SERVICE_UNAVAILABLE, TEXT, list(&missing))
                    }
                    Err(_) => response(
                        StatusCode::SERVICE_UNAVAILABLE,
                        TEXT,
                        "missing: an answer in time\n",
                    ),
                }
            }
            _ => response(StatusCode::NOT_FOUND, TEXT, "/metrics /healthz /readyz\n"),
        }
    }
}

async fn said_over(shutdown: &mut watch::Receiver<bool>) {
    // Nobody is left to say it: that is an end too.
    let _ = shutdown.wait_for(|over| *over).await;
}

fn list(missing: &[String]) -> String {
    missing
        .iter()
        .map(|what| format!("missing: {what}\n"))
        .collect()
}

fn response(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    struct Running {
        address: SocketAddr,
        shutdown: watch::Sender<bool>,
        task: JoinHandle<()>,
    }

    async fn start(ready: impl Fn(Asked) -> Ready + Send + Sync + 'static) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, over) = watch::channel(false);
        let mut admin = Admin::new(|| String::from("vestibule_up 1\n"), ready);
        admin.patience = Duration::from_millis(50);
        Running {
            address,
            shutdown,
            task: tokio::spawn(admin.serve(listener, over)),
        }
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_three_addresses_answer_over_a_socket() {
        let ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ready);
        let running = start(move |_| {
            let all = asked.load(Ordering::SeqCst);
            Box::pin(async move {
                if all {
                    Ok(())
                } else {
                    Err(vec![String::from("store"), String::from("directory")])
                }
            })
        })
        .await;
        let metrics = ask(running.address, "GET /metrics").await;
        assert!(
            metrics.starts_with("HTTP/1.1 200") && metrics.ends_with("vestibule_up 1\n"),
            "{metrics}"
        );
        assert!(
            metrics.contains("content-type: text/plain; version=0.0.4"),
            "{metrics}"
        );
        assert!(
            ask(running.address, "GET /healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let missing = ask(running.address, "GET /readyz").await;
        assert!(missing.starts_with("HTTP/1.1 503"), "{missing}");
        assert!(
            missing.ends_with("missing: store\nmissing: directory\n"),
            "{missing}"
        );
        ready.store(true, Ordering::SeqCst);
        assert!(
            ask(running.address, "GET /readyz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(
            ask(running.address, "GET /")
                .await
                .starts_with("HTTP/1.1 404")
        );
        assert!(
            ask(running.address, "POST /metrics")
                .await
                .starts_with("HTTP/1.1 405")
        );
    }

    #[tokio::test]
    async fn shutdown_ends_the_listener_and_idle_connections() {
        let running = start(|_| Box::pin(async { Ok(()) })).await;
        let mut idle = TcpStream::connect(running.address).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: admin\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 12];
        idle.read_exact(&mut answer).await.unwrap();
        running.shutdown.send(true).unwrap();
        timeout(Duration::from_secs(4), running.task)
            .await
            .unwrap()
            .unwrap();
        assert!(TcpStream::connect(running.address).await.is_err());
    }

    #[tokio::test]
    async fn who_does_not_say_whether_it_is_ready_is_not() {
        let running = start(|_| Box::pin(std::future::pending())).await;
        assert!(
            ask(running.address, "GET /readyz")
                .await
                .starts_with("HTTP/1.1 503")
        );
    }
}
