//! The composition root of `keng run`: opens every part that this node's roles need, in the order
//! of the road, and closes them in the same order.
//!
//! Start: bus, alert desk, index, rules, stages, intake, HTTP. Stop: intake, then the stages that
//! read events until the log is quiet, then the desk, then HTTP.

pub(crate) mod disk;
mod housekeeping;
mod road;
mod rules;
mod sign;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use keng_alerting::Desk;
use keng_api::{CurrentRules, Reload, SetRuleState, State, StatesHoldFor};
use keng_bus::Topic;
use keng_config::Settings;
use keng_event::{Batch, Clock, SystemClock};
use keng_indexer::Index;
use keng_ingest::Ingest;
use keng_metrics::{CounterFamily, Registry};
use keng_rules_engine::Engine;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::codec;
use crate::stage;
use crate::stages::alert::AlertStage;
use crate::stages::index::IndexStage;
use crate::stages::rules::RulesStage;

/// Batches that a live tail may fall behind before it has to read from the index.
const TAIL_BATCHES: usize = 64;

/// How long an orderly stop may take. What was not finished by then is not durable yet and comes
/// again at the next start.
const STOP_MAX: Duration = Duration::from_secs(60);

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Takes events in.
    Ingest,
    /// Recognises attacks.
    Rules,
    /// Keeps events searchable.
    Index,
    /// Opens and delivers alerts.
    Alert,
    /// Answers over HTTP.
    Api,
}

impl Role {
    /// All of them: one node alone.
    pub(crate) const ALL: [Self; 5] =
        [Self::Ingest, Self::Rules, Self::Index, Self::Alert, Self::Api];
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingest => "ingest",
            Self::Rules => "rules",
            Self::Index => "index",
            Self::Alert => "alert",
            Self::Api => "api",
        })
    }
}

/// Where a node has its files.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The configuration file, if one was named.
    pub(crate) config: Option<PathBuf>,
    /// Everything that the node stores.
    pub(crate) data: PathBuf,
}

/// What every part is handed.
#[derive(Clone)]
struct Ground {
    settings: Arc<Settings>,
    place: Place,
    registry: Registry,
    clock: Arc<dyn Clock>,
}

/// The parts of a running node.
struct Parts {
    ground: Ground,
    road: road::Opened,
    desk: Desk,
    index: Option<Index>,
    rules: watch::Sender<CurrentRules>,
    /// The generation of rules that the rules stage evaluates.
    rules_in_force: watch::Sender<u64>,
    reload: Reload,
    /// Absent where states would hold for nothing.
    set_rule_state: Option<SetRuleState>,
    states_hold_for: StatesHoldFor,
    tail: broadcast::Sender<Arc<Batch>>,
    ingest: Option<Ingest>,
    undecodable: CounterFamily,
}

/// Runs a node until `stop` is cancelled or a part fails for good.
///
/// # Errors
/// When a part cannot be opened, or fails while the node runs.
pub(crate) async fn run(
    settings: Settings,
    place: Place,
    roles: &[Role],
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let has = |role| roles.contains(&role);
    disk::make_private(&place.data)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let registry = Registry::new();
    let ground = Ground { settings: Arc::new(settings), place, registry, clock };
    let mut parts = open(&ground, roles).await?;

    let reading = CancellationToken::new();
    let mut stages = JoinSet::new();
    if has(Role::Rules) {
        let stage = parts.rules_stage()?;
        stages.spawn(stage::run(stage, parts.road.road(Topic::Findings, &reading)));
    }
    if let Some(index) = parts.index.clone() {
        let codec = parts.road.codec;
        let unread = parts.undecodable.with(&["index"]);
        let (clock, tail) = (Arc::clone(&ground.clock), parts.tail.clone());
        let stage = IndexStage::new(index, codec, unread, clock, tail)?;
        stages.spawn(stage::run(stage, parts.road.road(Topic::Findings, &reading)));
    }
    let calling = CancellationToken::new();
    let mut desk = JoinSet::new();
    if has(Role::Alert) {
        let stage = AlertStage::new(
            parts.desk.clone(),
            tokio::runtime::Handle::current(),
            parts.undecodable.with(&["alerting"]),
            parts.rules.subscribe(),
        );
        desk.spawn(stage::run(stage, parts.road.road(Topic::Findings, &calling)));
        desk.spawn(deliver(parts.desk.clone(), calling.clone()));
    }
    if has(Role::Ingest) {
        parts.ingest = Some(parts.start_ingest().await?);
    }
    let serving = CancellationToken::new();
    let mut http = JoinSet::new();
    let address = if has(Role::Api) { Some(parts.serve(&mut http, &serving).await?) } else { None };
    let kept = tokio::spawn(housekeeping::run(parts.housekeeping(), serving.clone()));
    let changes = rules::reload_on_new_lists(Arc::clone(&parts.reload), parts.rules.subscribe());
    let hangups = rules::reload_on_hangup(Arc::clone(&parts.reload));
    let reloads = tokio::spawn(async { tokio::join!(hangups, changes) });
    sign::put_up(&parts, address.as_deref()).await?;

    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = stages.join_next(), if !stages.is_empty() => too_early(ended),
        ended = desk.join_next(), if !desk.is_empty() => too_early(ended),
        ended = http.join_next(), if !http.is_empty() => too_early(ended),
        () = refused_for_good(parts.ingest.as_ref()) => Err(anyhow::anyhow!("the log refuses events for good")),
    };
    tracing::info!("stopping: intake, then what is in flight");
    sign::take_down(&ground.place);
    if let Some(ingest) = parts.ingest.take() {
        ingest.drain().await;
    }
    let rest = async {
        reading.cancel();
        let drained = wait_for(&mut stages).await;
        calling.cancel();
        let called = wait_for(&mut desk).await;
        serving.cancel();
        let served = wait_for(&mut http).await;
        kept.abort();
        reloads.abort();
        parts.road.bus.close().await.context("closing the bus")?;
        drained.and(called).and(served)
    };
    let stopped = tokio::time::timeout(STOP_MAX, rest).await;
    ended.and(stopped.context("stopping took too long; the rest comes again at the next start")?)
}

async fn open(ground: &Ground, roles: &[Role]) -> anyhow::Result<Parts> {
    let Ground { settings, place, registry, clock } = ground;
    let road = road::open(ground, roles).await?;
    let desk = Desk::open(&place.data, settings.alerting(), Arc::clone(clock), registry)
        .await
        .context("opening the alert desk")?;
    let index = roles
        .contains(&Role::Index)
        .then(|| {
            let dir = place.data.join("index");
            let datasets = keng_ingest::dataset::all();
            Index::open(&dir, settings.index.clone(), datasets, registry)
        })
        .transpose()
        .context("opening the index")?;
    let (rules, _) = watch::channel(rules::load(ground));
    let (rules_in_force, in_force) = watch::channel(0);
    let (evaluates, alerts) = (roles.contains(&Role::Rules), roles.contains(&Role::Alert));
    let changes = rules::Changes::new(ground, &rules, evaluates.then_some(in_force));
    let states_hold_for = match (alerts, evaluates) {
        (true, _) => StatesHoldFor::Alerts,
        (false, true) => StatesHoldFor::OwnFindings,
        (false, false) => StatesHoldFor::Nothing,
    };
    let set_rule_state = (alerts || evaluates).then(|| changes.set_rule_state());
    let (tail, _) = broadcast::channel(TAIL_BATCHES);
    let undecodable = codec::undecodable(registry);
    Ok(Parts {
        ground: ground.clone(),
        road,
        desk,
        index,
        rules,
        rules_in_force,
        reload: changes.reload(),
        set_rule_state,
        states_hold_for,
        tail,
        ingest: None,
        undecodable,
    })
}

/// Resolves when the log took its last event; never on a node that takes none.
async fn refused_for_good(ingest: Option<&Ingest>) {
    match ingest {
        Some(ingest) => ingest.failed().await,
        None => std::future::pending().await,
    }
}

async fn deliver(desk: Desk, stop: CancellationToken) -> anyhow::Result<()> {
    desk.run_outbox(stop).await;
    Ok(())
}

/// A part that ends before it was told to has failed, or the node has.
fn too_early(
    ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>,
) -> anyhow::Result<()> {
    match ended {
        Some(Ok(Err(error))) => Err(error),
        Some(Err(panic)) => Err(panic).context("a part of the node ended in a panic"),
        Some(Ok(Ok(()))) | None => anyhow::bail!("a part of the node ended by itself"),
    }
}

async fn wait_for(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a part of the node ended in a panic").and_then(|inner| inner);
        if let Err(error) = &ended {
            tracing::error!(error = format!("{error:#}"), "while stopping");
        }
        first = first.and(ended);
    }
    first
}

impl Parts {
    fn rules_stage(&self) -> anyhow::Result<RulesStage> {
        let Ground { settings, place, registry, clock } = &self.ground;
        let current = self.rules.borrow().rules.clone();
        let engine = Engine::new(current, settings.rules.clone(), registry);
        let engine = engine.measured(Arc::clone(clock));
        engine.metrics().reloaded(clock.now());
        let parts = crate::stages::rules::Parts {
            bus: Arc::clone(&self.road.bus),
            codec: self.road.codec,
            undecodable: self.undecodable.with(&["rules"]),
            clock: Arc::clone(clock),
            rules: self.rules.subscribe(),
            in_force: self.rules_in_force.clone(),
            config: settings.rules.clone(),
            state_file: place.data.join("rules.state"),
        };
        RulesStage::new(engine, parts)
    }

    async fn start_ingest(&self) -> anyhow::Result<Ingest> {
        let Ground { settings, place, registry, clock } = &self.ground;
        let codec = self.road.codec;
        let sources_file = Some(place.data.join("sources.json"));
        let ingest = keng_ingest::start(
            keng_ingest::Config { sources_file, ..settings.ingest() },
            Arc::clone(&self.road.bus),
            Arc::new(move |batch: &Batch| codec.encode(batch)),
            Arc::clone(clock),
            registry,
            CancellationToken::new(),
        )
        .await
        .context("starting the listeners")?;
        road::remember_keys(&self.road, &ingest.intake).await?;
        Ok(ingest)
    }

    async fn serve(
        &self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        stop: &CancellationToken,
    ) -> anyhow::Result<String> {
        let settings = &self.ground.settings;
        let state = State {
            clock: Arc::clone(&self.ground.clock),
            registry: self.ground.registry.clone(),
            people: self.desk.people().clone(),
            intake: self.ingest.as_ref().map(|ingest| ingest.intake.clone()),
            sources: self.ingest.as_ref().map(|ingest| ingest.sources.clone()),
            searcher: self.index.as_ref().map(Index::searcher),
            tail: self.index.is_some().then(|| self.tail.clone()),
            desk: Some(self.desk.clone()),
            rules: Some(self.rules.subscribe()),
            datasets: keng_ingest::dataset::all(),
            reload: Some(Arc::clone(&self.reload)),
            set_rule_state: self.set_rule_state.clone(),
            states_hold_for: self.states_hold_for,
            components: housekeeping::components(self),
            version: env!("CARGO_PKG_VERSION"),
        };
        let server = keng_api::Server::bind(settings.http.clone(), state)
            .await
            .context("starting the HTTP interface")?;
        let address = server.url();
        let stop = stop.clone();
        tasks.spawn(async move {
            server.run(stop).await;
            Ok(())
        });
        Ok(address)
    }
}
