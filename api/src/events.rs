//! Taking events in over HTTP. Reading, unpacking and appending are `ingest`'s; here a request
//! becomes a submission, and a refusal an answer that its sender can act on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use keng_ingest::parse::Sender;
use keng_ingest::{ContentEncoding, ContentKind, Refused, Submission};
use serde::Serialize;

use crate::access::Caller;
use crate::app::App;
use crate::extract::{bytes, media_type};
use crate::limits::INTAKE_BODY_BYTES_MAX;
use crate::problem::{Code, Problem};
use crate::server::Peer;

/// What was appended.
#[derive(Serialize)]
pub(crate) struct Receipt {
    /// Events that are durable now.
    accepted: usize,
    /// Whether a request with this `Idempotency-Key` was appended before; then nothing was
    /// appended now.
    duplicate: bool,
    /// Records among them that are no JSON objects and were kept raw; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<usize>,
    /// Line of the body, or place in the array, of the first of them, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_malformed: Option<usize>,
}

pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Receipt>, Problem> {
    let intake = app.state.intake.clone().ok_or_else(|| Problem::role_absent("ingest"))?;
    let headers = request.headers().clone();
    let content = content_kind(&headers)?;
    let encoding = content_encoding(&headers)?;
    // Two senders that number their requests from 1 must not silence each other.
    let caller = request.extensions().get::<Caller>().map(|caller| caller.principal.name.clone());
    let idempotency_key = idempotency_key(&headers)?
        .map(|key| format!("{}/{key}", caller.as_deref().unwrap_or_default()));
    let sender = sender(request.extensions().get::<Peer>().copied());
    let body = bytes(request, &(), INTAKE_BODY_BYTES_MAX).await?;
    let submission = Submission { body, content, encoding, sender, idempotency_key };
    let receipt = intake.submit(submission).await?;
    let keng_ingest::Receipt { accepted, duplicate, malformed } = receipt;
    let first_malformed = malformed.map(|malformed| malformed.first);
    let malformed = malformed.map(|malformed| malformed.records);
    Ok(Json(Receipt { accepted, duplicate, malformed, first_malformed }))
}

fn sender(peer: Option<Peer>) -> Sender {
    Sender {
        ip: peer.map(|peer| peer.address.ip().to_canonical()),
        port: peer.map(|peer| peer.address.port()),
        transport: "http",
        tls_subject: None,
    }
}

fn content_kind(headers: &HeaderMap) -> Result<ContentKind, Problem> {
    let kind = media_type(headers);
    match kind.as_str() {
        "application/x-ndjson" | "application/jsonl" => Ok(ContentKind::Ndjson),
        "application/json" => Ok(ContentKind::JsonArray),
        "text/plain" => Ok(ContentKind::Text),
        _ => Err(Problem::new(Code::UnsupportedMedia, format!("events of type '{kind}' are not taken"))
            .hint("send application/x-ndjson, application/json (an array) or text/plain (one record a line)")),
    }
}

fn content_encoding(headers: &HeaderMap) -> Result<ContentEncoding, Problem> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(ContentEncoding::Identity);
    };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(ContentEncoding::Identity),
        "gzip" | "x-gzip" => Ok(ContentEncoding::Gzip),
        "zstd" => Ok(ContentEncoding::Zstd),
        _ => Err(Problem::new(Code::UnsupportedMedia, "the body's encoding is not taken")
            .hint("send it as it is, or packed with gzip or zstd")),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().map_err(|_| {
        Problem::new(Code::Malformed, "the Idempotency-Key has other characters than visible ASCII")
    })?;
    Ok(Some(text.to_owned()))
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::TooLarge { .. } | Refused::TooManyRecords { .. } => {
                Self::new(Code::TooLarge, message)
            }
            Refused::RecordTooLarge { line, .. } => Self::new(Code::TooLarge, message).line(line),
            Refused::Malformed { line, .. } => Self::new(Code::Malformed, message)
                .line(line)
                .hint("nothing of the body was taken; put the record right and send it again"),
            Refused::Encoding { .. } | Refused::InvalidKey { .. } => {
                Self::new(Code::Malformed, message)
            }
            Refused::KeyReused => Self::new(Code::Invalid, message),
            Refused::Busy { retry_after, .. } => {
                Self::new(Code::Busy, message).retry_after(retry_after.as_secs().max(1))
            }
            Refused::Unavailable => Self::new(Code::Unavailable, message)
                .hint("send the same body again with an Idempotency-Key")
                .retry_after(UNAVAILABLE_RETRY_SECONDS),
        }
    }
}

/// A log that failed needs somebody's hand; asking every second would not help.
const UNAVAILABLE_RETRY_SECONDS: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn refusals_become_answers_that_a_sender_can_act_on() {
        let busy = Refused::Busy { reason: "the buffer is full", retry_after: Duration::ZERO };
        let problem = Problem::from(busy);
        assert_eq!((problem.code, problem.retry_after_seconds()), (Code::Busy, Some(1)));
        let malformed = Refused::Malformed { line: 3, reason: "not JSON".to_owned() };
        let expected = Problem::new(Code::Malformed, malformed.to_string())
            .line(3)
            .hint("nothing of the body was taken; put the record right and send it again");
        assert_eq!(Problem::from(malformed), expected);
        assert_eq!(Problem::from(Refused::TooLarge { bytes_max: 1 }).code.status().as_u16(), 413);
        assert_eq!(Problem::from(Refused::KeyReused).code.status().as_u16(), 422);
        assert_eq!(Problem::from(Refused::Unavailable).code.status().as_u16(), 503);
    }
}
