//! Turning rules on and off, and putting them on trial; one, or many in one step.
//!
//! What happens to the states, and when they are in force, is the node's matter; here is who may
//! ask for it and what the answer looks like. States are a node's own, so the answer says what they
//! hold for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use keng_rules_engine::limits::RULES_MAX;
use keng_rules_engine::{Decision, RuleState, RuleSummary};
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::app::App;
use crate::extract::{Body, OptionalBody};
use crate::problem::{Code, Problem};
use crate::state::{RuleStateChange, StatesHoldFor};

/// Unknown ids that a refusal names.
const UNKNOWN_SHOWN_MAX: usize = 10;

/// Why the rule is in this state.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Why {
    note: Option<String>,
}

/// The state that several rules are to have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Many {
    ids: Vec<String>,
    state: RuleState,
    note: Option<String>,
}

/// A rule as it is now.
#[derive(Serialize)]
pub(crate) struct Changed {
    #[serde(flatten)]
    rule: RuleSummary,
    #[serde(flatten)]
    reach: Reach,
}

/// Rules as they are now, in the order in which they were named.
#[derive(Serialize)]
pub(crate) struct ManyChanged {
    rules: Vec<RuleSummary>,
    #[serde(flatten)]
    reach: Reach,
}

/// How far a change goes.
#[derive(Serialize)]
struct Reach {
    states_hold_for: StatesHoldFor,
    /// Whether detection goes by it already. If not, it does as soon as it moves on.
    in_force: bool,
}

/// `POST /api/v1/rules/{id}:enable`, `:disable`, `:test`.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(path): Path<String>,
    OptionalBody(Why { note }): OptionalBody<Why>,
) -> Result<Json<Changed>, Problem> {
    let (id, state) = asked(&path)?;
    let (mut rules, reach) = app.put(&caller, vec![id.to_owned()], state, note).await?;
    let rule = rules.pop().ok_or_else(|| Problem::not_found("rule", id))?;
    Ok(Json(Changed { rule, reach }))
}

/// `POST /api/v1/rules:state`.
pub(crate) async fn change_many(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(Many { ids, state, note }): Body<Many>,
) -> Result<Json<ManyChanged>, Problem> {
    if ids.len() > RULES_MAX {
        return Err(Problem::new(Code::Malformed, format!("at most {RULES_MAX} `ids` are taken")));
    }
    let mut seen = BTreeSet::new();
    let ids = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
    let (rules, reach) = app.put(&caller, ids, state, note).await?;
    Ok(Json(ManyChanged { rules, reach }))
}

impl App {
    /// Puts rules into a state: all of them, or none where one is unknown.
    async fn put(
        &self,
        caller: &Caller,
        ids: Vec<String>,
        state: RuleState,
        note: Option<String>,
    ) -> Result<(Vec<RuleSummary>, Reach), Problem> {
        let reach = |in_force| Reach { states_hold_for: self.state.states_hold_for, in_force };
        let change = self.state.set_rule_state.clone().ok_or_else(|| {
            let detail = "states of rules hold for nothing on a node that neither opens alerts nor \
                          evaluates rules";
            Problem::new(Code::RoleAbsent, detail).hint("ask the node with the role 'alert'")
        })?;
        let note = note.as_deref().map(Decision::note).transpose();
        let note = note.map_err(|detail| Problem::new(Code::Invalid, detail))?;
        let (_, unknown) = self.find(&ids)?;
        if !unknown.is_empty() {
            return Err(none_changed(&unknown));
        }
        if ids.is_empty() {
            return Ok((Vec::new(), reach(true)));
        }
        let deed = match state {
            RuleState::On => "rule_enabled",
            RuleState::Off => "rule_disabled",
            RuleState::Test => "rule_put_on_test",
        };
        self.audit_each(caller, deed, &ids, note.as_deref()).await?;
        let by = caller.actor().name;
        let wanted = RuleStateChange { rules: ids.clone(), state, by, note };
        let changed = change(wanted).await;
        let in_force = changed.map_err(|reason| Problem::new(Code::Unavailable, reason))?;
        // What a reload took away meanwhile is left out.
        Ok((self.find(&ids)?.0, reach(in_force)))
    }

    /// The rules of these ids as they are now, and the ids that none has.
    fn find<'i>(&self, ids: &'i [String]) -> Result<(Vec<RuleSummary>, Vec<&'i str>), Problem> {
        let rules = self.current()?.rules;
        let known: BTreeMap<&str, &RuleSummary> =
            rules.summaries().iter().map(|rule| (rule.id.as_str(), rule)).collect();
        let found = ids.iter().filter_map(|id| known.get(id.as_str()));
        let found = found.map(|rule| (*rule).clone()).collect();
        let unknown = ids.iter().map(String::as_str).filter(|id| !known.contains_key(id)).collect();
        Ok((found, unknown))
    }
}

fn none_changed(unknown: &[&str]) -> Problem {
    let quoted = |id: &&str| format!("'{}'", id.chars().take(80).collect::<String>());
    let shown: Vec<String> = unknown.iter().take(UNKNOWN_SHOWN_MAX).map(quoted).collect();
    let more = match unknown.len().saturating_sub(UNKNOWN_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = if unknown.len() == 1 { "there is no rule" } else { "there are no rules" };
    Problem::new(Code::NotFound, format!("{what} {}{more}", shown.join(", "))).hint(
        "nothing was changed; `keng rules list` and `GET /api/v1/rules` have all rules, the latter \
         also what keeps others from running",
    )
}

/// The rule and its new state. The router knows no suffix after a parameter, so it comes with it.
fn asked(path: &str) -> Result<(&str, RuleState), Problem> {
    let known = |word: &str| match word {
        "enable" => Some(RuleState::On),
        "disable" => Some(RuleState::Off),
        "test" => Some(RuleState::Test),
        _ => None,
    };
    let parts = path.rsplit_once(':').and_then(|(id, word)| Some((id, known(word)?)));
    parts.ok_or_else(|| {
        Problem::not_found("route", path).hint("add :enable, :disable or :test to the rule's id")
    })
}
