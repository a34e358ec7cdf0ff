//! What the node says about itself on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Libraries that tell at `info` what only their authors want to know. A filter of the user's
/// that names one of them overrides this.
const QUIET: &str = "fjall=warn,lsm_tree=warn,tantivy=warn";

/// Starts logging: text for people on a terminal, JSON lines for a journal.
///
/// # Errors
/// When `filter` is no valid filter, or logging was started before.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|error| anyhow::anyhow!("[node] log = \"{filter}\": {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}
