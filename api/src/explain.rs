//! `POST /api/v1/rules:explain`: why detection rules match one event or do not, test by test.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use keng_event::{Batch, BatchBuilder, EventId};
use keng_ingest::parse::{Format, Received, Sender, record};
use keng_rules_engine::{Evaluator, LogSourceFilter, Problem as RuleProblem, RuleSet};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::access::Caller;
use crate::app::App;
use crate::extract::Body;
use crate::limits::EXPLANATIONS_BYTES_MAX;
use crate::problem::{Code, Problem};
use crate::rules::Asked;

/// Which event and which rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainRequest {
    event: Option<Value>,
    event_id: Option<String>,
    rules: Option<String>,
    ids: Option<Vec<String>>,
    /// Log source of the event, in place of what it says itself.
    logsource: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct ExplainAnswer {
    /// One for each detection rule; correlation rules are explained by the rules that they refer
    /// to.
    explanations: Vec<Box<RawValue>>,
    /// Whether all rules are explained; a set of thousands does not fit one answer.
    complete: bool,
    /// What is wrong with rules of the request, which were left out.
    problems: Vec<RuleProblem>,
}

pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<ExplainAnswer>, Problem> {
    let ExplainRequest { event, event_id, rules, ids, logsource } = request;
    let source = logsource.map(|text| text.parse::<LogSourceFilter>()).transpose();
    let source = source.map_err(|error| Problem::new(Code::Malformed, error.to_string()))?;
    let asked = Asked::new(rules, ids)?;
    let batch = match (event, event_id) {
        (Some(event), None) => app.parsed(&event),
        (None, Some(id)) => app.stored(&caller, &id).await?,
        _ => {
            return Err(Problem::new(Code::Malformed, "one event is needed")
                .hint("give either `event`, as JSON, or `event_id`"));
        }
    };
    let (loaded, _) = app.load(&caller, asked).await?;
    let (rules, problems) = (Arc::new(loaded.rules), loaded.problems);
    let explained = tokio::task::spawn_blocking(move || all(rules, &batch, source.as_ref())).await;
    let explained = explained.map_err(|error| Problem::internal("explaining rules", error))?;
    let (explanations, complete) = explained;
    Ok(Json(ExplainAnswer { explanations, complete, problems }))
}

fn all(
    rules: Arc<RuleSet>,
    batch: &Batch,
    source: Option<&LogSourceFilter>,
) -> (Vec<Box<RawValue>>, bool) {
    let mut evaluator = Evaluator::new(rules);
    let (mut explanations, mut bytes) = (Vec::new(), 0);
    let Some(event) = batch.get(0) else { return (explanations, true) };
    for explanation in evaluator.explain(event, source) {
        // Every part has a JSON form, so there is nothing to fail.
        let Ok(json) = to_raw_value(&explanation) else { continue };
        bytes += json.get().len();
        if bytes > EXPLANATIONS_BYTES_MAX {
            return (explanations, false);
        }
        explanations.push(json);
    }
    (explanations, true)
}

impl App {
    /// The event as ingest would take it in.
    fn parsed(&self, event: &Value) -> Batch {
        let (raw, sender) = (event.to_string(), Sender { transport: "http", ..Sender::default() });
        let received = Received {
            raw: raw.as_bytes(),
            at: self.state.clock.now(),
            sender: &sender,
            zone: &TimeZone::UTC,
            format: Format::Auto,
        };
        let mut builder = BatchBuilder::new();
        record(&received, &mut builder);
        builder.finish()
    }

    /// An event of the index, as it is there.
    async fn stored(&self, caller: &Caller, id: &str) -> Result<Batch, Problem> {
        let absent = || Problem::not_found("event", id);
        let wanted: EventId = id.parse().map_err(|_| absent())?;
        self.audit(caller, "read_event", Some(id), None).await?;
        let copy = move |searcher: &keng_indexer::Searcher, _: &keng_indexer::Control<'_>| {
            searcher.read(wanted, |event| {
                let mut builder = BatchBuilder::new();
                builder.copy(event);
                builder.finish()
            })
        };
        self.searching(TimeZone::UTC, copy).await?.ok_or_else(absent)
    }
}
