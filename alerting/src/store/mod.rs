//! The SQL store: how it is opened, written and read. What is in it is in `migrations/`.
//!
//! SQLite for now, in the subset of SQL that PostgreSQL shares, so that several nodes can share
//! a store later. One connection writes and the others only read: SQLite has one writer anyway,
//! and waiting in our own queue cannot end in "database is locked" as competing connections do.

mod fault;
mod migrate;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keng_event::Clock;
use keng_metrics::HistogramFamily;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Row as _};

use crate::error::{Doing as _, Error};

pub(crate) use fault::Fault;
pub(crate) use rows::{pieces, where_in};

/// The database in use; nothing else in this crate names one.
pub(crate) type Database = sqlx::Sqlite;

/// A row of it.
pub(crate) type Row = sqlx::sqlite::SqliteRow;

/// A connection to it, in a transaction or not.
pub(crate) type Connection = sqlx::SqliteConnection;

/// A transaction of it.
pub(crate) type Transaction<'a> = sqlx::Transaction<'a, Database>;

/// File name within the data directory.
const FILE: &str = "alerts.db";

/// How long a connection waits for another process, such as the command line adding a user.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections for reading: as many lists at once as a duty room asks for.
const READERS: u32 = 4;

/// Statements that a connection keeps prepared: all that this crate has, in all their lengths.
const STATEMENTS_KEPT: usize = 200;

/// The write-ahead log is cut to this size when it has been written back, so that one long
/// reading does not leave a large file behind.
const WAL_BYTES_KEPT: &str = "67108864";

/// How long to wait for a connection. Longer than any transaction of ours lasts.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// The open store. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
    writer: SqlitePool,
    reader: SqlitePool,
    clock: Arc<dyn Clock>,
    durations: HistogramFamily,
}

/// A transaction that is timed. Dropped without [`Unit::commit`] it leaves no trace.
pub(crate) struct Unit<'a> {
    store: &'a Store,
    transaction: Transaction<'static>,
    operation: &'static str,
    started: Duration,
}

impl Store {
    /// Opens the store in `dir` and brings its schema up to date.
    pub(crate) async fn open(
        dir: &Path,
        clock: Arc<dyn Clock>,
        durations: HistogramFamily,
    ) -> Result<Self, Error> {
        let make = |source| Error::File { doing: "make", path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(make)?;
        let path = dir.join(FILE);
        create_private(&path)?;
        // FULL: in WAL mode anything less may lose the last commits in a power cut, and what was
        // acknowledged to the bus must stay.
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS_KEPT)
            .pragma("journal_size_limit", WAL_BYTES_KEPT)
            .disable_statement_logging();
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await.doing("open the file")?;
        migrate::run(&writer, migrate::MIGRATIONS).await?;
        let read_only = options.pragma("query_only", "ON");
        let reader = pool(READERS).connect_lazy_with(read_only);
        Ok(Self { path, writer, reader, clock, durations })
    }

    /// Connections for queries outside a transaction.
    pub(crate) fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// Begins a transaction that may write; others wait until it ends. `operation` names it in
    /// `keng_store_transaction_duration_seconds`.
    pub(crate) async fn begin(&self, operation: &'static str) -> Result<Unit<'_>, Error> {
        let started = self.clock.elapsed();
        // IMMEDIATE: the lock is taken now, when waiting for another process is still possible,
        // and not in the middle, when SQLite would have to give up.
        let transaction =
            self.writer.begin_with("BEGIN IMMEDIATE").await.doing("begin a transaction")?;
        Ok(Unit { store: self, transaction, operation, started })
    }

    /// Bytes on disk, the write-ahead log included.
    pub(crate) fn size_bytes(&self) -> u64 {
        ["", "-wal", "-shm"]
            .into_iter()
            .filter_map(|suffix| {
                let mut path = self.path.clone().into_os_string();
                path.push(suffix);
                std::fs::metadata(path).ok()
            })
            .map(|metadata| metadata.len())
            .sum()
    }
}

/// Bytes of the file that hold something; the rest is free for what comes next.
pub(crate) async fn used_bytes(connection: &mut Connection) -> Result<u64, Error> {
    const DOING: &str = "measure the store";
    let row = sqlx::query(
        "SELECT (pages.page_count - free.freelist_count) * size.page_size AS used \
         FROM pragma_page_count AS pages, pragma_freelist_count AS free, \
         pragma_page_size AS size",
    )
    .fetch_one(connection)
    .await
    .doing(DOING)?;
    let used: i64 = row.try_get("used").doing(DOING)?;
    Ok(u64::try_from(used).unwrap_or(0))
}

impl Unit<'_> {
    /// The transaction, for statements.
    pub(crate) fn sql(&mut self) -> &mut Transaction<'static> {
        &mut self.transaction
    }

    /// Makes it durable.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await.doing("commit a transaction")?;
        let took = self.store.clock.elapsed().saturating_sub(self.started);
        self.store.durations.with(&[self.operation]).observe(took.as_secs_f64());
        Ok(())
    }
}

/// Takes `count` numbers of a sequence and returns the first. They are without gaps, since a
/// transaction that fails gives them back.
pub(crate) async fn next_number(
    transaction: &mut Transaction<'_>,
    sequence: &str,
    count: i64,
) -> Result<i64, Error> {
    let row = sqlx::query("UPDATE sequence SET value = value + $1 WHERE name = $2 RETURNING value")
        .bind(count)
        .bind(sequence)
        .fetch_one(&mut **transaction)
        .await
        .doing("take a number")?;
    let last: i64 = row.try_get("value").doing("take a number")?;
    Ok(last - count + 1)
}

/// Makes the file before SQLite does, so that nobody else can read it; SQLite gives its `-wal`
/// and `-shm` the same mode.
fn create_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt as _;

    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| Error::File { doing: "create", path: path.to_owned(), source })
}
