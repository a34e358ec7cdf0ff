//! The values that separate and count occurrences. Like Sigma's own comparisons they take no
//! notice of letter case.

use std::sync::Arc;

use crate::compile::correlations::KeyField;
use crate::limits;
use crate::text::fold;

use super::group::Facts;

/// Group values, one after the other.
pub(crate) type Key = Arc<str>;

/// Why an occurrence cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The event lacks a field that the rule groups by or counts.
    MissingField,
    /// The field that the rule adds up is no number.
    NotANumber,
}

impl Unusable {
    /// As the metrics have it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::NotANumber => "not_a_number",
        }
    }
}

/// The values of the fields in what the rule at `place` matched.
pub(super) fn values(
    fields: &[KeyField],
    place: usize,
    facts: &dyn Facts,
) -> Result<Vec<String>, Unusable> {
    fields.iter().map(|field| value(field, place, facts)).collect()
}

fn value(field: &KeyField, place: usize, facts: &dyn Facts) -> Result<String, Unusable> {
    let field = field.by_rule.get(place).ok_or(Unusable::MissingField)?;
    let mut value = facts.value(*field).ok_or(Unusable::MissingField)?;
    if value.len() > limits::GROUP_VALUE_BYTES_MAX {
        let cut = (0..=limits::GROUP_VALUE_BYTES_MAX).rev().find(|at| value.is_char_boundary(*at));
        value.truncate(cut.unwrap_or(0));
    }
    Ok(value)
}

/// The value of the field as a number.
pub(super) fn number(field: &KeyField, place: usize, facts: &dyn Facts) -> Result<f64, Unusable> {
    let text = value(field, place, facts)?;
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or(Unusable::NotANumber)
}

/// The values with their lengths between them, so that ("a", "bc") is not ("ab", "c").
pub(super) fn key(values: &[String]) -> String {
    let mut key = String::new();
    for value in values {
        let value = fold(value);
        key.push_str(&value.len().to_string());
        key.push(':');
        key.push_str(&value);
    }
    key
}

/// By which way the rule at `place` leads to what counts it: with the event it tells apart all that
/// a rule can count under one key.
pub(super) fn way(place: usize, facts: &dyn Facts) -> u32 {
    let hash = (place as u64).wrapping_add(facts.window());
    // An occurrence has room for no more.
    u32::try_from(hash % u64::from(u32::MAX)).unwrap_or(0)
}

/// A number that stands for the values. Who sends events chooses them: it is a hash of which
/// nobody can make many that are alike.
pub(super) fn hash(values: &[String]) -> u64 {
    sip(key(values).as_bytes())
}

/// SipHash-2-4 (Aumasson and Bernstein 2012) with the key of its published example: what is
/// stored must be the same on every machine.
pub(super) fn sip(bytes: &[u8]) -> u64 {
    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    let mut state = [
        KEY[0] ^ 0x736f_6d65_7073_6575,
        KEY[1] ^ 0x646f_7261_6e64_6f6d,
        KEY[0] ^ 0x6c79_6765_6e65_7261,
        KEY[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let last = u64::from_le_bytes(last) | (bytes.len() as u64) << 56;
    for word in words.iter().map(|word| u64::from_le_bytes(*word)).chain([last]) {
        state[3] ^= word;
        rounds(&mut state, 2);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    rounds(&mut state, 4);
    state.iter().fold(0, |hash, word| hash ^ word)
}

fn rounds([a, b, c, d]: &mut [u64; 4], count: usize) {
    for _ in 0..count {
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_has_its_published_values() {
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(sip(&bytes), 0xa129_ca61_49be_45e5);
        assert_eq!(sip(&[]), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn values_keep_apart() {
        let key =
            |values: &[&str]| key(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_ne!(key(&["a", "bc"]), key(&["ab", "c"]));
        assert_eq!(key(&["Đỗ", "K\u{212a}"]), key(&["đỗ", "kK"]), "letter case is no difference");
    }
}
