//! What an event means, in the words that ECS allows: category, type, action, outcome.
//!
//! The lists here are ECS 9's allowed values; a test holds every row of every table and every
//! sample to them, and to the types that ECS expects for each category.

use keng_event::{EventBuilder, field};

/// `event.outcome`, where the record says one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    Success,
    /// It was tried and refused, or failed.
    Failure,
    /// The record does not say; the field stays away.
    Unsaid,
}

/// `event.action`, `event.category`, `event.type` and `event.outcome` of one kind of event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    /// Our word for what happened, for example `ssh-login`; empty where there is none.
    pub(super) action: &'static str,
    pub(super) categories: &'static [&'static str],
    pub(super) types: &'static [&'static str],
    pub(super) outcome: Outcome,
}

impl Meaning {
    /// A meaning without an outcome.
    pub(super) const fn new(
        action: &'static str,
        categories: &'static [&'static str],
        types: &'static [&'static str],
    ) -> Self {
        Self { action, categories, types, outcome: Outcome::Unsaid }
    }

    /// The same, done.
    pub(super) const fn success(self) -> Self {
        Self { outcome: Outcome::Success, ..self }
    }

    /// The same, refused or failed.
    pub(super) const fn failure(self) -> Self {
        Self { outcome: Outcome::Failure, ..self }
    }

    /// Puts it into the event, leaving alone what the event has already.
    pub(super) fn put(&self, event: &mut EventBuilder<'_>) {
        if !self.action.is_empty() && !event.has(field::EVENT_ACTION) {
            event.put(field::EVENT_ACTION, self.action);
        }
        if !event.has(field::EVENT_CATEGORY) {
            for category in self.categories {
                event.put(field::EVENT_CATEGORY, *category);
            }
        }
        if !event.has(field::EVENT_TYPE) {
            for kind in self.types {
                event.put(field::EVENT_TYPE, *kind);
            }
        }
        if event.has(field::EVENT_OUTCOME) {
            return;
        }
        match self.outcome {
            Outcome::Success => event.put(field::EVENT_OUTCOME, "success"),
            Outcome::Failure => event.put(field::EVENT_OUTCOME, "failure"),
            Outcome::Unsaid => event,
        };
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// ECS 9: `event.category` and the `event.type` values that it expects of each.
    const EXPECTED: [(&str, &[&str]); 20] = [
        (
            "api",
            &[
                "access", "admin", "allowed", "change", "creation", "deletion", "denied", "end",
                "info", "start", "user",
            ],
        ),
        ("authentication", &["start", "end", "info"]),
        ("configuration", &["access", "change", "creation", "deletion", "info"]),
        ("database", &["access", "change", "info", "error"]),
        ("driver", &["change", "end", "info", "start"]),
        ("email", &["info"]),
        ("file", &["access", "change", "creation", "deletion", "info"]),
        ("host", &["access", "change", "end", "info", "start"]),
        ("iam", &["admin", "change", "creation", "deletion", "group", "info", "user"]),
        ("intrusion_detection", &["allowed", "denied", "info"]),
        ("library", &["start"]),
        ("malware", &["info"]),
        (
            "network",
            &["access", "allowed", "connection", "denied", "end", "info", "protocol", "start"],
        ),
        ("package", &["access", "change", "deletion", "info", "installation", "start"]),
        ("process", &["access", "change", "end", "info", "start"]),
        ("registry", &["access", "change", "creation", "deletion"]),
        ("session", &["start", "end", "info"]),
        ("threat", &["indicator"]),
        ("vulnerability", &["info"]),
        ("web", &["access", "error", "info"]),
    ];

    /// Panics unless ECS allows these together.
    pub(in crate::dataset) fn check(categories: &[&str], types: &[&str], what: &str) {
        for category in categories {
            assert!(EXPECTED.iter().any(|(known, _)| known == category), "{what}: {category}");
        }
        for kind in types {
            let expected = EXPECTED
                .iter()
                .any(|(category, types)| categories.contains(category) && types.contains(kind));
            assert!(expected, "{what}: type '{kind}' is not expected of {categories:?}");
        }
    }

    impl Meaning {
        pub(in crate::dataset) fn check(&self) {
            check(self.categories, self.types, self.action);
        }
    }
}
