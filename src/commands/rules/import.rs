//! `keng rules import`: puts a public set of rules beside ours, and says what changes by it.

mod changes;
mod feeds;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use keng_config::BusKind;
use keng_event::{Clock, SystemClock};
use keng_rules_engine::{Config, Decided, Decision, Loaded, RuleState, RuleStates, RuleSummary};
use serde_json::{Value, json};

use super::list::Place;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::rulebook::sets::{self, About, Set};
use crate::rulebook::states;
use crate::rulebook::unpack::{self, Unpacked};
use changes::Changes;

const HELP: &str = "\
The set lies under DATA/rules and is loaded besides `[rules] paths`; a node that runs there takes
it at once. Rules keep their states (`keng rules state`) when a set is updated.

Of a whole repository only Sigma is taken, from every folder but deprecated, unsupported, tests,
regression_data, documentation, other and images at its top; import one of those by itself to have
it. What is left out (also links, which are never followed) is told.

Exit codes:
  0    the set is in place, or with --dry-run could be; single rules may be refused
  2    wrong usage: an unknown option, a state that is none
  3    the set, its name, the data directory or the configuration is invalid
  4    the disk refuses, or the node does
  130  interrupted";

/// Arguments of `keng rules import`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Import {
    /// A folder, or an archive: .zip, .tar.gz, .tgz, .tar
    #[arg(required_unless_present = "remove")]
    from: Option<PathBuf>,
    /// Name of the set: a-z, 0-9, - and _, a letter or digit first [default: made of the file's
    /// name]
    #[arg(long)]
    name: Option<String>,
    /// State of rules that are new [default: as at the last import of the set, else on]
    #[arg(long)]
    state: Option<RuleState>,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take the set of this name away instead
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "name", "state", "dry_run"])]
    remove: Option<String>,
    /// Print NDJSON even on a terminal
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
///
/// # Errors
/// When the set cannot be read or would be useless; what was there before is there then.
pub(super) async fn run(arguments: &Import) -> anyhow::Result<Exit> {
    let data = arguments.data()?;
    if let Some(name) = &arguments.remove {
        if !sets::remove(data, name)? {
            return Err(invalid(format!(
                "there is no imported set '{name}' under {}",
                data.display()
            )));
        }
        output::note(&format!("the set {name} is gone"));
        return arguments.tell_node().await;
    }
    let Some(from) = &arguments.from else { return Err(invalid("name a folder or an archive")) };
    if !from.try_exists().unwrap_or(true) {
        return Err(invalid(format!("{}: there is no such folder or archive", from.display())));
    }
    let name = arguments.name.clone().unwrap_or_else(|| name_of(from));
    sets::check_name(&name).map_err(|error| invalid(format!("{error}; give one with --name")))?;
    let old = sets::list(data).into_iter().find(|set| set.name == name);
    let settings = keng_config::load(arguments.place.config.as_deref())
        .map_err(|problems| invalid(problems.to_string()))?;

    let staged = sets::stage(data, &name)?;
    let unpacked = unpack::unpack(from, &staged.folder, &mut progress()).map_err(blamed)?;
    let new = load(&settings.rules, &staged.folder);
    let before = old.as_ref().map(|set| load(&settings.rules, &set.folder));
    let others = others(&settings.rules, data, &name);
    let known = states::load(data, None)?;
    let changes = Changes::between(before.as_ref(), &new, &staged.folder, &others);
    check(&changes, before.as_ref(), &unpacked)?;

    let state =
        arguments.state.or_else(|| old.as_ref().and_then(Set::about).map(|about| about.state));
    let state = state.unwrap_or_default();
    let decided = decide(&changes, &known, state, &name);
    let mut after = known.clone();
    after.0.extend(decided.clone());
    let feeds = feeds::judge(&new.rules, &feeds::seen(&arguments.place.remote).await);
    let head = json!({
        "what": "set", "name": name, "dry_run": arguments.dry_run, "rules": changes.taken,
        "files": unpacked.files, "left_out": unpacked.left_out, "new_rules": state.as_str(),
    });
    arguments.print(&head, &changes, new.rules.summaries(), &after, &feeds)?;
    if arguments.dry_run {
        return Ok(Exit::Fine);
    }
    if !decided.is_empty() {
        // Before the set counts: no rule calls anybody that should not yet.
        states::update(data, None, |states| states.0.extend(decided))?;
    }
    let now = SystemClock::default().now();
    let about = About { source: from.display().to_string(), imported_at: now, state };
    let place = staged.put_in_place(&about)?;
    output::note(&format!("the set {name} lies under {}", place.display()));
    if settings.bus.kind == BusKind::Kafka {
        output::note(
            "other nodes on this Kafka do not have it: import it on each with the role rules, and on \
             the one with the role alert, where its states are decided",
        );
    }
    arguments.tell_node().await
}

fn invalid(message: impl Into<String>) -> anyhow::Error {
    Failure::error(Exit::Invalid, message)
}

/// What the machine refuses is no fault of the set.
fn blamed(error: anyhow::Error) -> anyhow::Error {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    let machine = causes.any(|cause| cause.raw_os_error().is_some());
    if machine { error } else { invalid(format!("{error:#}")) }
}

/// `sigma_core++.zip` is the set `sigma_core`.
fn name_of(from: &Path) -> String {
    let name = from.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    let endings = [".zip", ".tar.gz", ".tgz", ".tar"];
    let name = endings.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let fitting = name.chars().map(|letter| if fits(letter) { letter } else { '-' });
    fitting.collect::<String>().trim_matches(['-', '_']).chars().take(40).collect()
}

/// A counter on a terminal, nothing elsewhere.
fn progress() -> impl FnMut(usize) {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    // A template that cannot be read would show less, not end the work.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} files") {
        bar.set_style(style);
    }
    move |files| bar.set_position(files as u64)
}

/// The rules of one folder with the pipelines and lists of this node.
fn load(settings: &Config, folder: &Path) -> Loaded {
    let config = Config { paths: vec![folder.to_owned()], ..settings.clone() };
    config.load(keng_ingest::dataset::all())
}

/// The rules of ours and of other sets: of two with one id, the imported one does not count.
fn others(settings: &Config, data: &Path, name: &str) -> Vec<RuleSummary> {
    let mut config = settings.clone();
    let sets = sets::list(data).into_iter().filter(|set| set.name != name);
    config.paths.extend(sets.map(|set| set.folder));
    config.load(keng_ingest::dataset::all()).rules.summaries().to_vec()
}

/// Refuses what cannot have been meant.
fn check(changes: &Changes, before: Option<&Loaded>, unpacked: &Unpacked) -> anyhow::Result<()> {
    if changes.taken == 0 {
        let (files, refused) = (unpacked.files, changes.refused.len());
        let first = changes.refused.first().map(|one| format!("; the first: {one}"));
        let mut reason = format!(
            "nothing in it is a rule that can be used ({files} files, {refused} refused{}); nothing \
             was changed",
            first.unwrap_or_default()
        );
        for (why, left) in &unpacked.left_out {
            reason.push_str(&format!("\n{}", left_out((why, &json!(left)))));
        }
        return Err(invalid(reason));
    }
    let had = before.map_or(0, |before| before.rules.len());
    if had > 0 && changes.removed.len() == had {
        return Err(invalid(format!(
            "none of the {had} rules of the set would remain: is it another set? Take the old one \
             away first (--remove), or import this under another name (--name)"
        )));
    }
    Ok(())
}

/// What an import decides over rules that nobody decided over.
fn decide(
    changes: &Changes,
    known: &RuleStates,
    state: RuleState,
    name: &str,
) -> std::collections::BTreeMap<String, Decided> {
    if state == RuleState::On {
        return Default::default();
    }
    let note = Some(format!("new in the set {name}"));
    let at = SystemClock::default().now();
    let decision = Decision { by: "import".to_owned(), at, note };
    let undecided = changes.added.iter().filter(|rule| !known.0.contains_key(&rule.id));
    let decided =
        |rule: &changes::Named| (rule.id.clone(), Decided { state, decision: decision.clone() });
    undecided.map(decided).collect()
}

impl Import {
    /// The data directory of the node that is meant.
    fn data(&self) -> anyhow::Result<&Path> {
        let data = self.place.remote.data();
        if self.place.remote.names_stranger() {
            return Err(invalid(format!(
                "sets lie in the data directory of their node, and the node of --url does not run \
                 on {}: run this on its machine, with --data",
                data.display()
            )));
        }
        self.place.data()
    }

    /// Makes a node that runs on the data directory take what is there now.
    async fn tell_node(&self) -> anyhow::Result<Exit> {
        if !self.place.remote.names_node() {
            output::note("no node runs here; the next start takes it");
            return Ok(Exit::Fine);
        }
        let answer: Value = self.place.remote.client()?.post("/-/reload", &json!({})).await?;
        let told = crate::client::part(&answer, "/reloaded").as_str().unwrap_or_default();
        output::note(told);
        Ok(Exit::Fine)
    }

    fn print(
        &self,
        head: &Value,
        changes: &Changes,
        rules: &[RuleSummary],
        states: &RuleStates,
        feeds: &feeds::Feeds,
    ) -> anyhow::Result<()> {
        let not_on = rules.iter().filter(|rule| states.of(&rule.id) != RuleState::On);
        let not_on: Vec<Value> = not_on
            .map(|rule| {
                let state = states.of(&rule.id);
                json!({"what": "state", "state": state, "id": rule.id, "title": rule.title})
            })
            .collect();
        if output::for_people(self.json) {
            return report(head, changes, &not_on, feeds)
                .iter()
                .try_for_each(|line| output::line(&output::safe(line)));
        }
        output::json_line(head)?;
        changes
            .lines()
            .chain(not_on)
            .chain(feeds.lines())
            .try_for_each(|line| output::json_line(&line))
    }
}

/// Entries of one kind that a terminal shows; a first import has thousands.
const SHOWN_MAX: usize = 20;

/// Why files were left out, how many, and the first of them.
fn left_out((reason, left): (&String, &Value)) -> String {
    let names = left["names"].as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
    let count = left["files"].as_u64().unwrap_or_default();
    let more = if count > names.len() as u64 { ", …" } else { "" };
    format!("  left out: {reason}: {count} ({}{more})", names.join(", "))
}

/// What a person reads.
fn report(head: &Value, changes: &Changes, not_on: &[Value], feeds: &feeds::Feeds) -> Vec<String> {
    let text = |value: &Value, key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let dry = if head["dry_run"] == true { " (nothing is changed)" } else { "" };
    let mut lines = vec![format!("{}: {} rules{dry}", text(head, "name"), text(head, "rules"))];
    lines.extend(head["left_out"].as_object().into_iter().flatten().map(left_out));
    let mut section = |title: &str, entries: Vec<String>| {
        if !entries.is_empty() {
            lines.push(format!("{title}: {}", entries.len()));
            lines.extend(entries.iter().take(SHOWN_MAX).map(|entry| format!("  {entry}")));
            if entries.len() > SHOWN_MAX {
                lines.push(format!("  and {} more (--json has all)", entries.len() - SHOWN_MAX));
            }
        }
    };
    for (title, rules) in changes.by_kind() {
        section(title, rules.iter().map(|rule| format!("{}  {}", rule.id, rule.title)).collect());
    }
    section("refused", changes.refused.iter().map(ToString::to_string).collect());
    let state = |one: &Value| {
        format!("{:<4}  {}  {}", text(one, "state"), text(one, "id"), text(one, "title"))
    };
    section("not on", not_on.iter().map(state).collect());
    let fed = |one: &feeds::Unfed| format!("{:>5} rules  {}", one.rules, one.told());
    section(
        "cannot fire: Keng parses no such log source, so only events reach them that name it",
        feeds.no_dataset.iter().map(fed).collect(),
    );
    section(
        "cannot fire yet: no source of this node has sent such events",
        feeds.no_source.iter().map(fed).collect(),
    );
    lines
}
