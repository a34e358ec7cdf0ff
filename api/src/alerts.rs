//! The alert desk over HTTP: lists, one alert, what people do with it, and who was told.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use keng_alerting::{
    Action, Alert, AlertPage, BulkOutcome, ChannelSummary, Filter, NotificationFilter,
    NotificationPage, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::app::App;
use crate::extract::{Body, Parameters};
use crate::problem::{Code, Problem};

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<AlertPage>, Problem> {
    Ok(Json(app.desk()?.list(&filter).await?))
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Alert>, Problem> {
    Ok(Json(app.desk()?.get(&id).await?))
}

/// What acknowledging and reopening may say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Noted {
    note: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assigned {
    /// Nobody if it is absent.
    assignee: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closed {
    verdict: Verdict,
    note: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    note: String,
    version: Option<u64>,
}

pub(crate) async fn acknowledge(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(body): Body<Noted>,
) -> Result<Json<Alert>, Problem> {
    act(&app, &caller, &id, &Action::Acknowledge { note: body.note }, body.version).await
}

pub(crate) async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(body): Body<Assigned>,
) -> Result<Json<Alert>, Problem> {
    act(&app, &caller, &id, &Action::Assign { assignee: body.assignee }, body.version).await
}

pub(crate) async fn close(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(body): Body<Closed>,
) -> Result<Json<Alert>, Problem> {
    let action = Action::Close { verdict: body.verdict, note: body.note };
    act(&app, &caller, &id, &action, body.version).await
}

pub(crate) async fn reopen(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(body): Body<Noted>,
) -> Result<Json<Alert>, Problem> {
    act(&app, &caller, &id, &Action::Reopen { note: body.note }, body.version).await
}

pub(crate) async fn note(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(body): Body<Words>,
) -> Result<Json<Alert>, Problem> {
    act(&app, &caller, &id, &Action::Note { note: body.note }, body.version).await
}

async fn act(
    app: &App,
    caller: &Caller,
    id: &str,
    action: &Action,
    version: Option<u64>,
) -> Result<Json<Alert>, Problem> {
    Ok(Json(app.desk()?.act(id, action, &caller.actor(), version).await?))
}

/// The same for many: `{"ids": […], "action": "close", "verdict": "benign"}`.
#[derive(Deserialize)]
pub(crate) struct Bulk {
    ids: Vec<String>,
    #[serde(flatten)]
    action: Action,
}

#[derive(Serialize)]
pub(crate) struct BulkAnswer {
    /// How many were changed.
    done: usize,
    /// Which were not, and why.
    failed: Vec<BulkOutcome>,
}

pub(crate) async fn bulk(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(bulk): Body<Bulk>,
) -> Result<Json<BulkAnswer>, Problem> {
    let outcomes = app.desk()?.bulk(&bulk.ids, &bulk.action, &caller.actor()).await?;
    let total = outcomes.len();
    let failed: Vec<_> = outcomes.into_iter().filter(|one| one.error.is_some()).collect();
    Ok(Json(BulkAnswer { done: total.saturating_sub(failed.len()), failed }))
}

pub(crate) async fn notifications(
    State(app): State<Arc<App>>,
    Parameters(filter): Parameters<NotificationFilter>,
) -> Result<Json<NotificationPage>, Problem> {
    Ok(Json(app.desk()?.notifications(&filter).await?))
}

#[derive(Serialize)]
pub(crate) struct ChannelList {
    channels: Vec<ChannelSummary>,
}

pub(crate) async fn channels(State(app): State<Arc<App>>) -> Result<Json<ChannelList>, Problem> {
    Ok(Json(ChannelList { channels: app.desk()?.channels() }))
}

pub(crate) async fn test_channel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(path): Path<String>,
) -> Result<StatusCode, Problem> {
    // The router knows no suffix after a parameter, so it comes with it.
    let name = path.strip_suffix(":test").ok_or_else(|| Problem::not_found("route", &path))?;
    app.desk()?.test_channel(name, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<keng_alerting::Error> for Problem {
    fn from(error: keng_alerting::Error) -> Self {
        use keng_alerting::Error as E;
        let message = error.to_string();
        match error {
            E::NotFound { what, id } => Self::not_found(what, &id),
            E::Changed { .. } | E::NotNow { .. } | E::Exists { .. } => {
                Self::new(Code::Conflict, message)
            }
            E::Invalid(_) => Self::new(Code::Invalid, message),
            E::Refused(_) => Self::new(Code::Unauthenticated, message),
            E::Throttled { retry_after } => {
                Self::new(Code::Throttled, message).retry_after(retry_after.as_secs().max(1))
            }
            E::Delivery { .. } => Self::new(Code::Unavailable, message)
                .hint("check the channel's settings and that its other end is up"),
            error => Self::internal("the alert store", error),
        }
    }
}
