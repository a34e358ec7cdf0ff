//! The whole HTTP surface against real parts: an alert desk, an index and people on disk.

mod access;
mod backtest;
mod harness;
mod page;
mod parts;
mod rule_states;
mod stream;
mod transport;
