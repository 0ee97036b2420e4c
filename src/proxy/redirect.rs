//! The plain HTTP listener: answers only with a redirect to https, and only browsers (ASVS 5.0,
//! 4.1.2): a program that sent a secret in the clear should notice, not be helped on. And an authority that
//! asks whether a name is ours.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::challenge::{HTTP_PATH, Witness};
use crate::gate::host::{Host, HostTable};
use crate::gate::target::Target;

/// Nothing here takes longer: a head, an answer, and away.
const WHOLE: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 1024;
const HEAD_BYTES: usize = 16 << 10;

/// Serves until `shutdown`. `origins` gives each host's `https://host[:port]`.
pub async fn serve(
    listener: TcpListener,
    origins: Arc<ArcSwap<HostTable<String>>>,
    witness: Arc<dyn Witness>,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while !*shutdown.borrow() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    let origins = origins.load_full();
                    let witness = Arc::clone(&witness);
                    tokio::spawn(async move {
                        let _ = timeout(WHOLE, converse(stream, origins, witness)).await;
                        drop(place);
                    });
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn converse(stream: TcpStream, origins: Arc<HostTable<String>>, witness: Arc<dyn Witness>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (origins, witness) = (Arc::clone(&origins), Arc::clone(&witness));
        async move {
            let token = question(&request, &origins, &*witness).map(str::to_owned);
            Ok::<_, Infallible>(match token {
                Some(token) => testimony(witness.over_http(&token).await),
                None => answer(&request, &origins),
            })
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(WHOLE)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false);
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The token, when an authority asks about one of our hosts.
fn question<'a, B>(
    request: &'a Request<B>,
    origins: &HostTable<String>,
    witness: &dyn Witness,
) -> Option<&'a str> {
    let token = request.uri().path().strip_prefix(HTTP_PATH)?;
    let host = Host::parse_authority(request.headers().get(HOST)?.as_bytes()).ok()?;
    let asks = request.method() == Method::GET && origins.get(&host).is_some();
    (asks && witness.hears_http()).then_some(token)
}

fn testimony(text: Option<String>) -> Response<Full<Bytes>> {
    let found = text.is_some();
    let mut response = Response::new(Full::new(Bytes::from(text.unwrap_or_default())));
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, kind);
    if !found {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

fn answer<B>(request: &Request<B>, origins: &HostTable<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    match location(request, origins) {
        Ok(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        Err(status) => *response.status_mut() = status,
    }
    response
}

fn location<B>(
    request: &Request<B>,
    origins: &HostTable<String>,
) -> Result<HeaderValue, StatusCode> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(StatusCode::FORBIDDEN);
    }
    let host = request.headers().get(HOST).ok_or(StatusCode::BAD_REQUEST)?;
    let host = Host::parse_authority(host.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    // Only to hosts that are ours: a redirect to whatever the client names helps phishing.
    let origin = origins.get(&host).ok_or(StatusCode::MISDIRECTED_REQUEST)?;
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let target = Target::parse(target.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    HeaderValue::from_str(&format!("{origin}{}", target.forwarded()))
        .map_err(|_| StatusCode::BAD_REQUEST)
}
