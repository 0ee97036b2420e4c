//! A gateway in front of recorders, with Kim signed in.

use crate::gateway::{Gateway, Setup};
use crate::recorder::{Asked, Recorder};
use crate::visitor::Visitor;
use crate::wire::{Reply, Wire};

pub struct Site {
    pub gateway: Gateway,
    pub recorder: Recorder,
    pub kim: Visitor,
}

impl Site {
    pub async fn start() -> Site {
        Site::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Setup)) -> Site {
        let recorder = Recorder::start().await;
        let mut setup = Setup::new(&recorder.url);
        change(&mut setup);
        let gateway = setup.start().await;
        let mut kim = Visitor::new(&gateway);
        kim.sign_in("kim", kim.url("emr", "/first")).await;
        recorder.take();
        Site {
            gateway,
            recorder,
            kim,
        }
    }

    /// `__Host-vestibule=…` of this host.
    pub fn cookie(&self, host: &str) -> String {
        format!("__Host-vestibule={}", self.kim.cookie(host).unwrap())
    }

    /// Kim's request to the EMR, head whole: `line` without its version, and more header lines.
    pub fn head(&self, line: &str, more: &[&str]) -> String {
        let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
        let cookie = self.cookie("emr.test");
        format!("{line} HTTP/1.1\r\nHost: emr.test\r\nCookie: {cookie}\r\n{more}\r\n")
    }

    pub async fn wire(&self) -> Wire {
        Wire::open(self.gateway.address, "emr.test").await
    }

    /// On a connection of its own to the EMR.
    pub async fn ask(&self, bytes: impl AsRef<[u8]>) -> Reply {
        self.wire().await.ask(bytes).await
    }

    /// Asks for what must be passed on, and says what the backend got.
    pub async fn pass(&self, line: &str, more: &[&str]) -> Asked {
        let reply = self.ask(self.head(line, more)).await;
        assert_eq!(reply.status, 200, "{line:?} {more:?}: {reply:?}");
        self.recorder.take_one()
    }

    /// Sends what must be answered with `status`, whereupon the connection closes, and not reach
    /// the backend as a whole request.
    pub async fn refused(&self, status: u16, bytes: impl AsRef<[u8]>) -> Reply {
        let bytes = bytes.as_ref();
        let shown = String::from_utf8_lossy(bytes)
            .chars()
            .take(300)
            .collect::<String>();
        let mut wire = self.wire().await;
        let reply = wire.ask(bytes).await;
        assert_eq!(reply.status, status, "{shown:?}: {reply:?}");
        assert!(wire.is_over().await, "the connection stays: {shown:?}");
        let asked = self.recorder.take();
        assert!(asked.is_empty(), "{shown:?}: {asked:?}");
        reply
    }
}
