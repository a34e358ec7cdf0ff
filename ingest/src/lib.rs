//! The outside world → event batches on the bus.
//!
//! Two halves. The pure one turns raw bytes into events and does no I/O: [`parse`] is its door,
//! behind it stand the syslog scanner, the time rules, the datasets and the flow decoder. The
//! running one opens sockets, frames what arrives, collects it into batches and appends those to
//! the bus: [`start`] is its door, [`Intake`] and [`Sources`] are the handles it gives out.
//!
//! Nothing that was received is dropped in silence: it becomes an event (tagged where it is
//! defective), or it is refused in a way that the sender sees, or it is counted by reason. This
//! crate knows neither what detects nor what indexes, and picks no codec: the caller hands it
//! [`Encode`].

pub mod dataset;
mod flow;
pub mod parse;
mod syslog;
mod time;

mod appender;
mod batcher;
mod budget;
mod config;
mod error;
mod frame;
mod intake;
mod listen;
mod metrics;
mod run;
mod source;

pub use config::{Config, FlowConfig, HttpConfig, SourceConfig, SyslogConfig, Transport};
pub use error::Error;
pub use intake::{ContentEncoding, ContentKind, Intake, Malformed, Receipt, Refused, Submission};
pub use run::{Encode, Ingest, LocalAddress, start};
pub use source::{SOURCES_MAX, SourceState, SourceStatus, Sources};
