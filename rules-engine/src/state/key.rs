//! The values that separate and count occurrences. Like Sigma's own comparisons they take no
//! notice of letter case.

use std::sync::Arc;

use crate::compile::correlations::KeyField;
use crate::limits;
use crate::text::{fnv, fold};

use super::group::Occurrence;

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
    occurrence: Occurrence<'_>,
) -> Result<Vec<String>, Unusable> {
    fields.iter().map(|field| value(field, place, occurrence)).collect()
}

fn value(field: &KeyField, place: usize, occurrence: Occurrence<'_>) -> Result<String, Unusable> {
    let field = field.by_rule.get(place).ok_or(Unusable::MissingField)?;
    let mut value = occurrence.facts.value(*field).ok_or(Unusable::MissingField)?;
    if value.len() > limits::GROUP_VALUE_BYTES_MAX {
        let cut = (0..=limits::GROUP_VALUE_BYTES_MAX).rev().find(|at| value.is_char_boundary(*at));
        value.truncate(cut.unwrap_or(0));
    }
    Ok(value)
}

/// The value of the field as a number.
pub(super) fn number(
    field: &KeyField,
    place: usize,
    occurrence: Occurrence<'_>,
) -> Result<f64, Unusable> {
    let text = value(field, place, occurrence)?;
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or(Unusable::NotANumber)
}

/// The values with their lengths between them, so that ("a", "bc") is not ("ab", "c").
pub(super) fn key(values: &[String]) -> Key {
    let mut key = String::new();
    for value in values {
        let value = fold(value);
        key.push_str(&value.len().to_string());
        key.push(':');
        key.push_str(&value);
    }
    key.into()
}

pub(super) fn hash(values: &[String]) -> u64 {
    fnv(key(values).as_bytes())
}
