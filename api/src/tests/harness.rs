//! A node without stages: what the routes work on, and requests to them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use keng_alerting::people::{NewPerson, NewToken};
use keng_alerting::{Actor, Desk, Role};
use keng_event::{Batch, BatchBuilder, EventId, ManualClock, Timestamp, field};
use keng_indexer::{Index, Position};
use keng_metrics::Registry;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::app::App;
use crate::server::Peer;
use crate::{Component, Config, CurrentRules, State, StatesHoldFor, routes};

pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) struct Node {
    pub(super) router: Router,
    pub(super) desk: Desk,
    pub(super) index: Index,
    pub(super) tail: broadcast::Sender<Arc<Batch>>,
    pub(super) state: State,
    pub(super) clock: Arc<ManualClock>,
    pub(super) stop: CancellationToken,
    _directory: TempDir,
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(super) fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.text).unwrap_or_default();
        problem.get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Node {
    pub(super) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(super) async fn with(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let alerting = keng_alerting::Config::default();
        let desk = Desk::open(directory.path(), alerting, clock.clone(), &registry).await.unwrap();
        let place = directory.path().join("index");
        let index = Index::open(&place, keng_indexer::Config::default(), &[], &registry).unwrap();
        let (tail, _) = broadcast::channel(4);
        let state = State {
            clock: clock.clone(),
            registry,
            people: desk.people().clone(),
            intake: None,
            sources: None,
            searcher: Some(index.searcher()),
            tail: Some(tail.clone()),
            desk: Some(desk.clone()),
            rules: Some(watch::channel(CurrentRules::default()).1),
            datasets: &[],
            reload: None,
            set_rule_state: None,
            states_hold_for: StatesHoldFor::Alerts,
            components: Arc::new(|| vec![Component { name: "index", ready: true, detail: None }]),
            version: "0.0.0",
        };
        let stop = CancellationToken::new();
        let router = routes::router(App::new(state.clone(), &config, stop.clone()));
        Self { router, desk, index, tail, state, clock, stop, _directory: directory }
    }

    /// A token with this role.
    pub(super) async fn token(&self, role: Role) -> String {
        let new = NewToken { name: role.as_str().to_owned(), role, days: 1 };
        self.desk.people().create_token(&new, &keng()).await.unwrap().secret
    }

    pub(super) async fn add_person(&self, name: &str, role: Role) {
        let new = NewPerson { name: name.to_owned(), role, password: PASSWORD.to_owned() };
        self.desk.people().add_person(&new, &keng()).await.unwrap();
    }

    /// Sends a request from this machine.
    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from("127.0.0.1:9", request).await
    }

    pub(super) async fn send_from(&self, address: &str, request: Request<Body>) -> Answer {
        let response = self.open_from(address, request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// Sends a request and leaves the answer's body unread.
    pub(super) async fn open_from(&self, address: &str, mut request: Request<Body>) -> Response {
        let peer = Peer { address: address.parse().unwrap(), tls: false };
        request.extensions_mut().insert(peer);
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Takes in one event per message, as the index stage does, and tells the tails.
    pub(super) fn take_in(&self, first: u64, messages: &[&str]) -> Arc<Batch> {
        let batch = Arc::new(self.batch(first, messages));
        let offset = first + u64::try_from(messages.len()).unwrap();
        let end = Position { partition: 0, epoch: 7, offset };
        self.index.append(Arc::clone(&batch), end).unwrap();
        // Without a tail nobody listens.
        drop(self.tail.send(Arc::clone(&batch)));
        batch
    }

    fn batch(&self, first: u64, messages: &[&str]) -> Batch {
        use keng_event::Clock;
        let mut builder = BatchBuilder::new();
        for message in messages {
            self.clock.advance(Duration::from_millis(1));
            let now = self.clock.now();
            let mut event = builder.event(now, now);
            event.original(message.as_bytes()).put(field::MESSAGE, *message);
            event.put(field::EVENT_DATASET, "generic");
            event.finish();
        }
        builder.finish().with_origin(EventId { epoch: 7, partition: 0, offset: first })
    }
}

fn keng() -> Actor {
    Actor { name: "test".to_owned(), address: None }
}

/// A request with a token and, if there is one, a JSON body.
pub(super) fn request(method: &str, path: &str, token: &str, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        Some(body) => request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}
