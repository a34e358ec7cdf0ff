//! `keng rules list`: every rule with its state, from the node, or from the files while none runs.

use std::path::{Path, PathBuf};

use clap::Args;
use keng_config::Settings;
use keng_event::Severity;
use keng_rules_engine::{RuleSet, RuleState};
use serde_json::Value;

use crate::client::{Remote, part};
use crate::exit::{Exit, Failure};
use crate::{output, rulebook};

/// Arguments of `keng rules list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only rules in this state: on, off or test
    #[arg(long)]
    state: Option<RuleState>,
    /// Only rules of this level or graver
    #[arg(long)]
    level: Option<Severity>,
    /// Only rules with this text in id, title, log source, tags or file; letter case does not matter
    #[arg(long)]
    text: Option<String>,
    /// Print NDJSON even on a terminal
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Where rules are: at a node, or in the files that it would read.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Configuration file that names the rules while no node runs
    /// [default: config/keng.toml, then /etc/keng/keng.toml]
    #[arg(long)]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) remote: Remote,
}

impl Place {
    /// The data directory, in which something shall be written: a slip makes none.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn data(&self) -> anyhow::Result<&Path> {
        let data = self.remote.data();
        if data.is_dir() {
            return Ok(data);
        }
        let reason = format!(
            "there is no data directory {}\n  hint: name that of the node with --data; where none \
             ever ran, make it first with `mkdir`",
            data.display()
        );
        Err(Failure::error(Exit::Invalid, reason))
    }

    /// Every rule as `GET /api/v1/rules` shows it.
    ///
    /// # Errors
    /// When the node does not answer, or the configuration cannot be used.
    pub(super) async fn rules(&self) -> anyhow::Result<Vec<Value>> {
        if self.remote.names_node() {
            let answer: Value = self.remote.client()?.get("/api/v1/rules").await?;
            note_reach(&answer);
            return Ok(part(&answer, "/rules").as_array().cloned().unwrap_or_default());
        }
        let rules = offline(&settings(self.config.as_deref())?, self.remote.data())?;
        let values = rules.summaries().iter().map(serde_json::to_value);
        Ok(values.collect::<Result<_, _>>()?)
    }
}

/// Says what a node's states of rules hold for, where that is not everything.
pub(super) fn note_reach(answer: &Value) {
    output::note(match part(answer, "/states_hold_for").as_str() {
        Some("own_findings") => {
            "these states hold only for what this node finds: alerts are opened by another node, \
             as the states there have it"
        }
        Some("nothing") => {
            "these states hold for nothing: this node neither opens alerts nor evaluates rules"
        }
        _ => return,
    });
}

/// The settings that a node would have.
pub(super) fn settings(config: Option<&Path>) -> anyhow::Result<Settings> {
    keng_config::load(config)
        .map_err(|problems| Failure::error(Exit::Invalid, problems.to_string()))
}

/// The rules that a node would run; what is wrong with others is told on standard error.
pub(super) fn offline(settings: &Settings, data: &Path) -> anyhow::Result<RuleSet> {
    output::note(&format!("no node runs on {}: reading the rule files", data.display()));
    let mut loaded = rulebook::sets::load(&settings.rules, data);
    for problem in &loaded.problems {
        output::note(&format!("not loaded: {problem}"));
    }
    loaded.rules.take_states(&rulebook::states::load(data, None)?);
    Ok(loaded.rules)
}

/// Runs the command.
///
/// # Errors
/// When the rules cannot be had.
pub(super) async fn run(arguments: &List) -> anyhow::Result<Exit> {
    let rules = arguments.place.rules().await?;
    let found: Vec<&Value> = rules.iter().filter(|rule| arguments.wants(rule)).collect();
    if !output::for_people(arguments.json) {
        found.iter().try_for_each(output::json_line)?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<_> = found.iter().map(|rule| row(rule)).collect();
    output::table(&["STATE", "LEVEL", "KIND", "LOG SOURCE", "ID", "TITLE"], &rows)?;
    output::note(&format!("{} of {} rules", found.len(), rules.len()));
    Ok(Exit::Fine)
}

impl List {
    fn wants(&self, rule: &Value) -> bool {
        let text = |pointer| part(rule, pointer).as_str().unwrap_or_default();
        let level = text("/level").parse::<Severity>().unwrap_or_default();
        let has = |wanted: &String| {
            let tags = part(rule, "/tags").as_array().into_iter().flatten();
            let words = [text("/id"), text("/title"), text("/file")];
            let all = words.into_iter().map(str::to_owned).chain([log_source(rule)]);
            let mut all = all.chain(tags.filter_map(Value::as_str).map(str::to_owned));
            all.any(|word| word.to_lowercase().contains(&wanted.to_lowercase()))
        };
        self.state.is_none_or(|state| state.as_str() == text("/state"))
            && self.level.is_none_or(|wanted| level >= wanted)
            && self.text.as_ref().is_none_or(has)
    }
}

/// `product/category/service`, what is not stated left out.
fn log_source(rule: &Value) -> String {
    let parts = ["product", "category", "service"]
        .map(|name| part(rule, &format!("/logsource/{name}")).as_str().unwrap_or_default());
    let stated: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if stated.is_empty() { "-".to_owned() } else { stated.join("/") }
}

fn row(rule: &Value) -> Vec<String> {
    let text = |pointer| part(rule, pointer).as_str().unwrap_or_default().to_owned();
    let words = ["/state", "/level", "/kind"].map(text);
    words.into_iter().chain([log_source(rule), text("/id"), text("/title")]).collect()
}
