//! The `keng` binary: one node of Keng, and the tools that speak to it.
//!
//! `commands` holds one file per command. [`node`] is the composition root of `keng run`,
//! [`stage`] the one loop that its stages share, [`codec`] what a batch looks like on the bus.

mod client;
mod codec;
mod commands;
mod exit;
mod node;
mod output;
mod rulebook;
mod stage;
mod stages;
mod telemetry;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use commands::{alerts, bus, check, doctor, parse, people, replay, rules, run, search, tail};
use exit::{Exit, exit_of};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Security logs in, attacks recognised, people called, everything searchable
#[derive(Debug, Parser)]
#[command(name = "keng", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node until SIGTERM or SIGINT
    Run(run::Run),
    /// Check the configuration and every file that it names
    Check(check::Check),
    /// Raw records to ECS events, one per input line
    Parse(parse::Parse),
    /// Check, try, test and backtest detection rules, and turn them on and off
    Rules(rules::Rules),
    /// Search the events of a node
    Search(search::Search),
    /// Show events as they arrive
    Tail(tail::Tail),
    /// The alert desk
    Alerts(alerts::Alerts),
    /// Send a log file to a receiver
    Replay(replay::Replay),
    /// Inspect the embedded log of a stopped node
    Bus(bus::Bus),
    /// People who may sign in
    User(people::User),
    /// Tokens for programs
    Token(people::Token),
    /// What on this machine limits Keng, and how to change it
    Doctor(doctor::Doctor),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a directory
    Man {
        /// The directory, created if absent
        dir: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    // Clap exits with 2 on wrong usage, as the exit code table says.
    let cli = Cli::parse();
    // One crypto provider for the whole process; a second call would only say that it is there.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: starting the runtime: {error}"));
            return Exit::Unavailable.into();
        }
    };
    let ended = runtime.block_on(dispatch(cli.command));
    // A blocking read of standard input must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        // Whoever reads has seen enough (`keng search … | head`).
        Err(error) if output::is_closed(&error) => Exit::Fine.into(),
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            exit_of(&error).into()
        }
    }
}

async fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Check(arguments) => check::run(&arguments),
        Command::Parse(arguments) => parse::run(&arguments),
        Command::Rules(arguments) => rules::run(arguments).await,
        Command::Search(arguments) => search::run(arguments).await,
        Command::Tail(arguments) => tail::run(arguments).await,
        Command::Alerts(arguments) => alerts::run(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Bus(arguments) => bus::run(arguments).await,
        Command::User(arguments) => people::user(arguments).await,
        Command::Token(arguments) => people::token(arguments).await,
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "keng", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())?;
            Ok(Exit::Fine)
        }
        Command::Man { dir } => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Cli::command(), &dir)?;
            Ok(Exit::Fine)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
