//! Loading the rules at the start, and again when somebody asks.

use std::sync::Arc;

use keng_api::{CurrentRules, Reload};
use keng_config::Settings;
use keng_rules_engine::{Loaded, load as load_rules};
use tokio::sync::watch;

use super::Ground;

/// The rules that the settings name. Problems are told, and sound rules run: at the start half a
/// watch is better than none.
pub(super) fn load(settings: &Settings) -> CurrentRules {
    let Loaded { rules, problems } = load_rules(&settings.rules.paths, keng_ingest::dataset::all());
    for problem in &problems {
        tracing::error!(%problem, "rule not loaded");
    }
    tracing::info!(rules = rules.len(), problems = problems.len(), "rules loaded");
    CurrentRules { rules: Arc::new(rules), problems: Arc::new(problems) }
}

/// What `POST /-/reload` does: reads configuration and rules anew and changes the rules as one
/// set. An invalid set is refused and the old one keeps running.
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
    Arc::new(move || {
        let (path, rules, clock) = (path.clone(), rules.clone(), Arc::clone(&clock));
        let (successful, at) = (successful.clone(), at.clone());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || read(path.as_deref()));
            match read.await.unwrap_or_else(|panic| Err(panic.to_string())) {
                Ok(current) => {
                    let count = current.rules.len();
                    rules.send_replace(current);
                    successful.set(1.0);
                    at.set(clock.now().as_seconds_f64());
                    Ok(format!("{count} rules are in force; other settings change at a restart"))
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

fn read(path: Option<&std::path::Path>) -> Result<CurrentRules, String> {
    let settings = keng_config::load(path).map_err(|problems| problems.to_string())?;
    let Loaded { rules, problems } = load_rules(&settings.rules.paths, keng_ingest::dataset::all());
    if problems.is_empty() {
        return Ok(CurrentRules { rules: Arc::new(rules), problems: Arc::default() });
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(lines.join("\n"))
}
