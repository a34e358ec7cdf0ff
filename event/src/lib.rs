//! The words that everyone in Keng shares: event, batch, field, finding, severity, time, id.
//!
//! An event is parsed once, at ingest, into a flat [`Batch`]; every later stage borrows
//! [`EventRef`]s from it. Names are those of the Elastic Common Schema 9. This crate does no
//! I/O, knows no transport, and holds no state.
//!
//! Reading order: [`batch`] (what an event is in memory and on disk), [`field`] (what its fields
//! are called and which type they have), [`json`] (the same event as ECS JSON), [`finding`] (what
//! detection says about it).

pub mod batch;
pub mod builder;
pub mod dataset;
pub mod decode;
pub mod field;
pub mod finding;
pub mod hash;
pub mod id;
pub mod json;
pub mod limits;
pub mod severity;
pub mod spelling;
pub mod time;
pub mod unit;
pub mod value;

pub use batch::{Batch, EventRef, FieldIndex};
pub use builder::{BatchBuilder, EventBuilder};
pub use dataset::{Dataset, LogSource};
pub use decode::DecodeError;
pub use field::{Field, Kind};
pub use finding::{Finding, FindingKind, RuleRef};
pub use id::{EventId, FindingId, FindingIds};
pub use json::{JsonError, JsonReader, JsonWriter, read_event};
pub use severity::Severity;
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use unit::{ByteSize, Span, UnitError};
pub use value::Value;
