//! Live tails: what matches arrives, what was missed comes back, what cannot is counted.

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use keng_alerting::Role;

use super::harness::{Node, request};

/// Reads messages of a stream until `count` of them have data.
struct Reader {
    body: axum::body::BodyDataStream,
    read: String,
}

impl Reader {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        Self { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The next message.
    async fn next(&mut self) -> String {
        loop {
            if let Some((message, rest)) = self.read.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.read = rest;
                return message;
            }
            let chunk = self.body.next().await.expect("the stream goes on").unwrap();
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Texts of the next `count` events, and the last id that was sent with or after them.
    async fn events(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let message = self.next().await;
            let Some(data) = message.lines().find_map(|line| line.strip_prefix("data: ")) else {
                continue;
            };
            if message.contains("event: ") {
                texts.push(message.clone());
                continue;
            }
            let event: serde_json::Value = serde_json::from_str(data).unwrap();
            texts.push(event["message"].as_str().unwrap().to_owned());
        }
        texts
    }
}

async fn open(node: &Node, query: &str, last: Option<&str>) -> Reader {
    let token = node.token(Role::Viewer).await;
    let mut asked = request("GET", &format!("/api/v1/tail?query={query}"), &token, None);
    if let Some(last) = last {
        asked.headers_mut().insert("last-event-id", HeaderValue::from_str(last).unwrap());
    }
    let mut reader = Reader::of(node.open_from("127.0.0.1:9", asked).await);
    assert!(reader.next().await.starts_with("retry: "));
    reader
}

#[tokio::test]
async fn matching_events_arrive_with_their_place() {
    let node = Node::start().await;
    let mut reader = open(&node, "root", None).await;
    node.take_in(0, &["login of root", "login of lan", "logout of root"]);
    let first = reader.next().await;
    assert!(first.starts_with("id: 7-0-0\ndata: {") && first.contains("login of root"), "{first}");
    assert!(reader.next().await.starts_with("id: 7-0-2\n"));
}

#[tokio::test]
async fn a_reader_that_comes_back_has_missed_nothing_and_sees_nothing_twice() {
    let node = Node::start().await;
    node.take_in(0, &["root 0", "lan 1", "root 2"]);
    node.take_in(3, &["root 3", "root 4"]);
    let mut reader = open(&node, "root", Some("7-0-0")).await;
    assert_eq!(reader.events(3).await, ["root 2", "root 3", "root 4"]);
    node.take_in(5, &["root 5"]);
    assert_eq!(reader.events(1).await, ["root 5"]);
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_given_what_it_missed() {
    let node = Node::start().await;
    let mut reader = open(&node, "root", None).await;
    // More batches than the channel holds and more events than the stream buffers.
    let mut expected = Vec::new();
    for batch in 0..40_u64 {
        let texts: Vec<String> = (0..10).map(|index| format!("root {batch}-{index}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        node.take_in(batch * 10, &texts);
        expected.extend(texts.iter().map(|text| (*text).to_owned()));
    }
    // Read up to a last event, so that one that is missing is seen and not waited for.
    node.take_in(400, &["root at the end"]);
    expected.push("root at the end".to_owned());
    let mut shown = Vec::new();
    while shown.last().is_none_or(|text| text != "root at the end") {
        shown.extend(reader.events(1).await);
    }
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_place_that_is_none_is_refused() {
    let node = Node::start().await;
    let token = node.token(Role::Viewer).await;
    let mut asked = request("GET", "/api/v1/tail", &token, None);
    asked.headers_mut().insert("last-event-id", HeaderValue::from_static("yesterday"));
    assert_eq!(node.send(asked).await.code(), "malformed");
    let asked = request("GET", "/api/v1/tail?query=(", &token, None);
    assert_eq!(node.send(asked).await.code(), "query");
}

#[tokio::test]
async fn a_quiet_tail_says_where_it_is() {
    let node = Node::start().await;
    let mut reader = open(&node, "root", None).await;
    // Time that nobody else waits for passes at once.
    tokio::time::pause();
    node.take_in(0, &["nothing of interest"]);
    assert_eq!(reader.next().await, "id: 7-0-0");
}

#[tokio::test]
async fn a_tail_ends_with_the_node() {
    let node = Node::start().await;
    let mut reader = open(&node, "", None).await;
    node.stop.cancel();
    while let Some(chunk) = reader.body.next().await {
        chunk.unwrap();
    }
}
