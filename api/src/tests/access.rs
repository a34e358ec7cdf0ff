//! Who gets in: every route with every role, sessions, other sites, other machines.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use keng_alerting::{Permission, Role};
use serde_json::json;

use super::harness::{Node, PASSWORD, request};
use crate::Config;
use crate::access::Access;
use crate::routes;

/// A path that the router knows, with something for each parameter.
fn sample(path: &str) -> String {
    path.replace("{id}", "none").replace("{name}", "none").replace("{action}", "enable")
}

#[tokio::test]
async fn every_route_admits_exactly_the_roles_that_have_its_permission() {
    let node = Node::start().await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, node.token(role).await));
    }
    for route in routes::table() {
        let (Access::Needs(permission) | Access::OpenOnLoopback(permission)) = route.access else {
            continue;
        };
        // From elsewhere, so that what is open on loopback is not open.
        let send = |token: &str| {
            let asked = request(route.method, &sample(route.path), token, Some(json!({})));
            node.open_from("192.0.2.9:9", asked)
        };
        let status = send("").await.status();
        assert_eq!(
            status,
            StatusCode::UNAUTHORIZED,
            "{} {} without a token",
            route.method,
            route.path
        );
        for (role, token) in &tokens {
            let status = send(token).await.status();
            let refused = status == StatusCode::FORBIDDEN || status == StatusCode::UNAUTHORIZED;
            let name = format!("{} {} as {role}: {status}", route.method, route.path);
            assert_eq!(refused, !role.allows(permission), "{name}");
        }
    }
}

#[test]
fn only_the_page_and_signing_in_are_open() {
    let open: Vec<String> = routes::table()
        .iter()
        .filter(|route| route.access == Access::Open)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    insta::assert_snapshot!(open.join("\n"));
}

#[tokio::test]
async fn a_wrong_token_is_refused_even_where_a_session_is_right() {
    let node = Node::start().await;
    let answer = node.send(request("GET", "/api/v1/status", "keng_wrong_token", None)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::UNAUTHORIZED, "unauthenticated")
    );
    assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
}

fn from_page(
    method: &str,
    path: &str,
    cookie: &str,
    body: Option<serde_json::Value>,
) -> Request<Body> {
    let mut asked = request(method, path, "", body);
    let headers = asked.headers_mut();
    headers.insert("x-keng-request", "1".parse().unwrap());
    headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
    if !cookie.is_empty() {
        headers.insert(header::COOKIE, cookie.parse().unwrap());
    }
    asked
}

#[tokio::test]
async fn a_person_signs_in_acts_and_signs_out() {
    let node = Node::start().await;
    node.add_person("lan", Role::Analyst).await;
    let login = json!({"name": "lan", "password": PASSWORD});
    let answer = node.send(from_page("POST", "/api/v1/session", "", Some(login))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(set.starts_with("__Host-keng=") && set.contains("HttpOnly; SameSite=Strict; Secure"));
    let cookie = set.split(';').next().unwrap();

    let who = node.send(from_page("GET", "/api/v1/session", cookie, None)).await.json();
    assert_eq!(
        (&who["name"], &who["role"], &who["kind"]),
        (&json!("lan"), &json!("analyst"), &json!("person"))
    );

    let bulk = json!({"ids": [], "action": "acknowledge"});
    let done =
        node.send(from_page("POST", "/api/v1/alerts:bulk", cookie, Some(bulk.clone()))).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);

    // The same, sent by a page of another site: the cookie alone is not enough.
    let mut forged = request("POST", "/api/v1/alerts:bulk", "", Some(bulk));
    forged.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
    assert_eq!(node.send(forged).await.code(), "cross_site");

    let out = node.send(from_page("DELETE", "/api/v1/session", cookie, None)).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let who = node.send(from_page("GET", "/api/v1/session", cookie, None)).await.json();
    assert_eq!(who["signed_in"], false);
}

#[tokio::test]
async fn wrong_passwords_are_slowed_down() {
    let node = Node::start().await;
    node.add_person("lan", Role::Viewer).await;
    let attempt = || {
        let login = json!({"name": "lan", "password": "wrong wrong wrong"});
        node.send(from_page("POST", "/api/v1/session", "", Some(login)))
    };
    for _ in 0..100 {
        let answer = attempt().await;
        if answer.code() == "throttled" {
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
            assert!(answer.headers.contains_key(header::RETRY_AFTER));
            return;
        }
        assert_eq!(answer.code(), "unauthenticated");
    }
    panic!("a hundred wrong passwords were looked at");
}

#[tokio::test]
async fn another_site_cannot_sign_anybody_in() {
    let node = Node::start().await;
    let login = json!({"name": "lan", "password": PASSWORD});
    let answer = node.send(request("POST", "/api/v1/session", "", Some(login))).await;
    assert_eq!(answer.code(), "cross_site");
}

#[tokio::test]
async fn the_setup_link_works_once() {
    let node = Node::start().await;
    let link = node.desk.people().setup_link().await.unwrap().unwrap();
    let setup = json!({"token": link.secret, "name": "first", "password": PASSWORD});
    let answer = node.send(from_page("POST", "/api/v1/setup", "", Some(setup.clone()))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["role"], "administrator");
    assert!(answer.headers.contains_key(header::SET_COOKIE));
    let again = node.send(from_page("POST", "/api/v1/setup", "", Some(setup))).await;
    assert_eq!(again.code(), "unauthenticated");
}

#[tokio::test]
async fn metrics_are_open_on_loopback_only() {
    let metrics = || request("GET", "/metrics", "", None);
    let node = Node::start().await;
    let own = node.send(metrics()).await;
    assert!(own.status == StatusCode::OK && own.text.contains("keng_http_connections"));
    let elsewhere = node.send_from("192.0.2.9:9", metrics()).await;
    assert_eq!(elsewhere.code(), "unauthenticated");
    let open = Node::with(Config { open_metrics: true, ..Config::default() }).await;
    assert_eq!(open.send_from("192.0.2.9:9", metrics()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nobody_takes_their_own_rights_away() {
    let node = Node::start().await;
    node.add_person("boss", Role::Administrator).await;
    let login = json!({"name": "boss", "password": PASSWORD});
    let answer = node.send(from_page("POST", "/api/v1/session", "", Some(login))).await;
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    let cookie = set.split(';').next().unwrap();
    let disable = from_page("POST", "/api/v1/users/boss/disable", cookie, Some(json!({})));
    assert_eq!(node.send(disable).await.code(), "conflict");
}

#[test]
fn every_permission_has_its_own_word() {
    let mut words: Vec<_> =
        Permission::ALL.into_iter().map(crate::access::permission_word).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Permission::ALL.len());
}
