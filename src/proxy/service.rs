//! Answers a request from a tower service in this process: the portal, and the gateway's own paths
//! on product hosts. Both directions are streamed; a client that goes away drops the handler.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Request, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr as _, Result};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::refuse::clients_fault;

/// Hands the request to `service` and its answer to the client. All of its body has to come `within`
/// this time: what we read ourselves is small. `decorate` may add to the head.
/// Returns the length of the answer's body.
pub async fn answer(
    session: &mut Session,
    service: Router,
    extensions: http::Extensions,
    within: Duration,
    decorate: impl FnOnce(&mut ResponseHeader) -> Result<()>,
) -> Result<u64> {
    let expects_body = !session.is_body_empty();
    if expects_body && session.req_header().headers.contains_key(EXPECT) {
        // Pingora leaves the interim answer to the backend; here we are the backend.
        session.write_continue_response().await?;
    }
    let (chunks, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let request = request(session, extensions, expects_body.then_some(body))?;
    let mut upload = Upload {
        chunks: expects_body.then_some(chunks),
        waiting: None,
    };

    let mut handler = std::pin::pin!(service.oneshot(request));
    let mut late = std::pin::pin!(tokio::time::sleep(within));
    let response = loop {
        let reads = upload.chunks.is_some();
        tokio::select! {
            answered = &mut handler => break answered.unwrap_or_else(|never| match never {}),
            step = upload.step(session) => step?,
            () = &mut late, if reads => {
                return Error::e_explain(ErrorType::HTTPStatus(408), "a form that takes too long");
            }
        }
    };

    let (head, body) = response.into_parts();
    let status = head.status;
    let mut header = ResponseHeader::build(status, Some(head.headers.len() + 4))?;
    for (name, value) in &head.headers {
        header.append_header(name.clone(), value.clone())?;
    }
    let bodiless = session.req_header().method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless && !head.headers.contains_key(CONTENT_LENGTH) {
        use http_body::Body as _;
        match body.size_hint().exact() {
            Some(length) => header.insert_header(CONTENT_LENGTH, length)?,
            None if session.req_header().version == Version::HTTP_11 => {
                header.insert_header(TRANSFER_ENCODING, "chunked")?;
            }
            None => {}
        }
    }
    decorate(&mut header)?;
    session
        .write_response_header(Box::new(header), bodiless)
        .await
        .map_err(clients_fault)?;
    if bodiless {
        return Ok(0);
    }

    let mut bytes = 0;
    let mut frames = body.into_data_stream();
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(frame) => {
                    let frame = frame.or_err(ErrorType::InternalError, "while a page was made")?;
                    bytes += frame.len() as u64;
                    let written = session.write_response_body(Some(frame), false).await;
                    written.map_err(clients_fault)?;
                }
                None => break,
            },
            step = upload.step(session) => step?,
        }
    }
    let written = session.write_response_body(None, true).await;
    written.map_err(clients_fault)?;
    Ok(bytes)
}

fn request(
    session: &Session,
    extensions: http::Extensions,
    body: Option<mpsc::Receiver<Result<Bytes, std::io::Error>>>,
) -> Result<Request<Body>> {
    let head = session.req_header();
    let body = match body {
        Some(chunks) => Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(chunks)),
        None => Body::empty(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    *request.uri_mut() = target
        .parse()
        .or_err(ErrorType::InvalidHTTPHeader, "target")?;
    for (name, value) in &head.headers {
        if ![CONNECTION, TRANSFER_ENCODING, UPGRADE, EXPECT].contains(name) {
            request.headers_mut().append(name.clone(), value.clone());
        }
    }
    *request.extensions_mut() = extensions;
    Ok(request)
}

/// The request's body on its way to the handler.
struct Upload {
    /// Gone when the body is done: a handler that reads to the end would wait for ever otherwise.
    chunks: Option<mpsc::Sender<Result<Bytes, std::io::Error>>>,
    /// A chunk that the handler has no room for yet.
    waiting: Option<Bytes>,
}

impl Upload {
    /// One step: hands a chunk over or reads the next. With nothing left to read it ends only when
    /// the client goes away.
    async fn step(&mut self, session: &mut Session) -> Result<()> {
        if self.waiting.is_none()
            && session.downstream_session.is_body_done()
            && self.chunks.take().is_some()
        {
            // A step by itself: from the next on nobody waits for a body.
            return Ok(());
        }
        if let Some(chunks) = &self.chunks {
            if self.waiting.is_some() {
                let Ok(room) = chunks.reserve().await else {
                    // The handler does not want the rest: pingora drains or closes.
                    self.waiting = None;
                    self.chunks = None;
                    return Ok(());
                };
                if let Some(chunk) = self.waiting.take() {
                    room.send(Ok(chunk));
                }
                return Ok(());
            }
            match session.downstream_session.read_body_or_idle(false).await {
                Ok(Some(chunk)) => self.waiting = Some(chunk),
                Ok(None) => {}
                Err(error) => {
                    let _ = chunks.try_send(Err(std::io::Error::other("the client went away")));
                    return Err(error);
                }
            }
            return Ok(());
        }
        let done = session.downstream_session.is_body_done();
        session
            .downstream_session
            .read_body_or_idle(done)
            .await
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests;
