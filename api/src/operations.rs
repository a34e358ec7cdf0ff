//! What operators and their monitoring ask: metrics, health, status, reload.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::access::Caller;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::{Component, openapi};

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = [(header::CONTENT_TYPE, keng_metrics::CONTENT_TYPE)];
    (kind, app.state.registry.render()).into_response()
}

/// The process answers.
pub(crate) async fn healthy() -> &'static str {
    "ok\n"
}

/// Every part of the node does its work.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let components = (app.state.components)();
    let mut text = String::new();
    for component in &components {
        let state = if component.ready { "ready" } else { "not ready" };
        let detail = component.detail.as_deref().unwrap_or_default();
        text.push_str(format!("{}: {state} {detail}", component.name).trim_end());
        text.push('\n');
    }
    let all = components.iter().all(|component| component.ready);
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    now: keng_event::Timestamp,
    components: Vec<Component>,
    /// `None` where detection does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<RuleCounts>,
}

#[derive(Serialize)]
struct RuleCounts {
    loaded: usize,
    problems: usize,
}

pub(crate) async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let rules = app.state.rules.as_ref().map(|current| {
        let current = current.borrow();
        RuleCounts { loaded: current.rules.len(), problems: current.problems.len() }
    });
    Json(Status {
        version: app.state.version,
        now: app.state.clock.now(),
        components: (app.state.components)(),
        rules,
    })
}

#[derive(Serialize)]
pub(crate) struct Reloaded {
    /// What was reloaded, in words.
    reloaded: String,
}

pub(crate) async fn reload(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Reloaded>, Problem> {
    let reload = app.state.reload.clone().ok_or_else(|| {
        Problem::new(Code::Unavailable, "this node cannot reload").hint("restart it")
    })?;
    app.audit(&caller, "reloaded", None, None).await?;
    match reload().await {
        Ok(reloaded) => Ok(Json(Reloaded { reloaded })),
        Err(reason) => Err(Problem::new(Code::Invalid, reason)
            .hint("what ran before still runs; put it right and reload again")),
    }
}

pub(crate) async fn openapi(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    Json(openapi::document(app.state.version))
}
