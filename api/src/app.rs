//! What is shared by all requests of one server.

use std::sync::Arc;

use keng_alerting::Desk;
use keng_indexer::Searcher;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Caller;
use crate::limits::{BACKTESTS_MAX, SEARCHES_MAX, TAILS_MAX};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::{Config, State};

/// The state of the node, and the bounds that requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) state: State,
    pub(crate) open_metrics: bool,
    pub(crate) metrics: Metrics,
    pub(crate) searches: Arc<Semaphore>,
    pub(crate) tails: Arc<Semaphore>,
    /// Rule checks: one at a time, because a text of some KiB can take a lot to compile.
    pub(crate) checks: Arc<Semaphore>,
    pub(crate) backtests: Arc<Semaphore>,
    /// Ends what would go on for ever.
    pub(crate) stop: CancellationToken,
}

impl App {
    pub(crate) fn new(state: State, config: &Config, stop: CancellationToken) -> Arc<Self> {
        let metrics = Metrics::new(&state.registry);
        Arc::new(Self {
            state,
            open_metrics: config.open_metrics,
            metrics,
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            tails: Arc::new(Semaphore::new(TAILS_MAX)),
            checks: Arc::new(Semaphore::new(1)),
            backtests: Arc::new(Semaphore::new(BACKTESTS_MAX)),
            stop,
        })
    }

    pub(crate) fn desk(&self) -> Result<&Desk, Problem> {
        self.state.desk.as_ref().ok_or_else(|| Problem::role_absent("alert"))
    }

    pub(crate) fn searcher(&self) -> Result<Searcher, Problem> {
        self.state.searcher.clone().ok_or_else(|| Problem::role_absent("index"))
    }

    /// Writes to the audit log what no other crate writes there. It comes before the deed: what
    /// cannot be recorded is not done.
    pub(crate) async fn audit(
        &self,
        caller: &Caller,
        action: &str,
        object: Option<&str>,
        detail: Option<&str>,
    ) -> Result<(), Problem> {
        Ok(self.state.people.audit(&caller.actor(), action, object, detail).await?)
    }

    /// The same for several things, each with an entry of its own.
    pub(crate) async fn audit_each(
        &self,
        caller: &Caller,
        action: &str,
        objects: &[String],
        detail: Option<&str>,
    ) -> Result<(), Problem> {
        Ok(self.state.people.audit_each(&caller.actor(), action, objects, detail).await?)
    }
}
