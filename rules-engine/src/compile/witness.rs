//! A witness of a rule: literals of which at least one is in every event that the rule matches.
//!
//! Rules are looked up by their witnesses; only rules whose witness is found are evaluated. A
//! conjunction needs the witness of one part (the rarest is taken), a disjunction those of all
//! parts, a negation has none.

use crate::compile::fields::{FieldId, Fields};
use crate::sigma::Expr;
use crate::sigma::test::{Atom, Subject, Test};
use crate::text::{FastMap, Literal, Shape};

/// What must be in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// Nothing that could be looked up: the rule is always evaluated.
    Open,
    /// One of these.
    AnyOf(Vec<Clue>),
}

/// A literal in a field, or just the field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Clue {
    pub(crate) field: FieldId,
    /// `None`: the field has a value.
    pub(crate) literal: Option<Literal>,
}

/// In how many rules each clue occurs: what many rules look for is common in events too.
pub(crate) type Popularity = FastMap<Clue, u32>;

/// Counts the clues of one rule.
pub(crate) fn count(expr: &Expr<Atom>, fields: &mut Fields, popularity: &mut Popularity) {
    match expr {
        Expr::Not(_) => {}
        Expr::And(parts) | Expr::Or(parts) | Expr::AtLeast(_, parts) => {
            parts.iter().for_each(|part| count(part, fields, popularity));
        }
        Expr::Atom(atom) => {
            for clue in clues(atom, fields).into_iter().flatten() {
                *popularity.entry(clue).or_default() += 1;
            }
        }
    }
}

/// The cheapest witness of a rule.
pub(crate) fn choose(expr: &Expr<Atom>, fields: &mut Fields, popularity: &Popularity) -> Witness {
    match best(expr, fields, popularity) {
        Some((_, mut clues)) => {
            clues.sort_unstable();
            clues.dedup();
            Witness::AnyOf(clues)
        }
        None => Witness::Open,
    }
}

/// Clues and how often, on some scale, they will be found. `None`: there is no witness.
fn best(
    expr: &Expr<Atom>,
    fields: &mut Fields,
    popularity: &Popularity,
) -> Option<(f64, Vec<Clue>)> {
    match expr {
        Expr::Not(_) => None,
        Expr::Atom(atom) => {
            let clues = clues(atom, fields)?;
            let cost = clues.iter().map(|clue| cost(clue, popularity)).sum();
            Some((cost, clues))
        }
        Expr::And(parts) => parts
            .iter()
            .filter_map(|part| best(part, fields, popularity))
            .min_by(|a, b| a.0.total_cmp(&b.0)),
        // An empty disjunction never matches, and has no witness to wait for.
        Expr::Or(parts) | Expr::AtLeast(_, parts) => {
            parts.iter().try_fold((0.0, Vec::new()), |(sum, mut all), part| {
                let (cost, clues) = best(part, fields, popularity)?;
                all.extend(clues);
                Some((sum + cost, all))
            })
        }
    }
}

fn clues(atom: &Atom, fields: &mut Fields) -> Option<Vec<Clue>> {
    let field = match &atom.subject {
        Subject::Keywords => FieldId::KEYWORDS,
        Subject::Field(name) => fields.intern(name),
    };
    clues_in(atom, field)
}

/// What must be in the field for the test to hold; `None`: nothing that could be looked up.
pub(crate) fn clues_in(atom: &Atom, field: FieldId) -> Option<Vec<Clue>> {
    let present = || match field {
        FieldId::KEYWORDS => None,
        field => Some(vec![Clue { field, literal: None }]),
    };
    let Test::Text { patterns, .. } = &atom.test else { return present() };
    let mut clues = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        match crate::text::literal(pattern) {
            // So short a literal is found everywhere; the field tells as much at less cost.
            Some(literal) if literal.shape == Shape::Contains && literal.text.len() < 3 => {
                return present();
            }
            Some(literal) => clues.push(Clue { field, literal: Some(literal) }),
            None => return present(),
        }
    }
    Some(clues)
}

/// How often the clue will be found, on a scale of our own: guessed from its shape and length,
/// times the number of rules that have it.
fn cost(clue: &Clue, popularity: &Popularity) -> f64 {
    let Some(literal) = &clue.literal else { return 2_000.0 };
    let shape = match (literal.shape, literal.text.len()) {
        (Shape::Exact, ..6) => 20.0,
        (Shape::Exact | Shape::Start | Shape::End, 10..) | (Shape::Contains, 12..) => 1.0,
        (Shape::Exact, _) => 2.0,
        (Shape::Start | Shape::End, 6..) => 4.0,
        (Shape::Start | Shape::End, _) => 60.0,
        (Shape::Contains, 8..) => 3.0,
        (Shape::Contains, 6..) => 10.0,
        (Shape::Contains, 4..) => 60.0,
        (Shape::Contains, _) => 400.0,
    };
    // Keywords are searched in much longer texts than fields hold.
    let length = if clue.field == FieldId::KEYWORDS { 4.0 } else { 1.0 };
    shape * length * f64::from(popularity.get(clue).copied().unwrap_or(1))
}
