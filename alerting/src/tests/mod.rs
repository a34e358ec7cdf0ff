//! Tests across the modules of this crate, and what they share: a desk in a directory of its
//! own, findings, and a real HTTP receiver.

mod crash;
mod metrics;
mod model;
mod people;
pub(crate) mod receiver;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;

use keng_event::{
    EventId, Finding, FindingId, FindingKind, ManualClock, RuleRef, Severity, Timestamp,
};
use keng_metrics::Registry;
use tempfile::TempDir;

use crate::alert::Actor;
use crate::config::Config;
use crate::desk::Desk;

/// When the tests take place: 2026-11-22T10:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_341_600);

/// A desk on a clock that stands still.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
    pub(crate) desk: Desk,
    config: Config,
}

impl Fixture {
    /// With a configuration in TOML.
    pub(crate) async fn new(config: &str) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), toml::from_str(config).unwrap(), NOW).await
    }

    async fn in_dir(dir: TempDir, config: Config, now: Timestamp) -> Self {
        let (clock, registry) = (Arc::new(ManualClock::at(now)), Registry::new());
        let clock_too: Arc<ManualClock> = Arc::clone(&clock);
        let desk = Desk::open(dir.path(), config.clone(), clock_too, &registry).await.unwrap();
        Self { dir, clock, registry, desk, config }
    }

    /// The next process on the same directory.
    pub(crate) async fn restart(self) -> Self {
        use keng_event::Clock as _;
        let Self { dir, clock, config, desk, .. } = self;
        drop(desk);
        Self::in_dir(dir, config, clock.now()).await
    }

    /// Remembers only so many finding ids.
    pub(crate) fn remember_only(&mut self, kept: i64) {
        Arc::get_mut(&mut self.desk.shared).unwrap().findings_kept = kept;
    }

    /// What the next [`Fixture::restart`] finds as its configuration.
    pub(crate) fn set_config(&mut self, config: &str) {
        self.config = toml::from_str(config).unwrap();
    }

    /// Sends everything that is due, one attempt after the other.
    pub(crate) async fn deliver(&self) -> usize {
        crate::outbox::deliver_due(&self.desk.shared).await
    }

    /// The value of a series in the rendered metrics.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = self.registry.render();
        let line = text
            .lines()
            .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

pub(crate) fn analyst() -> Actor {
    Actor { name: "lan".to_owned(), address: "192.0.2.10".parse().ok() }
}

/// What rule `rule` found about `ip` when event `offset` came.
pub(crate) fn finding(rule: &str, ip: &str, offset: u64) -> Finding {
    let origin = EventId { epoch: 0xfeed, partition: 0, offset };
    let at = NOW.plus(std::time::Duration::from_secs(offset));
    let event = format!(
        r#"{{"event":{{"id":"{origin}","original":"Failed password from {ip}"}},"source":{{"ip":"{ip}"}},"user":{{"name":"root"}}}}"#
    );
    Finding {
        id: FindingId::derive(rule, origin),
        rule: RuleRef {
            id: rule.to_owned(),
            title: format!("Đăng nhập thất bại ({rule})"),
            level: Severity::High,
            tags: vec!["attack.t1110".to_owned()],
            description: None,
            runbook: None,
            false_positives: Vec::new(),
        }
        .into(),
        kind: FindingKind::Detection,
        at,
        received: NOW,
        origin,
        group: BTreeMap::from([("source.ip".to_owned(), ip.to_owned())]),
        events: vec![serde_json::from_str(&event).unwrap()],
        count: 1,
        truncated: false,
        test: false,
    }
}
