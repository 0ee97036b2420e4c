//! Sessions in Redis, for any number of gateways.
//!
//! | key | holds |
//! |---|---|
//! | `s:{ID}` hash | `v` version, `r` record, `p` person, `c` company, `e` end in ms, and when the person was last seen: `l:PRODUCT`, `l:` anywhere |
//! | `p:PERSON`, `c:COMPANY`, `all` sorted sets | session ids by the moment they end |
//! | `x:KEY` hash | a small state: `v` value, `e` end in ms |
//!
//! All behind the store's prefix. What changes at once is one key and one script, so that it can
//! be anywhere in a cluster, and announces in that script: write and announcement can't part.
//! Announcements go by pub/sub, not by key tracking, so that touching last-seen announces nothing.
//! Redis' own expiry is the backstop; what counts is `e` against the gateway's clock.

mod address;
mod ends;
mod line;
mod link;
mod patience;
mod script;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use redis::{ErrorKind, RedisResult, ServerErrorKind};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::gate::name::{CompanyId, PersonId, ProductId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;

use super::store::{Event, Stamp, Store, StoreError};
use address::Address;
use ends::Ends;
use line::{Line, Pulse};
use link::Link;
use script::Script;

/// What a deployment's keys begin with unless it shares its Redis with another.
pub const PREFIX: &str = "vestibule:";

const EVENTS: usize = 4_096;
/// Sessions touched in one pipeline: some 10 ms of the server's time.
const BATCH: usize = 500;
/// In a cluster a pipeline must be one slot, so each session is a call.
const CALLS_AT_ONCE: usize = 64;
/// Redis lets go of a key so much later than the gateway stops to believe in it: clocks differ.
const BACKSTOP: Duration = Duration::from_secs(60);
/// How long what is only counted by is waited for: its shard may be away.
const ASIDE: Duration = Duration::from_millis(500);

pub struct RedisStore {
    link: Arc<Link>,
    keys: Keys,
    scripts: Scripts,
    ends: Arc<Ends>,
    events: broadcast::Sender<Event>,
    keepers: [JoinHandle<()>; 2],
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.keepers.iter().for_each(JoinHandle::abort);
    }
}

/// The braces make the id the part that decides the slot.
fn session_key(prefix: &str, id: SessionId) -> String {
    format!("{prefix}s:{{{id}}}")
}

struct Keys {
    prefix: String,
    channel: String,
}

impl Keys {
    fn session(&self, id: SessionId) -> String {
        session_key(&self.prefix, id)
    }

    fn person(&self, person: &str) -> String {
        format!("{}p:{person}", self.prefix)
    }

    fn company(&self, company: &str) -> String {
        format!("{}c:{company}", self.prefix)
    }

    fn all(&self) -> String {
        format!("{}all", self.prefix)
    }

    fn state(&self, key: &str) -> String {
        format!("{}x:{key}", self.prefix)
    }
}

struct Scripts {
    create: Script,
    replace: Script,
    touch: Arc<Script>,
    index: Script,
    swap: Script,
    take: Script,
}

impl Scripts {
    fn new() -> Scripts {
        Scripts {
            create: Script::new(include_str!("redis/create.lua")),
            replace: Script::new(include_str!("redis/replace.lua")),
            touch: Arc::new(Script::new(include_str!("redis/touch.lua"))),
            index: Script::new(include_str!("redis/index.lua")),
            swap: Script::new(include_str!("redis/swap.lua")),
            take: Script::new(include_str!("redis/take.lua")),
        }
    }
}

impl RedisStore {
    /// Connects, or says why it can't; a connection that is lost later is made anew by itself.
    /// `prefix` begins every key and the channel's name.
    pub async fn connect(url: &str, prefix: &str) -> Result<RedisStore, StoreError> {
        let address = Address::parse(url).map_err(StoreError::Unavailable)?;
        let keys = Keys {
            prefix: prefix.to_owned(),
            channel: format!("{prefix}changed"),
        };
        let (events, _) = broadcast::channel(EVENTS);
        let link = Link::connect(&address, keys.channel.clone(), events.clone()).await?;
        let ends = Ends::new(Arc::clone(&link), &keys);
        let keepers = [
            tokio::spawn(Arc::clone(&ends).keep_up(events.subscribe())),
            tokio::spawn(Arc::clone(&link).keep_up()),
        ];
        Ok(RedisStore {
            link,
            keys,
            scripts: Scripts::new(),
            ends,
            events,
            keepers,
        })
    }

    /// What is done to an index by which nobody is found: to the one of all sessions, which is one key
    /// and so one shard's, or to any for a session that is over. It may not hold up anybody.
    async fn aside(done: impl Future<Output = Result<(), StoreError>>) {
        match tokio::time::timeout(ASIDE, done).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an index is not as it should be"),
            Err(_) => tracing::debug!("an index does not answer"),
        }
    }

    async fn index(
        &self,
        key: String,
        id: SessionId,
        ends_at: Moment,
        now: Moment,
    ) -> Result<(), StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut call = self.scripts.index.key(key);
        let life = ends_at.since(now) + BACKSTOP;
        call.arg(now.millis())
            .arg(ends_at.millis())
            .arg(id.to_string())
            .arg(millis(life));
        let () = self.link.settle(&which, call.invoke(&mut line)).await?;
        Ok(())
    }

    async fn unindex(&self, key: String, id: SessionId) -> Result<(), StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut command = redis::cmd("ZREM");
        command.arg(key).arg(id.to_string());
        let _: i64 = self
            .link
            .settle(&which, command.query_async(&mut line))
            .await?;
        Ok(())
    }

    async fn indexed(&self, key: String, now: Moment) -> Result<Vec<SessionId>, StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command
            .arg(key)
            .arg(format!("({}", now.millis()))
            .arg("+inf");
        let ids: Vec<String> = self
            .link
            .settle(&which, command.query_async(&mut line))
            .await?;
        let mut ids = ids
            .iter()
            .map(|id| SessionId::parse(id).map_err(|error| corrupt(&error)))
            .collect::<Result<Vec<SessionId>, StoreError>>()?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// What is kept of a session, and on which connection it came.
    async fn hash(
        &self,
        id: SessionId,
    ) -> Result<(Arc<Pulse>, BTreeMap<String, String>), StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.session(id));
        let call = command.query_async(&mut line);
        let hash = self.link.settle(&which, call).await?;
        Ok((which, hash))
    }

    async fn touch_batch(&self, line: &mut Line, batch: &[Touch]) -> RedisResult<()> {
        if line.is_cluster() {
            return self.touch_each(line, batch).await;
        }
        let mut pipeline = redis::pipe();
        for touch in batch {
            let mut call = self.scripts.touch.key(&touch.key);
            call.arg(&touch.fields);
            pipeline.add_command(call.command().clone()).ignore();
        }
        match pipeline.query_async::<()>(line).await {
            // A server that was restarted knows no scripts.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.scripts.touch.load(line).await?;
                pipeline.query_async(line).await
            }
            done => done,
        }
    }

    async fn touch_each(&self, line: &Line, batch: &[Touch]) -> RedisResult<()> {
        let mut calls: Vec<BoxFuture<'static, RedisResult<()>>> = Vec::with_capacity(batch.len());
        for touch in batch {
            let (mut line, script) = (line.clone(), Arc::clone(&self.scripts.touch));
            let (key, fields) = (touch.key.clone(), touch.fields.clone());
            calls.push(Box::pin(async move {
                script.key(key).arg(fields).invoke(&mut line).await
            }));
        }
        let mut calls = stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
        let mut all = Ok(());
        // A shard that is away keeps nobody of the others from being seen.
        while let Some(done) = calls.next().await {
            all = all.and(done);
        }
        all
    }
}

/// One session's last-seen, as the script takes it: fields and moments in turn.
struct Touch {
    key: String,
    fields: Vec<String>,
}

#[async_trait]
impl Store for RedisStore {
    async fn create(
        &self,
        session: &Session,
        now: Moment,
        life: Duration,
    ) -> Result<(), StoreError> {
        let ends_at = now.plus(life);
        // Before the record: who revokes by person or company must not miss it.
        for key in [
            self.keys.person(session.person.id.as_str()),
            self.keys.company(session.company.as_str()),
        ] {
            self.index(key, session.id, ends_at, now).await?;
        }
        // People are only counted by it: they get in while its shard is away.
        RedisStore::aside(self.index(self.keys.all(), session.id, ends_at, now)).await;
        let (which, mut line) = self.link.line().await?;
        let mut call = self.scripts.create.key(self.keys.session(session.id));
        call.arg(session.version)
            .arg(written(session)?)
            .arg(session.person.id.as_str())
            .arg(session.company.as_str())
            .arg(ends_at.millis())
            .arg(millis(life + BACKSTOP));
        let created: bool = self.link.settle(&which, call.invoke(&mut line)).await?;
        match created {
            true => Ok(()),
            false => Err(StoreError::Unavailable(String::from(
                "there is a session of this id",
            ))),
        }
    }

    async fn load(
        &self,
        id: SessionId,
        now: Moment,
    ) -> Result<Option<(Session, LastSeen)>, StoreError> {
        let (which, hash) = self.hash(id).await?;
        let (Some(record), Some(ends_at)) = (hash.get("r"), hash.get("e")) else {
            return match hash.is_empty() {
                true => Ok(None),
                false => Err(corrupt(&"a session without its record")),
            };
        };
        if moment(ends_at)? <= now {
            return Ok(None);
        }
        let session: Session = serde_json::from_str(record).map_err(|error| corrupt(&error))?;
        // A reply that belongs to another's question must never become somebody's session
        // (redis-rs issue 325, redis-py issue 2624).
        if session.id != id {
            let text = "the record is another session's";
            self.link.give_up(&which, text);
            return Err(StoreError::Unavailable(String::from(text)));
        }
        Ok(Some((session, seen(&hash)?)))
    }

    async fn replace(&self, session: &Session, now: Moment) -> Result<bool, StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut call = self.scripts.replace.key(self.keys.session(session.id));
        call.arg(session.version.saturating_sub(1))
            .arg(session.version)
            .arg(written(session)?)
            .arg(session.person.id.as_str())
            .arg(session.company.as_str())
            .arg(now.millis())
            .arg(&self.keys.channel)
            .arg(session.id.to_string());
        let before: Option<(String, String)> =
            self.link.settle(&which, call.invoke(&mut line)).await?;
        let Some((company, ends_at)) = before else {
            return Ok(false);
        };
        if company != session.company.as_str() {
            self.index(
                self.keys.company(session.company.as_str()),
                session.id,
                moment(&ends_at)?,
                now,
            )
            .await?;
            self.unindex(self.keys.company(&company), session.id)
                .await?;
        }
        // Companies that are worked for in one product alone. They leave the index with the
        // session's time: who reads it looks at the records.
        for company in session.companies_at_work() {
            if *company != session.company {
                let key = self.keys.company(company.as_str());
                self.index(key, session.id, moment(&ends_at)?, now).await?;
            }
        }
        Ok(true)
    }

    async fn end(&self, id: SessionId) -> Result<bool, StoreError> {
        let Some((person, company)) = self.ends.say(id).await? else {
            return Ok(false);
        };
        for key in [
            self.keys.person(&person),
            self.keys.company(&company),
            self.keys.all(),
        ] {
            // It has ended. What stays in an index leads to nothing, and goes when its time comes.
            RedisStore::aside(self.unindex(key, id)).await;
        }
        Ok(true)
    }

    async fn last_seen(&self, id: SessionId) -> Result<Option<LastSeen>, StoreError> {
        let (_, hash) = self.hash(id).await?;
        match hash.contains_key("r") {
            true => seen(&hash).map(Some),
            false => Ok(None),
        }
    }

    async fn touch(&self, stamps: &[Stamp]) -> Result<(), StoreError> {
        let touches = touches(&self.keys, stamps);
        for batch in touches.chunks(BATCH) {
            let (which, mut line) = self.link.line().await?;
            self.link
                .settle(&which, self.touch_batch(&mut line, batch))
                .await?;
        }
        Ok(())
    }

    async fn of_person(
        &self,
        person: &PersonId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.indexed(self.keys.person(person.as_str()), now).await
    }

    async fn of_company(
        &self,
        company: &CompanyId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.indexed(self.keys.company(company.as_str()), now).await
    }

    async fn count(&self, now: Moment) -> Result<u64, StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut command = redis::cmd("ZCOUNT");
        command
            .arg(self.keys.all())
            .arg(format!("({}", now.millis()))
            .arg("+inf");
        self.link
            .settle(&which, command.query_async(&mut line))
            .await
    }

    async fn state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.state(key)).arg("v").arg("e");
        let (value, ends_at): (Option<Vec<u8>>, Option<i64>) = self
            .link
            .settle(&which, command.query_async(&mut line))
            .await?;
        Ok(value.filter(|_| ends_at.is_some_and(|ends_at| ends_at > now.millis())))
    }

    async fn swap_state(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        life: Duration,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut call = self.scripts.swap.key(self.keys.state(key));
        call.arg(i64::from(expected.is_some()))
            .arg(expected.unwrap_or_default())
            .arg(i64::from(new.is_some()))
            .arg(new.unwrap_or_default())
            .arg(now.plus(life).millis())
            .arg(now.millis())
            .arg(millis(life + BACKSTOP));
        self.link.settle(&which, call.invoke(&mut line)).await
    }

    async fn take_state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        let (which, mut line) = self.link.line().await?;
        let mut call = self.scripts.take.key(self.keys.state(key));
        call.arg(now.millis());
        self.link.settle(&which, call.invoke(&mut line)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let (which, mut line) = self.link.line().await?;
        let ping = redis::cmd("PING");
        let _: String = self
            .link
            .settle(&which, ping.query_async(&mut line))
            .await?;
        Ok(())
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

fn touches(keys: &Keys, stamps: &[Stamp]) -> Vec<Touch> {
    let mut places: BTreeMap<SessionId, BTreeMap<&str, Moment>> = BTreeMap::new();
    for stamp in stamps {
        let seen = places.entry(stamp.session).or_default();
        let product = stamp.product.as_ref().map(ProductId::as_str);
        for place in product.into_iter().chain([""]) {
            let at = seen.entry(place).or_insert(stamp.at);
            *at = stamp.at.max(*at);
        }
    }
    places
        .into_iter()
        .map(|(id, seen)| Touch {
            key: keys.session(id),
            fields: seen
                .into_iter()
                .flat_map(|(place, at)| [format!("l:{place}"), at.millis().to_string()])
                .collect(),
        })
        .collect()
}

fn seen(hash: &BTreeMap<String, String>) -> Result<LastSeen, StoreError> {
    let mut last_seen = LastSeen::default();
    for (field, at) in hash {
        let Some(place) = field.strip_prefix("l:") else {
            continue;
        };
        if place.is_empty() {
            last_seen.anywhere = Some(moment(at)?);
        } else {
            let product = ProductId::parse(place).map_err(|error| corrupt(&error))?;
            last_seen.products.insert(product, moment(at)?);
        }
    }
    Ok(last_seen)
}

fn moment(text: &str) -> Result<Moment, StoreError> {
    text.parse()
        .map(Moment::from_millis)
        .map_err(|error| corrupt(&error))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn written(session: &Session) -> Result<String, StoreError> {
    serde_json::to_string(session).map_err(|error| corrupt(&error))
}

fn corrupt(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
