//! Bounds on one event and one batch, each with its reason. Whoever reads input checks them
//! before allocating.

/// Largest raw record in bytes; longer ones are cut and tagged `truncated`.
///
/// Windows script blocks and Kubernetes audit records reach some hundred KiB; what is larger is
/// a file, not a log line.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting of a JSON event. Deeper values are kept in `event.original` only.
pub const JSON_DEPTH_MAX: usize = 64;

/// Most fields in one event (a multi-valued field counts once per value).
pub const EVENT_FIELDS_MAX: usize = 1024;

/// Longest field name in bytes.
pub const FIELD_NAME_BYTES_MAX: usize = 512;

/// Most distinct field names in one batch (the local dictionary is indexed by `u16`).
pub const BATCH_FIELDS_MAX: usize = 16 * 1024;

/// Most events in one batch.
pub const BATCH_EVENTS_MAX: usize = 64 * 1024;

/// Largest encoded batch in bytes. It must fit the largest message of the bus (8 MiB).
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
