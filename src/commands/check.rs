//! `keng check`: the configuration and every file that it names, all errors at once.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::output;

/// Arguments of `keng check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Configuration file [default: config/keng.toml, then /etc/keng/keng.toml]
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn run(arguments: &Check) -> anyhow::Result<Exit> {
    let keng_config::Examined { settings, problems: mistakes } =
        keng_config::examine(arguments.config.as_deref());
    mistakes.iter().try_for_each(|mistake| output::line(&mistake.to_string()))?;
    let Some(settings) = settings else {
        output::note("the configuration cannot be used; the rules were not looked at");
        return Ok(Exit::Invalid);
    };
    let loaded = settings.rules.load(keng_ingest::dataset::all());
    loaded.problems.iter().try_for_each(|problem| output::line(&problem.to_string()))?;
    let (rules, problems) = (loaded.rules.len(), loaded.problems.len());
    let judged = if mistakes.is_empty() { "is sound" } else { "cannot be used" };
    output::note(&format!(
        "the configuration {judged}; {rules} rules are sound, problems in rules: {problems}"
    ));
    if rules == 0 {
        output::note("without rules nothing is detected: set `paths` under [rules]");
    }
    Ok(if mistakes.is_empty() && problems == 0 { Exit::Fine } else { Exit::Invalid })
}
