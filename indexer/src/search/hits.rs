//! Newest or oldest matching events, page by page, and how many there are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use keng_event::json::JsonWriter;
use serde_json::value::RawValue;

use crate::answer::{Relation, SearchAnswer, Total};
use crate::error::Error;
use crate::index::{Searched, Snapshot};
use crate::query::{Filter, LeafField, LeafTest, TextTest};
use crate::request::{HITS_DEFAULT, HITS_MAX, SearchRequest, Sort};
use crate::search::Control;
use crate::search::bits::Bits;
use crate::search::cursor::{self, Key};
use crate::search::eval::Evaluator;
use crate::search::guard::{Halt, each};
use crate::search::plan::Plan;
use crate::search::rows::Rows;
use crate::store::shard::{Open, Shard};

/// Where a hit lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    Shard { number: usize, event: u32 },
    Tail { entry: usize, row: usize },
}

/// The best hits so far.
struct Best {
    sort: Sort,
    /// One more than wanted, to know whether there is another page.
    limit: usize,
    after: Option<Key>,
    hits: Vec<(Key, Place)>,
}

impl Best {
    fn push(&mut self, key: Key, place: Place) {
        let seen = |after: &Key| cursor::compare(self.sort, &key, after).is_le();
        if self.limit == 0 || self.after.as_ref().is_some_and(seen) {
            return;
        }
        self.hits.push((key, place));
        if self.hits.len() >= self.limit * 2 + 64 {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.hits.sort_unstable_by(|(a, _), (b, _)| cursor::compare(self.sort, a, b));
        self.hits.truncate(self.limit);
    }

    /// Whether no event of these times can be among the best any more.
    fn excludes(&mut self, [first, last]: [i64; 2]) -> bool {
        if self.limit == 0 {
            return true;
        }
        self.trim();
        let worst = self.hits.get(self.limit - 1).map(|((time, _), _)| *time);
        worst.is_some_and(|worst| match self.sort {
            Sort::Newest => last < worst,
            Sort::Oldest => first > worst,
        })
    }
}

pub(crate) fn search(
    searched: &Searched,
    request: &SearchRequest,
    control: &Control<'_>,
) -> Result<SearchAnswer, Error> {
    let wanted = request.limit.unwrap_or(HITS_DEFAULT).min(HITS_MAX);
    let sort = request.sort;
    let after = request.cursor.as_deref().map(|text| cursor::read(sort, text)).transpose()?;
    let (from, to) = (request.from.as_deref(), request.to.as_deref());
    let plan = Plan::new(searched, &request.query, from, to, control)?;
    let snapshot = searched.snapshot();
    let limit = if wanted == 0 { 0 } else { wanted + 1 };
    let search = Search {
        plan: &plan,
        snapshot: &snapshot,
        control,
        best: Mutex::new(Best { sort, limit, after, hits: Vec::new() }),
        lower_bound: AtomicBool::new(false),
    };
    let (total, complete) = search.run(searched.threads)?;
    let mut best = search.best.into_inner().unwrap_or_else(PoisonError::into_inner);
    best.trim();
    let more = best.hits.len() > wanted;
    best.hits.truncate(wanted);
    let last = best.hits.last().filter(|_| more || !complete).map(|(key, _)| key);
    let exact = complete && !search.lower_bound.into_inner();
    Ok(SearchAnswer {
        cursor: last.map(|key| cursor::write(sort, key)),
        hits: render(&snapshot, &plan.shards(&snapshot), &best.hits)?,
        total: Total { value: total, relation: if exact { Relation::Eq } else { Relation::Gte } },
        took_ms: u64::try_from((control.elapsed)().as_millis()).unwrap_or(u64::MAX),
        complete,
        warnings: plan.warnings,
    })
}

struct Search<'a> {
    plan: &'a Plan,
    snapshot: &'a Snapshot,
    control: &'a Control<'a>,
    best: Mutex<Best>,
    /// Counting was cut short somewhere.
    lower_bound: AtomicBool,
}

impl Search<'_> {
    /// How many events match, and whether everything was looked at.
    fn run(&self, threads: usize) -> Result<(u64, bool), Error> {
        let entries: Vec<usize> = (0..self.snapshot.tail.len()).collect();
        let tail = each(&entries, threads, |entry| self.tail(*entry))?;
        let shards = self.plan.shards(self.snapshot);
        let mut numbers: Vec<usize> = (0..shards.len()).collect();
        let sort = self.best.lock().unwrap_or_else(PoisonError::into_inner).sort;
        if sort == Sort::Oldest {
            numbers.sort_by_key(|number| shards.get(*number).map(|shard| shard.meta.time[0]));
        }
        let work = |number: &usize| match shards.get(*number) {
            Some(shard) => self.shard(*number, shard),
            None => Ok(0),
        };
        let found = each(&numbers, threads, work)?;
        let total = tail.results.iter().chain(&found.results).sum();
        Ok((total, tail.complete && found.complete))
    }

    fn tail(&self, number: usize) -> Result<u64, Halt> {
        self.control.check()?;
        let Some(entry) = self.snapshot.tail.get(number) else { return Ok(0) };
        let mut hits = Vec::new();
        self.plan.tail(entry, |event| {
            if let Some(id) = event.id() {
                let place = Place::Tail { entry: number, row: event.index() };
                hits.push(((event.time().as_nanos(), id), place));
            }
        });
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        let count = hits.len() as u64;
        hits.into_iter().for_each(|(key, place)| best.push(key, place));
        Ok(count)
    }

    fn shard(&self, number: usize, shard: &Shard) -> Result<u64, Halt> {
        self.control.check()?;
        let (excluded, limit, sort) = {
            let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
            (best.excludes(shard.meta.time), best.limit, best.sort)
        };
        let whole = self.plan.times.covers(shard.meta.time);
        if excluded && whole && matches!(self.plan.filter, Filter::All) {
            // Not even opened.
            return Ok(shard.meta.events);
        }
        let open = shard.open()?;
        let window = self.plan.times.window(open);
        if window.is_empty() {
            return Ok(0);
        }
        let evaluator = Evaluator { open, window, control: self.control };
        if excluded && let Some(count) = known_count(&self.plan.filter, &evaluator, whole)? {
            return Ok(count);
        }
        let matched = evaluator.filter(&self.plan.filter)?;
        let mut rows = Rows::new(shard, open);
        // Hits before the cursor have to be passed by, so nothing is known to be enough.
        let paging = self.best.lock().unwrap_or_else(PoisonError::into_inner).after.is_some();
        let enough = (!paging).then_some((if excluded { 0 } else { limit }, sort));
        let (bits, all) = rows.decide(matched, &self.plan.matcher, enough, self.control)?;
        if !all {
            self.lower_bound.store(true, Ordering::Relaxed);
        }
        if !excluded {
            self.collect(number, open, &bits);
        }
        Ok(bits.len())
    }

    /// Hands the first events of the set to the best, with all that share the last one's time.
    fn collect(&self, number: usize, open: &Open, bits: &Bits) {
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut forward, mut backward) = (bits.iter(), bits.iter().rev());
        let events: &mut dyn Iterator<Item = u32> = match best.sort {
            Sort::Newest => &mut forward,
            Sort::Oldest => &mut backward,
        };
        let (mut taken, mut last) = (0, None);
        for event in events {
            let time = open.time.get_val(event);
            let passed = best.after.is_some_and(|(after, _)| match best.sort {
                Sort::Newest => time > after,
                Sort::Oldest => time < after,
            });
            if passed {
                continue;
            }
            // Events at the cursor's own time may have been shown; they do not count as taken.
            let at_cursor = best.after.is_some_and(|(after, _)| time == after);
            if taken >= best.limit && last != Some(time) {
                break;
            }
            best.push((time, open.id(event)), Place::Shard { number, event });
            taken += usize::from(!at_cursor);
            last = Some(time);
        }
    }
}

/// The number of matching events if the shard's own tables tell it.
fn known_count(
    filter: &Filter,
    evaluator: &Evaluator<'_>,
    whole: bool,
) -> Result<Option<u64>, Halt> {
    let all = evaluator.window.len() as u64;
    Ok(match filter {
        Filter::All => Some(all),
        Filter::Not(inner) => {
            known_count(inner, evaluator, whole)?.and_then(|count| all.checked_sub(count))
        }
        // A bare word is looked for in several fields, of which most do not have it.
        Filter::Or(parts) => {
            let mut found = 0;
            for part in parts {
                match known_count(part, evaluator, whole)? {
                    Some(0) => {}
                    Some(count) if found == 0 => found = count,
                    _ => return Ok(None),
                }
            }
            Some(found)
        }
        Filter::Leaf(leaf) if whole => match (&leaf.field, &leaf.test) {
            (LeafField::Text, LeafTest::Text(TextTest::Words(phrase))) => match &*phrase.words {
                [word] => {
                    let info = evaluator.open.text.terms().get(word.text.as_bytes());
                    let info = info.map_err(crate::search::guard::reading)?;
                    Some(info.map_or(0, |info| u64::from(info.doc_freq)))
                }
                _ => None,
            },
            (LeafField::Named(name), LeafTest::Value(test)) => evaluator.known_count(name, test)?,
            _ => None,
        },
        _ => None,
    })
}

fn render(
    snapshot: &Snapshot,
    shards: &[&Shard],
    hits: &[(Key, Place)],
) -> Result<Vec<Box<RawValue>>, Error> {
    let mut writer = JsonWriter::default();
    let mut rows: Vec<Option<Rows<'_>>> = shards.iter().map(|_| None).collect();
    let mut rendered = Vec::with_capacity(hits.len());
    for (_, place) in hits {
        let mut json = String::new();
        match *place {
            Place::Tail { entry, row } => {
                let event = snapshot.tail.get(entry).and_then(|entry| entry.event(row));
                if let Some(event) = event {
                    writer.write(event, &mut json);
                }
            }
            Place::Shard { number, event } => {
                let (Some(shard), Some(slot)) = (shards.get(number), rows.get_mut(number)) else {
                    continue;
                };
                let rows = match slot {
                    Some(rows) => rows,
                    None => slot.insert(Rows::new(shard, shard.open()?)),
                };
                rows.event(event, |event| writer.write(event, &mut json))?;
            }
        }
        // `JsonWriter` writes valid JSON; a property test of the event crate holds it to that.
        if let Ok(json) = RawValue::from_string(json) {
            rendered.push(json);
        }
    }
    Ok(rendered)
}
