//! The handle to everything: what the stage loop, the HTTP interface and the command line call.
//!
//! It only holds the parts together; what the calls do is in the modules that it delegates to.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use keng_event::{Clock, Finding};
use keng_metrics::Registry;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::act::{self, BulkOutcome};
use crate::alert::{Action, Actor, Alert, AlertPage};
use crate::apply::{self, Applied};
use crate::channel::Channels;
use crate::config::Config;
use crate::error::Error;
use crate::ledger;
use crate::list::{self, Filter};
use crate::metrics::Metrics;
use crate::outbox::{self, NotificationFilter, NotificationPage, Outbox};
use crate::people::People;
use crate::route::Routes;
use crate::store::{Fault, Store};

/// Alerts and their delivery. Clones share everything.
#[derive(Clone, Debug)]
pub struct Desk {
    pub(crate) shared: Arc<Shared>,
}

/// The parts that the modules of this crate work on.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How many applied finding ids are remembered; only tests change it.
    pub(crate) findings_kept: i64,
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) routes: Arc<Routes>,
    pub(crate) channels: Channels,
    pub(crate) outbox: Outbox,
    pub(crate) people: People,
    /// Why the last findings could not be stored; nothing if they were.
    trouble: Mutex<Option<String>>,
}

/// A configured way to reach people or programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelSummary {
    /// Its name in routes and metrics.
    pub name: String,
    /// `webhook` or `smtp`.
    pub kind: &'static str,
}

impl Desk {
    /// Opens the store in `dir`, which it makes if there is none, and reads every secret that
    /// `config` names. Several processes may have a store open, such as the node and a command
    /// line that adds a user.
    ///
    /// # Errors
    /// [`Error::Settings`] with every problem of `config`; [`Error::TooNew`] for the store of a
    /// newer Keng; [`Error::Store`] and [`Error::File`] when the disk refuses.
    pub async fn open(
        dir: &Path,
        config: Config,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        let metrics = Metrics::register(registry);
        let channels = Channels::build(&config)?;
        let store = Store::open(dir, Arc::clone(&clock), metrics.transactions.clone()).await?;
        let routes = Arc::new(Routes::new(&config));
        let people = People::open(
            dir,
            store.clone(),
            Arc::clone(&clock),
            &metrics,
            Arc::clone(&routes),
            config.alerting.session_lifetime.duration(),
        )?;
        let outbox = Outbox::new();
        let shared = Shared {
            findings_kept: ledger::FINDINGS_KEPT,
            config,
            store,
            clock,
            metrics,
            routes,
            channels,
            outbox,
            people,
            trouble: Mutex::new(None),
        };
        let desk = Self { shared: Arc::new(shared) };
        desk.refresh_metrics().await?;
        Ok(desk)
    }

    /// Applies findings in one transaction. Each finding id counts once, however often and in
    /// whatever order it comes; after `Ok` the effect survives a crash, after `Err` the same
    /// findings may be applied again. A finding that the store will never take is set aside,
    /// logged and counted, and holds up no other.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot write at the moment; [`Desk::trouble`] says so until
    /// findings were applied again.
    pub async fn apply(&self, findings: &[Finding]) -> Result<Applied, Error> {
        let applied = apply::apply(&self.shared, findings).await;
        self.note_trouble(applied.as_ref().err());
        let applied = applied?;
        if applied.notifications > 0 {
            self.shared.outbox.wake();
        }
        Ok(applied)
    }

    /// Counts findings that were left out because their rule is off, so that they are not gone in
    /// silence. What is off is the caller's to know.
    pub fn count_off(&self, findings: u64) {
        self.shared.metrics.suppressed.with(&["off"]).inc_by(findings);
    }

    fn note_trouble(&self, error: Option<&Error>) {
        if let Some(error) = error {
            let reason = match Fault::of(error) {
                Fault::Store(reason) => reason,
                Fault::Content => "other",
            };
            self.shared.metrics.store_errors.with(&["apply", reason]).inc();
        }
        let mut trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = error.map(ToString::to_string);
    }

    /// Why the last findings could not be stored and wait to be tried again; `None` while all is
    /// well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A page of alerts without their events and history, latest opened first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is none of ours; [`Error::Store`].
    pub async fn list(&self, filter: &Filter) -> Result<AlertPage, Error> {
        list::list(&self.shared, filter).await
    }

    /// One alert with its events and history.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Store`].
    pub async fn get(&self, id: &str) -> Result<Alert, Error> {
        list::get(&self.shared, id).await
    }

    /// Does `action` to an alert, writes history and audit log, and tells the channels that heard
    /// of the alert; all or nothing. With `expected_version` the action is refused when the alert
    /// has changed since. Who may do it is for the caller to ask beforehand.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::NotNow`], [`Error::Invalid`],
    /// [`Error::Store`].
    pub async fn act(
        &self,
        id: &str,
        action: &Action,
        actor: &Actor,
        expected_version: Option<u64>,
    ) -> Result<Alert, Error> {
        act::act(&self.shared, id, action, actor, expected_version).await?;
        self.shared.outbox.wake();
        self.get(id).await
    }

    /// Does `action` to each of at most [`crate::LIST_MAX`] alerts on its own; what fails for one
    /// does not touch the others.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many ids.
    pub async fn bulk(
        &self,
        ids: &[String],
        action: &Action,
        actor: &Actor,
    ) -> Result<Vec<BulkOutcome>, Error> {
        let outcomes = act::bulk(&self.shared, ids, action, actor).await?;
        self.shared.outbox.wake();
        Ok(outcomes)
    }

    /// A page of notifications, latest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is none of ours; [`Error::Store`].
    pub async fn notifications(
        &self,
        filter: &NotificationFilter,
    ) -> Result<NotificationPage, Error> {
        outbox::notifications(&self.shared, filter).await
    }

    /// The configured channels, in the order of the configuration.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelSummary> {
        let summary = |channel: &crate::channel::Channel| ChannelSummary {
            name: channel.name.clone(),
            kind: channel.kind(),
        };
        self.shared.channels.iter().map(|channel| summary(channel.as_ref())).collect()
    }

    /// Sends a test notification through a channel, at once and once.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown channel; [`Error::Delivery`] when it was not accepted.
    pub async fn test_channel(&self, name: &str, actor: &Actor) -> Result<(), Error> {
        outbox::test_channel(&self.shared, name, actor).await
    }

    /// Delivers what is in the outbox until `stop`; attempts under way are finished first.
    /// Notifications that were being sent when the last process ended are due at once. Also keeps
    /// the gauges current and removes what is old. Runs once per store: in one process, once.
    pub async fn run_outbox(&self, stop: CancellationToken) {
        outbox::run(&self.shared, stop).await;
    }

    /// Reads the gauges from the store.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn refresh_metrics(&self) -> Result<(), Error> {
        crate::metrics::refresh(&self.shared).await
    }

    /// People, roles, tokens, sessions, audit log.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.shared.people
    }
}
