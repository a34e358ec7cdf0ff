//! Which bus the events take, and what is read back from it at the start.

use std::sync::Arc;

use anyhow::Context;
use keng_bus::{Bus, BusMetrics, Group, Metered, Topic, disk::DiskBus, kafka::KafkaBus};
use keng_config::BusKind;
use keng_event::Batch;
use keng_ingest::Intake;
use tokio_util::sync::CancellationToken;

use super::{Ground, Role};
use crate::codec::Codec;
use crate::stage::{Road, Stage};
use crate::stages::alert::AlertStage;
use crate::stages::index::IndexStage;
use crate::stages::rules::RulesStage;

/// Events at the end of the log in which idempotency keys are looked for at the start.
const REMEMBER_EVENTS: u64 = 200_000;

/// Bytes read at once while looking.
const REMEMBER_BYTES: usize = 4 << 20;

/// An open bus and the form of events on it.
pub(super) struct Opened {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) metered: Arc<Metered>,
    pub(super) codec: Codec,
    clock: Arc<dyn keng_event::Clock>,
}

/// Which groups must have read something before it may be deleted.
fn required(roles: &[Role]) -> Vec<(Topic, Group)> {
    fn group<S: Stage>() -> (Topic, Group) {
        (S::TOPIC, Group::from(S::NAME))
    }
    let of_role = |role: &Role| match role {
        Role::Rules => Some(group::<RulesStage>()),
        Role::Index => Some(group::<IndexStage>()),
        Role::Alert => Some(group::<AlertStage>()),
        Role::Ingest | Role::Api => None,
    };
    roles.iter().filter_map(of_role).collect()
}

/// Opens the bus that the settings name.
pub(super) async fn open(ground: &Ground, roles: &[Role]) -> anyhow::Result<Opened> {
    let settings = &ground.settings.bus;
    let clock = Arc::clone(&ground.clock);
    let now: keng_bus::Now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.now().as_millis())
    };
    let metrics = BusMetrics::new(&ground.registry);
    let (inner, codec): (Arc<dyn Bus>, Codec) = match settings.kind {
        BusKind::Memory => {
            let config = keng_bus::memory::Config::default();
            (Arc::new(keng_bus::memory::MemoryBus::new(&config, &now)), Codec::BatchBytes)
        }
        BusKind::Disk => {
            let dir = ground.place.data.join("bus");
            let bus = DiskBus::open(&dir, &settings.disk(required(roles)), &now, &metrics)
                .with_context(|| format!("opening the log in {}", dir.display()))?;
            (Arc::new(bus), Codec::BatchBytes)
        }
        BusKind::Kafka => {
            let config = settings.kafka().map_err(anyhow::Error::msg)?;
            let brokers = config.brokers.join(", ");
            let bus = KafkaBus::connect(&config, &now)
                .await
                .with_context(|| format!("connecting to Kafka at {brokers}"))?;
            (Arc::new(bus), Codec::Json)
        }
    };
    let metered = Arc::new(Metered::new(inner, metrics, now));
    Ok(Opened { bus: Arc::clone(&metered) as Arc<dyn Bus>, metered, codec, clock })
}

impl Opened {
    /// What a stage's loop needs.
    pub(super) fn road(&self, out: Topic, stop: &CancellationToken) -> Road {
        Road { bus: Arc::clone(&self.bus), clock: Arc::clone(&self.clock), out, stop: stop.clone() }
    }
}

/// Tells the intake which idempotency keys the end of the log holds, so that a sender who repeats
/// a request after a crash is told that it was taken. On Kafka a message is one event and holds
/// no key; there the window begins empty.
pub(super) async fn remember_keys(road: &Opened, intake: &Intake) -> anyhow::Result<()> {
    if road.codec != Codec::BatchBytes {
        return Ok(());
    }
    for bounds in road.bus.bounds(Topic::Events).await? {
        let partition = bounds.start.partition;
        let mut from = bounds.end.saturating_sub(REMEMBER_EVENTS).max(bounds.start.offset);
        loop {
            let records = road.bus.read(Topic::Events, partition, from, REMEMBER_BYTES).await?;
            let Some(last) = records.last() else { break };
            from = last.end().offset;
            for record in &records {
                // What is damaged is told by the stages that read it.
                let Ok(batch) = Batch::decode(&record.value) else { continue };
                if let Some(key) = batch.idempotency_key() {
                    intake.remember(key);
                }
            }
        }
    }
    Ok(())
}
