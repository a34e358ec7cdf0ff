//! Cheap tests before dear ones: in which order the parts of a condition are tried.
//!
//! A conjunction ends at the first part that fails and a disjunction at the first that holds, so
//! that what comes last is rarely asked. The meaning is the same in every order, and explanations
//! keep to the one that was written.

use crate::sigma::Expr;
use crate::sigma::test::{Atom, Part, Test};

/// Replaces every test, with the parts in the order in which they are to be tried.
pub(crate) fn map<B>(expr: &Expr<Atom>, change: &mut impl FnMut(&Atom) -> B) -> Expr<B> {
    let mut list = |parts: &[Expr<Atom>]| {
        let order = of(parts).into_iter().filter_map(|place| parts.get(place));
        order.map(|part| map(part, change)).collect()
    };
    match expr {
        Expr::And(parts) => Expr::And(list(parts)),
        Expr::Or(parts) => Expr::Or(list(parts)),
        Expr::AtLeast(wanted, parts) => Expr::AtLeast(*wanted, list(parts)),
        Expr::Not(part) => Expr::Not(Box::new(map(part, change))),
        Expr::Atom(atom) => Expr::Atom(change(atom)),
    }
}

/// Each part as written with what [`map`] made of it, in the order in which they were written.
pub(crate) fn paired<'e, B>(
    written: &'e [Expr<Atom>],
    compiled: &'e [Expr<B>],
) -> impl Iterator<Item = (&'e Expr<Atom>, &'e Expr<B>)> {
    let mut pairs: Vec<_> = of(written).into_iter().zip(compiled).collect();
    pairs.sort_unstable_by_key(|(place, _)| *place);
    written.iter().zip(pairs).map(|(written, (_, compiled))| (written, compiled))
}

/// The places of the parts in the order in which they are tried.
fn of(parts: &[Expr<Atom>]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..parts.len()).collect();
    places.sort_by_cached_key(|place| parts.get(*place).map(cost));
    places
}

/// What it takes to try a condition, in about the time of looking at one field. Of several parts
/// one is always tried and the others now and then.
fn cost(expr: &Expr<Atom>) -> usize {
    match expr {
        Expr::Atom(atom) => cost_of_test(&atom.test),
        Expr::Not(part) => cost(part),
        Expr::And(parts) | Expr::Or(parts) | Expr::AtLeast(_, parts) => {
            let (all, least) = parts
                .iter()
                .map(cost)
                .fold((0, usize::MAX), |(all, least), one| (all + one, least.min(one)));
            all.saturating_add(least) / 2
        }
    }
}

fn cost_of_test(test: &Test) -> usize {
    match test {
        Test::Present => 2,
        Test::Compare(..) | Test::Cidr(_) | Test::TimePart(..) => 8,
        Test::FieldRef { .. } | Test::InList(_) => 16,
        Test::Regex { .. } => 200,
        Test::Text { patterns, .. } => {
            // Whole values are looked up together, beginnings and ends one by one, and what may
            // stand anywhere must be searched.
            let searched = patterns.iter().filter(|pattern| {
                matches!(pattern.parts.as_slice(), [Part::Any, .., Part::Any] | [_, _, _, ..])
            });
            4 + patterns.len().min(8) + 8 * searched.count().min(8)
        }
    }
}
