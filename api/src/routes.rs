//! The one table of routes: method, path, who may, handler, and what the OpenAPI document says.
//!
//! A route exists only as a row here, and a row cannot be written without saying who may use it.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, Uri};
use axum::middleware::from_fn;
use axum::routing::{MethodFilter, MethodRouter, on};
use keng_alerting::Permission as P;

use crate::access::Access::{self, Needs, Open, OpenOnLoopback, SignedIn};
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::{
    alerts, backtest, events, explain, gate, operations, page, people, rule_states, rules, search,
    session, sources, tail,
};

/// How a request is bounded and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Small body, quick answer.
    Plain,
    /// Counted among the searches.
    Search,
    /// Large body.
    Intake,
    /// Goes on until the client leaves.
    Stream,
}

/// A row of the table.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) summary: &'static str,
    pub(crate) kind: Kind,
    /// Schema of the JSON body, or a media type.
    pub(crate) takes: Option<&'static str>,
    /// Whether there must be a body at all.
    pub(crate) needs_body: bool,
    /// Schema of the JSON answer, or a media type; nothing for 204.
    pub(crate) gives: Option<&'static str>,
    /// Status of success.
    pub(crate) status: u16,
    /// Parameters of the URL after the question mark.
    pub(crate) query: &'static [&'static str],
    pub(crate) handler: MethodRouter<Arc<App>>,
}

impl Route {
    fn new<H, T>(
        filter: MethodFilter,
        method: &'static str,
        path: &'static str,
        access: Access,
        handler: H,
        summary: &'static str,
    ) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        Self {
            method,
            path,
            access,
            summary,
            kind: Kind::Plain,
            takes: None,
            needs_body: false,
            gives: None,
            status: 200,
            query: &[],
            handler: on(filter, handler),
        }
    }

    fn takes(self, schema: &'static str) -> Self {
        Self { takes: Some(schema), needs_body: true, ..self }
    }

    fn may_take(self, schema: &'static str) -> Self {
        Self { takes: Some(schema), ..self }
    }

    fn gives(self, schema: &'static str) -> Self {
        Self { gives: Some(schema), ..self }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The path as the router knows it: a parameter is a whole segment there, so `{id}:test` is
    /// `{id}` and its handler takes the suffix off.
    fn router_path(&self) -> &'static str {
        self.path.rsplit_once("}:").map_or(self.path, |(parameter, _)| {
            self.path.get(..=parameter.len()).unwrap_or(self.path)
        })
    }
}

fn get<H, T>(path: &'static str, access: Access, handler: H, summary: &'static str) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    Route::new(MethodFilter::GET, "GET", path, access, handler, summary)
}

fn post<H, T>(path: &'static str, access: Access, handler: H, summary: &'static str) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    Route::new(MethodFilter::POST, "POST", path, access, handler, summary)
}

fn delete<H, T>(path: &'static str, access: Access, handler: H, summary: &'static str) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    Route::new(MethodFilter::DELETE, "DELETE", path, access, handler, summary).status(204)
}

/// All routes.
pub(crate) fn table() -> Vec<Route> {
    let groups = [event_routes(), alert_routes(), rule_routes(), people_routes(), node_routes()];
    groups.into_iter().flatten().collect()
}

fn event_routes() -> Vec<Route> {
    let read = Needs(P::ReadEvents);
    vec![
        post(
            "/api/v1/events",
            Needs(P::SendEvents),
            events::submit,
            "Append events; 200 once they are durable",
        )
        .kind(Kind::Intake)
        .takes("application/x-ndjson")
        .gives("Receipt"),
        get("/api/v1/events/{id}", read, search::event, "One event").gives("Event"),
        post("/api/v1/search", read, search::search, "Events that match, and how many there are")
            .kind(Kind::Search)
            .takes("SearchRequest")
            .gives("SearchAnswer"),
        post("/api/v1/histogram", read, search::histogram, "Matching events over time")
            .kind(Kind::Search)
            .takes("HistogramRequest")
            .gives("HistogramAnswer"),
        post("/api/v1/facets", read, search::facets, "The most frequent values of some fields")
            .kind(Kind::Search)
            .takes("FacetsRequest")
            .gives("FacetsAnswer"),
        post("/api/v1/complete", read, search::complete, "Field names or values that begin so")
            .kind(Kind::Search)
            .takes("CompleteRequest")
            .gives("CompleteAnswer"),
        get("/api/v1/fields", read, search::fields, "Which fields occur")
            .kind(Kind::Search)
            .query(&["from", "to", "prefix"])
            .gives("FieldsAnswer"),
        get("/api/v1/tail", read, tail::tail, "Matching events as they are indexed")
            .kind(Kind::Stream)
            .query(&["query"])
            .gives("text/event-stream"),
        get("/api/v1/sources", read, sources::list, "Who has sent events").gives("SourceList"),
    ]
}

fn alert_routes() -> Vec<Route> {
    let (read, handle) = (Needs(P::ReadAlerts), Needs(P::HandleAlerts));
    vec![
        get("/api/v1/alerts", read, alerts::list, "Alerts, latest opened first")
            .query(&[
                "state", "severity", "id", "rule", "text", "assignee", "test", "since", "cursor",
                "limit",
            ])
            .gives("AlertPage"),
        get("/api/v1/alerts/{id}", read, alerts::get, "One alert with its events and history")
            .gives("Alert"),
        post("/api/v1/alerts/{id}/ack", handle, alerts::acknowledge, "Take an alert")
            .takes("Noted")
            .gives("Alert"),
        post("/api/v1/alerts/{id}/assign", handle, alerts::assign, "Hand an alert to somebody")
            .takes("Assigned")
            .gives("Alert"),
        post("/api/v1/alerts/{id}/close", handle, alerts::close, "End an alert with a verdict")
            .takes("Closed")
            .gives("Alert"),
        post("/api/v1/alerts/{id}/reopen", handle, alerts::reopen, "Take a close back")
            .takes("Noted")
            .gives("Alert"),
        post("/api/v1/alerts/{id}/note", handle, alerts::note, "Add words to the history")
            .takes("Words")
            .gives("Alert"),
        post("/api/v1/alerts:bulk", handle, alerts::bulk, "Do the same to many alerts")
            .takes("Bulk")
            .gives("BulkAnswer"),
        get(
            "/api/v1/notifications",
            read,
            alerts::notifications,
            "Who was told what, latest first",
        )
        .query(&["alert", "channel", "state", "cursor", "limit"])
        .gives("NotificationPage"),
        get("/api/v1/channels", read, alerts::channels, "The configured channels")
            .gives("ChannelList"),
        post(
            "/api/v1/channels/{id}:test",
            Needs(P::ManageNode),
            alerts::test_channel,
            "Send a test notification",
        )
        .status(204),
    ]
}

fn rule_routes() -> Vec<Route> {
    let read = Needs(P::ReadRules);
    vec![
        get(
            "/api/v1/rules",
            read,
            rules::list,
            "The rules that run, and what keeps others from it",
        )
        .gives("RuleList"),
        post(
            "/api/v1/rules:check",
            Needs(P::ManageRules),
            rules::check,
            "Compile rules without running them",
        )
        .takes("application/yaml")
        .gives("RuleCheck"),
        post(
            "/api/v1/rules:backtest",
            Needs(P::ReadEvents),
            backtest::backtest,
            "What rules would have found in indexed history",
        )
        .kind(Kind::Search)
        .takes("BacktestRequest")
        .gives("BacktestAnswer"),
        post(
            "/api/v1/rules:explain",
            Needs(P::ReadEvents),
            explain::explain,
            "Why rules match an event or do not, test by test",
        )
        .takes("ExplainRequest")
        .gives("ExplainAnswer"),
        post(
            "/api/v1/rules:state",
            Needs(P::ManageRules),
            rule_states::change_many,
            "Turn rules on or off or put them on test in one step, all or none",
        )
        .takes("RuleStates")
        .gives("ChangedRules"),
        post(
            "/api/v1/rules/{id}:{action}",
            Needs(P::ManageRules),
            rule_states::change,
            "Turn a rule on (enable) or off (disable), or record its findings and call nobody (test)",
        )
        .may_take("RuleStateReason")
        .gives("ChangedRule"),
    ]
}

fn people_routes() -> Vec<Route> {
    let manage = Needs(P::ManagePeople);
    vec![
        get("/api/v1/session", Open, session::who_am_i, "Who is asking").gives("WhoAmI"),
        post("/api/v1/session", Open, session::login, "Sign in").takes("Login").gives("WhoAmI"),
        delete("/api/v1/session", Open, session::logout, "Sign out"),
        post(
            "/api/v1/setup",
            Open,
            session::set_up,
            "Make the first account with the one-time link",
        )
        .takes("Setup")
        .gives("WhoAmI"),
        get("/api/v1/users", manage, people::users, "Everybody who has an account")
            .gives("UserList"),
        post("/api/v1/users", manage, people::add_user, "Make an account")
            .takes("NewUser")
            .gives("User")
            .status(201),
        post("/api/v1/users/{name}/disable", manage, people::disable_user, "Shut somebody out")
            .gives("User"),
        post("/api/v1/users/{name}/enable", manage, people::enable_user, "Let somebody in again")
            .gives("User"),
        post("/api/v1/users/{name}/password", manage, people::set_password, "Give a new password")
            .takes("NewPassword")
            .gives("User"),
        post("/api/v1/users/{name}/role", manage, people::set_role, "Give another role")
            .takes("NewRole")
            .gives("User"),
        get("/api/v1/tokens", manage, people::tokens, "Every API token").gives("TokenList"),
        post(
            "/api/v1/tokens",
            manage,
            people::create_token,
            "Make an API token; its secret is shown this once",
        )
        .takes("NewToken")
        .gives("CreatedToken")
        .status(201),
        delete("/api/v1/tokens/{id}", manage, people::revoke_token, "Revoke an API token"),
        get("/api/v1/audit", Needs(P::ReadAudit), people::audit, "Who did what, latest first")
            .query(&["actor", "action", "before", "limit"])
            .gives("AuditPage"),
    ]
}

fn node_routes() -> Vec<Route> {
    let watch = OpenOnLoopback(P::ReadMetrics);
    vec![
        get("/", Open, page::html, "The built-in page").gives("text/html"),
        get("/keng.css", Open, page::style, "Its style").gives("text/css"),
        get("/keng.js", Open, page::script, "Its script").gives("text/javascript"),
        get("/api/openapi.json", Open, operations::openapi, "This document").gives("Object"),
        get("/api/v1/status", SignedIn, operations::status, "Version and state of the node")
            .gives("Status"),
        get("/metrics", watch, operations::metrics, "Metrics in Prometheus' text format")
            .gives("text/plain"),
        get("/-/healthy", watch, operations::healthy, "The process answers").gives("text/plain"),
        get("/-/ready", watch, operations::ready, "Every part does its work; 503 if one does not")
            .gives("text/plain"),
        post(
            "/-/reload",
            Needs(P::ManageNode),
            operations::reload,
            "Read configuration and rules anew",
        )
        .gives("Reloaded"),
    ]
}

/// The table as a service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in table() {
        router = router.route(route.router_path(), gate::guard(&app, &route));
    }
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn(gate::harden))
        .with_state(app)
}

async fn no_route(uri: Uri) -> Problem {
    Problem::not_found("route", uri.path()).hint("`/api/openapi.json` has all of them")
}

async fn no_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(80).collect();
    Problem::new(Code::MethodNotAllowed, format!("'{path}' does not take {method}"))
        .hint("`/api/openapi.json` says which it takes")
}
