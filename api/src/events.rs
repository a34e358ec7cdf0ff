//! Taking events in over HTTP. Reading, unpacking and appending are `ingest`'s; here a request
//! becomes a submission, and a refusal an answer that its sender can act on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use keng_ingest::parse::Sender;
use keng_ingest::{ContentEncoding, ContentKind, Refused, Submission};
use serde::Serialize;

use crate::app::App;
use crate::extract::{bytes, media_type};
use crate::limits::INTAKE_BODY_BYTES_MAX;
use crate::problem::{Code, LineError, Problem};
use crate::server::Peer;

/// What was appended.
#[derive(Serialize)]
pub(crate) struct Receipt {
    /// Events that are durable now.
    accepted: usize,
    /// Whether a request with this `Idempotency-Key` was appended before; then nothing was
    /// appended now.
    duplicate: bool,
}

pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Receipt>, Problem> {
    let intake = app.state.intake.clone().ok_or_else(|| Problem::role_absent("ingest"))?;
    let headers = request.headers().clone();
    let content = content_kind(&headers)?;
    let encoding = content_encoding(&headers)?;
    let idempotency_key = idempotency_key(&headers)?;
    let sender = sender(request.extensions().get::<Peer>().copied());
    let body = bytes(request, &(), INTAKE_BODY_BYTES_MAX).await?;
    let submission = Submission { body, content, encoding, sender, idempotency_key };
    let receipt = intake.submit(submission).await?;
    Ok(Json(Receipt { accepted: receipt.accepted, duplicate: receipt.duplicate }))
}

fn sender(peer: Option<Peer>) -> Sender {
    Sender {
        ip: peer.map(|peer| peer.address.ip().to_canonical()),
        port: peer.map(|peer| peer.address.port()),
        transport: "http",
        tls_subject: None,
    }
}
