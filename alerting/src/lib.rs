//! Findings become alerts, alerts reach people, people act on them: one durable SQL store.
//!
//! [`Desk`] is the handle for everything. A batch of findings is applied in one transaction that
//! counts each finding id once, opens or counts alerts, writes their history and puts
//! notifications into a durable outbox; [`Desk::run_outbox`] delivers them at least once, each
//! under one idempotency key. [`People`] holds who may do what, and the audit log of what was
//! done.
//!
//! This crate does not detect, does not search, and knows no bus: findings are handed to it, and
//! when `apply` has returned they are safe. Duty rosters, escalation and suppression are not here
//! yet.
//!
//! Reading order: [`alert`] (what an alert is), `apply` (findings in), `act` (people's actions),
//! `outbox` (notifications out), `people`, `upkeep` (what is old leaves).

mod act;
pub mod alert;
mod apply;
pub mod channel;
pub mod config;
mod desk;
mod error;
mod identity;
mod ledger;
mod list;
mod metrics;
mod outbox;
pub mod people;
mod route;
mod secret;
mod store;
mod upkeep;

#[cfg(test)]
mod tests;

pub use act::BulkOutcome;
pub use alert::{Action, Actor, Alert, AlertPage, Entity, HistoryEntry, Next, State, Verdict};
pub use apply::Applied;
pub use channel::Kind;
pub use config::{ChannelConfig, Config, RouteConfig, Settings};
pub use desk::{ChannelSummary, Desk};
pub use error::Error;
pub use list::{Filter, LIST_MAX};
pub use outbox::{Delivery, Notification, NotificationFilter, NotificationPage};
pub use people::{People, Permission, Principal, Role};
