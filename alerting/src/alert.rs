//! What an alert is: its record, its states, and what a person can do with it.
//!
//! These types are what the HTTP interface and the webhook carry, word for word. How findings
//! become alerts is `apply`'s matter, how a person's action changes one is `act`'s.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use keng_event::{RuleRef, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Something that a person should judge: one or more findings of one rule and one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// The id of its first finding; the same on every replay.
    pub id: String,
    /// The rule as it was when the alert was opened or last counted.
    pub rule: RuleRef,
    /// The gravest level under which one of its findings came.
    pub severity: Severity,
    /// Where it stands.
    pub state: State,
    /// All its findings came from a rule that was only being tried: nobody is called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// What it turned out to be, once closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// One line for a list: the rule's title.
    pub title: String,
    /// What, with the rule, makes it this alert and not another.
    pub group: BTreeMap<String, String>,
    /// Findings folded into it, each counted once.
    pub count: u64,
    /// Event time of its earliest finding.
    pub first_at: Timestamp,
    /// Event time of its latest finding.
    pub last_at: Timestamp,
    /// When Keng opened it.
    pub opened_at: Timestamp,
    /// When somebody first took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// When it was closed; absent again after a reopening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Addresses, users, hosts and the like that its events name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// Sample events as ECS JSON, oldest first; lists leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Box<RawValue>>,
    /// Everything that happened to it, oldest first; lists leave it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// What Keng will do about it next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Grows with every change; an action may name the version that it was decided on.
    pub version: u64,
}

/// A page of alerts, latest opened first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlertPage {
    /// At most [`crate::LIST_MAX`].
    pub alerts: Vec<Alert>,
    /// How many alerts pass the filter, on all pages.
    pub total: u64,
    /// Asks for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Something that an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entity {
    /// ECS field.
    pub field: String,
    /// Its value.
    pub value: String,
}

/// One thing that happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// A person's or token's name, or `keng`.
    pub actor: String,
    /// `opened`, `acknowledged`, `notified`, `notification_failed`, ….
    pub action: String,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What will happen to an alert if nobody does anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// For example `notify soc-mail (alert.opened)`.
    pub what: String,
    /// When; absent if nothing is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The reason, for example the error of the last attempt.
    pub why: String,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has taken it.
    Open,
    /// Somebody has.
    Acknowledged,
    /// Somebody has put it off. Reserved: nothing sets it yet.
    Snoozed,
    /// Done with; new findings of the same kind open a new alert.
    Closed,
}

/// What an alert turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// An attack.
    TruePositive,
    /// The rule was wrong.
    FalsePositive,
    /// The rule was right, and what it saw is allowed.
    Benign,
    /// Another alert says the same.
    Duplicate,
    /// Somebody was trying the alarm.
    Test,
    /// There was too little to tell.
    Inconclusive,
}

/// What a person does with an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Takes an open alert; also assigns it to the actor if nobody has it.
    Acknowledge {
        /// Why, or what next.
        #[serde(default)]
        note: Option<String>,
    },
    /// Hands it to somebody, or to nobody.
    Assign {
        /// The name of a person.
        assignee: Option<String>,
    },
    /// Ends it.
    Close {
        /// What it turned out to be.
        verdict: Verdict,
        /// The grounds.
        #[serde(default)]
        note: Option<String>,
    },
    /// Takes a close or an acknowledgement back.
    Reopen {
        /// Why.
        #[serde(default)]
        note: Option<String>,
    },
    /// Adds words to the history.
    Note {
        /// The words.
        note: String,
    },
}

/// Who acts, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// A person's or token's name.
    pub name: String,
    /// The address of the request, if it came over a network.
    pub address: Option<IpAddr>,
}

impl State {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Open, Self::Acknowledged, Self::Snoozed, Self::Closed];

    /// The word in JSON, in the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Closed => "closed",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 6] = [
        Self::TruePositive,
        Self::FalsePositive,
        Self::Benign,
        Self::Duplicate,
        Self::Test,
        Self::Inconclusive,
    ];

    /// The word in JSON, in the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TruePositive => "true_positive",
            Self::FalsePositive => "false_positive",
            Self::Benign => "benign",
            Self::Duplicate => "duplicate",
            Self::Test => "test",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// The verdict of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

impl Action {
    /// What the history and the audit log call it.
    #[must_use]
    pub const fn past(&self) -> &'static str {
        match self {
            Self::Acknowledge { .. } => "acknowledged",
            Self::Assign { .. } => "assigned",
            Self::Close { .. } => "closed",
            Self::Reopen { .. } => "reopened",
            Self::Note { .. } => "noted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(State::from_word(state.as_str()), Some(state));
        }
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
            assert_eq!(Verdict::from_word(verdict.as_str()), Some(verdict));
        }
    }

    #[test]
    fn an_action_reads_as_people_write_it() {
        let action: Action =
            serde_json::from_str(r#"{"action":"close","verdict":"false_positive"}"#).unwrap();
        assert_eq!(action, Action::Close { verdict: Verdict::FalsePositive, note: None });
        assert!(serde_json::from_str::<Action>(r#"{"action":"close"}"#).is_err());
        assert!(serde_json::from_str::<Action>(r#"{"action":"note","note":"x","y":1}"#).is_err());
    }
}
