//! `keng rules check`: what is wrong with rules, and what is odd about them.

use std::path::PathBuf;

use clap::Args;
use keng_event::{Clock, SystemClock};
use keng_rules_engine::{Problem, Warning};
use serde::Serialize;

use crate::exit::Exit;
use crate::output;

/// Arguments of `keng rules check`.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 every rule is sound; 1 with --strict, something is odd; \
                        3 a rule is refused.")]
pub(crate) struct Check {
    /// Rule files or directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    surroundings: super::Surroundings,
    /// Fail when there are warnings
    #[arg(long)]
    strict: bool,
    /// Print a JSON report
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    loaded: usize,
    failed: usize,
    errors: &'a [Problem],
    warnings: &'a [Warning],
}

/// Runs the command.
///
/// # Errors
/// When standard output is closed.
pub(super) fn run(arguments: &Check) -> anyhow::Result<Exit> {
    let loaded = arguments.surroundings.load(&arguments.paths);
    let loaded = loaded.at(SystemClock::default().now());
    let (rules, errors, warnings) = (loaded.rules.len(), &loaded.problems, &loaded.warnings);
    if arguments.json {
        output::json_line(&Report { loaded: rules, failed: errors.len(), errors, warnings })?;
    } else {
        errors.iter().try_for_each(|problem| output::line(&problem.to_string()))?;
        warnings.iter().try_for_each(|warning| output::line(&warning.to_string()))?;
        let (errors, warnings) = (errors.len(), warnings.len());
        output::note(&format!("{rules} rules are sound, {errors} problems, {warnings} warnings"));
    }
    Ok(match (errors.is_empty(), warnings.is_empty()) {
        (false, _) => Exit::Invalid,
        (true, false) if arguments.strict => Exit::Finding,
        (true, _) => Exit::Fine,
    })
}
