//! `keng alerts`: the alert desk from a terminal.

mod view;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::tail::percent_encode;
use crate::client::{Client, Remote, part};
use crate::exit::{Exit, Failure};
use crate::output;

/// Characters of a whole id; a shorter one is looked up as the beginning of one.
const ID_LENGTH: usize = 32;

/// Alerts that an ambiguous beginning names in its error.
const CANDIDATES: usize = 5;

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
        /// Only alerts in any of these states: open, acknowledged, closed; with commas between
        #[arg(long)]
        state: Option<String>,
        /// Only alerts of this severity or graver
        #[arg(long)]
        severity: Option<String>,
        /// Only alerts of rules that are on test (true), or none of them (false)
        #[arg(long)]
        test: Option<bool>,
        /// Most alerts to print
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Show one alert whole
    Show {
        /// Alert id, or as much of its beginning as names no other
        id: String,
    },
    /// Say that you are looking at it
    Ack {
        /// Alert id, or as much of its beginning as names no other
        id: String,
        /// A note for the history
        #[arg(long)]
        note: Option<String>,
    },
    /// Give it to somebody
    Assign {
        /// Alert id, or as much of its beginning as names no other
        id: String,
        /// User name
        to: String,
    },
    /// Close it with a verdict
    Close {
        /// Alert id, or as much of its beginning as names no other
        id: String,
        /// `true_positive`, `false_positive`, benign, duplicate, test or inconclusive
        #[arg(long)]
        verdict: String,
        /// A note for the history
        #[arg(long)]
        note: Option<String>,
    },
    /// Open a closed alert again
    Reopen {
        /// Alert id, or as much of its beginning as names no other
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
        Action::List { state, severity, test, limit } => {
            let filters = [
                ("state", state),
                ("severity", severity),
                ("test", test.map(|test| test.to_string())),
            ];
            return list(&client, people, filters, limit).await;
        }
        Action::Show { id } => {
            let id = whole(&client, id).await?;
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
    let id = whole(&client, id).await?;
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

/// The one id that begins like this; an id that is none is left for the node to refuse.
async fn whole(client: &Client, id: String) -> anyhow::Result<String> {
    if id.is_empty() || id.chars().count() >= ID_LENGTH {
        return Ok(id);
    }
    let limit = CANDIDATES + 1;
    let path = format!("/api/v1/alerts?limit={limit}&id={}", percent_encode(&id));
    let answer: Value = client.get(&path).await?;
    let alerts = part(&answer, "/alerts").as_array().map(Vec::as_slice).unwrap_or_default();
    let found: Vec<&str> = alerts.iter().filter_map(|alert| part(alert, "/id").as_str()).collect();
    match found.as_slice() {
        [] => Ok(id),
        [only] => Ok((*only).to_owned()),
        several => {
            let named = several.iter().take(CANDIDATES).copied().collect::<Vec<_>>().join("\n  ");
            let total = part(&answer, "/total");
            let message = format!("{total} alerts begin with '{id}': write more of it\n  {named}");
            Err(Failure::error(Exit::Invalid, message))
        }
    }
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
    filters: [(&str, Option<String>); 3],
    limit: u64,
) -> anyhow::Result<Exit> {
    let mut path = format!("/api/v1/alerts?limit={limit}");
    for (name, value) in filters {
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
    let rows: Vec<_> = alerts.iter().map(view::row).collect();
    output::table(&view::HEADINGS, &rows)?;
    Ok(Exit::Fine)
}

fn show(alert: &Value, people: bool) -> anyhow::Result<Exit> {
    if people {
        view::page(alert).iter().try_for_each(|line| output::line(&output::safe(line)))?;
    } else {
        output::json_line(alert)?;
    }
    Ok(Exit::Fine)
}
