//! Why a detection rule did or did not match an event: its condition, test by test, beside the
//! values that the event has.

use keng_event::EventRef;
use serde::{Deserialize, Serialize, Serializer};

use crate::compile::atoms::AtomId;
use crate::compile::order;
use crate::sigma::Expr;
use crate::sigma::test::{Atom, Comparison, Number, Place, Subject, Test, TimePart};
use crate::{Evaluator, Exception, LogSourceFilter, RuleSummary};

/// Patterns or networks of one test that are shown; some rules list hundreds.
const SHOWN_MAX: usize = 5;

/// What one rule makes of one event.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation<'r> {
    /// The rule; in JSON its id.
    #[serde(serialize_with = "id")]
    pub rule: &'r RuleSummary,
    /// The rule's title.
    pub title: &'r str,
    /// Whether the event comes from the rule's log source.
    pub log_source: bool,
    /// Whether the rule matches: the log source is right, the condition holds, and no exception
    /// holds it back.
    pub matched: bool,
    /// The condition as it was evaluated, without short cuts.
    pub condition: Verdict,
    /// The rule's exceptions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Excepted>,
}

/// What an exception makes of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excepted {
    /// The exception.
    #[serde(flatten)]
    pub exception: Exception,
    /// Whether it had expired when the event was received.
    pub expired: bool,
    /// Whether it is for the event: it selects it, and had not expired.
    pub holds_back: bool,
    /// What it selects.
    pub condition: Verdict,
}

fn id<S: Serializer>(rule: &&RuleSummary, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rule.id)
}

/// A part of a condition and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it holds.
    pub holds: bool,
    /// What it is.
    #[serde(flatten)]
    pub part: Part,
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    /// Every part must hold.
    All {
        /// The parts.
        parts: Vec<Verdict>,
    },
    /// One part must hold.
    Any {
        /// The parts.
        parts: Vec<Verdict>,
    },
    /// So many parts must hold (`2 of selection*`).
    AtLeast {
        /// How many.
        wanted: usize,
        /// The parts.
        parts: Vec<Verdict>,
    },
    /// The part must not hold.
    Not {
        /// The part.
        part: Box<Verdict>,
    },
    /// A test on a field.
    Test {
        /// The field as the rule names it; `message` for keywords.
        field: String,
        /// What is asked of it, in words.
        test: String,
        /// What the event has there; empty where it has nothing.
        values: Vec<String>,
    },
}

impl Evaluator {
    /// Why each detection rule does or does not match the event, in the order of the set. The log
    /// source is found as in [`Evaluator::matches`].
    pub fn explain(
        &mut self,
        event: EventRef<'_>,
        source: Option<&LogSourceFilter>,
    ) -> Vec<Explanation<'_>> {
        let mut names = self.detector.names(event.batch());
        let hits = self.detector.evaluate(event, &mut names, source).0.to_vec();
        let mut explained = Vec::new();
        for (number, rule) in (0..).zip(self.rules.summaries()) {
            let (Some(compiled), Some(written)) =
                (self.rules.expr(number), self.rules.written(number))
            else {
                continue;
            };
            let mut log_source = false;
            let (mut verdict, mut exceptions) = (None, Vec::new());
            let (excepting, excepted) = self.rules.exceptions(number);
            self.detector.ask(event, &mut names, source, number, &mut |applies, answer| {
                log_source = applies;
                verdict = Some(judge(compiled, written, answer));
                for (compiled, written) in excepting.iter().zip(excepted) {
                    let exception = written.exception.clone();
                    let condition = judge(&compiled.expr, &written.expr, answer);
                    let expired = !exception.holds_at(event.ingested());
                    let holds_back = condition.holds && !expired;
                    exceptions.push(Excepted { exception, expired, holds_back, condition });
                }
            });
            let Some(condition) = verdict else { continue };
            let matched = hits.contains(&number);
            let title = rule.title.as_str();
            let explanation =
                Explanation { rule, title, log_source, matched, condition, exceptions };
            explained.push(explanation);
        }
        explained
    }
}

/// Whether a test holds, and what the event has in its field.
pub(crate) type Answer<'a> = dyn FnMut(AtomId) -> (bool, Vec<String>) + 'a;

/// Walks the condition as written and as compiled; both have the same form, but for the order of
/// parts. Verdicts come as written.
fn judge(compiled: &Expr<AtomId>, written: &Expr<Atom>, answer: &mut Answer<'_>) -> Verdict {
    let mut each = |compiled: &[Expr<AtomId>], written: &[Expr<Atom>]| -> Vec<Verdict> {
        order::paired(written, compiled).map(|(w, c)| judge(c, w, answer)).collect()
    };
    match (compiled, written) {
        (Expr::And(compiled), Expr::And(written)) => {
            let parts = each(compiled, written);
            Verdict { holds: parts.iter().all(|part| part.holds), part: Part::All { parts } }
        }
        (Expr::Or(compiled), Expr::Or(written)) => {
            let parts = each(compiled, written);
            Verdict { holds: parts.iter().any(|part| part.holds), part: Part::Any { parts } }
        }
        (Expr::AtLeast(wanted, compiled), Expr::AtLeast(_, written)) => {
            let parts = each(compiled, written);
            let holds = parts.iter().filter(|part| part.holds).count() >= *wanted;
            Verdict { holds, part: Part::AtLeast { wanted: *wanted, parts } }
        }
        (Expr::Not(compiled), Expr::Not(written)) => {
            let part = judge(compiled, written, answer);
            Verdict { holds: !part.holds, part: Part::Not { part: Box::new(part) } }
        }
        (Expr::Atom(id), Expr::Atom(atom)) => {
            let (holds, values) = answer(*id);
            let field = match &atom.subject {
                Subject::Field(name) => name.clone(),
                Subject::Keywords => "message".to_owned(),
            };
            Verdict { holds, part: Part::Test { field, test: words(&atom.test), values } }
        }
        // The compiler maps test to test and changes nothing else.
        _ => Verdict { holds: false, part: Part::Any { parts: Vec::new() } },
    }
}

/// The test as a person would say it.
fn words(test: &Test) -> String {
    match test {
        Test::Text { cased, patterns } => {
            let case = if *cased { " (letter case counts)" } else { "" };
            format!("is {}{case}", list(patterns))
        }
        Test::Regex { source, flags } => {
            let flag = |on, letter| if on { letter } else { "" };
            let flags = [
                flag(flags.ignore_case, "i"),
                flag(flags.multi_line, "m"),
                flag(flags.dot_all, "s"),
            ];
            format!("has /{source}/{}", flags.concat())
        }
        Test::Cidr(networks) => format!("is in {}", list(networks)),
        Test::Compare(comparison, number) => format!("{} {}", sign(*comparison), plain(*number)),
        Test::TimePart(part, comparison, number) => {
            let part = match part {
                TimePart::Minute => "minute",
                TimePart::Hour => "hour",
                TimePart::Day => "day",
                TimePart::Week => "week",
                TimePart::Month => "month",
                TimePart::Year => "year",
            };
            format!("its {part} (UTC) {} {}", sign(*comparison), plain(*number))
        }
        Test::FieldRef { other, place, cased } => {
            let place = match place {
                Place::Whole => "equals",
                Place::Start => "begins with",
                Place::End => "ends with",
                Place::Anywhere => "contains",
            };
            let case = if *cased { " (letter case counts)" } else { "" };
            format!("{place} the value of {other}{case}")
        }
        Test::Present => "has a value".to_owned(),
        Test::InList(name) => format!("is in the list {name}"),
    }
}

fn list<T: std::fmt::Display>(all: &[T]) -> String {
    let mut text =
        all.iter().take(SHOWN_MAX).map(|one| format!("'{one}'")).collect::<Vec<_>>().join(" or ");
    if all.len() > SHOWN_MAX {
        text.push_str(&format!(" or one of {} more", all.len() - SHOWN_MAX));
    }
    text
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Equal => "=",
    }
}

fn plain(number: Number) -> String {
    number.spellings().into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{event, rule, rules};

    fn explain(detection: &str, json: &str, source: Option<&str>) -> serde_json::Value {
        let mut evaluator = Evaluator::new(rules(&rule(detection)));
        let source = source.map(|text| text.parse().unwrap());
        let explained = evaluator.explain(event(json).get(0).unwrap(), source.as_ref()).remove(0);
        serde_json::to_value(&explained).unwrap()
    }

    #[test]
    fn every_kind_of_part_is_told_with_what_the_event_has() {
        let detection = "  s1: {user|startswith: ro, port|gte: 22}\n  s2: {user: [a, b, c, d, e, f]}\n  \
                         s3: {user|re: '^x'}\n  condition: 1 of s* and not s3 and 2 of s*";
        let json = r#"{"user": ["root", "lan"], "port": 2}"#;
        insta::assert_json_snapshot!(explain(detection, json, None));
    }

    #[test]
    fn what_holds_in_another_log_source_does_not_match() {
        let detection = "  s: {user: root}\n  condition: s";
        let there = explain(detection, r#"{"user": "root"}"#, Some("category=test"));
        assert_eq!((&there["log_source"], &there["matched"]), (&true.into(), &true.into()));
        let elsewhere = explain(detection, r#"{"user": "root"}"#, Some("category=other"));
        assert_eq!(elsewhere["condition"]["holds"], true);
        assert_eq!(
            (&elsewhere["log_source"], &elsewhere["matched"]),
            (&false.into(), &false.into())
        );
    }
}
