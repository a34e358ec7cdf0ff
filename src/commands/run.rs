//! `keng run`: the node, until SIGTERM or SIGINT.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::node::{self, Role};
use crate::{output, telemetry};

/// Arguments of `keng run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Configuration file [default: config/keng.toml, then /etc/keng/keng.toml]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Directory for everything that the node stores
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// What this node does
    #[arg(long, value_delimiter = ',', default_values_t = Role::ALL)]
    roles: Vec<Role>,
}

/// Runs the command.
///
/// # Errors
/// When the configuration is invalid or a part of the node fails for good.
pub(crate) async fn run(arguments: Run) -> anyhow::Result<Exit> {
    let settings = keng_config::load(arguments.config.as_deref())
        .map_err(|problems| Failure::error(Exit::Invalid, problems.to_string()))?;
    telemetry::start(&settings.node.log)?;
    if arguments.config.is_none()
        && !keng_config::PLACES.iter().any(|place| Path::new(place).exists())
    {
        let places = keng_config::PLACES.join(" or ");
        output::note(&format!("keng: there is no {places}: every setting has its default"));
    }
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
        // Who asks twice does not want to wait for what is in flight. One who signals the whole
        // group asks once, although it arrives twice.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let again = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = again else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        output::note("stopped at once: what was not durable comes again at the next start");
        std::process::exit(Exit::Interrupted as i32);
    });
    let place = node::Place { config: arguments.config, data: arguments.data };
    node::run(settings, place, &arguments.roles, stop).await?;
    output::note("keng: stopped; everything that was received is committed");
    Ok(Exit::Fine)
}
