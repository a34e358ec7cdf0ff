//! `keng alerts`: the alert desk from a terminal.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::tail::percent_encode;
use crate::client::{Client, Remote, part};
use crate::exit::Exit;
use crate::output;

/// Arguments of `keng alerts`.
#[derive(Debug, Args)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    action: Action,
    /// Print NDJSON even on a terminal
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List alerts, newest first
    List {
        /// Only alerts in this state: open, acknowledged, closed
        #[arg(long)]
        state: Option<String>,
        /// Only alerts of this severity
        #[arg(long)]
        severity: Option<String>,
        /// Most alerts to print
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Show one alert whole
    Show {
        /// Alert id
        id: String,
    },
    /// Say that you are looking at it
    Ack {
        /// Alert id
        id: String,
        /// A note for the history
        #[arg(long)]
        note: Option<String>,
    },
    /// Give it to somebody
    Assign {
        /// Alert id
        id: String,
        /// User name
        to: String,
    },
    /// Close it with a verdict
    Close {
        /// Alert id
        id: String,
        /// `true_positive`, `false_positive`, benign or duplicate
        #[arg(long)]
        verdict: String,
        /// A note for the history
        #[arg(long)]
        note: Option<String>,
    },
    /// Open a closed alert again
    Reopen {
        /// Alert id
        id: String,
        /// A note for the history
        #[arg(long)]
        note: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// When the node cannot be reached or refuses.
pub(crate) async fn run(arguments: Alerts) -> anyhow::Result<Exit> {
    let client = arguments.remote.client()?;
    let people = output::for_people(arguments.json);
    let (id, verb, body) = match arguments.action {
        Action::List { state, severity, limit } => {
            return list(&client, people, state, severity, limit).await;
        }
        Action::Show { id } => {
            let alert: Value =
                client.get(&format!("/api/v1/alerts/{}", percent_encode(&id))).await?;
            return show(&alert, people);
        }
        Action::Ack { id, note } => (id, "ack", json!({"note": note})),
        Action::Assign { id, to } => (id, "assign", json!({"assignee": to})),
        Action::Close { id, verdict, note } => {
            (id, "close", json!({"verdict": verdict, "note": note}))
        }
        Action::Reopen { id, note } => (id, "reopen", json!({"note": note})),
    };
    let body = without_nulls(body);
    let path = format!("/api/v1/alerts/{}/{verb}", percent_encode(&id));
    let alert: Value = client.post(&path, &body).await?;
    if people {
        let state = part(&alert, "/state").as_str().unwrap_or_default();
        output::line(&format!("{id}: {state}"))?;
    } else {
        output::json_line(&alert)?;
    }
    Ok(Exit::Fine)
}

fn without_nulls(mut body: Value) -> Value {
    if let Some(object) = body.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    body
}

async fn list(
    client: &Client,
    people: bool,
    state: Option<String>,
    severity: Option<String>,
    limit: u64,
) -> anyhow::Result<Exit> {
    let mut path = format!("/api/v1/alerts?limit={limit}");
    for (name, value) in [("state", state), ("severity", severity)] {
        if let Some(value) = value {
            path = format!("{path}&{name}={}", percent_encode(&value));
        }
    }
    let answer: Value = client.get(&path).await?;
    let alerts = part(&answer, "/alerts").as_array().cloned().unwrap_or_default();
    if !people {
        alerts.iter().try_for_each(output::json_line)?;
        return Ok(Exit::Fine);
    }
    if alerts.is_empty() {
        output::note("no alerts");
        return Ok(Exit::Fine);
    }
    let text = |alert: &Value, name: &str| {
        alert.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let rows: Vec<Vec<String>> = alerts
        .iter()
        .map(|alert| {
            vec![
                text(alert, "severity"),
                text(alert, "state"),
                part(alert, "/count").to_string(),
                text(alert, "last_at"),
                text(alert, "id"),
                format!("{}  {}", text(alert, "title"), group(alert)),
            ]
        })
        .collect();
    output::table(&["SEVERITY", "STATE", "COUNT", "LAST", "ID", "ALERT"], &rows)?;
    Ok(Exit::Fine)
}

fn group(alert: &Value) -> String {
    let pairs = part(alert, "/group").as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn show(alert: &Value, people: bool) -> anyhow::Result<Exit> {
    let rendered =
        if people { serde_json::to_string_pretty(alert)? } else { serde_json::to_string(alert)? };
    output::line(&output::harmless(&rendered))?;
    Ok(Exit::Fine)
}
