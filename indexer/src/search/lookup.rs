//! From a condition on a field to the events of a shard, by way of its term dictionary.
//!
//! The dictionary holds every value exactly, so a condition is decided by the very function that
//! the matcher uses ([`ValueTest::matches`]), called once for each distinct value instead of once
//! for each event. The ranges computed here only spare it values that cannot match.

use std::ops::{Bound, Range};

use keng_event::Value;
use tantivy::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::termdict::TermStreamer;

use crate::query::filter::{Equals, Interval, Number};
use crate::query::{Glob, Networks, ValueTest};
use crate::search::Control;
use crate::search::bits::Bits;
use crate::search::guard::{Halt, reading};
use crate::store::terms::{self, tag};

/// Terms after which the clock is looked at.
const CHECK_EVERY: u32 = 1_024;

/// From the first to before the second.
pub(crate) type Span = (Vec<u8>, Vec<u8>);

/// All terms of the dictionary of names: only an empty name lets one begin with a 0xff.
pub(crate) fn everything() -> Span {
    (Vec::new(), vec![0xff, 0xff])
}

/// Reads postings into sets, keeping its buffers.
pub(crate) struct Lookup<'a> {
    index: &'a InvertedIndexReader,
    control: &'a Control<'a>,
    postings: Option<BlockSegmentPostings>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(index: &'a InvertedIndexReader, control: &'a Control<'a>) -> Self {
        Self { index, control, postings: None }
    }

    /// How many events of the shard have the term.
    pub(crate) fn frequency(&self, term: &[u8]) -> Result<u32, Halt> {
        let info = self.index.terms().get(term).map_err(reading)?;
        Ok(info.map_or(0, |info| info.doc_freq))
    }

    /// Adds the events of one term; `false` if there is no such term.
    pub(crate) fn term(&mut self, term: &[u8], into: &mut Bits) -> Result<bool, Halt> {
        let Some(info) = self.index.terms().get(term).map_err(reading)? else { return Ok(false) };
        self.add(&info, into)?;
        Ok(true)
    }

    /// Adds the events of all terms in the range that `wanted` takes.
    pub(crate) fn range(
        &mut self,
        range: &Span,
        mut wanted: impl FnMut(&[u8]) -> bool,
        into: &mut Bits,
    ) -> Result<(), Halt> {
        self.walk(range, |lookup, stream| {
            if wanted(stream.key()) { lookup.add(stream.value(), into) } else { Ok(()) }
        })
    }

    /// Calls `visit` for each term of the range.
    pub(crate) fn walk(
        &mut self,
        (from, to): &Span,
        mut visit: impl FnMut(&mut Self, &TermStreamer<'_>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let index = self.index;
        let range = index.terms().range().ge(from).lt(to);
        let mut stream = range.into_stream().map_err(reading)?;
        let mut seen = 0_u32;
        while stream.advance() {
            visit(self, &stream)?;
            seen = seen.wrapping_add(1);
            if seen.is_multiple_of(CHECK_EVERY) {
                self.control.check()?;
            }
        }
        Ok(())
    }

    /// Calls `visit` for each event of a term within the window.
    pub(crate) fn events(
        &mut self,
        info: &TermInfo,
        window: Range<u32>,
        mut visit: impl FnMut(u32),
    ) -> Result<(), Halt> {
        // The first opening learns the format of the field's postings; later ones reuse it.
        let mut postings = match self.postings.take() {
            None => self.index.read_block_postings_from_terminfo(info, IndexRecordOption::Basic),
            Some(mut postings) => self
                .index
                .reset_block_postings_from_terminfo(info, &mut postings)
                .map(|()| postings),
        }
        .map_err(reading)?;
        let mut first = postings.seek(window.start);
        loop {
            let block = postings.docs();
            let mut inside = block.get(first..).unwrap_or_default().iter();
            inside.by_ref().take_while(|event| **event < window.end).for_each(|e| visit(*e));
            if block.last().is_none_or(|last| *last >= window.end) {
                break;
            }
            first = 0;
            postings.advance();
        }
        self.postings = Some(postings);
        Ok(())
    }

    fn add(&mut self, info: &TermInfo, into: &mut Bits) -> Result<(), Halt> {
        self.events(info, into.window(), |event| into.insert(event))
    }
}

/// Where in the dictionary of values a field's values lie that the test may take, behind the
/// field's prefix. The test still has to be asked.
pub(crate) fn spans(test: &ValueTest) -> Vec<Span> {
    match test {
        ValueTest::Equals(equals) | ValueTest::Exactly(_, equals) => equal_spans(equals),
        ValueTest::Within(interval) => interval_spans(interval),
        ValueTest::Glob(glob) => glob_spans(glob),
        ValueTest::Regex(_) => {
            [tag::IP, tag::BOOL, tag::TIME, tag::F64, tag::I64, tag::TEXT].map(whole).into()
        }
        ValueTest::Networks(networks) => {
            let mut spans = vec![whole(tag::TEXT)];
            spans.extend(network_spans(networks));
            spans
        }
    }
}

/// The spans behind the prefix of a field.
pub(crate) fn behind(prefix: &[u8], (from, to): &Span) -> Span {
    ([prefix, from].concat(), [prefix, to].concat())
}

/// All values of a type.
fn whole(tag: u8) -> Span {
    (vec![tag], vec![tag + 1])
}

/// Values from one to another, both included.
fn closed(from: Value<'_>, to: Value<'_>) -> Span {
    let (mut first, mut end) = (Vec::new(), Vec::new());
    terms::push_value(from, &mut first);
    terms::push_value(to, &mut end);
    // The next term that there could be.
    end.push(0);
    (first, end)
}

fn equal_spans(equals: &Equals) -> Vec<Span> {
    let text = [&[tag::TEXT], equals.text.as_bytes()].concat();
    // The text itself, and its other spellings behind a 0x00.
    let after = [text.as_slice(), &[1]].concat();
    let mut spans = vec![(text, after)];
    match equals.number {
        Some(Number::Int(number)) => {
            spans.push(closed(number.into(), number.into()));
            spans.push(whole(tag::F64));
        }
        Some(Number::Float(_)) => spans.extend([whole(tag::I64), whole(tag::F64)]),
        None => {}
    }
    spans.extend(equals.networks.iter().flat_map(network_spans));
    spans.extend(equals.period.map(|period| time_span(period.first, period.last)));
    spans.extend(equals.truth.map(|truth| closed(truth.into(), truth.into())));
    spans
}

fn interval_spans(interval: &Interval) -> Vec<Span> {
    let mut spans = vec![whole(tag::TEXT)];
    if let Some((from, to)) = &interval.number {
        let whole_number = |end: &Bound<Number>, none: i64| match end {
            Bound::Included(Number::Int(number)) | Bound::Excluded(Number::Int(number)) => *number,
            _ => none,
        };
        let (first, last) = (whole_number(from, i64::MIN), whole_number(to, i64::MAX));
        spans.extend([closed(first.into(), last.into()), whole(tag::F64)]);
    }
    if let Some(range) = &interval.address {
        spans.push(address_span(*range.start(), *range.end()));
    }
    if let Some(range) = &interval.time {
        spans.push(time_span(*range.start(), *range.end()));
    }
    spans
}

fn glob_spans(glob: &Glob) -> Vec<Span> {
    let text = [&[tag::TEXT], glob.prefix().as_bytes()].concat();
    // No UTF-8 text has this byte.
    let after = [text.as_slice(), &[0xff]].concat();
    let mut spans = vec![(text, after)];
    spans.extend([tag::IP, tag::BOOL, tag::TIME, tag::F64, tag::I64].map(whole));
    spans
}

fn network_spans(networks: &Networks) -> impl Iterator<Item = Span> {
    networks.ranges().map(|range| address_span(*range.start(), *range.end()))
}

fn address_span(first: u128, last: u128) -> Span {
    let mut end = [&[tag::IP], last.to_be_bytes().as_slice()].concat();
    end.push(0);
    ([&[tag::IP], first.to_be_bytes().as_slice()].concat(), end)
}

fn time_span(first: i64, last: i64) -> Span {
    let time = |nanos| Value::Time(keng_event::Timestamp::from_nanos(nanos));
    closed(time(first), time(last))
}
