//! `vestibule run`.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, settings, world};
use crate::app::{self, Running, Sockets};
use crate::config::Settings;
use crate::config::settings::LogFormat;
use crate::observe::trace;

/// Serves until SIGTERM or SIGINT.
pub fn run(file: &Path) -> Result<u8, Failure> {
    let settings = settings(file)?;
    start_log(&settings)?;
    for notice in &settings.notices {
        tracing::warn!("{notice}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::not_so)?
        .block_on(async {
            let sockets = Sockets::bind(&settings.listen).await?;
            let addresses = addresses(&sockets);
            let running = app::start(settings, world::real(), sockets).await?;
            tracing::info!(addresses, "ready");
            until_told(running).await
        })
}

fn start_log(settings: &Settings) -> Result<(), Failure> {
    let format = match settings.log.format {
        LogFormat::Json => trace::Format::Json,
        LogFormat::Text => trace::Format::Text,
    };
    trace::start(format, &settings.log.level).map_err(Failure::not_so)
}

fn addresses(sockets: &Sockets) -> String {
    let bound: Vec<String> = sockets
        .https
        .iter()
        .chain(&sockets.http)
        .chain(&sockets.admin)
        .filter_map(|socket| socket.local_addr().ok())
        .map(|address| address.to_string())
        .collect();
    bound.join(" ")
}

async fn until_told(running: Running) -> Result<u8, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::not_so)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::not_so)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::not_so)?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => running.reload(),
        }
    }
    tracing::info!("draining");
    running.stop().await;
    Ok(0)
}
