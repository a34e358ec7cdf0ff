//! What can be said about the page without a browser: nothing from elsewhere, nothing inline,
//! and both languages whole. A browser clicks through it in the tests of the whole node.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};

use super::harness::{Node, request};

const HTML: &str = include_str!("../../page/index.html");
const SCRIPT: &str = include_str!("../../page/keng.js");
const STYLE: &str = include_str!("../../page/keng.css");

/// The texts of a language: `key: "text"`.
fn words(language: &str) -> BTreeMap<&'static str, &'static str> {
    let block = SCRIPT.split(&format!("\n  {language}: {{\n")).nth(1).unwrap();
    let block = block.split("\n  },").next().unwrap();
    let mut words = BTreeMap::new();
    let mut rest = block;
    while let Some((before, after)) = rest.split_once(": \"") {
        let key = before.rsplit([' ', '\n']).next().unwrap();
        let (text, after) = after.split_once("\",").unwrap();
        assert!(words.insert(key, text).is_none(), "'{key}' twice in {language}");
        rest = after;
    }
    words
}

fn placeholders(text: &str) -> Vec<&str> {
    let mut found: Vec<_> = text.matches(|c: char| c == '{' || c.is_ascii_digit()).collect();
    found.retain(|part| *part != "{");
    if text.contains('{') {
        found.sort_unstable()
    } else {
        found.clear()
    }
    found
}

#[test]
fn both_languages_say_the_same() {
    let (english, vietnamese) = (words("en"), words("vi"));
    assert!(english.len() > 100);
    let keys: Vec<_> = english.keys().collect();
    assert_eq!(keys, vietnamese.keys().collect::<Vec<_>>());
    for (key, text) in &english {
        if text.contains('{') {
            assert_eq!(placeholders(text), placeholders(vietnamese[key]), "{key}");
        }
    }
}

#[test]
fn every_text_that_is_asked_for_exists() {
    let english = words("en");
    for (source, before) in
        [(HTML, "data-text=\""), (HTML, "data-label=\""), (SCRIPT, " t(\""), (SCRIPT, "(t(\"")]
    {
        for part in source.split(before).skip(1) {
            let key = part.split('"').next().unwrap();
            assert!(english.contains_key(key), "no text '{key}'");
        }
    }
}

#[test]
fn nothing_is_inline_or_from_elsewhere() {
    for forbidden in ["<style", "style=", "javascript:", "onclick=", "onload=", "https://"] {
        assert!(!HTML.contains(forbidden), "{forbidden}");
    }
    assert_eq!(HTML.matches("<script").count(), 1);
    for forbidden in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "https://",
        ".cssText",
    ] {
        assert!(!SCRIPT.contains(forbidden), "{forbidden}");
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}

#[tokio::test]
async fn the_page_is_sent_once() {
    let node = Node::start().await;
    let first = node.send(request("GET", "/keng.js", "", None)).await;
    assert_eq!(first.text, SCRIPT);
    let mut again = request("GET", "/keng.js", "", None);
    let tag = first.headers[header::ETAG].clone();
    again.headers_mut().insert(header::IF_NONE_MATCH, tag);
    assert_eq!(node.send(again).await.status, StatusCode::NOT_MODIFIED);
    let page = node.send(request("GET", "/", "", None)).await;
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
}
