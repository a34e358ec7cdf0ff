//! Where a page of hits ended, as an opaque text.

use std::cmp::Ordering;

use keng_event::EventId;

use crate::error::Error;
use crate::request::Sort;

/// Where an event stands in the order of all events: by time, then by id.
pub(crate) type Key = (i64, EventId);

/// How two events stand in the order asked for.
pub(crate) fn compare(sort: Sort, a: &Key, b: &Key) -> Ordering {
    match sort {
        Sort::Newest => b.cmp(a),
        Sort::Oldest => a.cmp(b),
    }
}

/// The cursor that begins after the event.
pub(crate) fn write(sort: Sort, (time, id): &Key) -> String {
    let sort = match sort {
        Sort::Newest => 'n',
        Sort::Oldest => 'o',
    };
    format!("{sort}{time}.{id}")
}

/// The event that the cursor begins after.
///
/// # Errors
/// The cursor is not one of ours, or of a search in the other order.
pub(crate) fn read(sort: Sort, cursor: &str) -> Result<Key, Error> {
    let parse = || {
        let (time, id) = cursor.get(1..)?.split_once('.')?;
        let key = (time.parse().ok()?, id.parse().ok()?);
        (write(sort, &key) == cursor).then_some(key)
    };
    parse().ok_or_else(|| Error::Request {
        what: "cursor",
        detail: "take it from the answer to the same search in the same order".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_in_its_own_order_only() {
        let key = (-5, EventId { epoch: 0xab, partition: 1, offset: 9 });
        let cursor = write(Sort::Newest, &key);
        assert_eq!(cursor, "n-5.ab-1-9");
        assert_eq!(read(Sort::Newest, &cursor).unwrap(), key);
        assert!(read(Sort::Oldest, &cursor).is_err());
        for wrong in ["", "n", "x5.a-1-1", "n5", "n+5.a-1-1", "né.a", "n5.a-1-1 "] {
            assert!(read(Sort::Newest, wrong).is_err(), "{wrong}");
        }
    }
}
