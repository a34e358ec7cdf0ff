//! `POST /api/v1/rules:backtest`: rules that are loaded, or in the request, over this node's
//! index.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keng_rules_engine::{Problem as RuleProblem, Warning};
use serde::{Deserialize, Serialize};

use super::{Period, Report, run};
use crate::access::Caller;
use crate::app::App;
use crate::extract::{Body, Zone};
use crate::problem::{Code, Problem};
use crate::rules::Asked;

/// What to run over which history.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BacktestRequest {
    rules: Option<String>,
    ids: Option<Vec<String>>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
    events_max: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct BacktestAnswer {
    #[serde(flatten)]
    report: Report,
    /// What is wrong with rules of the request, which were left out.
    problems: Vec<RuleProblem>,
    /// What is odd about the others.
    warnings: Vec<Warning>,
}

pub(crate) async fn backtest(
    State(app): State<Arc<App>>,
    caller: Caller,
    Zone(zone): Zone,
    Body(request): Body<BacktestRequest>,
) -> Result<Json<BacktestAnswer>, Problem> {
    let BacktestRequest { rules, ids, from, to, limit, events_max } = request;
    let asked = Asked::new(rules, ids)?;
    let period = Period { from, to, limit, events_max };
    app.searcher()?;
    let turn = Arc::clone(&app.backtests).try_acquire_owned().map_err(|_| {
        Problem::new(Code::Busy, "another backtest runs on this node").retry_after(5)
    })?;
    app.audit(&caller, "backtested_rules", None, Some(&described(&asked, &period))).await?;
    let (loaded, settings) = app.load(&caller, asked).await?;
    let rules = Arc::new(loaded.rules);
    let report = app
        .searching(zone, move |searcher, control| {
            // Held until the work is done, not until the sender hangs up.
            let _turn = turn;
            run(searcher, &rules, &settings, &period, control, &mut |_| {})
        })
        .await?;
    let (problems, warnings) = (loaded.problems, loaded.warnings);
    Ok(Json(BacktestAnswer { report, problems, warnings }))
}

/// A backtest in one line of the audit log.
fn described(asked: &Asked, period: &Period) -> String {
    let range = |label: &str, time: &Option<String>| {
        time.as_ref().map(|time| format!(" {label} {time}")).unwrap_or_default()
    };
    format!("{asked}{}{}", range("from", &period.from), range("to", &period.to))
}
