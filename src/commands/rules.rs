//! `keng rules`: check, try and test detection rules, run them over history, and say which of them
//! speak.

mod backtest;
mod check;
mod coverage;
mod eval;
mod events;
mod explain;
mod import;
mod list;
mod state;
mod test;
mod written;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keng_rules_engine::{Config, Loaded};

use crate::exit::{Exit, Failure};
use crate::output;

/// Arguments of `keng rules`.
#[derive(Debug, Args)]
pub(crate) struct Rules {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print what rules would have found in indexed history
    Backtest(backtest::Backtest),
    /// Compile rules and say what is wrong with those that fail, and what is odd about others
    Check(check::Check),
    /// Print which ATT&CK techniques the rules recognise, by tactic
    Coverage(coverage::Coverage),
    /// Print which events of an NDJSON file match which rules
    Eval(eval::Eval),
    /// Print why each rule did or did not match each event, test by test
    Explain(explain::Explain),
    /// Put a public set of rules beside ours, or bring one up to date, and say what changes
    Import(import::Import),
    /// List the rules of the node with their states
    List(list::List),
    /// Turn rules on or off, or record what they find and call nobody
    State(state::Set),
    /// Run the tests written inside rule files
    Test(test::Test),
}

/// Runs the command.
///
/// # Errors
/// When files cannot be read or arguments make no sense.
pub(crate) async fn run(arguments: Rules) -> anyhow::Result<Exit> {
    match arguments.action {
        Action::Backtest(backtest) => backtest::run(&backtest).await,
        Action::Check(check) => check::run(&check),
        Action::Coverage(coverage) => coverage::run(&coverage),
        Action::Eval(eval) => eval::run(&eval),
        Action::Explain(explain) => explain::run(&explain).await,
        Action::Import(import) => import::run(&import).await,
        Action::List(list) => list::run(&list).await,
        Action::State(set) => state::run(&set).await,
        Action::Test(test) => test::run(&test),
    }
}

/// What rules are loaded with.
#[derive(Debug, Args)]
struct Surroundings {
    /// Processing pipeline (pySigma's YAML) that changes the rules first; may be given again
    #[arg(long = "pipeline", value_name = "FILE")]
    pipelines: Vec<PathBuf>,
    /// Folder of value lists [default: `lists` beside the first of the rule paths that has one]
    #[arg(long)]
    lists: Option<PathBuf>,
}

impl Surroundings {
    /// Refuses what has no effect where a node compiles the rules.
    fn for_offline_only(&self) -> anyhow::Result<()> {
        if self.pipelines.is_empty() && self.lists.is_none() {
            return Ok(());
        }
        let reason = "the node compiles rules with its own pipelines and lists: leave --pipeline \
                      and --lists out, or read the index itself with --offline";
        Err(Failure::error(Exit::Invalid, reason))
    }

    /// Reads and compiles the rules of `paths`.
    fn load(&self, paths: &[PathBuf]) -> Loaded {
        let beside = |path: &PathBuf| Some(path.parent().unwrap_or(Path::new("")).join("lists"));
        let found = || paths.iter().filter_map(beside).find(|folder| folder.is_dir());
        let config = Config {
            paths: paths.to_vec(),
            pipelines: self.pipelines.clone(),
            lists: self.lists.clone().or_else(found),
            ..Config::default()
        };
        config.load(keng_ingest::dataset::all())
    }

    /// The rules of `paths`; problems are told on standard error, and sound rules are used.
    ///
    /// # Errors
    /// When a pipeline is not sound: rules that it should have changed would mean something else.
    fn load_telling(&self, paths: &[PathBuf]) -> anyhow::Result<Loaded> {
        let loaded = self.load(paths);
        for problem in &loaded.problems {
            output::note(&format!("not loaded: {problem}"));
        }
        let unsound = |path: &&PathBuf| {
            loaded.problems.iter().any(|problem| Path::new(&problem.file) == path.as_path())
        };
        match self.pipelines.iter().find(unsound) {
            None => Ok(loaded),
            Some(path) => {
                let reason = format!("the pipeline {} is not sound", path.display());
                Err(Failure::error(Exit::Invalid, reason))
            }
        }
    }
}
