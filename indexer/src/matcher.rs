//! Answers a query for one event at a time, straight from its batch.
//!
//! A plain interpreter of [`Filter`]; it serves live tail and the events that are not in a shard
//! yet, and is what the index is tested against. It holds no state between events but memory
//! that it uses again.

use keng_event::{Batch, EventRef, FieldIndex, Value};

use memchr::memmem;

use crate::query::filter::GlobPart;
use crate::query::{Filter, LeafField, LeafTest, Piece, Query, TextTest, ValueTest};
use crate::text::Tokens;

/// A query, ready to be asked of events.
#[derive(Clone, Debug)]
pub struct Matcher {
    filter: Filter,
}

impl Matcher {
    /// A matcher for the query.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        Self { filter: query.filter().clone() }
    }

    /// A matcher for the condition.
    #[must_use]
    pub fn of(filter: Filter) -> Self {
        Self { filter }
    }

    /// Whether the event satisfies the query. For many events of a batch use [`Matcher::bind`],
    /// which looks the names up once.
    #[must_use]
    pub fn matches(&self, event: EventRef<'_>) -> bool {
        self.bind(event.batch()).matches(event)
    }

    /// The matcher with its field names looked up in the batch.
    #[must_use]
    pub fn bind<'m>(&'m self, batch: &Batch) -> Bound<'m> {
        let text = [batch.index_of("message"), batch.index_of("event.original")];
        Bound { root: bind(&self.filter, batch), reader: Reader { text, ..Reader::default() } }
    }
}

/// A matcher for the events of one batch.
#[derive(Debug)]
pub struct Bound<'m> {
    root: Node<'m>,
    reader: Reader,
}

#[derive(Debug)]
enum Node<'m> {
    Constant(bool),
    Not(Box<Node<'m>>),
    And(Vec<Node<'m>>),
    Or(Vec<Node<'m>>),
    Exists(FieldIndex),
    Value(FieldIndex, &'m ValueTest),
    Id(Option<&'m ValueTest>),
    Text(FieldIndex, Prose<'m>),
    EventText(Prose<'m>),
}

fn bind<'m>(filter: &'m Filter, batch: &Batch) -> Node<'m> {
    let all = |parts: &'m [Filter]| parts.iter().map(|part| bind(part, batch)).collect();
    let leaf = match filter {
        Filter::All => return Node::Constant(true),
        Filter::Not(inner) => return Node::Not(Box::new(bind(inner, batch))),
        Filter::And(parts) => return Node::And(all(parts)),
        Filter::Or(parts) => return Node::Or(all(parts)),
        Filter::Leaf(leaf) => leaf,
    };
    let name = match &leaf.field {
        LeafField::Text => {
            return match &leaf.test {
                LeafTest::Text(test) => Node::EventText(Prose::new(test)),
                LeafTest::Exists | LeafTest::Value(_) => Node::Constant(false),
            };
        }
        LeafField::Named(name) => name,
    };
    if &**name == "event.id" {
        return match &leaf.test {
            LeafTest::Value(test) => Node::Id(Some(test)),
            LeafTest::Exists => Node::Id(None),
            LeafTest::Text(_) => Node::Constant(false),
        };
    }
    // No event of the batch has the field.
    let Some(field) = batch.index_of(name) else { return Node::Constant(false) };
    match &leaf.test {
        LeafTest::Exists => Node::Exists(field),
        LeafTest::Value(test) => Node::Value(field, test),
        LeafTest::Text(test) => Node::Text(field, Prose::new(test)),
    }
}

impl Bound<'_> {
    /// Whether the event, which must be of the batch that this was bound to, satisfies the
    /// query.
    pub fn matches(&mut self, event: EventRef<'_>) -> bool {
        self.reader.node(&self.root, event)
    }
}

/// Reads texts; several conditions on one text share what was made of it.
#[derive(Debug, Default)]
struct Reader {
    /// `message`, and `event.original` for events without one.
    text: [Option<FieldIndex>; 2],
    tokens: Tokens,
    tokens_of: Option<Place>,
    lowered: String,
    lowered_of: Option<Place>,
}

/// A text: event, field, place among the field's values.
type Place = (usize, FieldIndex, usize);

impl Reader {
    fn node(&mut self, node: &Node<'_>, event: EventRef<'_>) -> bool {
        match node {
            Node::Constant(truth) => *truth,
            Node::Not(inner) => !self.node(inner, event),
            Node::And(parts) => parts.iter().all(|part| self.node(part, event)),
            Node::Or(parts) => parts.iter().any(|part| self.node(part, event)),
            Node::Exists(field) => event.at(*field).is_some(),
            Node::Value(field, test) => event.all(*field).any(|value| test.matches(value)),
            Node::Id(test) => event.id().is_some_and(|id| {
                test.is_none_or(|test| test.matches(Value::Str(&id.to_string())))
            }),
            Node::Text(field, prose) => self.text(*field, prose, event),
            Node::EventText(prose) => {
                let [message, original] = self.text;
                let filled = |field: &FieldIndex| event.at(*field).is_some();
                let field = message.filter(filled).or(original.filter(filled));
                field.is_some_and(|field| self.text(field, prose, event))
            }
        }
    }

    fn text(&mut self, field: FieldIndex, prose: &Prose<'_>, event: EventRef<'_>) -> bool {
        for (number, value) in event.all(field).enumerate() {
            let text = value.to_text();
            let place = Some((event.index(), field, number));
            if text.is_ascii() && !prose.needles.is_empty() {
                if self.lowered_of != place {
                    self.lowered.clear();
                    self.lowered.push_str(&text);
                    self.lowered.make_ascii_lowercase();
                    self.lowered_of = place;
                }
                if prose.refuses(self.lowered.as_bytes()) {
                    continue;
                }
            }
            if prose.test.uses_tokens() && self.tokens_of != place {
                self.tokens.read(&text);
                self.tokens_of = place;
            }
            if prose.test.matches(&text, &self.tokens) {
                return true;
            }
        }
        false
    }
}

/// A test of prose with a quick refusal: making tokens costs ten times more than a look whether
/// their letters are there at all.
#[derive(Debug)]
struct Prose<'m> {
    test: &'m TextTest,
    /// What every ASCII text that satisfies the test has in it once it is lower-case.
    needles: Vec<memmem::Finder<'static>>,
    /// Signs of an IPv6 address, whose token can have digits that the text has not.
    rewritten: [memmem::Finder<'static>; 2],
}

impl<'m> Prose<'m> {
    fn new(test: &'m TextTest) -> Self {
        let pieces = test.pieces();
        let texts = pieces.iter().filter_map(|piece| match piece {
            // IPv6 and MAC addresses are tokens in a form that the text may not have.
            Piece::Word(text) => (!text.contains(':')).then_some(text),
            Piece::Prefix(text) | Piece::Suffix(text) | Piece::Contains(text) => Some(text),
            Piece::Glob => None,
        });
        let needles = texts.map(|text| memmem::Finder::new(text).into_owned());
        let rewritten = ["::", "ffff:"].map(memmem::Finder::new);
        Self { test, needles: needles.chain(literals(test)).collect(), rewritten }
    }

    /// Whether the lower-case ASCII text cannot satisfy the test.
    fn refuses(&self, lowered: &[u8]) -> bool {
        let absent = |needle: &memmem::Finder<'_>| needle.find(lowered).is_none();
        let present = |sign: &memmem::Finder<'_>| sign.find(lowered).is_some();
        self.needles.iter().any(absent) && !self.rewritten.iter().any(present)
    }
}

/// The letters of a pattern for one word.
fn literals(test: &TextTest) -> impl Iterator<Item = memmem::Finder<'static>> {
    let parts = match test {
        TextTest::Word(glob) => glob.parts(),
        _ => &[],
    };
    parts.iter().filter_map(|part| match part {
        GlobPart::Literal(text) => Some(memmem::Finder::new(text).into_owned()),
        GlobPart::One | GlobPart::Many => None,
    })
}

#[cfg(test)]
mod tests;
