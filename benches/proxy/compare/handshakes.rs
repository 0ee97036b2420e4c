//! What beginning a connection costs: whole handshakes, and resumed ones.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::lineup::{Lineup, Stage};
use super::paper::{Table, told};
use crate::load::{Load, Protocol, open};
use crate::options::Options;
use crate::{LIMIT, Result};

/// Connections that are begun at once.
const AT_ONCE: usize = 8;
/// The longest that one handshake takes, with the ticket after it.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Figures {
    /// µs for each.
    cpu: Vec<f64>,
    per_second: Vec<f64>,
    /// Handshakes that were not of the kind that was meant.
    others: usize,
}

pub async fn measure(options: &Options, lineup: &Lineup, load: &Load) -> Result<String> {
    let stages = lineup.stages();
    let empty = || {
        stages
            .iter()
            .map(|_| Figures::default())
            .collect::<Vec<_>>()
    };
    let mut kinds = [(false, empty()), (true, empty())];
    let mut failures = Vec::new();
    for round in 0..options.rounds {
        for (resuming, figures) in &mut kinds {
            for turn in 0..stages.len() {
                let index = (turn + round) % stages.len();
                let (stage, figures) = (&stages[index], &mut figures[index]);
                let done = measure_one(options, stage, load, *resuming, figures).await;
                if let Err(error) = done {
                    let kind = if *resuming { "resumed" } else { "new" };
                    failures.push(format!("{}, {kind}: {error}", stage.candidate.name));
                }
            }
        }
    }
    let [(_, new), (_, resumed)] = kinds;
    let mut table = Table::new([
        "",
        "new: CPU µs",
        "new: per second",
        "resumed: CPU µs",
        "resumed: per second",
    ]);
    for (index, stage) in stages.iter().enumerate() {
        let (new, resumed) = (&new[index], &resumed[index]);
        table.row([
            stage.candidate.name.to_owned(),
            told(&new.cpu, 0),
            told(&new.per_second, 0),
            told(&resumed.cpu, 0),
            told(&resumed.per_second, 0),
        ]);
        if new.others + resumed.others > 0 {
            failures.push(format!(
                "{}: {} handshakes that were to be resumed were not, {} the other way about",
                stage.candidate.name, resumed.others, new.others
            ));
        }
    }
    let mut text = format!(
        "### TLS handshakes\n\n{} in each round, {AT_ONCE} at once, each until its first ticket came.\n\n{table}",
        options.handshakes
    );
    for failure in failures {
        text += &format!("\nNot so: {failure}\n");
    }
    Ok(text)
}

async fn measure_one(
    options: &Options,
    stage: &Stage,
    load: &Load,
    resuming: bool,
    figures: &mut Figures,
) -> Result<()> {
    let address = stage.candidate.address;
    let mut connectors = Vec::with_capacity(AT_ONCE);
    for _ in 0..AT_ONCE {
        let tls = load.connector(Protocol::Http1, resuming);
        // The one that later ones resume.
        shake(&tls, address).await?;
        connectors.push(tls);
    }
    let each = options.handshakes.div_ceil(AT_ONCE);
    let cpu = stage.candidate.cpu()?;
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for tls in connectors {
        running.spawn(async move {
            let mut others = 0;
            for _ in 0..each {
                let kind = shake(&tls, address)
                    .await
                    .map_err(|error| error.to_string())?;
                others += usize::from((kind == HandshakeKind::Resumed) != resuming);
            }
            Ok::<_, String>(others)
        });
    }
    let all = async {
        let mut others = 0;
        while let Some(done) = running.join_next().await {
            others += done.map_err(|error| error.to_string())??;
        }
        Ok::<_, String>(others)
    };
    let others = timeout(LIMIT, all)
        .await
        .map_err(|_| "a round took too long")??;
    let took = begun.elapsed();
    let cpu = stage.candidate.cpu()?.saturating_sub(cpu);
    let count = (each * AT_ONCE) as f64;
    figures.others += others;
    figures.cpu.push(cpu.as_secs_f64() * 1e6 / count);
    figures.per_second.push(count / took.as_secs_f64());
    Ok(())
}

async fn shake(tls: &TlsConnector, address: SocketAddr) -> Result<HandshakeKind> {
    let whole = async {
        let mut stream = open(tls, address).await?;
        poll_fn(|context| poll_ticket(&mut stream, context)).await?;
        let kind = stream.get_ref().1.handshake_kind();
        // The other side may have gone first.
        let _ = stream.shutdown().await;
        kind.ok_or_else(|| "no handshake".into())
    };
    timeout(PATIENCE, whole)
        .await
        .map_err(|_| "no handshake with a ticket within five seconds")?
}

/// Reads until the server has sent a ticket: its part of the work is done then.
fn poll_ticket(
    stream: &mut TlsStream<TcpStream>,
    context: &mut Context<'_>,
) -> Poll<std::io::Result<()>> {
    if stream.get_ref().1.tls13_tickets_received() > 0 {
        return Poll::Ready(Ok(()));
    }
    let mut bytes = [0; 64];
    let read = Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut bytes));
    if stream.get_ref().1.tls13_tickets_received() > 0 {
        return Poll::Ready(Ok(()));
    }
    match read {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) => Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into())),
    }
}
