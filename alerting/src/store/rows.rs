//! Statements over many rows, in a few lengths only, so that they stay prepared.

use sqlx::QueryBuilder;

use super::{Connection, Database, Row};

/// Rows in a statement that writes. SQLite takes 32,766 and PostgreSQL 65,535 parameters in a
/// statement; past a hundred rows a longer one is no faster.
const PIECES: [usize; 4] = [128, 16, 4, 1];

/// Keys in a statement that reads.
const LOTS: [usize; 4] = [1, 8, 64, 512];

/// Cuts rows into pieces, one for each statement that writes them.
pub(crate) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = PIECES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(piece)
    })
}

/// The rows for which `column` is any of `keys`, in no order: those that a `SELECT` gives, or none
/// after a `DELETE`. `statement` ends with `WHERE`, or with `AND` after other conditions.
pub(crate) async fn where_in(
    connection: &mut Connection,
    statement: &str,
    column: &str,
    keys: &[&str],
) -> Result<Vec<Row>, sqlx::Error> {
    let mut rows = Vec::new();
    for lot in keys.chunks(LOTS.into_iter().max().unwrap_or(1)) {
        let size = LOTS.into_iter().find(|size| *size >= lot.len()).unwrap_or(lot.len());
        let mut query = QueryBuilder::<Database>::new(statement);
        query.push(" ").push(column).push(" IN (");
        let mut values = query.separated(", ");
        // Filled up with its last key, which selects nothing more.
        for key in lot.iter().chain(lot.last().into_iter().cycle()).take(size) {
            values.push_bind((*key).to_owned());
        }
        query.push(")");
        rows.extend(query.build().fetch_all(&mut *connection).await?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_piece_in_order() {
        for length in [0usize, 1, 3, 4, 5, 127, 128, 300] {
            let rows: Vec<usize> = (0..length).collect();
            let all: Vec<usize> = pieces(&rows).flatten().copied().collect();
            assert_eq!(all, rows);
            assert!(pieces(&rows).all(|piece| PIECES.contains(&piece.len())));
        }
    }

    #[tokio::test]
    async fn rows_are_found_once_by_however_many_keys() {
        use sqlx::{Connection as _, Row as _};

        let mut connection = Connection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("CREATE TABLE a (x TEXT PRIMARY KEY)").execute(&mut connection).await.unwrap();
        let keys: Vec<String> = (0..1_100).map(|number| format!("k{number:04}")).collect();
        for key in &keys {
            let insert = sqlx::query("INSERT INTO a VALUES ($1)").bind(key);
            insert.execute(&mut connection).await.unwrap();
        }
        for count in [0, 1, 2, 8, 9, 65, 513, 1_100] {
            let wanted: Vec<&str> = keys.iter().take(count).map(String::as_str).collect();
            let rows = where_in(&mut connection, "SELECT x FROM a WHERE", "x", &wanted);
            let mut found: Vec<String> =
                rows.await.unwrap().iter().map(|row| row.get("x")).collect();
            found.sort();
            assert_eq!(found, wanted);
        }
    }
}
