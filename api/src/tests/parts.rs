//! What single routes answer, and what every answer has.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use keng_alerting::Role;
use serde_json::json;

use super::harness::{Node, request};
use crate::limits::BODY_BYTES_MAX;
use crate::routes;

#[tokio::test]
async fn every_answer_is_hardened() {
    let node = Node::start().await;
    let mut asked: Vec<_> =
        routes::table().iter().map(|route| (route.method, route.path)).collect();
    asked.extend([("GET", "/nowhere"), ("PUT", "/api/v1/search"), ("GET", "/api/v1/none")]);
    for (method, path) in asked {
        let response = node.open_from("192.0.2.9:9", request(method, path, "", None)).await;
        let headers = response.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{path}");
        assert!(headers.contains_key(header::CACHE_CONTROL), "{path}");
        if response.status().is_client_error() {
            let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
            assert_eq!(kind, "application/problem+json", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn problems_are_as_published() {
    let node = Node::start().await;
    let token = node.token(Role::Administrator).await;
    let post = |path: &str, body| request("POST", path, &token, Some(body));
    let mut text = String::new();
    for (what, asked) in [
        ("no such route", request("GET", "/api/v1/nothing", "", None)),
        ("no such method", request("PUT", "/api/v1/search", &token, None)),
        ("no token", request("GET", "/api/v1/alerts", "", None)),
        ("no such alert", request("GET", "/api/v1/alerts/none", &token, None)),
        ("no such event", request("GET", "/api/v1/events/7-0-1", &token, None)),
        ("unknown key", post("/api/v1/search", json!({"querry": "x"}))),
        ("role absent", post("/api/v1/events", json!([]))),
        ("unknown state", request("GET", "/api/v1/alerts?state=gone", &token, None)),
        ("no reload", request("POST", "/-/reload", &token, None)),
        ("not a channel's test", request("POST", "/api/v1/channels/mail", &token, None)),
    ] {
        let answer = node.send(asked).await;
        text.push_str(&format!("{what}: {} {}\n", answer.status.as_u16(), answer.text));
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_viewer_is_told_what_is_missing() {
    let node = Node::start().await;
    let token = node.token(Role::Viewer).await;
    let answer = node.send(request("GET", "/api/v1/audit", &token, None)).await;
    assert_eq!(answer.code(), "forbidden");
    assert!(answer.text.contains("may not read audit"), "{}", answer.text);
}

#[tokio::test]
async fn bodies_are_bounded_and_typed() {
    let node = Node::start().await;
    let token = node.token(Role::Viewer).await;
    let query = "x".repeat(BODY_BYTES_MAX);
    let large = request("POST", "/api/v1/search", &token, Some(json!({ "query": query })));
    assert_eq!(node.send(large).await.code(), "too_large");
    let form = Request::builder()
        .method("POST")
        .uri("/api/v1/search")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("query=x"))
        .unwrap();
    assert_eq!(node.send(form).await.code(), "unsupported_media");
    let broken = request("POST", "/api/v1/search", &token, Some(json!("x")));
    assert_eq!(node.send(broken).await.code(), "malformed");
}

#[tokio::test]
async fn searches_find_and_are_audited() {
    let node = Node::start().await;
    node.take_in(0, &["failed password for root", "session opened"]);
    let token = node.token(Role::Viewer).await;
    let search = json!({"query": "password", "limit": 10});
    let answer = node.send(request("POST", "/api/v1/search", &token, Some(search))).await.json();
    assert_eq!(answer["total"], json!({"value": 1, "relation": "eq"}));
    assert_eq!(answer["hits"][0]["event"]["id"], "7-0-0");
    let event = node.send(request("GET", "/api/v1/events/7-0-1", &token, None)).await.json();
    assert_eq!(event["message"], "session opened");
    let administrator = node.token(Role::Administrator).await;
    let log = node.send(request("GET", "/api/v1/audit", &administrator, None)).await.json();
    let searched: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "searched" && entry["actor"] == "token:viewer")
        .map(|entry| entry["detail"].clone())
        .collect();
    assert_eq!(searched, [json!("password")]);
}

#[tokio::test]
async fn a_wrong_query_is_pointed_at() {
    let node = Node::start().await;
    let token = node.token(Role::Viewer).await;
    let search = json!({"query": "user.name:root AND (x"});
    let answer = node.send(request("POST", "/api/v1/search", &token, Some(search))).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "query"));
    assert!(answer.json()["span"].is_array(), "{}", answer.text);
}

#[tokio::test]
async fn more_searches_than_the_node_takes_are_turned_away() {
    let node = Node::start().await;
    let token = node.token(Role::Viewer).await;
    // Paused time passes at once when everybody waits, so nothing here takes two seconds.
    tokio::time::pause();
    let app = crate::app::App::new(
        crate::State { registry: keng_metrics::Registry::new(), ..node.state.clone() },
        &crate::Config::default(),
        node.stop.clone(),
    );
    let all = u32::try_from(crate::limits::SEARCHES_MAX).unwrap();
    let _held = app.searches.acquire_many(all).await.unwrap();
    let refused = app.searching(jiff::tz::TimeZone::UTC, |_, _| Ok(())).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "busy");
    assert!(refused.retry_after_seconds().is_some());
    drop(token);
}

#[tokio::test]
async fn a_search_is_told_to_stop_when_its_client_leaves() {
    let node = Node::start().await;
    let app = crate::app::App::new(
        crate::State { registry: keng_metrics::Registry::new(), ..node.state.clone() },
        &crate::Config::default(),
        node.stop.clone(),
    );
    let (started, running) = tokio::sync::oneshot::channel();
    let (ended, end) = tokio::sync::oneshot::channel();
    let search = tokio::spawn(async move {
        let search = app.searching(jiff::tz::TimeZone::UTC, move |_, control| {
            started.send(()).unwrap();
            while !control.cancelled.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
            Err::<(), _>(keng_indexer::Error::Cancelled)
        });
        search.await
    });
    running.await.unwrap();
    search.abort();
    end.await.unwrap();
}

#[tokio::test]
async fn health_says_which_part_is_not_ready() {
    let node = Node::start().await;
    let ready = node.send(request("GET", "/-/ready", "", None)).await;
    assert_eq!((ready.status, ready.text.as_str()), (StatusCode::OK, "index: ready\n"));
    let healthy = node.send(request("GET", "/-/healthy", "", None)).await;
    assert_eq!(healthy.text, "ok\n");
}

#[tokio::test]
async fn requests_are_counted_by_route_not_by_path() {
    let node = Node::start().await;
    let token = node.token(Role::Viewer).await;
    node.send(request("GET", "/api/v1/alerts/secret-id", &token, None)).await;
    let metrics = node.send(request("GET", "/metrics", "", None)).await.text;
    let counted =
        "keng_http_requests_total{code=\"404\",method=\"GET\",route=\"/api/v1/alerts/{id}\"} 1";
    let other =
        "keng_http_requests_total{route=\"/api/v1/alerts/{id}\",method=\"GET\",code=\"404\"} 1";
    assert!(metrics.contains(counted) || metrics.contains(other), "{metrics}");
    assert!(!metrics.contains("secret-id"));
}

#[tokio::test]
async fn tokens_are_made_and_revoked() {
    let node = Node::start().await;
    let administrator = node.token(Role::Administrator).await;
    let new = json!({"name": "shipper", "role": "sender"});
    let made = node.send(request("POST", "/api/v1/tokens", &administrator, Some(new))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let (id, secret) = (made.json()["id"].clone(), made.json()["secret"].clone());
    let status = || request("GET", "/api/v1/status", secret.as_str().unwrap(), None);
    assert_eq!(node.send(status()).await.status, StatusCode::OK);
    let path = format!("/api/v1/tokens/{}", id.as_str().unwrap());
    let revoked = node.send(request("DELETE", &path, &administrator, None)).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(node.send(status()).await.status, StatusCode::UNAUTHORIZED);
    let listed = node.send(request("GET", "/api/v1/tokens", &administrator, None)).await;
    assert!(!listed.text.contains("secret"), "{}", listed.text);
}
