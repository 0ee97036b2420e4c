//! The program's own log, on stderr.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What other libraries may say. Pingora's proxy writes whole request targets, with the tickets in
/// their queries, into its errors; the access log says the same without them. The rest would tell
/// of each handshake that a port scanner gives up.
const OTHERS: &str = "pingora_proxy=off,pingora_core=off,rustls=off,h2=warn,hyper=warn,hyper_util=warn,sqlx=warn,redis=warn";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
}

#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("{level:?} is not a log level: error, warn, info, debug or trace")]
    Level { level: String },
    #[error("a program log is set up already")]
    Again,
}

/// Starts the program log. `level` is one word; libraries stay at warnings.
pub fn start(format: Format, level: &str) -> Result<(), TraceError> {
    let filter = filter(level)?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(true);
    let started = match format {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Format::Text => registry.with(layer.with_ansi(false)).try_init(),
    };
    started.map_err(|_| TraceError::Again)
}

fn filter(level: &str) -> Result<EnvFilter, TraceError> {
    let known = ["error", "warn", "info", "debug", "trace"];
    let wrong = || TraceError::Level {
        level: level.to_owned(),
    };
    if !known.contains(&level) {
        return Err(wrong());
    }
    EnvFilter::try_new(format!("{level},{OTHERS}")).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Memory;
        fn make_writer(&'a self) -> Memory {
            self.clone()
        }
    }

    #[test]
    fn libraries_that_print_requests_are_silent_at_every_level() {
        for level in ["error", "info", "trace"] {
            let memory = Memory::default();
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(memory.clone())
                .json();
            let subscriber = tracing_subscriber::registry()
                .with(filter(level).unwrap())
                .with(layer);
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!(target: "pingora_proxy", "Fail to proxy GET /?ticket=secret");
                tracing::error!(target: "pingora_proxy::proxy_h1", "GET /?ticket=secret");
                tracing::error!("own\nwords");
            });
            let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
            assert!(
                text.contains("own\\nwords") && !text.contains("ticket"),
                "{text}"
            );
            assert_eq!(text.lines().count(), 1);
        }
    }

    #[test]
    fn a_level_is_one_known_word() {
        assert!(filter("loud").is_err());
        assert!(filter("info,pingora_proxy=debug").is_err());
    }
}
