//! `keng rules state`: turns rules on and off, or puts them on trial.

use std::collections::BTreeSet;

use clap::Args;
use keng_config::BusKind;
use keng_event::{Clock, SystemClock};
use keng_rules_engine::{Decided, Decision, RuleState};
use serde_json::{Value, json};

use super::list::{self, Place};
use crate::client::part;
use crate::exit::{Exit, Failure};
use crate::{output, rulebook};

/// Arguments of `keng rules state`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// on: findings call people; off: no findings; test: findings are recorded, nobody is called
    state: RuleState,
    /// Rule ids
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why, for whoever asks later
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Who changes states while no node runs: whoever may write the data directory.
const LOCAL: &str = "local";

/// Runs the command.
///
/// # Errors
/// When a rule is unknown, the node refuses, or the disk does.
pub(super) async fn run(arguments: &Set) -> anyhow::Result<Exit> {
    let Set { state, ids, note, place } = arguments;
    let note = note.as_deref().map(Decision::note).transpose();
    let note = note.map_err(|reason| Failure::error(Exit::Invalid, reason))?;
    // Of two that are the same, one is said.
    let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    if place.remote.names_node() {
        let body = json!({"ids": ids, "state": state, "note": note});
        let answer: Value = place.remote.client()?.post("/api/v1/rules:state", &body).await?;
        for id in &ids {
            output::note(&format!("{id}: {state}"));
        }
        if part(&answer, "/in_force") == false {
            output::note(
                "written down; detection goes by it when it has dealt with the events at hand, and \
                 alerts that this node opens heed it already",
            );
        }
        list::note_reach(&answer);
        return Ok(Exit::Fine);
    }
    let data = place.data()?;
    let settings = list::settings(place.config.as_deref())?;
    let rules = list::offline(&settings, data)?;
    let known: BTreeSet<&str> = rules.summaries().iter().map(|rule| rule.id.as_str()).collect();
    let unknown: Vec<&str> = ids.difference(&known).copied().collect();
    if !unknown.is_empty() {
        let reason = format!(
            "there is no rule '{}'\n  hint: nothing was changed; `keng rules list` has all rules",
            unknown.join("', no rule '")
        );
        return Err(Failure::error(Exit::Invalid, reason));
    }
    let at = SystemClock::default().now();
    let decision = Decision { by: LOCAL.to_owned(), at, note };
    rulebook::states::update(data, None, |states| {
        for id in &ids {
            let decided = Decided { state: *state, decision: decision.clone() };
            states.0.insert((*id).to_owned(), decided);
        }
    })?;
    output::note(&format!(
        "{state} from the next start of the node: {}",
        Vec::from_iter(ids).join(", ")
    ));
    if settings.bus.kind == BusKind::Kafka {
        output::note(
            "of several nodes on this Kafka, it is the states of the one with the role alert that \
             hold for alerts",
        );
    }
    Ok(Exit::Fine)
}
