//! Who may come in: accounts, API tokens, and the log of what was done.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use keng_alerting::Role;
use keng_alerting::people::{
    ApiToken, AuditFilter, AuditPage, CreatedToken, NewPerson, NewToken, Person,
};
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::app::App;
use crate::extract::{Body, Parameters};
use crate::problem::{Code, Problem};

#[derive(Serialize)]
pub(crate) struct UserList {
    users: Vec<Person>,
}

pub(crate) async fn users(State(app): State<Arc<App>>) -> Result<Json<UserList>, Problem> {
    Ok(Json(UserList { users: app.state.people.persons().await? }))
}

pub(crate) async fn add_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(new): Body<NewPerson>,
) -> Result<(StatusCode, Json<Person>), Problem> {
    app.state.people.add_person(&new, &caller.actor()).await?;
    Ok((StatusCode::CREATED, app.person(&new.name).await?))
}

pub(crate) async fn disable_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Person>, Problem> {
    not_oneself(&caller, &name)?;
    app.state.people.set_disabled(&name, true, &caller.actor()).await?;
    app.person(&name).await
}

pub(crate) async fn enable_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Person>, Problem> {
    app.state.people.set_disabled(&name, false, &caller.actor()).await?;
    app.person(&name).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    password: String,
}

pub(crate) async fn set_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewPassword>,
) -> Result<Json<Person>, Problem> {
    app.state.people.set_password(&name, &new.password, &caller.actor()).await?;
    app.person(&name).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    role: Role,
}

pub(crate) async fn set_role(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewRole>,
) -> Result<Json<Person>, Problem> {
    not_oneself(&caller, &name)?;
    app.state.people.set_role(&name, new.role, &caller.actor()).await?;
    app.person(&name).await
}

/// Whoever takes their own rights away may leave nobody who can give them back.
fn not_oneself(caller: &Caller, name: &str) -> Result<(), Problem> {
    if caller.principal.name != name {
        return Ok(());
    }
    Err(Problem::new(Code::Conflict, "you cannot take your own rights away")
        .hint("let another administrator do it"))
}

impl App {
    async fn person(&self, name: &str) -> Result<Json<Person>, Problem> {
        let persons = self.state.people.persons().await?;
        let found = persons.into_iter().find(|person| person.name == name);
        found.map(Json).ok_or_else(|| Problem::not_found("person", name))
    }
}

#[derive(Serialize)]
pub(crate) struct TokenList {
    tokens: Vec<ApiToken>,
}

pub(crate) async fn tokens(State(app): State<Arc<App>>) -> Result<Json<TokenList>, Problem> {
    Ok(Json(TokenList { tokens: app.state.people.tokens().await? }))
}

/// Days that a token works when its maker does not say: a quarter, then somebody looks again.
const TOKEN_DAYS_DEFAULT: u64 = 90;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedToken {
    name: String,
    role: Role,
    expires_in_days: Option<u64>,
}

pub(crate) async fn create_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(wanted): Body<WantedToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let days = wanted.expires_in_days.unwrap_or(TOKEN_DAYS_DEFAULT);
    let new = NewToken { name: wanted.name, role: wanted.role, days };
    let created = app.state.people.create_token(&new, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

pub(crate) async fn revoke_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.state.people.revoke_token(&id, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    Parameters(filter): Parameters<AuditFilter>,
) -> Result<Json<AuditPage>, Problem> {
    Ok(Json(app.state.people.audit_page(&filter).await?))
}
