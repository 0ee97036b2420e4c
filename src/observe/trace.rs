//! The program's own log, on stderr.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What other libraries may say. Pingora's proxy writes whole request targets, with the tickets in
/// their queries, into its errors; the access log says the same without them. The
/// passkeys' library prints what browsers answer. The rest would tell of each handshake that a port
/// scanner gives up.
const OTHERS: &str = "pingora_proxy=off,pingora_core=off,pingora_load_balancing=off,rustls=off,h2=warn,hyper=warn,hyper_util=warn,sqlx=warn,redis=warn,webauthn_rs=off,webauthn_rs_core=off";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
}

#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error(
        "{level:?} is not a log level: off, error, warn, info, debug, trace, or directives such as info,vestibule::sessions=debug"
    )]
    Level { level: String },
    #[error("a program log is set up already")]
    Again,
}

/// Starts the program log. `level` is a word or tracing's directives (`info,vestibule::sessions=debug`);
/// libraries stay at warnings unless a directive names them.
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

/// # Errors
/// When the log does not start with this level.
pub fn filter(level: &str) -> Result<EnvFilter, TraceError> {
    let wrong = || TraceError::Level {
        level: level.to_owned(),
    };
    // Nobody has use for the ways in which pingora would print secrets again.
    if level.trim().is_empty() || level.contains("pingora") {
        return Err(wrong());
    }
    // A bare word that is no level would be taken for the name of a module: nothing would be logged.
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    let bare = level
        .split(',')
        .filter(|directive| !directive.contains(['=', '[']));
    if bare.map(str::trim).any(|word| !known.contains(&word)) {
        return Err(wrong());
    }
    EnvFilter::try_new(format!("{OTHERS},{level}")).map_err(|_| wrong())
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
                tracing::trace!(target: "webauthn_rs_core::core", "ticket");
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
    fn levels_are_known_words_and_directives_never_of_who_prints_requests() {
        for good in [
            "off",
            "info",
            "info,vestibule::sessions=debug",
            "warn,sqlx=info",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "loud",
            "info,loud",
            "info,vestibule=loud",
            "info,pingora_proxy=debug",
        ] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
