//! The rules that run, and checking rules before they do.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use keng_rules_engine::{Problem as RuleProblem, RuleSummary, load_text};
use serde::Serialize;

use crate::app::App;
use crate::extract::{bytes, media_type};
use crate::limits::BODY_BYTES_MAX;
use crate::problem::{Code, Problem};

#[derive(Serialize)]
pub(crate) struct RuleList {
    rules: Vec<RuleSummary>,
    /// What is wrong with the rules that do not run.
    problems: Vec<RuleProblem>,
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<RuleList>, Problem> {
    let current = app.state.rules.as_ref().ok_or_else(|| Problem::role_absent("rules"))?;
    let current = current.borrow().clone();
    let rules = current.rules.summaries().to_vec();
    Ok(Json(RuleList { rules, problems: current.problems.to_vec() }))
}

#[derive(Serialize)]
pub(crate) struct CheckAnswer {
    /// Rules that are sound.
    loaded: usize,
    /// Faults in the others.
    failed: usize,
    errors: Vec<RuleProblem>,
}

/// Compiles a text of Sigma rules as YAML without running them.
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
    let datasets = app.state.datasets;
    let turn = Arc::clone(&app.checks)
        .try_acquire_owned()
        .map_err(|_| Problem::new(Code::Busy, "other rules are being checked").retry_after(1))?;
    let compile = move || {
        // Held until the work is done, not until the sender hangs up.
        let _turn = turn;
        let text = String::from_utf8_lossy(&body);
        load_text("request", &text, datasets)
    };
    let checked = tokio::task::spawn_blocking(compile).await;
    let loaded = checked.map_err(|error| Problem::internal("checking the rules", error))?;
    let errors = loaded.problems;
    Ok(Json(CheckAnswer { loaded: loaded.rules.len(), failed: errors.len(), errors }))
}
