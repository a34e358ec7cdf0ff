//! The built-in page: three files inside the binary, no build step, nothing from elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const HTML: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/keng.css");
const SCRIPT: &str = include_str!("../page/keng.js");

pub(crate) async fn html(headers: HeaderMap) -> Response {
    asset(&headers, HTML, "text/html; charset=utf-8")
}

pub(crate) async fn style(headers: HeaderMap) -> Response {
    asset(&headers, STYLE, "text/css; charset=utf-8")
}

pub(crate) async fn script(headers: HeaderMap) -> Response {
    asset(&headers, SCRIPT, "text/javascript; charset=utf-8")
}

/// Asked for again each time, sent again only when the binary has another.
fn asset(headers: &HeaderMap, body: &'static str, kind: &'static str) -> Response {
    let tag = entity_tag(body);
    let known =
        headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn entity_tag(body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}
