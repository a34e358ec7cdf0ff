//! Whose fault it is when a statement fails: the store's, which may pass, or that of what was
//! to be written, which will not.

use crate::error::Error;

/// Why something could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store cannot write at the moment; the reason as a metric tells it.
    Store(&'static str),
    /// The store works, and will not take this.
    Content,
}

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>) that speak of the data.
const OF_CONTENT: [i64; 4] = [TOO_BIG, CONSTRAINT, MISMATCH, RANGE];
const TOO_BIG: i64 = 18;
const CONSTRAINT: i64 = 19;
const MISMATCH: i64 = 20;
const RANGE: i64 = 25;

impl Fault {
    /// What `error` says. What is not known is the store's: trying again loses nothing.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Store { source: sqlx::Error::Database(refused), .. } => {
                let code = refused.code().and_then(|code| code.parse::<i64>().ok());
                // Extended codes have the primary one in their lowest byte.
                match code.map(|code| code & 0xff) {
                    Some(code) if OF_CONTENT.contains(&code) => Self::Content,
                    Some(5 | 6) => Self::Store("busy"),
                    Some(8) => Self::Store("read_only"),
                    Some(10) => Self::Store("io"),
                    Some(11 | 26) => Self::Store("corrupt"),
                    Some(13) => Self::Store("full"),
                    _ => Self::Store("other"),
                }
            }
            Error::Store { source: sqlx::Error::PoolTimedOut, .. } => Self::Store("busy"),
            Error::Store { source: sqlx::Error::Io(_), .. } => Self::Store("io"),
            Error::Store {
                source:
                    sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_),
                ..
            }
            | Error::Damaged { .. } => Self::Content,
            _ => Self::Store("other"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::error::Doing as _;
    use crate::store::Connection;

    async fn fault(statements: &'static str) -> Fault {
        let mut connection = Connection::connect("sqlite::memory:").await.unwrap();
        let result = sqlx::raw_sql(statements).execute(&mut connection).await;
        Fault::of(&result.doing("try").unwrap_err())
    }

    #[tokio::test]
    async fn what_the_data_are_refused_for_will_not_pass() {
        assert_eq!(
            fault("CREATE TABLE a (x TEXT PRIMARY KEY); INSERT INTO a VALUES (1), (1)").await,
            Fault::Content
        );
        assert_eq!(
            fault("CREATE TABLE a (x TEXT NOT NULL); INSERT INTO a VALUES (NULL)").await,
            Fault::Content
        );
        assert_eq!(fault("SELECT length(zeroblob(1 << 40))").await, Fault::Content);
        let damaged = Error::Damaged { what: "the state 'x'".to_owned() };
        assert_eq!(Fault::of(&damaged), Fault::Content);
    }

    #[tokio::test]
    async fn what_the_store_cannot_do_now_is_tried_again() {
        assert_eq!(
            fault("PRAGMA query_only = ON; CREATE TABLE a (x)").await,
            Fault::Store("read_only")
        );
        let full = "CREATE TABLE a (x); PRAGMA max_page_count = 2; \
                    INSERT INTO a VALUES (randomblob(100000))";
        assert_eq!(fault(full).await, Fault::Store("full"));
        assert_eq!(fault("SELECT nothing").await, Fault::Store("other"));
    }
}
