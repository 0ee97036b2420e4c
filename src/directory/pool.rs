//! Two databases behind one face: statements with values in, rows out.

use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Connection, Decode, Executor, Postgres, Row as _, Sqlite, Type};
use tokio::time::timeout;

use super::migrations::MIGRATIONS;
use super::{DirectoryError, sql};

/// So often, and so far apart, a busy SQLite file is opened again.
const OPEN_TRIES: u32 = 50;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// The longest wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);
/// The longest wait for one statement, whatever the database or the network do.
const STATEMENT: Duration = Duration::from_secs(8);
/// The longest that a node waits at start while another one migrates.
const MIGRATE: Duration = Duration::from_secs(60);
const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;

pub(super) enum Pool {
    /// SQLite allows one writer at a time: ours queue for a connection instead of for a lock.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// Undone unless committed.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// What a `$n` stands for.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    TextOrNull(Option<&'a str>),
    Number(i64),
    Bytes(&'a [u8]),
}

pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! bound {
    ($statement:expr, $values:expr) => {{
        let mut query = sqlx::query($statement);
        for value in $values {
            query = match *value {
                Value::Text(text) => query.bind(text),
                Value::TextOrNull(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

/// Gives a wait its end.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, DirectoryError> {
    match timeout(STATEMENT, answer).await {
        Ok(answer) => answer.map_err(DirectoryError::from),
        Err(_) => Err(DirectoryError::Unavailable(format!(
            "no answer in {STATEMENT:?}"
        ))),
    }
}

impl Pool {
    pub(super) async fn open(url: &str) -> Result<Pool, DirectoryError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            open_sqlite(path.strip_prefix("//").unwrap_or(path)).await
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url).await
        } else {
            // The rest of the address may hold a password.
            let scheme = url.split(':').next().unwrap_or_default();
            Err(DirectoryError::Address(format!(
                "{scheme:?} is neither \"sqlite:PATH\" nor \"postgres://HOST/DATABASE\""
            )))
        }
    }

    pub(super) async fn rows(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, DirectoryError> {
        match self {
            Pool::Sqlite { readers, .. } => {
                let rows = in_time(bound!(statement, values).fetch_all(readers)).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Pool::Postgres(pool) => {
                let rows = in_time(bound!(statement, values).fetch_all(pool)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    pub(super) async fn row(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, DirectoryError> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// Returns how many rows were touched.
    pub(super) async fn write(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, DirectoryError> {
        match self {
            Pool::Sqlite { writer, .. } => Ok(in_time(bound!(statement, values).execute(writer))
                .await?
                .rows_affected()),
            Pool::Postgres(pool) => Ok(in_time(bound!(statement, values).execute(pool))
                .await?
                .rows_affected()),
        }
    }

    pub(super) async fn begin(&self) -> Result<Transaction, DirectoryError> {
        match self {
            // Takes the write lock at once: a transaction that reads first and writes later can't
            // be refused in the middle.
            Pool::Sqlite { writer, .. } => in_time(writer.begin_with("BEGIN IMMEDIATE"))
                .await
                .map(Transaction::Sqlite),
            Pool::Postgres(pool) => in_time(pool.begin()).await.map(Transaction::Postgres),
        }
    }

    pub(super) async fn ping(&self) -> Result<(), DirectoryError> {
        timeout(ACQUIRE, self.row(sql::PING, &[]))
            .await
            .map_err(|_| DirectoryError::Unavailable(format!("no answer in {ACQUIRE:?}")))?
            .map(drop)
    }

    pub(super) async fn close(&self) {
        match self {
            Pool::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            // A connection that leads nowhere may never come back.
            Pool::Postgres(pool) => drop(timeout(STATEMENT, pool.close()).await),
        }
    }
}

impl Transaction {
    pub(super) async fn row(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, DirectoryError> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    pub(super) async fn rows(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, DirectoryError> {
        match self {
            Transaction::Sqlite(transaction) => {
                let rows = in_time(bound!(statement, values).fetch_all(&mut **transaction)).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Transaction::Postgres(transaction) => {
                let rows = in_time(bound!(statement, values).fetch_all(&mut **transaction)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    pub(super) async fn write(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, DirectoryError> {
        match self {
            Transaction::Sqlite(transaction) => {
                let done = in_time(bound!(statement, values).execute(&mut **transaction)).await?;
                Ok(done.rows_affected())
            }
            Transaction::Postgres(transaction) => {
                let done = in_time(bound!(statement, values).execute(&mut **transaction)).await?;
                Ok(done.rows_affected())
            }
        }
    }

    pub(super) async fn commit(self) -> Result<(), DirectoryError> {
        match self {
            Transaction::Sqlite(transaction) => in_time(transaction.commit()).await,
            Transaction::Postgres(transaction) => in_time(transaction.commit()).await,
        }
    }
}

impl Row {
    pub(super) fn value<T>(&self, column: &'static str) -> Result<T, DirectoryError>
    where
        T: for<'r> Decode<'r, Sqlite>
            + Type<Sqlite>
            + for<'r> Decode<'r, Postgres>
            + Type<Postgres>,
    {
        let value = match self {
            Row::Sqlite(row) => row.try_get(column),
            Row::Postgres(row) => row.try_get(column),
        };
        // The error names the column, not what stands there: it may be personal.
        value.map_err(|_| DirectoryError::Corrupt(format!("column {column}")))
    }

    /// Reads text into a name or a list that has rules of its own.
    pub(super) fn parsed<T: TryFrom<String>>(
        &self,
        column: &'static str,
    ) -> Result<T, DirectoryError> {
        T::try_from(self.value(column)?)
            .map_err(|_| DirectoryError::Corrupt(format!("column {column}")))
    }

    pub(super) fn parsed_or_null<T: TryFrom<String>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, DirectoryError> {
        self.value::<Option<String>>(column)?
            .map(T::try_from)
            .transpose()
            .map_err(|_| DirectoryError::Corrupt(format!("column {column}")))
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<T, DirectoryError> {
        serde_json::from_str(&self.value::<String>(column)?)
            .map_err(|_| DirectoryError::Corrupt(format!("column {column}")))
    }
}

async fn open_sqlite(path: &str) -> Result<Pool, DirectoryError> {
    if path.is_empty() {
        return Err(DirectoryError::Address(String::from(
            "\"sqlite:\" without a path",
        )));
    }
    if path == ":memory:" {
        // Each connection would have its own.
        return Err(DirectoryError::Address(String::from(
            "\"sqlite::memory:\": a file is needed",
        )));
    }
    make_private(Path::new(path))
        .map_err(|error| DirectoryError::Address(format!("{path}: {error}")))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true);
    let blame = |error| DirectoryError::Unavailable(format!("{path}: {error}"));
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(STATEMENT);
    let writer = connect_sqlite(writer, options.clone())
        .await
        .map_err(blame)?;
    // sqlx has no lock of its own here: the write lock keeps two processes from migrating at once.
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(blame)?;
    MIGRATIONS
        .run_direct(None, &mut *transaction, false)
        .await
        .map_err(migration_failed)?;
    transaction.commit().await.map_err(blame)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(ACQUIRE);
    // Both sides of every LIKE are in lower case already: folding them again takes half the time.
    let options = options
        .pragma("case_sensitive_like", "ON")
        .pragma("query_only", "ON");
    let readers = connect_sqlite(readers, options).await.map_err(blame)?;
    Ok(Pool::Sqlite { writer, readers })
}

/// Connects, waiting for others that open or close the file at the same moment: when two turn on
/// its write-ahead log at once, SQLite tells one of them "busy" without the wait it was asked for.
async fn connect_sqlite(
    pool: SqlitePoolOptions,
    options: SqliteConnectOptions,
) -> Result<SqlitePool, sqlx::Error> {
    for _ in 0..OPEN_TRIES {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(OPEN_PAUSE).await,
            connected => return connected,
        }
    }
    pool.connect_with(options).await
}

/// SQLITE_BUSY and its kin, by their primary code.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

/// The file holds password hashes: it is made for its owner alone.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

async fn open_postgres(url: &str) -> Result<Pool, DirectoryError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| DirectoryError::Address(String::from("not a PostgreSQL address")))?
        .application_name("vestibule");
    let place = format!(
        "PostgreSQL at {}:{}, database {}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or(options.get_username())
    );
    let blame = |error: String| DirectoryError::Unavailable(format!("{place}: {error}"));
    // Asked without the pool, which would try again and then speak only of its own deadline.
    let mut connection = timeout(STATEMENT, PgConnection::connect_with(&options))
        .await
        .map_err(|_| blame(format!("no connection in {STATEMENT:?}")))?
        .map_err(|error| blame(error.to_string()))?;
    // The migrator holds an advisory lock: nodes that start together go one after the other.
    timeout(MIGRATE, MIGRATIONS.run_direct(None, &mut connection, false))
        .await
        .map_err(|_| blame(format!("migrations did not end in {MIGRATE:?}")))?
        .map_err(migration_failed)?;
    drop(timeout(ACQUIRE, connection.close()).await);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Set here, since poolers in between refuse unknown start-up parameters.
                connection.execute("SET statement_timeout = '5s'").await?;
                connection.execute("SET lock_timeout = '5s'").await?;
                Ok(())
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                // Who gives a statement up leaves a connection whose answer is still to come. The pool
                // waits for it as long as TCP does, a quarter of an hour on a network that swallows
                // everything, and meanwhile the connection keeps its place.
                match timeout(ACQUIRE, connection.ping()).await {
                    Ok(answered) => answered.map(|()| true),
                    Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
                }
            })
        })
        .connect_with(options)
        .await
        .map_err(|error| blame(error.to_string()))?;
    Ok(Pool::Postgres(pool))
}

fn migration_failed(error: MigrateError) -> DirectoryError {
    match error {
        MigrateError::VersionMissing(version) => DirectoryError::Address(format!(
            "the database was migrated to version {version} by a newer vestibule"
        )),
        error => DirectoryError::Unavailable(format!("migration failed: {error}")),
    }
}

impl From<sqlx::Error> for DirectoryError {
    fn from(error: sqlx::Error) -> DirectoryError {
        match error {
            sqlx::Error::Database(error) if error.is_foreign_key_violation() => {
                DirectoryError::Unknown(String::from("what the row refers to"))
            }
            sqlx::Error::Database(error) if error.is_unique_violation() => {
                DirectoryError::Conflict(error.constraint().unwrap_or("a unique index").to_owned())
            }
            sqlx::Error::ColumnDecode { index, .. } => {
                DirectoryError::Corrupt(format!("column {index}"))
            }
            sqlx::Error::ColumnNotFound(column) => {
                DirectoryError::Corrupt(format!("column {column}"))
            }
            sqlx::Error::PoolTimedOut => {
                DirectoryError::Unavailable(String::from("no free connection in time"))
            }
            error => DirectoryError::Unavailable(error.to_string()),
        }
    }
}
