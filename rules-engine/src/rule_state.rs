//! Whether a rule speaks: on, off, or on trial; and who decided it.
//!
//! States are kept by rule id beside the rules, never in their files, so that they outlive the
//! updates of a public set. Where they are stored is the caller's matter.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use keng_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::RuleSet;
use crate::rule_set::{CompiledBody, CompiledRule};

/// Whether a rule speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    /// Its findings call people.
    #[default]
    On,
    /// It makes no findings; a correlation rule that is not off itself still counts its matches.
    Off,
    /// Its findings are recorded, and nobody is called.
    Test,
}

impl RuleState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::On, Self::Off, Self::Test];

    /// The word in files, in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for RuleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word is no state.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a state of a rule: write on, off or test")]
pub struct InvalidState(String);

impl FromStr for RuleState {
    type Err = InvalidState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| InvalidState(word.chars().take(40).collect()))
    }
}

/// Who decided over a rule's state, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// A person's or token's name, or what Keng did by itself on somebody's behalf.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Decision {
    /// Longest note, in characters: some pages, and not the log that explains it.
    pub const NOTE_CHARACTERS_MAX: usize = 4_000;

    /// The note, unless it is too long.
    ///
    /// # Errors
    /// Says how long one may be.
    pub fn note(text: &str) -> Result<String, String> {
        match text.chars().nth(Self::NOTE_CHARACTERS_MAX) {
            None => Ok(text.to_owned()),
            Some(_) => {
                let most = Self::NOTE_CHARACTERS_MAX;
                Err(format!("the note is too long: at most {most} characters"))
            }
        }
    }
}

/// The state of one rule as it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The state.
    pub state: RuleState,
    /// Who, when, why.
    #[serde(flatten)]
    pub decision: Decision,
}

/// What was decided, by rule id; every other rule is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleStates(pub BTreeMap<String, Decided>);

impl RuleStates {
    /// The state of a rule.
    #[must_use]
    pub fn of(&self, rule: &str) -> RuleState {
        self.0.get(rule).map(|decided| decided.state).unwrap_or_default()
    }
}

/// Set apart from the fingerprint of a rule that is looked at, so that the state of a correlation
/// rule ends when it is turned off: what it did not see meanwhile must not count as absent or new.
const UNHEARD: u64 = 0x6f66_6600;

impl RuleSet {
    /// Puts its rules into the states that were decided; for a set that was just loaded.
    pub fn take_states(&mut self, states: &RuleStates) {
        self.take_states_hearing(states, &[]);
    }

    /// The same, evaluating these rules also if they are off and nothing here counts them.
    pub(crate) fn take_states_hearing(&mut self, states: &RuleStates, heard: &[&str]) {
        self.states = states.clone();
        for (rule, summary) in self.rules.iter_mut().zip(&mut self.summaries) {
            rule.state = states.of(&summary.id);
            summary.state = rule.state;
            summary.state_from = states.0.get(&summary.id).map(|decided| decided.decision.clone());
            rule.generates &= rule.state != RuleState::Off;
        }
        self.mute(heard);
    }

    /// What was decided over its rules.
    #[must_use]
    pub fn states(&self) -> &RuleStates {
        &self.states
    }

    /// The same rules in other states.
    #[must_use]
    pub fn in_states(&self, states: &RuleStates) -> Self {
        let known = std::sync::Arc::clone(&self.known);
        let mut set = crate::load::compile(self.sources.clone(), known, self.datasets).rules;
        set.take_states(states);
        set
    }

    /// How many of its rules are in a state.
    #[must_use]
    pub fn count_in(&self, state: RuleState) -> usize {
        self.rules.iter().filter(|rule| rule.state == state).count()
    }

    /// Leaves out of evaluation what is off and what neither another rule needs nor the caller.
    fn mute(&mut self, needed: &[&str]) {
        let is_needed = |rule: &CompiledRule| {
            rule.state != RuleState::Off || needed.contains(&rule.reference.id.as_str())
        };
        let mut heard: Vec<bool> = self.rules.iter().map(is_needed).collect();
        // Those that refer come after what they refer to.
        for number in self.order.iter().rev() {
            let Some(rule) = self.rules.get(*number as usize) else { continue };
            let CompiledBody::Correlation(correlation) = &rule.body else { continue };
            if heard.get(*number as usize) == Some(&true) {
                for part in &correlation.rules {
                    if let Some(heard) = heard.get_mut(*part as usize) {
                        *heard = true;
                    }
                }
            }
        }
        let is_heard = |number: u32| heard.get(number as usize) == Some(&true);
        for (rule, is_heard_itself) in self.rules.iter_mut().zip(&heard) {
            rule.feeds.retain(|(number, _)| is_heard(*number));
            rule.heard = *is_heard_itself;
            if !rule.heard {
                rule.fingerprint ^= UNHEARD;
            }
        }
    }
}
