//! Which datasets can feed a rule: whether anything that comes to Keng can make it fire.
//!
//! Only the log source is looked at; whether the datasets have the fields is `unknown-field`'s.

use keng_event::spelling::edits;
use keng_event::{Dataset, LogSource};

use crate::rule_set::CompiledBody;
use crate::sigma::lint::Remark;
use crate::sigma::rule::Body;
use crate::sigma::test::Subject;
use crate::{LogSourceFilter, RuleSet};

/// The names of the datasets of which some events belong to this log source, in the order of
/// `datasets`. Empty: no event that a parser knows can fire a rule of it; only one that names the
/// log source itself (keys `product`, `category`, `service`) still can.
#[must_use]
pub fn feeding(logsource: &LogSourceFilter, datasets: &[Dataset]) -> Vec<&'static str> {
    let serves =
        |dataset: &&Dataset| dataset.log_sources.iter().any(|source| logsource.covers(source));
    datasets.iter().filter(serves).map(|dataset| dataset.name).collect()
}

impl RuleSet {
    /// The datasets that can feed the rule of that id, as [`feeding`] tells; of a correlation rule
    /// those of all rules that it refers to. Empty too where there is no such rule.
    #[must_use]
    pub fn fed_by(&self, rule_id: &str) -> Vec<&'static str> {
        let Some(found) = self.summaries().iter().position(|rule| rule.id == rule_id) else {
            return Vec::new();
        };
        let mut open = vec![u32::try_from(found).unwrap_or(u32::MAX)];
        let mut names: Vec<&'static str> = Vec::new();
        while let Some(rule) = open.pop() {
            if let Some(logsource) = self.logsource(rule) {
                names.extend(feeding(logsource, self.datasets()));
            }
            if let Some(CompiledBody::Correlation(correlation)) =
                self.rule(rule).map(|rule| &rule.body)
            {
                open.extend(&correlation.rules);
            }
        }
        // A diamond of correlations leads to a rule twice.
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The fields that the detection rule of that id asks for, as it names them, each once.
    #[must_use]
    pub fn fields_of(&self, rule_id: &str) -> Vec<String> {
        let mut names = Vec::new();
        let found = self.sources.iter().find(|source| source.rule.id == rule_id);
        if let Some(Body::Detection { expr, .. }) = found.map(|source| &source.rule.body) {
            expr.each(&mut |atom| {
                if let Subject::Field(name) = &atom.subject {
                    names.push(name.clone());
                }
            });
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A warning where no dataset serves the log source: most likely one of its words is mistyped.
pub(crate) fn unknown(
    logsource: &LogSourceFilter,
    line: u64,
    datasets: &[Dataset],
) -> Option<Remark> {
    if datasets.is_empty() || !feeding(logsource, datasets).is_empty() {
        return None;
    }
    let message = format!("no dataset has events of the log source {}", shown(logsource.parts()));
    let known = || datasets.iter().flat_map(|dataset| dataset.log_sources);
    let nearest = known()
        .filter_map(|source| Some((distance(logsource, source)?, source)))
        .min_by_key(|(distance, _)| *distance);
    Some(
        Remark::new("unknown-logsource", line, message).hint(match nearest {
            Some((_, source)) => {
                let stated = logsource.parts();
                let parts = [source.product, source.category, source.service];
                let said = std::array::from_fn(|n| {
                    let part = parts.get(n).copied().flatten();
                    part.filter(|_| stated.get(n).is_some_and(Option::is_some))
                });
                format!("did you mean {}?", shown(said))
            }
            None => "it fires only on events that name it themselves, under the keys `product`, \
                 `category` and `service`"
                .to_owned(),
        }),
    )
}

fn shown(parts: [Option<&str>; 3]) -> String {
    let named = ["product", "category", "service"].into_iter().zip(parts);
    let stated = named.filter_map(|(name, word)| Some(format!("`{name}: {}`", word?)));
    stated.collect::<Vec<_>>().join(", ")
}

/// How many letters differ in the words that a rule states; `None` where it is too far to be a
/// slip: a third of a word, or a part that the source does not have.
fn distance(stated: &LogSourceFilter, known: &LogSource) -> Option<usize> {
    let known = [known.product, known.category, known.service];
    let pairs = stated.parts().into_iter().zip(known);
    let pairs = pairs.filter_map(|(word, known)| Some((word?, known)));
    pairs
        .map(|(word, known)| {
            let letters = edits(word, known?);
            (letters <= word.chars().count().div_ceil(3).min(3)).then_some(letters)
        })
        .sum()
}
