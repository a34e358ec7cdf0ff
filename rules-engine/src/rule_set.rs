//! All loaded rules, compiled, immutable, shared by reference.

use std::sync::Arc;

use keng_event::{Batch, Dataset, FindingIds, FindingKind, RuleRef, Severity};
use keng_metrics::Registry;
use serde::Serialize;

use crate::compile::atoms::{AtomId, Atoms};
use crate::compile::correlations::CompiledCorrelation;
use crate::compile::fields::{Bindings, Fields};
use crate::compile::plan::Plan;
use crate::compile::witness::Witness;
use crate::cost::{Costs, RuleActivity};
use crate::lists::Lists;
use crate::route::Words;
use crate::sigma::Expr;
use crate::sigma::exception::{Excepting, Exception};
use crate::sigma::keng::Suppress;
use crate::sigma::rule::Body;
use crate::sigma::test::Atom;
use crate::test_case::RuleTest;
use crate::text::Regexes;
use crate::{Config, Decision, Engine, Error, LogSourceFilter, RuleState, RuleStates};

/// Compiled rules. A reload makes a new set; a set never changes.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(crate) summaries: Vec<RuleSummary>,
    pub(crate) tests: Vec<RuleTest>,
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) tables: Tables,
    pub(crate) words: Words,
    pub(crate) datasets: &'static [Dataset],
    /// Correlation rules, each after those that it refers to.
    pub(crate) order: Vec<u32>,
    pub(crate) sources: Vec<crate::load::Source>,
    /// What its rules look into.
    pub(crate) known: Arc<Known>,
    /// What was decided over its rules.
    pub(crate) states: RuleStates,
    /// What they cost and found.
    pub(crate) costs: Costs,
}

/// What is made once for all rules that look into it, and kept when the set is compiled anew.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) lists: Lists,
    pub(crate) regexes: Regexes,
}

/// What all rules share.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) fields: Fields,
    pub(crate) atoms: Atoms,
    pub(crate) bindings: Bindings,
}

/// A rule ready to be evaluated.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) reference: Arc<RuleRef>,
    /// Ids of its findings.
    pub(crate) ids: FindingIds,
    pub(crate) suppress: Option<Suppress>,
    pub(crate) group_by: Vec<String>,
    /// Whether a match makes a finding.
    pub(crate) generates: bool,
    pub(crate) state: RuleState,
    /// Whether it is evaluated at all: not if it is off, and no rule that is not counts it.
    pub(crate) heard: bool,
    /// Correlation rules that count its matches, and as which of their rules.
    pub(crate) feeds: Vec<(u32, usize)>,
    /// Hash of its meaning and of the meaning of all that it refers to.
    pub(crate) fingerprint: u64,
    pub(crate) body: CompiledBody,
}

#[derive(Debug)]
pub(crate) enum CompiledBody {
    Detection {
        logsource: LogSourceFilter,
        expr: Expr<AtomId>,
        witness: Witness,
        exceptions: Vec<Excepting<AtomId>>,
    },
    Correlation(CompiledCorrelation),
}

/// Hashes of what a rule says; the same in every build of this version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prints {
    /// Of what it finds, and how that is told: level, grouping, suppression.
    pub meaning: u64,
    /// Of everything that is written.
    pub text: u64,
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
    /// Sigma's `logsource` (what is not stated left out); empty for correlation rules.
    pub logsource: LogSourceFilter,
    /// Whether a match makes a finding of its own: not when only correlation rules use it.
    pub generates: bool,
    /// How many tests the rule carries.
    pub tests: usize,
    /// What it finds nothing in, its own and those of filters, expired ones too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
    /// Whether it speaks.
    pub state: RuleState,
    /// Who decided that; absent where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_from: Option<Decision>,
    /// By which two versions of a rule are told apart.
    #[serde(skip)]
    pub prints: Prints,
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

    /// What the rule at this place costs and found.
    #[must_use]
    pub fn activity(&self, rule: usize) -> RuleActivity {
        self.costs.activity(rule)
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
        let rules = Arc::new(self.subset(&[rule_id])?);
        let mut engine = Engine::new(rules, Config::default(), &Registry::new());
        let mut findings = Vec::new();
        for batch in batches {
            findings.extend(engine.evaluate(batch));
        }
        findings.extend(engine.close_windows());
        let own = findings.iter().filter(|finding| finding.rule.id == rule_id);
        Ok(own.count() as u64)
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    pub(crate) fn datasets(&self) -> &'static [Dataset] {
        self.datasets
    }

    pub(crate) fn rule(&self, rule: u32) -> Option<&CompiledRule> {
        self.rules.get(rule as usize)
    }

    pub(crate) fn logsource(&self, rule: u32) -> Option<&LogSourceFilter> {
        match &self.rule(rule)?.body {
            CompiledBody::Detection { logsource, .. } => Some(logsource),
            CompiledBody::Correlation(_) => None,
        }
    }

    /// The condition of a detection rule.
    pub(crate) fn expr(&self, rule: u32) -> Option<&Expr<AtomId>> {
        match &self.rule(rule)?.body {
            CompiledBody::Detection { expr, .. } => Some(expr),
            CompiledBody::Correlation(_) => None,
        }
    }

    /// The condition of a detection rule as written.
    pub(crate) fn written(&self, rule: u32) -> Option<&Expr<Atom>> {
        match &self.sources.get(rule as usize)?.rule.body {
            Body::Detection { expr, .. } => Some(expr),
            Body::Correlation(_) => None,
        }
    }

    /// What a detection rule finds nothing in, as compiled and as written, in the same order.
    pub(crate) fn exceptions(&self, rule: u32) -> (&[Excepting<AtomId>], &[Excepting<Atom>]) {
        let compiled = match self.rule(rule).map(|rule| &rule.body) {
            Some(CompiledBody::Detection { exceptions, .. }) => exceptions.as_slice(),
            _ => &[],
        };
        let written = match self.sources.get(rule as usize).map(|source| &source.rule.body) {
            Some(Body::Detection { exceptions, .. }) => exceptions.as_slice(),
            _ => &[],
        };
        (compiled, written)
    }

    /// A plan over the detection rules whose log source is `wanted`.
    pub(crate) fn plan(&self, wanted: impl Fn(&LogSourceFilter) -> bool) -> Plan {
        let detections = self.rules.iter().enumerate().filter_map(|(number, rule)| {
            let CompiledBody::Detection { logsource, witness, .. } = &rule.body else {
                return None;
            };
            let number = u32::try_from(number).ok().filter(|_| rule.heard)?;
            wanted(logsource).then_some((number, witness))
        });
        Plan::new(detections, self.tables.fields.len())
    }

    /// A set of some rules and all that they refer to.
    ///
    /// # Errors
    /// [`Error::UnknownRule`].
    pub fn subset(&self, rule_ids: &[&str]) -> Result<Self, Error> {
        let mut wanted = Vec::with_capacity(rule_ids.len());
        for id in rule_ids {
            match self.summaries.iter().position(|rule| rule.id == *id) {
                Some(number) if wanted.contains(&number) => {}
                Some(number) => wanted.push(number),
                None => return Err(Error::UnknownRule((*id).to_owned())),
            }
        }
        let mut at = 0;
        while let Some(number) = wanted.get(at).copied() {
            at += 1;
            if let Some(CompiledRule { body: CompiledBody::Correlation(rule), .. }) =
                self.rules.get(number)
            {
                for part in &rule.rules {
                    if !wanted.contains(&(*part as usize)) {
                        wanted.push(*part as usize);
                    }
                }
            }
        }
        wanted.sort_unstable();
        let sources = wanted.iter().filter_map(|number| self.sources.get(*number)).cloned();
        Ok(crate::load::compile(sources.collect(), Arc::clone(&self.known), self.datasets).rules)
    }
}
