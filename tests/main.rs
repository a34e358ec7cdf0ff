//! The one test binary across crates: the house, the road end to end, faults, and what is shipped.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "a test stops at what it did not expect, and owns its environment and its clock"
)]

mod architecture;
mod backtest;
mod browser;
mod cli;
mod crash;
mod end_to_end;
mod kafka;
mod log_sources;
mod prometheus;
mod reload;
mod search;
mod sigma;
mod support;
mod tidy;
