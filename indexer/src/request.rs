//! What is asked of the index: the JSON bodies of the search routes.
//!
//! Every list and text in a request is bounded here; what is above a bound is brought down to it
//! where that does no harm (`limit`, `buckets`) and refused where it would change the meaning.

use serde::{Deserialize, Serialize};

/// Most hits in one answer; a screenful is 50, an export pages with the cursor.
pub const HITS_MAX: usize = 1_000;

/// Hits in an answer whose request does not say.
pub const HITS_DEFAULT: usize = 50;

/// Most buckets of one histogram.
pub const BUCKETS_MAX: usize = 1_000;

/// Buckets of a histogram whose request does not say.
pub const BUCKETS_DEFAULT: usize = 60;

/// Most values of one facet.
pub const FACET_VALUES_MAX: usize = 1_000;

/// Values of a facet whose request does not say.
pub const FACET_VALUES_DEFAULT: usize = 10;

/// Most fields in one facets request.
pub const FACET_FIELDS_MAX: usize = 32;

/// Most values by which a histogram is divided; the rest is counted as `_other`.
pub const HISTOGRAM_SERIES_MAX: usize = 20;

/// Most suggestions in one answer.
pub const SUGGESTIONS_MAX: usize = 100;

/// Most fields in one answer to "which fields are there".
pub const FIELDS_MAX: usize = 5_000;

/// Order of hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Latest `@timestamp` first.
    #[default]
    Newest,
    /// Earliest `@timestamp` first.
    Oldest,
}

/// `POST /api/v1/search`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// The filter; empty or `*` means every event.
    #[serde(default)]
    pub query: String,
    /// Earliest `@timestamp`, inclusive: RFC 3339 or relative (`now-1h`, `now/d`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the range, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Most hits wanted, at most [`HITS_MAX`]; 0 only counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Which end comes first.
    #[serde(default)]
    pub sort: Sort,
    /// Where the previous answer ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `POST /api/v1/histogram`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistogramRequest {
    /// The filter.
    #[serde(default)]
    pub query: String,
    /// Earliest `@timestamp`, inclusive; without it, that of the earliest event there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the range, exclusive; without it, just after the latest event there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Most buckets wanted, at most [`BUCKETS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<usize>,
    /// A field by whose values each bucket is divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// `POST /api/v1/facets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacetsRequest {
    /// The filter.
    #[serde(default)]
    pub query: String,
    /// Earliest `@timestamp`, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the range, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The fields whose most frequent values are wanted, at most [`FACET_FIELDS_MAX`].
    pub fields: Vec<String>,
    /// Most values of each, at most [`FACET_VALUES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// `GET /api/v1/fields`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldsRequest {
    /// Only shards that reach into this range are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the range, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only names that begin so.
    #[serde(default)]
    pub prefix: String,
}

/// `POST /api/v1/complete`: what could stand next in the search box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteRequest {
    /// The field whose values are wanted; without it, field names are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What was typed so far; letter case is ignored.
    #[serde(default)]
    pub prefix: String,
    /// Only shards that reach into this range are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the range, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Most suggestions wanted, at most [`SUGGESTIONS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}
