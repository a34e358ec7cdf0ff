//! Ways out: what a notification is, and the channels that carry one to people and programs.
//!
//! A channel makes one attempt and says how it went. When to try, how often, and whether at all
//! is the outbox's matter.

mod mail;
mod message;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keng_event::{RuleRef, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, State};
use crate::config::{ChannelConfig, Config};
use crate::error::Error;
use mail::Mail;
use webhook::Webhook;

/// What a notification tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// There is a new alert, or a closed one was opened again.
    #[serde(rename = "alert.opened")]
    Opened,
    /// It goes on counting.
    #[serde(rename = "alert.updated")]
    Updated,
    /// Somebody took it.
    #[serde(rename = "alert.acknowledged")]
    Acknowledged,
    /// It is done with.
    #[serde(rename = "alert.closed")]
    Closed,
    /// Somebody tries whether the channel works.
    #[serde(rename = "test")]
    Test,
}

impl Kind {
    /// What a route can ask for.
    pub const ROUTED: [Self; 4] = [Self::Opened, Self::Updated, Self::Acknowledged, Self::Closed];

    /// The word in JSON, in the configuration and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "alert.opened",
            Self::Updated => "alert.updated",
            Self::Acknowledged => "alert.acknowledged",
            Self::Closed => "alert.closed",
            Self::Test => "test",
        }
    }

    /// The kind of that name, among those that an outbox holds.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ROUTED.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether it is still true of an alert in this state.
    pub(crate) fn still_holds(self, state: State) -> bool {
        match self {
            Self::Opened => state == State::Open,
            Self::Updated => state != State::Closed,
            Self::Acknowledged => state == State::Acknowledged,
            Self::Closed => state == State::Closed,
            Self::Test => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A notification to be sent.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// The same on every attempt.
    pub(crate) idempotency_key: &'a str,
    pub(crate) kind: Kind,
    pub(crate) alert: &'a Alert,
    /// Where people reach Keng.
    pub(crate) base_url: &'a str,
    /// The time of this attempt.
    pub(crate) now: Timestamp,
}

impl Envelope<'_> {
    /// Where a person opens the alert.
    pub(crate) fn url(&self) -> String {
        format!("{}/#/alerts/{}", self.base_url.trim_end_matches('/'), self.alert.id)
    }
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Label of `keng_notification_attempt_failures_total`.
    pub(crate) reason: &'static str,
    /// Whether the same thing sent again will hardly do better.
    pub(crate) permanent: bool,
    /// When the receiver wants to hear from us again.
    pub(crate) retry_after: Option<Duration>,
    /// In words; holds no secret.
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn temporary(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, permanent: false, retry_after: None, detail: detail.into() }
    }

    pub(crate) fn permanent(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, permanent: true, retry_after: None, detail: detail.into() }
    }

    /// What is to be sent cannot be put into its form.
    pub(crate) fn template(detail: impl Into<String>) -> Self {
        Self::permanent("template", detail)
    }
}

/// A configured channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) concurrency: usize,
    timeout: Duration,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Webhook(Webhook),
    Mail(Mail),
}

/// A mail dialogue has several commands, each with its own limit; in all it gets this many times
/// the limit of one.
const COMMANDS: u32 = 3;

impl Channel {
    fn build(config: &ChannelConfig, zone: &jiff::tz::TimeZone) -> Result<Self, String> {
        let transport = match config {
            ChannelConfig::Webhook(webhook) => Transport::Webhook(Webhook::build(webhook)?),
            ChannelConfig::Smtp(smtp) => Transport::Mail(Mail::build(smtp, zone.clone())?),
        };
        Ok(Self {
            name: config.name().to_owned(),
            concurrency: config.concurrency(),
            timeout: config.timeout(),
            transport,
        })
    }

    /// `webhook` or `smtp`.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.transport {
            Transport::Webhook(_) => "webhook",
            Transport::Mail(_) => "smtp",
        }
    }

    /// Longest time that [`Channel::send`] takes.
    pub(crate) const fn attempt_timeout(&self) -> Duration {
        self.timeout.saturating_mul(COMMANDS)
    }

    /// One attempt.
    pub(crate) async fn send(&self, envelope: &Envelope<'_>) -> Result<(), Failure> {
        let sending = async {
            match &self.transport {
                Transport::Webhook(webhook) => webhook.send(envelope).await,
                Transport::Mail(mail) => mail.send(envelope).await,
            }
        };
        tokio::time::timeout(self.attempt_timeout(), sending)
            .await
            .unwrap_or_else(|_| Err(Failure::temporary("timeout", "no answer in time")))
    }
}

/// All configured channels, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Channels(Vec<Arc<Channel>>);

impl Channels {
    /// Reads the secrets and makes the clients.
    pub(crate) fn build(config: &Config) -> Result<Self, Error> {
        install_crypto_provider();
        let zone = jiff::tz::TimeZone::get(&config.alerting.time_zone)
            .map_err(|error| Error::Settings(vec![error.to_string()]))?;
        let (mut channels, mut problems) = (Vec::new(), Vec::new());
        for channel in &config.channel {
            match Channel::build(channel, &zone) {
                Ok(channel) => channels.push(Arc::new(channel)),
                Err(why) => problems.push(format!("channel '{}': {why}", channel.name())),
            }
        }
        if problems.is_empty() { Ok(Self(channels)) } else { Err(Error::Settings(problems)) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.0.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Channel>> {
        self.0.iter().find(|channel| channel.name == name)
    }
}

/// The TLS of both clients takes the process's provider; without one it would panic. That
/// another part of the process was first is fine: there is one provider in the whole tree.
fn install_crypto_provider() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS crypto provider was installed already");
    }
}

/// Whether TLS failed, as opposed to the network under it. Both clients wrap its error in several
/// `io::Error`s, whose inner error is not their `source`.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || inner.is_some_and(|inner| is_tls(inner))
        || error.source().is_some_and(is_tls)
}

/// A file with a certificate authority.
fn read_ca(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("could not read {}: {error}", path.display()))
}

/// What a test notification is about.
pub(crate) fn sample_alert(channel: &str, now: Timestamp) -> Alert {
    let title = format!("Test of the channel {channel}");
    Alert {
        id: "test".to_owned(),
        rule: RuleRef {
            id: "keng-channel-test".to_owned(),
            title: title.clone(),
            level: Severity::Informational,
            tags: Vec::new(),
            description: Some("Somebody tries whether this channel works.".to_owned()),
            runbook: None,
            false_positives: Vec::new(),
        },
        severity: Severity::Informational,
        state: State::Open,
        test: false,
        verdict: None,
        title,
        group: BTreeMap::new(),
        count: 1,
        first_at: now,
        last_at: now,
        opened_at: now,
        acknowledged_at: None,
        closed_at: None,
        assignee: None,
        entities: Vec::new(),
        events: Vec::new(),
        history: Vec::new(),
        next: None,
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json() {
        for kind in [Kind::Test].into_iter().chain(Kind::ROUTED) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn what_is_no_longer_true_does_not_hold() {
        assert!(Kind::Opened.still_holds(State::Open));
        for state in [State::Acknowledged, State::Snoozed, State::Closed] {
            assert!(!Kind::Opened.still_holds(state), "{state}");
        }
        assert!(!Kind::Closed.still_holds(State::Open));
    }
}
