//! What has to be looked at every few seconds: sizes, lag, free disk, readiness.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keng_alerting::Desk;
use keng_api::Component;
use keng_bus::Metered;
use keng_metrics::{Gauge, GaugeFamily};
use tokio_util::sync::CancellationToken;

use super::{Parts, disk};

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Free disk below which the node says that it is in danger: a full log refuses input.
const DISK_LOW_BYTES: u64 = 1 << 30;

/// Who is looked after.
pub(super) struct Housekeeping {
    metered: Arc<Metered>,
    desk: Desk,
    data: PathBuf,
    disk_free: Gauge,
    ready: GaugeFamily,
    components: Components,
}

type Components = Arc<dyn Fn() -> Vec<Component> + Send + Sync>;

impl Parts {
    /// What the loop below needs. Registers the families of the node itself.
    pub(super) fn housekeeping(&self) -> Housekeeping {
        let registry = &self.ground.registry;
        let version = env!("CARGO_PKG_VERSION");
        let help = "Build information; value is always 1.";
        let build = registry.gauge_family("keng_build_info", help, &["version", "revision"]);
        build.with(&[version, option_env!("KENG_REVISION").unwrap_or("unknown")]).set(1.0);
        let help = "Unix time when this node became ready.";
        let start = registry.gauge("keng_start_time_seconds", help);
        start.set(self.ground.clock.now().as_seconds_f64());
        let help = "Free bytes of a data directory.";
        let disk_free = registry.gauge_family("keng_disk_free_bytes", help, &["path"]);
        let help = "1 if the component is ready, 0 otherwise.";
        Housekeeping {
            metered: Arc::clone(&self.road.metered),
            desk: self.desk.clone(),
            data: self.ground.place.data.clone(),
            disk_free: disk_free.with(&["data"]),
            ready: registry.gauge_family("keng_component_ready", help, &["component"]),
            components: components(self),
        }
    }
}

/// How the parts of the node stand. They are opened before anything is served, and a part that
/// fails for good ends the node; what remains to be seen is the disk, and whether the alert store
/// takes findings.
pub(super) fn components(parts: &Parts) -> Components {
    let (data, desk) = (parts.ground.place.data.clone(), parts.desk.clone());
    let mut names = vec!["bus", "rules", "alerting"];
    names.extend(parts.index.is_some().then_some("index"));
    names.extend(parts.ingest.is_some().then_some("ingest"));
    Arc::new(move || {
        let free = disk::free_bytes(&data);
        let low = free.is_some_and(|bytes| bytes < DISK_LOW_BYTES);
        let component = |name: &&'static str| {
            let detail = match *name {
                "bus" | "index" if low => Some("less than 1 GiB of disk is left".to_owned()),
                "alerting" => desk.trouble(),
                _ => None,
            };
            Component { name, ready: detail.is_none(), detail }
        };
        names.iter().map(component).collect()
    })
}

/// Looks again and again until `stop`.
pub(super) async fn run(house: Housekeeping, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = house.metered.refresh(&[]).await {
            tracing::warn!(%error, "measuring the bus");
        }
        if let Err(error) = house.desk.refresh_metrics().await {
            tracing::warn!(%error, "measuring the alert store");
        }
        if let Some(free) = disk::free_bytes(&house.data) {
            #[expect(clippy::cast_precision_loss, reason = "a metric needs no single bytes")]
            house.disk_free.set(free as f64);
        }
        for component in (house.components)() {
            house.ready.with(&[component.name]).set(f64::from(u8::from(component.ready)));
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
