//! Loading the rules at the start, and again when somebody asks.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keng_api::{CurrentRules, Reload, RuleStateChange, SetRuleState};
use keng_event::{Clock, Timestamp};
use keng_metrics::Gauge;
use keng_rules_engine::{Decided, Decision, Loaded, RuleState, RuleStates, Warning};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use super::{Ground, Place};
use crate::rulebook::{sets, states};

/// The rules that the settings name, in the states that were decided. Problems are told, and
/// sound rules run: at the start half a watch is better than none.
pub(super) fn load(ground: &Ground) -> CurrentRules {
    let Ground { settings, place, clock, .. } = ground;
    let loaded = sets::load(&settings.rules, &place.data).at(clock.now());
    let Loaded { mut rules, problems, warnings, .. } = loaded;
    for problem in &problems {
        tracing::error!(%problem, "rule not loaded");
    }
    tell(&warnings);
    let states = states(&place.data, &RuleStates::default());
    rules.take_states(&states);
    let off = rules.count_in(RuleState::Off);
    let test = rules.count_in(RuleState::Test);
    tracing::info!(rules = rules.len(), off, test, problems = problems.len(), "rules loaded");
    CurrentRules {
        rules: Arc::new(rules),
        problems: Arc::new(problems),
        states: Arc::new(states),
        settings: Arc::new(settings.rules.clone()),
        generation: 0,
    }
}

/// Expired exceptions are told louder than the rest: what they held back calls people again.
fn tell(warnings: &[Warning]) {
    for warning in warnings {
        match warning.code {
            "exception-expired" => tracing::warn!(%warning, "an exception has expired"),
            _ => tracing::debug!(%warning, "odd rule"),
        }
    }
}

/// What was decided over rules. A disk that does not tell is no reason to watch nothing.
fn states(data: &Path, known: &RuleStates) -> RuleStates {
    states::load(data, Some(known)).unwrap_or_else(|error| {
        let error = format!("{error:#}");
        tracing::error!(error, "the states of rules cannot be read: unknown ones are on");
        known.clone()
    })
}

/// Changes the rules in force, one change after the other, or an older one could end last.
pub(super) struct Changes {
    place: Place,
    clock: Arc<dyn Clock>,
    rules: watch::Sender<CurrentRules>,
    /// The generation that the rules stage evaluates; nothing where there is none.
    in_force: Option<watch::Receiver<u64>>,
    successful: Gauge,
    at: Gauge,
    turn: Mutex<()>,
}

/// How long a change waits for the stage, which takes new rules between two batches, and while
/// findings wait for room.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(20);

impl Changes {
    pub(super) fn new(
        ground: &Ground,
        rules: &watch::Sender<CurrentRules>,
        in_force: Option<watch::Receiver<u64>>,
    ) -> Arc<Self> {
        let successful = ground.registry.gauge(
            "keng_config_last_reload_successful",
            "Whether the last configuration reload succeeded.",
        );
        let at = ground.registry.gauge(
            "keng_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful configuration reload.",
        );
        successful.set(1.0);
        at.set(ground.clock.now().as_seconds_f64());
        Arc::new(Self {
            place: ground.place.clone(),
            clock: Arc::clone(&ground.clock),
            rules: rules.clone(),
            in_force,
            successful,
            at,
            turn: Mutex::new(()),
        })
    }

    /// What `POST /-/reload` and SIGHUP do: reads configuration and rules anew and changes the
    /// rules as one set. A set with a problem that the one in force has not is refused, and the
    /// old one keeps running: a rule that runs is not lost to a slip of the pen, and a public set
    /// with a few rules that never loaded can be updated.
    pub(super) fn reload(self: &Arc<Self>) -> Reload {
        let changes = Arc::clone(self);
        Arc::new(move || {
            let changes = Arc::clone(&changes);
            Box::pin(async move { changes.read_anew().await })
        })
    }

    async fn read_anew(&self) -> Result<String, String> {
        let mine = self.turn.lock().await;
        let known = self.rules.borrow().clone();
        let (place, now) = (self.place.clone(), self.clock.now());
        let read = tokio::task::spawn_blocking(move || read(&place, &known, now));
        match read.await.unwrap_or_else(|panic| Err(panic.to_string())) {
            Ok(current) => {
                let count = current.rules.len();
                let told = match current.problems.len() {
                    0 => String::new(),
                    few => format!(" ({few} others cannot be loaded)"),
                };
                let generation = current.generation;
                self.rules.send_replace(current);
                drop(mine);
                let when = match self.wait_until_in_force(generation).await {
                    true => "are in force",
                    false => "come into force when detection has dealt with the events at hand",
                };
                self.successful.set(1.0);
                self.at.set(self.clock.now().as_seconds_f64());
                tracing::info!(rules = count, "rules reloaded");
                Ok(format!("{count} rules {when}{told}; other settings change at a restart"))
            }
            Err(problems) => {
                self.successful.set(0.0);
                tracing::error!(%problems, "reload refused");
                Err(problems)
            }
        }
    }

    /// Turns rules on and off without reading any rule file: a slip of the pen in one must not
    /// keep a person from silencing another.
    pub(super) fn set_rule_state(self: &Arc<Self>) -> SetRuleState {
        let changes = Arc::clone(self);
        Arc::new(move |change| {
            // On its own: what is written must come into force though the asker hangs up.
            let changed = tokio::spawn(Arc::clone(&changes).decide(change));
            Box::pin(async move { changed.await.unwrap_or_else(|panic| Err(panic.to_string())) })
        })
    }

    async fn decide(self: Arc<Self>, change: RuleStateChange) -> Result<bool, String> {
        let mine = self.turn.lock().await;
        let current = self.rules.borrow().clone();
        let (data, at) = (self.place.data.clone(), self.clock.now());
        let generation = current.generation + 1;
        let decide = move || {
            let RuleStateChange { rules, state, by, note } = change;
            for rule in &rules {
                tracing::info!(rule, %state, by, "state of a rule changed");
            }
            let decided = Decided { state, decision: Decision { by, at, note } };
            let states = states::update(&data, Some(&current.states), |states| {
                states.0.extend(rules.into_iter().map(|rule| (rule, decided.clone())));
            })?;
            let rules = Arc::new(current.rules.in_states(&states));
            Ok(CurrentRules { rules, states: Arc::new(states), generation, ..current })
        };
        let decided = tokio::task::spawn_blocking(decide).await;
        let decided = decided.map_err(|panic| panic.to_string())?;
        self.rules.send_replace(decided.map_err(|error: anyhow::Error| format!("{error:#}"))?);
        drop(mine);
        Ok(self.wait_until_in_force(generation).await)
    }

    /// Whether the rules stage evaluates this generation or a later one, in time.
    async fn wait_until_in_force(&self, generation: u64) -> bool {
        let Some(mut in_force) = self.in_force.clone() else { return true };
        let taken = in_force.wait_for(|taken| *taken >= generation);
        matches!(tokio::time::timeout(IN_FORCE_WITHIN, taken).await, Ok(Ok(_)))
    }
}

/// Reloads at every SIGHUP, the signal of `systemctl reload` and of log rotation. What came of it
/// is in the log.
pub(super) async fn reload_on_hangup(reload: Reload) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::warn!(%error, "SIGHUP cannot be listened to"),
    };
    while hangup.recv().await.is_some() {
        // Success and failure are logged and counted where they happen.
        let _told = reload().await;
    }
}

/// How often the folder of value lists is looked at.
const LISTS_EVERY: Duration = Duration::from_secs(2);

/// Reloads when a value list changed, so that who fetches indicators need only write the file.
/// A change is taken when nothing more changed since the last look: files may be long in writing.
pub(super) async fn reload_on_new_lists(reload: Reload, rules: watch::Receiver<CurrentRules>) {
    let look = || {
        let folder = rules.borrow().settings.lists.clone();
        let stamps = folder.as_deref().map(stamps).unwrap_or_default();
        (folder, stamps)
    };
    let (mut taken, mut last) = (look(), None);
    loop {
        tokio::time::sleep(LISTS_EVERY).await;
        let now = look();
        if now.0 != taken.0 {
            // The reload that named another folder has read it.
            taken = now.clone();
        } else if now != taken && last.as_ref() == Some(&now) {
            taken = now.clone();
            // Success and failure are logged and counted where they happen.
            let _told = reload().await;
        }
        last = Some(now);
    }
}

/// When which file was changed, and how long it is.
fn stamps(folder: &Path) -> BTreeMap<OsString, (Option<SystemTime>, u64)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let stamp = |entry: std::fs::DirEntry| {
        // Of what a link leads to: feeds are often changed by moving a link.
        let file = std::fs::metadata(entry.path()).ok()?;
        Some((entry.file_name(), (file.modified().ok(), file.len())))
    };
    entries.filter_map(stamp).collect()
}

fn read(place: &Place, current: &CurrentRules, now: Timestamp) -> Result<CurrentRules, String> {
    let settings =
        keng_config::load(place.config.as_deref()).map_err(|problems| problems.to_string())?;
    let loaded = sets::load(&settings.rules, &place.data).at(now);
    let Loaded { mut rules, problems, warnings, .. } = loaded;
    let is_known = |problem: &keng_rules_engine::Problem| {
        // What is refused of an imported set was said when it was imported.
        sets::holds(&place.data, &problem.file)
            || current.problems.iter().any(|other| {
                (&other.file, &other.rule, &other.message)
                    == (&problem.file, &problem.rule, &problem.message)
            })
    };
    let new: Vec<String> =
        problems.iter().filter(|problem| !is_known(problem)).map(ToString::to_string).collect();
    if !new.is_empty() {
        return Err(new.join("\n"));
    }
    tell(&warnings);
    let states = states(&place.data, &current.states);
    rules.take_states(&states);
    Ok(CurrentRules {
        rules: Arc::new(rules),
        problems: Arc::new(problems),
        states: Arc::new(states),
        settings: Arc::new(settings.rules),
        generation: current.generation + 1,
    })
}
