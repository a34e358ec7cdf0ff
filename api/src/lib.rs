//! HTTP: the routes of Keng, the built-in page, `/metrics`, and who may use which.
//!
//! Every route stands in one table ([`routes`]) with the permission that it needs; the same table
//! makes the router and the OpenAPI document. This crate holds no data of its own: it is handed
//! the handles of the other crates in a [`State`], whose parts are absent where a role does not
//! run on this node. It decides nothing about events, rules or alerts; who may do what is a table
//! of `alerting`'s, and a person's actions are commands to `alerting`'s desk.
//!
//! Reading order: [`routes`] (what there is), [`gate`] (who gets in), [`problem`] (what errors
//! look like), [`server`] (sockets), and then a module per group of routes.

mod access;
mod alerts;
mod app;
pub mod backtest;
mod config;
mod error;
mod events;
mod explain;
mod extract;
mod gate;
pub mod limits;
mod metrics;
mod openapi;
mod operations;
mod page;
mod peers;
mod people;
pub mod problem;
mod routes;
mod rule_states;
mod rules;
mod search;
mod server;
mod session;
mod sources;
mod stall;
mod state;
mod tail;
mod tls;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::Error;
pub use openapi::document as openapi_document;
pub use server::Server;
pub use state::{
    Component, CurrentRules, Reload, RuleStateChange, SetRuleState, State, StatesHoldFor,
};
