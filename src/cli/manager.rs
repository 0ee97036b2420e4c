//! What a service manager is told (sd_notify(3)): that the gateway serves, reloads, stops, and that it
//! is still alive. A datagram each, to the socket in `NOTIFY_SOCKET`; without one nothing happens.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Who is told, if anybody.
pub struct Manager {
    line: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the gateway is alive.
    pub watchdog: Option<Duration>,
}

impl Manager {
    pub fn of_environment() -> Manager {
        let variable = |name| std::env::var(name).ok();
        let mine = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").filter(|_| mine);
        Manager::told(variable("NOTIFY_SOCKET").as_deref(), watchdog.as_deref())
    }

    fn told(socket: Option<&str>, watchdog_usec: Option<&str>) -> Manager {
        let line = socket.and_then(|name| {
            // `@` stands for the null byte of an abstract name.
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(name),
            };
            let line = UnixDatagram::unbound().ok()?;
            // The manager may be busy; the gateway has people waiting.
            line.set_nonblocking(true).ok()?;
            Some((line, address.ok()?))
        });
        let usec = watchdog_usec.and_then(|usec| usec.parse().ok());
        Manager {
            line,
            watchdog: usec.filter(|usec| *usec > 0).map(Duration::from_micros),
        }
    }

    fn say(&self, words: &str) {
        if let Some((line, address)) = &self.line
            && let Err(error) = line.send_to_addr(words.as_bytes(), address)
        {
            tracing::debug!(%error, "the service manager can't be told");
        }
    }

    /// `MAINPID`: after an upgrade the service goes on as this process.
    pub fn ready(&self) {
        self.say(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Says again and again that the gateway is alive, each time after `proved` has come to its end.
    pub async fn stay_alive(&self, proved: impl AsyncFn()) {
        let Some(within) = self.watchdog else {
            return std::future::pending().await;
        };
        // Half of it, as sd_watchdog_enabled(3) recommends.
        let mut beats = interval((within / 2).max(Duration::from_millis(1)));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            proved().await;
            self.say("WATCHDOG=1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut text = [0; 256];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[tokio::test]
    async fn the_manager_hears_that_it_is_ready_alive_and_stopping() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let told = Manager::told(path.to_str(), Some("2000"));
        told.ready();
        assert_eq!(
            heard(&manager),
            format!("READY=1\nMAINPID={}", std::process::id())
        );
        tokio::select! {
            () = told.stay_alive(async || ()) => {}
            beat = tokio::task::spawn_blocking(move || (heard(&manager), manager)) => {
                let (beat, manager) = beat.unwrap();
                assert_eq!(beat, "WATCHDOG=1");
                // A full queue would take no more.
                manager.set_nonblocking(true).unwrap();
                while manager.recv(&mut [0; 64]).is_ok() {}
                manager.set_nonblocking(false).unwrap();
                told.stopping();
                assert_eq!(heard(&manager), "STOPPING=1");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_can_not_prove_it_is_not_called_alive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let told = Manager::told(path.to_str(), Some("2000"));
        let minute = Duration::from_secs(60);
        let stuck = told.stay_alive(std::future::pending::<()>);
        assert!(tokio::time::timeout(minute, stuck).await.is_err());
        let error = manager.recv(&mut [0; 64]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        let nobody = Manager::told(None, None);
        nobody.ready();
        assert_eq!(nobody.watchdog, None);
        Manager::told(Some("/nowhere/at/all"), Some("nonsense")).stopping();
    }
}
