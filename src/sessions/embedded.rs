//! Sessions in a file beside the gateway: SQLite, one node. Means the same as Redis does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;

use crate::gate::name::{CompanyId, PersonId, ProductId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;

use super::store::{Event, Stamp, Store, StoreError};

/// How often the file is looked at for what other processes (`vestibule sessions revoke`) changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Announcements that are kept for other processes to read.
const CHANGES_KEPT: i64 = 10_000;
const EVENTS: usize = 4_096;
const CONNECTIONS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);

/// The triggers write the announcement together with the change, whoever changes: they can't part.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    person TEXT NOT NULL,
    company TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_by_person ON sessions (person);
CREATE INDEX IF NOT EXISTS sessions_by_company ON sessions (company);
CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires_at);
CREATE TABLE IF NOT EXISTS seen (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    product TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (session, product)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS states_by_expiry ON states (expires_at);
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS session_replaced AFTER UPDATE ON sessions
    BEGIN INSERT INTO changes (session) VALUES (old.id); END;
CREATE TRIGGER IF NOT EXISTS session_ended AFTER DELETE ON sessions
    BEGIN INSERT INTO changes (session) VALUES (old.id); END;
";

/// What stands for 'anywhere' among the products; no product has such a name.
const ANYWHERE: &str = "";

pub struct EmbeddedStore {
    pool: SqlitePool,
    events: broadcast::Sender<Event>,
    /// Looked at by the listener, which alone announces: each change once, in order.
    changed: Arc<Notify>,
    listener: JoinHandle<()>,
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl EmbeddedStore {
    /// Opens `sessions.db` in the folder, which is made if missing, and readable by its owner only.
    pub async fn open(data_dir: &Path) -> Result<EmbeddedStore, StoreError> {
        let path = data_dir.join("sessions.db");
        let cannot = |error: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("{} can't be opened: {error}", path.display()))
        };
        create_private(data_dir, &path).map_err(|error| cannot(&error))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            // A crash of the machine may cost the last moment; never the file.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY)
            .connect_with(options)
            .await
            .map_err(|error| cannot(&error))?;
        sqlx::raw_sql(SCHEMA)
            .execute(&pool)
            .await
            .map_err(|error| cannot(&error))?;
        let heard = latest_change(&pool).await?;
        let (events, _) = broadcast::channel(EVENTS);
        let changed = Arc::new(Notify::new());
        let listener = tokio::spawn(announce(
            pool.clone(),
            events.clone(),
            Arc::clone(&changed),
            heard,
        ));
        Ok(EmbeddedStore {
            pool,
            events,
            changed,
            listener,
        })
    }

    async fn ids(
        &self,
        column: &'static str,
        name: &str,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        let query = match column {
            "person" => "SELECT id FROM sessions WHERE person = ? AND expires_at > ? ORDER BY id",
            // The second: companies that are worked for in one product alone.
            _ => {
                "SELECT id FROM sessions WHERE (company = ?1 OR EXISTS (
                     SELECT 1 FROM json_each(record, '$.entries') AS entry
                     WHERE json_extract(entry.value, '$.tenancy.current') = ?1
                 )) AND expires_at > ?2 ORDER BY id"
            }
        };
        let rows = sqlx::query(query)
            .bind(name)
            .bind(now.millis())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| read_id(row, "id")).collect()
    }

    async fn seen(&self, id: SessionId) -> Result<LastSeen, StoreError> {
        let rows = sqlx::query("SELECT product, at FROM seen WHERE session = ?")
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await?;
        let mut products = BTreeMap::new();
        let mut anywhere = None;
        for row in &rows {
            let product: String = row.try_get("product")?;
            let at = Moment::from_millis(row.try_get("at")?);
            if product == ANYWHERE {
                anywhere = Some(at);
            } else {
                let product = ProductId::parse(&product).map_err(|error| corrupt(&error))?;
                products.insert(product, at);
            }
        }
        Ok(LastSeen { anywhere, products })
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn create(
        &self,
        session: &Session,
        now: Moment,
        life: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sessions (id, version, person, company, expires_at, record)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(session.id.to_string())
        .bind(version(session)?)
        .bind(session.person.id.as_str())
        .bind(session.company.as_str())
        .bind(now.plus(life).millis())
        .bind(written(session)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn load(
        &self,
        id: SessionId,
        now: Moment,
    ) -> Result<Option<(Session, LastSeen)>, StoreError> {
        let row = sqlx::query("SELECT record FROM sessions WHERE id = ? AND expires_at > ?")
            .bind(id.to_string())
            .bind(now.millis())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let record: String = row.try_get("record")?;
        let session: Session = serde_json::from_str(&record).map_err(|error| corrupt(&error))?;
        if session.id != id {
            return Err(corrupt(&"the record is another session's"));
        }
        Ok(Some((session, self.seen(id).await?)))
    }

    async fn replace(&self, session: &Session, now: Moment) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE sessions SET version = ?, person = ?, company = ?, record = ?
             WHERE id = ? AND version = ? AND expires_at > ?",
        )
        .bind(version(session)?)
        .bind(session.person.id.as_str())
        .bind(session.company.as_str())
        .bind(written(session)?)
        .bind(session.id.to_string())
        .bind(version(session)?.saturating_sub(1))
        .bind(now.millis())
        .execute(&self.pool)
        .await?;
        self.changed.notify_one();
        Ok(done.rows_affected() == 1)
    }

    async fn end(&self, id: SessionId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM sessions WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.pool)
            .await?;
        self.changed.notify_one();
        Ok(done.rows_affected() == 1)
    }

    async fn last_seen(&self, id: SessionId) -> Result<Option<LastSeen>, StoreError> {
        let there = sqlx::query("SELECT 1 FROM sessions WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        match there {
            Some(_) => Ok(Some(self.seen(id).await?)),
            None => Ok(None),
        }
    }

    async fn touch(&self, stamps: &[Stamp]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for stamp in stamps {
            let product = stamp.product.as_ref().map(ProductId::as_str);
            for place in product.into_iter().chain([ANYWHERE]) {
                sqlx::query(
                    "INSERT INTO seen (session, product, at)
                     SELECT id, ?, ? FROM sessions WHERE id = ?
                     ON CONFLICT (session, product) DO UPDATE SET at = max(at, excluded.at)",
                )
                .bind(place)
                .bind(stamp.at.millis())
                .bind(stamp.session.to_string())
                .execute(&mut *transaction)
                .await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn of_person(
        &self,
        person: &PersonId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.ids("person", person.as_str(), now).await
    }

    async fn of_company(
        &self,
        company: &CompanyId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.ids("company", company.as_str(), now).await
    }

    async fn count(&self, now: Moment) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions WHERE expires_at > ?")
            .bind(now.millis())
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value FROM states WHERE key = ? AND expires_at > ?")
                .bind(key)
                .bind(now.millis())
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    async fn swap_state(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        life: Duration,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let expires_at = now.plus(life).millis();
        let now = now.millis();
        let query = match (expected, new) {
            (None, None) => return Ok(self.state(key, Moment::from_millis(now)).await?.is_none()),
            (None, Some(new)) => sqlx::query(
                "INSERT INTO states (key, value, expires_at) VALUES (?, ?, ?)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
                 WHERE states.expires_at <= ?",
            )
            .bind(key)
            .bind(new.to_vec())
            .bind(expires_at)
            .bind(now),
            (Some(expected), Some(new)) => sqlx::query(
                "UPDATE states SET value = ?, expires_at = ?
                 WHERE key = ? AND value = ? AND expires_at > ?",
            )
            .bind(new.to_vec())
            .bind(expires_at)
            .bind(key)
            .bind(expected.to_vec())
            .bind(now),
            (Some(expected), None) => {
                sqlx::query("DELETE FROM states WHERE key = ? AND value = ? AND expires_at > ?")
                    .bind(key)
                    .bind(expected.to_vec())
                    .bind(now)
            }
        };
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    async fn take_state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar(
            "DELETE FROM states WHERE key = ? AND expires_at > ? RETURNING value",
        )
        .bind(key)
        .bind(now.millis())
        .fetch_optional(&self.pool)
        .await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    async fn purge(&self, now: Moment) -> Result<(), StoreError> {
        for query in [
            "DELETE FROM sessions WHERE expires_at <= ?",
            "DELETE FROM states WHERE expires_at <= ?",
        ] {
            sqlx::query(query)
                .bind(now.millis())
                .execute(&self.pool)
                .await?;
        }
        sqlx::query("DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?")
            .bind(CHANGES_KEPT)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// Announces what changed, by this process at once, by others within [`LOOK_EVERY`].
async fn announce(
    pool: SqlitePool,
    events: broadcast::Sender<Event>,
    changed: Arc<Notify>,
    mut heard: i64,
) {
    let mut deaf = false;
    loop {
        // The bound is how other processes are heard; its passing is no failure.
        let _ = tokio::time::timeout(LOOK_EVERY, changed.notified()).await;
        let changes = match changes_since(&pool, heard).await {
            Ok(changes) => changes,
            Err(error) => {
                if !deaf {
                    tracing::warn!(%error, "changes of sessions can't be read");
                    let _ = events.send(Event::Lost);
                    deaf = true;
                }
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
        };
        if deaf {
            let _ = events.send(Event::Connected);
            deaf = false;
        }
        for (seq, session) in changes {
            if seq > heard.saturating_add(1) {
                // A gap is what was tidied away before it was read here.
                let _ = events.send(Event::Lost);
                let _ = events.send(Event::Connected);
            }
            heard = seq;
            let _ = events.send(Event::Changed(session));
        }
    }
}

async fn latest_change(pool: &SqlitePool) -> Result<i64, StoreError> {
    // The sequence's own table knows the number also when the rows are gone.
    let latest: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
            .fetch_optional(pool)
            .await?;
    Ok(latest.unwrap_or(0))
}

async fn changes_since(pool: &SqlitePool, heard: i64) -> Result<Vec<(i64, SessionId)>, StoreError> {
    let rows =
        sqlx::query("SELECT seq, session FROM changes WHERE seq > ? ORDER BY seq LIMIT 1000")
            .bind(heard)
            .fetch_all(pool)
            .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("seq")?, read_id(row, "session")?)))
        .collect()
}

fn read_id(row: &SqliteRow, column: &str) -> Result<SessionId, StoreError> {
    let text: String = row.try_get(column)?;
    SessionId::parse(&text).map_err(|error| corrupt(&error))
}

fn version(session: &Session) -> Result<i64, StoreError> {
    i64::try_from(session.version).map_err(|error| corrupt(&error))
}

fn written(session: &Session) -> Result<String, StoreError> {
    serde_json::to_string(session).map_err(|error| corrupt(&error))
}

fn corrupt(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_) => StoreError::Corrupt(error.to_string()),
            other => StoreError::Unavailable(other.to_string()),
        }
    }
}

/// Makes the file with its mode, so that it is at no moment readable by others. SQLite gives its
/// side files the mode of the file itself.
fn create_private(data_dir: &Path, path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)?;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}
