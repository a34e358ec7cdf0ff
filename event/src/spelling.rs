//! How far a word is from another, for "did you mean …?".
//!
//! Which words are known, and how far is too far, is for whoever asks to say.

/// Letters to put in, take out, change, or swap with the next one, to make the one of the other
/// (optimal string alignment distance).
#[must_use]
pub fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut row: Vec<usize> = (0..=other.len()).collect();
    // The row before that, in which swapped letters have their beginning, and its letter.
    let (mut above, mut before) = (Vec::new(), None);
    for (line, letter) in one.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(line + 1);
        let mut left = None;
        for (column, known) in other.iter().enumerate() {
            let changed = at(&row, column) + usize::from(letter != *known);
            let mut best = changed.min(at(&row, column + 1) + 1).min(at(&next, column) + 1);
            if before == Some(*known) && left == Some(letter) {
                best = best.min(at(&above, column.saturating_sub(1)) + 1);
            }
            next.push(best);
            left = Some(*known);
        }
        above = std::mem::replace(&mut row, next);
        before = Some(letter);
    }
    at(&row, other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits_both_ways() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("listen", "listen", 0),
            ("linx", "linux", 1),
            ("disc", "disk", 1),
            ("lgo", "log", 1),
            ("ab", "ba", 1),
            ("ca", "abc", 3),
            ("đăng", "dang", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(one, other), expected, "{one} {other}");
            assert_eq!(edits(other, one), expected, "{other} {one}");
        }
    }
}
