//! Loading the rules at the start, and again when somebody asks.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keng_api::{CurrentRules, Reload};
use keng_config::Settings;
use keng_rules_engine::Loaded;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use super::Ground;

/// The rules that the settings name. Problems are told, and sound rules run: at the start half a
/// watch is better than none.
pub(super) fn load(settings: &Settings) -> CurrentRules {
    let Loaded { rules, problems, warnings } = settings.rules.load(keng_ingest::dataset::all());
    for problem in &problems {
        tracing::error!(%problem, "rule not loaded");
    }
    for warning in &warnings {
        tracing::debug!(%warning, "odd rule");
    }
    tracing::info!(rules = rules.len(), problems = problems.len(), "rules loaded");
    let settings = Arc::new(settings.rules.clone());
    CurrentRules { rules: Arc::new(rules), problems: Arc::new(problems), settings }
}

/// What `POST /-/reload` and SIGHUP do: reads configuration and rules anew and changes the rules
/// as one set. A set with a problem that the one in force has not is refused, and the old one
/// keeps running: a rule that runs is not lost to a slip of the pen, and a public set with a few
/// rules that never loaded can be updated.
pub(super) fn reload(ground: &Ground, rules: &watch::Sender<CurrentRules>) -> Reload {
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
    let (path, rules) = (ground.place.config.clone(), rules.clone());
    let clock = Arc::clone(&ground.clock);
    // One after the other, or an older reading could end last.
    let turn = Arc::new(Mutex::new(()));
    Arc::new(move || {
        let (path, rules, clock) = (path.clone(), rules.clone(), Arc::clone(&clock));
        let (successful, at, turn) = (successful.clone(), at.clone(), Arc::clone(&turn));
        Box::pin(async move {
            let _mine = turn.lock().await;
            let known = Arc::clone(&rules.borrow().problems);
            let read = tokio::task::spawn_blocking(move || read(path.as_deref(), &known));
            match read.await.unwrap_or_else(|panic| Err(panic.to_string())) {
                Ok(current) => {
                    let count = current.rules.len();
                    let told = match current.problems.len() {
                        0 => String::new(),
                        few => format!(" ({few} as before cannot be loaded)"),
                    };
                    rules.send_replace(current);
                    successful.set(1.0);
                    at.set(clock.now().as_seconds_f64());
                    tracing::info!(rules = count, "rules reloaded");
                    Ok(format!(
                        "{count} rules are in force{told}; other settings change at a restart"
                    ))
                }
                Err(problems) => {
                    successful.set(0.0);
                    tracing::error!(%problems, "reload refused");
                    Err(problems)
                }
            }
        })
    })
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
pub(super) async fn reload_on_new_lists(reload: Reload, folder: Option<PathBuf>) {
    let Some(folder) = folder else { return };
    let (mut taken, mut last) = (stamps(&folder), None);
    loop {
        tokio::time::sleep(LISTS_EVERY).await;
        let now = stamps(&folder);
        if now != taken && last.as_ref() == Some(&now) {
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

fn read(path: Option<&Path>, known: &[keng_rules_engine::Problem]) -> Result<CurrentRules, String> {
    let settings = keng_config::load(path).map_err(|problems| problems.to_string())?;
    let Loaded { rules, problems, .. } = settings.rules.load(keng_ingest::dataset::all());
    let is_known = |problem: &keng_rules_engine::Problem| {
        known.iter().any(|other| {
            (&other.file, &other.rule, &other.message)
                == (&problem.file, &problem.rule, &problem.message)
        })
    };
    let new: Vec<String> =
        problems.iter().filter(|problem| !is_known(problem)).map(ToString::to_string).collect();
    match new.as_slice() {
        [] => Ok(CurrentRules {
            rules: Arc::new(rules),
            problems: Arc::new(problems),
            settings: Arc::new(settings.rules),
        }),
        new => Err(new.join("\n")),
    }
}
