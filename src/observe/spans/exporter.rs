//! What sends spans: in batches, with a deadline, once. A collector that is away costs its spans and
//! nothing else.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Settings, Span, otlp};
use crate::observe::metrics::Metrics;

/// Spans sent at once.
const BATCH: usize = 512;
/// The longest that a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// For the collector's answer.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SpansError {
    #[error("telemetry.otlp is not a URL that spans can be posted to")]
    Url,
    #[error("telemetry.token can't stand in a header")]
    Token,
    #[error("TLS for traces can't be set up")]
    Tls,
}

pub struct Exporter {
    spans: mpsc::Receiver<Span>,
    client: Client,
    url: Url,
    bearer: Option<HeaderValue>,
    instance: String,
    sent: IntCounter,
    failed: IntCounter,
    /// What was last said of the collector: one that stays away is not reported each second.
    complaint: Option<String>,
}

impl Exporter {
    pub(super) fn new(
        settings: Settings,
        spans: mpsc::Receiver<Span>,
        metrics: &Metrics,
    ) -> Result<Exporter, SpansError> {
        let base = settings.otlp.trim_end_matches('/');
        let url = Url::parse(&format!("{base}/v1/traces")).map_err(|_| SpansError::Url)?;
        let bearer = settings.token.as_deref().map(bearer).transpose()?;
        Ok(Exporter {
            spans,
            client: client()?,
            url,
            bearer,
            instance: settings.instance,
            sent: metrics.spans("sent"),
            failed: metrics.spans("failed"),
            complaint: None,
        })
    }

    /// Sends until told to end, and then what is left, once.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let more = tokio::select! {
                count = self.spans.recv_many(&mut batch, BATCH) => count > 0,
                _ = shutdown.wait_for(|over| *over) => false,
            };
            if !more {
                break;
            }
            self.gather(&mut batch, &mut shutdown).await;
            self.send(&mut batch).await;
        }
        self.spans.close();
        while let Ok(span) = self.spans.try_recv() {
            batch.push(span);
        }
        for mut rest in batch
            .chunks(BATCH)
            .map(<[Span]>::to_vec)
            .collect::<Vec<_>>()
        {
            self.send(&mut rest).await;
        }
    }

    /// Waits a moment for more of them.
    async fn gather(&mut self, batch: &mut Vec<Span>, shutdown: &mut watch::Receiver<bool>) {
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                count = self.spans.recv_many(batch, room) => if count == 0 { return },
                () = sleep_until(until) => return,
                _ = shutdown.wait_for(|over| *over) => return,
            }
        }
    }

    async fn send(&mut self, batch: &mut Vec<Span>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        match self.post(otlp::batch(&self.instance, batch)).await {
            Ok(()) => {
                self.sent.inc_by(count);
                if self.complaint.take().is_some() {
                    tracing::info!("traces are taken again");
                }
            }
            Err(why) => {
                self.failed.inc_by(count);
                if self.complaint.as_ref() != Some(&why) {
                    tracing::warn!(why, "traces can't be handed over, and are thrown away");
                }
                self.complaint = Some(why);
            }
        }
        batch.clear();
    }

    /// The error is its kind alone: the library's text has the address in it, which may hold a secret.
    async fn post(&self, body: Vec<u8>) -> Result<(), String> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("refused with {}", answer.status().as_u16())),
            Err(error) if error.is_timeout() => Err(String::from("no answer in time")),
            Err(error) if error.is_connect() => Err(String::from("no connection")),
            Err(_) => Err(String::from("an answer that can't be understood")),
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, SpansError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| SpansError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Follows nothing: a redirect would carry the token elsewhere.
fn client() -> Result<Client, SpansError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| SpansError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(DEADLINE)
        .timeout(DEADLINE)
        .pool_max_idle_per_host(1)
        .no_proxy()
        .user_agent("vestibule")
        .build()
        .map_err(|_| SpansError::Tls)
}
