//! Ends that this node has said lately. Replication is asynchronous: a server that takes another's
//! place, or comes back with an older copy of what it held, may not have heard of them, and the
//! sessions would live again. So they are said again whenever a connection is new.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, sleep};

use crate::gate::name::SessionId;

use super::super::store::{Event, StoreError};
use super::line::Pulse;
use super::link::Link;
use super::script::Script;
use super::{Keys, session_key};

/// Longer than a fail-over takes, and longer than replicas are behind.
const LATELY: Duration = Duration::from_secs(300);
/// The most that are remembered: 32 bytes each.
const MOST: usize = 16_384;
/// After so many that were refused one after the other, the rest waits.
const IN_A_ROW: usize = 16;
const AGAIN: Duration = Duration::from_secs(1);

pub struct Ends {
    link: Arc<Link>,
    prefix: String,
    channel: String,
    script: Script,
    lately: Mutex<VecDeque<(Instant, SessionId)>>,
}

impl Ends {
    pub fn new(link: Arc<Link>, keys: &Keys) -> Arc<Ends> {
        Arc::new(Ends {
            link,
            prefix: keys.prefix.clone(),
            channel: keys.channel.clone(),
            script: Script::new(include_str!("end.lua")),
            lately: Mutex::default(),
        })
    }

    /// Whose it was and for which company; `None` when it had ended before. Remembered whatever comes
    /// of it: nobody wants it to go on.
    pub async fn say(&self, id: SessionId) -> Result<Option<(String, String)>, StoreError> {
        self.remember(id);
        self.call(id).await
    }

    async fn call(&self, id: SessionId) -> Result<Option<(String, String)>, StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut call = self.script.key(session_key(&self.prefix, id));
        call.arg(&self.channel).arg(id.to_string());
        self.link.settle(&which, call.invoke(&mut line)).await
    }

    fn remember(&self, id: SessionId) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while lately.len() >= MOST || lately.front().is_some_and(|(at, _)| now - *at > LATELY) {
            lately.pop_front();
        }
        lately.push_back((now, id));
    }

    /// For as long as the store exists.
    pub async fn keep_up(self: Arc<Ends>, mut events: Receiver<Event>) {
        let mut known = None;
        while self.connected(&mut events, &mut known).await {
            // A connection that is newer still begins anew.
            loop {
                tokio::select! {
                    () = self.say_again() => break,
                    goes_on = self.connected(&mut events, &mut known) => if !goes_on { return },
                }
            }
        }
    }

    /// Waits for a connection that is new. `known` is the last one that was; false when there will be
    /// none any more.
    async fn connected(
        &self,
        events: &mut Receiver<Event>,
        known: &mut Option<Arc<Pulse>>,
    ) -> bool {
        loop {
            let missed = match events.recv().await {
                Ok(Event::Connected) => false,
                Ok(Event::Changed(_) | Event::Lost) => continue,
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return false,
            };
            // Where there is none just now, it is still to be heard of.
            let Some(current) = self.link.current() else {
                continue;
            };
            // Many sessions change while many ends are said: not for that are they said once more.
            let same = known
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, &current));
            *known = Some(current);
            if !(missed && same) {
                return true;
            }
        }
    }

    /// Until all are said, or are no longer of lately. A server that has just come back is connected to
    /// while it loads what it held, and a cluster's others answer while one of them is replaced.
    async fn say_again(&self) {
        let mut left = {
            let lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
            lately.clone()
        };
        let (mut back, mut refused) = (0_usize, 0_usize);
        while let Some((at, id)) = left.pop_front() {
            if at.elapsed() > LATELY {
                continue;
            }
            match self.call(id).await {
                Ok(ended) => {
                    back += usize::from(ended.is_some());
                    refused = 0;
                }
                Err(error) => {
                    tracing::debug!(%error, "an end could not be said again");
                    left.push_back((at, id));
                    refused += 1;
                    if refused >= left.len().min(IN_A_ROW) {
                        sleep(AGAIN).await;
                        refused = 0;
                    }
                }
            }
        }
        if back > 0 {
            tracing::warn!(
                sessions = back,
                "Redis had forgotten that these had ended; they have ended again"
            );
        }
    }
}
