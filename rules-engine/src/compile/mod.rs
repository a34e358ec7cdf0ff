//! Syntax to plans: what is decided once per rule set instead of once per event.
//!
//! Every field name and every test occurs once ([`fields`], [`atoms`]); every rule gets a
//! necessary condition that an index can look up ([`witness`]); every combination of log sources
//! gets a plan with the rules that apply to it ([`plan`]).

pub(crate) mod atoms;
pub(crate) mod correlations;
pub(crate) mod fields;
pub(crate) mod order;
pub(crate) mod plan;
pub(crate) mod witness;
