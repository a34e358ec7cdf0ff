//! Answers a query for one event at a time, straight from its batch.
//!
//! A plain interpreter of [`Filter`]; it serves live tail and the events that are not in a shard
//! yet, and is what the index is tested against. It holds no state between events but memory
//! that it uses again.

use keng_event::{Batch, EventRef, FieldIndex, Value};

use crate::query::{Filter, LeafField, LeafTest, Query, TextTest, ValueTest};
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
        Bound { root: bind(&self.filter, batch), text, tokens: Tokens::default(), read: None }
    }
}

/// A matcher for the events of one batch.
#[derive(Debug)]
pub struct Bound<'m> {
    root: Node<'m>,
    /// `message`, and `event.original` for events without one.
    text: [Option<FieldIndex>; 2],
    tokens: Tokens,
    /// Which text `tokens` belongs to, as (event, field, place among the field's values).
    read: Option<(usize, FieldIndex, usize)>,
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
    Text(FieldIndex, &'m TextTest),
    EventText(&'m TextTest),
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
                LeafTest::Text(test) => Node::EventText(test),
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
        LeafTest::Text(test) => Node::Text(field, test),
    }
}

impl Bound<'_> {
    /// Whether the event, which must be of the batch that this was bound to, satisfies the
    /// query.
    pub fn matches(&mut self, event: EventRef<'_>) -> bool {
        let mut reader = Reader { text: self.text, tokens: &mut self.tokens, read: &mut self.read };
        reader.node(&self.root, event)
    }
}

struct Reader<'b> {
    text: [Option<FieldIndex>; 2],
    tokens: &'b mut Tokens,
    read: &'b mut Option<(usize, FieldIndex, usize)>,
}

impl Reader<'_> {
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
            Node::Text(field, test) => self.text(*field, test, event),
            Node::EventText(test) => {
                let [message, original] = self.text;
                let filled = |field: &FieldIndex| event.at(*field).is_some();
                let field = message.filter(filled).or(original.filter(filled));
                field.is_some_and(|field| self.text(field, test, event))
            }
        }
    }

    fn text(&mut self, field: FieldIndex, test: &TextTest, event: EventRef<'_>) -> bool {
        for (place, value) in event.all(field).enumerate() {
            let text = value.to_text();
            // Several conditions on one text share its tokens.
            let wanted = Some((event.index(), field, place));
            if test.uses_tokens() && *self.read != wanted {
                self.tokens.read(&text);
                *self.read = wanted;
            }
            if test.matches(&text, self.tokens) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
