//! Which rules apply to an event: Sigma log sources.

use serde::Serialize;

/// A Sigma log source as a rule, a command line or an event states it; what is not stated is
/// `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct LogSourceFilter {
    /// For example `windows`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// For example `process_creation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// For example `security`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// The text is no log source.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a log source: write product=…,category=…,service=… (any of the three)")]
pub struct InvalidLogSource(String);

impl std::str::FromStr for LogSourceFilter {
    type Err = InvalidLogSource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut filter = Self::default();
        for part in text.split(',') {
            let slot = match part.split_once('=') {
                Some(("product", value)) if !value.is_empty() => (&mut filter.product, value),
                Some(("category", value)) if !value.is_empty() => (&mut filter.category, value),
                Some(("service", value)) if !value.is_empty() => (&mut filter.service, value),
                _ => return Err(InvalidLogSource(text.chars().take(80).collect())),
            };
            *slot.0 = Some(slot.1.to_lowercase());
        }
        Ok(filter)
    }
}
