//! Signing in, signing out, and the first person of all.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use keng_alerting::people::NewSession;
use keng_alerting::{Permission, Role};
use serde::{Deserialize, Serialize};

use crate::access::{self, Caller};
use crate::app::App;
use crate::extract::Body;
use crate::problem::Problem;
use crate::server::Peer;

/// Who is asking, and what the page may offer them.
#[derive(Serialize)]
pub(crate) struct WhoAmI {
    signed_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `person`, `token` or `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    permissions: Vec<&'static str>,
    version: &'static str,
}

/// Answers everybody: the page asks before it knows whether anybody is signed in.
pub(crate) async fn who_am_i(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Json<WhoAmI> {
    let address = peer.address.ip().to_canonical();
    let caller = match access::credential(request.headers()) {
        Ok(Some(credential)) => app.identify(credential, address).await.ok(),
        _ => None,
    };
    Json(describe(caller.as_ref(), app.state.version))
}

fn describe(caller: Option<&Caller>, version: &'static str) -> WhoAmI {
    let permissions = |caller: &Caller| {
        let held = Permission::ALL.into_iter().filter(|wanted| caller.principal.may(*wanted));
        held.map(access::permission_word).collect()
    };
    WhoAmI {
        signed_in: caller.is_some(),
        name: caller.map(|caller| caller.principal.name.clone()),
        kind: caller.map(Caller::kind),
        role: caller.map(|caller| caller.principal.role),
        permissions: caller.map(permissions).unwrap_or_default(),
        version,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    name: String,
    password: String,
}

pub(crate) async fn login(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Body(login): Body<Login>,
) -> Result<Response, Problem> {
    // Another site must not be able to sign somebody in as somebody else.
    access::same_site(&headers)?;
    let address = Some(peer.address.ip().to_canonical());
    let session = app.state.people.login(&login.name, &login.password, address).await?;
    Ok(signed_in(&app, peer, &headers, session))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// What the one-time link carries.
    token: String,
    name: String,
    password: String,
}

pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Body(setup): Body<Setup>,
) -> Result<Response, Problem> {
    access::same_site(&headers)?;
    let address = Some(peer.address.ip().to_canonical());
    let people = &app.state.people;
    let session = people.set_up(&setup.token, &setup.name, &setup.password, address).await?;
    Ok(signed_in(&app, peer, &headers, session))
}

fn signed_in(app: &App, peer: Peer, headers: &HeaderMap, session: NewSession) -> Response {
    let seconds = session.expires_at.since(app.state.clock.now()).as_secs();
    let cookie = access::set_cookie(peer, headers, &session.secret, seconds);
    let address = peer.address.ip().to_canonical();
    let caller = Caller { principal: session.principal, address };
    let who = Json(describe(Some(&caller), app.state.version));
    ([(header::SET_COOKIE, cookie)], who).into_response()
}

pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::same_site(&headers)?;
    if let Some(secret) = access::session_cookie(&headers) {
        app.state.people.logout(secret).await?;
    }
    let cookie = access::set_cookie(peer, &headers, "", 0);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}
