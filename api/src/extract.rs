//! Bodies and parameters, with problems for what cannot be read.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;

use crate::limits::BODY_BYTES_MAX;
use crate::problem::{Code, Problem};

/// A JSON body. The media type must say so: a form that another site makes a browser send
/// cannot.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = media_type(request.headers());
        if kind != "application/json" {
            let detail = format!("a body of type '{kind}' is not taken here");
            return Err(Problem::new(Code::UnsupportedMedia, detail)
                .hint("send JSON with `Content-Type: application/json`"));
        }
        let bytes = bytes(request, state, BODY_BYTES_MAX).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Problem::new(Code::Malformed, format!("the body cannot be read: {error}"))
        })?;
        Ok(Self(value))
    }
}

/// A JSON body that may be left out.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if media_type(request.headers()).is_empty() {
            let bytes = bytes(request, state, BODY_BYTES_MAX).await?;
            return match bytes.is_empty() {
                true => Ok(Self(T::default())),
                false => Err(Problem::new(Code::UnsupportedMedia, "the body says no type")
                    .hint("send JSON with `Content-Type: application/json`, or no body")),
            };
        }
        Body::from_request(request, state).await.map(|Body(value)| Self(value))
    }
}

/// The whole body, bounded by the route's limit, which is `max` bytes.
pub(crate) async fn bytes<S: Send + Sync>(
    request: Request,
    state: &S,
    max: usize,
) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Problem::new(Code::TooLarge, format!("the body is larger than {max} bytes"))
                .hint("send less at once");
        }
        Problem::new(Code::Malformed, "the body ended early")
    })
}

/// The media type without its parameters, in lower case; empty if there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().chars().take(80).collect::<String>().to_ascii_lowercase()
}

/// Parameters of the URL.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(value) = Query::from_request_parts(parts, state).await.map_err(|rejection| {
            Problem::new(Code::Malformed, rejection.body_text().to_lowercase())
        })?;
        Ok(Self(value))
    }
}

/// The asker's time zone (`Keng-Time-Zone: Asia/Ho_Chi_Minh`), in which `now/d` is midnight; UTC
/// unless it is said.
pub(crate) struct Zone(pub(crate) TimeZone);

impl<S: Sync> FromRequestParts<S> for Zone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("keng-time-zone") else {
            return Ok(Self(TimeZone::UTC));
        };
        let name = value.to_str().unwrap_or_default();
        let zone = TimeZone::get(name).map_err(|_| {
            let name: String = name.chars().take(80).collect();
            Problem::new(Code::Malformed, format!("'{name}' is not a time zone"))
                .hint("use an IANA name such as Asia/Ho_Chi_Minh")
        })?;
        Ok(Self(zone))
    }
}
