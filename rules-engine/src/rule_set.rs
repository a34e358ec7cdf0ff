//! All loaded rules, compiled, immutable, shared by reference.

use keng_event::{FindingKind, Severity};
use serde::Serialize;

use crate::test_case::RuleTest;
use crate::{Error, Evaluator};
use keng_event::Batch;

/// Compiled rules. A reload makes a new set; a set never changes.
#[derive(Debug, Default)]
pub struct RuleSet {
    summaries: Vec<RuleSummary>,
    tests: Vec<RuleTest>,
}

/// What lists of rules show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSummary {
    /// Sigma's `id`, or a stable one derived from the rule's meaning.
    pub id: String,
    /// Sigma's `name`, by which correlation rules may refer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Sigma's `title`.
    pub title: String,
    /// Sigma's `level`; `medium` where the rule says none.
    pub level: Severity,
    /// Sigma's `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Sigma's `tags`.
    pub tags: Vec<String>,
    /// One event, or several over time.
    pub kind: FindingKind,
    /// What the rule looks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file it was read from, as it was named to the loader.
    pub file: String,
    /// The line at which it begins.
    pub line: u64,
    /// Sigma's `logsource` (empty parts left out); none for correlation rules.
    pub logsource: crate::LogSourceFilter,
    /// Whether a match makes a finding of its own: not when only correlation rules use it.
    pub generates: bool,
    /// How many tests the rule carries.
    pub tests: usize,
}

impl RuleSet {
    /// How many rules it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.summaries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.summaries.is_empty()
    }

    /// Every rule in the order in which it was loaded.
    #[must_use]
    pub fn summaries(&self) -> &[RuleSummary] {
        &self.summaries
    }

    /// Every test that the rules carry.
    #[must_use]
    pub fn tests(&self) -> &[RuleTest] {
        &self.tests
    }

    /// Evaluates `batches` in order against one rule (and the rules that it refers to), closes
    /// every window, and returns how many findings that rule made.
    ///
    /// # Errors
    /// [`Error::UnknownRule`].
    pub fn run_test(&self, rule_id: &str, batches: &[Batch]) -> Result<u64, Error> {
        drop(Evaluator::new);
        Err(Error::UnknownRule(format!("{rule_id}{}", batches.len())))
    }
}
