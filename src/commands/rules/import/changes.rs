//! What an import changes: which rules come, go, and mean something else.

use std::collections::BTreeMap;
use std::path::Path;

use keng_rules_engine::{Loaded, Problem, RuleSummary};
use serde::Serialize;
use serde_json::{Value, json};

/// A rule as people know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) title: String,
}

/// The difference of two versions of a set.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Rules that the new version brings into force.
    pub(super) taken: usize,
    pub(super) added: Vec<Named>,
    pub(super) removed: Vec<Named>,
    /// They find something else, or tell it otherwise.
    pub(super) changed: Vec<Named>,
    /// Only texts for people are different.
    pub(super) reworded: Vec<Named>,
    /// With paths as the set has them.
    pub(super) refused: Vec<Problem>,
}

impl Changes {
    /// From what was there `before` to what is `new` in `folder`, beside rules of `others`.
    pub(super) fn between(
        before: Option<&Loaded>,
        new: &Loaded,
        folder: &Path,
        others: &[RuleSummary],
    ) -> Self {
        let mut changes = Self::default();
        let within = |file: &str| {
            Path::new(file).strip_prefix(folder).unwrap_or(Path::new(file)).display().to_string()
        };
        // A hint may name another file of the set, which will lie elsewhere.
        let staged = format!("{}/", folder.display());
        let own = new.problems.iter().map(|problem| Problem {
            file: within(&problem.file),
            hint: problem.hint.as_ref().map(|hint| hint.replace(&staged, "")),
            ..problem.clone()
        });
        changes.refused.extend(own);
        let others: BTreeMap<&str, &RuleSummary> =
            others.iter().map(|rule| (rule.id.as_str(), rule)).collect();
        let old: BTreeMap<&str, &RuleSummary> = before
            .iter()
            .flat_map(|before| before.rules.summaries())
            .map(|rule| (rule.id.as_str(), rule))
            .collect();
        for rule in new.rules.summaries() {
            if let Some(other) = others.get(rule.id.as_str()) {
                changes.refused.push(Problem {
                    file: within(&rule.file),
                    line: rule.line,
                    rule: rule.id.clone(),
                    message: "a rule that is in force already has the same id".to_owned(),
                    hint: Some(format!("that one counts; it is at {}:{}", other.file, other.line)),
                });
                continue;
            }
            changes.taken += 1;
            let kind = match old.get(rule.id.as_str()) {
                None => &mut changes.added,
                Some(old) if old.prints.meaning != rule.prints.meaning => &mut changes.changed,
                Some(old) if old.prints.text != rule.prints.text => &mut changes.reworded,
                Some(_) => continue,
            };
            kind.push(named(rule));
        }
        let kept = |rule: &&&RuleSummary| new.rules.summaries().iter().any(|new| new.id == rule.id);
        changes.removed = old.values().filter(|rule| !kept(rule)).map(|rule| named(rule)).collect();
        changes
    }

    /// The rules of each kind of change, with its name.
    pub(super) fn by_kind(&self) -> [(&'static str, &[Named]); 4] {
        [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed in meaning", &self.changed),
            ("changed in text only", &self.reworded),
        ]
    }

    /// Every change as JSON.
    pub(super) fn lines(&self) -> impl Iterator<Item = Value> {
        let words = ["added", "removed", "changed", "reworded"];
        let rules = self.by_kind().into_iter().zip(words).flat_map(|((_, rules), word)| {
            let line =
                move |rule: &Named| json!({"what": word, "id": rule.id, "title": rule.title});
            rules.iter().map(line)
        });
        let refused = self.refused.iter().map(|problem| {
            let mut line = json!(problem);
            if let Some(object) = line.as_object_mut() {
                object.insert("what".to_owned(), "refused".into());
            }
            line
        });
        rules.chain(refused)
    }
}

fn named(rule: &RuleSummary) -> Named {
    Named { id: rule.id.clone(), title: rule.title.clone() }
}
