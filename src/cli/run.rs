//! `vestibule run`.

use std::path::Path;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::manager::Manager;
use super::{Failure, settings, world};
use crate::app::handover::{Copies, Inheritance, activated};
use crate::app::{self, Running, Sockets};
use crate::config::Settings;
use crate::config::settings::LogFormat;
use crate::observe::trace;

#[derive(Debug, Clone, Copy, Args)]
pub struct RunArgs {
    /// Take over from the process that serves now: it hands over its sockets at SIGQUIT, and ends
    /// when this one serves
    #[arg(long)]
    upgrade: bool,
}

/// How it ends.
enum Told {
    Stop,
    /// Another process serves on the same sockets.
    Succeeded,
}

/// Serves until SIGTERM or SIGINT, or until another process has taken over.
pub fn run(file: &Path, arguments: RunArgs) -> Result<u8, Failure> {
    let settings = settings(file)?;
    start_log(&settings)?;
    for notice in &settings.notices {
        tracing::warn!("{notice}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::not_so)?
        .block_on(serve(settings, arguments))
}

async fn serve(settings: Settings, arguments: RunArgs) -> Result<u8, Failure> {
    let manager = Manager::of_environment();
    let data_dir = settings.store.data_dir.clone();
    let (handed, line) = if arguments.upgrade {
        app::make_private_folder(&data_dir)?;
        let inherited = Inheritance::await_in(&data_dir).await;
        let (sockets, line) = inherited.map_err(Failure::not_so)?.apart();
        (sockets, Some(line))
    } else {
        let handed = activated(&settings.listen).map_err(Failure::not_so)?;
        (handed, None)
    };
    let sockets = Sockets::gather(&settings.listen, handed).await?;
    let copies = Copies::of(&sockets, &settings.listen).map_err(Failure::not_so)?;
    let addresses = addresses(&sockets);
    let running = app::start(settings, world::real(), sockets).await?;
    if let Some(line) = line {
        line.ready().map_err(Failure::not_so)?;
    }
    tracing::info!(addresses, "ready");
    manager.ready();

    let told = tokio::select! {
        told = until_told(&running, &copies, &data_dir) => told?,
        () = manager.stay_alive(async || running.take_turns().await) => Told::Stop,
    };
    tracing::info!("draining");
    // A copy would keep the sockets open, and visitors waiting at them for nobody.
    drop(copies);
    match told {
        Told::Stop => {
            manager.stopping();
            running.stop().await;
        }
        Told::Succeeded => running.retire().await,
    }
    Ok(0)
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

async fn until_told(running: &Running, copies: &Copies, data_dir: &Path) -> Result<Told, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::not_so)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::not_so)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::not_so)?;
    let mut quit = signal(SignalKind::quit()).map_err(Failure::not_so)?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(Told::Stop),
            _ = interrupt.recv() => return Ok(Told::Stop),
            _ = hangup.recv() => drop(running.reload()),
            _ = quit.recv() => {
                tracing::info!("handing over");
                let handed = tokio::select! {
                    handed = copies.hand_over(data_dir) => handed,
                    _ = terminate.recv() => return Ok(Told::Stop),
                    _ = interrupt.recv() => return Ok(Told::Stop),
                };
                match handed {
                    Ok(()) => return Ok(Told::Succeeded),
                    Err(error) => tracing::error!(
                        %error,
                        "the sockets could not be handed over; this process goes on"
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn is_accepted(level: &str) -> bool {
        let text = format!(
            "[listen]\nhttps = [\"[::]:8443\"]\n[portal]\nurl = \"https://login.example.org\"\n\
             [log]\nlevel = {level:?}\n[products.emr]\nurl = \"https://emr.example.org\"\n\
             backends = [\"http://127.0.0.1:9001\"]\nprimary = true\n"
        );
        config::read(&text, Path::new("gateway.toml"), std::iter::empty(), &[]).is_ok()
    }

    #[test]
    fn a_level_that_the_configuration_accepts_starts_the_log() {
        for good in ["info", "info,vestibule::sessions=debug", "warn,sqlx=info"] {
            assert!(is_accepted(good) && trace::filter(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "info,",
            "loud",
            "pingora_core=debug",
            "info,pingora=off",
            "vestibule=loud",
            "info,[",
            "info,=",
            "info,a=b=c",
            "info,vestibule[span=debug",
            "info,[{field=\"a\"}]=debug",
        ] {
            assert!(
                !is_accepted(bad) || trace::filter(bad).is_ok(),
                "{bad}: `check` would find nothing wrong, and `run` does not start"
            );
        }
        assert!(!is_accepted("info,pingora_proxy=debug"));
    }
}
