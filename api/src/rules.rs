//! The rules that run, and checking rules before they do.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use keng_alerting::Permission;
use keng_rules_engine::{
    Config, Loaded, Problem as RuleProblem, RuleActivity, RuleSummary, Warning,
};
use serde::Serialize;

use crate::access::{Caller, forbidden};
use crate::app::App;
use crate::extract::{bytes, media_type};
use crate::limits::BODY_BYTES_MAX;
use crate::problem::{Code, Problem};
use crate::{CurrentRules, StatesHoldFor};

/// Most rules that a request may name: they are looked for one by one.
const IDS_MAX: usize = 1_000;

#[derive(Serialize)]
pub(crate) struct RuleList {
    rules: Vec<Listed>,
    states_hold_for: StatesHoldFor,
    /// What is wrong with the rules that do not run.
    problems: Vec<RuleProblem>,
}

/// A rule, and what it cost and found.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    rule: RuleSummary,
    activity: RuleActivity,
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<RuleList>, Problem> {
    let current = app.current()?;
    let listed = |(number, rule): (usize, &RuleSummary)| Listed {
        rule: rule.clone(),
        activity: current.rules.activity(number),
    };
    let rules = current.rules.summaries().iter().enumerate().map(listed).collect();
    let (problems, states_hold_for) = (current.problems.to_vec(), app.state.states_hold_for);
    Ok(Json(RuleList { rules, states_hold_for, problems }))
}

#[derive(Serialize)]
pub(crate) struct CheckAnswer {
    /// Rules that are sound.
    loaded: usize,
    /// Faults in the others.
    failed: usize,
    errors: Vec<RuleProblem>,
    /// What is odd about the sound ones.
    warnings: Vec<Warning>,
}

/// Compiles a text of Sigma rules as YAML, with this node's pipelines and value lists, without
/// running them.
pub(crate) async fn check(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<CheckAnswer>, Problem> {
    let kind = media_type(request.headers());
    if !matches!(kind.as_str(), "application/yaml" | "text/plain") {
        let detail = format!("a body of type '{kind}' is not taken here");
        return Err(Problem::new(Code::UnsupportedMedia, detail)
            .hint("send the rules with `Content-Type: application/yaml`"));
    }
    let body = bytes(request, &(), BODY_BYTES_MAX).await?;
    let (loaded, _) = app.compile(String::from_utf8_lossy(&body).into_owned()).await?;
    let loaded = loaded.at(app.state.clock.now());
    let Loaded { rules, problems: errors, warnings, .. } = loaded;
    Ok(Json(CheckAnswer { loaded: rules.len(), failed: errors.len(), errors, warnings }))
}

/// The rules that a request speaks of.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Written in it.
    Text(String),
    /// Loaded here, by their ids.
    Ids(Vec<String>),
}

impl Asked {
    pub(crate) fn new(rules: Option<String>, ids: Option<Vec<String>>) -> Result<Self, Problem> {
        match (rules, ids) {
            (Some(text), None) => Ok(Self::Text(text)),
            (None, Some(ids)) if ids.len() <= IDS_MAX => Ok(Self::Ids(ids)),
            (None, Some(_)) => {
                Err(Problem::new(Code::Malformed, format!("at most {IDS_MAX} `ids` are taken")))
            }
            _ => Err(Problem::new(Code::Malformed, "rules are needed")
                .hint("give either `rules`, as YAML, or the `ids` of rules that are loaded")),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "rules of its own ({} bytes)", text.len()),
            Self::Ids(ids) => match ids.as_slice() {
                [first, _, _, _, ..] => write!(f, "{first} and {} more", ids.len() - 1),
                few => f.write_str(&few.join(", ")),
            },
        }
    }
}

impl App {
    /// The rules that are asked for, and the settings that they run with.
    pub(crate) async fn load(
        &self,
        caller: &Caller,
        asked: Asked,
    ) -> Result<(Loaded, Arc<Config>), Problem> {
        if !caller.principal.may(Permission::ReadRules) {
            return Err(forbidden(&caller.principal, Permission::ReadRules));
        }
        let ids = match asked {
            Asked::Text(text) => return self.compile(text).await,
            Asked::Ids(ids) => ids,
        };
        let CurrentRules { rules, settings, .. } = self.current()?;
        let pick = move || rules.subset(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        let picked = self.compiling(pick).await?;
        let rules = picked.map_err(|error| Problem::new(Code::NotFound, error.to_string()))?;
        Ok((Loaded { rules, ..Loaded::default() }, settings))
    }

    /// The rules that are in force, or shall be.
    pub(crate) fn current(&self) -> Result<CurrentRules, Problem> {
        let current = self.state.rules.as_ref().ok_or_else(|| Problem::role_absent("rules"))?;
        Ok(current.borrow().clone())
    }

    /// Compiles rules as this node would.
    async fn compile(&self, text: String) -> Result<(Loaded, Arc<Config>), Problem> {
        let (settings, datasets) = (self.current()?.settings, self.state.datasets);
        let used = Arc::clone(&settings);
        let compile = move || used.load_text("request", &text, datasets);
        Ok((self.compiling(compile).await?, settings))
    }

    /// Does what may take long to compile, on a thread that may block.
    async fn compiling<T: Send + 'static>(
        &self,
        compile: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.checks).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Busy, "other rules are being checked").retry_after(1)
        })?;
        let compiled = tokio::task::spawn_blocking(move || {
            // Held until the work is done, not until the sender hangs up.
            let _turn = turn;
            compile()
        });
        compiled.await.map_err(|error| Problem::internal("checking the rules", error))
    }
}
