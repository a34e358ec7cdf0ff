//! Errors as a client sees them: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! A problem says what was refused and what to do; it never carries what an internal error
//! looked like inside.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What went wrong, as programs tell it apart. Words are stable; statuses follow RFC 9110.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request cannot be read.
    Malformed,
    /// The query has an error; `span` says where.
    Query,
    /// No credentials, or credentials that are not (any longer) valid.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// A request by cookie did not prove that it comes from our own page.
    CrossSite,
    /// There is no such thing.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Somebody else changed it first.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// The body's type or encoding is not taken.
    UnsupportedMedia,
    /// Understood, and not possible.
    Invalid,
    /// Too much at once; `Retry-After` says when to come back.
    Busy,
    /// Too many wrong passwords; `Retry-After` says when to come back.
    Throttled,
    /// It took too long.
    Timeout,
    /// The part that answers this does not run on this node.
    RoleAbsent,
    /// The part that answers this cannot at the moment.
    Unavailable,
    /// Our fault.
    Internal,
}

impl Code {
    /// Status, word, title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "Malformed request"),
            Self::Query => (StatusCode::BAD_REQUEST, "query", "The query has an error"),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "Sign in or send a token")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not permitted"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site", "Not from this site"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
            }
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Changed in the meantime"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large"),
            Self::UnsupportedMedia => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media", "Unsupported media type")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Not possible"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy", "Too much at once"),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many attempts"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout", "Took too long"),
            Self::RoleAbsent => {
                (StatusCode::SERVICE_UNAVAILABLE, "role_absent", "Role not on this node")
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.parts().1
    }
}

/// An error response.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// What happened in this case.
    pub detail: String,
    /// What only some problems have; apart, so that results stay small.
    more: Box<More>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct More {
    hint: Option<String>,
    span: Option<[usize; 2]>,
    fix: Option<Fix>,
    retry_after_seconds: Option<u64>,
    lines: Vec<LineError>,
}

/// Text to put in place of a part of the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// Which bytes of the query.
    pub span: [usize; 2],
    /// What belongs there.
    pub replacement: String,
}

/// What is wrong with one line of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct LineError {
    line: usize,
    message: String,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), more: Box::default() }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.more.hint = Some(hint.into());
        self
    }

    /// The same with the bytes of the query that are wrong.
    #[must_use]
    pub fn span(mut self, from: usize, to: usize) -> Self {
        self.more.span = Some([from, to]);
        self
    }

    /// The same with a text that would put the query right.
    #[must_use]
    pub fn fix(mut self, fix: Option<Fix>) -> Self {
        self.more.fix = fix;
        self
    }

    /// The same with a time to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.more.retry_after_seconds = Some(seconds);
        self
    }

    /// The same about one line of a body, from 1.
    #[must_use]
    pub fn line(mut self, line: usize) -> Self {
        self.more.lines.push(LineError { line, message: self.detail.clone() });
        self
    }

    /// When to come back.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.more.retry_after_seconds
    }

    /// The part that answers does not run on this node.
    #[must_use]
    pub fn role_absent(role: &str) -> Self {
        Self::new(Code::RoleAbsent, format!("the role '{role}' is not on this node"))
            .hint("ask a node that runs it, or add it to `--roles`")
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(Code::NotFound, format!("there is no {what} '{id}'"))
    }

    /// Our fault: the cause goes to the log, not to the client.
    pub fn internal(doing: &str, cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, doing, "request failed");
        Self::new(Code::Internal, format!("{doing} failed")).hint("the node's log has the reason")
    }
}

/// The wire form.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<[usize; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a Fix>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    lines: &'a [LineError],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.code.parts();
        let wire = Wire {
            kind: format!("urn:keng:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: &self.detail,
            hint: self.more.hint.as_deref(),
            span: self.more.span,
            fix: self.more.fix.as_ref(),
            lines: &self.more.lines,
        };
        // Strings and numbers always have a JSON form.
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.more.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
