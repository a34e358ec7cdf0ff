//! Brings the schema of a store up to date, one numbered SQL file after the other.
//!
//! Only forward: an older Keng refuses a newer store instead of guessing.

use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row as _};

use crate::error::{Doing as _, Error};

/// The schema, in order; the version is the position from 1. A file that has been released is
/// never edited, a change is a new file.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_alerts.sql"),
    include_str!("migrations/0002_people.sql"),
    include_str!("migrations/0003_upkeep.sql"),
    include_str!("migrations/0004_tests.sql"),
];

/// Applies what is missing, each file in a transaction with its entry in `schema_version`.
pub(super) async fn run(
    pool: &SqlitePool,
    migrations: &'static [&'static str],
) -> Result<(), Error> {
    const DOING: &str = "bring the schema up to date";
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)")
        .execute(pool)
        .await
        .doing(DOING)?;
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
        .fetch_one(pool)
        .await
        .doing(DOING)?;
    let found: i64 = row.try_get("version").doing(DOING)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::TooNew { found, known });
    }
    for (version, sql) in (1..).zip(migrations).filter(|(version, _)| *version > found) {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.doing(DOING)?;
        sqlx::raw_sql(AssertSqlSafe(*sql)).execute(&mut *transaction).await.doing(DOING)?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await
            .doing(DOING)?;
        transaction.commit().await.doing(DOING)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[&str] = &["CREATE TABLE a (x BIGINT); INSERT INTO a VALUES (1);"];
    const SECOND: &[&str] =
        &["CREATE TABLE a (x BIGINT); INSERT INTO a VALUES (1);", "INSERT INTO a VALUES (2)"];

    async fn memory() -> SqlitePool {
        sqlx::sqlite::SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:")
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn climbs_step_by_step_and_only_once() {
        let pool = memory().await;
        run(&pool, FIRST).await.unwrap();
        run(&pool, SECOND).await.unwrap();
        run(&pool, SECOND).await.unwrap();
        let row = sqlx::query("SELECT COUNT(*) AS n FROM a").fetch_one(&pool).await.unwrap();
        assert_eq!(row.get::<i64, _>("n"), 2);
    }

    #[tokio::test]
    async fn refuses_the_store_of_a_newer_keng() {
        let pool = memory().await;
        run(&pool, SECOND).await.unwrap();
        let error = run(&pool, FIRST).await.unwrap_err();
        assert!(matches!(error, Error::TooNew { found: 2, known: 1 }), "{error}");
    }

    #[tokio::test]
    async fn a_failed_step_leaves_nothing() {
        const BROKEN: &[&str] = &["CREATE TABLE a (x BIGINT); INSERT INTO nowhere VALUES (1);"];
        let pool = memory().await;
        assert!(run(&pool, BROKEN).await.is_err());
        run(&pool, FIRST).await.unwrap();
    }
}
