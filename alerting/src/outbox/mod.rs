//! Notifications out: a durable queue, and the loop that empties it.
//!
//! What is owed is written in the transaction that makes it owed (`owed`), so that no alert is
//! opened without its notification and none is told of that was not opened. The loop leases due
//! rows (`queue`), tries each once (`deliver`), and writes down what came of it together with the
//! next lease. A crash between the
//! receiver's yes and ours repeats the notification under the same idempotency key: at least
//! once, recognisably.

mod backoff;
mod deliver;
pub(crate) mod owed;
pub(crate) mod queue;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keng_event::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Kind};
use crate::desk::Shared;
use crate::error::Error;

pub(crate) use deliver::test_channel;
use queue::Leased;
pub(crate) use queue::notifications;

/// How often a channel looks for rows that have become due. New rows wake it at once.
const POLL: Duration = Duration::from_millis(500);

/// How often the gauges are read from the store.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// Gauge readings between two rounds of removing what is old.
const REMOVE_EVERY: u32 = 120;

/// A notification and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The idempotency key that every attempt carries.
    pub id: String,
    /// The alert that it is about.
    pub alert: String,
    /// Name of the channel.
    pub channel: String,
    /// What it tells.
    pub kind: Kind,
    /// Where it stands.
    pub state: Delivery,
    /// Attempts so far.
    pub attempts: u64,
    /// When it became owed.
    pub created_at: Timestamp,
    /// When it is next tried; absent once it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Why it was cancelled, or what the last attempt failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where a notification stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Waiting for its time.
    Pending,
    /// Being sent.
    Leased,
    /// The receiver took it.
    Accepted,
    /// It was no longer true before it could be sent.
    Cancelled,
    /// Given up.
    Dead,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Leased, Self::Accepted, Self::Cancelled, Self::Dead];

    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Accepted => "accepted",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

/// Which notifications to show, latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotificationFilter {
    /// About this alert.
    pub alert: Option<String>,
    /// Through this channel.
    pub channel: Option<String>,
    /// Standing here.
    pub state: Option<Delivery>,
    /// How many at most; [`crate::LIST_MAX`] bounds it.
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of notifications.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NotificationPage {
    /// Latest first.
    pub notifications: Vec<Notification>,
    /// Asks for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What the loop needs beside the store.
#[derive(Debug)]
pub(crate) struct Outbox {
    wake: watch::Sender<()>,
    random: Mutex<StdRng>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self::with_random(StdRng::from_os_rng())
    }

    /// With the given source of jitter.
    pub(crate) fn with_random(random: StdRng) -> Self {
        Self { wake: watch::Sender::new(()), random: Mutex::new(random) }
    }

    /// Says that there may be something new to send.
    pub(crate) fn wake(&self) {
        self.wake.send_replace(());
    }

    /// When to try again after the `attempts`-th attempt.
    fn delay(&self, attempts: u64, retry_after: Option<Duration>) -> Duration {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        backoff::delay(attempts, retry_after, &mut *random)
    }
}

/// Delivers until `stop`; attempts under way are finished first.
pub(crate) async fn run(shared: &Arc<Shared>, stop: CancellationToken) {
    while let Err(error) = queue::recover(shared).await {
        tracing::error!(%error, "could not take the outbox over from the last process, will try again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
        }
    }
    let mut channels = JoinSet::new();
    for channel in shared.channels.iter() {
        channels.spawn(run_channel(Arc::clone(shared), Arc::clone(channel), stop.clone()));
    }
    let mut round = 0u32;
    while !stop.is_cancelled() {
        if let Err(error) = keep_up(shared, round).await {
            tracing::error!(%error, "upkeep of the alert store failed, will try again");
        }
        round = round.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(GAUGES_EVERY) => {}
        }
    }
    while channels.join_next().await.is_some() {}
}

async fn keep_up(shared: &Arc<Shared>, round: u32) -> Result<(), Error> {
    crate::metrics::refresh(shared).await?;
    if round.is_multiple_of(REMOVE_EVERY) {
        crate::upkeep::round(shared).await?;
    }
    Ok(())
}

async fn run_channel(shared: Arc<Shared>, channel: Arc<Channel>, stop: CancellationToken) {
    let mut attempts = JoinSet::new();
    let mut attempted = Vec::new();
    let mut wake = shared.outbox.wake.subscribe();
    while !stop.is_cancelled() {
        while let Some(done) = attempts.try_join_next() {
            attempted.extend(done.ok());
        }
        let free = channel.concurrency.saturating_sub(attempts.len());
        let turn = deliver::turn(&shared, &channel, std::mem::take(&mut attempted), free).await;
        for row in note_trouble(&channel, turn) {
            let (shared, channel) = (Arc::clone(&shared), Arc::clone(&channel));
            attempts.spawn(async move { deliver::attempt(&shared, &channel, row).await });
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Some(done) = attempts.join_next() => attempted.extend(done.ok()),
            _ = wake.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    while let Some(done) = attempts.join_next().await {
        attempted.extend(done.ok());
    }
    note_trouble(&channel, deliver::turn(&shared, &channel, attempted, 0).await);
}

fn note_trouble(channel: &Channel, turn: Result<Vec<Leased>, Error>) -> Vec<Leased> {
    turn.unwrap_or_else(|error| {
        tracing::error!(
            channel = channel.name, %error,
            "could not use the outbox; what was sent and not written down is repeated under the same key",
        );
        Vec::new()
    })
}

/// One pass over all channels, one attempt after the other, until nothing is due.
#[cfg(test)]
pub(crate) async fn deliver_due(shared: &Shared) -> usize {
    let mut attempts = 0;
    for channel in shared.channels.iter() {
        let mut leased = deliver::turn(shared, channel, Vec::new(), 1).await.unwrap();
        while let Some(row) = leased.pop() {
            let attempted = deliver::attempt(shared, channel, row).await;
            attempts += 1;
            leased = deliver::turn(shared, channel, vec![attempted], 1).await.unwrap();
        }
    }
    attempts
}

#[cfg(test)]
mod tests;
