//! Where connections come from: one server, whichever Sentinels name, or a cluster.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    PushInfo, RedisConnectionInfo, RedisError, RedisResult, Value,
};

use super::address::Address;
use super::line::Wire;

/// What a connection's own part of the cluster client may take; it has no other patience.
const NODE: std::time::Duration = std::time::Duration::from_secs(2);

/// What was sent and not acknowledged for so long ends a connection.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: std::time::Duration = std::time::Duration::from_secs(5);

pub enum Source {
    Single(Client),
    Sentinel(Sentinels),
    Cluster(Vec<ConnectionInfo>),
    #[cfg(test)]
    Scripted(super::link::tests::Server),
}

/// A question is not held back until the one before was acknowledged, and a server whose machine
/// is gone is found out though its address is still there: the cluster client waits for no answer by itself.
fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED);
    settings
}

/// Who knows which server is the master, and how to speak to that.
pub struct Sentinels {
    sentinels: Vec<Client>,
    service: String,
    settings: RedisConnectionInfo,
}

/// Without timeouts: whoever opens a connection has the patience for all of it.
fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None)
}

fn settings(user: &Option<(String, String)>, database: i64) -> RedisConnectionInfo {
    let plain = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(database);
    match user {
        None => plain,
        Some((user, password)) if user.is_empty() => plain.set_password(password),
        Some((user, password)) => plain.set_username(user).set_password(password),
    }
}

impl Source {
    pub fn of(address: &Address) -> RedisResult<Source> {
        match address {
            Address::Single(url) => {
                let info = url.as_str().into_connection_info()?;
                let resp3 = info
                    .redis_settings()
                    .clone()
                    .set_protocol(ProtocolVersion::RESP3);
                Ok(Source::Single(Client::open(
                    info.set_redis_settings(resp3).set_tcp_settings(tcp()),
                )?))
            }
            Address::Sentinel {
                hosts,
                service,
                user,
                database,
            } => {
                let sentinels = hosts
                    .iter()
                    .map(|host| Client::open(format!("redis://{host}/")))
                    .collect::<RedisResult<Vec<_>>>()?;
                Ok(Source::Sentinel(Sentinels {
                    sentinels,
                    service: service.clone(),
                    settings: settings(user, *database),
                }))
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

    /// A connection on which `channel` is heard already: `heard` is told what comes.
    pub async fn open<H>(&self, channel: &str, heard: H) -> RedisResult<Wire>
    where
        H: Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
    {
        let mut line = match self {
            Source::Single(client) => {
                let config = patient().set_push_sender(heard);
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?
            }
            Source::Sentinel(sentinels) => {
                let config = patient().set_push_sender(heard);
                sentinels.master(&config).await?
            }
            Source::Cluster(nodes) => {
                let client = ClusterClient::builder(nodes.clone())
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(NODE)
                    .response_timeout(NODE)
                    // A shard that is away is not waited for: a few tries within half a second.
                    .retries(4)
                    .min_retry_wait(20)
                    .max_retry_wait(200)
                    .tcp_settings(tcp())
                    .push_sender(heard)
                    .build()?;
                let mut line = client.get_async_connection().await?;
                line.subscribe(channel).await?;
                return Ok(Wire::Cluster(line));
            }
            #[cfg(test)]
            Source::Scripted(server) => server.dial(patient().set_push_sender(heard)).await?,
        };
        line.subscribe(channel).await?;
        Ok(Wire::Single(line))
    }
}

impl Sentinels {
    /// All are asked at once, and the first who names a server that takes itself for the master is
    /// believed: one that is away, or was asleep, delays nobody.
    async fn master(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        let mut asked: FuturesUnordered<_> = self
            .sentinels
            .iter()
            .map(|sentinel| self.named_by(sentinel, config))
            .collect();
        let mut reason = None;
        while let Some(found) = asked.next().await {
            match found {
                Ok(line) => return Ok(line),
                Err(error) => reason = Some(error),
            }
        }
        Err(reason.unwrap_or_else(|| unknown("there is no Sentinel to ask")))
    }

    async fn named_by(
        &self,
        sentinel: &Client,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let mut line = sentinel
            .get_multiplexed_async_connection_with_config(&patient())
            .await?;
        let place: Option<(String, u16)> = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.service)
            .query_async(&mut line)
            .await?;
        let place = place.ok_or_else(|| unknown("no Sentinel knows the service"))?;
        let info = place
            .into_connection_info()?
            .set_redis_settings(self.settings.clone())
            .set_tcp_settings(tcp());
        let mut line = Client::open(info)?
            .get_multiplexed_async_connection_with_config(config)
            .await?;
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut line).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(line),
            Some(_) | None => Err(unknown("the server is no master yet")),
        }
    }
}

fn unknown(what: &'static str) -> RedisError {
    (ErrorKind::MasterNameNotFoundBySentinel, what).into()
}
