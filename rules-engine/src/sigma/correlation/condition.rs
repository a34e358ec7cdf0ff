//! When a correlation holds: bounds on a number, or an expression over the rules that matched.

use std::cmp::Ordering;

use crate::limits;
use crate::sigma::test::Comparison;
use crate::sigma::yaml::{Key, Node, Yaml};
use crate::sigma::{Expr, Fault, condition};

/// Every comparison must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    comparisons: Vec<(Relation, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Is(Comparison),
    IsNot,
}

/// A condition as written, and what else stands beside the comparisons.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) condition: Condition,
    pub(super) fields: Vec<String>,
    pub(super) percentile: Option<f64>,
    pub(super) factor: Option<f64>,
}

impl Condition {
    pub(super) fn is_empty(&self) -> bool {
        self.comparisons.is_empty()
    }

    pub(crate) fn holds(&self, number: f64) -> bool {
        self.comparisons.iter().all(|(relation, bound)| {
            let order = number.partial_cmp(bound).unwrap_or(Ordering::Equal);
            match relation {
                Relation::Is(comparison) => comparison.holds(order),
                Relation::IsNot => order.is_ne(),
            }
        })
    }

    /// Whether it holds for every number above one for which it holds: it can then be decided
    /// as soon as that is reached, and not only at the end of a window.
    pub(crate) fn is_lower_bound(&self) -> bool {
        let lower = |(relation, _): &(Relation, f64)| {
            matches!(relation, Relation::Is(Comparison::Greater | Comparison::GreaterOrEqual))
        };
        self.comparisons.iter().all(lower)
    }

    /// The count from which on it holds, if it is a lower bound; at least one.
    pub(crate) fn threshold(&self) -> Option<usize> {
        let wanted = |(relation, bound): &(Relation, f64)| match relation {
            Relation::Is(Comparison::Greater) => count_above(*bound),
            _ => count_from(*bound),
        };
        let highest = self.comparisons.iter().map(wanted).max()?;
        self.is_lower_bound().then_some(highest.max(1))
    }

    /// No count above this one makes a difference.
    pub(crate) fn highest_of_interest(&self) -> usize {
        let bounds = self.comparisons.iter().map(|(_, bound)| count_above(*bound));
        bounds.max().unwrap_or(0)
    }

    /// Whether nothing but zero fulfils it, among counts.
    pub(crate) fn wants_nothing(&self) -> bool {
        // Between the bounds nothing changes.
        let near = self.comparisons.iter().flat_map(|(_, bound)| {
            let above = count_above(*bound);
            [count_from(*bound), above, above + 1]
        });
        let mut counts = near.chain([1]).filter(|count| *count > 0);
        self.holds(0.0) && counts.all(|count| !self.holds(to_f64(count)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn to_f64(count: usize) -> f64 {
    count as f64
}

/// The smallest count that is not below `bound`.
fn count_from(bound: f64) -> usize {
    let bound = bound.ceil().clamp(0.0, to_f64(limits::CORRELATION_COUNT_MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let count = bound as usize;
    count
}

/// The smallest count above `bound`.
fn count_above(bound: f64) -> usize {
    if bound < 0.0 { 0 } else { count_from(bound.floor()) + 1 }
}

/// What the condition compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// A number of occurrences, values or rules.
    Count,
    /// A number that comes out of events.
    Number,
}

/// Reads a map of comparisons.
pub(super) fn compared(node: &Node, bounds: Bounds) -> Result<Compared, Fault> {
    let mut found = Compared {
        condition: Condition { comparisons: Vec::new() },
        fields: Vec::new(),
        percentile: None,
        factor: None,
    };
    for (key, value) in node.map("`condition`")? {
        let relation = match key.name.as_str() {
            "gt" => Relation::Is(Comparison::Greater),
            "gte" => Relation::Is(Comparison::GreaterOrEqual),
            "lt" => Relation::Is(Comparison::Less),
            "lte" => Relation::Is(Comparison::LessOrEqual),
            "eq" => Relation::Is(Comparison::Equal),
            "neq" => Relation::IsNot,
            "field" => {
                found.fields = value.texts("`field`")?;
                continue;
            }
            "percentile" => {
                found.percentile = Some(number(key, value)?);
                continue;
            }
            "factor" => {
                found.factor = Some(number(key, value)?);
                continue;
            }
            other => {
                return Err(Fault::new(key.line, format!("a condition has no `{other}`"))
                    .hint("use gt, gte, lt, lte, eq, neq, field and percentile"));
            }
        };
        let bound = number(key, value)?;
        if bounds == Bounds::Count {
            check_count(value, bound)?;
        }
        found.condition.comparisons.push((relation, bound));
    }
    Ok(found)
}

fn check_count(node: &Node, bound: f64) -> Result<(), Fault> {
    if bound < 0.0 {
        return Err(Fault::new(node.line, "a count is never negative"));
    }
    if bound > to_f64(limits::CORRELATION_COUNT_MAX) {
        let hint = format!("at most {} is allowed", limits::CORRELATION_COUNT_MAX);
        return Err(Fault::new(node.line, "the count is too high").hint(hint));
    }
    Ok(())
}

fn number(key: &Key, node: &Node) -> Result<f64, Fault> {
    let number = match node.value {
        #[expect(clippy::cast_precision_loss, reason = "events' numbers are compared as f64 too")]
        Yaml::Int(number) => number as f64,
        Yaml::Float(number) => number,
        _ => f64::NAN,
    };
    if number.is_finite() {
        return Ok(number);
    }
    Err(Fault::new(node.line, format!("`{}` must be a number, not {}", key.name, node.kind())))
}

impl Compared {
    /// Refuses what compares nothing.
    pub(super) fn some(self, node: &Node) -> Result<Self, Fault> {
        if self.condition.is_empty() {
            return Err(Fault::new(node.line, "`condition` compares nothing")
                .hint("add gt, gte, lt, lte, eq or neq"));
        }
        Ok(self)
    }
}

/// Rules that must have matched and rules that must not; bits are places in the list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Clause {
    pub(crate) present: u64,
    pub(crate) absent: u64,
}

impl Clause {
    /// Whether it holds where these rules matched.
    pub(crate) fn holds(self, matched: u64) -> bool {
        matched & self.present == self.present && matched & self.absent == 0
    }
}

/// The names in an expression, each once, in their order.
pub(super) fn names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || c == '(' || c == ')') {
        let keyword = ["", "and", "or", "not"].iter().any(|k| word.eq_ignore_ascii_case(k));
        if !keyword && !names.iter().any(|name| name == word) {
            names.push(word.to_owned());
        }
    }
    names
}

/// Reads an expression over rule names into alternatives, any of which suffices.
pub(super) fn clauses(text: &str, line: u64, rules: &[&str]) -> Result<Vec<Clause>, Fault> {
    let named = names(text);
    if let Some(unknown) = named.iter().find(|name| !rules.contains(&name.as_str())) {
        return Err(Fault::new(
            line,
            format!("the condition names `{unknown}`, not among `rules`"),
        )
        .hint(format!("`rules` has {}", rules.join(", "))));
    }
    if let Some(unused) = rules.iter().find(|rule| !named.iter().any(|name| name == *rule)) {
        return Err(Fault::new(line, format!("the condition does not name `{unused}`"))
            .hint("name every rule in the condition, or take it out of `rules`"));
    }
    let expr = condition::parse(text, line, rules)?;
    let mut clauses = alternatives(&expr, false)
        .ok_or_else(|| Fault::new(line, "the condition has too many alternatives"))?;
    clauses.sort_unstable();
    clauses.dedup();
    if clauses.is_empty() {
        return Err(Fault::new(line, "the condition can never hold"));
    }
    if clauses.iter().any(|clause| clause.present == 0) {
        return Err(Fault::new(line, "the condition holds where nothing happens")
            .hint("say with `and` which rule must match for the others to be missed"));
    }
    Ok(clauses)
}

/// Disjunctive normal form; `None` if it is larger than allowed.
fn alternatives(expr: &Expr<usize>, negated: bool) -> Option<Vec<Clause>> {
    match expr {
        Expr::Atom(place) => {
            let bit = 1_u64.checked_shl(u32::try_from(*place).ok()?)?;
            let (present, absent) = if negated { (0, bit) } else { (bit, 0) };
            Some(vec![Clause { present, absent }])
        }
        Expr::Not(part) => alternatives(part, !negated),
        Expr::And(parts) => combined(parts, if negated { 1 } else { parts.len() }, negated),
        Expr::Or(parts) => combined(parts, if negated { parts.len() } else { 1 }, negated),
        Expr::AtLeast(wanted, parts) => {
            let wanted = if negated { (parts.len() + 1).checked_sub(*wanted)? } else { *wanted };
            combined(parts, wanted, negated)
        }
    }
}

/// At least `wanted` of the parts.
fn combined(parts: &[Expr<usize>], wanted: usize, negated: bool) -> Option<Vec<Clause>> {
    // By number of parts taken so far.
    let mut taken = vec![Vec::new(); wanted + 1];
    taken.first_mut()?.push(Clause { present: 0, absent: 0 });
    for part in parts {
        let part = alternatives(part, negated)?;
        for count in (0..wanted).rev() {
            let more: Vec<Clause> = taken
                .get(count)?
                .iter()
                .flat_map(|clause| part.iter().filter_map(|other| both(*clause, *other)))
                .collect();
            let slot = taken.get_mut(count + 1)?;
            slot.extend(more);
            slot.sort_unstable();
            slot.dedup();
            if slot.len() > limits::CORRELATION_CLAUSES_MAX {
                return None;
            }
        }
    }
    taken.pop()
}

/// `None` where one contradicts the other.
fn both(left: Clause, right: Clause) -> Option<Clause> {
    let (present, absent) = (left.present | right.present, left.absent | right.absent);
    (present & absent == 0).then_some(Clause { present, absent })
}

/// Every choice of `wanted` among `rules` rules.
pub(super) fn choices(rules: usize, wanted: usize) -> Option<Vec<Clause>> {
    let all: Vec<_> = (0..rules).map(Expr::Atom).collect();
    combined(&all, wanted, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(u64, u64)>, String> {
        let clauses = clauses(text, 1, &["a", "b", "c"]).map_err(|fault| fault.message)?;
        Ok(clauses.into_iter().map(|clause| (clause.present, clause.absent)).collect())
    }

    #[test]
    fn expressions_become_alternatives() {
        assert_eq!(parsed("a and b and c"), Ok(vec![(7, 0)]));
        assert_eq!(parsed("a and b and not c"), Ok(vec![(3, 4)]));
        assert_eq!(parsed("a or b and c"), Ok(vec![(1, 0), (6, 0)]));
        assert_eq!(parsed("a and not (b or c)"), Ok(vec![(1, 6)]));
        assert_eq!(parsed("a AND NOT (b AND c)"), Ok(vec![(1, 2), (1, 4)]));
        assert_eq!(parsed("a and (b or not b) and (c or not b)"), Ok(vec![(1, 2), (5, 2), (7, 0)]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, reason) in [
            ("a and b", "the condition does not name `c`"),
            ("a and b and c and d", "the condition names `d`, not among `rules`"),
            ("not a and not b and not c", "the condition holds where nothing happens"),
            ("a and not a and b and c", "the condition can never hold"),
        ] {
            assert_eq!(parsed(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn choices_are_all_there() {
        assert_eq!(choices(4, 2).unwrap().len(), 6);
        assert_eq!(choices(64, 32), None, "too many");
    }

    proptest::proptest! {
        /// The alternatives hold exactly where the expression does.
        #[test]
        fn alternatives_are_the_expression(
            text in "(not )?[abc]( (and|or) (not )?[abc]){2,6}",
            matched in 0_u64..8,
        ) {
            let expr = condition::parse(&text, 1, &["a", "b", "c"]).unwrap();
            fn truth(expr: &Expr<usize>, matched: u64) -> bool {
                match expr {
                    Expr::Atom(place) => matched >> place & 1 == 1,
                    Expr::Not(part) => !truth(part, matched),
                    Expr::And(parts) => parts.iter().all(|part| truth(part, matched)),
                    Expr::Or(parts) => parts.iter().any(|part| truth(part, matched)),
                    Expr::AtLeast(..) => unreachable!(),
                }
            }
            let found = alternatives(&expr, false).unwrap();
            proptest::prop_assert_eq!(
                found.iter().any(|clause| clause.holds(matched)),
                truth(&expr, matched)
            );
        }
    }
}
