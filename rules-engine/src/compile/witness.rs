//! A witness of a rule: literals of which at least one is in every event that the rule matches.
//!
//! Rules are looked up by their witnesses; only rules whose witness is found are evaluated. A
//! conjunction needs the witness of one part (the rarest is taken), a disjunction those of all
//! parts, a negated test has none; `not (Image is null or ...)` has that of `Image`.

use crate::compile::atoms::AtomId;
use crate::compile::fields::{FieldId, Fields};
use crate::sigma::Expr;
use crate::sigma::test::{Atom, Subject, Test};
use crate::text::{FastMap, Literal, Shape, required};

/// What must be in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// Nothing that could be looked up: the rule is always evaluated.
    Open,
    /// One of these, each with the test that holds where it is found, if one does.
    AnyOf(Vec<(Clue, Option<AtomId>)>),
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
            for (clue, _) in clues(atom, fields).into_iter().flatten() {
                *popularity.entry(clue).or_default() += 1;
            }
        }
    }
}

/// The cheapest witness of a rule; `number` gives the numbers of its tests.
pub(crate) fn choose(
    expr: &Expr<Atom>,
    fields: &mut Fields,
    popularity: &Popularity,
    mut number: impl FnMut(&Atom, &mut Fields) -> AtomId,
) -> Witness {
    match best(expr, false, fields, popularity) {
        Some((_, leads)) => {
            let mut clues = Vec::new();
            for (atom, leading) in leads {
                let is_proven = leading.iter().any(|(_, is_enough)| *is_enough);
                // Once for all its clues, of which there may be thousands.
                let test = is_proven.then(|| number(atom, fields));
                let proven = |(clue, is_enough)| (clue, test.filter(|_| is_enough));
                clues.extend(leading.into_iter().map(proven));
            }
            clues.sort_unstable();
            clues.dedup();
            Witness::AnyOf(clues)
        }
        None => Witness::Open,
    }
}

/// Clues to a test, and for each whether it is enough for it.
type Lead<'e> = (&'e Atom, Vec<(Clue, bool)>);

/// Clues to the condition (or to that it does not hold) and how often, on some scale, they will
/// be found. `None`: there is no witness.
fn best<'e>(
    expr: &'e Expr<Atom>,
    negated: bool,
    fields: &mut Fields,
    popularity: &Popularity,
) -> Option<(f64, Vec<Lead<'e>>)> {
    match (expr, negated) {
        (Expr::Atom(_), true) | (Expr::AtLeast(..), true) => None,
        (Expr::Not(part), _) => best(part, !negated, fields, popularity),
        (Expr::Atom(atom), false) => {
            let clues = clues(atom, fields)?;
            let cost = clues.iter().map(|(clue, _)| cost(clue, popularity)).sum();
            Some((cost, vec![(atom, clues)]))
        }
        // Not any of the parts: that each of them does not hold.
        (Expr::And(parts), false) | (Expr::Or(parts), true) => parts
            .iter()
            .filter_map(|part| best(part, negated, fields, popularity))
            .min_by(|a, b| a.0.total_cmp(&b.0)),
        // An empty disjunction never matches, and has no witness to wait for.
        (Expr::Or(parts) | Expr::AtLeast(_, parts), false) | (Expr::And(parts), true) => {
            parts.iter().try_fold((0.0, Vec::new()), |(sum, mut all), part| {
                let (cost, clues) = best(part, negated, fields, popularity)?;
                all.extend(clues);
                Some((sum + cost, all))
            })
        }
    }
}

fn clues(atom: &Atom, fields: &mut Fields) -> Option<Vec<(Clue, bool)>> {
    let field = match &atom.subject {
        Subject::Keywords => FieldId::KEYWORDS,
        Subject::Field(name) => fields.intern(name),
    };
    clues_in(atom, field)
}

/// What must be in the field for the test to hold, one of these, and whether that is enough;
/// `None`: nothing that could be looked up.
pub(crate) fn clues_in(atom: &Atom, field: FieldId) -> Option<Vec<(Clue, bool)>> {
    let present = || match field {
        FieldId::KEYWORDS => None,
        field => Some(vec![(Clue { field, literal: None }, false)]),
    };
    let literals: Option<Vec<(Literal, bool)>> = match &atom.test {
        Test::Text { patterns, cased } => {
            let literals = patterns.iter().map(crate::text::literal);
            // What is looked for has no letter case.
            literals
                .map(|literal| literal.map(|(literal, is_all)| (literal, is_all && !cased)))
                .collect()
        }
        Test::Regex { source, flags } => required(source, *flags).map(|literals| {
            let contained = |text: String| Literal { shape: Shape::Contains, text: text.into() };
            literals.into_iter().map(|text| (contained(text), false)).collect()
        }),
        _ => None,
    };
    match literals {
        Some(literals) if literals.iter().all(|(literal, _)| literal.is_worth_a_search()) => {
            let clue = |(literal, is_enough)| (Clue { field, literal: Some(literal) }, is_enough);
            Some(literals.into_iter().map(clue).collect())
        }
        _ => present(),
    }
}

/// How often the clue will be found, on a scale of our own: guessed from its shape and length,
/// times the number of rules that have it.
fn cost(clue: &Clue, popularity: &Popularity) -> f64 {
    let Some(literal) = &clue.literal else { return 2_000.0 };
    let shape = match (literal.shape, literal.text.len()) {
        (Shape::Exact, ..6) => 20.0,
        (Shape::Exact | Shape::Start | Shape::End, 10..) | (Shape::Contains, 12..) => 1.0,
        (Shape::Exact, _) => 2.0,
        // An extension says more than its length.
        (Shape::End, 4..) if literal.text.starts_with('.') => 6.0,
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
