//! Tests inside a rule file (`keng.tests`). Raw lines are parsed by the binary, which knows
//! ingest; [`crate::RuleSet::run_test`] then evaluates the batches.

/// One test of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTest {
    /// The rule that carries it.
    pub rule_id: String,
    /// File and line of the test.
    pub file: String,
    /// Line of the test in the file, from 1.
    pub line: u64,
    /// What it shows.
    pub name: String,
    /// The events in order.
    pub events: Vec<TestEvent>,
    /// What must come out.
    pub expect: Expectation,
}

/// An event of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestEvent {
    /// A raw record, to be parsed as ingest would.
    Raw(String),
    /// A map of fields, as the JSON of one object.
    Json(String),
}

/// What a test expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// At least one finding.
    Match,
    /// No finding.
    None,
    /// So many findings.
    Matches(u64),
}

impl Expectation {
    /// Whether so many findings fulfil it.
    #[must_use]
    pub fn holds(self, findings: u64) -> bool {
        match self {
            Self::Match => findings > 0,
            Self::None => findings == 0,
            Self::Matches(wanted) => findings == wanted,
        }
    }
}
