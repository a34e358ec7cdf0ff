//! `keng check`: the configuration and every file that it names, all errors at once.

use std::path::PathBuf;

use clap::Args;
use keng_rules_engine::load;

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
    let settings = match keng_config::load(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(problems) => {
            output::line(&problems.to_string())?;
            return Ok(Exit::Invalid);
        }
    };
    let loaded = load(&settings.rules.paths, keng_ingest::dataset::all());
    loaded.problems.iter().try_for_each(|problem| output::line(&problem.to_string()))?;
    let (rules, problems) = (loaded.rules.len(), loaded.problems.len());
    output::note(&format!("configuration is sound; {rules} rules are sound, {problems} problems"));
    Ok(if problems == 0 { Exit::Fine } else { Exit::Invalid })
}
