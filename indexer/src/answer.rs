//! What the index answers: the JSON bodies of the search routes.

use std::collections::BTreeMap;

use keng_event::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// Something that the asker should know; never a reason to refuse the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Stable name of the kind of warning.
    pub code: String,
    /// What is the matter.
    pub message: String,
    /// Where in the query, as byte offsets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<[usize; 2]>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How far a count can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Exactly that many.
    Eq,
    /// At least that many: counting was cut short.
    Gte,
}

/// How many events match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The count.
    pub value: u64,
    /// Whether that is all.
    pub relation: Relation,
}

/// Answer to a search.
#[derive(Clone, Debug, Serialize)]
pub struct SearchAnswer {
    /// The events as ECS JSON, in the order asked for; equal times are ordered by event id.
    pub hits: Vec<Box<RawValue>>,
    /// How many match in the whole range, on all pages together.
    pub total: Total,
    /// Milliseconds that the search took.
    pub took_ms: u64,
    /// Whether everything in the range was looked at.
    pub complete: bool,
    /// What the asker should know.
    pub warnings: Vec<Warning>,
    /// Where the next page begins; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One bar of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Where it begins.
    pub at: Timestamp,
    /// How many events lie in it.
    pub count: u64,
    /// The same, divided by the values of the field asked for. Values beyond the most frequent
    /// are under `_other`; events without the field are in no part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<BTreeMap<String, u64>>,
}

/// Answer to a histogram request: consecutive buckets, empty ones included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistogramAnswer {
    /// Width of a bucket.
    pub interval_seconds: u64,
    /// The buckets, oldest first.
    pub buckets: Vec<Bucket>,
    /// Whether everything in the range was looked at.
    pub complete: bool,
    /// What the asker should know.
    pub warnings: Vec<Warning>,
}

/// A value and how many matching events have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueCount {
    /// The value as text.
    pub value: String,
    /// How many events have it.
    pub count: u64,
}

/// Answer to a facets request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FacetsAnswer {
    /// The most frequent values of each field, most frequent first.
    pub facets: BTreeMap<String, Vec<ValueCount>>,
    /// Whether everything in the range was looked at.
    pub complete: bool,
    /// What the asker should know.
    pub warnings: Vec<Warning>,
}

/// A field that occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldInfo {
    /// Its name.
    pub name: String,
    /// The kind of its values: `keyword`, `text`, `long`, `double`, `boolean`, `ip`, `date`, or
    /// `dynamic` for a field outside the catalogue.
    pub kind: &'static str,
    /// About how many events have it.
    pub count: u64,
}

/// Answer to "which fields are there", sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldsAnswer {
    /// The fields.
    pub fields: Vec<FieldInfo>,
    /// Whether these are all.
    pub complete: bool,
}

/// Answer to a completion request, most frequent first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompleteAnswer {
    /// Names or values that begin with what was typed. Counts are those of whole shards.
    pub suggestions: Vec<ValueCount>,
    /// Whether everything in the range was looked at.
    pub complete: bool,
}
