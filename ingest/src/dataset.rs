//! Datasets (placeholder until the real list stands here).

use keng_event::json::JsonError;
use keng_event::{Dataset, EventBuilder};

use crate::parse::{JsonRecord, TextRecord};

/// Every dataset.
#[must_use]
pub fn all() -> &'static [Dataset] {
    &[]
}

pub(crate) fn text(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) {
    let _ = (record, event);
}

pub(crate) fn json(record: &JsonRecord<'_>, event: &mut EventBuilder<'_>) -> Result<(), JsonError> {
    let _ = (record, event);
    Ok(())
}
