//! Files going up and coming down, at constant memory whatever their size.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{Multipart, Query};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;

/// Files taken from one form at most.
const FILES: usize = 16;
/// Characters of a file's name that are kept.
const NAME: usize = 120;
/// The largest archive, in MiB.
const LARGEST_MIB: u64 = 4096;
const CHUNK: usize = 64 * 1024;
const LINE: &[u8] = b"2026-03-02;PT-000000;97110;therapeutic exercise;;\n";

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// Reads a form's files to their end, keeping of each only its name, size and hash.
pub async fn receive(mut form: Multipart) -> Result<Vec<Received>, MultipartError> {
    let mut received = Vec::new();
    while let Some(field) = form.next_field().await? {
        if field.file_name().is_some_and(|name| !name.is_empty()) && received.len() < FILES {
            received.push(measure(field).await?);
        }
    }
    Ok(received)
}

async fn measure(mut field: Field<'_>) -> Result<Received, MultipartError> {
    let name = field
        .file_name()
        .unwrap_or_default()
        .chars()
        .take(NAME)
        .collect();
    let mut hash = Context::new(&SHA256);
    let mut bytes = 0;
    while let Some(chunk) = field.chunk().await? {
        hash.update(&chunk);
        bytes += chunk.len() as u64;
    }
    let sha256 = hash
        .finish()
        .as_ref()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        });
    Ok(Received {
        name,
        bytes,
        sha256,
    })
}

#[derive(Deserialize)]
pub struct Wanted {
    /// In MiB; 64 unless told.
    #[serde(default = "usual_mib")]
    mib: u64,
}

const fn usual_mib() -> u64 {
    64
}

/// `GET /archive/visits.csv?mib=64`
pub async fn archive(Query(wanted): Query<Wanted>) -> Response {
    if wanted.mib > LARGEST_MIB {
        return (StatusCode::BAD_REQUEST, "at most 4096 MiB").into_response();
    }
    let length = wanted.mib * 1024 * 1024;
    let headers: [(HeaderName, String); 3] = [
        (
            header::CONTENT_TYPE,
            String::from("text/csv; charset=utf-8"),
        ),
        (header::CONTENT_LENGTH, length.to_string()),
        (
            header::CONTENT_DISPOSITION,
            String::from("attachment; filename=\"visits.csv\""),
        ),
    ];
    (headers, Body::from_stream(lines(length))).into_response()
}

/// `length` bytes of the same line over and over; every chunk shares one buffer.
fn lines(length: u64) -> impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let whole_lines = CHUNK / LINE.len();
    let block = Bytes::from(LINE.repeat(whole_lines));
    stream::unfold(length, move |left| {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        let chunk = (size > 0).then(|| (Ok(block.slice(..size)), left - size as u64));
        std::future::ready(chunk)
    })
}
