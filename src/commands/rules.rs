//! `keng rules`: check, try and test detection rules without a node.

mod eval;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keng_rules_engine::{Loaded, Problem, load};
use serde::Serialize;

use crate::exit::Exit;
use crate::output;

/// Arguments of `keng rules`.
#[derive(Debug, Args)]
pub(crate) struct Rules {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compile rules and say what is wrong with those that fail
    Check {
        /// Rule files or directories
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Print a JSON report
        #[arg(long)]
        json: bool,
    },
    /// Print which events of an NDJSON file match which rules
    Eval(eval::Eval),
    /// Run the tests written inside rule files
    Test(test::Test),
}

/// Runs the command.
///
/// # Errors
/// When files cannot be read or arguments make no sense.
pub(crate) fn run(arguments: Rules) -> anyhow::Result<Exit> {
    match arguments.action {
        Action::Check { paths, json } => check(&paths, json),
        Action::Eval(eval) => eval::run(&eval),
        Action::Test(test) => test::run(&test),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    loaded: usize,
    failed: usize,
    errors: &'a [Problem],
}

fn check(paths: &[PathBuf], json: bool) -> anyhow::Result<Exit> {
    let Loaded { rules, problems } = load(paths, keng_ingest::dataset::all());
    if json {
        let report = Report { loaded: rules.len(), failed: problems.len(), errors: &problems };
        output::json_line(&report)?;
    } else {
        problems.iter().try_for_each(|problem| output::line(&problem.to_string()))?;
        output::note(&format!("{} rules are sound, {} problems", rules.len(), problems.len()));
    }
    Ok(if problems.is_empty() { Exit::Fine } else { Exit::Invalid })
}

/// The rules of `paths`; problems are told on standard error, and sound rules are used.
fn load_telling(paths: &[PathBuf]) -> Loaded {
    let loaded = load(paths, keng_ingest::dataset::all());
    for problem in &loaded.problems {
        output::note(&format!("not loaded: {problem}"));
    }
    loaded
}
