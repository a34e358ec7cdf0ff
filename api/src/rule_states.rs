//! Turning rules on and off, and putting them on trial.
//!
//! What happens to the states, and when they are in force, is the node's matter; here is who may
//! ask for it and what the answer looks like.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use keng_rules_engine::{RuleState, RuleSummary};
use serde::Deserialize;

use crate::access::Caller;
use crate::app::App;
use crate::extract::OptionalBody;
use crate::problem::{Code, Problem};
use crate::state::RuleStateChange;

/// Longest note, in characters, as with alerts.
const NOTE_CHARACTERS_MAX: usize = 4_000;

/// Why the rule is in this state.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Why {
    note: Option<String>,
}

/// `POST /api/v1/rules/{id}:enable`, `:disable`, `:test`.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(path): Path<String>,
    OptionalBody(Why { note }): OptionalBody<Why>,
) -> Result<Json<RuleSummary>, Problem> {
    let rules = app.state.rules.as_ref().ok_or_else(|| Problem::role_absent("rules"))?;
    let change = app.state.set_rule_state.clone();
    let change = change.ok_or_else(|| Problem::role_absent("rules"))?;
    let (id, state, deed) = asked(&path)?;
    if note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARACTERS_MAX) {
        let detail = format!("the note is too long: at most {NOTE_CHARACTERS_MAX} characters");
        return Err(Problem::new(Code::Invalid, detail));
    }
    let find = || rules.borrow().rules.summaries().iter().find(|rule| rule.id == id).cloned();
    if find().is_none() {
        return Err(Problem::not_found("rule", id)
            .hint(
            "`keng rules list` and `GET /api/v1/rules` have all of them, the latter also what keeps \
             others from running",
        ));
    }
    app.audit(&caller, deed, Some(id), note.as_deref()).await?;
    let by = caller.actor().name;
    change(RuleStateChange { rule: id.to_owned(), state, by, note }).await.map_err(|reason| {
        Problem::new(Code::Unavailable, reason).hint("see what is in force with GET /api/v1/rules")
    })?;
    find().map(Json).ok_or_else(|| Problem::not_found("rule", id))
}

/// The rule, its new state, and the word for the audit log. The router knows no suffix after a
/// parameter, so it comes with it.
fn asked(path: &str) -> Result<(&str, RuleState, &'static str), Problem> {
    let known = |word: &str| match word {
        "enable" => Some((RuleState::On, "rule_enabled")),
        "disable" => Some((RuleState::Off, "rule_disabled")),
        "test" => Some((RuleState::Test, "rule_put_on_test")),
        _ => None,
    };
    let parts = path.rsplit_once(':').and_then(|(id, word)| Some((id, known(word)?)));
    let (id, (state, deed)) = parts.ok_or_else(|| {
        Problem::not_found("route", path).hint("add :enable, :disable or :test to the rule's id")
    })?;
    Ok((id, state, deed))
}
