//! Events made from a rule's own syntax tree: some that it finds, by every alternative that it
//! has, and near misses, in which one test of such an event is turned round.
//!
//! What is made here need not be right: every event is judged by two implementations, and only
//! that they agree counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;
use keng_event::{Batch, BatchBuilder, EventRef, Timestamp, Value};
use serde_json::{Value as Json, json};

use super::regular;
use crate::sigma::Expr;
use crate::sigma::test::{Atom, Comparison, Number, Part, Pattern, Subject, Test};
use crate::tests::plain;

/// Found events of a rule with more alternatives than that do not try them all.
const FOUND_MAX: usize = 16;
const NEAR_MISSES_MAX: usize = 32;
/// Random choices among the alternatives, where the one that was wanted contradicts itself.
const TRIES: u64 = 12;

/// One value a field, as the database of the oracle has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) fields: BTreeMap<String, String>,
    /// The raw record.
    pub(super) text: Option<String>,
    /// Whether texts that are whole numbers are written as numbers.
    pub(super) numbers: bool,
}

impl Event {
    fn slot(&mut self, subject: &Subject) -> Option<&mut String> {
        match subject {
            Subject::Field(name) => self.fields.get_mut(name),
            Subject::Keywords => self.text.as_mut(),
        }
    }

    fn put(&mut self, subject: &Subject, value: Option<String>) {
        match (subject, value) {
            (Subject::Keywords, value) => self.text = value,
            (Subject::Field(name), Some(value)) => drop(self.fields.insert(name.clone(), value)),
            (Subject::Field(name), None) => drop(self.fields.remove(name)),
        }
    }

    /// This event with what the other has besides.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut fields = other.fields.clone();
        fields.extend(self.fields.clone());
        Self { fields, text: self.text.clone().or_else(|| other.text.clone()), ..*self }
    }

    /// As the oracle reads it.
    pub(super) fn json(&self) -> Json {
        let value = |text: &String| match text.parse::<i64>() {
            Ok(number) if self.numbers && number.to_string() == *text => json!(number),
            _ => json!(text),
        };
        let fields = self.fields.iter().map(|(name, text)| (name.clone(), value(text)));
        json!({"fields": fields.collect::<serde_json::Map<_, _>>(), "text": self.text})
    }

    /// As Keng reads it.
    pub(super) fn batch(&self) -> Batch {
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        if let Some(text) = &self.text {
            event.original(text.as_bytes());
        }
        for (name, text) in &self.fields {
            match text.parse::<i64>() {
                Ok(number) if self.numbers && number.to_string() == *text => {
                    event.put_named(name, number)
                }
                _ => event.put_named(name, text.as_str()),
            };
        }
        event.finish();
        builder.finish()
    }
}

/// What was made for one rule.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Events that the rule should find; none where the generator knows no way.
    pub(super) found: BTreeSet<Event>,
    pub(super) near: BTreeSet<Event>,
}

impl Made {
    pub(super) fn all(&self) -> impl Iterator<Item = &Event> {
        self.found.iter().chain(&self.near)
    }
}

/// Makes events for a rule.
pub(super) fn make(expr: &Expr<Atom>) -> Made {
    let mut made = Made::default();
    for number in 0..alternatives(expr).clamp(2, FOUND_MAX) {
        let Some((event, wants)) = solve(expr, true, number) else { continue };
        // The first two differ in letter case and in what wildcards stand for.
        if made.found.insert(event.clone()) && number < 2 {
            near(&event, &wants, &mut made.near);
        }
    }
    made.near.extend(solve(expr, false, 0).map(|(event, _)| event));
    made
}

/// How many alternatives the widest choice has.
fn alternatives(expr: &Expr<Atom>) -> usize {
    match expr {
        Expr::Atom(Atom { test: Test::Text { patterns, .. }, .. }) => patterns.len(),
        Expr::Atom(Atom { test: Test::Cidr(networks), .. }) => 2 * networks.len(),
        Expr::Atom(Atom { test: Test::Regex { .. }, .. }) => 4,
        Expr::Atom(_) => 1,
        Expr::Not(part) => alternatives(part),
        Expr::And(parts) | Expr::Or(parts) | Expr::AtLeast(_, parts) => {
            parts.iter().map(alternatives).max().unwrap_or(0).max(parts.len())
        }
    }
}

/// How to choose among alternatives: each choice by the same number, or all at random.
struct Way {
    number: usize,
    random: Option<u64>,
}

impl Way {
    fn choose(&mut self, among: usize) -> usize {
        let Some(state) = &mut self.random else { return self.number % among.max(1) };
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap() % among.max(1)
    }
}

/// A test, and whether it shall hold.
#[derive(Clone, Copy, Debug)]
struct Want<'r> {
    atom: &'r Atom,
    holds: bool,
}

fn wants<'r>(expr: &'r Expr<Atom>, holds: bool, way: &mut Way, out: &mut Vec<Want<'r>>) {
    let mut some = |parts: &'r [Expr<Atom>], wanted: usize, out: &mut Vec<Want<'r>>| {
        let first = way.choose(parts.len());
        for part in parts.iter().cycle().skip(first).take(wanted) {
            wants(part, holds, way, out);
        }
    };
    match (expr, holds) {
        (Expr::Atom(atom), _) => out.push(Want { atom, holds }),
        (Expr::Not(part), _) => wants(part, !holds, way, out),
        (Expr::And(parts), true) | (Expr::Or(parts), false) => some(parts, parts.len(), out),
        (Expr::And(parts), false) | (Expr::Or(parts), true) => some(parts, 1.min(parts.len()), out),
        (Expr::AtLeast(wanted, parts), true) => some(parts, *wanted, out),
        (Expr::AtLeast(wanted, parts), false) => some(parts, parts.len() + 1 - wanted, out),
    }
}

/// An event that the rule finds, or one that it does not, and the tests that decide it.
fn solve(expr: &Expr<Atom>, holds: bool, number: usize) -> Option<(Event, Vec<Want<'_>>)> {
    let seeds = (0..TRIES).map(|seed| Some((number as u64) << 8 | seed));
    let mut ways = std::iter::once(None).chain(seeds).map(|random| Way { number, random });
    ways.find_map(|mut way| attempt(expr, holds, &mut way))
}

fn attempt<'r>(expr: &'r Expr<Atom>, holds: bool, way: &mut Way) -> Option<(Event, Vec<Want<'r>>)> {
    let mut wanted = Vec::new();
    wants(expr, holds, way, &mut wanted);
    let mut event = Event { numbers: way.number % 2 == 1, ..Event::default() };
    let mut subjects: Vec<&Subject> = Vec::new();
    for want in wanted.iter().filter(|want| want.holds) {
        if !subjects.contains(&&want.atom.subject) {
            subjects.push(&want.atom.subject);
        }
    }
    for subject in subjects {
        let own: Vec<Want> =
            wanted.iter().filter(|want| want.atom.subject == *subject).copied().collect();
        event.put(subject, Some(value(&own, way)?));
    }
    refer(&wanted, &mut event);
    let batch = event.batch();
    (plain::holds(expr, only(&batch)) == holds).then_some((event, wanted))
}

/// Lets fields that refer to one another be alike.
fn refer(wanted: &[Want<'_>], event: &mut Event) {
    for Want { atom, holds } in wanted {
        let Test::FieldRef { other, .. } = &atom.test else { continue };
        let own = event.slot(&atom.subject).cloned().unwrap_or_else(|| "own".to_owned());
        if *holds {
            event.fields.entry(other.clone()).or_insert(own);
        }
    }
}

/// A text of which all these tests hold, or do not, as wanted.
fn value(wanted: &[Want<'_>], way: &mut Way) -> Option<String> {
    let mut pieces = Vec::new();
    for want in wanted.iter().filter(|want| want.holds) {
        pieces.extend(piece(want.atom, way)?);
    }
    candidates(&pieces, way).into_iter().find(|text| {
        wanted.iter().all(|want| {
            matches!(want.atom.test, Test::FieldRef { .. }) || judge(want.atom, text) == want.holds
        })
    })
}

/// Whether a test holds of a text.
fn judge(atom: &Atom, text: &str) -> bool {
    static NOTHING: LazyLock<Batch> = LazyLock::new(|| Event::default().batch());
    plain::test(atom, Value::Str(text), only(&NOTHING))
}

/// A part of a value, and whether there may be more before and behind it.
#[derive(Debug)]
struct Piece {
    text: String,
    before: bool,
    behind: bool,
}

impl Piece {
    fn whole(text: impl ToString) -> Option<Self> {
        Some(Self { text: text.to_string(), before: false, behind: false })
    }

    fn anywhere(text: impl ToString) -> Option<Self> {
        Some(Self { text: text.to_string(), before: true, behind: true })
    }
}

/// What makes the test hold; `None` within if nothing is needed, `None` if no way is known.
fn piece(atom: &Atom, way: &mut Way) -> Option<Option<Piece>> {
    Some(match &atom.test {
        Test::Text { patterns, cased } => {
            let pattern = patterns.get(way.choose(patterns.len()))?;
            Some(written(pattern, !cased && way.number % 2 == 1, way))
        }
        Test::Regex { source, flags } => {
            Piece::anywhere(regular::text(source, *flags, way.choose(4))?)
        }
        Test::Cidr(networks) => {
            let network = networks.get(way.choose(networks.len()))?;
            let ends = [network.network(), network.broadcast()];
            Piece::whole(ends[(way.number / networks.len().max(1)) % 2])
        }
        Test::Compare(comparison, Number::Int(number)) => Piece::whole(match comparison {
            Comparison::Less => number - 1,
            Comparison::Greater => number + 1,
            _ => *number,
        }),
        // No two fields are alike by chance.
        Test::Present => Piece::anywhere(format!("{:?}", atom.subject)),
        Test::FieldRef { .. } => None,
        Test::Compare(..) | Test::TimePart(..) | Test::InList(_) => return None,
    })
}

fn written(pattern: &Pattern, swap: bool, way: &Way) -> Piece {
    let any = |part: Option<&Part>| part == Some(&Part::Any);
    let (before, behind) = (any(pattern.parts.first()), any(pattern.parts.last()));
    let mut text = String::new();
    for (number, part) in pattern.parts.iter().enumerate() {
        match part {
            Part::Text(own) if swap => text.push_str(&swapped(own)),
            Part::Text(own) => text.push_str(own),
            Part::One => text.push('q'),
            Part::Any if number == 0 || number + 1 == pattern.parts.len() => {}
            Part::Any => text.push_str(["", " any thing "][way.number % 2]),
        }
    }
    Piece { text, before, behind }
}

fn swapped(text: &str) -> String {
    let swap = |c: char| match c {
        'a'..='z' => c.to_ascii_uppercase(),
        _ => c.to_ascii_lowercase(),
    };
    text.chars().map(swap).collect()
}

/// Ways to put pieces together, the most likely first.
fn candidates(pieces: &[Piece], way: &Way) -> Vec<String> {
    let longest = |fits: fn(&Piece) -> bool| {
        let texts = pieces.iter().filter(|piece| fits(piece)).map(|piece| piece.text.as_str());
        texts.max_by_key(|text| text.len())
    };
    if let Some(whole) = longest(|piece| !piece.before && !piece.behind) {
        return vec![whole.to_owned()];
    }
    let first = longest(|piece| !piece.before).unwrap_or_default();
    let last = longest(|piece| !piece.behind).unwrap_or_default();
    let mut middle: Vec<&str> = pieces
        .iter()
        .filter(|piece| piece.before && piece.behind)
        .map(|piece| piece.text.as_str())
        .collect();
    // In every second way there is more before and behind what may stand anywhere.
    let open = |closed: &str| if closed.is_empty() { ["", "more"][way.number % 2] } else { "" };
    let (more_before, more_behind) = (open(first), open(last));
    let mut texts = Vec::new();
    for _ in 0..2 {
        for between in ["", " ", "-", "a"] {
            let parts = [&[first, more_before][..], &middle, &[more_behind, last]].concat();
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            texts.push(parts.join(between));
            let needed = |part: &&&str| !first.contains(**part) && !last.contains(**part);
            let middle: Vec<&str> = middle.iter().filter(needed).copied().collect();
            texts.push([&[first][..], &middle, &[last]].concat().join(between));
            if first.ends_with(last) {
                texts.push(first.to_owned());
            }
        }
        middle.reverse();
    }
    texts
}

/// Turns one test after the other round.
fn near(event: &Event, wanted: &[Want<'_>], out: &mut BTreeSet<Event>) {
    let mut add = |event: &Event, subject: &Subject, value: Option<String>| {
        let mut other = event.clone();
        other.put(subject, value);
        if out.len() < NEAR_MISSES_MAX {
            out.insert(other);
        }
    };
    let mut seen: Vec<&Atom> = Vec::new();
    for Want { atom, holds } in wanted {
        if seen.contains(atom) {
            continue;
        }
        seen.push(atom);
        let own = event.clone().slot(&atom.subject).cloned();
        if let Test::FieldRef { other, .. } = &atom.test {
            let other = Subject::Field(other.clone());
            let value = own.unwrap_or_else(|| "own".to_owned());
            let mut alike = event.clone();
            alike.put(&atom.subject, Some(value.clone()));
            for text in [swapped(&value), format!("x{value}"), format!("{value}x"), value] {
                add(&alike, &other, Some(text));
            }
            add(&alike, &other, None);
        } else if *holds {
            let own = own.unwrap_or_default();
            let missing = changed(&own, &atom.test);
            let mut missing: Vec<_> = missing.into_iter().filter(|t| !judge(atom, t)).collect();
            missing.truncate(3);
            missing.into_iter().for_each(|text| add(event, &atom.subject, Some(text)));
            add(event, &atom.subject, None);
            add(event, &atom.subject, Some(swapped(&own)));
        } else {
            let mut also: Vec<Want> = wanted
                .iter()
                .filter(|want| want.holds && want.atom.subject == atom.subject)
                .copied()
                .collect();
            also.push(Want { atom, holds: true });
            for number in 0..2 {
                let mut way = Way { number, random: None };
                let text =
                    value(&also, &mut way).or_else(|| value(&also[also.len() - 1..], &mut way));
                if let Some(text) = text {
                    add(event, &atom.subject, Some(text));
                }
            }
        }
    }
}

/// Texts that are nearly the same.
fn changed(text: &str, test: &Test) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let half = chars.len() / 2;
    let join = |parts: &[&[char]]| parts.concat().iter().collect::<String>();
    let mut texts = vec![format!("{text}x"), format!("x{text}")];
    if !chars.is_empty() {
        texts.push(join(&[&chars[1..]]));
        texts.push(join(&[&chars[..chars.len() - 1]]));
        texts.push(join(&[&chars[..half], &chars[half + 1..]]));
        texts.push(join(&[&chars[..half], &['~'], &chars[half + 1..]]));
        texts.push(String::new());
    }
    match test {
        Test::Cidr(networks) => texts.splice(0..0, networks.iter().flat_map(beside)).for_each(drop),
        Test::Compare(..) => {
            let number = text.parse::<i64>().unwrap_or_default();
            texts
                .splice(0..0, [number - 1, number + 1].map(|near| near.to_string()))
                .for_each(drop);
        }
        _ => {}
    }
    texts
}

/// The addresses before and behind a network.
fn beside(network: &IpNet) -> Vec<String> {
    let moved = |address: IpAddr, by: i8| match address {
        IpAddr::V4(four) => {
            let bits = four.to_bits().checked_add_signed(by.into());
            bits.map(|bits| IpAddr::from(bits.to_be_bytes()).to_string())
        }
        IpAddr::V6(six) => {
            let bits = six.to_bits().checked_add_signed(by.into());
            bits.map(|bits| IpAddr::from(bits.to_be_bytes()).to_string())
        }
    };
    [moved(network.network(), -1), moved(network.broadcast(), 1)].into_iter().flatten().collect()
}

/// The event of a batch of one.
pub(super) fn only(batch: &Batch) -> EventRef<'_> {
    batch.get(0).unwrap()
}
