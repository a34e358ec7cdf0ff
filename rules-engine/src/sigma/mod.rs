//! Sigma text to syntax: what a rule says, without knowing events or datasets.
//!
//! Everything that the specification (version 2.1.0) allows is taken or refused with a
//! [`Fault`]; nothing is skipped.

pub(crate) mod aggregation;
pub(crate) mod condition;
pub(crate) mod correlation;
pub(crate) mod detection;
mod encode;
pub(crate) mod exception;
pub(crate) mod filter;
pub(crate) mod item;
pub(crate) mod keng;
pub(crate) mod lint;
pub(crate) mod modifier;
pub(crate) mod pipeline;
pub(crate) mod placeholder;
pub(crate) mod rule;
pub(crate) mod test;
pub(crate) mod yaml;

/// Why a rule is refused; the loader adds file and rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: u64,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(line: u64, message: impl Into<String>) -> Self {
        Self { line, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A condition over tests `A`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr<A> {
    Atom(A),
    Not(Box<Expr<A>>),
    And(Vec<Expr<A>>),
    Or(Vec<Expr<A>>),
    /// At least so many of the parts (`2 of selection*`).
    AtLeast(usize, Vec<Expr<A>>),
}

impl<A> Expr<A> {
    /// All parts; a single part stands for itself.
    pub(crate) fn all(mut parts: Vec<Self>) -> Self {
        match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                parts.extend(last);
                Self::And(parts)
            }
        }
    }

    /// Any part; a single part stands for itself.
    pub(crate) fn any(mut parts: Vec<Self>) -> Self {
        match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                parts.extend(last);
                Self::Or(parts)
            }
        }
    }

    /// Replaces every test.
    pub(crate) fn map<B>(&self, change: &mut impl FnMut(&A) -> B) -> Expr<B> {
        let mut list = |parts: &[Self]| parts.iter().map(|part| part.map(change)).collect();
        match self {
            Self::And(parts) => Expr::And(list(parts)),
            Self::Or(parts) => Expr::Or(list(parts)),
            Self::AtLeast(wanted, parts) => Expr::AtLeast(*wanted, list(parts)),
            Self::Not(part) => Expr::Not(Box::new(part.map(change))),
            Self::Atom(atom) => Expr::Atom(change(atom)),
        }
    }

    /// Calls `visit` with every test.
    pub(crate) fn each<'e>(&'e self, visit: &mut dyn FnMut(&'e A)) {
        match self {
            Self::Atom(atom) => visit(atom),
            Self::Not(part) => part.each(visit),
            Self::And(parts) | Self::Or(parts) | Self::AtLeast(_, parts) => {
                parts.iter().for_each(|part| part.each(visit));
            }
        }
    }

    /// How many tests it holds.
    pub(crate) fn atoms(&self) -> usize {
        match self {
            Self::Atom(_) => 1,
            Self::Not(part) => part.atoms(),
            Self::And(parts) | Self::Or(parts) | Self::AtLeast(_, parts) => {
                parts.iter().map(Self::atoms).sum()
            }
        }
    }
}

impl<A> Expr<A> {
    /// Whether it holds, if `test` says which tests do.
    pub(crate) fn holds(&self, test: &mut dyn FnMut(&A) -> bool) -> bool {
        match self {
            Self::Atom(atom) => test(atom),
            Self::Not(part) => !part.holds(test),
            Self::And(parts) => parts.iter().all(|part| part.holds(test)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(test)),
            Self::AtLeast(wanted, parts) => {
                parts.iter().filter(|part| part.holds(test)).count() >= *wanted
            }
        }
    }
}

impl Expr<usize> {
    /// The numbers that occur in it.
    pub(crate) fn leaves(&self) -> std::collections::BTreeSet<usize> {
        let mut leaves = std::collections::BTreeSet::new();
        self.each(&mut |number| {
            leaves.insert(*number);
        });
        leaves
    }

    /// Whether any part is negated.
    pub(crate) fn negates(&self) -> bool {
        match self {
            Self::Atom(_) => false,
            Self::Not(_) => true,
            Self::And(parts) | Self::Or(parts) | Self::AtLeast(_, parts) => {
                parts.iter().any(Self::negates)
            }
        }
    }
}
