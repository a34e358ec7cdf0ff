//! `keng user` and `keng token`: who may use a node.
//!
//! Both speak to the running node, so that its audit log knows who did what.

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::tail::percent_encode;
use crate::client::{Remote, part};
use crate::exit::{Exit, Failure};
use crate::output;

/// Arguments of `keng user`.
#[derive(Debug, Args)]
pub(crate) struct User {
    #[command(subcommand)]
    action: UserAction,
    /// Print NDJSON even on a terminal
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum UserAction {
    /// Add a person; the password is read from standard input
    Add {
        /// Name to sign in with
        name: String,
        /// viewer, analyst, responder, engineer or administrator
        #[arg(long, default_value = "analyst")]
        role: String,
    },
    /// List people
    List,
    /// End somebody's access and sessions
    Disable {
        /// Name
        name: String,
    },
    /// Set a password, read from standard input
    Passwd {
        /// Name
        name: String,
    },
}

/// Arguments of `keng token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: TokenAction,
    /// Print NDJSON even on a terminal
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum TokenAction {
    /// Make a token; it is shown once
    Create {
        /// What it is for
        name: String,
        /// sender (sends events, reads nothing), viewer, analyst, responder, engineer or
        /// administrator
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Days until it expires [default: 90]
        #[arg(long)]
        days: Option<u32>,
    },
    /// List tokens (never their secrets)
    List,
    /// End a token
    Revoke {
        /// Token id, from the list
        id: String,
    },
}

/// Runs `keng user`.
///
/// # Errors
/// When the node cannot be reached or refuses.
pub(crate) async fn user(arguments: User) -> anyhow::Result<Exit> {
    let client = arguments.remote.client()?;
    let people = output::for_people(arguments.json);
    match arguments.action {
        UserAction::Add { name, role } => {
            let password = read_password()?;
            let body = json!({"name": name, "role": role, "password": password});
            let made: Value = client.post("/api/v1/users", &body).await?;
            if people {
                output::line(&format!("{name} may sign in now"))?
            } else {
                output::json_line(&made)?
            }
        }
        UserAction::List => {
            let answer: Value = client.get("/api/v1/users").await?;
            print_list(
                part(&answer, "/users"),
                people,
                &["name", "role", "disabled", "last_login_at"],
            )?;
        }
        UserAction::Disable { name } => {
            let path = format!("/api/v1/users/{}/disable", percent_encode(&name));
            let _: Value = client.post(&path, &json!({})).await?;
            output::note(&format!("{name} can no longer sign in"));
        }
        UserAction::Passwd { name } => {
            let body = json!({"password": read_password()?});
            let path = format!("/api/v1/users/{}/password", percent_encode(&name));
            let _: Value = client.post(&path, &body).await?;
            output::note(&format!("{name} has a new password"));
        }
    }
    Ok(Exit::Fine)
}

/// Runs `keng token`.
///
/// # Errors
/// When the node cannot be reached or refuses.
pub(crate) async fn token(arguments: Token) -> anyhow::Result<Exit> {
    let client = arguments.remote.client()?;
    let people = output::for_people(arguments.json);
    match arguments.action {
        TokenAction::Create { name, role, days } => {
            let mut body = json!({"name": name, "role": role});
            if let (Some(days), Some(body)) = (days, body.as_object_mut()) {
                body.insert("expires_in_days".to_owned(), json!(days));
            }
            let made: Value = client.post("/api/v1/tokens", &body).await?;
            if people {
                output::line(part(&made, "/secret").as_str().unwrap_or_default())?;
                output::note("keep it now: it is not shown again");
            } else {
                output::json_line(&made)?;
            }
        }
        TokenAction::List => {
            let answer: Value = client.get("/api/v1/tokens").await?;
            let columns = ["id", "name", "role", "created_at", "expires_at", "used_at"];
            print_list(part(&answer, "/tokens"), people, &columns)?;
        }
        TokenAction::Revoke { id } => {
            client.delete(&format!("/api/v1/tokens/{}", percent_encode(&id))).await?;
            output::note("the token no longer works");
        }
    }
    Ok(Exit::Fine)
}

fn print_list(list: &Value, people: bool, columns: &[&str]) -> anyhow::Result<()> {
    let rows = list.as_array().cloned().unwrap_or_default();
    if !people {
        return rows.iter().try_for_each(output::json_line);
    }
    let cell = |row: &Value, column: &&str| match row.get(*column) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    let headings: Vec<String> =
        columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    output::table(&headings, &cells)
}

/// One line of standard input. On a terminal the user is told what is awaited.
fn read_password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        output::note("password (shown as you type; pipe it in to avoid that):");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::error(Exit::Invalid, "no password on standard input"));
    }
    Ok(password.to_owned())
}
