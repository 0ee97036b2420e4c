//! One connection to Redis, alone, behind Sentinels or as a cluster: made anew when it is lost, and
//! saying so. Nobody waits for a server that is known to be away.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo as _, Pipeline,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisFuture, RedisResult,
    Value,
};
use tokio::sync::{Mutex, broadcast, watch};

use crate::gate::name::SessionId;

use super::super::store::{Event, StoreError};
use super::address::Address;

const RESPONSE: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(1);
/// For everything that belongs to connecting: names, TLS, AUTH, SUBSCRIBE.
const CONNECT_WHOLE: Duration = Duration::from_secs(3);
/// How long a call waits when the connection was lost this very moment.
const REVIVAL: Duration = Duration::from_millis(300);
const RETRY_EVERY: Duration = Duration::from_millis(250);

/// A connection of either kind.
#[derive(Clone)]
pub enum Line {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Line::Single(line) => line.req_packed_command(cmd),
            Line::Cluster(line) => line.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Line::Single(line) => line.req_packed_commands(pipeline, offset, count),
            Line::Cluster(line) => line.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Line::Single(line) => line.get_db(),
            Line::Cluster(line) => line.get_db(),
        }
    }
}

impl Line {
    pub fn is_cluster(&self) -> bool {
        matches!(self, Line::Cluster(_))
    }
}

enum Source {
    Single(Client),
    Sentinel(Mutex<SentinelClient>),
    Cluster(Vec<redis::ConnectionInfo>),
}

#[derive(Clone)]
enum State {
    Up {
        generation: u64,
        line: Line,
    },
    /// Lost a moment ago: worth waiting for.
    Reviving {
        generation: u64,
    },
    Down {
        generation: u64,
        reason: String,
    },
}

impl State {
    fn generation(&self) -> u64 {
        match self {
            State::Up { generation, .. }
            | State::Reviving { generation }
            | State::Down { generation, .. } => *generation,
        }
    }
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
        let source = Source::of(address)
            .map_err(|error| StoreError::Unavailable(format!("{address}: {error}")))?;
        let (state, _) = watch::channel(State::Reviving { generation: 0 });
        let link = Arc::new(Link {
            source,
            channel,
            state,
            events,
        });
        link.revive()
            .await
            .map_err(|reason| StoreError::Unavailable(format!("{address}: {reason}")))?;
        Ok(link)
    }

    /// Connects again whenever the connection was lost, for as long as the store exists.
    pub async fn keep_up(self: Arc<Link>) {
        let mut state = self.state.subscribe();
        loop {
            let lost = state
                .wait_for(|state| !matches!(state, State::Up { .. }))
                .await
                .is_ok();
            if !lost {
                return;
            }
            if let Err(reason) = self.revive().await {
                self.state.send_modify(|state| {
                    *state = State::Down {
                        generation: state.generation(),
                        reason,
                    };
                });
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    }

    async fn revive(self: &Arc<Link>) -> Result<(), String> {
        let generation = self.state.borrow().generation().wrapping_add(1);
        let line = tokio::time::timeout(CONNECT_WHOLE, self.open(generation))
            .await
            .map_err(|_| String::from("no connection in time"))?
            .map_err(|error| error.to_string())?;
        // Said within the change of state, so that it can't be heard before a loss that was earlier.
        self.state.send_modify(|state| {
            *state = State::Up { generation, line };
            let _ = self.events.send(Event::Connected);
        });
        Ok(())
    }

    /// A connection that hears announcements already.
    async fn open(self: &Arc<Link>, generation: u64) -> RedisResult<Line> {
        let heard = hear(Arc::downgrade(self), generation);
        let config = || {
            AsyncConnectionConfig::new()
                .set_response_timeout(Some(RESPONSE))
                .set_connection_timeout(Some(CONNECT))
        };
        match &self.source {
            Source::Single(client) => {
                let config = config().set_push_sender(heard);
                let mut line = client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?;
                line.subscribe(&self.channel).await?;
                Ok(Line::Single(line))
            }
            Source::Sentinel(client) => {
                let config = config().set_push_sender(heard);
                let mut client = client.lock().await;
                let mut line = client.get_async_connection_with_config(&config).await?;
                line.subscribe(&self.channel).await?;
                Ok(Line::Single(line))
            }
            Source::Cluster(nodes) => {
                let client = ClusterClient::builder(nodes.clone())
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(CONNECT)
                    .response_timeout(RESPONSE)
                    .push_sender(heard)
                    .build()?;
                let mut line = client.get_async_connection().await?;
                line.subscribe(&self.channel).await?;
                Ok(Line::Cluster(line))
            }
        }
    }

    /// The connection, and which one it is. Waits only for one that was lost this moment.
    pub async fn line(&self) -> Result<(u64, Line), StoreError> {
        if let State::Up { generation, line } = &*self.state.borrow() {
            return Ok((*generation, line.clone()));
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Reviving { .. }));
        match tokio::time::timeout(REVIVAL, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up { generation, line } => Ok((*generation, line.clone())),
                State::Down { reason, .. } => Err(StoreError::Unavailable(reason.clone())),
                State::Reviving { .. } => Err(away()),
            },
            Ok(Err(_)) | Err(_) => Err(away()),
        }
    }

    /// Judges what a call came to. A connection that failed is given up: whoever was cut off in
    /// between must not read another's reply, and a silent one would cost everybody the timeout.
    pub async fn settle<T>(
        &self,
        generation: u64,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, StoreError> {
        // The client has its own timeout for one reply; a call may be several.
        match tokio::time::timeout(RESPONSE * 2, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if is_fatal(&error) {
                    self.give_up(generation);
                }
                Err(StoreError::Unavailable(error.to_string()))
            }
            Err(_) => {
                self.give_up(generation);
                Err(StoreError::Unavailable(String::from("no reply in time")))
            }
        }
    }

    /// Connects anew, if this is still the connection that is used.
    pub fn give_up(&self, lost: u64) {
        self.state.send_if_modified(|state| {
            let current = matches!(state, State::Up { generation, .. } if *generation == lost);
            if current {
                *state = State::Reviving { generation: lost };
                let _ = self.events.send(Event::Lost);
            }
            current
        });
    }
}

/// Passes on what the server says by itself. Holds no connection open: the connection holds this.
fn hear(
    link: Weak<Link>,
    generation: u64,
) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
    move |push| {
        let Some(link) = link.upgrade() else {
            return Err(());
        };
        match push.kind {
            PushKind::Message => match announced(&push.data) {
                Some(id) => {
                    let _ = link.events.send(Event::Changed(id));
                }
                None => tracing::warn!("an announcement of Redis could not be read"),
            },
            PushKind::Disconnection => link.give_up(generation),
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

/// Whether the connection is of no more use; `READONLY`: the server is a replica by now. A reply of
/// another kind than was asked for says that questions and replies have parted: it is no word about
/// what was asked, least of all that a session is over.
fn is_fatal(error: &RedisError) -> bool {
    let parted = matches!(
        error.kind(),
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse
    );
    parted
        || error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.code() == Some("READONLY")
}

fn away() -> StoreError {
    StoreError::Unavailable(String::from("the connection to Redis is lost"))
}

impl Source {
    fn of(address: &Address) -> RedisResult<Source> {
        let settings = |user: &Option<(String, String)>, database: i64| {
            let plain = RedisConnectionInfo::default()
                .set_protocol(ProtocolVersion::RESP3)
                .set_db(database);
            match user {
                None => plain,
                Some((user, password)) if user.is_empty() => plain.set_password(password),
                Some((user, password)) => plain.set_username(user).set_password(password),
            }
        };
        match address {
            Address::Single(url) => {
                let info = url.as_str().into_connection_info()?;
                let resp3 = info
                    .redis_settings()
                    .clone()
                    .set_protocol(ProtocolVersion::RESP3);
                Ok(Source::Single(Client::open(
                    info.set_redis_settings(resp3),
                )?))
            }
            Address::Sentinel {
                hosts,
                service,
                user,
                database,
            } => {
                let node = SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(settings(user, *database));
                let sentinels = hosts
                    .iter()
                    .map(|host| format!("redis://{host}/"))
                    .collect();
                let client = SentinelClient::build::<String>(
                    sentinels,
                    service,
                    Some(node),
                    SentinelServerType::Master,
                )?;
                Ok(Source::Sentinel(Mutex::new(client)))
            }
            Address::Cluster { hosts, user } => hosts
                .iter()
                .map(|host| {
                    let info = format!("redis://{host}/").into_connection_info()?;
                    Ok(info.set_redis_settings(settings(user, 0)))
                })
                .collect::<RedisResult<Vec<_>>>()
                .map(Source::Cluster),
        }
    }
}
