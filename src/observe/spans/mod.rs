//! Traces: one span for each sampled request and one for what its backend did, sent in batches to an
//! OTLP collector.
//!
//! A span says where and how long, and never who or what: collectors often stand in another house.
//! It has no person, no company, no path, no query and no address. `vestibule.request_id` leads from
//! it to the access log, which has all that.

mod exporter;
mod otlp;

use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::mpsc;

pub use exporter::{Exporter, SpansError};

use super::metrics::Metrics;
use crate::gate::time::Moment;
use crate::gate::traceparent::TraceParent;

/// Spans on their way; more are counted and thrown away.
const QUEUE: usize = 4096;

/// Where spans go, and how many.
pub struct Settings {
    /// The collector's base URL: `/v1/traces` is added.
    pub otlp: String,
    /// `Authorization: Bearer`.
    pub token: Option<String>,
    /// Of how many requests whose trace begins here, from 0 to 1.
    pub sample: f64,
    /// Tells this process's spans from others'.
    pub instance: String,
}

/// A request's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// What the backend is told: the span of its part.
    pub onward: TraceParent,
    /// The gateway's own span.
    pub span: [u8; 8],
    /// The client's, when the trace began before.
    pub parent: Option<[u8; 8]>,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: Trace,
    pub request_id: String,
    pub began: Moment,
    pub took: Duration,
    /// From the request's beginning to where the backend was asked, and how long it took to begin
    /// its answer; `None` when it never did.
    pub upstream: Option<(Duration, Option<Duration>)>,
    pub method: String,
    pub host: String,
    pub product: String,
    pub status: u16,
    pub http2: bool,
    pub decision: &'static str,
    pub reason: &'static str,
}

/// Where finished requests are handed in. Never waits.
pub struct Spans {
    queue: mpsc::Sender<Span>,
    dropped: IntCounter,
    /// Of 2^32.
    threshold: u64,
}

/// The handle, and what sends.
pub fn spans(settings: Settings, metrics: &Metrics) -> Result<(Spans, Exporter), SpansError> {
    let (queue, spans) = mpsc::channel(QUEUE);
    let whole = (u64::from(u32::MAX) + 1) as f64;
    let handle = Spans {
        queue,
        dropped: metrics.spans("dropped"),
        threshold: (settings.sample.clamp(0.0, 1.0) * whole) as u64,
    };
    let exporter = Exporter::new(settings, spans, metrics)?;
    Ok((handle, exporter))
}

impl Spans {
    /// The place of a request. `came`: the client's `traceparent`; `believed`: whether who sent it
    /// may decide that the trace is kept. Anybody else could fill the collector, so for them the
    /// dice decide; their trace goes on all the same. `fresh`: the name of a trace that begins here.
    pub fn begin(
        &self,
        came: Option<TraceParent>,
        believed: bool,
        fresh: [u8; 16],
        random: &[u8; 20],
    ) -> Trace {
        let (span, rest) = random.split_first_chunk().unwrap_or((&[1; 8], &[]));
        let (onward, rest) = rest.split_first_chunk().unwrap_or((&[2; 8], &[]));
        let dice = rest
            .first_chunk()
            .map_or(0, |dice| u32::from_be_bytes(*dice));
        let sampled = match came {
            Some(came) if believed => came.sampled,
            _ => u64::from(dice) < self.threshold,
        };
        Trace {
            onward: TraceParent {
                trace: came.map_or(fresh, |came| came.trace),
                span: *onward,
                sampled,
            },
            span: *span,
            parent: came.map(|came| came.span),
        }
    }

    pub fn finish(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(sample: f64, room: usize) -> (Spans, mpsc::Receiver<Span>) {
        let (queue, spans) = mpsc::channel(room);
        let whole = (u64::from(u32::MAX) + 1) as f64;
        let handle = Spans {
            queue,
            dropped: IntCounter::new("dropped", "dropped").unwrap(),
            threshold: (sample * whole) as u64,
        };
        (handle, spans)
    }

    fn dice(value: u32) -> [u8; 20] {
        let mut random = [7; 20];
        random[16..].copy_from_slice(&value.to_be_bytes());
        random
    }

    fn came(sampled: bool) -> TraceParent {
        TraceParent {
            trace: [3; 16],
            span: [4; 8],
            sampled,
        }
    }

    #[test]
    fn all_none_and_half_are_kept_as_the_dice_fall() {
        for (sample, value, kept) in [
            (1.0, u32::MAX, true),
            (0.0, 0, false),
            (0.5, u32::MAX / 2, true),
            (0.5, u32::MAX / 2 + 1, false),
        ] {
            let (spans, _) = handle(sample, 1);
            let trace = spans.begin(None, false, [9; 16], &dice(value));
            assert_eq!(trace.onward.sampled, kept, "{sample} {value}");
            assert_eq!((trace.onward.trace, trace.parent), ([9; 16], None));
        }
    }

    #[test]
    fn a_trace_goes_on_and_only_who_is_believed_decides_that_it_is_kept() {
        let (none, _) = handle(0.0, 1);
        let trace = none.begin(Some(came(true)), false, [9; 16], &dice(0));
        assert!(!trace.onward.sampled);
        assert_eq!((trace.onward.trace, trace.parent), ([3; 16], Some([4; 8])));
        let believed = none.begin(Some(came(true)), true, [9; 16], &dice(0));
        assert!(believed.onward.sampled);
        let (all, _) = handle(1.0, 1);
        let declined = all.begin(Some(came(false)), true, [9; 16], &dice(0));
        assert!(!declined.onward.sampled);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (spans, _receiver) = handle(1.0, 1);
        let span = Span {
            trace: spans.begin(None, false, [9; 16], &dice(0)),
            request_id: String::from("r"),
            began: Moment::EPOCH,
            took: Duration::ZERO,
            upstream: None,
            method: String::from("GET"),
            host: String::from("emr.test"),
            product: String::from("emr"),
            status: 200,
            http2: true,
            decision: "allow",
            reason: "session",
        };
        spans.finish(span.clone());
        spans.finish(span);
        assert_eq!(spans.dropped.get(), 1);
    }
}
