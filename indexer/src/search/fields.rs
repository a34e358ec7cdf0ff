//! Which fields there are, and what a name or value that was begun could become.
//!
//! Both are read from the dictionaries of the newest shards and from the tail. Counts are those
//! of whole shards, not of a query: good enough to rank by, and read in microseconds.

use std::collections::BTreeMap;

use keng_event::Kind;

use crate::answer::{CompleteAnswer, FieldInfo, FieldsAnswer, ValueCount};
use crate::error::Error;
use crate::index::{Searched, Snapshot};
use crate::query::class_of;
use crate::request::{CompleteRequest, FIELDS_MAX, FieldsRequest, SUGGESTIONS_MAX};
use crate::search::Control;
use crate::search::eval::is_countable;
use crate::search::facets::field_span;
use crate::search::guard::{Gathered, Halt, each};
use crate::search::lookup::{Lookup, everything};
use crate::search::plan::Plan;
use crate::store::names;
use crate::store::shard::Shard;
use crate::store::tail::Entry;
use crate::store::terms::{self, Decoded};
use crate::text::fold_keyword;

/// Shards that are asked, newest first: what an analyst types next is what came lately.
const SHARDS_MAX: usize = 64;

/// Terms that are looked at in one shard.
const TERMS_MAX: usize = 50_000;

type Counts = BTreeMap<String, u64>;

pub(crate) fn fields(
    searched: &Searched,
    request: &FieldsRequest,
    control: &Control<'_>,
) -> Result<FieldsAnswer, Error> {
    let plan = Plan::new(searched, "", request.from.as_deref(), request.to.as_deref(), control)?;
    let (counts, mut complete) =
        names(&plan, &searched.snapshot(), &request.prefix, searched.threads, control)?;
    complete &= counts.len() <= FIELDS_MAX;
    let fields = counts.into_iter().take(FIELDS_MAX).map(|(name, count)| {
        let kind = kind_name(class_of(&name));
        FieldInfo { name, kind, count }
    });
    Ok(FieldsAnswer { fields: fields.collect(), complete })
}

pub(crate) fn complete(
    searched: &Searched,
    request: &CompleteRequest,
    control: &Control<'_>,
) -> Result<CompleteAnswer, Error> {
    let plan = Plan::new(searched, "", request.from.as_deref(), request.to.as_deref(), control)?;
    let (snapshot, threads) = (searched.snapshot(), searched.threads);
    let limit = request.limit.unwrap_or(10).clamp(1, SUGGESTIONS_MAX);
    let (counts, complete) = match &request.field {
        None => names(&plan, &snapshot, &request.prefix, threads, control)?,
        Some(field) if is_countable(field) => {
            values(&plan, &snapshot, field, &request.prefix, threads, control)?
        }
        Some(_) => (Counts::new(), true),
    };
    let mut suggestions: Vec<_> =
        counts.into_iter().map(|(value, count)| ValueCount { value, count }).collect();
    suggestions.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    suggestions.truncate(limit);
    Ok(CompleteAnswer { suggestions, complete })
}

/// The names that shards and tail have, and how often.
fn names(
    plan: &Plan,
    snapshot: &Snapshot,
    prefix: &str,
    threads: usize,
    control: &Control<'_>,
) -> Result<(Counts, bool), Error> {
    let folded = prefix.to_ascii_lowercase();
    let wanted = |name: &str| name.to_ascii_lowercase().starts_with(&folded);
    gather(
        plan,
        snapshot,
        threads,
        |shard| {
            let mut counts = Counts::new();
            let open = shard.open()?;
            Lookup::new(&open.names, control).walk(&everything(), |_, stream| {
                for name in names::of(stream.key()).filter(|name| wanted(name)) {
                    let count = u64::from(stream.value().doc_freq);
                    match counts.get_mut(name) {
                        Some(known) => *known += count,
                        None => drop(counts.insert(name.to_owned(), count)),
                    }
                }
                Ok(())
            })?;
            Ok(counts)
        },
        |entry, counts| {
            for name in entry.batch().field_names().filter(|name| wanted(name)) {
                // Not every event of the batch has it: an estimate.
                *counts.entry(name.to_owned()).or_default() += entry.len() as u64;
            }
        },
    )
}

/// The values of a field that begin so.
fn values(
    plan: &Plan,
    snapshot: &Snapshot,
    field: &str,
    prefix: &str,
    threads: usize,
    control: &Control<'_>,
) -> Result<(Counts, bool), Error> {
    let folded = fold_keyword(prefix);
    let wanted = |text: &str| fold_keyword(text).starts_with(&*folded);
    let (span, skip) = field_span(field);
    gather(
        plan,
        snapshot,
        threads,
        |shard| {
            let mut counts = Counts::new();
            let mut seen = 0;
            let open = shard.open()?;
            let walked = Lookup::new(&open.values, control).walk(&span, |_, stream| {
                seen += 1;
                if seen > TERMS_MAX {
                    return Err(Halt::Overdue);
                }
                if let Some(Decoded::Value(value)) =
                    stream.key().get(skip..).and_then(terms::decode)
                    && wanted(&value.to_text())
                {
                    *counts.entry(value.to_text().into_owned()).or_default() +=
                        u64::from(stream.value().doc_freq);
                }
                Ok(())
            });
            match walked {
                Err(Halt::Overdue) if seen > TERMS_MAX => Ok(counts),
                other => other.map(|()| counts),
            }
        },
        |entry, counts| {
            let Some(field) = entry.batch().index_of(field) else { return };
            for value in entry.events().flat_map(|event| event.all(field)) {
                let text = value.to_text();
                if wanted(&text) {
                    *counts.entry(text.into_owned()).or_default() += 1;
                }
            }
        },
    )
}

fn gather(
    plan: &Plan,
    snapshot: &Snapshot,
    threads: usize,
    in_shard: impl Fn(&Shard) -> Result<Counts, Halt> + Sync,
    in_tail: impl Fn(&Entry, &mut Counts),
) -> Result<(Counts, bool), Error> {
    let mut shards = plan.shards(snapshot);
    let all_shards = shards.len() <= SHARDS_MAX;
    shards.truncate(SHARDS_MAX);
    let Gathered { results, complete } = each(&shards, threads, |shard| in_shard(shard))?;
    let mut counts = Counts::new();
    for (name, count) in results.into_iter().flatten() {
        *counts.entry(name).or_default() += count;
    }
    snapshot.tail.iter().for_each(|entry| in_tail(entry, &mut counts));
    Ok((counts, complete && all_shards))
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Keyword => "keyword",
        Kind::Text => "text",
        Kind::Long => "long",
        Kind::Double => "double",
        Kind::Bool => "boolean",
        Kind::Ip => "ip",
        Kind::Date => "date",
        Kind::Dynamic => "dynamic",
    }
}
