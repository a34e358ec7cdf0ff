//! What the configuration says about senders, found by address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;

use crate::{Config, Error};

/// After how much silence a source is missed if it says nothing else: long enough for a quiet
/// switch, short enough to notice before the shift ends.
const SILENT_AFTER: Duration = Duration::from_secs(60 * 60);

/// What holds for one sender.
#[derive(Debug)]
pub(crate) struct SourceSettings {
    /// What people call it.
    pub(crate) name: Option<Arc<str>>,
    /// The zone of its stamps.
    pub(crate) zone: TimeZone,
    /// After how much silence it is missed.
    pub(crate) silent_after: Duration,
}

/// One source of the configuration.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) networks: String,
    pub(crate) silent_after: Duration,
}

/// The settings of all senders.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The narrowest network first.
    networks: Vec<(IpNet, Arc<SourceSettings>)>,
    default: Arc<SourceSettings>,
    named: Vec<Named>,
}

impl Settings {
    /// # Errors
    /// When a time zone is unknown.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let default = zone(&config.time_zone)?;
        let mut networks = Vec::new();
        let mut named = Vec::new();
        for source in &config.source {
            let silent_after = source.silent_after.map_or(SILENT_AFTER, |span| span.duration());
            let name: Arc<str> = source.name.as_str().into();
            let settings = Arc::new(SourceSettings {
                name: Some(Arc::clone(&name)),
                zone: source.time_zone.as_deref().map_or(Ok(default.clone()), zone)?,
                silent_after,
            });
            networks.extend(source.networks.iter().map(|net| (*net, Arc::clone(&settings))));
            let list: Vec<_> = source.networks.iter().map(ToString::to_string).collect();
            named.push(Named { name, networks: list.join(", "), silent_after });
        }
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        let default = SourceSettings { name: None, zone: default, silent_after: SILENT_AFTER };
        Ok(Self { networks, default: Arc::new(default), named })
    }

    /// What holds for a sender; the default for one without an address.
    pub(crate) fn of(&self, ip: Option<IpAddr>) -> Arc<SourceSettings> {
        let ip = ip.map(|ip| ip.to_canonical());
        let found = ip.and_then(|ip| self.networks.iter().find(|(net, _)| net.contains(&ip)));
        Arc::clone(found.map_or(&self.default, |(_, settings)| settings))
    }

    /// The sources that the configuration names.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Named> {
        self.named.iter()
    }
}

fn zone(name: &str) -> Result<TimeZone, Error> {
    TimeZone::get(name).map_err(|error| Error::Config {
        setting: "time_zone",
        reason: format!("'{name}' is no time zone ({error}): write one like Asia/Ho_Chi_Minh"),
    })
}
