//! Which row of the tables a record belongs to, told by the names of its members.
//!
//! Every JSON record that no parser has claimed comes by here, so that this must be cheap: a name
//! is looked up only if some key has its length and its first letter.

use std::sync::LazyLock;

use super::super::members::Members;
use super::{Vendor, rows};

/// What a record looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// A member that it has, and that few others have.
    key: &'static str,
    /// What the member says (letter case ignored); empty: anything.
    any_of: &'static [&'static str],
    /// Other members that it has as well.
    with: &'static [&'static str],
}

impl Shape {
    /// A record that has `key` and all of `with`.
    pub(super) const fn with(key: &'static str, with: &'static [&'static str]) -> Self {
        Self { key, any_of: &[], with }
    }

    /// A record whose `key` says one of these, and that has all of `with`.
    pub(super) const fn saying(
        key: &'static str,
        any_of: &'static [&'static str],
        with: &'static [&'static str],
    ) -> Self {
        Self { key, any_of, with }
    }

    fn fits(&self, value: &str, members: &Members) -> bool {
        let said = || self.any_of.iter().any(|word| word.eq_ignore_ascii_case(value));
        (self.any_of.is_empty() || said()) && self.with.iter().all(|name| members.has(name))
    }
}

/// Names that are longer are no keys; a test holds the tables to it.
const KEY_BYTES_MAX: usize = 64;

/// The keys of all rows.
struct Keys {
    /// By length: one bit for the first letter.
    letters: [u64; KEY_BYTES_MAX],
    /// Sorted by key, then by row.
    table: Vec<(&'static str, usize, &'static Shape, &'static Vendor)>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut keys = Keys { letters: [0; KEY_BYTES_MAX], table: Vec::new() };
    for (row, vendor) in rows().enumerate() {
        for shape in vendor.shapes {
            keys.table.push((shape.key, row, shape, vendor));
            if let Some(letters) = keys.letters.get_mut(shape.key.len()) {
                *letters |= letter(shape.key);
            }
        }
    }
    keys.table.sort_by_key(|(key, row, ..)| (*key, *row));
    keys
});

fn letter(name: &str) -> u64 {
    name.as_bytes().first().map_or(0, |letter| 1 << (letter & 63))
}

/// The first row that the record fits.
pub(super) fn find(members: &Members) -> Option<&'static Vendor> {
    let keys = &*KEYS;
    let mut found: Option<(usize, &'static Vendor)> = None;
    for (name, value) in members.iter() {
        let letters = keys.letters.get(name.len()).copied().unwrap_or(0);
        if letters & letter(name) == 0 {
            continue;
        }
        let start = keys.table.partition_point(|(key, ..)| *key < name);
        let same = keys.table.get(start..).unwrap_or_default().iter();
        for (_, row, shape, vendor) in same.take_while(|(key, ..)| *key == name) {
            let earlier = found.is_none_or(|(best, _)| *row < best);
            if earlier && shape.fits(&value.to_text(), members) {
                found = Some((*row, vendor));
            }
        }
    }
    found.map(|(_, vendor)| vendor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_found() {
        for (key, ..) in &KEYS.table {
            assert!(!key.is_empty() && key.len() < KEY_BYTES_MAX, "{key}");
        }
    }

    #[test]
    fn an_object_of_nobody_belongs_to_no_row() {
        for json in [
            r#"{"level":"warn","msg":"đăng nhập sai","user":"hà","time":"2026-11-22T10:00:00Z"}"#,
            r#"{"category":"SignInLogs"}"#,
            r#"{"eventName":"x","eventSource":"y"}"#,
            r#"{"verb":"create","user":"x"}"#,
            r#"{"timestamp":1,"message":"x","severity":"INFO"}"#,
        ] {
            let members = Members::read(json.as_bytes()).unwrap();
            let found = find(&members).map(|vendor| vendor.dataset.name);
            assert_eq!(found, None, "{json}");
        }
    }
}
