//! Who has sent events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keng_ingest::SourceStatus;
use serde::Serialize;

use crate::app::App;
use crate::problem::Problem;

#[derive(Serialize)]
pub(crate) struct SourceList {
    sources: Vec<SourceStatus>,
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<SourceList>, Problem> {
    let sources = app.state.sources.as_ref().ok_or_else(|| Problem::role_absent("ingest"))?;
    Ok(Json(SourceList { sources: sources.list() }))
}
