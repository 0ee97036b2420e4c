//! The way to Redis: a connection that is made anew when it is lost, and says so.
//!
//! | Redis | the connection | who asks |
//! |---|---|---|
//! | answers within two seconds | stays | waits for the answer |
//! | is slower, and other replies come | stays | is told that it does not answer |
//! | says nothing at all for two seconds | is in doubt: asked once more, while others are tried | waits for two seconds more, then is told at once |
//! | closed it, broke it off or garbled it | is given up, and others are tried | waits as long as that takes, two seconds at most; is told at once when none can be made |
//!
//! Others are tried in two ways beside each other until one of them, or the one in doubt, answers: a
//! new one every second, for a server that is back on a way that was blocked, and one with
//! patience, for a server that is slow to answer each of the questions that belong to connecting.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::{ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;

use crate::gate::name::SessionId;

use super::super::store::{Event, StoreError};
use super::address::Address;
use super::line::{Line, Pulse};
use super::patience::Patience;
use super::source::Source;

#[cfg(test)]
pub mod tests;

/// Between a connection that could not be made and the next.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// What a try has before one with more patience begins too: mostly it needs no other.
const HEAD_START: Duration = Duration::from_millis(300);

enum State {
    Up(Line),
    /// Lost a moment ago: worth waiting for. Perhaps it has only fallen silent.
    Reviving {
        doubted: Option<Line>,
    },
    Down {
        reason: String,
    },
}

impl State {
    fn is_up(&self) -> bool {
        matches!(self, State::Up(_))
    }
}

/// What a failure says of the connection on which it came.
enum Verdict {
    Sound,
    Silent,
    Lost,
}

/// Why there is no connection.
enum Missing {
    /// Nothing came: it may be slow.
    Silence,
    Told(String),
}

pub struct Link {
    source: Source,
    channel: String,
    state: watch::Sender<State>,
    events: broadcast::Sender<Event>,
}

impl Link {
    pub async fn connect(
        address: &Address,
        channel: String,
        events: broadcast::Sender<Event>,
    ) -> Result<Arc<Link>, StoreError> {
        let unavailable = |reason| StoreError::Unavailable(format!("{address}: {reason}"));
        let source = Source::of(address).map_err(|error| unavailable(error.to_string()))?;
        let link = Link::over(source, channel, events).await;
        link.map_err(|missing| unavailable(missing.reason()))
    }

    async fn over(
        source: Source,
        channel: String,
        events: broadcast::Sender<Event>,
    ) -> Result<Arc<Link>, Missing> {
        let (state, _) = watch::channel(State::Reviving { doubted: None });
        let link = Arc::new(Link {
            source,
            channel,
            state,
            events,
        });
        let line = link.open(Patience::CONNECTION).await?;
        // Should it be over already, `keep_up` finds that out.
        link.take_up(line);
        Ok(link)
    }

    /// Connects again whenever the connection was lost, for as long as the store exists.
    pub async fn keep_up(self: Arc<Link>) {
        let mut state = self.state.subscribe();
        loop {
            let doubted = match state.wait_for(|state| !state.is_up()).await.as_deref() {
                Ok(State::Reviving { doubted }) => doubted.clone(),
                Ok(State::Up(_) | State::Down { .. }) => None,
                Err(_) => return,
            };
            let line = self.revive(doubted).await;
            if !self.take_up(line) {
                sleep(RETRY_EVERY).await;
            }
        }
    }

    /// However long it takes.
    async fn revive(self: &Arc<Link>, doubted: Option<Line>) -> Line {
        let mut found = Box::pin(async {
            tokio::select! {
                line = speaking(doubted) => line,
                line = self.open_at_last(Patience::TRY) => line,
                line = async {
                    sleep(HEAD_START).await;
                    self.open_at_last(Patience::CONNECTION).await
                } => line,
            }
        });
        if let Some(line) = Patience::REPLY.wait(&mut found).await {
            return line;
        }
        self.stay_down(Missing::Silence.reason());
        found.await
    }

    async fn open_at_last(self: &Arc<Link>, patience: Patience) -> Line {
        loop {
            match self.open(patience).await {
                Ok(line) => return line,
                Err(Missing::Told(reason)) => self.stay_down(reason),
                Err(Missing::Silence) => {}
            }
            sleep(RETRY_EVERY).await;
        }
    }

    /// A connection that hears announcements already.
    async fn open(self: &Arc<Link>, patience: Patience) -> Result<Line, Missing> {
        let pulse = Arc::new(Pulse::default());
        let heard = hear(Arc::downgrade(self), Arc::clone(&pulse));
        match patience.wait(self.source.open(&self.channel, heard)).await {
            Some(Ok(wire)) => Ok(Line::new(wire, pulse)),
            Some(Err(error)) => Err(Missing::Told(error.to_string())),
            None => Err(Missing::Silence),
        }
    }

    /// False when it has ended meanwhile.
    fn take_up(&self, line: Line) -> bool {
        line.pulse().hear();
        let taken = self.state.send_if_modified(|state| {
            // Whoever ends it from here on finds it taken.
            if line.pulse().is_over() {
                return false;
            }
            *state = State::Up(line);
            // Said within the change of state, so that it can't be heard before a loss that was
            // earlier.
            let _ = self.events.send(Event::Connected);
            true
        });
        if taken {
            tracing::info!("connected to Redis");
        }
        taken
    }

    fn stay_down(&self, reason: String) {
        self.state.send_if_modified(|state| {
            let away = !state.is_up();
            if away {
                *state = State::Down { reason };
            }
            away
        });
    }

    /// The connection, and which one it is. Waits only for one that was lost this moment.
    pub async fn line(&self) -> Result<(Arc<Pulse>, Line), StoreError> {
        let up = |line: &Line| (Arc::clone(line.pulse()), line.clone());
        if let State::Up(line) = &*self.state.borrow() {
            return Ok(up(line));
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Reviving { .. }));
        match Patience::REPLY
            .wait(settled)
            .await
            .and_then(Result::ok)
            .as_deref()
        {
            Some(State::Up(line)) => Ok(up(line)),
            Some(State::Down { reason }) => Err(StoreError::Unavailable(reason.clone())),
            Some(State::Reviving { .. }) | None => Err(StoreError::Unavailable(String::from(
                "the connection to Redis is lost",
            ))),
        }
    }

    /// The connection that there is just now.
    pub fn current(&self) -> Option<Arc<Pulse>> {
        match &*self.state.borrow() {
            State::Up(line) => Some(Arc::clone(line.pulse())),
            State::Reviving { .. } | State::Down { .. } => None,
        }
    }

    /// Judges what a call came to. A connection that failed is given up: a silent one would cost
    /// everybody the time in which it is waited for.
    pub async fn settle<T>(
        &self,
        which: &Arc<Pulse>,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, StoreError> {
        let error = match call.await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match self.verdict(which, &error) {
            Verdict::Sound => {}
            Verdict::Silent => self.part(which, true, &error.to_string()),
            Verdict::Lost => self.part(which, false, &error.to_string()),
        }
        Err(StoreError::Unavailable(error.to_string()))
    }

    /// `READONLY`: the server is a replica by now. A reply of another kind than was asked for says
    /// that questions and replies have parted: it is no word about what was asked, least of all that a
    /// session is over.
    fn verdict(&self, which: &Pulse, error: &RedisError) -> Verdict {
        let parted = matches!(
            error.kind(),
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse
        );
        if parted || error.code() == Some("READONLY") {
            return Verdict::Lost;
        }
        if !(error.is_io_error() || error.is_unrecoverable_error()) {
            return Verdict::Sound;
        }
        match &self.source {
            // It connects to its nodes by itself: what one of them does not answer concerns the others
            // only when they say nothing either.
            Source::Cluster(_) if !which.is_silent() => Verdict::Sound,
            Source::Cluster(_) => Verdict::Lost,
            _ if !error.is_timeout() => Verdict::Lost,
            _ if which.is_silent() => Verdict::Silent,
            _ => Verdict::Sound,
        }
    }

    /// Connects anew, if this is still the connection that is used.
    pub fn give_up(&self, lost: &Arc<Pulse>, reason: &str) {
        self.part(lost, false, reason);
    }

    /// `in_doubt`: it may be only slow.
    fn part(&self, lost: &Arc<Pulse>, in_doubt: bool, reason: &str) {
        let parted = self.state.send_if_modified(|state| {
            let doubted = match state {
                State::Up(line) if Arc::ptr_eq(line.pulse(), lost) => {
                    in_doubt.then(|| line.clone())
                }
                State::Up(_) | State::Reviving { .. } | State::Down { .. } => return false,
            };
            *state = State::Reviving { doubted };
            let _ = self.events.send(Event::Lost);
            true
        });
        if parted {
            tracing::warn!(reason, "the connection to Redis is lost");
        }
    }
}

impl Missing {
    fn reason(self) -> String {
        match self {
            Missing::Silence => String::from("no answer in time"),
            Missing::Told(reason) => reason,
        }
    }
}

/// Ends when it speaks again; never, when it will not.
async fn speaking(doubted: Option<Line>) -> Line {
    if let Some(mut line) = doubted
        && line.speaks_again().await
    {
        return line;
    }
    std::future::pending().await
}

/// Passes on what the server says by itself. Holds no connection open: the connection holds this.
fn hear(
    link: Weak<Link>,
    pulse: Arc<Pulse>,
) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
    move |push| {
        let Some(link) = link.upgrade() else {
            return Err(());
        };
        match push.kind {
            PushKind::Message => {
                pulse.hear();
                match announced(&push.data) {
                    Some(id) => {
                        let _ = link.events.send(Event::Changed(id));
                    }
                    None => tracing::warn!("an announcement of Redis could not be read"),
                }
            }
            PushKind::Disconnection => {
                pulse.end();
                link.give_up(&pulse, "it ended");
            }
            _ => {}
        }
        Ok(())
    }
}

fn announced(data: &[Value]) -> Option<SessionId> {
    match data.get(1)? {
        Value::BulkString(bytes) => SessionId::parse(std::str::from_utf8(bytes).ok()?).ok(),
        Value::SimpleString(text) => SessionId::parse(text).ok(),
        _ => None,
    }
}
