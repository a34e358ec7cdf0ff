//! Turning rules on and off, and putting them on trial.
//!
//! What happens to the states, and when they are in force, is the node's matter; here is who may
//! ask for it and what the answer looks like. States are a node's own, so the answer says what they
//! hold for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use keng_rules_engine::{RuleState, RuleSummary};
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::app::App;
use crate::extract::OptionalBody;
use crate::problem::{Code, Problem};
use crate::state::{RuleStateChange, StatesHoldFor};

/// Longest note, in characters, as with alerts.
const NOTE_CHARACTERS_MAX: usize = 4_000;

/// Why the rule is in this state.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Why {
    note: Option<String>,
}

/// A rule as it is now.
#[derive(Serialize)]
pub(crate) struct Changed {
    #[serde(flatten)]
    rule: RuleSummary,
    states_hold_for: StatesHoldFor,
}

/// `POST /api/v1/rules/{id}:enable`, `:disable`, `:test`.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(path): Path<String>,
    OptionalBody(Why { note }): OptionalBody<Why>,
) -> Result<Json<Changed>, Problem> {
    let rules = app.state.rules.as_ref().ok_or_else(|| Problem::role_absent("rules"))?;
    let change = app.state.set_rule_state.clone().ok_or_else(|| {
        let detail = "states of rules hold for nothing on a node that neither opens alerts nor \
                      evaluates rules";
        Problem::new(Code::RoleAbsent, detail).hint("ask the node with the role 'alert'")
    })?;
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
    let rule = find().ok_or_else(|| Problem::not_found("rule", id))?;
    Ok(Json(Changed { rule, states_hold_for: app.state.states_hold_for }))
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
