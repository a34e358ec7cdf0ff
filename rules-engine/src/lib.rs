//! Detection: event batches in, findings out.
//!
//! Rules are Sigma 2.1, with additions under one `keng:` key. [`load()`] reads them, binds the
//! field names they speak to ours ([`keng_event::Dataset`]) and refuses, with file, line, reason
//! and hint, what cannot be honoured. [`Engine`] evaluates batches, keeps the state of correlation
//! rules in bounded memory on event time, and gives it out as a snapshot. [`Evaluator`] answers
//! the narrower question which detection rules one event matches.
//!
//! This crate is synchronous and pure: it knows no clock, no bus, no network, and reads files
//! only in [`load()`] and [`Config::load`]. Time comes with the batches and through
//! [`Engine::advance`].
//!
//! Reading order: `sigma/` (text to syntax), `lists/` (sets that rules look into), `assemble.rs`
//! (filters, pipelines and lists brought to the rules), `compile/` (syntax to plans), `evaluate/`
//! (plans against events), `hit.rs` (by several threads), `state/` (events over time), `sink.rs`
//! (what becomes of matches), `engine.rs` (all of it together), `warm.rs` (state from history).

mod assemble;
mod compile;
mod config;
mod cost;
mod engine;
mod error;
mod evaluate;
mod evaluator;
mod explain;
mod finding;
mod hit;
pub mod limits;
mod lists;
mod load;
mod metrics;
mod necessary;
mod parallel;
mod problem;
mod route;
mod rule_set;
mod rule_state;
mod served;
mod sigma;
mod sink;
mod state;
mod test_case;
#[cfg(test)]
mod tests;
mod text;
mod warm;

pub use config::Config;
pub use cost::RuleActivity;
pub use engine::{Checkpoint, Engine};
pub use error::Error;
pub use evaluator::{Evaluator, Match};
pub use explain::{Excepted, Explanation, Part, Verdict};
pub use load::{Loaded, is_rule_file, load, load_text};
pub use metrics::Metrics;
pub use necessary::{Necessary, Need};
pub use problem::{Problem, Warning};
pub use route::LogSourceFilter;
pub use rule_set::{Prints, RuleSet, RuleSummary};
pub use rule_state::{Decided, Decision, RuleState, RuleStates};
pub use served::feeding;
pub use sigma::exception::Exception;
pub use test_case::{Expectation, RuleTest, TestEvent};
pub use warm::Correlating;
