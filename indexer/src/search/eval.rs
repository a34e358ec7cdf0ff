//! Which events of a shard satisfy a filter.
//!
//! Not everything can be decided from the index: long values, patterns over prose and fields of
//! prose other than the event's text need a look at the event. So the answer is two sets: the
//! events that are *sure* to match, and those that *may*. With both, negation needs no special
//! case: what is sure not to match is what may not. Where they differ, [`super::rows`] looks.

use std::ops::Range;

use keng_event::{Kind, Timestamp, Value};
use tantivy::query::{EnableScoring, PhraseQuery, Query as _};
use tantivy::{DocSet, TERMINATED, Term};

use crate::error::Error;
use crate::query::filter::{Phrase, Piece};
use crate::query::{Filter, Glob, Leaf, LeafField, LeafTest, TextTest, ValueTest, class_of};
use crate::search::Control;
use crate::search::bits::Bits;
use crate::search::guard::Halt;
use crate::search::lookup::{Lookup, Span, behind, everything, spans};
use crate::store::shard::Open;
use crate::store::{names, schema, terms};

const MESSAGE: &str = "message";

/// Events after which the clock is looked at.
const CHECK_EVERY: u32 = 65_536;

/// The events of a window that satisfy a filter.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    /// No other event of the window satisfies it.
    pub(crate) may: Bits,
    /// These do. `None`: all of `may` do.
    pub(crate) sure: Option<Bits>,
}

impl Matched {
    fn exactly(bits: Bits) -> Self {
        Self { may: bits, sure: None }
    }

    /// Only the events tell, and only these can match.
    fn unsure(may: Bits) -> Self {
        let sure = Some(Bits::none(may.window()));
        Self { may, sure }
    }

    fn not(self) -> Self {
        let Self { may, sure } = self;
        let mut possible = sure.clone().unwrap_or_else(|| may.clone());
        possible.invert();
        let certain = sure.map(|_| {
            let mut certain = may;
            certain.invert();
            certain
        });
        Self { may: possible, sure: certain }
    }

    fn join(&mut self, other: Self, with: fn(&mut Bits, &Bits)) {
        if self.sure.is_some() || other.sure.is_some() {
            let sure = self.sure.get_or_insert_with(|| self.may.clone());
            with(sure, other.sure.as_ref().unwrap_or(&other.may));
        }
        with(&mut self.may, &other.may);
    }
}

/// Evaluates filters on one window of one shard.
pub(crate) struct Evaluator<'a> {
    pub(crate) open: &'a Open,
    pub(crate) window: Range<u32>,
    pub(crate) control: &'a Control<'a>,
}

impl Evaluator<'_> {
    pub(crate) fn filter(&self, filter: &Filter) -> Result<Matched, Halt> {
        self.control.check()?;
        match filter {
            Filter::All => Ok(Matched::exactly(self.all())),
            Filter::Not(inner) => self.filter(inner).map(Matched::not),
            Filter::And(parts) => {
                let mut all = Matched::exactly(self.all());
                for part in parts {
                    all.join(self.filter(part)?, Bits::and);
                    if all.may.is_empty() {
                        break;
                    }
                }
                Ok(all)
            }
            Filter::Or(parts) => {
                let mut any = Matched::exactly(self.none());
                for part in parts {
                    any.join(self.filter(part)?, Bits::or);
                }
                Ok(any)
            }
            Filter::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn leaf(&self, Leaf { field, test }: &Leaf) -> Result<Matched, Halt> {
        match (field, test) {
            (LeafField::Text, LeafTest::Text(test)) => self.text(test),
            // Nothing else is ever asked of the text; the matcher says no as well.
            (LeafField::Text, _) => Ok(Matched::exactly(self.none())),
            (LeafField::Named(name), test) => match (header(name), test) {
                (Some(_), LeafTest::Exists) => Ok(Matched::exactly(self.all())),
                (Some(column), LeafTest::Value(test)) => self.column(column, test),
                (Some(_), LeafTest::Text(_)) => Ok(Matched::unsure(self.all())),
                (None, LeafTest::Exists) => self.named(name).map(Matched::exactly),
                (None, LeafTest::Value(test)) if terms::is_indexed(name) => self.values(name, test),
                (None, LeafTest::Text(test)) if &**name == MESSAGE => {
                    let mut matched = self.text(test)?;
                    matched.join(Matched::exactly(self.named(MESSAGE)?), Bits::and);
                    Ok(matched)
                }
                (None, _) => self.named(name).map(Matched::unsure),
            },
        }
    }

    fn all(&self) -> Bits {
        Bits::all(self.window.clone())
    }

    pub(crate) fn none(&self) -> Bits {
        Bits::none(self.window.clone())
    }

    /// The events that have the field.
    pub(crate) fn named(&self, name: &str) -> Result<Bits, Halt> {
        let mut bits = self.none();
        let has_name = |term: &[u8]| names::of(term).any(|known| known == name);
        Lookup::new(&self.open.names, self.control).range(&everything(), has_name, &mut bits)?;
        Ok(bits)
    }

    fn values(&self, name: &str, test: &ValueTest) -> Result<Matched, Halt> {
        let mut prefix = Vec::new();
        terms::push_prefix(name, &mut prefix);
        let mut lookup = Lookup::new(&self.open.values, self.control);
        let mut sure = self.none();
        let wanted = |term: &[u8]| {
            let decoded = term.get(prefix.len()..).and_then(terms::decode);
            matches!(decoded, Some(terms::Decoded::Value(value)) if test.matches(value))
        };
        for span in spans(test) {
            lookup.range(&behind(&prefix, &span), wanted, &mut sure)?;
        }
        let uncertain = [prefix.as_slice(), &[terms::tag::UNCERTAIN]].concat();
        if lookup.frequency(&uncertain)? == 0 {
            return Ok(Matched::exactly(sure));
        }
        let mut may = sure.clone();
        lookup.term(&uncertain, &mut may)?;
        Ok(Matched { may, sure: Some(sure) })
    }

    /// How many events of the whole shard pass the test, if one entry of the dictionary says it.
    pub(crate) fn known_count(&self, name: &str, test: &ValueTest) -> Result<Option<u64>, Halt> {
        let whole_value = matches!(test, ValueTest::Equals(_) | ValueTest::Exactly(..));
        if !whole_value || header(name).is_some() || !terms::is_indexed(name) {
            return Ok(None);
        }
        let mut prefix = Vec::new();
        terms::push_prefix(name, &mut prefix);
        let mut lookup = Lookup::new(&self.open.values, self.control);
        let uncertain = [prefix.as_slice(), &[terms::tag::UNCERTAIN]].concat();
        if lookup.frequency(&uncertain)? > 0 {
            return Ok(None);
        }
        // An event may have several of the values: their frequencies cannot be added up.
        let (mut terms, mut count) = (0, 0);
        for span in spans(test) {
            lookup.walk(&behind(&prefix, &span), |_, stream| {
                let decoded = stream.key().get(prefix.len()..).and_then(terms::decode);
                if matches!(decoded, Some(terms::Decoded::Value(value)) if test.matches(value)) {
                    terms += 1;
                    count = u64::from(stream.value().doc_freq);
                }
                Ok(())
            })?;
        }
        Ok((terms < 2).then_some(count))
    }

    /// A test of what every event has, which lies in columns.
    fn column(&self, column: Header, test: &ValueTest) -> Result<Matched, Halt> {
        let mut bits = self.none();
        for event in self.window.clone() {
            if event.is_multiple_of(CHECK_EVERY) {
                self.control.check()?;
            }
            let time = |nanos| test.matches(Value::Time(Timestamp::from_nanos(nanos)));
            let matches = match column {
                Header::Time => time(self.open.time.get_val(event)),
                Header::Received => time(self.open.received.get_val(event)),
                Header::Id => test.matches(Value::Str(&self.open.id(event).to_string())),
            };
            if matches {
                bits.insert(event);
            }
        }
        Ok(Matched::exactly(bits))
    }

    /// A test of the event's text.
    fn text(&self, test: &TextTest) -> Result<Matched, Halt> {
        match test {
            TextTest::Words(phrase) => self.phrase(phrase),
            TextTest::Word(glob) => self.word(glob).map(Matched::exactly),
            other => {
                let mut may = self.all();
                for piece in other.pieces().iter() {
                    may.and(&self.piece(piece)?);
                }
                Ok(Matched::unsure(may))
            }
        }
    }

    fn phrase(&self, phrase: &Phrase) -> Result<Matched, Halt> {
        let mut bits = self.all();
        for word in &phrase.words {
            bits.and(&self.token(&word.text)?);
        }
        match &*phrase.words {
            [_] => Ok(Matched::exactly(bits)),
            _ if bits.is_empty() => Ok(Matched::exactly(bits)),
            words if phrase.slop == 0 => {
                let text = schema::fields().text;
                let terms = words
                    .iter()
                    .map(|word| (word.offset as usize, Term::from_field_text(text, &word.text)));
                let query = PhraseQuery::new_with_offset(terms.collect());
                self.scored(&query).map(Matched::exactly)
            }
            _ => Ok(Matched::unsure(bits)),
        }
    }

    fn token(&self, token: &str) -> Result<Bits, Halt> {
        let mut bits = self.none();
        Lookup::new(&self.open.text, self.control).term(token.as_bytes(), &mut bits)?;
        Ok(bits)
    }

    fn word(&self, glob: &Glob) -> Result<Bits, Halt> {
        self.tokens(glob.prefix(), |token| glob.matches(token))
    }

    fn piece(&self, piece: &Piece) -> Result<Bits, Halt> {
        match piece {
            Piece::Word(word) => self.token(word),
            Piece::Prefix(prefix) => self.tokens(prefix, |_| true),
            other => self.tokens("", |token| other.matches(token)),
        }
    }

    /// The events with a token that begins with `prefix` and is wanted.
    fn tokens(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Result<Bits, Halt> {
        let mut bits = self.none();
        let range: Span = (prefix.into(), [prefix.as_bytes(), &[0xff]].concat());
        let wanted = |token: &[u8]| std::str::from_utf8(token).is_ok_and(&wanted);
        Lookup::new(&self.open.text, self.control).range(&range, wanted, &mut bits)?;
        Ok(bits)
    }

    fn scored(&self, query: &PhraseQuery) -> Result<Bits, Halt> {
        let failed = |error| Halt::Failed(Error::tantivy("reading positions")(error));
        let schema = &schema::SCHEMA.0;
        let weight = query.weight(EnableScoring::disabled_from_schema(schema)).map_err(failed)?;
        let mut events = weight.scorer(&self.open.reader, 1.0).map_err(failed)?;
        let mut bits = self.none();
        let mut event = events.doc();
        if event < self.window.start {
            event = events.seek(self.window.start);
        }
        let mut seen = 0_u32;
        while event != TERMINATED && event < self.window.end {
            bits.insert(event);
            event = events.advance();
            seen = seen.wrapping_add(1);
            if seen.is_multiple_of(CHECK_EVERY) {
                self.control.check()?;
            }
        }
        Ok(bits)
    }
}

/// What every event has outside its fields.
#[derive(Clone, Copy)]
enum Header {
    Time,
    Received,
    Id,
}

fn header(name: &str) -> Option<Header> {
    match name {
        "@timestamp" => Some(Header::Time),
        "event.ingested" => Some(Header::Received),
        "event.id" => Some(Header::Id),
        _ => None,
    }
}

/// Whether a field's values can be listed: not prose, and not different in every event.
pub(crate) fn is_countable(name: &str) -> bool {
    header(name).is_none() && class_of(name) != Kind::Text
}
