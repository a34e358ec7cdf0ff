//! What every request passes before and after its handler: who may come in, how large a body and
//! how long an answer may be, what is counted, and which headers every answer carries.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokio::time::timeout;

use crate::access::{self, Access, Credential};
use crate::app::App;
use crate::limits::{BODY_BYTES_MAX, INTAKE_BODY_BYTES_MAX, REQUEST_MAX};
use crate::problem::{Code, Problem};
use crate::routes::{Kind, Route};
use crate::server::Peer;

#[derive(Clone)]
struct Gate {
    app: Arc<App>,
    path: &'static str,
    method: &'static str,
    access: Access,
    kind: Kind,
}

/// Puts the gate before a route's handler.
pub(crate) fn guard(app: &Arc<App>, route: &Route) -> MethodRouter<Arc<App>> {
    let gate = Gate {
        app: Arc::clone(app),
        path: route.path,
        method: route.method,
        access: route.access,
        kind: route.kind,
    };
    let body_max = match route.kind {
        Kind::Intake => INTAKE_BODY_BYTES_MAX,
        Kind::Plain | Kind::Search | Kind::Stream => BODY_BYTES_MAX,
    };
    let handler = route.handler.clone().layer(DefaultBodyLimit::max(body_max));
    handler.layer(from_fn_with_state(gate, pass))
}

async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let clock = &gate.app.state.clock;
    let started = clock.elapsed();
    let response = match admit(&gate, &mut request).await {
        Ok(()) if gate.kind == Kind::Stream => next.run(request).await,
        Ok(()) => match timeout(REQUEST_MAX, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::new(Code::Timeout, "the request took too long and was given up")
                .retry_after(1)
                .into_response(),
        },
        Err(problem) => problem.into_response(),
    };
    let seconds = clock.elapsed().saturating_sub(started).as_secs_f64();
    let status = response.status().as_u16();
    gate.app.metrics.request(gate.path, gate.method, status, seconds);
    if gate.kind == Kind::Search {
        gate.app.metrics.search(status, seconds);
    }
    response
}

/// Lets the request in, with its [`access::Caller`] if the route asks for one, or says why not.
async fn admit(gate: &Gate, request: &mut Request) -> Result<(), Problem> {
    let peer = request.extensions().get::<Peer>().copied();
    // The server puts it into every request; without it nobody can be told from anybody.
    let peer =
        peer.ok_or_else(|| Problem::internal("identifying the client", "no peer address"))?;
    let open = match gate.access {
        Access::Open => true,
        Access::OpenOnLoopback(_) => {
            gate.app.open_metrics || access::is_local(peer, request.headers())
        }
        Access::SignedIn | Access::Needs(_) => false,
    };
    if open {
        return Ok(());
    }
    let credential = access::credential(request.headers())?.ok_or_else(access::unauthenticated)?;
    if matches!(credential, Credential::Session(_)) && writes(request.method()) {
        access::same_site(request.headers())?;
    }
    let caller = gate.app.identify(credential, peer.address.ip().to_canonical()).await?;
    if let Access::Needs(permission) | Access::OpenOnLoopback(permission) = gate.access
        && !caller.principal.may(permission)
    {
        return Err(access::forbidden(&caller.principal, permission));
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

fn writes(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
}

/// What the page may load: its own three files and nothing else; no script or style from
/// markup, no place to send anything, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Headers of every answer, also of those that no route gave.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    let tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
    let mut response = next.run(request).await;
    add_headers(response.headers_mut(), tls);
    response
}

fn add_headers(headers: &mut HeaderMap, tls: bool) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Logs are secrets: nothing keeps an answer unless its handler says so.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if tls {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
}
